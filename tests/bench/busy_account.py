"""One busy account: dispatches per second on it against without one, and what its ledger takes."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import median
from typing import Any

from shared import ledgers
from shared.storage.store import Put
from tests.bench import backend, report, served
from tests.bench.report import Figure, Options, Part
from tests.bench.served import Served, Visit
from tests.bench.visits import ORDER, Visits, environments

PROJECT = "bench-busy"
TARGET = report.at_least(0.9)
LEAST = 4  # dispatches at once, also through one process
WARM = 100  # dispatches before any is counted, of either kind
LIMIT = 10**12  # micros
ROUNDS = ((8, 320), (4, 120))  # rounds and dispatches in each; then the same, quick


def part(options: Options) -> Part:
    """Ratios at several numbers of processes; both kinds go through the same processes in turn."""
    figures: list[Figure] = []
    details: dict[str, Any] = {}
    with (
        backend.running(google=options.google) as here,
        environments(here, PROJECT) as deployed,
    ):
        bundles = served.bundles(here.folder / "bundles")
        visits = Visits(here, PROJECT)
        for count in (1, 4) if options.quick else (1, 4, 16):
            report.progress(f"one account, {count} processes")
            account = Account(visits, f"busy-{count}")
            with ExitStack() as stack:
                processes = _started(stack, here, bundles["dispatch"], deployed["dispatch"], count)
                rounds = Rounds(processes, visits, account)
                rates = rounds.rates(*ROUNDS[options.quick])
            writes, tasks = account.writes(), rounds.dispatched
            details[str(count)] = {**rates, "ledgerWrites": writes, "tasks": tasks}
            figures += _figures(count, rates, writes, tasks)
    where = "Google's emulators" if options.google else "the embedded backend"
    about = (
        "dispatches per second on one account ÷ without any, rounds of either kind in turn through"
        f" the same dispatch processes, on {where}; all on one machine, the client too"
    )
    return Part(name="busy account ÷ none", about=about, figures=figures, details=details)


@dataclass(frozen=True)
class Account:
    """An account, made for a run."""

    visits: Visits
    name: str

    def __post_init__(self) -> None:
        account = ledgers.Account(id=self.name, limit=LIMIT, window="total")
        self.visits.services.store.commit([Put(account.path, account.fields())])

    def writes(self) -> int:
        """Its ledger's commits so far: one a purse, for no sweep has settled any."""
        path = f"{ledgers.LEDGERS}/{self.name}@total"
        return len(self.visits.services.store.get(path).data["purses"])


class Rounds:
    """Dispatches on an account and without, in turn, over a connection each lane and round."""

    def __init__(self, processes: list[Served], visits: Visits, account: Account) -> None:
        [without] = visits.make("dispatch", 1)
        order = json.dumps({**ORDER, "account": account.name}).encode()
        self._orders = {"without": without, "account": replace(without, body=order)}
        self._processes = processes
        self._lanes = max(LEAST, len(processes))
        self.dispatched = 0  # on the account

    def rates(self, rounds: int, dispatches: int) -> dict[str, list[float]]:
        """Dispatches per second by round: `account` and `without`."""
        found: dict[str, list[float]] = {"without": [], "account": []}
        with ThreadPoolExecutor(self._lanes) as lanes:
            for kind in self._orders:
                self._rate(lanes, kind, WARM)
            for number in range(rounds):
                # Who comes first changes: a machine that gets busier favours neither.
                for kind in list(self._orders)[:: 1 if number % 2 else -1]:
                    found[kind].append(self._rate(lanes, kind, dispatches))
        return found

    def _rate(self, lanes: ThreadPoolExecutor, kind: str, dispatches: int) -> float:
        each = dispatches // self._lanes
        order, count = self._orders[kind], len(self._processes)
        began = time.perf_counter()
        done = [
            lanes.submit(self._processes[lane % count].repeat, order, each)
            for lane in range(self._lanes)
        ]
        for future in done:
            future.result()
        if kind == "account":
            self.dispatched += each * self._lanes
        return each * self._lanes / (time.perf_counter() - began)


def _started(
    stack: ExitStack,
    here: backend.Backend,
    source: Path,
    environment: Mapping[str, str],
    count: int,
) -> list[Served]:
    """So many dispatch processes at once, each with its first answer behind it."""
    started = [
        stack.enter_context(Served(here, "dispatch", source, environment)) for _ in range(count)
    ]
    for process in started:
        process.first(Visit(path="/health"))
    return started


def _figures(count: int, rates: Mapping[str, list[float]], writes: int, tasks: int) -> list[Figure]:
    with_, without = rates["account"], rates["without"]
    ratio = median(a / b for a, b in zip(with_, without, strict=True))
    processes = f"{count} process{'es' if count > 1 else ''}"
    note = f"{median(with_):.0f}/s against {median(without):.0f}/s"
    settled = f"{writes} grants for {tasks} tasks; a sweep settles them with at most as many more"
    return [
        Figure(name=f"rate, {processes}", value=ratio, unit="×", target=TARGET, note=note),
        Figure(name=f"ledger writes a task, {processes}", value=writes / tasks, note=settled),
    ]
