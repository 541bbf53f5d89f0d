"""Outside steps: where an actor can be paused, crashed, or left in the dark about what it did."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol, TypeVar

from greenlet import getcurrent, greenlet

from shared import errors, runtime
from shared.runtime import Services
from shared.storage.bus import Bus
from shared.storage.store import Document, Query, Store, Total, Write

T = TypeVar("T")
Fault = Literal[
    "crash before",  # the process dies, the effect never happens
    "crash after",  # the effect happens, the process dies before it knows
    "refused",  # no effect, `errors.Unavailable`
    "lost",  # the effect, but `errors.Unavailable`
    "repeated",  # the client library sends it twice: a commit then conflicts with itself
]
CRASHES: tuple[Fault, ...] = ("crash before", "crash after")
ERRORS: Mapping[str, tuple[Fault, ...]] = {
    "read": ("refused",),
    "commit": ("refused", "lost", "repeated"),
    "publish": ("refused", "lost", "repeated"),
    "work": (),
    "call": (),
    "answer": (),
}
Kind = Literal["read", "commit", "publish", "work", "call", "answer"]


class Crash(BaseException):
    """The process is gone; nothing that it held in memory survives."""


class Faults(Protocol):
    """Decides what goes wrong."""

    def at(self, kind: Kind) -> Fault | None:
        """What goes wrong with the step that is about to be taken."""


@dataclass
class Planned:
    """Faults at numbered steps, counted over all actors from the plan's start."""

    faults: Mapping[int, Fault] = field(default_factory=dict)
    kinds: list[Kind] = field(default_factory=list)  # the steps taken so far

    def at(self, kind: Kind) -> Fault | None:
        """See `Faults.at`."""
        self.kinds.append(kind)
        return self.faults.get(len(self.kinds) - 1)


@dataclass
class Process:
    """One process of one function: its services, and so its memory; it dies whole."""

    services: Services
    actors: list[Actor] = field(default_factory=list)
    dead: bool = False

    def crash(self) -> None:
        """Kills it, in the midst of whatever its actors do."""
        self.dead = True
        for actor in self.actors:
            actor.kill()


class Actor:
    """One request in one process, run from outside step to outside step."""

    def __init__(self, process: Process, body: Callable[[], Any]) -> None:
        self.process = process
        self.answer: Any = None  # what `body` returned; None where it crashed
        self._body = body
        self._killed = False
        self._greenlet = greenlet(self._run)
        process.actors.append(self)

    @property
    def done(self) -> bool:
        """It has answered, or crashed."""
        return self._killed or bool(self._greenlet.dead)

    def resume(self) -> None:
        """Goes on to the next outside step, and stops before it."""
        with runtime.using(self.process.services):
            self._greenlet.switch()
        if self.done and self in self.process.actors:
            self.process.actors.remove(self)

    def finish(self) -> Any:
        """Goes on to the end; returns the answer, None if it crashed."""
        while not self.done:
            self.resume()
        return self.answer

    def kill(self) -> None:
        """Crashes it where it stands."""
        if self.done or self._greenlet is getcurrent():
            return
        self._killed = True
        if self._greenlet:  # it has begun
            self._greenlet.parent = getcurrent()  # comes back here once it has ended
            self._greenlet.throw(Crash)

    def _run(self) -> None:
        try:
            self.answer = self._body()
        except Crash:
            if not self._killed:  # else its process is being killed already
                self.process.crash()


def pause() -> None:
    """Lets whoever schedules the actors choose who goes on."""
    parent = getcurrent().parent
    if parent is not None:
        parent.switch()


class Outside:
    """The way out of a process: every effect is a step that can go wrong."""

    def __init__(self, faults: Callable[[], Faults]) -> None:
        self._faults = faults

    def step(self, kind: Kind, effect: Callable[[], T]) -> T:
        """The effect's answer, unless something goes wrong."""
        pause()
        fault = self._faults().at(kind)
        if fault not in (*CRASHES, *ERRORS[kind]):
            fault = None  # that cannot happen to such a step
        if fault == "crash before":
            raise Crash
        if fault == "refused":
            raise errors.Unavailable(f"staged: {kind} refused")
        answer = effect()
        if fault == "crash after":
            raise Crash
        if fault == "lost":
            raise errors.Unavailable(f"staged: the answer to a {kind} is lost")
        return effect() if fault == "repeated" else answer


class OutsideStore:
    """A store beyond the process: implements `shared.storage.store.Store`."""

    def __init__(
        self, outside: Outside, store: Store, landed: Callable[[Sequence[Write], int], None]
    ) -> None:
        self._outside, self._store, self._landed = outside, store, landed

    def get(self, path: str) -> Document:
        """See `Store.get`."""
        return self._outside.step("read", lambda: self._store.get(path))

    def commit(self, writes: Sequence[Write]) -> int:
        """See `Store.commit`."""

        def effect() -> int:
            version = self._store.commit(writes)
            self._landed(writes, version)
            return version

        return self._outside.step("commit", effect)

    def query(self, query: Query) -> list[Document]:
        """See `Store.query`."""
        return self._outside.step("read", lambda: self._store.query(query))

    def total(self, query: Query, sum_field: str) -> Total:
        """See `Store.total`."""
        return self._outside.step("read", lambda: self._store.total(query, sum_field))

    def wait(self, path: str, until: Callable[[Document], bool], seconds: float) -> Document:
        """See `Store.wait`: here time is always up at once."""
        return self.get(path)


class OutsideBus:
    """A bus beyond the process: implements `shared.storage.bus.Bus`."""

    def __init__(self, outside: Outside, bus: Bus) -> None:
        self._outside, self._bus = outside, bus

    def publish(self, topic: str, data: bytes, attributes: Mapping[str, str]) -> str:
        """See `Bus.publish`."""
        return self._outside.step("publish", lambda: self._bus.publish(topic, data, attributes))


class Lock:
    """A lock between the actors of one process: who waits lets the others go on."""

    def __init__(self) -> None:
        self._held = False

    def __enter__(self) -> None:
        while self._held:
            pause()
        self._held = True

    def __exit__(self, *_: object) -> None:
        self._held = False
