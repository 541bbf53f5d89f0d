"""A visitor's way through the console, in a real browser, over a real local cloud."""

from __future__ import annotations

import json
import re

from playwright.sync_api import Page, expect

from emulators.cluster import Cluster
from tests.console import orders, seed


def rows(page: Page, text: str) -> object:
    return page.locator("#rows tr", has_text=text)


def search(page: Page, cloud: Cluster, text: str) -> None:
    page.goto(cloud.gateway_url)
    page.get_by_label("Search").fill(text)


def test_a_first_visitor_dispatches_sees_the_task_move_and_follows_every_cent(
    page: Page, cloud: Cluster
) -> None:
    page.goto(cloud.gateway_url)
    page.get_by_role("link", name="Dispatch a task").click()
    page.get_by_label("Agent").select_option("demo")
    page.get_by_label("Payload").fill('{"seconds": 2}')
    page.get_by_role("button", name="Dispatch").click()

    expect(page.locator("#outcome .state")).to_have_text("running")
    expect(page.locator("#outcome .state")).to_have_text("succeeded")  # with no reload

    page.get_by_role("link", name="Open the task").click()
    expect(page.get_by_role("heading", level=1)).to_contain_text("demo succeeded")
    expect(page.locator(".water .name")).to_have_text(["Queued", "Attempt 1", "Result on its way"])
    expect(page.locator("#money")).to_contain_text("Settled: 5 ¢ of 10 ¢.")
    expect(page.locator(".legend")).to_have_text("charged5 ¢returned5 ¢")
    expect(page.locator("#result")).to_contain_text('"by": "attempt 1"')
    expect(page.locator("#log")).to_contain_text("succeeded")


def test_the_list_moves_by_itself_while_a_task_does(page: Page, cloud: Cluster) -> None:
    page.goto(cloud.gateway_url)
    expect(page.locator("#live")).to_have_text("live")
    page.evaluate("document.body.dataset.untouched = 'yes'")

    task_id = orders.dispatch(cloud.gateway_url, "demo", {"seconds": 3})

    row = page.locator("#rows tr", has=page.locator(f"a[href$='{task_id}']"))
    expect(row.locator(".state")).to_have_text("running")
    expect(row.locator(".state")).to_have_text("succeeded")
    expect(row).to_contain_text("5 ¢ of 20 ¢")
    assert page.evaluate("document.body.dataset.untouched") == "yes"


def test_a_running_task_is_cancelled_and_its_money_returned(page: Page, cloud: Cluster) -> None:
    task_id = orders.dispatch(cloud.gateway_url, "demo", {"seconds": 30})
    page.goto(f"{cloud.gateway_url}/console/task/{task_id}")
    expect(page.locator("#status")).to_have_text("running")

    page.get_by_role("button", name="Cancel").click()

    expect(page.locator("#status")).to_have_text("cancelled")
    expect(page.locator(".legend")).to_have_text("charged5 ¢returned15 ¢")
    expect(page.get_by_role("button", name="Cancel")).to_have_count(0)


def test_a_failed_task_is_redriven_and_both_are_linked(page: Page, cloud: Cluster) -> None:
    task_id = orders.dispatch(cloud.gateway_url, "demo", {"fail": "no such file"})
    orders.ended(cloud.gateway_url, task_id)
    page.goto(f"{cloud.gateway_url}/console/task/{task_id}")
    expect(page.locator("#status")).to_have_text("failed")

    page.get_by_role("button", name="Redrive").click()

    expect(page.locator("#facts")).to_contain_text("Redrive of")
    page.locator("#facts").get_by_role("link", name=task_id).click()
    expect(page.locator("#facts")).to_contain_text("Redriven as")
    expect(page.get_by_role("button", name="Redrive")).to_have_count(0)


def test_a_payload_full_of_markup_stays_text_everywhere(page: Page, cloud: Cluster) -> None:
    payload = {"text": seed.NASTY, seed.NASTY: [seed.NASTY]}
    key = "<script>document.title='owned'</script>\"'`&"
    task_id = orders.dispatch(cloud.gateway_url, "light", payload, idempotencyKey=key)
    orders.ended(cloud.gateway_url, task_id)

    search(page, cloud, "document.title='owned'</script>\"'`&")
    expect(page.locator("#rows tr")).to_have_count(1)
    expect(page.locator("#rows .note")).to_have_text(key)
    page.locator("#rows a").click()

    shown = page.locator("#payload pre")
    expect(shown).to_contain_text("<script>")
    assert json.loads(shown.inner_text()) == payload
    expect(page.locator("#facts")).to_contain_text(key)
    assert page.locator("main script").count() == 0
    expect(page).to_have_title("succeeded · light · Zantara")


def test_a_copied_curl_line_dispatches_the_same_again(page: Page, cloud: Cluster) -> None:
    task_id = orders.dispatch(cloud.gateway_url, "light", {"quote": 'it\'s "so" \\ <b>'})
    orders.ended(cloud.gateway_url, task_id)
    page.goto(f"{cloud.gateway_url}/console/task/{task_id}")

    page.get_by_role("button", name="Copy as curl").click()

    expect(page.locator("#notices")).to_contain_text("Copied")
    line = page.evaluate("navigator.clipboard.readText()")
    body = re.search(r"-d '(.*)'$", line, re.DOTALL)
    assert body
    order = json.loads(body[1].replace("'\\''", "'"))  # as a shell reads it
    again = orders.ended(
        cloud.gateway_url, orders.call("POST", f"{cloud.gateway_url}/dispatch", order)["taskId"]
    )
    assert again["payload"] == {"quote": 'it\'s "so" \\ <b>'}


def test_the_editor_shows_what_is_no_json_and_where(page: Page, cloud: Cluster) -> None:
    page.goto(f"{cloud.gateway_url}/console/dispatch")
    payload, problem = page.get_by_label("Payload"), page.locator("#problem")
    for text, said in (
        ('{\n  "a": 1,\n  "b": nope\n}', "Line 3, column 8: nope is no JSON"),
        ('{"a": 1, "a": 2}', 'Line 1, column 10: The key "a" is there twice'),
        ("{'a': 1}", "Line 1, column 2: Text stands in double quotes"),
        ('{"a": 1,}', "Line 1, column 9: A key in double quotes is expected here"),
        ("[1, 2", "Line 1, column 6: The text ends too early"),
        ("[1 2]", "Line 1, column 4: A comma or ] is expected here"),
        ("[01]", "Line 1, column 2: 01 is no JSON"),
        ("1 2", "Line 1, column 3: The value has ended before this"),
        ('"open', "Line 1, column 1: This text in quotes does not end well"),
        ("", "Line 1, column 1: The text ends too early"),
        ('{\n"a":\u00a01}', "Line 2, column 5: This is no plain space: type one"),
        ("[" * 5000, "Line 1, column 65: Brackets stand in brackets more than 64 deep"),
    ):
        payload.fill(text)
        expect(problem).to_have_text(said)
    page.get_by_role("button", name="Dispatch").click()
    expect(payload).to_be_focused()
    payload.fill('[{"a": [], "b": {}}, -1.5e3, "x\\u00e9", null, true]')
    expect(problem).to_have_text("")


def test_a_large_integer_arrives_as_it_was_written_and_is_shown_so(
    page: Page, cloud: Cluster
) -> None:
    page.goto(f"{cloud.gateway_url}/console/dispatch")
    page.get_by_label("Payload").fill('{"id": 12345678901234567890}')
    expect(page.locator("#curl")).to_contain_text('{"id":12345678901234567890}')
    page.get_by_role("button", name="Dispatch").click()
    page.get_by_role("link", name="Open the task").click()
    expect(page.locator("#result pre")).to_contain_text("12345678901234567890")


def test_a_task_is_changed_and_dispatched_again_with_no_payload_in_the_address(
    page: Page, cloud: Cluster
) -> None:
    task_id = orders.dispatch(cloud.gateway_url, "demo", {"fail": "typo"}, budgetCents=7)
    page.goto(f"{cloud.gateway_url}/console/task/{task_id}")
    page.get_by_role("link", name="Edit and dispatch").click()
    expect(page.get_by_label("Payload")).to_have_value('{\n  "fail": "typo"\n}')
    assert "typo" not in page.url
    expect(page.get_by_label("Agent")).to_have_value("demo")
    expect(page.get_by_label("Budget")).to_have_value("7")
    page.get_by_label("Payload").fill('{"seconds": 0}')
    page.get_by_role("button", name="Dispatch").click()
    expect(page.locator("#outcome .state")).to_have_text("succeeded")


def test_a_task_shows_what_its_children_came_to(page: Page, cloud: Cluster) -> None:
    payload = {"topics": ["a", "b"], "agent": "demo", "shareCents": 10}
    task_id = orders.dispatch(cloud.gateway_url, "crew", payload, budgetCents=30)
    page.goto(f"{cloud.gateway_url}/console/task/{task_id}")
    expect(page.locator("#children .state.succeeded")).to_have_count(2)
    expect(page.locator("#children li").first).to_contain_text("5 ¢ of 10 ¢")
    page.locator("#children a").first.click()
    expect(page.locator("#facts")).to_contain_text(f"Child of{task_id}")


def test_what_the_server_refuses_is_said_beside_the_form(page: Page, cloud: Cluster) -> None:
    page.goto(f"{cloud.gateway_url}/console/dispatch")
    page.get_by_text("More: account").click()
    page.get_by_label("Account").fill("nobody-has-it")
    page.get_by_role("button", name="Dispatch").click()
    expect(page.locator("#problem")).to_contain_text("there is no 'nobody-has-it'")


def test_an_account_is_opened_watched_and_limited(page: Page, cloud: Cluster) -> None:
    page.goto(f"{cloud.gateway_url}/console/accounts")
    page.get_by_label("Name").fill("visitors")
    page.get_by_label("Limit, in cents").fill("100")
    page.get_by_role("button", name="Open").click()
    card = page.locator(".card", has_text="visitors")
    expect(card).to_contain_text("spent0 ¢held0 ¢free$1.00")

    task_id = orders.dispatch(cloud.gateway_url, "light", 1, account="visitors", budgetCents=30)
    orders.ended(cloud.gateway_url, task_id)
    expect(card).to_contain_text("held30 ¢free70 ¢")  # by itself

    card.get_by_role("link").click()
    expect(page.locator("#facts")).to_contain_text("by the last 1 task")
    page.get_by_label("Limit, in cents").fill("250")
    page.get_by_role("button", name="Change").click()
    expect(page.locator("#now")).to_contain_text("free$2.20")
    page.get_by_role("link", name="Its tasks").click()
    expect(page.locator("#rows tr")).to_have_count(1)


def test_health_shows_the_hops(page: Page, cloud: Cluster) -> None:
    orders.ended(cloud.gateway_url, orders.dispatch(cloud.gateway_url, "light", 1))
    page.goto(f"{cloud.gateway_url}/console/health")
    expect(page.locator("#hops tr").first).to_contain_text("tasks")
    expect(page.locator("#hops tr").last.locator("td").last).to_have_text(re.compile(r"\d+ m?s"))
    expect(page.locator("#letters")).to_contain_text("None.")


def test_an_unknown_task_is_said_to_be_one(page: Page, cloud: Cluster) -> None:
    page.goto(f"{cloud.gateway_url}/console/task/{'0' * 32}")
    expect(page.get_by_role("alert").first).to_contain_text("There is no task with this id")


def test_everything_can_be_done_from_the_keyboard(page: Page, cloud: Cluster) -> None:
    page.goto(cloud.gateway_url)
    page.keyboard.press("Tab")
    expect(page.get_by_role("link", name="Skip to the content")).to_be_focused()
    page.goto(f"{cloud.gateway_url}/console/dispatch")
    page.get_by_label("Payload").focus()
    page.keyboard.press("Control+Enter")
    expect(page.locator("#outcome .state")).to_have_text("succeeded")
    page.goto(cloud.gateway_url)
    page.locator("#rows a").first.focus()
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", name="Timeline")).to_be_visible()
