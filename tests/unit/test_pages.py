"""Tasks are listed page by page, the newest first, each once."""

from __future__ import annotations

from typing import Any

import pytest
from flask.testing import FlaskClient

from tests.unit.conftest import World


@pytest.fixture
def client(world: World) -> FlaskClient:
    """The function `get_task`."""
    return world.client("get_task")


@pytest.fixture(params=[False, True], ids=["plain", "sharded"], autouse=True)
def sharded(request: pytest.FixtureRequest, world: World) -> None:
    """Whether the queries go by shard; the answers must be the same."""
    world.set(sharded=request.param)


def ids(client: FlaskClient, query: str, token: str = "") -> list[str]:
    """The tasks of all pages, or of those behind a token."""
    found: list[str] = []
    while True:
        page: Any = client.get(
            f"/tasks?{query}&pageToken={token}" if token else f"/tasks?{query}"
        ).json
        found += [task["taskId"] for task in page["tasks"]]
        if "nextPageToken" not in page:
            return found
        token = page["nextPageToken"]


@pytest.mark.parametrize("limit", [1, 2, 3, 7, 8, 500])
def test_pages_after_pages_list_everything_once_newest_first(
    world: World, client: FlaskClient, limit: int
) -> None:
    made: list[tuple[int, str]] = []
    for n in range(7):
        world.clock.forward(n % 2)  # some are of the same microsecond
        made.append((world.clock.micros, world.queued().id))
    expected = [id_ for _, id_ in sorted(made, reverse=True)]
    assert ids(client, f"limit={limit}") == expected


def test_a_full_last_page_may_be_followed_by_an_empty_one(
    world: World, client: FlaskClient
) -> None:
    world.queued()
    page: Any = client.get("/tasks?limit=1").json
    assert client.get(f"/tasks?limit=1&pageToken={page['nextPageToken']}").json == {"tasks": []}


def test_a_page_of_large_tasks_ends_early_and_the_next_goes_on(
    world: World, client: FlaskClient
) -> None:
    made = {world.queued(payload="x" * 250_000).id for _ in range(20)}
    page: Any = client.get("/tasks?limit=500").json
    assert 10 < len(page["tasks"]) < 20
    assert set(ids(client, "limit=500")) == made


def test_nothing_is_an_empty_page(client: FlaskClient) -> None:
    assert client.get("/tasks").json == {"tasks": []}


def test_filters_narrow_the_list(world: World, client: FlaskClient) -> None:
    light, other, done = (
        world.queued(),
        world.queued(agent="other"),
        world.ended("succeeded", agent="other"),
    )
    assert set(ids(client, "agent=other")) == {other.id, done.id}
    assert set(ids(client, "status=queued")) == {light.id, other.id}
    assert ids(client, "agent=other&status=succeeded&limit=1") == [done.id]
    assert ids(client, "agent=nobody") == []


def test_a_page_made_while_tasks_come_repeats_none(world: World, client: FlaskClient) -> None:
    first = [world.queued().id for _ in range(4)]
    page: Any = client.get("/tasks?limit=2").json
    world.clock.forward(1)
    world.queued()
    rest = ids(client, "limit=2", page["nextPageToken"])
    assert sorted([task["taskId"] for task in page["tasks"]] + rest) == sorted(first)


@pytest.mark.parametrize(
    "token", ["x", "!!", "MTIz", "LjAwMDA", "MS5hL2I", "é", "a" * 201], ids=lambda each: each[:8]
)
def test_a_token_that_no_page_gave_is_refused(client: FlaskClient, token: str) -> None:
    answer: Any = client.get("/tasks", query_string={"pageToken": token})
    assert answer.status_code == 422
    assert answer.json["errors"][0]["field"] == "pageToken"


@pytest.mark.parametrize("query", ["limit=0", "limit=x", "status=done", "colour=red", "agent=A"])
def test_a_query_that_is_wrong_names_its_field(client: FlaskClient, query: str) -> None:
    answer: Any = client.get(f"/tasks?{query}")
    assert (answer.status_code, answer.mimetype) == (422, "application/problem+json")
    assert answer.json["errors"][0]["field"] == query.split("=")[0]
