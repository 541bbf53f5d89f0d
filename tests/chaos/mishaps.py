"""Mishaps: how often a call to the store or the bus goes wrong, and in which way."""

from __future__ import annotations

import random
import re
from dataclasses import dataclass
from typing import Literal

TASK = re.compile(r"tasks/([0-9a-f]{32})")

When = Literal["before", "after", "late", "slow"]
LABELS: dict[When, str] = {
    "before": "calls failed",
    "after": "calls failed after their effect",
    "late": "calls failed before their effect",
    "slow": "calls slowed",
}
AMBIGUOUS = "ambiguous commits"
STUCK, LAGGING = "calls for stuck tasks failed", "creations slowed beyond a purse's life"


@dataclass(frozen=True)
class Mishap:
    """What goes wrong with one call; see `proxy.Fault`."""

    when: When
    delay: float = 0.0  # seconds
    label: str = ""  # under which it is counted; empty: by its kind

    def __str__(self) -> str:
        return self.label or LABELS[self.when]


@dataclass(frozen=True, kw_only=True)
class Mishaps:
    """Their rates. The same seed and the same calls meet the same mishaps."""

    seed: int
    rate: float = 0.05  # of all calls
    unlucky: int = 0  # one task in so many can be changed by no commit of its own: a dead letter
    laggard: int = 0  # one task in so many is created `lag` seconds late: its purse has lapsed
    lag: float = 0.0

    def draw(self, dice: random.Random, method: str, about: str) -> Mishap | None:
        """What happens to a call; `create` is a commit that makes documents, and nothing else."""
        named = set(TASK.findall(about))
        number = int(named.pop()[:6], 16) if len(named) == 1 else 0
        if method == "commit" and self.unlucky and number % self.unlucky == 1:
            return Mishap("before", label=STUCK)
        if method == "create" and self.laggard and number % self.laggard == 2:
            return Mishap("slow", self.lag, LAGGING)
        if dice.random() >= self.rate:
            return None
        kind = dice.random()
        if kind < 0.4:
            return Mishap("before")
        if kind < 0.75:
            return Mishap("after")
        return Mishap("late" if kind < 0.9 else "slow", dice.uniform(0, 0.5))


def told(mishap: Mishap, method: str) -> list[str]:
    """Under what a mishap is counted."""
    ambiguous = mishap.when in ("after", "late") and method in ("commit", "create")
    return [str(mishap), AMBIGUOUS] if ambiguous else [str(mishap)]
