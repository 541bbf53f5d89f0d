"""Whatever the console breaks, the promise beside the button holds."""

from __future__ import annotations

import re
import urllib.error
import urllib.request

import pytest
from playwright.sync_api import Page, expect

from emulators.cluster import Cluster
from tests.console import orders

PROMISES = {
    "kill": ["nothing is lost, another attempt finishes", "each attempt was charged once"],
    "twice": ["one copy was left alone", "one attempt, one charge"],
    "acks": ["both late ones found it ended", "no second run, no second charge"],
    "freeze": [
        re.compile("Refused: (fenced|task_ended)"),  # attempt 2 is still at work, or not
        "the fenced attempt changed nothing, attempt 2 counts",
    ],
    "overspend": ["37 admitted, 163 refused with 402", "not a cent over"],
}


@pytest.mark.parametrize("action", PROMISES)
def test_a_promise_holds_while_its_action_breaks_something(
    page: Page, cloud: Cluster, action: str
) -> None:
    page.goto(f"{cloud.gateway_url}/console/break")
    page.locator(f"#{action} button").click()
    story = page.locator(f"#{action} .story")
    expect(story.locator(".good, .bad").first).to_be_visible(timeout=60_000)
    for line in PROMISES[action]:
        expect(story).to_contain_text(line)
    expect(story.locator(".bad")).to_have_count(0)


@pytest.mark.parametrize(
    ("headers", "code"),
    [
        ({"Sec-Fetch-Site": "cross-site"}, 403),
        ({"Host": "rebound.example:8081"}, 403),
        ({}, 404),  # nothing but an agent can be killed
    ],
)
def test_only_the_cloud_s_own_pages_may_break_it(
    cloud: Cluster, headers: dict[str, str], code: int
) -> None:
    url = f"{cloud.gateway_url}/local/kill/{'demo' if headers else 'dispatch'}"
    request = urllib.request.Request(url, method="POST", headers=headers)
    with pytest.raises(urllib.error.HTTPError) as refused:
        urllib.request.urlopen(request, timeout=30)
    assert refused.value.code == code
    refused.value.close()


def test_the_log_of_a_task_comes_from_every_process(cloud: Cluster) -> None:
    task_id = orders.dispatch(cloud.gateway_url, "light", 1)
    orders.ended(cloud.gateway_url, task_id)
    lines = orders.call("GET", f"{cloud.gateway_url}/local/log/{task_id}")["log"]
    assert {("dispatch", "queued"), ("agent_light", "running")} <= {
        (line["from"], line["event"]) for line in lines
    }
