"""`emulators/up --break`: breaks the local cloud as the console does, and judges what held."""

from __future__ import annotations

import json
import time
import urllib.error
import urllib.request
import uuid
from collections import Counter
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

from emulators.demo import TERMINAL

PATIENCE = 60.0  # seconds until what must happen has happened
LOOK = 0.1  # seconds between two looks
CROWD, ROOM, COST = 200, 37, 5  # tasks at once, tasks that fit, cents of each
AT_ONCE = 32  # requests under way
Task = Mapping[str, Any]
Found = TypeVar("Found")


class Breaker:
    """Each method breaks something, tells it in lines, and returns whether the promise held."""

    def __init__(self, gateway: str) -> None:
        self._gateway = gateway

    def kill(self) -> bool:
        """kill -9 of the agent while it works on a task."""
        task = self._running({"seconds": 20})
        self._call("POST", "/local/kill/demo")
        print("  attempt 1 was at work; its process is gone")
        self._until(task, _lapsed)
        task = self._until(task, _ended)
        good = (task["status"], task["attempts"], task["costCents"]) == ("succeeded", 2, 2 * COST)
        return _judged(task, "nothing is lost; each attempt is charged once", good)

    def twice(self) -> bool:
        """The same message, pushed twice at the same moment."""
        task = self._dispatched({"seconds": 1}, **self._faulty("duplicate", 1))
        self._left_alone(task, 1)
        task = self._until(task, _ended)
        return _judged(task, "one copy is left alone; one attempt, one charge", _once(task))

    def acks(self) -> bool:
        """The work is done, but its acknowledgement is lost, two times."""
        task = self._dispatched({"seconds": 0}, **self._faulty("drop_ack", 2))
        ended = self._until(task, _ended)
        self._left_alone(task, 2)
        task = self._until(task, _ended)
        good = _once(task) and task["endedAt"] == ended["endedAt"]
        return _judged(task, "delivered three times; no second run, no second charge", good)

    def freeze(self) -> bool:
        """The agent's process stands still past its lease, and wakes up as if nothing had been."""
        task = self._running({"seconds": 6, "silent": True})
        self._call("POST", "/local/freeze/demo")
        try:
            self._until(task, _lapsed)
        finally:
            self._call("POST", "/local/thaw/demo")
        [late] = self._logged(task, "late result", 1)
        print(f"  the zombie woke up and reported its result; refused: {late['code']}")
        task = self._until(task, _ended)
        good = task["attempts"] == 2 and task["result"]["by"] == "attempt 2"
        return _judged(task, "the fenced attempt changes nothing", good)

    def overspend(self) -> bool:
        """An account with room for 37 tasks gets 200 at once."""
        account = f"crowd-{uuid.uuid4().hex[:8]}"
        limit = {"limitCents": ROOM * COST, "window": "total"}
        self._call("PUT", f"/account/{account}", limit)
        order = {"agent": "light", "payload": None, "ttlSeconds": 60, "budgetCents": COST}
        with ThreadPoolExecutor(AT_ONCE) as crowd:
            answers = crowd.map(self._status, [{**order, "account": account}] * CROWD)
        came = Counter(answers)
        stands = self._call("GET", f"/account/{account}")
        gone = stands["spentCents"] + stands["heldCents"]
        print(f"  {CROWD} dispatches at once: {came[202]} admitted, {came[402]} refused with 402")
        good = came == {202: ROOM, 402: CROWD - ROOM} and gone <= ROOM * COST
        return _told(f"{gone:g} ¢ spent or held of {ROOM * COST} ¢, not a cent over", good)

    def _faulty(self, kind: str, times: int) -> dict[str, str]:
        """Has a fault strike one task to come; returns what it is dispatched with."""
        trace = {"traceId": uuid.uuid4().hex}
        self._call("POST", "/local/fault/demo", {"kind": kind, "times": times, **trace})
        return trace

    def _dispatched(self, payload: Any, **rest: Any) -> Task:
        order = {"agent": "demo", "payload": payload, "ttlSeconds": 120, "budgetCents": 20}
        task: Task = self._call("POST", "/dispatch", {**order, **rest})
        print(f"  dispatched {task['taskId']} to demo")
        return task

    def _running(self, payload: Any) -> Task:
        return self._until(self._dispatched(payload), lambda task: task["status"] != "queued")

    def _until(self, task: Task, holds: Callable[[Task], bool]) -> Task:
        """The task, once something holds for it."""
        path = f"/task/{task['taskId']}"
        found: Task = _awaited(lambda: self._call("GET", path), holds)
        return found

    def _left_alone(self, task: Task, times: int) -> None:
        for line in self._logged(task, "left alone", times):
            print(f"  a delivery was left alone: {line['code']}")

    def _logged(self, task: Task, event: str, times: int) -> list[Mapping[str, Any]]:
        """The log lines of an event of the task, once there are so many."""

        def lines() -> list[Mapping[str, Any]]:
            found = self._call("GET", f"/local/log/{task['taskId']}")["log"]
            return [line for line in found if line["event"] == event]

        return _awaited(lines, lambda found: len(found) >= times)[:times]

    def _status(self, order: Mapping[str, Any]) -> int:
        """The HTTP status of a dispatch."""
        try:
            self._call("POST", "/dispatch", order)
        except urllib.error.HTTPError as refused:
            refused.close()
            return refused.code
        return 202

    def _call(self, method: str, path: str, body: Any = None) -> Any:
        """The JSON of the answer."""
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(self._gateway + path, data, method=method)
        if data:
            request.add_header("Content-Type", "application/json")
        with urllib.request.urlopen(request, timeout=PATIENCE) as answer:
            return json.load(answer)


ACTIONS: Mapping[str, Callable[[Breaker], bool]] = {
    action.__name__: action
    for action in (Breaker.kill, Breaker.twice, Breaker.acks, Breaker.freeze, Breaker.overspend)
}


def parse(text: str) -> list[str]:
    """The names of the actions in `kill,freeze` or `all`; raises ValueError with the mend."""
    names = list(ACTIONS) if text == "all" else text.split(",")
    if unknown := [name for name in names if name not in ACTIONS]:
        raise ValueError(f"{unknown[0]!r}: write all, or some of {','.join(ACTIONS)}")
    return names


def run(gateway: str, names: list[str]) -> bool:
    """Breaks it in each of these ways, one after the other; returns whether all promises held."""
    held = True
    for name in names:
        print(f"\n{name}: {ACTIONS[name].__doc__}", flush=True)
        try:
            held &= ACTIONS[name](Breaker(gateway))
        except (TimeoutError, urllib.error.URLError) as error:
            held = _told(f"it came to no end: {error}", False)
    return held


def _awaited(look: Callable[[], Found], holds: Callable[[Found], bool]) -> Found:
    end = time.monotonic() + PATIENCE
    while not holds(found := look()):
        if time.monotonic() > end:
            raise TimeoutError(f"not within {PATIENCE:g} s")
        time.sleep(LOOK)
    return found


def _judged(task: Task, promise: str, good: bool) -> bool:
    print(f"  {task['status']} by attempt {task['attempts']}, {task['costCents']:g} ¢ charged")
    return _told(promise, good)


def _told(promise: str, good: bool) -> bool:
    print(f"  {'held' if good else 'BROKEN'}: {promise}", flush=True)
    return good


def _ended(task: Task) -> bool:
    return task["status"] in TERMINAL


def _lapsed(task: Task) -> bool:
    return any(event["event"] == "attempt_failed" for event in task["timeline"])


def _once(task: Task) -> bool:
    return (task["attempts"], task["costCents"]) == (1, COST)
