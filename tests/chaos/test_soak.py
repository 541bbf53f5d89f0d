"""The soak, briefly: real processes that die under load, on both backends.

`tests/chaos/run --only soak --google` is the longer one.
"""

from __future__ import annotations

import pytest

from emulators.layout import Layout
from tests.chaos import report, soak
from tests.chaos.test_battery import SEED, check, on_google


def test_nothing_is_lost_or_overspent_while_processes_die() -> None:
    check(soak.part(report.Options(seed=SEED, form="brief")))


@pytest.mark.google
def test_nothing_is_lost_or_overspent_while_processes_die_on_google(emulators: Layout) -> None:
    check(soak.part(on_google(emulators, "brief")))
