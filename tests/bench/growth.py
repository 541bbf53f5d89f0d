"""Growth: what takes longer, and how much space, when there are a hundred times more tasks."""

from __future__ import annotations

import random
import sqlite3
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from statistics import median
from typing import Any

from tests.bench import backend, report, served
from tests.bench.backend import Backend
from tests.bench.population import OPERATIONS, Population
from tests.bench.report import Figure, Options, Part
from tests.bench.served import Served
from tests.bench.visits import Visits, environments

SIZES = (1_000, 10_000, 100_000)  # tasks
NOISE = report.at_most(1.25)  # of what must not grow
FLAT = ("get", "claim", "finish", "sweep of nothing")
ROUNDS = 200
REQUESTS = 20_000  # to one process, for its memory
LEAK = report.at_most(1.1)  # memory after all requests ÷ after a tenth of them
LANES = 4  # requests at once
PROJECT = "bench-growth"


def part(options: Options) -> Part:
    """Times as ratios to those with 1,000 tasks; the embedded file; a process's memory."""
    sizes = SIZES[:2] if options.quick else SIZES
    rounds = ROUNDS // 4 if options.quick else ROUNDS
    details: dict[str, Any] = {}
    with backend.running(google=False) as here:
        stores = _populations(here, sizes)
        _work(stores, rounds)
        figures = _figures("embedded", stores, details)
        figures += [_audits(stores, details), _file(here, sizes, details)]
    with backend.running(google=options.google) as here:
        if options.google and not options.quick:
            stores = _populations(here, SIZES[:2])
            _work(stores, rounds // 10)
            figures += _figures("the Firestore emulator", stores, details)
        requests = REQUESTS // 10 if options.quick else REQUESTS
        figures.append(_leak(here, requests, details))
    about = (
        f"medians with {sizes[-1]:,} tasks in the store ÷ with {sizes[0]:,}, in turn, in one"
        " process; 1% of the tasks are live, none is due; on the Firestore emulator, which looks"
        f" at every document for a query, only up to {SIZES[1]:,}, without targets, and not --quick"
    )
    return Part(name="growth", about=about, figures=figures, details=details)


def _populations(here: Backend, sizes: Sequence[int]) -> list[Population]:
    found = []
    for size in sizes:
        kind = "the Firestore emulator" if here.google else "embedded"
        report.progress(f"{kind}: filling a store with {size:,} tasks")
        found.append(Population(here.services(_project(size)), size))
    return found


def _project(size: int) -> str:
    return f"{PROJECT}-{size}"


def _work(stores: Sequence[Population], rounds: int) -> None:
    report.progress(f"{rounds} rounds of every operation")
    for _ in range(rounds):
        for store in random.sample(stores, len(stores)):
            store.work()


def _figures(kind: str, stores: Sequence[Population], details: dict[str, Any]) -> list[Figure]:
    figures = []
    for operation in OPERATIONS:
        times = {store.size: median(store.times[operation]) * 1000 for store in stores}
        details[f"{kind}: {operation}, ms"] = times
        figures.append(
            Figure(
                name=f"{operation}, {kind}",
                value=times[stores[-1].size] / times[stores[0].size],
                unit="×",
                target=NOISE if operation in FLAT and kind == "embedded" else None,
                note=_note("ms", times),
            )
        )
    return figures


def _audits(stores: Sequence[Population], details: dict[str, Any]) -> Figure:
    report.progress("audits")
    times = {store.size: store.audit() * 1000 for store in stores}
    details["embedded: audit, ms"] = times
    each = {size: spent / size for size, spent in times.items()}
    value = each[stores[-1].size] / each[stores[0].size]
    note = f"it reads all of them; {_note('ms', times)}"
    return Figure(name="audit, a task, embedded", value=value, unit="×", note=note)


def _file(here: Backend, sizes: Sequence[int], details: dict[str, Any]) -> Figure:
    """The size of the largest file; what its log still holds is written into it first."""
    taken: dict[int, float] = {}
    for size in sizes:
        path = Path(here.environment(_project(size))["EMBEDDED_PATH"])
        with closing(sqlite3.connect(path)) as connection:
            connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        taken[size] = path.stat().st_size / 1e6
    details["embedded: file, MB"] = taken
    largest = sizes[-1]
    note = f"{taken[largest] * 1000 / largest:.2f} kB a task; {_note('MB', taken)}"
    return Figure(
        name=f"embedded file, {largest:,} tasks", value=taken[largest], unit="MB", note=note
    )


def _note(unit: str, values: dict[int, float]) -> str:
    return ", ".join(f"{value:,.3g} {unit} with {size:,}" for size, value in values.items())


def _leak(here: Backend, requests: int, details: dict[str, Any]) -> Figure:
    """Whether one process of `dispatch` grows with the requests that it has answered."""
    report.progress(f"memory of dispatch over {requests:,} requests")
    megabytes: dict[int, float] = {}
    with environments(here, PROJECT) as deployed:
        source = served.bundles(here.folder / "bundles")["dispatch"]
        [visit] = Visits(here, PROJECT).make("dispatch", 1)
        with (
            Served(here, "dispatch", source, deployed["dispatch"]) as process,
            ThreadPoolExecutor(LANES) as lanes,
        ):
            for tenth in range(1, 11):
                share = requests // 10 // LANES
                done = [lanes.submit(process.repeat, visit, share) for _ in range(LANES)]
                for future in done:
                    future.result()
                megabytes[tenth * share * LANES] = process.memory() / 1e6
    details["memory of dispatch by requests, MB"] = megabytes
    (early, first), *_, (late, last) = megabytes.items()
    note = f"{last:.0f} MB after {late:,} requests, {first:.0f} after {early:,}"
    return Figure(name="memory of dispatch", value=last / first, unit="×", target=LEAK, note=note)
