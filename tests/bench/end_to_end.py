"""End to end: from the dispatch to the settled result, beside a pipeline without any storage."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import median, quantiles

from emulators import topology
from emulators.cluster import Cluster
from emulators.layout import Ports
from tests import emulation
from tests.bench import course
from tests.bench.course import Course, Lap
from tests.bench.report import Figure, Options, Part, Target, at_least, at_most, progress

FLOOR = Path(__file__).parent / "floor"
FUNCTIONS = ("dispatch", "agent_light", "results")  # as many processes as the floor has
NAMES = {"floor": "floor", "google": "Google's emulators", "embedded": "embedded"}
ABOUT = (
    "from the client's request to the line that results logs in the end, round by round in turn;"
    " the floor has the same gateway, bridge and generated publisher, and neither storage nor"
    " checks nor tokens, which Zantara verifies at each push"
)


@dataclass(frozen=True, kw_only=True)
class Laps:
    """The laps of one pipeline with so many tasks in flight, one a round."""

    rounds: list[Lap]

    @property
    def p50(self) -> float:
        """Milliseconds."""
        return 1000 * median(self._latencies)

    @property
    def p99(self) -> float:
        """Milliseconds."""
        return 1000 * quantiles(self._latencies, n=100)[98]

    @property
    def throughput(self) -> float:
        """Tasks a second, in the median round."""
        return median(lap.throughput for lap in self.rounds)

    @property
    def cpu(self) -> float:
        """Milliseconds of CPU a task: the functions', the gateway's and the bridge's."""
        return 1000 * sum(lap.cpu for lap in self.rounds) / len(self._latencies)

    @property
    def _latencies(self) -> list[float]:
        return [latency for lap in self.rounds for latency in lap.latencies]

    def slower(self, floor: Laps) -> float:
        """Its p50 as a multiple of the floor's in the same round: the median of the rounds."""
        pairs = zip(self.rounds, floor.rounds, strict=True)
        return median(median(ours.latencies) / median(base.latencies) for ours, base in pairs)

    def as_fast(self, floor: Laps) -> float:
        """Its throughput as a multiple of the floor's, likewise."""
        pairs = zip(self.rounds, floor.rounds, strict=True)
        return median(ours.throughput / base.throughput for ours, base in pairs)


Measured = Mapping[tuple[str, int], Laps]


def part(options: Options) -> Part:
    """Milliseconds and tasks a second; ratios are to the floor."""
    rounds, warm_up = (3, 400) if options.quick else (8, 2000)  # Java takes that long to be fast
    tasks = {1: 30, 8: 80, 32: 160} if options.quick else {1: 100, 8: 240, 32: 640}
    with tempfile.TemporaryDirectory() as folder, _courses(options, Path(folder)) as courses:
        for each in courses:
            each.lap(warm_up, 32)
        laps: dict[tuple[str, int], list[Lap]] = {}
        for number in range(rounds):
            progress(f"round {number + 1} of {rounds}")
            for in_flight, count in tasks.items():
                for each in courses:
                    lap = each.lap(count, in_flight)
                    laps.setdefault((each.name, in_flight), []).append(lap)
    measured = {key: Laps(rounds=each) for key, each in laps.items()}
    figures = [*_ratios(measured), *_plain(measured)]
    return Part(name="end_to_end", about=ABOUT, figures=figures, details=_details(measured))


@contextmanager
def _courses(options: Options, folder: Path) -> Iterator[list[Course]]:
    """The pipelines, all of them up; without Google's emulators there is no floor."""
    ours = folder / "functions"
    ours.mkdir()
    for name in FUNCTIONS:
        (ours / name).symlink_to(topology.FUNCTIONS / name)
    clusters = {"embedded": Cluster(folder / "embedded", functions=ours)}
    with ExitStack() as stack:
        if options.google:
            there = stack.enter_context(emulation.running(folder / "emulators")).ports
            for name, functions in (("floor", FLOOR), ("google", ours)):
                ports = replace(Ports.free(), pubsub=there.pubsub, firestore=there.firestore)
                env = {"GCP_PROJECT": f"bench-{name}"}
                clusters[name] = Cluster(
                    folder / name, google=True, ports=ports, functions=functions, env=env
                )
        yield [
            stack.enter_context(course.ready(name, clusters[name]))
            for name in NAMES
            if name in clusters
        ]


def _ratios(measured: Measured) -> list[Figure]:
    """Against the floor on Google's emulators."""
    if ("floor", 1) not in measured:
        return []
    targets = {"google": (at_most(1.35), at_least(0.75)), "embedded": (at_most(1), at_least(1))}
    figures = []
    for name, (latency, throughput) in targets.items():
        ours, floor = measured[name, 1], measured["floor", 1]
        note = f"{ours.p50:.1f} ms against {floor.p50:.1f}"
        value = ours.slower(floor)
        figures.append(_ratio(f"{NAMES[name]}: p50 ÷ floor, 1 in flight", value, latency, note))
        ours, floor = measured[name, 32], measured["floor", 32]
        note = f"{ours.throughput:.0f} tasks/s against {floor.throughput:.0f}"
        value = ours.as_fast(floor)
        figures.append(
            _ratio(f"{NAMES[name]}: throughput ÷ floor, 32 in flight", value, throughput, note)
        )
    return figures


def _ratio(name: str, value: float, target: Target, note: str) -> Figure:
    return Figure(name=name, value=value, unit="×", target=target, note=note)


def _plain(measured: Measured) -> list[Figure]:
    return [
        Figure(
            name=f"{NAMES[name]}: p50, {in_flight} in flight",
            value=laps.p50,
            unit="ms",
            note=f"p99 {laps.p99:.1f} ms, {laps.throughput:.0f} tasks/s, {laps.cpu:.1f} ms of CPU",
        )
        for (name, in_flight), laps in measured.items()
    ]


def _details(measured: Measured) -> dict[str, object]:
    return {
        f"{name}, {in_flight} in flight": {
            "p50": laps.p50,
            "p99": laps.p99,
            "throughput": laps.throughput,
            "cpu": laps.cpu,
            "rounds": [
                {"p50": 1000 * median(lap.latencies), "throughput": lap.throughput}
                for lap in laps.rounds
            ],
        }
        for (name, in_flight), laps in measured.items()
    }
