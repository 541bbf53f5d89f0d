"""The main request of every function, with whatever must be in the store for its real answer."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

from emulators import tokens, topology
from emulators.layout import PUSHER
from shared import clock, ledgers
from shared.clock import SECOND
from shared.runtime import Services
from shared.storage.store import Put
from shared.tasks import messages, transitions
from shared.tasks.record import Outcome, Task
from tests.agents import provider_server
from tests.bench import backend, served
from tests.bench.served import Visit

ACCOUNT = "bench"
AUDIENCE = "https://bench"
BUDGET, COST = 1_000_000, 50_000  # micros
LIFE = 3600 * SECOND  # how long a task may take
ORDER = {"agent": "light", "payload": {"msg": "hi"}, "ttlSeconds": 3600, "budgetCents": 10}
PAYLOADS: Mapping[str, Any] = {
    "agent_codex": {"prompt": "Say hi."},
    "agent_crew": {"topics": ["one", "two"]},
    "agent_light": {"msg": "hi"},
}


class Visits:
    """Makes them on one store, as many as are asked for."""

    def __init__(self, here: backend.Backend, project: str) -> None:
        self.services: Services = here.services(project)
        token = tokens.Issuer(here.folder).token(AUDIENCE, PUSHER)
        signed = token.rpartition(".")[0] + ".SIGNATURE_REMOVED_BY_GOOGLE"  # as IAM hands it on
        self.headers = {"Authorization": f"Bearer {signed}", "Content-Type": "application/json"}
        account = ledgers.Account(id=ACCOUNT, limit=10**12, window="total")
        self.services.store.commit([Put(account.path, account.fields())])

    def make(self, function: str, count: int) -> list[Visit]:
        """So many requests for a function; each is answered once."""
        if function == "hello":
            return [Visit()] * count
        if function == "dispatch":
            body = json.dumps(ORDER).encode()
            return [self._visit("POST", "/dispatch", body, 202)] * count
        if function == "accounts":
            return [self._visit("GET", f"/account/{ACCOUNT}")] * count
        if function == "console":
            return [self._visit("GET", "/")] * count
        if function == "get_task":
            [task] = self._tasks(1)
            return [self._visit("GET", f"/task/{task.id}")] * count
        if function == "sweep":
            return [self._push("/", {})] * count
        return [self._of(function, task) for task in self._tasks(count, function)]

    def _of(self, function: str, task: Task) -> Visit:
        if function == "cancel_task":
            return self._visit("POST", f"/task/{task.id}/cancel")
        if function == "results":
            outcome = Outcome(status="succeeded", result='{"echo":{"msg":"hi"}}')
            return self._push("/pubsub/results", messages.result(task, outcome))
        if function == "callback":  # one read: a real delivery would measure its receiver
            return self._push("/", {"taskId": task.id})
        path = "/" if function == "dead_letter" else "/pubsub/push"
        return self._push(path, messages.run(task), messages.attributes(task))

    def _tasks(self, count: int, function: str = "") -> list[Task]:
        """Tasks in the state that a function finds them in."""
        now, agent = self.services.now(), function.removeprefix("agent_")
        tasks = [self._task(agent if function in PAYLOADS else "light", now) for _ in range(count)]
        if function == "results":
            tasks = [transitions.claimed(self.services, task, COST, 3600.0) for task in tasks]
        puts = [Put(task.path, task.fields()) for task in tasks]
        made: list[Task] = []
        for first in range(0, count, backend.BATCH):
            version = backend.fill(self.services, puts[first : first + backend.BATCH])
            some = tasks[first : first + backend.BATCH]
            made += [replace(task, version=version) for task in some]
        return made

    def _task(self, agent: str, now: int) -> Task:
        payload = PAYLOADS[topology.target(agent)]
        return Task(
            id=self.services.new_id(),
            agent=agent,
            owner=PUSHER,
            payload=json.dumps(payload),
            deadline=now + LIFE,
            budget=BUDGET,
            held=BUDGET,
            max_attempts=5,
            trace_id=self.services.new_id(),
            created_at=now,
            wake_at=now + LIFE,
        )

    def _push(
        self, path: str, data: Mapping[str, Any], attributes: Mapping[str, str] | None = None
    ) -> Visit:
        message = {
            "data": base64.b64encode(messages.encode(data)).decode(),
            "attributes": dict(attributes or {}),
            "messageId": self.services.new_id(),
            "publishTime": clock.timestamp(self.services.now()),
        }
        body = json.dumps({"message": message, "subscription": "bench"}).encode()
        return self._visit("POST", path, body, 204)

    def _visit(self, method: str, path: str, body: bytes | None = None, status: int = 200) -> Visit:
        return Visit(method=method, path=path, body=body, headers=self.headers, status=status)


@contextmanager
def environments(here: backend.Backend, project: str) -> Iterator[dict[str, dict[str, str]]]:
    """Every function's environment as it is deployed, and a provider that answers agent `codex`.

    `hello` has none, and so functions-framework's own number of threads.
    """
    with provider_server.provider() as provider:
        provider.then(provider_server.says("hi", provider_server.usage(10, 1)))
        common = {
            **here.environment(project),
            "ADMINS": PUSHER,
            "AGENTS": ",".join(topology.agents()),
            "CALLER_AUTH": "iam",
            "CODEX_API_KEY": "bench",
            "CODEX_BASE_URL": provider.url,
            "CODEX_MAX_OUTPUT_TOKENS": "100",
            "CODEX_MODEL": "tiny",
            "CODEX_PRICES": "tiny=2000000/10000000",
            "OIDC_MODE": "iam",
            "PUBSUB_AUDIENCE": AUDIENCE,
            "PUBSUB_VERIFY_OIDC": "true",
            "PUSH_SERVICE_ACCOUNTS": PUSHER,
            "RESULTS_PUBSUB_AUDIENCE": AUDIENCE,
            "RESULTS_PUBSUB_VERIFY_OIDC": "true",
        }
        deployed = {
            name: {**common, "THREADS": served.threads(name)} for name in topology.functions()
        }
        yield {**deployed, "hello": {}}
