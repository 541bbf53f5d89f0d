"""CPU per request of each function, against hello world's."""

from __future__ import annotations

from statistics import median
from typing import Any

from emulators import topology
from tests.bench import backend, report, served
from tests.bench.report import Figure, Options, Part
from tests.bench.served import Served, Visit
from tests.bench.visits import Visits, environments

TARGETS = {"dispatch": 4.0}
PROJECT = "bench-cpu"
BLOCKS = 4  # of requests, in turn with hello world's
WARM = 200  # requests before any is counted: what a process does once is not a request's
FIRST = 1_000  # of dispatch, the first: else the emulators compile their own code beside it


def part(options: Options) -> Part:
    """Ratios of user and system time, over real HTTP, in turn with hello world."""
    requests = 100 if options.quick else 400
    figures: list[Figure] = []
    details: dict[str, Any] = {}
    with (
        backend.running(google=options.google) as here,
        environments(here, PROJECT) as deployed,
    ):
        bundles = served.bundles(here.folder / "bundles")
        visits = Visits(here, PROJECT)
        with Served(here, "hello", bundles["hello"], deployed["hello"]) as hello:
            spend(hello, visits.make("hello", WARM))
            for name in sorted(topology.functions(), key=lambda each: (each not in TARGETS, each)):
                report.progress(f"CPU of {name}")
                with Served(here, name, bundles[name], deployed[name]) as process:
                    spend(process, visits.make(name, FIRST if name in TARGETS else WARM))
                    ours, theirs = [], []
                    for _ in range(BLOCKS):
                        theirs.append(spend(hello, visits.make("hello", requests // BLOCKS)))
                        ours.append(spend(process, visits.make(name, requests // BLOCKS)))
                details[name] = {"milliseconds": ours, "helloMilliseconds": theirs}
                figures.append(_figure(name, ours, theirs))
    where = "Google's emulators" if options.google else "the embedded backend"
    about = (
        f"user and system time a request over {requests} requests on one connection, on {where},"
        " with THREADS as deployed, in turn with hello world with the framework's own"
    )
    return Part(name="CPU ÷ hello world", about=about, figures=figures, details=details)


def spend(process: Served, visits: list[Visit]) -> float:
    """Milliseconds of CPU that the process spends on each of these visits."""
    connection = process.connect()
    before = process.cpu()
    for visit in visits:
        process.visit(visit, connection)
    spent = process.cpu() - before
    connection.close()
    return spent / len(visits) * 1000


def _figure(name: str, ours: list[float], theirs: list[float]) -> Figure:
    ratio = median(a / b for a, b in zip(ours, theirs, strict=True))
    target = report.at_most(TARGETS[name]) if name in TARGETS else None
    note = f"{median(ours):.2f} ms against {median(theirs):.2f}"
    return Figure(name=name, value=ratio, unit="×", target=target, note=note)
