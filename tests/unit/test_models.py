"""The task's record: what a commit writes, what the store keeps, what a client sees."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given, strategies as st

from shared import clock
from shared.storage import shards
from shared.storage.store import MISSING, Document, Patch, Put
from shared.tasks import record, view as views
from shared.tasks.record import Task
from tests.unit.conftest import World

AT = 1_700_000_000_000_001  # microseconds
SHOWN = "2023-11-14T22:13:20.000001Z"
TASK = Task(
    id="0" * 32,
    agent="light",
    payload='{"msg":"hi"}',
    deadline=AT + 60_000_000,
    budget=100_000,
    held=100_000,
    trace_id="t",
    created_at=AT,
    wake_at=AT + 30_000_000,
)


def test_a_task_is_stored_under_camel_case_names_and_without_what_is_not_set() -> None:
    fields = TASK.fields()
    assert fields["createdAt"] == AT
    assert fields["wakeAt"] == AT + 30_000_000
    assert fields["maxAttempts"] == 1
    assert not {"id", "version", "endedAt", "result", "error", "leaseUntil", "account"} & set(
        fields
    )
    assert None not in fields.values()


def test_a_task_is_stored_with_its_shard_which_no_change_touches() -> None:
    assert TASK.fields()["shard"] == shards.of(TASK.id)
    written, removed = record.changes(TASK, replace(TASK, status="failed", ended_at=AT))
    assert "shard" not in {*written, *removed}


def test_a_task_comes_back_from_the_store_as_it_was(world: World) -> None:
    ended = replace(
        TASK,
        status="failed",
        ended_at=AT,
        wake_at=None,
        expire_at=datetime(2026, 1, 2, 3, 4, 5, 6, UTC),
        error={"code": "agent_error", "detail": "no"},
        runs={"1": {"startedAt": AT, "charged": 5}},
    )
    version = world.store.commit([Put(ended.path, ended.fields())])
    assert world.task(ended.id) == replace(ended, version=version)


def test_what_does_not_exist_is_no_task() -> None:
    assert record.from_document(Document(path="tasks/a", data={}, version=MISSING)) is None


def test_fields_of_a_newer_release_are_left_alone() -> None:
    document = Document(path=TASK.path, data={**TASK.fields(), "newer": 1}, version=7)
    assert record.from_document(document) == replace(TASK, version=7)


CHANGES: dict[str, tuple[dict[str, Any], dict[str, Any], list[str]]] = {
    "what changed": ({"charged": 5, "attempts": 1}, {"charged": 5, "attempts": 1}, []),
    "what is new in a run": (
        {"runs": {"1": {"startedAt": 1, "charged": 2}}},
        {"runs.1.startedAt": 1, "runs.1.charged": 2},
        [],
    ),
    "a field that is gone": ({"trace_id": None}, {}, ["traceId"]),
}


@pytest.mark.parametrize(("after", "fields", "removed"), CHANGES.values(), ids=CHANGES)
def test_a_commit_writes_only_what_changed_and_when_the_task_is_due(
    after: dict[str, Any], fields: dict[str, Any], removed: list[str]
) -> None:
    assert record.changes(TASK, replace(TASK, **after)) == (
        {**fields, "wakeAt": TASK.wake_at},
        [*removed, "leaseUntil"],
    )


def test_a_run_that_is_known_is_written_field_by_field() -> None:
    before = replace(TASK, runs={"1": {"startedAt": 1, "charged": 2}})
    after = replace(TASK, runs={"1": {"startedAt": 1, "charged": 2, "endedAt": 3}, "2": {"a": 4}})
    written, _ = record.changes(before, after)
    assert {name for name in written if name.startswith("runs")} == {"runs.1.endedAt", "runs.2.a"}


MAYBE = st.none() | st.integers(0, 5)
RUNS = st.dictionaries(
    st.sampled_from("123"),
    st.dictionaries(st.sampled_from(["startedAt", "endedAt"]), MAYBE.filter(bool)),
)
STATES = st.builds(
    lambda status, charged, wake, error, runs: replace(
        TASK,
        status=status,
        charged=charged,
        wake_at=wake,
        error={"code": str(error)} if error else None,
        runs={name: run for name, run in runs.items() if run},
    ),
    st.sampled_from(record.STATUSES),
    st.integers(0, 5),
    MAYBE,
    MAYBE,
    RUNS,
)  # fmt: skip


@given(STATES, STATES)
def test_the_changes_between_two_states_lead_from_one_to_the_other(
    before: Task, after: Task
) -> None:
    """Runs only ever grow: the first state's stay beside the second's."""
    from shared.storage.sqlite import store

    fields, removed = record.changes(before, after)
    patched = store._patched(before.fields(), Patch(TASK.path, fields, 1, removed))
    grown = {
        name: {**before.runs.get(name, {}), **after.runs.get(name, {})}
        for name in {*before.runs, *after.runs}
    }
    assert patched == replace(after, runs=grown).fields()


def test_a_client_sees_times_in_rfc_3339_and_money_in_cents() -> None:
    view = views.shown(replace(TASK, charged=5, held=50_000))
    assert view["createdAt"] == SHOWN
    assert view["ttl"] == (AT + 60_000_000) / 1e6
    assert (view["budgetCents"], view["heldCents"], view["costCents"]) == (10, 5, 0.0005)
    assert view["payload"] == {"msg": "hi"}
    assert not {"op", "fingerprint", "version", "wakeAt", "purse", "ledger", "error"} & set(view)


def test_an_ended_task_holds_nothing_and_shows_its_result_even_if_that_is_null() -> None:
    ended = replace(
        TASK, status="succeeded", charged=50_000, held=50_000, result="null", ended_at=AT
    )
    view = views.shown(ended)
    assert (view["heldCents"], view["costCents"], view["endedAt"]) == (0, 5, SHOWN)
    assert view["result"] is None
    assert "result" not in views.shown(TASK)


def test_the_timeline_tells_what_happened_in_order() -> None:
    error = {"code": "agent_error", "detail": "no"}
    runs = {
        str(attempt): {
            "startedAt": AT + attempt,
            "charged": 50_000,
            "endedAt": AT + attempt,
            **failed,
        }
        for attempt, failed in [(10, {}), (2, {"error": error}), (1, {"error": error})]
    }
    ended = replace(TASK, status="succeeded", runs=runs, ended_at=AT + 20)
    timeline = views.timeline(ended)
    assert [(each["event"], each.get("attempt")) for each in timeline] == [
        ("queued", None),
        ("running", 1),
        ("attempt_failed", 1),
        ("running", 2),
        ("attempt_failed", 2),
        ("running", 10),
        ("succeeded", None),
    ]
    assert timeline[1]["chargedCents"] == 5
    assert timeline[2]["error"] == error
    assert timeline[0]["at"] == SHOWN


@given(st.integers(0, 4_000_000_000_000_000))
def test_a_time_is_shown_to_the_microsecond(micros: int) -> None:
    shown = clock.timestamp(micros) or ""
    epoch = datetime(1970, 1, 1, tzinfo=UTC)
    since = datetime.fromisoformat(shown) - epoch
    assert (since.days * 86_400 + since.seconds) * 1_000_000 + since.microseconds == micros
    assert shown.endswith("Z")


def test_the_id_of_a_keyed_task_depends_on_its_scope_alone() -> None:
    scopes = [("", "a"), ("", "b"), ("x", "a"), ("xa", ""), ("x", "", "a"), ("", "x", "a")]
    ids = {record.keyed_id(*scope) for scope in scopes}
    assert len(ids) == len(scopes)
    assert record.keyed_id("", "a") == record.keyed_id("", "a")
    assert all(len(each) == 32 for each in ids)


@pytest.mark.parametrize("status", record.STATUSES)
def test_a_state_is_live_or_terminal(status: Any) -> None:
    task = replace(TASK, status=status)
    assert task.terminal == (status not in record.LIVE) == (status in record.TERMINAL)


def test_a_callback_is_owed_once_all_has_ended_until_it_is_delivered() -> None:
    ended = replace(TASK, status="failed", open=False, callback={"state": "pending", "attempts": 0})
    assert ended.owes_callback
    assert not replace(ended, open=True).owes_callback
    assert not replace(ended, callback={"state": "delivered"}).owes_callback
    assert not replace(ended, callback=None).owes_callback
