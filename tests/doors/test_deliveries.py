"""A task's callback, from its end to a receiver: told once, retried with patience, given up."""

from __future__ import annotations

import base64
import dataclasses
import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import standardwebhooks

from shared import config, deliveries, orders, runtime
from shared.clock import SECOND
from shared.storage.sqlite.bus import Queue
from shared.tasks import commits, publish, record, view
from shared.tasks.record import Outcome, Task
from tests.doors import receivers
from tests.doors.conftest import serving

SECRET = f"whsec_{base64.b64encode(bytes(32)).decode()}"

Client = Any  # flask.testing.FlaskClient, whose JSON is any


class Clock:
    """A clock that stands until it is moved; microseconds since the epoch."""

    def __init__(self) -> None:
        self.now = time.time_ns() // 1000

    def __call__(self) -> int:
        return self.now

    def wait(self, seconds: float) -> None:
        self.now += int(seconds * SECOND)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def receiver() -> Iterator[receivers.Receiver]:
    """A receiver on this machine, over plain HTTP as it is allowed at home."""
    with receivers.running() as receiver:
        yield receiver


@pytest.fixture
def world(tmp_path: Path, clock: Clock) -> Iterator[runtime.Services]:
    """The services of every function of this test, on the embedded backend."""
    settings = config.Config(
        backend="embedded",
        embedded_path=str(tmp_path / "zantara.db"),
        callback_secrets=(SECRET,),
        callback_timeout_seconds=5,
        callback_attempts=4,
    )
    with runtime.using(runtime.Services(settings, now=clock)) as current:
        yield current


@pytest.fixture
def client(world: runtime.Services) -> Client:
    """The function `callback`, as functions-framework serves it."""
    return serving("callback")


Ended = Callable[[str], Task]


@pytest.fixture
def ended(world: runtime.Services, receiver: receivers.Receiver) -> Ended:
    """Makes a task with a callback to a path of the receiver, and ends it."""

    def make(path: str, status: record.Status = "succeeded") -> Task:
        url = f"http://127.0.0.1:{receiver.port}{path}"
        order = {"payload": {"n": 1}, "callbackUrl": url}
        task, _ = commits.create(world, orders.task(world, order, agent="light"))
        task = commits.claim(world, task, 50_000, 60)
        task = commits.finish(world, task, Outcome(status=status, result='{"echo":"é"}'))
        publish.to_callback(world, task)
        return task

    return make


def push(client: Client, task: Task | str) -> Any:
    """The answer to a push of the task's message on `callbacks`."""
    task_id = task if isinstance(task, str) else task.id
    data = base64.b64encode(json.dumps({"taskId": task_id}).encode()).decode()
    message = {"data": data, "messageId": "1", "attributes": {"taskId": task_id}}
    return client.post("/", json={"message": message, "subscription": "s"})


def callback(task: Task) -> dict[str, Any]:
    """The callback as a client sees it."""
    seen: dict[str, Any] = view.shown(commits.get(runtime.current(), task.id))["callback"]
    return seen


def test_a_task_that_ended_is_told_to_its_receiver_who_can_verify_it(
    client: Client, ended: Ended, receiver: receivers.Receiver
) -> None:
    task = ended("/200")
    assert callback(task) == {"state": "pending", "attempts": 0}
    assert push(client, task).status_code == 204
    [request] = receiver.requests
    told = standardwebhooks.Webhook(SECRET).verify(request.body, request.headers)
    assert told["type"] == "task.succeeded"
    assert told["data"]["taskId"] == task.id
    assert told["data"]["result"] == {"echo": "é"}
    assert told["data"]["costCents"] == 5
    seen = callback(task)
    assert (seen["state"], seen["attempts"]) == ("delivered", 1)
    assert commits.get(runtime.current(), task.id).wake_at is None


def test_a_second_message_of_the_same_callback_sends_nothing(
    client: Client, ended: Ended, receiver: receivers.Receiver
) -> None:
    task = ended("/200")
    assert [push(client, task).status_code for _ in range(3)] == [204, 204, 204]
    assert len(receiver.requests) == 1


def test_a_failed_try_is_503_with_growing_pauses_and_the_same_id_until_given_up(
    client: Client, ended: Ended, receiver: receivers.Receiver, clock: Clock
) -> None:
    task = ended("/500")
    pauses = []
    for _ in range(3):
        answer = push(client, task)
        assert (answer.status_code, answer.json["code"]) == (503, "callback_failed")
        pauses.append(int(answer.headers["Retry-After"]))
        assert callback(task)["state"] == "pending"
        assert callback(task)["detail"] == "the receiver answered 500"
        assert commits.get(runtime.current(), task.id).wake_at == clock.now + (
            pauses[-1] * SECOND + deliveries.GRACE
        )
        clock.wait(pauses[-1])
    assert pauses == [10, 20, 40]
    assert push(client, task).status_code == 204  # the fourth is the last
    assert (callback(task)["state"], callback(task)["attempts"]) == ("failed", 4)
    assert {each.headers["webhook-id"] for each in receiver.requests} == {f"msg_{task.id}"}
    assert len({each.body for each in receiver.requests}) == 1
    stamps = [int(each.headers["webhook-timestamp"]) for each in receiver.requests]
    assert stamps == sorted(set(stamps))
    kept = runtime.current().store.get(f"dead_letters/callback-{task.id}")
    assert kept.data["code"] == "callback_failed"


def test_a_push_before_the_pause_is_over_sends_nothing(
    client: Client, ended: Ended, receiver: receivers.Receiver, clock: Clock
) -> None:
    task = ended("/429/100")
    assert push(client, task).headers["Retry-After"] == "100"
    clock.wait(40)
    answer = push(client, task)
    assert (answer.status_code, answer.headers["Retry-After"]) == (503, "60")
    assert callback(task)["attempts"] == 1
    clock.wait(60)
    push(client, task)
    assert callback(task)["attempts"] == 2
    assert len(receiver.requests) == 2


def test_what_was_given_up_is_recorded_though_the_process_died_just_before(
    client: Client, ended: Ended, receiver: receivers.Receiver, mocker: Any
) -> None:
    task = ended("/410")
    mocker.patch.object(deliveries, "_record_failure", side_effect=SystemExit)
    with pytest.raises(SystemExit):
        push(client, task)
    mocker.stopall()
    assert callback(task)["state"] == "gone"
    assert push(client, task).status_code == 204  # it was not acknowledged, so it comes again
    kept = runtime.current().store.get(f"dead_letters/callback-{task.id}")
    assert (kept.data["code"], len(receiver.requests)) == ("callback_failed", 1)


def test_410_ends_it_and_a_redrive_sends_it_once_more(
    client: Client, ended: Ended, receiver: receivers.Receiver
) -> None:
    task = ended("/410")
    assert push(client, task).status_code == 204
    assert push(client, task).status_code == 204
    assert callback(task)["state"] == "gone"
    assert len(receiver.requests) == 1
    answer = serving("dispatch").post(f"/task/{task.id}/callback")
    assert (answer.status_code, answer.json["callback"]["state"]) == (202, "pending")
    assert push(client, task).status_code == 204
    assert len(receiver.requests) == 2


def test_a_task_without_a_callback_has_none_to_send(
    client: Client, world: runtime.Services
) -> None:
    task, _ = commits.create(world, orders.task(world, {"payload": 1}, agent="light"))
    assert push(client, task).status_code == 204
    dispatch = serving("dispatch")
    answer = dispatch.post(f"/task/{task.id}/callback")
    assert (answer.status_code, answer.json["code"]) == (409, "not_redrivable")
    assert dispatch.post(f"/task/{'0' * 32}/callback").status_code == 404


def test_a_message_of_no_task_is_recorded_and_acknowledged(
    client: Client, world: runtime.Services
) -> None:
    assert push(client, "0" * 32).status_code == 204
    assert world.store.get("dead_letters/1").data["code"] == "unknown_task"
    assert push(client, "../../etc").status_code == 204


def test_two_deliveries_at_once_count_both_and_a_success_stands(
    client: Client, ended: Ended, world: runtime.Services, mocker: Any
) -> None:
    """While one waits for its answer, another one fails: what was delivered stays so."""
    task = ended("/200")
    real = deliveries._sent

    def slow(current: runtime.Services, task: Task, url: str) -> Any:
        mocker.stopall()
        seen = commits.get(current, task.id)
        failed = {"state": "pending", "attempts": 1, "detail": "x", "nextAt": 0}
        commits.move(current, seen, dataclasses.replace(seen, callback=failed))
        return real(current, task, url)

    mocker.patch.object(deliveries, "_sent", slow)
    assert push(client, task).status_code == 204
    assert (callback(task)["state"], callback(task)["attempts"]) == ("delivered", 2)


def test_a_failure_that_comes_late_does_not_undo_a_success(
    client: Client, ended: Ended, mocker: Any
) -> None:
    task = ended("/500")
    real = deliveries._sent

    def overtaken(current: runtime.Services, task: Task, url: str) -> Any:
        mocker.stopall()
        delivered = {"state": "delivered", "attempts": 1, "detail": "x"}
        commits.move(current, task, dataclasses.replace(task, callback=delivered, wake_at=None))
        return real(current, task, url)

    mocker.patch.object(deliveries, "_sent", overtaken)
    assert push(client, task).status_code == 204
    assert callback(task) == {"state": "delivered", "attempts": 1, "detail": "x"}


def test_without_secrets_nothing_goes_out_unsigned(
    client: Client, ended: Ended, receiver: receivers.Receiver, world: runtime.Services
) -> None:
    task = ended("/200")
    bare = dataclasses.replace(world.config, callback_secrets=())
    with runtime.using(runtime.Services(bare, now=world.now)):
        assert push(client, task).status_code == 500
    assert receiver.requests == []


def test_an_agent_s_own_run_tells_its_callback_the_same_way(
    client: Client, receiver: receivers.Receiver, world: runtime.Services
) -> None:
    queue = Queue(world.config.embedded_path)
    queue.subscribe("callbacks", world.config.topic("callbacks"))
    agent = serving("agent_light")
    url = f"http://127.0.0.1:{receiver.port}/200"
    ran = agent.post("/run", json={"payload": 1, "callbackUrl": url}).json
    assert (ran["status"], ran["callback"]) == ("succeeded", {"state": "pending", "attempts": 0})
    [message] = queue.pull("callbacks", 10, 60)
    assert push(client, json.loads(message.data)["taskId"]).status_code == 204
    [request] = receiver.requests
    told = standardwebhooks.Webhook(SECRET).verify(request.body, request.headers)
    assert (told["data"]["taskId"], told["data"]["result"]) == (ran["taskId"], {"echo": 1})
    refused = agent.post("/run", json={"payload": 1, "callbackUrl": "https://169.254.169.254/"})
    assert (refused.status_code, refused.json["errors"][0]["field"]) == (422, "callbackUrl")


def test_a_bare_message_with_a_forbidden_callback_makes_no_task(world: runtime.Services) -> None:
    data = {"payload": 1, "callbackUrl": "https://169.254.169.254/"}
    encoded = base64.b64encode(json.dumps(data).encode()).decode()
    body = {"message": {"data": encoded, "messageId": "1"}, "subscription": "s"}
    assert serving("agent_light").post("/pubsub/push", json=body).status_code == 204
    assert world.store.get("dead_letters/1").data["code"] == "invalid"
    assert serving("get_task").get("/tasks").json["tasks"] == []


def test_a_url_that_was_smuggled_past_the_dispatch_is_stopped_at_the_sending(
    client: Client, ended: Ended, receiver: receivers.Receiver, world: runtime.Services
) -> None:
    task = ended("/200")
    commits.move(world, task, dataclasses.replace(task, callback_url="https://169.254.169.254/"))
    assert push(client, task).status_code == 503
    assert callback(task)["detail"] == "the host must resolve to public addresses only"
    assert receiver.requests == []


def test_an_order_with_a_forbidden_callback_makes_no_task(world: runtime.Services) -> None:
    client = serving("dispatch")
    order = {"agent": "light", "payload": 1, "ttlSeconds": 60, "budgetCents": 10}
    refused = client.post("/dispatch", json={**order, "callbackUrl": "https://169.254.169.254/"})
    assert (refused.status_code, refused.json["code"]) == (422, "invalid")
    assert refused.json["errors"][0]["field"] == "callbackUrl"
    answer = client.post("/dispatch", json={**order, "callbackUrl": "http://127.0.0.1:9/"})
    assert answer.status_code == 202
