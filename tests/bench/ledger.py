"""A busy account's one ledger, simulated: how often purses write to it, and how often in vain.

Every process hands out its purse in memory and opens another where it is used up or too old, by a
compare-and-set that is tried again after a pause: all as `shared.budgets` does, with its constants.
"""

from __future__ import annotations

import heapq
import random
from collections import Counter
from dataclasses import dataclass

from shared.budgets import MARGIN
from shared.storage.retry import LONGEST_PAUSE, PAUSE
from tests.bench import limits

SPAN = 3_600  # simulated seconds; the second half is what counts as steady
SWEEP = 60.0  # seconds between two settlements


@dataclass(frozen=True)
class Load:
    """What a ledger has to bear."""

    commits: float  # a second, once the purses have their size
    conflicts: float  # tries in vain for each of those commits
    busiest: int  # commits within one second, as all processes start at once
    most_tries: int  # of one commit, then; after `retry.TRIES` the dispatch is refused


@dataclass
class _Writer:
    rate: float  # tasks a second that this process dispatches; 0: the sweep
    purse_seconds: float
    dice: random.Random
    grant: int = 1  # tasks
    seen: int = 0  # the version that it has read
    tries: int = 0
    pause: float = PAUSE

    def opened(self) -> float:
        """The purse is open: how many seconds it lasts. The next one's size is decided."""
        self.tries, self.pause = 0, PAUSE
        if not self.rate:
            return SWEEP
        lasts = self.grant / self.rate
        life = self.purse_seconds * (1 - MARGIN * (1 + self.dice.random()))
        self.grant = 2 * self.grant if lasts < life else max(1, round(self.rate * life))
        return min(lasts, life)


def simulate(processes: int, rate: float, purse_seconds: float, seed: int = 1) -> Load:
    """The load where that many processes dispatch `rate` tasks a second on one account."""
    dice = random.Random(seed)
    rates = [rate / processes] * processes + [0.0]  # the last is the sweep's
    writers = [_Writer(each, purse_seconds, dice) for each in rates]
    # All have their first task within a second: a restart of every instance at once.
    agenda = [(dice.random(), number, True) for number in range(len(writers))]
    heapq.heapify(agenda)
    version = most_tries = conflicts = commits = 0
    by_second: Counter[int] = Counter()
    while agenda[0][0] < SPAN:
        at, number, reading = heapq.heappop(agenda)
        writer = writers[number]
        if reading:
            writer.seen = version
            writer.tries += 1
            following = at + limits.COMMIT * dice.uniform(0.5, 1.5)
        elif writer.seen != version:
            conflicts += at >= SPAN / 2
            following = at + dice.uniform(0, writer.pause)
            writer.pause = min(2 * writer.pause, LONGEST_PAUSE)
        else:
            version += 1
            by_second[int(at)] += 1
            commits += at >= SPAN / 2
            most_tries = max(most_tries, writer.tries)
            wait = dice.expovariate(writer.rate) if writer.rate else 0
            following = at + writer.opened() + wait
        heapq.heappush(agenda, (following, number, not reading))
    return Load(
        commits=commits / (SPAN / 2),
        conflicts=conflicts / max(commits, 1),
        busiest=max(by_second.values()),
        most_tries=most_tries,
    )


def purse_seconds(processes: int, rate: float) -> int:
    """The shortest PURSE_SECONDS, in minutes, that keeps a ledger below a document's limit."""
    seconds = 60
    while simulate(processes, rate, seconds).commits > limits.DOCUMENT:
        seconds += 60
    return seconds
