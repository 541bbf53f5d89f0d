"""Measures speed and cost, and prints the figures beside their targets. Times are ratios to what
ran in the same minute on the same machine: keep it quiet meanwhile."""

from __future__ import annotations

import argparse
import importlib
import json
import sys
import time
from pathlib import Path

from tests.bench import report

PARTS = ("operations", "end_to_end", "cold_start", "cpu", "busy_account", "growth")


def main() -> int:
    """0 where every target is met; 1 where one is missed."""
    asked = _asked()
    options = report.Options(quick=asked.quick, google=not asked.embedded, charts=asked.charts)
    parts: list[report.Part] = []
    try:
        for name in asked.only or PARTS:
            began = time.monotonic()
            print(f"{name} ...", file=sys.stderr, flush=True)
            run: report.Run = importlib.import_module(f"tests.bench.{name}").part
            parts.append(run(options))
            print(f"{name}: {time.monotonic() - began:.0f} s", file=sys.stderr, flush=True)
    finally:  # what was measured is not lost with a part that fails
        if asked.json:
            print(json.dumps(report.as_json(parts), indent=2, ensure_ascii=False))
        else:
            print(f"{report.machine()}:\n\n{report.table(parts)}")
    return 1 if any(figure.missed for part in parts for figure in part.figures) else 0


def _asked() -> argparse.Namespace:
    parser = argparse.ArgumentParser("tests/bench/run", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="few repetitions: a first look")
    parser.add_argument("--embedded", action="store_true", help="without Google's emulators")
    parser.add_argument("--json", action="store_true", help="for a program")
    parser.add_argument("--charts", type=Path, metavar="FOLDER", help="draws charts there, as PNG")
    parser.add_argument("--only", action="append", choices=PARTS, help="a part; may be repeated")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
