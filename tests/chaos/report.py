"""The report: what each part of the battery measured, and what it found wrong."""

from __future__ import annotations

import time
import traceback
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
    replay: str  # the command that runs it again
    violations: list[str] = field(default_factory=list)
    unexercised: list[str] = field(default_factory=list)  # what it did not provoke
    seconds: float = 0.0


Run = Callable[[Options], Part]


def timed(name: str, run: Run, options: Options) -> Part:
    """The part's outcome, with the seconds that it took.

    One that breaks off has failed, and does not take the figures of the others with it.
    """
    began = time.monotonic()
    try:
        part = run(options)
    except Exception as error:
        traceback.print_exc()
        broken = f"it broke off: {error!r}"
        part = Part(
            name=name, claim="", figures={}, violations=[broken], replay=replay(name, options)
        )
    return replace(part, seconds=round(time.monotonic() - began, 1))


def replay(name: str, options: Options) -> str:
    """The command that runs a part again in the same way."""
    form = {"brief": " --brief", "short": "", "full": " --full"}[options.form]
    tasks = f" --tasks {options.tasks}" if options.tasks else ""
    backend = " --google" if options.google else " --embedded"
    return f"tests/chaos/run --only {name} --seed {options.seed}{form}{tasks}{backend}"


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
        figures += "".join(f"; NOT EXERCISED: {each}" for each in part.unexercised)
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
    if part.violations:
        lines.append(f"  replay: {part.replay}")
    return "\n".join(lines)


def _shown(value: Figure) -> str:
    return f"{value:,}" if isinstance(value, int) else str(value)
