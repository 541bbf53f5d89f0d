"""Every error has its status, its stable code and its disposition, and makes a problem document."""

from __future__ import annotations

import pytest

from shared import errors
from shared.tasks import commits

CODES = {
    "malformed": (400, False),
    "unauthenticated": (401, False),
    "budget_exceeded": (402, False),
    "forbidden": (403, False),
    "not_found": (404, False),
    "unknown_task": (404, False),
    "unknown_agent": (404, False),
    "unknown_account": (404, False),
    "method_not_allowed": (405, False),
    "conflict": (409, True),
    "in_progress": (409, True),
    "task_ended": (409, False),
    "expired": (409, False),
    "not_redrivable": (409, False),
    "fenced": (409, False),
    "too_large": (413, False),
    "unsupported_media_type": (415, False),
    "invalid": (422, False),
    "idempotency_key_reused": (422, False),
    "internal": (500, False),
    "misconfigured": (500, False),
    "attempt_failed": (503, True),
    "callback_failed": (503, True),
    "unavailable": (503, True),
}
CLASSES = [
    each
    for each in vars(errors).values()
    if isinstance(each, type) and issubclass(each, errors.Error) and each is not errors.About
]


def test_the_codes_that_clients_rely_on_stand() -> None:
    found = {each.code: (each.status, each.retryable) for each in CLASSES}
    assert {code: found.get(code) for code in CODES} == CODES


def test_no_two_errors_share_a_code() -> None:
    assert len({each.code for each in CLASSES}) == len(CLASSES)


@pytest.mark.parametrize("kind", CLASSES, ids=lambda kind: str(kind.code))
def test_an_error_is_a_problem_document(kind: type[errors.Error]) -> None:
    problem = kind("ttl: give it", limitCents=5).problem()
    assert problem["type"] == f"urn:zantara:error:{kind.code}"
    assert (problem["status"], problem["code"]) == (kind.status, kind.code)
    assert problem["title"]
    assert not problem["title"].endswith(".")
    assert (problem["detail"], problem["limitCents"]) == ("ttl: give it", 5)


@pytest.mark.parametrize("kind", CLASSES, ids=lambda kind: str(kind.code))
def test_its_docstring_is_its_default_detail(kind: type[errors.Error]) -> None:
    assert str(kind()) == kind().problem()["detail"] == (kind.__doc__ or "").strip()


def test_a_task_at_hand_is_not_shown() -> None:
    error = errors.TaskEnded("ended", task=object())
    assert "task" not in error.problem()


def test_a_lost_compare_and_set_can_be_tried_again() -> None:
    assert commits.Lost(None).retryable
