"""Contention: many dispatches at once, through several processes, on a small account."""

from __future__ import annotations

import asyncio
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import aiohttp

from tests.chaos import cloud, history, report

CALLERS, ROOM = 200, 37  # tasks
DISPATCHERS = 4  # processes
BUDGET = 10  # cents
FATAL = 9  # the admission after which one dispatcher is killed
PAUSE = 0.2  # seconds until a caller asks again that got no answer
PATIENCE = 120.0  # seconds until all room must be taken
ENVIRONMENT = {
    "AGENTS": "nobody",  # no function has this name: the tasks stay in the queue
    "PURSE_SECONDS": "2",
    "PUBLISH_GRACE_SECONDS": "60",
}


def part(options: report.Options) -> report.Part:
    """Runs it; a 38th admission at any commit is a violation, and so is room that stays empty."""
    with tempfile.TemporaryDirectory(prefix="contention-") as folder:
        return asyncio.run(_Contention(Path(folder), options).run())


class _Contention:
    def __init__(self, folder: Path, options: report.Options) -> None:
        self._folder, self._options = folder, options
        self._admitted: list[str] = []
        self._refused = self._told_when = 0
        self._full = asyncio.Event()
        self._violations: list[str] = []

    async def run(self) -> report.Part:
        google = self._options.google
        with cloud.running(
            self._folder,
            google=google,
            emulators=self._options.emulators,
            env=ENVIRONMENT,
            only=("accounts", "dispatch", "sweep"),
            dispatchers=DISPATCHERS,
        ) as here:
            self._cluster = here.cluster
            self._urls = [here.cluster.function_url("dispatch")] + [
                here.cluster.function_url(f"dispatch_{n}") for n in range(2, DISPATCHERS + 1)
            ]
            async with aiohttp.ClientSession() as self._session:
                limit = {"limitCents": BUDGET * ROOM}
                async with self._session.put(f"{here.url}/account/tight", json=limit) as answer:
                    answer.raise_for_status()
                began = time.monotonic()
                await asyncio.gather(*(self._call(number) for number in range(CALLERS)))
                seconds = time.monotonic() - began
            past = here.history()
        return self._report(past, seconds)

    async def _call(self, number: int) -> None:
        """One caller: asks again when it was told to, until all room is taken, and then once."""
        give_up = time.monotonic() + PATIENCE
        last = False
        while time.monotonic() < give_up:
            status, answer = await self._dispatch(number)
            if status == 202:
                await self._enter(answer["taskId"])
                return
            if status >= 500:  # its dispatcher was killed
                await asyncio.sleep(PAUSE)
                continue
            if status != 402:
                self._violations.append(f"dispatch {number}: {status} {answer}")
                return
            self._refused += 1
            if last:
                return
            last = await self._paused(answer)
        self._violations.append(f"caller {number}: room was left, and it did not get in")

    async def _enter(self, task_id: str) -> None:
        """Counts an admission; one of them kills a dispatcher, with whatever its purse holds."""
        self._admitted.append(task_id)
        if len(self._admitted) == FATAL:
            await asyncio.to_thread(self._cluster.kill, "dispatch_2")
        if len(self._admitted) == ROOM:
            self._full.set()

    async def _paused(self, answer: Mapping[str, Any]) -> bool:
        """Waits as long as the refusal says; whether all room was taken by then."""
        seconds = answer.get("retryAfter")
        self._told_when += seconds is not None
        try:
            await asyncio.wait_for(self._full.wait(), seconds or PATIENCE)
        except TimeoutError:
            return False
        return True

    async def _dispatch(self, number: int) -> tuple[int, Any]:
        body = {
            "agent": "nobody",
            "account": "tight",
            "payload": None,
            "ttlSeconds": 3600,
            "budgetCents": BUDGET,
            "idempotencyKey": f"caller-{number}",
        }
        url = f"{self._urls[number % DISPATCHERS]}/dispatch"
        try:
            async with self._session.post(url, json=body) as answer:
                return answer.status, await answer.json(content_type=None)
        except aiohttp.ClientError:
            return 503, None

    def _report(self, past: history.History, seconds: float) -> report.Part:
        self._violations += past.violations
        admitted = len(set(self._admitted))
        if admitted != ROOM:
            self._violations.append(f"{admitted} were admitted, the account has room for {ROOM}")
        most = max(past.most.values(), default=0) // (BUDGET * 10_000)
        if most != ROOM:
            self._violations.append(f"at most {most} were admitted at one time, not {ROOM}")
        [ledger] = past.ledgers.values()
        return report.Part(
            name=f"contention, {'google' if self._options.google else 'embedded'}",
            claim=f"never more than {ROOM} admitted at any commit, and in the end exactly {ROOM}",
            figures={
                "callers": CALLERS,
                "dispatch processes": DISPATCHERS,
                "admitted": admitted,
                "most at any commit": most,
                "kills": 1,
                "refusals": self._refused,
                "with Retry-After": self._told_when,
                "open purses": len(ledger.purses),
                "commits": past.commits,
                "s until full": round(seconds, 1),
            },
            violations=self._violations,
            replay=report.replay("contention", self._options),
        )
