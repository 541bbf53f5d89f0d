"""The soak: real processes under load, killed and failing; nothing may be lost or overspent."""

from __future__ import annotations

import asyncio
import random
import sys
import tempfile
import time
from collections import Counter
from collections.abc import AsyncIterator, Coroutine, Mapping
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

from aiohttp import web

from shared.storage.store import Filter, Query
from shared.tasks import record
from shared.tasks.record import Task
from tests.chaos import auditing, cloud, history, journal, load, mishaps, report
from tests.chaos.history import History

TASKS = {"brief": 40, "short": 1_000, "full": 10_000}
PURSE = 2.0  # seconds
ENVIRONMENT = {
    "LEASE_SECONDS": "3",
    "LOG_LEVEL": "INFO",
    "PUBLISH_GRACE_SECONDS": "1",
    "PURSE_SECONDS": str(PURSE),
    "CALLBACK_SECRETS": "whsec_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=",
}
BRIDGE = "duplicate=0.2,drop-ack=0.1,delay=0.05,reorder=0.05"
BRIDGED = {
    "duplicate": "duplicated pushes",
    "drop_ack": "dropped acknowledgements",
    "delay": "delayed pushes",
    "reorder": "reordered pushes",
}
LIVES = 0.3, 2.0  # seconds between two kills
DRAIN = 600.0  # seconds to drain in
PROGRESS = 30.0  # seconds between two lines about it
REDRIVEN = 20  # failed tasks that are dispatched again


def part(options: report.Options) -> report.Part:
    """Runs the soak; its violations are whatever was lost, doubled or overspent."""
    with tempfile.TemporaryDirectory(prefix="soak-") as folder:
        return asyncio.run(_Soak(Path(folder), options).run())


class _Soak:
    def __init__(self, folder: Path, options: report.Options) -> None:
        count = options.tasks or TASKS[options.form]
        self._folder, self._options, self._seed, self._count = folder, options, options.seed, count
        rare = max(20, count // 40)
        self._mishaps = mishaps.Mishaps(
            seed=options.seed, rate=0.05, unlucky=rare, laggard=rare, lag=1.25 * PURSE
        )
        self._dice = random.Random(f"{options.seed} kills")
        self._violations: list[str] = []
        self._told: Counter[str] = Counter()  # webhooks by task
        self._killed: Counter[str] = Counter()

    async def run(self) -> report.Part:
        with cloud.running(
            self._folder,
            google=self._options.google,
            emulators=self._options.emulators,
            mishaps=self._mishaps,
            bridge=f"{BRIDGE},seed={self._seed}",
            env=ENVIRONMENT,
        ) as here:
            runner, address = await self._listen()
            clients = load.Clients(here.url)
            await clients.open_accounts(load.limits(self._count))
            began = time.monotonic()
            here.begin(self._mishaps)
            async with _beside(self._kill(here), self._progress(clients)):
                orders = load.orders(self._seed, address)
                await clients.dispatch(orders, self._count, self._seed)
                await clients.redrive(await asyncio.to_thread(_failed, here))
            here.relent()
            loaded = time.monotonic() - began
            left = await auditing.drained(here, DRAIN)
            drained = time.monotonic() - began - loaded
            self._violations += [f"not at rest after {DRAIN:g} s: {left}"] if left else []
            self._violations += await asyncio.to_thread(auditing.at_rest, here)
            await runner.cleanup()
        return self._report(here, clients, loaded, drained)

    async def _listen(self) -> tuple[web.AppRunner, str]:
        """The receiver of the callbacks, and its address."""
        app = web.Application()
        app.router.add_post("/", self._receive)
        runner = web.AppRunner(app)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        port = runner.addresses[0][1]
        return runner, f"http://127.0.0.1:{port}/"

    async def _receive(self, request: web.Request) -> web.Response:
        told = await request.json()
        self._told[told["data"]["taskId"]] += 1
        return web.Response(status=204)

    async def _kill(self, here: cloud.Cloud) -> None:
        functions = sorted(here.cluster.layout.internal)
        while True:
            await asyncio.sleep(self._dice.uniform(*LIVES))
            victim = self._dice.choice(functions)
            if await asyncio.to_thread(here.serves, victim):  # not one that is just starting
                await asyncio.to_thread(here.cluster.kill, victim)
                self._killed[victim] += 1

    async def _progress(self, clients: load.Clients) -> None:
        began = time.monotonic()
        while True:
            await asyncio.sleep(PROGRESS)
            told = f"{len(clients.accepted):,} of {self._count:,} tasks accepted"
            told += f", {self._killed.total()} kills, {time.monotonic() - began:.0f} s"
            print(f"soak: {told}", file=sys.stderr, flush=True)

    def _report(
        self, here: cloud.Cloud, clients: load.Clients, loaded: float, drained: float
    ) -> report.Part:
        past, events, struck = here.history(), here.events(), here.struck()
        self._violations += [*clients.wrong, *past.violations, *history.at_rest(past)]
        lost = _lost(past, clients.accepted)
        twice = [task.id for task in past.tasks.values() if task.charged > _most(task)]
        self._violations += lost + [f"tasks/{id_}: charged too much" for id_ in twice]
        self._violations += _untold(past, self._told)
        self._violations += journal.doubtful(here.journal, past.tasks)
        backend = "google" if self._options.google else "embedded"
        bridge = {shown: events[name] for name, shown in BRIDGED.items()}
        interesting = _interesting(events, struck, clients.answers)
        ended = history.ended(past)
        return report.Part(
            name=f"soak, {backend}",
            claim="nothing lost, nothing charged twice, no limit passed at any commit",
            figures={
                "accepted": len(clients.accepted),
                "tasks with their children": len(past.tasks),
                "lost": len(lost),
                "charged twice": len(twice),
                "micros over any limit at any commit": past.over,
                "micros held at the end": history.held(past),
                "attempts": ended.attempts,
                "commits": past.commits,
                "kills": self._killed.total(),
                **dict(sorted(struck.items())),
                **bridge,
                **interesting,
                **dict(ended.statuses),
                "s under load": round(loaded, 1),
                "s to drain": round(drained, 1),
            },
            violations=self._violations,
            unexercised=[name for name, times in {**bridge, **interesting}.items() if not times],
            replay=report.replay("soak", self._options),
        )


@asynccontextmanager
async def _beside(*coroutines: Coroutine[Any, Any, None]) -> AsyncIterator[None]:
    """Within it they run, without end; raises what one of them raised."""
    tasks = [asyncio.create_task(each) for each in coroutines]
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task


def _failed(here: cloud.Cloud) -> list[str]:
    """Tasks to redrive."""
    ends: list[Filter] = [("status", "in", ["failed", "expired"]), ("open", "==", False)]
    query = Query(collection=record.COLLECTION, where=ends, limit=REDRIVEN * 2)
    found = map(record.from_document, here.services().store.query(query))
    return [task.id for task in found if task and not task.parent][:REDRIVEN]


def _most(task: Task) -> int:
    """As `load.most`; a child of the worker's is the agent `light`."""
    return load.CHILD * 10_000 * task.attempts if task.parent else load.most(task)


def _lost(past: History, accepted: Mapping[str, str]) -> list[str]:
    ended = {task.id for task in past.tasks.values() if task.terminal}
    return [f"lost: {key}, task {id_}" for key, id_ in accepted.items() if id_ not in ended]


def _untold(past: History, told: Mapping[str, int]) -> list[str]:
    return [
        f"tasks/{task.id}: its callback was never made"
        for task in past.tasks.values()
        if task.callback_url and not told[task.id]
    ]


def _interesting(
    events: Mapping[str, int], struck: Mapping[str, int], answers: Mapping[str, int]
) -> dict[str, Any]:
    """What the soak is there to provoke."""
    return {
        "fences hit": events["late result fenced"] + events["fenced"],
        "results too late": events["late result task_ended"],
        "replays": answers["replayed"],
        "dead letters": events["dead letter"],
        "ambiguous commits": struck[mishaps.AMBIGUOUS],
        "lapsed purses": events["lapsed purse"],
        "lapsed leases": events["requeued"],
        "refused for money": answers["402"],
    }
