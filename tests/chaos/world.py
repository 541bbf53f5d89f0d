"""A world in one process: the real functions, a store, a wire, and a clock that stands still."""

from __future__ import annotations

import functools
import importlib.util
import json
import random
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from io import BytesIO
from types import ModuleType, SimpleNamespace
from typing import Any
from unittest import mock

import flask
import requests

from emulators import topology
from shared import agent, budgets, callbacks, config, log, runtime
from shared.clock import SECOND
from shared.context import Context
from shared.storage import retry
from shared.storage.sqlite import database
from shared.storage.sqlite.store import EmbeddedStore
from shared.storage.store import Query
from tests.chaos import auditor, probe, steps
from tests.chaos.watch import Watch
from tests.chaos.wire import Wire

START = 1_800_000_000 * SECOND
TICK = 60 * SECOND  # between two sweeps
LATE = 5 * TICK  # how long after its deadline a task has ended, whatever went wrong
ROUNDS = 200  # of deliveries and sweeps after which a world must be quiet
COST = 5  # cents an attempt of the agent `probe`
SETTINGS: Mapping[str, Any] = {
    "backend": "embedded",
    "agents": ("probe",),
    "agent_urls": {"probe": "http://probe"},
    "max_attempts": 3,
    "callback_secrets": ("whsec_",),
}


_entered: list[World] = []


@agent.agent(cost_cents=COST)
def agent_probe(payload: Any, context: Context) -> Any:
    """The agent of whatever world is entered."""
    return _entered[-1].work(payload, context)


@functools.cache
def module(function: str) -> ModuleType:
    """The module of an entrypoint, `functions/<function>/main.py`."""
    path = topology.FUNCTIONS / function / "main.py"
    spec = importlib.util.spec_from_file_location(f"chaos_{function}", path)
    assert spec
    assert spec.loader
    loaded = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(loaded)
    return loaded


@dataclass
class World:
    """Everything outside the processes, and the processes by name."""

    seed: int = 0
    settings: Mapping[str, Any] = field(default_factory=dict)
    faults: steps.Faults = field(default_factory=steps.Planned)
    clock: int = START  # the server's; a process may have its own skew
    skew: dict[str, int] = field(default_factory=dict)  # of a process's clock, microseconds
    events: Counter[str] = field(default_factory=Counter)
    called_back: Counter[str] = field(default_factory=Counter)  # webhooks
    accepted: set[str] = field(default_factory=set)  # tasks that a 2xx promised

    def __post_init__(self) -> None:
        self.rng = random.Random(self.seed)
        self.disk = EmbeddedStore(":memory:")
        self.wire = Wire(self)
        self.watch = Watch()
        self.outside = steps.Outside(lambda: self.faults)
        self.processes: dict[str, steps.Process] = {}

    def now(self) -> int:
        """The server's clock; no two looks see the same."""
        self.clock += 1
        return self.clock

    def new_id(self) -> str:
        """An id that the seed decides."""
        return f"{self.rng.getrandbits(128):032x}"

    def sleep(self, seconds: float) -> None:
        """A pause of a process."""
        self.clock += int(seconds * SECOND)
        steps.pause()

    @contextmanager
    def entered(self) -> Iterator[World]:
        """Within it the rules see this world's clock, locks, network and log."""
        time = SimpleNamespace(sleep=self.sleep, monotonic=lambda: self.clock / SECOND)
        swaps: list[tuple[Any, str, Any]] = [
            (database, "now", self.now),
            (retry, "time", time),
            (retry, "random", self.rng),
            (budgets, "time", time),
            (budgets, "threading", SimpleNamespace(Lock=steps.Lock)),
            (requests, "post", self._post),
            (callbacks, "check_url", lambda *_: None),
            (callbacks, "deliver", self._call_back),
            (log, "event", self._logged),
        ]
        with ExitStack() as stack:
            _entered.append(self)
            stack.callback(_entered.pop)
            for swap in swaps:
                stack.enter_context(mock.patch.object(*swap))
            yield self

    def process(self, name: str) -> steps.Process:
        """The process of that name; a new one, with empty hands, where it has died."""
        process = self.processes.get(name)
        if process is None or process.dead:
            landed = functools.partial(self.watch.landed, self.disk)
            store = steps.OutsideStore(self.outside, self.disk, landed)
            process = self.processes[name] = steps.Process(
                runtime.Services(
                    config.Config(**{**SETTINGS, **self.settings}),
                    store=lambda _: store,
                    bus=lambda _: steps.OutsideBus(self.outside, self.wire),
                    now=lambda: self.now() + self.skew.get(name, 0),
                    new_id=self.new_id,
                )
            )
        return process

    def start(
        self, function: str, path: str, body: Any = None, *, method: str = "POST", process: str = ""
    ) -> steps.Actor:
        """A request that has reached its process, and not gone a step further."""
        target = agent_probe if function == "agent_probe" else getattr(module(function), function)
        environ = _environ(method, path, body)

        def respond() -> flask.Response:
            response: flask.Response = target(flask.Request(environ))
            return self.outside.step("answer", lambda: self._answered(response))

        return steps.Actor(self.process(process or function), respond)

    def call(self, function: str, path: str, body: Any = None, **how: Any) -> Any:
        """The answer to a request, None where it crashed."""
        return self.start(function, path, body, **how).finish()

    def drain(self) -> None:
        """Redelivery and sweeps, the clock going on, until nothing is left to do."""
        for _ in range(ROUNDS):
            for message in list(self.wire.messages):
                self.wire.deliver(message)
            due = self._due()
            if self.wire.messages:
                self.clock += SECOND
            elif due is None:
                return
            else:
                self.clock = max(self.clock, min(due, self.clock + TICK)) + SECOND
                self.wire.post("ticks", {})
        self.watch.violations.append(f"not quiet after {ROUNDS} rounds")

    def violations(self, terms: auditor.Terms | None = None) -> list[str]:
        """What is wrong, at rest; first what was seen as it happened."""
        found = self.watch.violations + auditor.audit(
            self.disk, terms or auditor.Terms(at_rest=True)
        )
        lost = self.accepted - {task.id for task in self.watch.tasks.values()}
        return found + [f"tasks/{id_}: was promised, and is not there" for id_ in sorted(lost)]

    def late(self) -> list[str]:
        """Tasks that ended too long after their deadline, where sweeps came as they should."""
        return [
            f"{task.path}: ended {task.ended_at}, was due {task.deadline}"
            for task in self.watch.tasks.values()
            if (task.ended_at or 0) > max(task.deadline, task.created_at) + LATE
        ]

    def _due(self) -> int | None:
        """When the sweep has something to do next."""
        times = [
            document.data["wakeAt"]
            for collection in ("tasks", "ledgers")
            for document in self.disk.query(Query(collection=collection, order="wakeAt", limit=1))
        ]
        return min(times, default=None)

    def _answered(self, response: flask.Response) -> flask.Response:
        if response.status_code in (200, 202) and response.is_json:
            answer: dict[str, Any] = json.loads(response.data)
            self.accepted |= {answer["taskId"]} if "taskId" in answer else set()
        return response

    def work(self, payload: Any, context: Context) -> Any:
        """What the agent `probe` does: as its payload says."""
        self.watch.worked(self.disk, context.task, COST * 10_000)
        self.outside.step("work", lambda: None)
        wanted = payload.get("do", "succeed") if isinstance(payload, dict) else "succeed"
        return probe.WORK[wanted](self, context)

    def _post(self, url: str, data: bytes, **_: Any) -> Any:
        """HTTP from a function to the agent."""
        answer = self.call("agent_probe", "/run", json.loads(data))
        if answer is None or answer.status_code != 200:
            raise requests.ConnectionError("staged: the agent did not answer")
        return SimpleNamespace(raise_for_status=lambda: None)

    def _call_back(self, url: str, body: bytes, webhook_id: str, *_: Any) -> callbacks.Outcome:
        """A webhook to the client, who answers 503 at first."""
        self.outside.step("call", lambda: None)
        self.called_back[webhook_id] += 1
        if self.called_back[webhook_id] == 1:
            return callbacks.Outcome(state="retry", detail="staged: 503")
        return callbacks.Outcome(state="delivered", detail="staged: 200")

    def _logged(self, message: str, severity: str = "INFO", **fields: Any) -> None:
        self.events[message] += 1
        exception = fields.get("exception", "")
        if message == "crashed" or (message == "not moved" and "Unavailable" not in exception):
            self.watch.violations.append(f"a function crashed: {exception}")


def _environ(method: str, path: str, body: Any) -> dict[str, Any]:
    data = b"" if body is None else json.dumps(body).encode()
    return {
        "REQUEST_METHOD": method,
        "PATH_INFO": path,
        "QUERY_STRING": "",
        "SERVER_NAME": "localhost",
        "SERVER_PORT": "80",
        "SERVER_PROTOCOL": "HTTP/1.1",
        "wsgi.url_scheme": "http",
        "wsgi.input": BytesIO(data),
        **({"CONTENT_TYPE": "application/json", "CONTENT_LENGTH": str(len(data))} if data else {}),
    }
