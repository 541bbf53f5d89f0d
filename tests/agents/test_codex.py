"""The agent codex, against a provider that answers over real HTTP."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from shared.context import Context
from shared.tasks.record import Task
from tests.agents import provider_server as server, trees
from tests.agents.provider_server import Provider, usage
from tests.agents.world import Killed, World, load, world

# Micros per million tokens: two for a prompt's token, ten for an answer's, a half for a cached one.
PRICES = "tiny=2000000/10000000/500000,odd=333333/1000001"
MOST_OUTPUT = 100
KEY = "sk-test"


@pytest.fixture
def provider() -> Iterator[Provider]:
    with server.provider() as made:
        yield made


@pytest.fixture
def made(tmp_path: Path, provider: Provider) -> Iterator[World]:
    with beside(tmp_path, provider) as made:
        yield made


@contextmanager
def beside(folder: Path, provider: Provider) -> Iterator[World]:
    """A world whose agent codex asks this provider."""
    environ = {
        "CODEX_BASE_URL": provider.url,
        "CODEX_API_KEY": KEY,
        "CODEX_MODEL": "tiny",
        "CODEX_PRICES": PRICES,
        "CODEX_MAX_OUTPUT_TOKENS": str(MOST_OUTPUT),
        "CODEX_TIMEOUT_SECONDS": "20",
    }
    codex = load("agent_codex").agent_codex
    with world(folder, codex, agent_light, agent_broken, environ=environ) as made:
        yield made


def agent_light(payload: Any, context: Context) -> Any:
    context.charge(2)
    return {"echo": payload}


def agent_broken(payload: Any, context: Context) -> Any:
    raise load("agent_codex").Failure("out of order")


def run(made: World, payload: Any, cents: float = 100, **more: Any) -> Task:
    return made.settle(made.dispatch("codex", payload, cents=cents, **more))


def text(task: Task) -> Any:
    return json.loads(task.result or "null")["text"]


def worst(provider: Provider, number: int = 0) -> int:
    """Micros that this request must at least have been charged before, by its bytes alone."""
    asked = provider.asked[number]
    sent = {
        "messages": asked["messages"],
        **({"tools": asked["tools"]} if "tools" in asked else {}),
    }
    size = len(json.dumps(sent, ensure_ascii=False, separators=(",", ":")).encode())
    tokens = size + 16 * len(asked["messages"]) + 64 * len(asked.get("tools", ())) + 512
    return 2 * tokens + 10 * MOST_OUTPUT


def test_an_answer_costs_what_its_usage_costs_to_the_micro(made: World, provider: Provider) -> None:
    provider.then(server.says("Hello there!", usage(20, 7)))
    task = run(made, {"prompt": "Hi", "system": "Be brief."})
    assert json.loads(task.result or "") == {
        "text": "Hello there!",
        "finish": "stop",
        "model": "tiny-1",
        "answers": 1,
        "tokens": {"prompt": 20, "completion": 7},
    }
    assert task.charged == 20 * 2 + 7 * 10
    [asked] = provider.asked
    assert asked["messages"] == [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "Hi"},
    ]
    assert (asked["model"], asked["max_completion_tokens"]) == ("tiny", MOST_OUTPUT)
    assert provider.keys == [f"Bearer {KEY}"]


@pytest.mark.parametrize(
    ("payload", "counted", "micros"),
    [
        ({"prompt": "x"}, usage(10, 0, cached=10), 5),
        ({"prompt": "x"}, usage(10, 1, cached=4), 12 + 2 + 10),
        ({"prompt": "x", "model": "odd"}, usage(1, 1), 2),  # 1.333334: a part of a micro is one
        ({"prompt": "x", "model": "odd"}, usage(300, 3, cached=100), 103),
    ],
)
def test_cached_tokens_and_parts_of_micros_are_counted(
    made: World, provider: Provider, payload: Any, counted: Any, micros: int
) -> None:
    provider.then(server.says("ok", counted))
    assert run(made, payload).charged == micros


def test_a_payload_of_any_json_is_the_prompt(made: World, provider: Provider) -> None:
    provider.then(server.says("ok", usage(1, 1)))
    run(made, "just text")
    run(made, {"msg": "hi"})
    assert [asked["messages"][0]["content"] for asked in provider.asked] == [
        "just text",
        '{"msg":"hi"}',
    ]


def test_a_call_whose_worst_case_does_not_fit_is_never_sent(
    made: World, provider: Provider
) -> None:
    provider.then(server.says("ok", usage(1, 1)))
    run(made, "Hi")
    needed = worst(provider)
    task = run(made, "Hi", cents=(needed - 1) / 10_000)
    assert (task.status, (task.error or {}).get("code")) == ("failed", "budget_exceeded")
    assert (task.charged, len(provider.asked)) == (0, 1)
    task = run(made, "Hi", cents=needed / 10_000)
    assert (task.status, task.charged, len(provider.asked)) == ("succeeded", 12, 2)


@pytest.mark.parametrize(
    ("payload", "code", "named"),
    [
        ({"prompt": "x", "model": "dear"}, "invalid", "CODEX_PRICES"),
        ({"prompt": "x", "maxOutputTokens": 101}, "invalid", "maxOutputTokens"),
        ({"prompt": "x", "maxTokens": 1}, "invalid", "maxTokens"),
        ({"messages": [{"role": "user"}]}, "invalid", "content"),
        ({"prompt": "x", "agents": {"light": {}}}, "invalid", "budgetCents"),
    ],
)
def test_what_is_wrong_is_refused_before_anything_is_sent(
    made: World, provider: Provider, payload: Any, code: str, named: str
) -> None:
    task = run(made, payload)
    assert (task.status, (task.error or {}).get("code"), task.charged) == ("failed", code, 0)
    assert named in (task.error or {}).get("detail", "")
    assert task.attempts == 1
    assert not provider.asked


def test_without_an_endpoint_a_task_fails_and_says_what_to_set(tmp_path: Path) -> None:
    with world(tmp_path, load("agent_codex").agent_codex) as made:
        task = run(made, "Hi")
        assert (task.status, task.charged) == ("failed", 0)
        assert (task.error or {}).get("code") == "misconfigured"
        assert "CODEX_BASE_URL" in (task.error or {}).get("detail", "")


@pytest.mark.parametrize("status", [429, 503])
def test_a_busy_provider_is_asked_again_and_its_refusals_cost_nothing(
    made: World, provider: Provider, status: int
) -> None:
    provider.then(server.fails(status, after="0.01"), server.fails(status))
    provider.then(server.says("ok", usage(5, 5)))
    task = run(made, "Hi")
    assert (text(task), task.charged, len(provider.asked)) == ("ok", 60, 3)


def test_a_provider_that_stays_busy_gives_the_money_back(made: World, provider: Provider) -> None:
    provider.then(server.fails(429, after="400"))  # longer than a lease
    task = run(made, "Hi", ttl=400)
    assert (task.status, task.charged) == ("failed", 0)
    assert (task.error or {}).get("code") == "unavailable"
    assert len(provider.asked) == task.attempts == made.services.config.max_attempts


@pytest.mark.parametrize(
    ("status", "code"), [(400, "bad"), (401, "key"), (404, "model"), (429, "insufficient_quota")]
)
def test_a_refusal_for_good_ends_the_task_and_costs_nothing(
    made: World, provider: Provider, status: int, code: str
) -> None:
    provider.then(server.fails(status, code))
    task = run(made, "Hi")
    assert (task.status, (task.error or {}).get("code")) == ("failed", "provider_refused")
    assert (task.charged, task.attempts, len(provider.asked)) == (0, 1, 1)


@pytest.mark.parametrize(
    "lost",
    [
        server.hangs,
        server.trickles,
        server.keeps_alive,
        server.breaks_off,
        server.ends_early,
        server.errs_midway,
        server.fails(500),
        server.fails(504),
    ],
    ids=lambda lost: getattr(lost, "__name__", "status"),
)
def test_an_answer_that_is_lost_stays_charged_at_its_worst_case(
    made: World, provider: Provider, lost: Any
) -> None:
    if lost in (server.hangs, server.trickles, server.keeps_alive):
        made.services.config = replace(made.services.config, codex_timeout_seconds=2.0)
    provider.then(lost, server.says("ok", usage(5, 5)))
    task = run(made, "Hi")
    assert (text(task), len(provider.asked)) == ("ok", 2)
    if lost is server.keeps_alive:
        assert provider.hung_up.wait(server.HANG)
    assert task.charged == worst(provider) + 60


def test_a_lost_answer_is_not_asked_for_again_where_that_does_not_fit(
    made: World, provider: Provider
) -> None:
    provider.then(server.says("ok", usage(1, 1)))
    run(made, "Hi")
    needed = worst(provider)
    provider.script = [server.breaks_off]
    task = run(made, "Hi", cents=(2 * needed - 1) / 10_000)
    assert (task.status, (task.error or {}).get("code")) == ("failed", "budget_exceeded")
    assert (task.charged, len(provider.asked)) == (needed, 2)


@pytest.mark.parametrize("status", [401, 429, 500, 200])
def test_the_key_is_neither_shown_nor_logged_where_the_provider_repeats_it(
    made: World, provider: Provider, capfd: pytest.CaptureFixture[str], status: int
) -> None:
    echo = f"no such key: {KEY}"
    if status == 200:
        provider.then(partial(server.errs_midway, says=echo))
    else:
        provider.then(server.fails(status, says=echo, after="400"))
    task = run(made, "Hi", ttl=400)
    detail = (task.error or {}).get("detail", "")
    assert (task.status, "no such key" in detail) == ("failed", True)
    said = capfd.readouterr()
    for shown in (str(task), said.out, said.err):
        assert KEY not in shown
    assert provider.keys[0] == f"Bearer {KEY}"


def test_lost_answers_end_in_a_refusal_that_gives_only_the_last_try_back(
    made: World, provider: Provider
) -> None:
    provider.then(server.breaks_off, server.fails(400))
    task = run(made, "Hi")
    assert (task.error or {}).get("code") == "provider_refused"
    assert task.charged == worst(provider)


@pytest.mark.parametrize("silent", [server.says("all"), server.breaks_off_before_usage])
def test_without_a_usage_the_answer_is_kept_and_its_worst_case_paid(
    made: World, provider: Provider, silent: Any
) -> None:
    provider.then(silent)
    task = run(made, "Hi")
    assert (text(task), task.charged, len(provider.asked)) == ("all", worst(provider), 1)


@pytest.mark.parametrize(("cents", "status"), [(100, "succeeded"), (0.25, "failed")])
def test_a_provider_that_counts_more_than_its_limit_is_charged_up_to_the_budget(
    made: World, provider: Provider, cents: float, status: str
) -> None:
    provider.then(server.says("ok", usage(5, MOST_OUTPUT * 10)))
    task = run(made, "Hi", cents=cents)
    assert task.status == status
    assert task.charged == min(5 * 2 + MOST_OUTPUT * 100, task.budget)


def test_nobody_listening_costs_nothing(made: World, provider: Provider) -> None:
    provider.then(server.says("unused"))
    nowhere = "http://127.0.0.1:9/v1"
    made.services.config = replace(made.services.config, codex_base_url=nowhere)
    task = run(made, "Hi", ttl=3)
    assert (task.status, (task.error or {}).get("code"), task.charged) == (
        "failed",
        "unavailable",
        0,
    )


def test_the_model_calls_other_agents_as_child_tasks_within_the_budget(
    made: World, provider: Provider
) -> None:
    provider.then(
        server.calls(
            ("light", {"n": 1}),
            ("light", {"n": 2}),
            ("broken", {}),
            ("nobody", {}),
            ("light", "{not json"),
            counted=usage(50, 20),
        ),
        server.says("3", usage(80, 2)),
    )
    agents = {
        "light": {"budgetCents": 5, "about": "Echoes.", "parameters": {"type": "object"}},
        "broken": {"budgetCents": 1},
    }
    task = run(made, {"prompt": "Add up.", "agents": agents})
    assert text(task) == "3"
    assert task.charged == 130 * 2 + 22 * 10 + 2 * 20_000
    assert len(made.children(task)) == 3
    told = [each["content"] for each in provider.asked[1]["messages"] if each["role"] == "tool"]
    assert told[:2] == ['{"echo":{"n":1}}', '{"echo":{"n":2}}']
    assert [json.loads(each).keys() for each in told[2:]] == [{"error"}] * 3
    assert len(provider.asked) == 2  # the first answer was kept over the wait
    for each in made.tree(task):
        assert not list(trees.problems(each, made.task))


def test_a_call_that_does_not_fit_is_told_to_the_model(made: World, provider: Provider) -> None:
    provider.then(
        server.calls(("light", {"n": 1}), counted=usage(50, 20)), server.says("no", usage(80, 2))
    )
    task = run(made, {"prompt": "Add up.", "agents": {"light": {"budgetCents": 99.99}}})
    assert (text(task), made.children(task)) == ("no", {})
    assert "exceeds" in provider.asked[1]["messages"][-1]["content"]


def test_a_process_that_dies_with_the_answer_in_hand_pays_for_it_and_asks_again(
    made: World, provider: Provider
) -> None:
    provider.then(server.says("ok", usage(5, 5)))
    commits = made.store.counts["commit"] + 3  # dispatch, claim, charge

    def die(_: Any) -> None:
        if made.store.counts["commit"] == commits:
            made.store.before = lambda _: None
            raise Killed

    made.store.before = die
    task = run(made, "Hi")
    assert (text(task), task.attempts, len(provider.asked)) == ("ok", 2, 2)
    assert task.charged == worst(provider) + 60


def test_a_cancel_stops_it_while_it_waits_for_a_busy_provider(
    made: World, provider: Provider
) -> None:
    task_id = made.dispatch("codex", "Hi")

    def busy(exchange: server.Exchange) -> None:
        made.cancel(task_id)
        server.fails(429, after="0.01")(exchange)

    provider.then(busy)
    task = made.settle(task_id)
    # What was charged when it ended stays charged: a terminal task is not given anything back.
    assert (task.status, task.charged, len(provider.asked)) == ("cancelled", worst(provider), 1)


@pytest.mark.parametrize("timeout", [30, 120, 570])
def test_the_last_answer_of_a_delivery_comes_before_the_deployed_function_times_out(
    timeout: float,
) -> None:
    terraform = Path(__file__).parents[2] / "infra" / "terraform" / "functions.tf"
    found = re.search(r"lease_margin = (\d+) # seconds", terraform.read_text())
    assert found
    lease = timeout + int(found[1])
    model = load("agent_codex").model
    assert lease * (model.BEGIN + model.ANSWER) - model.MARGIN < timeout


def test_openai_is_imported_with_the_first_call_only() -> None:
    source = Path(__file__).parents[2] / "functions" / "agent_codex"
    said = "import main, sys; print([m for m in ('openai', 'grpc') if m in sys.modules])"
    command = [sys.executable, "-c", said]
    shown = subprocess.run(command, cwd=source, capture_output=True, text=True, check=True)
    assert shown.stdout.strip() == "[]"
