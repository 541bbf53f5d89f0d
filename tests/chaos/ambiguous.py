"""Ambiguous outcomes: each call of a task's way fails once, with each code, before or after it took
effect; whatever that is, one task comes of it, and no cent is charged twice."""

from __future__ import annotations

import asyncio
import itertools
import random
import re
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
import grpc

from shared.tasks import record
from tests.chaos import auditing, cloud, history, journal, plans, report
from tests.chaos.proxy import Call, Fault, When

CODES = [code for code in grpc.StatusCode if code is not grpc.StatusCode.OK]
WHENS: tuple[When, ...] = ("before", "after", "late")
LATE = 0.3  # seconds
SAMPLE = {"brief": 40, "short": 100}  # cases; in the full form all, and
PAIRS = 240  # random pairs of faults
AT_ONCE = 24
PATIENCE = 60.0  # seconds a case may take
PAUSE = 0.2  # seconds between two tries of a client
COST = 50_000  # micros an attempt costs
NAMED = re.compile(rb"(?:accounts|ledgers)/(case-\w+)|([0-9a-f]{32})")
SHARED = ("RunQuery", "RunAggregationQuery")  # calls that belong to no task: of the sweep
ENVIRONMENT = {"LEASE_SECONDS": "3", "PURSE_SECONDS": "3", "PUBLISH_GRACE_SECONDS": "3"}


@dataclass
class Case:
    """One task, and what befalls the calls that are about it, by their order."""

    name: str
    faults: Mapping[int, Fault]
    calls: list[str] = field(default_factory=list)
    struck: list[str] = field(default_factory=list)
    answers: Counter[int] = field(default_factory=Counter)

    @property
    def task_id(self) -> str:
        """Known before it is dispatched, by its key."""
        return record.keyed_id("", "worker", self.name)

    def __str__(self) -> str:
        return f"{self.name} ({', '.join(self.struck) or 'no fault'})"


class Plan:
    """Finds the case that a call is about; calls about none fail in turns."""

    def __init__(self, cases: list[Case]) -> None:
        self._lock = threading.Lock()
        self._cases = {case.name.encode(): case for case in cases}
        self._cases |= {case.task_id.encode(): case for case in cases}
        faults = map(_fault, itertools.cycle(itertools.product(CODES, WHENS)))
        self._turns = (turn for fault in faults for turn in (None, None, fault))
        self.shared = 0

    def __call__(self, call: Call) -> Fault | None:
        with self._lock:
            if call.method in SHARED:
                fault = next(self._turns)
                self.shared += fault is not None
                return fault
            found = (a or b for a, b in NAMED.findall(call.request))
            case = next((self._cases[name] for name in found if name in self._cases), None)
            return self._of(case, call) if case else None

    @staticmethod
    def _of(case: Case, call: Call) -> Fault | None:
        case.calls.append(plans.kind(call))
        fault = case.faults.get(len(case.calls) - 1)
        if fault:
            case.struck.append(f"{fault.code.name} {fault.when} {case.calls[-1]}")
        return fault


def part(options: report.Options) -> report.Part:
    """Runs all cases in the long form, a sample in the short one; on Google's emulators alone."""
    with tempfile.TemporaryDirectory(prefix="ambiguous-") as folder:
        return asyncio.run(_Ambiguous(Path(folder), options).run())


class _Ambiguous:
    def __init__(self, folder: Path, options: report.Options) -> None:
        self._folder, self._options = folder, options
        self._dice = random.Random(options.seed)
        self._violations: list[str] = []
        self._places = asyncio.Semaphore(AT_ONCE)

    async def run(self) -> report.Part:
        with cloud.running(
            self._folder, google=True, emulators=self._options.emulators, env=ENVIRONMENT
        ) as here:
            assert here.firestore
            assert here.pubsub
            async with aiohttp.ClientSession(here.url) as self._session:
                for name in ("case-warm", "case-0"):  # the second one is served by warm processes
                    plain = Case(name, {})
                    here.firestore.plan = here.pubsub.plan = Plan([plain])
                    await self._case(plain)
                cases = self._cases(len(plain.calls))
                plan = here.firestore.plan = here.pubsub.plan = Plan(cases)
                await asyncio.gather(*map(self._case, cases))
            here.relent()
            await self._rested(here)
            self._violations += await asyncio.to_thread(auditing.at_rest, here)
        return self._report(here, plain, cases, plan.shared)

    def _cases(self, steps: int) -> list[Case]:
        """Every fault at every step, singly; then pairs of them at random."""
        each = [
            {step: _fault(kind)}
            for step, kind in itertools.product(range(steps), itertools.product(CODES, WHENS))
        ]
        pairs = [
            {first: self._any(), second: self._any()}
            for first, second in (self._dice.sample(range(steps), 2) for _ in range(PAIRS))
        ]
        chosen, form = each + pairs, self._options.form
        if form != "full":
            chosen = self._dice.sample(chosen, SAMPLE[form])
        return [Case(f"case-{number}", faults) for number, faults in enumerate(chosen, 1)]

    def _any(self) -> Fault:
        return _fault((self._dice.choice(CODES), self._dice.choice(WHENS)))

    async def _case(self, case: Case) -> None:
        """Dispatches until there is a 202, then waits for the end."""
        async with self._places:
            give_up = time.monotonic() + PATIENCE
            await self._insist(case, give_up, "PUT", f"/account/{case.name}", {"limitCents": 1000})
            body = {
                "agent": "worker",
                "payload": {},
                "account": case.name,
                "budgetCents": 100,
                "ttlSeconds": 600,
                "idempotencyKey": case.name,
            }
            task = await self._insist(case, give_up, "POST", "/dispatch", body)
            while task and task["status"] in record.LIVE and time.monotonic() < give_up:
                await asyncio.sleep(PAUSE)
                path = f"/task/{task['taskId']}?wait=10"
                task = await self._insist(case, give_up, "GET", path, None) or task
            if not task or task["status"] != "succeeded":
                self._violations.append(f"{case}: {task or 'never accepted'}")

    async def _insist(
        self, case: Case, give_up: float, method: str, path: str, body: Any
    ) -> dict[str, Any] | None:
        while time.monotonic() < give_up:
            async with self._session.request(method, path, json=body) as answer:
                case.answers[answer.status] += 1
                if answer.status in (200, 202):
                    told: dict[str, Any] = await answer.json()
                    return told
            await asyncio.sleep(PAUSE)
        return None

    async def _rested(self, here: cloud.Cloud) -> None:
        left = await auditing.drained(here, PATIENCE)
        if left:
            self._violations.append(f"did not come to rest: {left}")

    def _report(
        self, here: cloud.Cloud, plain: Case, cases: list[Case], shared: int
    ) -> report.Part:
        past, struck = here.history(), Counter(kind for case in cases for kind in case.struck)
        self._violations += [*past.violations, *history.at_rest(past)]
        self._violations += journal.doubtful(here.journal, past.tasks)
        for case in cases:
            task = past.tasks.get(case.task_id)
            if task is None or task.charged != COST * task.attempts:
                self._violations.append(f"{case}: {task}")
        answers = sum((case.answers for case in cases), Counter[int]())
        return report.Part(
            name="ambiguous outcomes, google",
            claim="each call fails with each code, before or after its effect: nothing is doubled",
            figures={
                "tasks": len(cases),
                "calls on a task's way": len(plain.calls),
                "codes": len(CODES),
                "faults": struck.total() + shared,
                "different ones": len(struck),
                "attempts": history.ended(past).attempts,
                "commits": past.commits,
                "failed answers": sum(
                    times for status, times in answers.items() if status not in (200, 202)
                ),
            },
            violations=self._violations,
            unexercised=[] if struck else ["faults"],
            replay=report.replay("ambiguous", self._options),
        )


def _fault(kind: tuple[grpc.StatusCode, When]) -> Fault:
    code, when = kind
    return Fault(when=when, code=code, delay=LATE if when == "late" else 0.0)
