"""What is promised of a task holds from end to end."""

from __future__ import annotations

import json
import os
import signal
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path

import requests

from tests.flow.cloud import Cloud, envelope, eventually, marks


def test_a_hundred_dispatches_with_one_key_are_one_task_and_one_run(
    cloud: Cloud, mark: Path
) -> None:
    order = {"agent": "probe", "payload": {"mark": str(mark)}, "idempotencyKey": mark.name}
    with ThreadPoolExecutor(25) as pool:
        answers = list(pool.map(lambda _: cloud.dispatch(**order), range(100)))
    assert {answer.status_code for answer in answers} == {202}
    assert len({answer.json()["taskId"] for answer in answers}) == 1
    replayed = [answer.headers.get("Idempotent-Replayed") for answer in answers]
    assert replayed.count("true") == 99
    same = ("taskId", "agent", "payload", "budgetCents", "createdAt", "traceId", "ttl")
    assert len({json.dumps([answer.json()[name] for name in same]) for answer in answers}) == 1
    cloud.ended(answers[0].json()["taskId"])
    assert marks(mark) == ["1"]


def test_a_key_used_for_another_body_is_refused(cloud: Cloud, mark: Path) -> None:
    cloud.dispatch(idempotencyKey=mark.name)
    answer = cloud.dispatch(idempotencyKey=mark.name, payload="another")
    assert (answer.status_code, answer.json()["code"]) == (422, "idempotency_key_reused")


def test_a_replay_after_the_end_shows_the_ended_task(cloud: Cloud, mark: Path) -> None:
    cloud.ended(cloud.dispatch(idempotencyKey=mark.name).json()["taskId"])
    again = cloud.dispatch(idempotencyKey=mark.name)
    assert again.headers["Idempotent-Replayed"] == "true"
    assert again.json()["status"] == "succeeded"


def test_a_task_that_expires_in_the_queue_costs_nothing_and_never_runs(
    cloud: Cloud, mark: Path
) -> None:
    agent = cloud.cluster.pid("agent_probe")
    assert agent
    os.killpg(agent, signal.SIGSTOP)
    try:
        payload = {"mark": str(mark)}
        task_id = cloud.dispatch("probe", payload=payload, ttlSeconds=0.5).json()["taskId"]
        ended = cloud.ended(task_id)
    finally:
        os.killpg(agent, signal.SIGCONT)
    assert (ended["status"], ended["costCents"], ended["attempts"]) == ("expired", 0, 0)
    # Whatever was pushed to the agent meanwhile is now answered, and must not run it.
    later = cloud.dispatch("probe", payload={"mark": f"{mark}-later"}).json()["taskId"]
    assert cloud.ended(later)["status"] == "succeeded"
    assert marks(mark) == []


def test_an_agent_that_costs_more_than_the_budget_never_runs(cloud: Cloud, mark: Path) -> None:
    answer = cloud.dispatch("probe", payload={"mark": str(mark)}, budgetCents=4.9999)
    ended = cloud.ended(answer.json()["taskId"])
    assert (ended["status"], ended["error"]["code"]) == ("failed", "budget_exceeded")
    assert ended["costCents"] == 0
    assert marks(mark) == []


def test_an_attempt_that_fails_is_tried_again_and_charged_again(cloud: Cloud, mark: Path) -> None:
    payload = {"mark": str(mark), "failures": 1}
    ended = cloud.ended(cloud.dispatch("probe", payload=payload).json()["taskId"])
    assert (ended["status"], ended["attempts"], ended["costCents"]) == ("succeeded", 2, 10)
    assert "error" not in ended
    assert marks(mark) == ["1", "2"]


def test_the_same_push_twenty_times_at_once_is_one_run_and_one_result(
    cloud: Cloud, mark: Path
) -> None:
    payload = {"mark": str(mark), "seconds": 0.3}
    with ThreadPoolExecutor(20) as pool:
        pushes = [pool.submit(cloud.push, payload, "probe", mark.name) for _ in range(20)]
    assert {push.result().status_code for push in pushes} == {204}
    found = eventually(
        lambda: [
            task
            for task in cloud.get("/tasks?agent=probe&limit=200").json()["tasks"]
            if task["payload"] == payload and "endedAt" in task
        ]
    )
    assert [task["status"] for task in found] == ["succeeded"]
    assert found[0]["costCents"] == 5
    assert marks(mark) == ["1"]


def test_a_killed_agent_does_not_lose_its_task(cloud: Cloud, mark: Path) -> None:
    payload = {"mark": str(mark), "seconds": 1}
    task_id = cloud.dispatch("probe", payload=payload).json()["taskId"]
    eventually(lambda: marks(mark))
    cloud.cluster.kill("agent_probe")
    ended = cloud.ended(task_id)
    assert (ended["status"], ended["attempts"]) == ("succeeded", 2)
    assert marks(mark) == ["1", "2"]


def test_a_wait_ends_with_its_task(cloud: Cloud, mark: Path) -> None:
    payload = {"mark": str(mark), "seconds": 2}
    task_id = cloud.dispatch("probe", payload=payload).json()["taskId"]
    answer = cloud.get(f"/task/{task_id}?wait=30").json()
    assert answer["status"] == "succeeded"
    late = datetime.now(UTC) - datetime.fromisoformat(answer["endedAt"])
    assert late.total_seconds() < 5  # it ended the wait: that would have gone on for 28 seconds


def test_a_cancelled_attempt_changes_nothing_any_more(cloud: Cloud, mark: Path) -> None:
    payload = {"mark": str(mark), "seconds": 4}
    task_id = cloud.dispatch("probe", payload=payload).json()["taskId"]
    eventually(lambda: marks(mark))
    assert cloud.post(f"/task/{task_id}/cancel", None).json()["status"] == "cancelled"
    before = cloud.task(task_id)
    eventually(lambda: any(_late(line, task_id) for line in cloud.cluster.logs("results")))
    assert cloud.task(task_id) == before


def _late(line: dict[str, str], task_id: str) -> bool:
    return line["message"] == "late result" and line.get("taskId") == task_id


def test_one_grep_follows_a_task_through_all_hops(cloud: Cloud) -> None:
    task = cloud.ended(cloud.dispatch().json()["taskId"])
    for hop in ("dispatch", "agent_light", "results"):
        # A hop may still be about to log what it has done when the next hop has ended the task.
        for line in eventually(lambda hop=hop: _logged(cloud, hop, task["taskId"])):
            assert {"severity", "time", "message", "function", "attempt"} <= line.keys()
            trace = line["logging.googleapis.com/trace"]
            assert trace.endswith(f"/traces/{task['traceId']}")


def _logged(cloud: Cloud, hop: str, task_id: str) -> list[dict[str, str]]:
    return [line for line in cloud.cluster.logs(hop) if line.get("taskId") == task_id]


def test_an_account_is_spent_to_the_cent_and_refuses_the_rest(cloud: Cloud, mark: Path) -> None:
    account = mark.name
    put = requests.put(f"{cloud.url}/account/{account}", json={"limitCents": 30}, timeout=10)
    assert put.status_code == 200
    answers = [cloud.dispatch(account=account) for _ in range(5)]
    admitted = [answer.json()["taskId"] for answer in answers if answer.status_code == 202]
    refused = [answer for answer in answers if answer.status_code == 402]
    assert (len(admitted), len(refused)) == (3, 2)
    assert refused[0].json()["code"] == "budget_exceeded"
    assert refused[0].json()["limitCents"] == 30
    assert int(refused[0].headers["Retry-After"]) >= 1
    for task_id in admitted:
        assert cloud.ended(task_id)["status"] == "succeeded"
    settled = eventually(lambda: _settled(cloud, account))
    assert (settled["spentCents"], settled["heldCents"], settled["freeCents"]) == (15, 0, 15)


def _settled(cloud: Cloud, account: str) -> dict[str, int] | None:
    found: dict[str, int] = cloud.get(f"/account/{account}").json()
    return found if not found["purses"] else None


def test_a_redriven_task_is_a_new_one_linked_to_the_old(cloud: Cloud, mark: Path) -> None:
    payload = {"mark": str(mark)}
    old = cloud.ended(cloud.dispatch("probe", payload=payload, budgetCents=1).json()["taskId"])
    answers = [cloud.post(f"/task/{old['taskId']}/redrive", {"budgetCents": 10}) for _ in range(2)]
    assert [answer.status_code for answer in answers] == [202, 202]
    assert answers[0].json()["taskId"] == answers[1].json()["taskId"]
    new = cloud.ended(answers[0].json()["taskId"])
    assert (new["status"], new["redriveOf"]) == ("succeeded", old["taskId"])
    assert cloud.task(old["taskId"])["redrivenAs"] == new["taskId"]
    assert marks(mark) == ["1"]


def test_a_push_that_can_never_succeed_is_acknowledged(cloud: Cloud) -> None:
    broken = dict(envelope({}))
    broken["message"] = {"data": "!!!!", "messageId": str(time.time_ns())}
    url = f"{cloud.agent('light')}/pubsub/push"
    assert requests.post(url, json=broken, timeout=10).status_code == 204
