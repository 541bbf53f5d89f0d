"""The battery's short form in one process: every hop interrupted, every process interleaved."""

from __future__ import annotations

import os

from tests.chaos import crash_points, interleavings, report

OPTIONS = report.Options(seed=int(os.environ.get("CHAOS_SEED", "1")))


def test_a_fault_at_an_outside_step_leaves_nothing_wrong_once_all_rests() -> None:
    part = crash_points.part(OPTIONS)
    assert not part.violations, report.complaints(part)


def test_no_order_of_steps_overspends_a_purse_or_an_account() -> None:
    part = interleavings.part(OPTIONS)
    assert not part.violations, report.complaints(part)
