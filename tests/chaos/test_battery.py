"""The battery with real processes, on the embedded backend and on Google's emulators.

Briefly in `tests/run`, in its short form in `tests/run --all`; `tests/chaos/run --full` is the full
one.
"""

from __future__ import annotations

import os

import pytest

from emulators.layout import Layout
from tests.chaos import ambiguous, contention, frozen, report

SEED = int(os.environ.get("CHAOS_SEED", "1"))
FORMS = [
    pytest.param("brief", marks=pytest.mark.brief),
    pytest.param("short", marks=pytest.mark.slow),
]


def check(part: report.Part) -> None:
    """Fails where an invariant broke, with the command that replays the run."""
    print(report.line(part))
    print(dict(part.figures))
    assert not part.violations, report.complaints(part)


def on_google(emulators: Layout, form: report.Form = "short") -> report.Options:
    """The options of a run on the emulators at hand."""
    return report.Options(seed=SEED, google=True, emulators=emulators.ports, form=form)


@pytest.mark.google
@pytest.mark.parametrize("form", FORMS)
def test_a_call_that_fails_in_whatever_way_doubles_nothing(
    form: report.Form, emulators: Layout
) -> None:
    check(ambiguous.part(on_google(emulators, form)))


def test_200_callers_get_just_the_37_places_there_are() -> None:
    check(contention.part(report.Options(seed=SEED)))


@pytest.mark.google
def test_200_callers_get_just_the_37_places_there_are_on_google(emulators: Layout) -> None:
    check(contention.part(on_google(emulators)))


@pytest.mark.parametrize("form", FORMS)
def test_an_agent_that_thaws_too_late_changes_nothing(form: report.Form) -> None:
    check(frozen.part(report.Options(seed=SEED, form=form)))
