"""What a rate of tasks needs of Google Cloud, by counted operations and published limits, and
where a limit binds. Nothing is measured: see tests/bench/limits.py for every constant's source."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from shared.storage import retry
from tests.bench import limits
from tests.bench.demand import Demand

RATES = (10.0, 1_000.0, 100_000.0)  # tasks a second

ROWS: dict[str, Callable[[Demand], str]] = {
    "documents written a second": lambda demand: f"{demand.writes:,.0f}",
    "of them on the hottest index": lambda demand: "{1:,.0f} ({0})".format(*demand.hottest),
    f"shards of {limits.SEQUENTIAL} writes": lambda demand: f"{demand.shards:,}",
    "projects": lambda demand: f"{demand.projects:,}",
    "minutes to grow to it": lambda demand: f"{demand.ramp_minutes:.0f}",
    "an agent's pushes under way": lambda demand: f"{demand.under_way:,.0f}",
    f"MB pushed a second in each, of {limits.PUSHED / 1e6:.0f}": lambda demand: (
        f"{demand.pushed / 1e6:.2f}"
    ),
    "instances in each: dispatch, agent, results": lambda demand: ", ".join(
        f"{demand.instances(function):,}" for function in limits.CONCURRENCY
    ),
    "one account's ledger in each, commits a second": lambda demand: f"{demand.load.commits:.2f}",
    "of these tried again": lambda demand: f"{demand.load.conflicts:.1%}",
    f"tries of one, of {retry.TRIES}, as all start at once": lambda demand: (
        f"{demand.load.most_tries}"
    ),
    "dollars a day": lambda demand: f"{demand.dollars:,.2f}",
    "and for instances": lambda demand: f"{demand.dollars_instances:,.2f}",
}


def main() -> int:
    """Prints what each rate needs; 0."""
    asked = _asked()
    told = {"agent_seconds": asked.agent_seconds, "dispatchers": asked.dispatchers}
    demands = [Demand(rate=rate, **told) for rate in asked.rate or RATES]
    if asked.chart:
        from tests.bench import scale_chart

        scale_chart.draw(asked.chart, asked.agent_seconds)
    print(json.dumps(list(map(as_json, demands)), indent=2) if asked.json else text(demands))
    return 0


def text(demands: Sequence[Demand]) -> str:
    """A Markdown table, then what is to be set and what binds, rate by rate."""
    lines = [f"| tasks a second | {' | '.join(f'{each.rate:,.0f}' for each in demands)} |"]
    lines.append("|---" * (len(demands) + 1) + "|")
    lines += [f"| {name} | {' | '.join(map(row, demands))} |" for name, row in ROWS.items()]
    for demand in demands:
        lines.append(f"\n{demand.rate:,.0f} a second, agents of {demand.agent_seconds:g} s:")
        lines += [f"- set: {each}" for each in demand.settings()] or ["- as it stands"]
        lines += [f"- binds: {each}" for each in demand.bounds()]
    return "\n".join(lines)


def as_json(demand: Demand) -> dict[str, Any]:
    """The same for a program; counts and seconds, dollars a day."""
    load = demand.load
    return {
        "rate": demand.rate,
        "agentSeconds": demand.agent_seconds,
        "writes": demand.writes,
        "hottestIndex": dict(zip(("name", "writes"), demand.hottest, strict=True)),
        "shards": demand.shards,
        "projects": demand.projects,
        "rampMinutes": demand.ramp_minutes,
        "pushesUnderWay": demand.under_way,
        "subscriptionsEach": demand.subscriptions,
        "pushedBytesEach": demand.pushed,
        "instancesEach": {each: demand.instances(each) for each in limits.CONCURRENCY},
        "ledgerEach": {
            "commits": load.commits,
            "busiestSecond": load.busiest,
            "conflictsPerCommit": load.conflicts,
            "mostTries": load.most_tries,
        },
        "dollars": demand.dollars,
        "dollarsInstances": demand.dollars_instances,
        "settings": list(demand.settings()),
        "bounds": list(demand.bounds()),
    }


def _positive(text: str) -> float:
    value = float(text)
    if not 0 < value <= 1e7:
        raise argparse.ArgumentTypeError("must be more than 0, and at most ten million")
    return value


def _asked() -> argparse.Namespace:
    parser = argparse.ArgumentParser("tests/bench/scale", description=__doc__)
    parser.add_argument(
        "--rate", action="append", type=_positive, help="tasks a second; may be repeated"
    )
    parser.add_argument(
        "--agent-seconds",
        type=_positive,
        default=0.5,
        metavar="S",
        help="that an agent itself takes for a task (default: %(default)s)",
    )
    parser.add_argument(
        "--dispatchers",
        type=int,
        default=1,
        metavar="N",
        help="processes that dispatch in each project, at the least: an autoscaler may start more"
        " than are needed, and each has a purse of its own",
    )
    parser.add_argument("--json", action="store_true", help="for a program")
    parser.add_argument("--chart", type=Path, metavar="FILE", help="draws it there, as PNG")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
