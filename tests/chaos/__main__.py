"""Runs the battery, and prints its figures as one table. The same seed replays the same run, as far
as real processes can be replayed."""

from __future__ import annotations

import argparse
import importlib
import random
import sys
from dataclasses import replace

from tests.chaos import report

IN_PROCESS = ("crash_points", "machine", "interleavings", "seeded")
ON_BOTH = ("contention", "frozen", "soak")
ON_GOOGLE = ("ambiguous",)
PARTS = (*IN_PROCESS, *ON_GOOGLE, *ON_BOTH)


def main() -> int:
    """0 where nothing is wrong; 1 where an invariant broke."""
    asked = _asked()
    options = report.Options(
        seed=asked.seed, form="full" if asked.full else "short", tasks=asked.tasks
    )
    print(f"seed {options.seed}", flush=True)
    parts = []
    for name in asked.only or PARTS:
        run: report.Run = importlib.import_module(f"tests.chaos.{name}").part
        for google in _backends(name, asked.google):
            parts.append(report.timed(run, replace(options, google=google)))
            print(report.line(parts[-1]), flush=True)
    print("\n" + report.table(parts, options))
    return 1 if any(part.violations for part in parts) else 0


def _backends(name: str, google: bool) -> list[bool]:
    """On which backends a part runs: False is the embedded one."""
    if name in ON_GOOGLE:
        return [True] if google else []
    return [False, True] if google and name in ON_BOTH else [False]


def _asked() -> argparse.Namespace:
    parser = argparse.ArgumentParser("tests/chaos/run", description=__doc__)
    parser.add_argument("--full", action="store_true", help="the long form, of about an hour")
    parser.add_argument("--google", action="store_true", help="on Google's emulators as well")
    parser.add_argument("--seed", type=int, default=random.randrange(10**6), help="to replay one")
    parser.add_argument("--tasks", type=int, help="how many the soak dispatches")
    parser.add_argument("--only", action="append", choices=PARTS, help="a part; may be repeated")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
