"""Tests of the tests: the battery catches what it is there for."""

from __future__ import annotations

import pytest

from tests.chaos import bugs, seeded


@pytest.mark.parametrize("bug", bugs.all_bugs(), ids=lambda bug: bug.name)
def test_every_seeded_bug_still_fits_the_code(bug: bugs.Bug) -> None:
    with bug.applied():
        pass


QUICK = (  # the others are caught in `tests/run --all`, and by the battery's own command
    *("no fence", "no precondition", "terminal may change", "own commit not recognised"),
    *("acknowledge before commit", "purse without expiry check", "sweep admits unchecked"),
    *("no compare-and-set", "increment without guard", "settles early", "close sums every task"),
    *("budget not checked", "held is not released", "publish before commit"),
)


@pytest.mark.parametrize(
    "bug",
    [
        pytest.param(bug, marks=() if bug.name in QUICK else pytest.mark.slow)
        for bug in bugs.all_bugs()
    ],
    ids=lambda bug: bug.name,
)
def test_the_battery_catches_the_bug(bug: bugs.Bug) -> None:
    catch = seeded.hunt(bug, 1)
    assert catch.part, catch.row
