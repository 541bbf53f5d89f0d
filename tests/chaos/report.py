"""The report: what each part of the battery measured, and what it found wrong."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Literal

from emulators.layout import Ports

Figure = str | int | float
Form = Literal["brief", "short", "full"]  # `tests/run`'s; CI's and `tests/chaos/run`'s; `--full`


@dataclass(frozen=True, kw_only=True)
class Options:
    """How a run is asked for; the same options replay it."""

    seed: int
    form: Form = "short"  # how much is done
    google: bool = False  # on Google's emulators, besides the embedded backend
    tasks: int | None = None  # of the soak; None: as many as the form has
    emulators: Ports | None = None  # of Google's, where they listen already; None: started anew


@dataclass(frozen=True, kw_only=True)
class Part:
    """One part's outcome."""

    name: str
    claim: str  # one sentence: what it shows
    figures: Mapping[str, Figure]
    violations: list[str] = field(default_factory=list)
    unexercised: list[str] = field(default_factory=list)  # what it did not provoke
    replay: str = ""  # the command that runs it again
    seconds: float = 0.0


Run = Callable[[Options], Part]


def timed(run: Run, options: Options) -> Part:
    """The part's outcome, with the seconds that it took."""
    began = time.monotonic()
    return replace(run(options), seconds=round(time.monotonic() - began, 1))


def table(parts: list[Part], options: Options) -> str:
    """The figures as one Markdown table, as the README shows them."""
    day = datetime.now(UTC).date().isoformat()
    lines = [
        f"{day}, seed {options.seed}:",
        "",
        "| part | what it shows | figures | violations | s |",
        "|---|---|---|---|---|",
    ]
    for part in parts:
        figures = ", ".join(f"{_shown(value)} {name}" for name, value in part.figures.items())
        found = len(part.violations)
        lines.append(f"| {part.name} | {part.claim} | {figures} | {found} | {part.seconds:g} |")
    return "\n".join(lines)


def line(part: Part) -> str:
    """The outcome in short, and what is wrong with it."""
    found = f"{len(part.violations)} violations" if part.violations else "green"
    wrong = complaints(part)
    return f"{part.name}: {found}, {part.seconds:g} s" + (f"\n{wrong}" if wrong else "")


def complaints(part: Part) -> str:
    """What is wrong with the part, and how to see it again; empty where nothing is."""
    lines = [f"  VIOLATION {each}" for each in part.violations[:20]]
    if len(part.violations) > len(lines):
        lines.append(f"  … and {len(part.violations) - len(lines)} more")
    lines += [f"  NOT EXERCISED: {each}" for each in part.unexercised]
    if part.violations and part.replay:
        lines.append(f"  replay: {part.replay}")
    return "\n".join(lines)


def _shown(value: Figure) -> str:
    return f"{value:,}" if isinstance(value, int) else str(value)
