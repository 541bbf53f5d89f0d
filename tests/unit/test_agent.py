"""An agent is claimed, charged and fenced, whether it is pushed or run."""

from __future__ import annotations

import base64
import json
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from shared import errors
from shared.tasks import commits, record, view as views
from shared.tasks.record import Task
from tests.unit.conftest import World

SOURCE = Path(__file__).parent / "agents.py"
RUN = {"payload": {"msg": "hi"}, "ttl": time.time() + 3600, "budgetCents": 10, "agent": "test"}


@pytest.fixture
def agent(world: World) -> Any:
    """The agent `test`."""
    return world.client("agent_test", SOURCE)


def runs() -> list[int]:
    """The attempts in which the agent's own code ran."""
    found: list[int] = sys.modules["agents"].RUNS
    return found


def dispatched(world: World, payload: Any, **asked: Any) -> tuple[Task, Any]:
    """A queued task, and the data of its message."""
    from shared.tasks import publish

    task = world.queued(payload=payload, agent="test", **asked)
    publish.to_agent(world.services, task)
    [message] = world.published("tasks")
    return task, message.data


RETURNS: tuple[tuple[Any, str], ...] = (
    ("nan", "result_invalid"),
    ("an object", "result_invalid"),
    (256 * 1024, "result_too_large"),
)


WRONG: tuple[tuple[Any, str], ...] = (
    ({"payload": 1, "taskId": "0" * 32}, "unknown_task"),
    ({"payload": 1, "taskId": "a/b"}, "invalid"),
    ({"payload": 1, "budgetCents": "x"}, "invalid"),
    ({"payload": 1, "agent": "other"}, "invalid"),
)


class TestPush:
    def test_a_task_is_run_once_and_its_result_published(self, world: World, agent: Any) -> None:
        task, message = dispatched(world, {"msg": "hi"})
        assert world.push(agent, message).status_code == 204
        [result] = world.published("results")
        stored = world.task(task.id)
        assert (stored.status, stored.attempts, stored.charged) == ("running", 1, 50_000)
        assert result.data["result"] == {"echo": {"msg": "hi"}}
        assert (result.data["status"], result.data["costCents"]) == ("succeeded", 5)
        assert result.data["version"] == stored.version
        assert result.attributes["taskId"] == task.id
        assert runs() == [1]

    @pytest.mark.parametrize("path", ["/", "/pubsub/push"])
    def test_it_takes_pushes_at_both_paths(self, world: World, agent: Any, path: str) -> None:
        _, message = dispatched(world, 1)
        assert world.push(agent, message, path).status_code == 204
        assert len(world.published("results")) == 1

    def test_the_same_push_twenty_times_is_one_run_one_charge_one_result(
        self, world: World, agent: Any
    ) -> None:
        task, message = dispatched(world, 1)
        answers = {world.push(agent, message).status_code for _ in range(20)}
        assert answers == {204}
        assert runs() == [1]
        assert len(world.published("results")) == 1
        assert world.task(task.id).charged == 50_000

    def test_a_push_left_alone_is_logged_with_its_task_though_no_attribute_names_it(
        self, world: World, agent: Any, capsys: pytest.CaptureFixture[str]
    ) -> None:
        for _ in range(2):
            world.push(agent, {"msg": "bare"}, messageId="m1")
        lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
        [result] = world.published("results")
        named = {each["message"]: (each.get("taskId"), each.get("attempt")) for each in lines}
        assert named["left alone"] == named["running"] == (result.data["taskId"], 1)

    @pytest.mark.parametrize("data", [{"msg": "bare"}, [1, 2], "text", None, 0, {}])
    def test_a_bare_payload_becomes_a_task_and_its_redelivery_is_the_same(
        self, world: World, agent: Any, data: Any
    ) -> None:
        for _ in range(3):
            assert world.push(agent, data, messageId="m1").status_code == 204
        [result] = world.published("results")
        assert result.data["result"] == {"echo": data}
        task = world.task(result.data["taskId"])
        assert (task.agent, task.budget, task.charged) == ("test", 1_000_000, 50_000)
        assert runs() == [1]
        world.push(agent, data, messageId="m2")
        assert world.published("results")[0].data["taskId"] != task.id

    def test_a_push_by_hand_without_a_message_id_is_a_task_of_its_own(
        self, world: World, agent: Any
    ) -> None:
        for payload in (b'{"n":1}', b'{"n":2}', b'{"n":2}'):
            message = {"data": base64.b64encode(payload).decode()}
            assert agent.post("/pubsub/push", json={"message": message}).status_code == 204
        told = [result.data["result"]["echo"]["n"] for result in world.published("results")]
        assert told == [1, 2, 2]

    def test_a_full_run_object_by_hand_is_the_seed_s(self, world: World, agent: Any) -> None:
        named = {"idempotencyKey": "k", "traceId": "t"}
        data = {"payload": 1, "ttl": time.time() + 60, "budgetCents": 10, **named}
        world.push(agent, data, messageId="m1")
        world.push(agent, data, messageId="m2")  # the key says it is the same
        [result] = world.published("results")
        assert result.data["taskId"] == record.keyed_id("", "test", "k")
        assert result.data["traceId"] == "t"

    def test_an_expired_task_never_runs_and_costs_nothing(self, world: World, agent: Any) -> None:
        task, message = dispatched(world, 1, ttlSeconds=5)
        world.clock.forward(5)
        assert world.push(agent, message).status_code == 204
        [result] = world.published("results")
        assert (result.data["status"], result.data["costCents"]) == ("expired", 0)
        assert world.push(world.client("results"), result.data).status_code == 204
        assert (world.task(task.id).status, world.task(task.id).held) == ("expired", 0)
        assert runs() == []

    def test_a_budget_that_does_not_suffice_fails_the_task_before_it_runs(
        self, world: World, agent: Any
    ) -> None:
        task, message = dispatched(world, 1, budgetCents=4.99)
        world.push(agent, message)
        world.push(world.client("results"), world.published("results")[0].data)
        stored = world.task(task.id)
        assert (stored.status, stored.charged, stored.held) == ("failed", 0, 0)
        error = stored.error or {}
        assert (error["code"], error["limitCents"]) == ("budget_exceeded", 4.99)
        assert runs() == []

    def test_an_attempt_that_fails_is_delivered_again_and_the_last_one_is_final(
        self, world: World, agent: Any
    ) -> None:
        world.set(max_attempts=3)
        task, message = dispatched(world, {"raise": "no", "until": 9}, budgetCents=100)
        answers = [world.push(agent, message) for _ in range(5)]
        assert [answer.status_code for answer in answers] == [503, 503, 204, 204, 204]
        assert (answers[0].json or {})["code"] == "attempt_failed"
        [result] = world.published("results")
        world.push(world.client("results"), result.data)
        stored = world.task(task.id)
        assert (stored.status, stored.attempts, stored.charged) == ("failed", 3, 150_000)
        assert stored.error == {"code": "agent_error", "detail": "RuntimeError: no"}
        assert runs() == [1, 2, 3]

    def test_what_an_agents_code_raised_is_logged_with_where_it_came_from(
        self, world: World, agent: Any, capsys: pytest.CaptureFixture[str]
    ) -> None:
        _, message = dispatched(world, {"raise": "no", "until": 1})
        world.push(agent, message)
        lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
        [failed] = [line for line in lines if line["message"] == "attempt failed"]
        assert failed["exception"] == "RuntimeError('no')"
        assert "raise RuntimeError(DETAILS" in failed["stack"]

    def test_a_failure_that_recovers_succeeds(self, world: World, agent: Any) -> None:
        task, message = dispatched(world, {"raise": "no", "until": 1})
        assert [world.push(agent, message).status_code for _ in range(2)] == [503, 204]
        world.push(world.client("results"), world.published("results")[0].data)
        stored = world.task(task.id)
        assert (stored.status, stored.attempts, stored.error) == ("succeeded", 2, None)
        events = [each["event"] for each in views.timeline(stored)]
        assert events == ["queued", "running", "attempt_failed", "running", "succeeded"]

    @pytest.mark.parametrize("kind", ["fail", "raise"])
    @pytest.mark.parametrize("detail", ["no", "long", "lone surrogate", "empty"])
    def test_whatever_an_agent_says_of_its_failure_ends_its_task(
        self, world: World, agent: Any, kind: str, detail: str
    ) -> None:
        world.set(max_attempts=1)
        task, message = dispatched(
            world, {kind: detail, **({"until": 9} if kind == "raise" else {})}
        )
        assert world.push(agent, message).status_code == 204
        [result] = world.published("results")
        assert world.push(world.client("results"), result.data).status_code == 204
        stored = world.task(task.id)
        assert (stored.status, stored.attempts) == ("failed", 1)
        error = stored.error or {}
        assert error["code"] == ("agent_failed" if kind == "fail" else "agent_error")
        assert ("no" in error["detail"]) == (detail != "empty")

    def test_a_failure_is_final_and_says_its_code(self, world: World, agent: Any) -> None:
        task, message = dispatched(world, {"fail": "no such page", "code": "page_missing"})
        assert world.push(agent, message).status_code == 204
        world.push(world.client("results"), world.published("results")[0].data)
        stored = world.task(task.id)
        assert (stored.status, stored.attempts) == ("failed", 1)
        assert stored.error == {"code": "page_missing", "detail": "no such page"}

    def test_a_code_that_is_none_is_the_agent_s_own_mistake(self, world: World, agent: Any) -> None:
        world.set(max_attempts=1)
        task, message = dispatched(world, {"fail": "no", "code": "Not Found!"})
        world.push(agent, message)
        world.push(world.client("results"), world.published("results")[0].data)
        error = world.task(task.id).error or {}
        assert error["code"] == "agent_error"
        assert "code" in error["detail"]

    @pytest.mark.parametrize(("returned", "code"), RETURNS)
    def test_a_result_that_cannot_be_kept_fails_the_task(
        self, world: World, agent: Any, returned: Any, code: str
    ) -> None:
        task, message = dispatched(world, {"return": returned})
        assert world.push(agent, message).status_code == 204
        [result] = world.published("results")
        assert (result.data["status"], result.data["error"]["code"]) == ("failed", code)
        assert world.push(world.client("results"), result.data).status_code == 204
        assert world.task(task.id).status == "failed"

    def test_the_largest_result_gets_through(self, world: World, agent: Any) -> None:
        task, message = dispatched(world, {"return": 256 * 1024 - 2})
        world.push(agent, message)
        world.push(world.client("results"), world.published("results")[0].data)
        assert len(world.task(task.id).result or "") == 256 * 1024

    def test_a_cancelled_task_does_not_run(self, world: World, agent: Any) -> None:
        task, message = dispatched(world, 1)
        commits.cancel(world.services, task.id)
        assert world.push(agent, message).status_code == 204
        assert (runs(), world.published("results")) == ([], [])

    def test_an_agent_is_told_about_its_run(self, world: World, agent: Any) -> None:
        task, message = dispatched(world, {"tell": True}, traceId="t", budgetCents=12.5)
        world.push(agent, message)
        assert world.published("results")[0].data["result"] == {
            "taskId": task.id,
            "attempt": 1,
            "traceId": "t",
            "deadline": task.deadline / 1e6,
            "budgetCents": 12.5,
            "remainingCents": 7.5,
        }

    @pytest.mark.parametrize(("data", "code"), WRONG)
    def test_what_can_never_succeed_is_recorded_and_acknowledged(
        self, world: World, agent: Any, data: Any, code: str
    ) -> None:
        from shared.storage.store import Query

        assert world.push(agent, data).status_code == 204
        [letter] = world.store.query(Query(collection="dead_letters"))
        assert letter.data["code"] == code
        assert runs() == []

    @pytest.mark.parametrize(
        ("body", "code"),
        [
            (b'{"message":' + b" " * 512 * 1024, "too_large"),
            (b"\xff" * 512 * 1024, "malformed"),
            (json.dumps({"message": {"attributes": dict.fromkeys("abcdefgh" * 9, 1)}}), "invalid"),
            (json.dumps({"message": {str(n): 1 for n in range(9)} | {"attributes": {
                f"{n}": n for n in range(30_000)}}}), "invalid"),
        ],
        ids=["too large", "no text", "a few faults", "thousands of faults"],
    )  # fmt: skip
    def test_what_is_recorded_fits_a_document_whatever_it_is(
        self, world: World, agent: Any, body: bytes, code: str
    ) -> None:
        from shared.storage.store import Query

        assert agent.post("/pubsub/push", data=body).status_code == 204
        [letter] = world.store.query(Query(collection="dead_letters"))
        assert letter.data["code"] == code
        assert letter.data["body"].startswith(("{", "\ufffd"))
        texts = [each for each in letter.data.values() if isinstance(each, str)]
        assert len("".join(texts).encode()) < 1_000_000

    def test_a_result_that_cannot_be_published_is_settled_in_place(
        self, world: World, agent: Any, mocker: Any
    ) -> None:
        task, message = dispatched(world, 1)
        mocker.patch.object(type(world.services.bus), "publish", side_effect=errors.Unavailable)
        assert world.push(agent, message).status_code == 204
        assert world.task(task.id).status == "succeeded"

    def test_a_store_that_is_away_lets_the_message_come_again(
        self, world: World, agent: Any, mocker: Any
    ) -> None:
        task, message = dispatched(world, 1)
        mocker.patch.object(world.store, "commit", side_effect=errors.Unavailable)
        answer = world.push(agent, message)
        assert (answer.status_code, (answer.json or {})["code"]) == (503, "unavailable")
        mocker.stopall()
        assert world.push(agent, message).status_code == 204
        assert (world.task(task.id).attempts, runs()) == (1, [1])


class TestTerms:
    def test_an_agent_s_own_terms_count(self, world: World) -> None:
        client = world.client("agent_own_terms", SOURCE)
        message = {"payload": {"raise": "no", "until": 9}}
        assert [world.push(client, message).status_code for _ in range(2)] == [503, 204]
        [task] = everything(world)
        assert (task.agent, task.charged, task.max_attempts) == ("own-terms", 50_000, 2)

    def test_the_lease_is_the_agent_s(self, world: World) -> None:
        world.push(world.client("agent_own_terms", SOURCE), {"payload": 1})
        [task] = everything(world)
        assert task.lease_until == world.clock.micros + 7_000_000

    def test_the_environment_overrides_cost_and_lease(self, world: World, agent: Any) -> None:
        world.set(agent_cost_per_run_cents=0, lease_seconds=3.0)
        world.push(agent, {"payload": 1})
        [task] = everything(world)
        assert (task.charged, task.lease_until) == (0, world.clock.micros + 3_000_000)


def everything(world: World) -> list[Task]:
    """All tasks."""
    from shared.storage.store import Query

    found = world.store.query(Query(collection=record.COLLECTION))
    return [task for task in map(record.from_document, found) if task]


ENDS: dict[str, tuple[dict[str, Any], str, str]] = {
    "past": ({"ttl": 1}, "expired", "expired"),
    "poor": ({"budgetCents": 4}, "failed", "budget_exceeded"),
}


BAD: tuple[tuple[dict[str, Any], int], ...] = (
    ({"data": "{", "content_type": "application/json"}, 400),
    ({"json": [1]}, 422),
    ({"json": {}}, 422),
    ({"data": "{}", "content_type": "text/plain"}, 415),
)


class TestRun:
    def test_it_runs_and_answers_with_the_ended_task(self, world: World, agent: Any) -> None:
        answer = agent.post("/run", json=RUN)
        assert answer.status_code == 200
        view = answer.json
        assert (view["status"], view["result"]) == ("succeeded", {"echo": {"msg": "hi"}})
        assert (view["costCents"], view["heldCents"], view["budgetCents"]) == (5, 0, 10)
        stored = world.task(view["taskId"])
        assert (stored.status, stored.held) == ("succeeded", 50_000)
        assert world.published("results") == []

    def test_without_a_key_every_run_is_another(self, world: World, agent: Any) -> None:
        ids = {agent.post("/run", json=RUN).json["taskId"] for _ in range(2)}
        assert (len(ids), runs()) == (2, [1, 1])

    @pytest.mark.parametrize("where", ["body", "header"])
    def test_with_a_key_it_is_run_once_and_replayed(
        self, world: World, agent: Any, where: str
    ) -> None:
        body = {**RUN, "idempotencyKey": "k"} if where == "body" else RUN
        headers = {"Idempotency-Key": "k"} if where == "header" else {}
        first, again = (agent.post("/run", json=body, headers=headers) for _ in range(2))
        assert first.json == again.json
        assert "Idempotent-Replayed" not in first.headers
        assert again.headers["Idempotent-Replayed"] == "true"
        assert runs() == [1]

    def test_the_key_of_another_body_is_refused(self, world: World, agent: Any) -> None:
        agent.post("/run", json={**RUN, "idempotencyKey": "k"})
        answer = agent.post("/run", json={**RUN, "idempotencyKey": "k", "payload": 2})
        assert (answer.status_code, answer.json["code"]) == (422, "idempotency_key_reused")

    @pytest.mark.parametrize(("asked", "status", "code"), ENDS.values(), ids=ENDS)
    def test_ttl_and_budget_hold_without_an_orchestrator(
        self, world: World, agent: Any, asked: dict[str, Any], status: str, code: str
    ) -> None:
        answer = agent.post("/run", json={**RUN, **asked})
        assert answer.status_code == 200
        assert (answer.json["status"], answer.json["error"]["code"]) == (status, code)
        assert (answer.json["costCents"], runs()) == (0, [])

    def test_its_failure_is_the_task_s(self, world: World, agent: Any) -> None:
        answer = agent.post("/run", json={**RUN, "payload": {"raise": "no", "until": 9}})
        assert (answer.status_code, answer.json["status"]) == (200, "failed")
        assert answer.json["error"] == {"code": "agent_error", "detail": "RuntimeError: no"}
        assert runs() == [1]

    def test_a_run_of_a_dispatched_task_is_that_task(self, world: World, agent: Any) -> None:
        task, message = dispatched(world, {"msg": "hi"})
        view = agent.post("/run", json=message).json
        assert (view["taskId"], view["status"]) == (task.id, "succeeded")
        again = agent.post("/run", json=message)
        assert again.headers["Idempotent-Replayed"] == "true"
        assert runs() == [1]

    def test_another_attempt_that_is_running_is_waited_for(self, world: World, agent: Any) -> None:
        world.set(agent_timeout_seconds=0.05)
        _, message = dispatched(world, 1)
        world.push(agent, message)  # its result is under way
        answer = agent.post("/run", json=message)
        assert (answer.status_code, answer.json["code"]) == (409, "in_progress")
        assert answer.headers["Retry-After"] == "1"
        world.push(world.client("results"), world.published("results")[0].data)
        assert agent.post("/run", json=message).json["status"] == "succeeded"

    def test_another_agent_s_run_is_refused(self, world: World, agent: Any) -> None:
        answer = agent.post("/run", json={**RUN, "agent": "other"})
        assert (answer.status_code, answer.json["errors"][0]["field"]) == (422, "agent")

    @pytest.mark.parametrize(("request_", "status"), BAD)
    def test_a_bad_request_is_a_problem_document(
        self, agent: Any, request_: dict[str, Any], status: int
    ) -> None:
        answer = agent.post("/run", **request_)
        assert answer.status_code == status
        assert answer.mimetype == "application/problem+json"
        assert answer.json["status"] == status


@pytest.mark.parametrize("path", ["/health", "/healthz"])
def test_an_agent_says_that_it_is_well(agent: Any, path: str) -> None:
    assert agent.get(path).json == {"status": "ok"}


def test_a_bug_in_the_machinery_tells_nothing_internal(
    world: World, agent: Any, mocker: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    mocker.patch.object(world.store, "commit", side_effect=KeyError("secret detail"))
    answer = agent.post("/run", json=RUN)
    assert (answer.status_code, answer.json["code"]) == (500, "internal")
    assert "secret" not in answer.text
    assert "secret detail" in capsys.readouterr().out
