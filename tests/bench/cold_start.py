"""Cold starts: each function from the start of its process to its first real answer."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

from emulators import topology
from tests.bench import backend, report, served
from tests.bench.report import Figure, Options, Part
from tests.bench.visits import Visits, environments

TARGETS = {"dispatch": 2.4, "get_task": 1.9, "results": 1.9}
ROUNDS = ((3, 9), (1, 3))  # of a function without a target and of one with; then the same, quick
PROJECT = "bench-cold"
MEGABYTE = 1e6
IMPORT = re.compile(r"^import time:\s+(\d+) \|\s+(\d+) \|\s+(\S+)$", re.MULTILINE)
TOP = 10  # modules that are named


def part(options: Options) -> Part:
    """Ratios to hello world's cold start, started in turn with it; imports; memory."""
    figures: list[Figure] = []
    details: dict[str, Any] = {}
    with (
        backend.running(google=options.google) as here,
        environments(here, PROJECT) as deployed,
    ):
        starts = Starts(here, served.bundles(here.folder / "bundles"), deployed)
        for name in sorted(topology.functions(), key=lambda each: (each not in TARGETS, each)):
            report.progress(f"cold starts of {name}")
            rounds = ROUNDS[options.quick][name in TARGETS]
            figure, told = starts.compared(name, rounds, bare=not options.quick)
            figures.append(figure)
            details[name] = told
        for name in TARGETS:
            details[name] |= starts.imports(name)
        figures += _memory(details)
    where = "Google's emulators" if options.google else "the embedded backend"
    about = (
        f"process start to the first real answer, on {where}, with bytecode, in turn with"
        " functions-framework's hello world; medians; memory: resident after that answer, of"
        " gunicorn's master and worker"
    )
    return Part(name="cold start ÷ hello world", about=about, figures=figures, details=details)


@dataclass(frozen=True)
class Start:
    """One cold start."""

    seconds: float
    memory: int  # resident bytes after the first answer


class Starts:
    """Starts functions, always in a process of their own."""

    def __init__(
        self,
        here: backend.Backend,
        bundles: Mapping[str, Path],
        deployed: Mapping[str, Mapping[str, str]],
    ) -> None:
        self._here, self._bundles, self._deployed = here, bundles, deployed
        self._visits = Visits(here, PROJECT)

    def compared(self, name: str, rounds: int, *, bare: bool) -> tuple[Figure, dict[str, Any]]:
        """The ratio, and what it was made of in milliseconds and megabytes.

        It is the median of each pair's own: a pair runs in the same second. `bare`: once also
        without bytecode.
        """
        ours, theirs = [], []
        for _ in range(rounds):
            theirs.append(self.start("hello"))
            ours.append(self.start(name))
        own, hello = (median(each.seconds for each in group) for group in (ours, theirs))
        told = {
            "milliseconds": _milliseconds(ours),
            "helloMilliseconds": _milliseconds(theirs),
            "megabytes": median(each.memory for each in ours) / MEGABYTE,
            "helloMegabytes": median(each.memory for each in theirs) / MEGABYTE,
        }
        note = f"{own * 1000:.0f} ms against {hello * 1000:.0f}"
        if bare and name in TARGETS:
            times = [self.start(each, self._uncompiled()).seconds for each in (name, "hello")]
            told["uncompiledMilliseconds"] = times[0] * 1000
            told["uncompiledHelloMilliseconds"] = times[1] * 1000
            note += "; {:.0f} against {:.0f} without any bytecode".format(
                *(1000 * s for s in times)
            )
        target = report.at_most(TARGETS[name]) if name in TARGETS else None
        ratio = median(a.seconds / b.seconds for a, b in zip(ours, theirs, strict=True))
        return Figure(name=name, value=ratio, unit="×", target=target, note=note), told

    def start(self, name: str, more: Mapping[str, str] | None = None) -> Start:
        """One start."""
        [visit] = self._visits.make(name, 1)
        with self._process(name, more) as process:
            return Start(process.first(visit), process.memory())

    def imports(self, name: str) -> dict[str, Any]:
        """What its imports cost in milliseconds, up to the first answer: by package and module.

        A package counts without what it imports, a module with all of that.
        """
        [visit] = self._visits.make(name, 1)
        with self._process(name, {"PYTHONPROFILEIMPORTTIME": "1"}) as process:
            process.first(visit)
        lines = IMPORT.findall(process.log.read_text(errors="replace"))
        packages: dict[str, float] = defaultdict(float)
        for alone, _, module in lines:
            packages[_package(module)] += int(alone) / 1000
        modules = {module: int(cumulative) / 1000 for _, cumulative, module in lines}
        return {"importsByPackage": _top(packages), "importsByModule": _top(modules)}

    def _process(self, name: str, more: Mapping[str, str] | None) -> served.Served:
        environment = {**self._deployed[name], **(more or {})}
        return served.Served(self._here, name, self._bundles[name], environment)

    def _uncompiled(self) -> dict[str, str]:
        """Neither bytecode to be found, of anything, nor kept."""
        nowhere = str(self._here.folder / "no-bytecode")
        return {"PYTHONDONTWRITEBYTECODE": "1", "PYTHONPYCACHEPREFIX": nowhere}


def _memory(details: Mapping[str, Mapping[str, Any]]) -> list[Figure]:
    """What a process occupies, and what its imports are made of."""
    return [
        Figure(
            name=f"memory of {name}",
            value=details[name]["megabytes"] / details[name]["helloMegabytes"],
            unit="×",
            note="{megabytes:.0f} MB against {helloMegabytes:.0f}; imports: ".format(
                **details[name]
            )
            + ", ".join(
                f"{package} {cost:.0f} ms"
                for package, cost in list(details[name]["importsByPackage"].items())[:4]
            ),
        )
        for name in TARGETS
    ]


def _package(module: str) -> str:
    """`google.cloud`, `google.api_core`, `flask`: what a requirement brings."""
    parts = module.split(".")
    return ".".join(parts[:2] if parts[0] == "google" else parts[:1])


def _top(costs: Mapping[str, float]) -> dict[str, float]:
    return dict(sorted(costs.items(), key=lambda each: -each[1])[:TOP])


def _milliseconds(starts: Sequence[Start]) -> list[float]:
    return [round(each.seconds * 1000, 1) for each in starts]
