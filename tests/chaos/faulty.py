"""The faulty world inside a function's process: its store and its bus fail as they are told."""

from __future__ import annotations

import contextlib
import json
import os
import random
import signal
import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Protocol, TypeVar

from shared import config, errors, runtime
from shared.storage.bus import Bus
from shared.storage.store import Document, Query, Store, Total, Write
from tests.chaos.mishaps import TASK, Mishap, Mishaps, told

VARIABLE = "CHAOS"  # holds the environment's part of it, as JSON

FOR_GOOD = contextlib.ExitStack()  # what is entered, and never left

Answer = TypeVar("Answer")


def install(function: str) -> None:
    """Puts the process at hand into the world that its environment describes."""
    setting = json.loads(os.environ.get(VARIABLE, "{}"))
    os.environ.update(setting.get("environment", {}))  # the proxies' addresses
    calls: Calls
    if "freezer" in setting and function.startswith("agent_"):
        calls = Freezer(Path(setting["freezer"]))
    elif "mishaps" in setting:
        calls = Wreck(
            Mishaps(**setting["mishaps"]), Path(setting["switch"]), Path(setting["struck"])
        )
    else:
        return
    settings = config.load()
    plain = runtime.Services(settings)
    faulty = runtime.Services(
        settings,
        store=lambda _: FaultyStore(plain.store, calls),
        bus=lambda _: FaultyBus(plain.bus, calls),
    )
    FOR_GOOD.enter_context(runtime.using(faulty))


class Calls(Protocol):
    """What happens around a call to the store or the bus."""

    def call(self, method: str, about: str, effect: Callable[[], Answer]) -> Answer:
        """The effect's answer, if it comes to that."""


class Freezer:
    """Stops the process, as SIGSTOP does, just before the n-th step of a task in a folder.

    The folder has a file of the task's id which holds n; the process that stops leaves its own id
    in `ID.frozen`.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._steps: Counter[str] = Counter()

    def call(self, method: str, about: str, effect: Callable[[], Answer]) -> Answer:
        """See `Calls`."""
        found = TASK.search(about)
        if found and method in ("commit", "publish"):
            self._step(found[1])
        return effect()

    def _step(self, task_id: str) -> None:
        order = self._folder / task_id
        with contextlib.suppress(FileNotFoundError):
            self._steps[task_id] += 1
            if self._steps[task_id] == int(order.read_text()):
                order.rename(order.with_suffix(".taken"))  # one process gets it
                order.with_suffix(".frozen").write_text(f"{os.getpid()}\n")
                # To this thread, so that it takes not one step more; all others stop with it.
                signal.pthread_kill(threading.get_ident(), signal.SIGSTOP)


class Wreck:
    """Lets a call fail, before or after it took effect, while the switch is on."""

    def __init__(self, mishaps: Mishaps, switch: Path, struck: Path) -> None:
        self._mishaps, self._switch, self._struck = mishaps, switch, struck
        self._random = random.Random(f"{mishaps.seed} {os.getpid()}")

    def call(self, method: str, about: str, effect: Callable[[], Answer]) -> Answer:
        """The effect's answer; raises `errors.Unavailable` on purpose."""
        mishap = None
        if self._switch.exists():
            mishap = self._mishaps.draw(self._random, method, about)
        if mishap is None:
            return effect()
        self._note(mishap, method)
        if mishap.when == "before":
            raise errors.Unavailable("a fault on purpose: before")
        time.sleep(mishap.delay)
        answer = effect()
        if mishap.when == "slow":
            return answer
        raise errors.Unavailable("a fault on purpose: after")

    def _note(self, mishap: Mishap, method: str) -> None:
        with self._struck.open("a") as file:
            file.writelines(f"{line}\n" for line in told(mishap, method))


class FaultyStore:
    """A store whose calls fail now and then."""

    def __init__(self, store: Store, calls: Calls) -> None:
        self._store, self._calls = store, calls

    def get(self, path: str) -> Document:
        return self._calls.call("get", path, lambda: self._store.get(path))

    def commit(self, writes: Sequence[Write]) -> int:
        about = " ".join(write.path for write in writes)
        method = "create" if not any(write.version for write in writes) else "commit"
        return self._calls.call(method, about, lambda: self._store.commit(writes))

    def query(self, query: Query) -> list[Document]:
        return self._calls.call("query", "", lambda: self._store.query(query))

    def total(self, query: Query, sum_field: str) -> Total:
        return self._calls.call("total", "", lambda: self._store.total(query, sum_field))

    def wait(self, path: str, until: Callable[[Document], bool], seconds: float) -> Document:
        return self._store.wait(path, until, seconds)


class FaultyBus:
    """A bus whose publications fail now and then."""

    def __init__(self, bus: Bus, calls: Calls) -> None:
        self._bus, self._calls = bus, calls

    def publish(self, topic: str, data: bytes, attributes: Mapping[str, str]) -> str:
        return self._calls.call(
            "publish",
            f"tasks/{attributes.get('taskId', '')}",
            lambda: self._bus.publish(topic, data, attributes),
        )
