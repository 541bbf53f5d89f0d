"""Every line of the seed's README works against a running `emulators/up`."""

from __future__ import annotations

import time

import requests

from tests.flow.cloud import Cloud, envelope, eventually


def test_both_services_are_healthy(cloud: Cloud) -> None:
    for url in (cloud.url, cloud.agent("light")):
        for path in ("/health", "/healthz"):
            assert requests.get(url + path, timeout=10).status_code == 200


def test_a_dispatch_without_a_mode_goes_through_pubsub(cloud: Cloud) -> None:
    answer = cloud.dispatch(ttl=time.time() + 60, idempotencyKey=f"seed-{time.time()}")
    assert answer.status_code == 202
    task = answer.json()
    assert answer.headers["Location"] == f"/task/{task['taskId']}"
    ended = cloud.ended(task["taskId"])
    assert (ended["status"], ended["result"]) == ("succeeded", {"echo": {"msg": "hi"}})
    assert (ended["costCents"], ended["heldCents"]) == (5, 0)
    assert [event["event"] for event in ended["timeline"]] == [
        "queued",
        "running",
        "published",
        "succeeded",
    ]


def test_a_dispatch_in_http_mode_answers_with_the_outcome(cloud: Cloud) -> None:
    answer = cloud.dispatch(mode="http")
    assert answer.status_code == 200
    assert answer.json()["result"] == {"echo": {"msg": "hi"}}
    assert cloud.task(answer.json()["taskId"])["status"] == "succeeded"


def test_the_same_key_for_another_agent_is_another_task(cloud: Cloud) -> None:
    """As in the seed, whose two dispatches are both keyed `abc`: a key was an agent's own."""
    key = f"abc-{time.time()}"
    answers = [cloud.dispatch(agent, idempotencyKey=key) for agent in ("light", "elsewhere")]
    assert [answer.status_code for answer in answers] == [202, 202]
    assert len({answer.json()["taskId"] for answer in answers}) == 2


def test_run_answers_with_the_outcome_with_and_without_a_key(cloud: Cloud) -> None:
    url = f"{cloud.agent('light')}/run"
    body = {"payload": {"msg": "hi"}, "ttl": time.time() + 60, "budgetCents": 10}
    first = requests.post(url, json=body, timeout=30)
    assert (first.status_code, first.json()["status"]) == (200, "succeeded")
    keyed = {**body, "idempotencyKey": f"run-{time.time()}"}
    answers = [requests.post(url, json=keyed, timeout=30) for _ in range(2)]
    assert answers[0].json() == answers[1].json()
    assert "Idempotent-Replayed" not in answers[0].headers
    assert answers[1].headers["Idempotent-Replayed"] == "true"


def test_a_full_push_by_hand_runs_the_agent(cloud: Cloud) -> None:
    key = f"push-{time.time()}"
    run = {"payload": {"by": "hand"}, "ttl": time.time() + 60, "budgetCents": 10}
    assert cloud.push({**run, "idempotencyKey": key, "traceId": "t"}).status_code == 204
    task = eventually(lambda: _by(cloud, "idempotencyKey", key))
    assert cloud.ended(task["taskId"])["result"] == {"echo": {"by": "hand"}}


def test_a_bare_payload_pushed_by_hand_becomes_a_task(cloud: Cloud) -> None:
    payload = {"bare": time.time()}
    assert cloud.push(payload).status_code == 204
    task = eventually(lambda: _by(cloud, "payload", payload))
    assert cloud.ended(task["taskId"])["result"] == {"echo": payload}


def test_a_result_pushed_by_hand_settles_its_task(cloud: Cloud) -> None:
    """An agent in any language takes part: the task waits in the queue of an agent not deployed."""
    task_id = cloud.dispatch(agent="elsewhere").json()["taskId"]
    result = {"taskId": task_id, "status": "succeeded", "result": [1, 2], "costCents": 7}
    url = f"{cloud.url}/pubsub/results"
    assert requests.post(url, json=envelope(result), timeout=10).status_code == 204
    ended = cloud.ended(task_id)
    assert (ended["status"], ended["result"], ended["costCents"]) == ("succeeded", [1, 2], 7)


def test_a_result_that_costs_more_than_the_budget_fails_its_task_at_the_budget(
    cloud: Cloud,
) -> None:
    task_id = cloud.dispatch(agent="elsewhere").json()["taskId"]
    result = {"taskId": task_id, "status": "succeeded", "result": 1, "costCents": 11}
    requests.post(f"{cloud.url}/pubsub/results", json=envelope(result), timeout=10)
    ended = cloud.ended(task_id)
    assert (ended["status"], ended["error"]["code"]) == ("failed", "budget_exceeded")
    assert ended["costCents"] == 10


def _by(cloud: Cloud, field: str, value: object) -> dict[str, str] | None:
    tasks = cloud.get("/tasks?agent=light&limit=200").json()["tasks"]
    return next((task for task in tasks if task.get(field) == value), None)
