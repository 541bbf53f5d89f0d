"""The simulation as one picture: index writes, growth, instances and ledgers over the rate."""

from __future__ import annotations

from pathlib import Path

import matplotlib as mpl

mpl.use("Agg")  # draws into a file, with no screen

from matplotlib import pyplot
from matplotlib.axes import Axes

from tests.bench import ledger, limits
from tests.bench.demand import Demand

RATES = [10 ** (tenths / 10) for tenths in range(10, 51)]  # 10 to 100,000 tasks a second
PROCESSES = (1, 5, 10, 20, 40, 60, 80, 100)
PURSES = (30, 60, 120, 300)  # seconds


def draw(file: Path, agent_seconds: float) -> None:
    """Writes the PNG."""
    figure, ((index, ramp), (instances, purses)) = pyplot.subplots(2, 2, figsize=(11, 8))
    demands = [Demand(rate=rate, agent_seconds=agent_seconds) for rate in RATES]
    _index(index, demands)
    _ramp(ramp, demands)
    _instances(instances, demands)
    _purses(purses)
    for axes in (index, ramp, instances):
        axes.set_xscale("log")
        axes.set_xlabel("tasks a second")
    for axes in (index, ramp, instances, purses):
        axes.grid(visible=True, alpha=0.3)
        axes.legend(fontsize="small")
    figure.suptitle(f"What a rate of tasks needs, with agents of {agent_seconds:g} s (simulated)")
    figure.tight_layout()
    file.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(file, dpi=110)
    pyplot.close(figure)


def _index(axes: Axes, demands: list[Demand]) -> None:
    axes.plot(RATES, [each.hottest[1] for each in demands], label="writes on the hottest index")
    for shards, label in ((1, "one range"), (limits.SHARDS, f"{limits.SHARDS} shards")):
        most = shards * limits.SEQUENTIAL
        axes.axhline(most, color="tab:red", linestyle="--", alpha=0.7)
        axes.annotate(f"{label}: {most:,} a second", (12, most * 1.15), color="tab:red")
    axes.set_yscale("log")
    axes.set_title("Firestore: writes a second on one index")


def _ramp(axes: Axes, demands: list[Demand]) -> None:
    axes.step(RATES, [each.ramp_minutes for each in demands], where="post", label="minutes")
    axes.step(RATES, [each.projects for each in demands], where="post", label="projects")
    axes.set_title("Projects, and minutes to grow (half more every 5)")


def _instances(axes: Axes, demands: list[Demand]) -> None:
    for function, style in (("agent", "-"), ("dispatch", "-"), ("results", ":")):
        counted = [each.instances(function) for each in demands]
        axes.plot(RATES, counted, style, label=function, linewidth=2)
    axes.axhline(limits.MAX_INSTANCES, color="black", linestyle="--", label="default maximum")
    axes.axhline(limits.REGION, color="tab:gray", linestyle="--", label="a region's default quota")
    axes.set_yscale("log")
    axes.set_title("Cloud Run: instances in each project")


def _purses(axes: Axes) -> None:
    for seconds in PURSES:
        loads = [ledger.simulate(each, 1_000, seconds).commits for each in PROCESSES]
        axes.plot(PROCESSES, loads, marker=".", label=f"PURSE_SECONDS={seconds}")
    axes.axhline(limits.DOCUMENT, color="black", linestyle="--", label="one document's limit")
    axes.set_xlabel("processes that dispatch on one account, 1,000 tasks a second")
    axes.set_title("An account's ledger: commits a second")
