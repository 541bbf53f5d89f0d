"""Faults on purpose: what the bridge does to messages to prove that nothing above it minds."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from dataclasses import dataclass, fields

KINDS = ("duplicate", "drop", "drop_ack")  # those that can be asked for, one message at a time
OVERTAKEN = 1.0  # seconds a message waits at most for another to overtake it


@dataclass(frozen=True, kw_only=True)
class Faults:
    """How often each fault strikes: a probability, or for `delay` the longest pause in seconds."""

    duplicate: float = 0.0  # the push is made twice at once
    drop: float = 0.0  # the push is lost on its way
    drop_ack: float = 0.0  # the push arrives, its acknowledgement is lost
    delay: float = 0.0  # every push waits up to this long
    reorder: float = 0.0  # the push waits until a later one has overtaken it
    seed: int = 0

    @classmethod
    def parse(cls, text: str) -> Faults:
        """Reads `duplicate=0.2,drop-ack=0.1,…`; raises ValueError with the mend."""
        values: dict[str, float] = {}
        known = [each.name.replace("_", "-") for each in fields(cls)]
        for part in filter(None, text.split(",")):
            name, _, value = part.partition("=")
            if name.strip() not in known:
                raise ValueError(f"{part}: write NAME=NUMBER, NAME one of {', '.join(known)}")
            try:
                values[name.strip().replace("-", "_")] = float(value)
            except ValueError:
                raise ValueError(f"{part}: {value!r} is no number") from None
        seed = int(values.pop("seed", 0))
        faults = cls(**values, seed=seed)
        faults._check()
        return faults

    def _check(self) -> None:
        for each in fields(self):
            value = getattr(self, each.name)
            if each.name != "seed" and not 0 <= value <= (60 if each.name == "delay" else 1):
                raise ValueError(f"{each.name}={value}: a probability is 0 to 1, a delay 0 to 60")

    def dumps(self) -> str:
        """The text that `parse` reads."""
        values = ((each.name.replace("_", "-"), getattr(self, each.name)) for each in fields(self))
        return ",".join(f"{name}={value}" for name, value in values if value)


class Dice:
    """A lane's own chance: the same seed, lane and order of messages meet the same faults."""

    def __init__(self, faults: Faults, lane: str) -> None:
        self.faults = faults
        self.struck: Counter[str] = Counter()
        self._due: Counter[tuple[str, str]] = Counter()  # that were asked for: (kind, trace)
        self._random = random.Random(f"{faults.seed} {lane}")
        self._passed = asyncio.Event()

    def strikes(self, kind: str, trace: str = "") -> bool:
        """Does the fault of this kind strike now, a message of this trace? Counts it if so."""
        chance: float = getattr(self.faults, kind)
        if self._due[kind, trace]:
            self._due[kind, trace] -= 1
        elif not chance or self._random.random() >= chance:
            return False
        self.struck[kind] += 1
        return True

    def ask(self, kind: str, times: int, trace: str) -> None:
        """Lets the fault of this kind strike the next messages of a trace, so many times.

        Of no other: a message that is still on its way from before must not catch it.
        """
        self._due[kind, trace] += times

    async def hold(self) -> None:
        """Keeps a message back, as the faults `delay` and `reorder` ask."""
        if self.faults.delay:
            self.struck["delay"] += 1
            await asyncio.sleep(self._random.uniform(0, self.faults.delay))
        if self.strikes("reorder"):
            try:
                await asyncio.wait_for(self._passed.wait(), OVERTAKEN)
            except TimeoutError:
                self.struck["reorder"] -= 1  # nothing came after it
        passed, self._passed = self._passed, asyncio.Event()
        passed.set()
