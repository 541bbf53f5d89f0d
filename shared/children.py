"""Child tasks: an agent's calls to other agents, paid out of its own task's budget."""

from __future__ import annotations

import hashlib
import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from shared import errors, limits, log, money, orders, strictjson
from shared.clock import SECOND
from shared.runtime import Services
from shared.storage.store import Put, Write
from shared.tasks import commits, publish, record, transitions, view
from shared.tasks.record import Task


@dataclass(frozen=True)
class Call:
    """What another agent is asked to do, on how much of the caller's money."""

    agent: str
    payload: Any
    budgetCents: float  # noqa: N815 - as everywhere outside
    ttl: float | None = None  # seconds; None: as long as the caller has


class Failed(errors.Error):
    """A child task did not succeed; `task` is how it ended."""

    status, code = 424, "child_failed"

    def __init__(self, task: Task) -> None:
        fault = task.error or {}
        super().__init__(f"{task.agent} {task.status}: {fault.get('detail', '')}".strip(": "))
        self.task = task


class Suspension(BaseException):
    """Ends a delivery whose agent waits for children, which are not made yet."""

    def __init__(self, children: Mapping[str, Task]) -> None:
        super().__init__()
        self.children = children


class Names:
    """The calls of one run by their order, which must be the same in every run."""

    def __init__(self) -> None:
        self._seen: Counter[str] = Counter()

    def next(self, call: Call) -> str:
        """The name of the next call of that agent."""
        self._seen[call.agent] += 1
        return f"{call.agent}-{self._seen[call.agent]}"


def results(
    services: Services, parent: Task, names: Names, calls: Sequence[Call]
) -> list[Any | Failed]:
    """The results of the calls whose tasks have ended; `Failed` stands for one that failed.

    At the first time it raises `Suspension`: the attempt ends, and the tasks are made. Raises
    `errors.BudgetExceeded` where the parent's money does not cover them, `errors.UnknownAgent`,
    `errors.Expired`, or `errors.Invalid`.
    """
    keys = [names.next(call) for call in calls]
    known = parent.children or {}
    new = [key for key in keys if key not in known]
    if new and len(new) < len(keys):
        raise errors.Invalid(f"call {new[0]} was not made before, others were: call in one order")
    if new:
        made = _made(services, parent, keys, calls)
        transitions.called(services, parent, made)  # refused here, the agent may do otherwise
        raise Suspension(made)
    ended = [commits.get(services, known[key]["taskId"]) for key in keys]
    for task, call in zip(ended, calls, strict=True):
        if task.fingerprint != _fingerprint(call):
            raise errors.Invalid(f"call {task.parent_key} asks for something else than before")
    return [
        strictjson.loads((task.result or "null").encode())
        if task.status == "succeeded"
        else Failed(task)
        for task in ended
    ]


def suspend(services: Services, parent: Task, children: Mapping[str, Task]) -> None:
    """Makes the children, with the parent's money and in its place, in one commit; publishes them.

    A child that is not published now is by the sweep. Raises `errors.BudgetExceeded` or
    `tasks.Lost`, and then nothing was written.
    """
    after = transitions.called(services, parent, children)
    puts: list[Write] = [Put(child.path, child.fields()) for child in children.values()]
    parent = commits.move(services, parent, after, *puts)
    log.event("waiting", **view.about(parent), children=len(children))
    for child in children.values():
        publish.to_agent_soon(services, replace(child, version=parent.version))


def _made(
    services: Services, parent: Task, keys: Sequence[str], calls: Sequence[Call]
) -> dict[str, Task]:
    if services.now() >= parent.deadline:
        raise errors.Expired("the task's deadline has passed")
    if parent.depth >= limits.CHILD_DEPTH:
        raise errors.Invalid(f"this task is called {limits.CHILD_DEPTH} deep: it may call no other")
    made = {key: _child(services, parent, key, call) for key, call in zip(keys, calls, strict=True)}
    sizes = [len(task.payload.encode()) for task in made.values()]
    if len(made) > limits.CHILDREN_PER_CALL or sum(sizes) > limits.CHILD_PAYLOADS:
        raise errors.Invalid(
            f"a call takes {limits.CHILDREN_PER_CALL} children and {limits.CHILD_PAYLOADS} bytes of"
            " payload"
        )
    if len(made) + len(parent.children or {}) > limits.CHILDREN_PER_TASK:
        raise errors.Invalid(f"a task has at most {limits.CHILDREN_PER_TASK} children")
    if max(sizes, default=0) > limits.CHILD_PAYLOAD:
        raise errors.Invalid(f"a child's payload has at most {limits.CHILD_PAYLOAD} bytes")
    return made


def _child(services: Services, parent: Task, key: str, call: Call) -> Task:
    if call.agent not in services.config.agents:
        raise errors.UnknownAgent(f"agent: there is no {call.agent!r}; see AGENTS")
    now = services.now()
    try:
        budget = money.from_cents(call.budgetCents)
        payload = strictjson.dumps(call.payload)
    except ValueError as error:
        raise errors.Invalid(f"call {key}: {error}") from None
    if call.ttl is not None and not 0 < call.ttl < math.inf:
        raise errors.Invalid(f"call {key}: ttl must be more than 0 seconds, not {call.ttl}")
    until = parent.deadline
    if call.ttl is not None:
        until = min(until, now + int(call.ttl * SECOND))
    return Task(
        id=record.keyed_id("child", f"{parent.id}/{key}"),
        agent=call.agent,
        owner=parent.owner,
        payload=payload,
        deadline=until,
        budget=budget,
        held=budget,
        max_attempts=services.config.max_attempts,
        fingerprint=_fingerprint(call),
        trace_id=parent.trace_id,
        traceparent=parent.traceparent,
        created_at=now,
        wake_at=orders.first_wake(services, until, now),
        op=services.new_id(),
        parent=parent.id,
        parent_key=key,
        depth=parent.depth + 1,
    )


def _fingerprint(call: Call) -> str:
    same = strictjson.compact([call.agent, call.payload, call.budgetCents])
    return hashlib.sha256(same.encode()).hexdigest()[:32]
