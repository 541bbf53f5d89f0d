"""Any sequence of rules leaves the real tasks where the model says."""

from __future__ import annotations

from hypothesis import HealthCheck, settings

from tests.chaos.machine import Machine

TestMachine = Machine.TestCase
TestMachine.settings = settings(
    max_examples=30,
    stateful_step_count=40,
    deadline=None,
    report_multiple_bugs=False,
    derandomize=True,
    suppress_health_check=list(HealthCheck),
)
