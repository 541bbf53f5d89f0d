"""Operations: what a task takes of Firestore, Pub/Sub and Cloud Run, and what that costs."""

from __future__ import annotations

import contextlib
import io
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from tests import emulation
from tests.bench import prices, scenarios, stage
from tests.bench.report import Figure, Options, Part, Target, at_most, progress
from tests.bench.stage import Stage

MONTH = 30 * 24 * 60  # minutes, a sweep each
HAPPY = {"writes": 3, "reads": 0, "publishes": 2, "requests": 3}  # at most
WAIT = "long wait, on top of the task"
CHILD = "one more child"


def part(options: Options) -> Part:
    """Figures are per task; dollars are for a million of them."""
    where = "on the wire to Google's emulators" if options.google else "at the embedded backend"
    with tempfile.TemporaryDirectory() as folder, contextlib.redirect_stdout(io.StringIO()):
        with _stage(options, Path(folder)) as made:
            each = {name: scenarios.counts(made, each) for name, each in scenarios.EACH.items()}
            each[CHILD] = scenarios.child(made)
            waited = scenarios.counts(made, scenarios.awaited)
            each[WAIT] = scenarios.less(waited, each["plain task"])
            cpu = _cpu(made, 50 if options.quick else 500)
        busy = _busy_account(options, Path(folder))
    plain = each.pop("plain task")
    figures = [
        *(
            _figure(f"plain task: {name}", plain[name], at_most(most))
            for name, most in HAPPY.items()
        ),
        Figure(
            name="plain task: core dollars per million",
            value=prices.dollars(plain),
            unit="$",
            target=at_most(4.1),
            note=f"{_said(plain)}; prices of {prices.DATE}",
        ),
        *_apart(cpu),
        *busy,
        *(_dollars(name, counts) for name, counts in each.items()),
        *(_dollars_of_others(name, value) for name, value in prices.OTHERS.items()),
    ]
    about = f"counted {where}, the real functions in one process; a refused write counts as one"
    details = {"plain task": dict(plain), **{name: dict(counts) for name, counts in each.items()}}
    return Part(name="operations", about=about, figures=figures, details=details)


@contextmanager
def _stage(options: Options, folder: Path, **environ: str) -> Iterator[Stage]:
    if not options.google:
        with stage.embedded(folder, **environ) as made:
            yield made
        return
    with emulation.running(folder / "emulators") as layout, stage.google(layout, **environ) as made:
        yield made


def _busy_account(options: Options, folder: Path) -> list[Figure]:
    """Writes and reads a task, those that settle the purses in the end included."""
    tasks, life = (200, 5) if options.quick else (1000, 60)
    with _stage(options, folder, PURSE_SECONDS=str(life)) as made:
        progress(f"{tasks} tasks on one account")
        spent = scenarios.counts(made, lambda stage: scenarios.account(stage, tasks))
        progress(f"{life} s until their purses are settled")
        time.sleep(life + 1)
        settled = scenarios.counts(made, scenarios.sweep)
    return [
        Figure(
            name=f"busy account: {name} a task",
            value=(spent[name] + settled[name]) / tasks,
            # Of 200 tasks, purses that begin small and double take a larger share.
            target=None if options.quick else at_most(most),
            note=f"{spent[name]} in {tasks} tasks, {settled[name]} to settle their purses",
        )
        for name, most in (("writes", 3.05), ("reads", 0.05))
    ]


def _cpu(made: Stage, tasks: int) -> float:
    """Seconds of this process's CPU a plain task: its functions, and the test client."""
    scenarios.plain(made)
    began = time.process_time()
    for _ in range(tasks):
        scenarios.plain(made)
    return (time.process_time() - began) / tasks


def _apart(cpu: float) -> list[Figure]:
    """What comes to the core dollars."""
    return [
        Figure(
            name="plain task: deleted in the end, dollars per million",
            value=prices.dollars({"deletes": 1}),
            unit="$",
            note="Firestore's TTL policy, a delete a task",
        ),
        Figure(
            name="plain task: CPU, dollars per million",
            value=cpu * prices.VCPU_SECOND * prices.MILLION,
            unit="$",
            note=f"{cpu * 1000:.1f} ms of CPU here for its three requests, if instances are full;"
            " one request at a time pays its waits too",
        ),
    ]


def _figure(name: str, value: float, target: Target | None = None) -> Figure:
    return Figure(name=name, value=value, target=target)


def _dollars(name: str, counts: Counter[str]) -> Figure:
    note = _said(counts)
    if name == "sweep of nothing":
        month = MONTH * prices.dollars(counts) / prices.MILLION
        note += f"; one a minute comes to {month:.2f} dollars a month, before the free tier"
    return Figure(
        name=f"{name}: dollars per million", value=prices.dollars(counts), unit="$", note=note
    )


def _dollars_of_others(name: str, value: float) -> Figure:
    return Figure(name=f"for comparison: {name}", value=value, unit="$", note="list price")


def _said(counts: Mapping[str, int]) -> str:
    """The counts in words."""
    named = ("writes", "reads", "commits", "queries", "listens", "publishes", "pushes", "requests")
    words = [f"{counts[name]} {name}" for name in named if counts.get(name)]
    return f"{', '.join(words)}; {counts.get('bytes', 0)} bytes published"
