"""The battery in one process: every hop interrupted, every process interleaved."""

from __future__ import annotations

import os

import pytest

from tests.chaos import crash_points, interleavings, report

SEED = int(os.environ.get("CHAOS_SEED", "1"))
FORMS = [
    pytest.param("brief", marks=pytest.mark.brief),
    pytest.param("short", marks=pytest.mark.slow),
]


@pytest.mark.parametrize("form", FORMS)
def test_a_fault_at_an_outside_step_leaves_nothing_wrong_once_all_rests(form: report.Form) -> None:
    part = crash_points.part(report.Options(seed=SEED, form=form))
    assert not part.violations, report.complaints(part)


@pytest.mark.parametrize("form", FORMS)
def test_no_order_of_steps_overspends_a_purse_or_an_account(form: report.Form) -> None:
    part = interleavings.part(report.Options(seed=SEED, form=form))
    assert not part.violations, report.complaints(part)
