"""The orchestrator's entrypoints: what each answers, and what it leaves behind."""

from __future__ import annotations

import json
import threading
import time
from typing import Any

import pytest
from flask.testing import FlaskClient

from shared import config, errors, runtime
from shared.tasks import commits, messages, view
from shared.tasks.record import Outcome
from tests.unit.conftest import COST, LEASE, World

ORDER = {"agent": "light", "payload": {"msg": "hi"}, "ttlSeconds": 60, "budgetCents": 10}


class TestDispatch:
    @pytest.fixture
    def client(self, world: World) -> FlaskClient:
        """The function."""
        return world.client("dispatch")

    @pytest.mark.parametrize("path", ["/dispatch", "/"])
    def test_it_answers_202_with_where_the_task_is_and_publishes_it(
        self, world: World, client: FlaskClient, path: str
    ) -> None:
        answer: Any = client.post(path, json=ORDER)
        task = world.task(answer.json["taskId"])
        assert answer.status_code == 202
        assert answer.headers["Location"] == f"/task/{task.id}"
        assert (answer.json["status"], answer.json["heldCents"]) == ("queued", 10)
        [message] = world.published("tasks")
        assert (message.data["taskId"], message.data["version"]) == (task.id, task.version)
        assert (message.data["payload"], message.data["budgetCents"]) == ({"msg": "hi"}, 10)
        assert message.attributes["agent"] == "light"

    def test_the_seed_s_body_is_taken(self, client: FlaskClient) -> None:
        body = '{"agent":"light","payload":{"msg":"hi"},"ttl":%s,"budgetCents":10,' % (
            time.time() + 60
        )
        body += '"idempotencyKey":"abc"}'
        answer = client.post("/dispatch", data=body, content_type="application/json")
        assert answer.status_code == 202

    def test_a_replay_answers_as_the_first_did_and_says_so(
        self, world: World, client: FlaskClient
    ) -> None:
        headers = {"Idempotency-Key": "k"}
        first, again = (client.post("/dispatch", json=ORDER, headers=headers) for _ in range(2))
        assert (first.status_code, first.json) == (again.status_code, again.json)
        assert "Idempotent-Replayed" not in first.headers
        assert again.headers["Idempotent-Replayed"] == "true"
        assert len(world.published("tasks")) == 1

    def test_a_replay_after_the_end_shows_the_end(self, world: World, client: FlaskClient) -> None:
        task = world.ended("succeeded", idempotencyKey="k")
        order = {**ORDER, "idempotencyKey": "k"}
        answer: Any = client.post("/dispatch", json=order)
        assert (answer.json["taskId"], answer.json["status"]) == (task.id, "succeeded")

    def test_a_replay_is_one_though_its_deadline_has_passed(
        self, world: World, client: FlaskClient
    ) -> None:
        ttl = world.clock.micros / 1_000_000 + 60
        order = {"agent": "light", "payload": 1, "ttl": ttl, "budgetCents": 10}
        keyed = {**order, "idempotencyKey": "k"}
        first: Any = client.post("/dispatch", json=keyed)
        world.clock.forward(61)
        again: Any = client.post("/dispatch", json=keyed)
        assert (again.status_code, again.json["taskId"]) == (202, first.json["taskId"])
        assert again.headers["Idempotent-Replayed"] == "true"
        for other in ({**keyed, "payload": 2}, {**keyed, "idempotencyKey": "new"}, order):
            assert client.post("/dispatch", json=other).status_code == 422

    def test_a_key_is_an_agent_s_own(self, world: World, client: FlaskClient) -> None:
        world.set(agents=("light", "codex"))
        orders = (
            {**ORDER, "agent": agent, "idempotencyKey": "abc"} for agent in ("light", "codex")
        )
        answers: list[Any] = [client.post("/dispatch", json=order) for order in orders]
        assert [answer.status_code for answer in answers] == [202, 202]
        assert len({answer.json["taskId"] for answer in answers}) == 2

    def test_a_header_s_trace_goes_on(self, world: World, client: FlaskClient) -> None:
        parent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
        client.post("/dispatch", json=ORDER, headers={"traceparent": parent})
        assert world.published("tasks")[0].data["traceId"] == parent.split("-")[1]

    def test_a_task_whose_message_cannot_leave_is_accepted_and_swept(
        self, world: World, client: FlaskClient, mocker: Any
    ) -> None:
        mocker.patch.object(type(world.services.bus), "publish", side_effect=errors.Unavailable)
        answer: Any = client.post("/dispatch", json=ORDER)
        assert (answer.status_code, answer.json["status"]) == (202, "queued")
        mocker.stopall()
        world.clock.forward(30)
        world.push(world.client("sweep"), {})
        assert world.published("tasks")[0].data["taskId"] == answer.json["taskId"]

    def test_a_store_that_is_away_is_503_and_nothing_is_published(
        self, world: World, client: FlaskClient, mocker: Any
    ) -> None:
        mocker.patch.object(world.store, "commit", side_effect=errors.Unavailable)
        answer: Any = client.post("/dispatch", json=ORDER)
        assert (answer.status_code, answer.json["code"]) == (503, "unavailable")
        assert world.published("tasks") == []

    REFUSED: tuple[tuple[dict[str, Any], int, str], ...] = (
        ({"agent": "nobody"}, 404, "unknown_agent"),
        ({"ttl": 1.0, "ttlSeconds": 1}, 422, "invalid"),
        ({"colour": "red"}, 422, "invalid"),
        ({"payload": "x" * 262_144}, 413, "too_large"),
    )

    @pytest.mark.parametrize(("asked", "status", "code"), REFUSED)
    def test_what_is_refused_leaves_nothing_behind(
        self, world: World, client: FlaskClient, asked: Any, status: int, code: str
    ) -> None:
        answer: Any = client.post("/dispatch", json={**ORDER, **asked})
        assert (answer.status_code, answer.json["code"]) == (status, code)
        assert answer.mimetype == "application/problem+json"
        assert world.published("tasks") == []
        assert world.client("get_task").get("/tasks").json == {"tasks": []}

    def test_a_past_deadline_is_refused_by_name(self, client: FlaskClient) -> None:
        past = {name: value for name, value in ORDER.items() if name != "ttlSeconds"} | {"ttl": 1.0}
        answer: Any = client.post("/dispatch", json=past)
        assert (answer.status_code, answer.json["errors"][0]["field"]) == (422, "ttl")
        assert "past" in answer.json["detail"]

    def test_http_mode_without_the_agent_s_address_is_misconfigured(
        self, client: FlaskClient
    ) -> None:
        answer: Any = client.post("/dispatch", json={**ORDER, "mode": "http"})
        assert (answer.status_code, answer.json["code"]) == (500, "misconfigured")
        assert "AGENT_LIGHT_URL" in answer.json["detail"]


class TestGetTask:
    @pytest.fixture
    def client(self, world: World) -> FlaskClient:
        """The function."""
        return world.client("get_task")

    def test_it_shows_the_task(self, world: World, client: FlaskClient) -> None:
        task = world.queued()
        answer = client.get(f"/task/{task.id}")
        assert (answer.status_code, answer.json) == (200, view.shown(task))

    def test_a_wait_on_an_ended_task_answers_at_once(
        self, world: World, client: FlaskClient
    ) -> None:
        task = world.ended("failed")
        assert client.get(f"/task/{task.id}?wait=300").json == view.shown(world.task(task.id))

    def test_a_wait_shows_the_task_as_it_stands_when_time_is_up(
        self, world: World, client: FlaskClient
    ) -> None:
        answer: Any = client.get(f"/task/{world.queued().id}?wait=0.05")
        assert answer.json["status"] == "queued"

    def test_a_wait_ends_with_the_task(self, world: World, client: FlaskClient) -> None:
        task = world.running()
        done = Outcome(status="succeeded", result="1")
        ending = threading.Timer(0.1, commits.finish, (world.services, task, done))
        ending.start()
        answer: Any = client.get(f"/task/{task.id}?wait=300")
        ending.join()
        assert answer.json["status"] == "succeeded"

    @pytest.mark.parametrize("id_", ["0" * 32, "x", "..", "0" * 31, "%2e%2e%2faccounts"])
    def test_no_task_is_404(self, client: FlaskClient, id_: str) -> None:
        answer: Any = client.get(f"/task/{id_}")
        assert (answer.status_code, answer.mimetype) == (404, "application/problem+json")

    @pytest.mark.parametrize("query", ["wait=-1", "wait=x", "wait=301", "weight=1"])
    def test_a_bad_wait_names_itself(self, world: World, client: FlaskClient, query: str) -> None:
        answer: Any = client.get(f"/task/{world.queued().id}?{query}")
        assert (answer.status_code, answer.json["errors"][0]["field"]) == (
            422,
            query[: query.index("=")],
        )


class TestCancelTask:
    @pytest.fixture
    def client(self, world: World) -> FlaskClient:
        """The function."""
        return world.client("cancel_task")

    def test_it_ends_the_task_and_again_says_the_same(
        self, world: World, client: FlaskClient
    ) -> None:
        task = world.running()
        first, again = (client.post(f"/task/{task.id}/cancel") for _ in range(2))
        assert (first.status_code, first.json) == (again.status_code, again.json)
        assert (first.json or {})["status"] == "cancelled"

    @pytest.mark.parametrize("status", ["succeeded", "failed", "expired"])
    def test_what_has_ended_otherwise_stays_so(
        self, world: World, client: FlaskClient, status: Any
    ) -> None:
        task = world.ended(status)
        answer: Any = client.post(f"/task/{task.id}/cancel")
        assert (answer.status_code, answer.json["code"]) == (409, "task_ended")
        assert world.task(task.id).status == status

    def test_no_task_is_404(self, client: FlaskClient) -> None:
        answer: Any = client.post(f"/task/{'0' * 32}/cancel")
        assert (answer.status_code, answer.json["code"]) == (404, "unknown_task")

    def test_only_post_cancels(self, client: FlaskClient) -> None:
        answer: Any = client.get(f"/task/{'0' * 32}/cancel")
        assert (answer.status_code, answer.headers["Allow"]) == (405, "POST")


class TestResults:
    @pytest.fixture
    def client(self, world: World) -> FlaskClient:
        """The function."""
        return world.client("results")

    @pytest.mark.parametrize("path", ["/pubsub/results", "/"])
    def test_a_result_ends_its_task(self, world: World, client: FlaskClient, path: str) -> None:
        task = world.running()
        done = messages.result(task, Outcome(status="succeeded", result='{"a":1}'))
        assert world.push(client, done, path).status_code == 204
        stored = world.task(task.id)
        assert (stored.status, stored.result, stored.held) == ("succeeded", '{"a":1}', 50_000)

    def test_a_result_of_null_is_a_result(self, world: World, client: FlaskClient) -> None:
        task = world.running()
        world.push(client, messages.result(task, Outcome(status="succeeded", result="null")))
        assert view.shown(world.task(task.id))["result"] is None

    def test_a_result_too_large_for_its_document_fails_the_task(
        self, world: World, client: FlaskClient
    ) -> None:
        task = world.running()
        done = messages.result(task, Outcome(status="succeeded", result="null"))
        assert world.push(client, {**done, "result": [1e15] * 16_000}).status_code == 204
        stored = world.task(task.id)
        assert (stored.status, stored.result, stored.held) == ("failed", None, COST)
        assert (stored.error or {})["code"] == "result_too_large"

    def test_late_twice_and_fenced_results_are_acknowledged_and_change_nothing(
        self, world: World, client: FlaskClient
    ) -> None:
        first = world.running(ttlSeconds=600)
        world.clock.forward(LEASE + 1)
        second = commits.claim(world.services, world.task(first.id), COST, LEASE)
        zombie = messages.result(first, Outcome(status="succeeded", result='"zombie"'))
        true = messages.result(second, Outcome(status="succeeded", result='"true"'))
        answers = [world.push(client, each) for each in (zombie, true, true, zombie)]
        assert [answer.status_code for answer in answers] == [204] * 4
        stored = world.task(first.id)
        assert (stored.result, stored.charged, stored.held) == ('"true"', 2 * COST, 2 * COST)

    def test_an_owed_callback_is_handed_on(self, world: World, client: FlaskClient) -> None:
        world.set(callback_secrets=("whsec_" + "A" * 32,))
        task = world.running(callbackUrl="https://93.184.216.34/hook")
        world.push(client, messages.result(task, Outcome(status="failed")))
        assert [each.data for each in world.published("callbacks")] == [{"taskId": task.id}]

    def test_the_seed_s_result_by_hand_is_taken(self, world: World, client: FlaskClient) -> None:
        task = world.queued()
        data = {"taskId": task.id, "status": "succeeded", "result": {"ok": True}, "costCents": 5}
        assert world.push(client, data, "/pubsub/results").status_code == 204
        assert world.task(task.id).status == "succeeded"

    @pytest.mark.parametrize(
        "data", [{}, [], "x", {"taskId": "0" * 32, "status": "succeeded"}, {"taskId": 5}]
    )
    def test_what_can_never_settle_is_recorded_and_acknowledged(
        self, world: World, client: FlaskClient, data: Any, capsys: pytest.CaptureFixture[str]
    ) -> None:
        assert world.push(client, data).status_code == 204
        logged = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
        assert "dead letter" in [line["message"] for line in logged]

    def test_a_store_that_is_away_lets_the_result_come_again(
        self, world: World, client: FlaskClient, mocker: Any
    ) -> None:
        done = messages.result(world.running(), Outcome(status="succeeded", result="1"))
        mocker.patch.object(world.store, "commit", side_effect=errors.Unavailable)
        assert world.push(client, done).status_code == 503
        mocker.stopall()
        assert world.push(client, done).status_code == 204


@pytest.mark.parametrize("target", ["dispatch", "get_task", "cancel_task", "results", "sweep"])
def test_a_function_knows_its_own_paths_alone(world: World, target: str) -> None:
    client = world.client(target)
    assert client.get("/health").json == client.get("/healthz").json == {"status": "ok"}
    answer: Any = client.get("/nothing/here")
    assert (answer.status_code, answer.json["code"]) == (404, "not_found")


def test_a_misconfigured_function_says_what_is_missing(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = world.client("get_task")
    monkeypatch.setattr(runtime, "_current", None)
    monkeypatch.setattr(config, "load", _refuses)
    answer: Any = client.get("/health")
    assert (answer.status_code, answer.json["code"]) == (500, "misconfigured")


def _refuses() -> None:
    raise errors.Misconfigured("MAX_ATTEMPTS: must be an integer")
