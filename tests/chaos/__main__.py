"""Runs the battery on both backends, and prints its figures as one table. The same seed replays the
same run, as far as real processes can be replayed."""

from __future__ import annotations

import argparse
import importlib
import random
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from emulators import Refused, cloudsdk, topology
from emulators.layout import Layout, Ports
from tests.chaos import report

IN_PROCESS = ("crash_points", "machine", "interleavings", "seeded")
ON_BOTH = ("contention", "frozen", "soak")
ON_GOOGLE = ("ambiguous",)
PARTS = (*IN_PROCESS, *ON_GOOGLE, *ON_BOTH)


def main() -> int:
    """0 where nothing is wrong; 1 where an invariant broke; 130 where it was interrupted."""
    asked = _asked()
    options = report.Options(seed=asked.seed, form=asked.form, tasks=asked.tasks)
    print(f"seed {options.seed}", flush=True)
    parts: list[report.Part] = []
    code = 0
    try:
        for name, google in _runs(asked):
            print(f"{name}{', google' if google else ''} …", file=sys.stderr, flush=True)
            run: report.Run = importlib.import_module(f"tests.chaos.{name}").part
            parts.append(report.timed(name, run, replace(options, google=google)))
            print(report.line(parts[-1]), flush=True)
    except KeyboardInterrupt:
        print("INTERRUPTED: what follows is what was done until then")
        code = 130
    print("\n" + report.table(parts, options))
    return 1 if any(part.violations for part in parts) else code


def _runs(asked: argparse.Namespace) -> Iterator[tuple[str, bool]]:
    """Which parts run, and whether on Google's emulators; without these that is said aloud."""
    embedded, google = not asked.google, not asked.embedded
    if google and (missing := _missing()):
        if asked.google:
            raise SystemExit(missing)
        google = False
        print(f"NOT CHECKED on Google's emulators: {missing}", flush=True)
    for name in asked.only or PARTS:
        if embedded and name not in ON_GOOGLE:
            yield name, False
        if google and name not in IN_PROCESS:
            yield name, True


def _missing() -> str:
    """Why Google's emulators cannot run here; empty where they can."""
    with tempfile.TemporaryDirectory() as folder:
        layout = Layout(
            data=Path(folder),
            functions=topology.FUNCTIONS,
            ports=Ports.free(),
            internal={},
            google=True,
        )
        try:
            cloudsdk.programs(layout)
        except Refused as missing:
            return str(missing)
    return ""


def _asked() -> argparse.Namespace:
    parser = argparse.ArgumentParser("tests/chaos/run", description=__doc__)
    form, where = parser.add_mutually_exclusive_group(), parser.add_mutually_exclusive_group()
    for name, about in (
        ("full", "the long form, of one to two hours"),
        ("brief", "the form of tests/run"),
    ):
        form.add_argument(f"--{name}", dest="form", action="store_const", const=name, help=about)
    where.add_argument("--embedded", action="store_true", help="on the embedded backend alone")
    where.add_argument("--google", action="store_true", help="on Google's emulators alone")
    parser.add_argument("--seed", type=int, default=random.randrange(10**6), help="to replay one")
    parser.add_argument("--tasks", type=int, help="how many tasks the soak makes")
    parser.add_argument("--only", action="append", choices=PARTS, help="a part; may be repeated")
    parser.set_defaults(form="short")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
