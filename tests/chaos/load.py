"""The load: clients that dispatch, repeat themselves, cancel and redrive, and never give up."""

from __future__ import annotations

import asyncio
import itertools
import json
import random
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import aiohttp

from shared.tasks.record import Task

CLIENTS = 48  # at once: most of them wait, for a process that starts or a purse that expires
TRIES = 200  # of one request
PAUSE = 0.3  # seconds between two
PATIENCE = 20.0  # seconds one request may take
REFUSALS = 3  # after so many a client takes no for an answer
ACCOUNTS = {"wide": 6, "middle": 3, "tight": 1}  # how often
COST, CHILD = 5, 5  # cents: of an attempt, and what a child may cost
WORK: Mapping[str, tuple[float, dict[str, Any]]] = {  # how often, and what
    "plain": (0.55, {}),
    "slow": (0.09, {"sleep": 0.2}),
    "dozing": (0.03, {"doze": [4, 2.5]}),  # beyond the first lease, not the second
    "failing once": (0.1, {"fail": 1}),
    "failing": (0.02, {"fail": 99}),
    "given up": (0.03, {"give_up": True}),
    "deadly": (0.01, {"die": True}),
    "in steps": (0.08, {"steps": 2}),
    "charging": (0.05, {"charge": 4}),
    "calling": (0.05, {"calls": 2}),
}


@dataclass(frozen=True)
class Order:
    """One dispatch."""

    body: Mapping[str, Any]
    twice: bool  # by two clients at once
    cancel: bool

    @property
    def key(self) -> str:
        """Its idempotency key."""
        return str(self.body["idempotencyKey"])


def limits(count: int) -> dict[str, int]:
    """The accounts' limits in cents: with so many tasks two of them run out of money."""
    return {"wide": 10_000_000, "middle": max(count, 300), "tight": max(count // 5, 100)}


def most(task: Task) -> int:
    """What the task may have been charged, in micros, if no attempt was charged twice."""
    payload = json.loads(task.payload)
    again = COST + payload.get("steps", 0) + payload.get("charge", 0)
    return (task.attempts * again + payload.get("calls", 0) * CHILD) * 10_000


def orders(seed: int, callback: str) -> Iterator[Order]:
    """The same without end for the same seed; `callback` is where some ask to be told of theirs."""
    dice = random.Random(f"{seed} load")
    kinds = list(WORK.values())
    for number in itertools.count():
        [(_, payload)] = dice.choices(kinds, [each[0] for each in kinds])
        body: dict[str, Any] = {
            "agent": "worker",
            "payload": payload,
            "budgetCents": dice.choice([20, 30, 50]),
            "ttlSeconds": dice.choice([1, 2]) if dice.random() < 0.02 else 1800,
            "idempotencyKey": f"{seed}-{number}",
        }
        if dice.random() < 0.6:
            [body["account"]] = dice.choices(list(ACCOUNTS), list(ACCOUNTS.values()))
        if dice.random() < 0.05:
            body["callbackUrl"] = callback
        yield Order(body, dice.random() < 0.05, dice.random() < 0.03)


@dataclass
class Clients:
    """What the clients were told."""

    url: str
    accepted: dict[str, str] = field(default_factory=dict)  # task id by key
    answers: Counter[str] = field(default_factory=Counter)
    wrong: list[str] = field(default_factory=list)

    async def open_accounts(self, limits: Mapping[str, int]) -> None:
        """Makes the accounts; raises if that does not succeed."""
        async with self._session() as session:
            for account, limit in limits.items():
                await self._insist(session, "PUT", f"/account/{account}", {"limitCents": limit})

    async def dispatch(self, orders: Iterator[Order], count: int, seed: int) -> None:
        """Sends orders, and what follows from them, until so many are accepted."""
        waiting = itertools.takewhile(lambda _: len(self.accepted) < count, orders)
        async with self._session() as session, asyncio.TaskGroup() as group:
            for number in range(CLIENTS):
                dice = random.Random(f"{seed} client {number}")
                group.create_task(self._client(session, waiting, dice))

    async def redrive(self, task_ids: list[str]) -> None:
        """Redrives tasks that have failed, each by two clients at once."""
        async with self._session() as session:
            for task_id in task_ids:
                path = f"/task/{task_id}/redrive"
                first, second = await asyncio.gather(
                    *(self._insist(session, "POST", path, {"ttlSeconds": 600}) for _ in range(2))
                )
                if first[0] == second[0] == 202:
                    self._note(f"redrive-{task_id}", first[1])
                    self._note(f"redrive-{task_id}", second[1])

    def _session(self) -> aiohttp.ClientSession:
        timeout = aiohttp.ClientTimeout(total=PATIENCE)
        return aiohttp.ClientSession(self.url, timeout=timeout)

    async def _client(
        self, session: aiohttp.ClientSession, waiting: Any, dice: random.Random
    ) -> None:
        for order in waiting:
            copies = 2 if order.twice else 1
            asked = (self._ordered(session, order) for _ in range(copies))
            task_id, *_ = await asyncio.gather(*asked)
            if order.cancel and task_id:
                await asyncio.sleep(dice.uniform(0, 1))
                await self._cancel(session, task_id)

    async def _cancel(self, session: aiohttp.ClientSession, task_id: str) -> None:
        """A task that no commit can change cannot be cancelled either: it is left alone then."""
        try:
            await self._insist(session, "POST", f"/task/{task_id}/cancel", {}, tries=20)
        except RuntimeError:
            self.answers["not cancelled"] += 1

    async def _ordered(self, session: aiohttp.ClientSession, order: Order) -> str | None:
        """The task's id; None where the account has no room for it."""
        for _ in range(REFUSALS):
            status, task = await self._insist(session, "POST", "/dispatch", order.body)
            if status == 202:
                return self._note(order.key, task)
            if status != 402:
                self.wrong.append(f"dispatch {order.key}: {status} {task}")
                return None
            if "retryAfter" not in task:
                break
            await asyncio.sleep(task["retryAfter"])
        self.answers["taken for a no"] += 1
        return None

    def _note(self, key: str, task: Mapping[str, Any]) -> str:
        task_id: str = task["taskId"]
        if self.accepted.setdefault(key, task_id) != task_id:
            self.wrong.append(f"{key}: two tasks, {task_id} and {self.accepted[key]}")
        return task_id

    async def _insist(
        self,
        session: aiohttp.ClientSession,
        method: str,
        path: str,
        body: Any,
        tries: int = TRIES,
    ) -> tuple[int, Any]:
        """Asks until an answer comes that is not about a failure on the server's side."""
        last = ""
        for _ in range(tries):
            try:
                async with session.request(method, path, json=body) as answer:
                    self.answers[str(answer.status)] += 1
                    last = await answer.text()
                    if "Idempotent-Replayed" in answer.headers:
                        self.answers["replayed"] += 1
                    if answer.status < 500:
                        return answer.status, await answer.json(content_type=None)
            except (aiohttp.ClientError, TimeoutError, ValueError) as error:
                self.answers["no answer"] += 1
                last = repr(error)
            await asyncio.sleep(PAUSE)
        raise RuntimeError(f"{method} {path}: no answer after {tries} tries: {last}")
