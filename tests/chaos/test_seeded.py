"""Tests of the tests: the battery catches what it is there for."""

from __future__ import annotations

import pytest

from tests.chaos import bugs, seeded


@pytest.mark.parametrize("bug", bugs.all_bugs(), ids=lambda bug: bug.name)
def test_every_seeded_bug_still_fits_the_code(bug: bugs.Bug) -> None:
    with bug.applied():
        pass


@pytest.mark.parametrize("name", ["no fence", "no precondition", "purse without expiry check"])
def test_the_battery_catches_the_bug(name: str) -> None:
    [bug] = [bug for bug in bugs.all_bugs() if bug.name == name]
    catch = seeded.hunt(bug, 1)
    assert catch.part, catch.row
