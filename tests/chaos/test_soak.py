"""The soak: real processes that die under load, on both backends.

Briefly in `tests/run`, with 1,000 tasks in `tests/run --all`; `tests/chaos/run --full` has 10,000.
"""

from __future__ import annotations

import pytest

from emulators.layout import Layout
from tests.chaos import report, soak
from tests.chaos.test_battery import FORMS, SEED, check, on_google


@pytest.mark.parametrize("form", FORMS)
def test_nothing_is_lost_or_overspent_while_processes_die(form: report.Form) -> None:
    check(soak.part(report.Options(seed=SEED, form=form)))


@pytest.mark.google
@pytest.mark.parametrize("form", FORMS)
def test_nothing_is_lost_or_overspent_while_processes_die_on_google(
    form: report.Form, emulators: Layout
) -> None:
    check(soak.part(on_google(emulators, form)))
