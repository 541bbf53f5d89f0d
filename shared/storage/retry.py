"""Compare-and-set: how often a change that others win is decided again, and with which pauses."""

from __future__ import annotations

import random
import time
from collections.abc import Iterator

TRIES = 40  # of one change; a ledger that many dispatchers want takes the most
PAUSE = 0.005  # seconds: the first pause between two tries, doubling
LONGEST_PAUSE = 0.5  # seconds


def tries() -> Iterator[None]:
    """Yields once for each try, with growing pauses in between; ends where none is left.

    The pauses have full jitter, so that those who met once do not meet again.
    https://aws.amazon.com/blogs/architecture/exponential-backoff-and-jitter/
    """
    pause = PAUSE
    for left in reversed(range(TRIES)):
        yield
        if left:
            time.sleep(random.uniform(0, pause))
            pause = min(2 * pause, LONGEST_PAUSE)
