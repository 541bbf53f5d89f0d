"""The report: what was measured, beside what it is to be."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any


@dataclass(frozen=True, kw_only=True)
class Options:
    """How a run is asked for."""

    quick: bool = False  # fewer repetitions: a look, not a figure to quote
    google: bool = True  # also on Google's emulators
    charts: Path | None = None  # the folder for charts as PNG; None: no charts


@dataclass(frozen=True, kw_only=True)
class Target:
    """What a figure is to be: at most, or at least, a value."""

    value: float
    at_least: bool = False

    def met(self, value: float) -> bool:
        """Whether the value is within it."""
        return value >= self.value if self.at_least else value <= self.value

    def __str__(self) -> str:
        return f"{'≥' if self.at_least else '≤'} {self.value:g}"


@dataclass(frozen=True, kw_only=True)
class Figure:
    """One measured value."""

    name: str
    value: float
    unit: str = ""  # "ms", "MB", "×": a ratio to what ran in the same minute
    target: Target | None = None
    note: str = ""  # what it was made of: "12.1 ms against 9.4"

    @property
    def missed(self) -> bool:
        """It has a target, and is beyond it."""
        return self.target is not None and not self.target.met(self.value)


@dataclass(frozen=True, kw_only=True)
class Part:
    """One part's figures."""

    name: str
    about: str  # one sentence: what was measured, and how
    figures: list[Figure]
    details: dict[str, Any] = field(default_factory=dict)  # for --json: what the figures come from


Run = Callable[[Options], Part]


def at_most(value: float) -> Target:
    """A target from above."""
    return Target(value=value)


def at_least(value: float) -> Target:
    """A target from below."""
    return Target(value=value, at_least=True)


def progress(text: str) -> None:
    """One line for whoever waits."""
    print(f"  {text}", file=sys.stderr, flush=True)


def machine() -> str:
    """The date, and the size of this machine."""
    day = datetime.now(UTC).date().isoformat()
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return f"{day}, {os.cpu_count()} cores, {memory:.0f} GiB, Python {sys.version.split()[0]}"


def table(parts: Iterable[Part]) -> str:
    """The figures as one Markdown table, as the README shows them."""
    lines = ["| | measured | target | |", "|---|---|---|---|"]
    for part in parts:
        lines.append(f"| **{part.name}** | | | {part.about} |")
        lines += [_row(figure) for figure in part.figures]
    return "\n".join(lines)


def as_json(parts: Iterable[Part]) -> dict[str, Any]:
    """The same for a program: `{machine, parts: {name: {about, figures, details}}}`."""
    return {
        "machine": machine(),
        "parts": {
            part.name: {
                "about": part.about,
                "figures": {
                    figure.name: {
                        "value": figure.value,
                        "unit": figure.unit,
                        "target": str(figure.target) if figure.target else None,
                        "met": not figure.missed if figure.target else None,
                        "note": figure.note,
                    }
                    for figure in part.figures
                },
                "details": part.details,
            }
            for part in parts
        },
    }


def _row(figure: Figure) -> str:
    shown = f"{figure.value:,.4g}" if figure.value < 1000 else f"{figure.value:,.0f}"
    unit = f" {figure.unit}" if figure.unit else ""
    target = str(figure.target) if figure.target else ""
    mark = "**missed** " if figure.missed else ""
    return f"| {figure.name} | {shown}{unit} | {target} | {mark}{figure.note} |"
