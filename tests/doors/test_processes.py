"""The doors of running functions: forged pushes stay out, and nasty input gets its own answer."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path

import flask
import pytest

from emulators import tokens, topology
from shared import oidc
from tests.doors import forged, nasty, processes
from tests.doors.conftest import AUDIENCE, EMAIL, Certs, serving

# Every push endpoint that there is, by target: none can be added that is not tried.
PUSHED = {each.function: {each.path, "/"} for each in topology.subscriptions()}
TARGETS = ("dispatch", "get_task", "cancel_task", "accounts")
TARGETS += ("agent_light", "results", "callback", "dead_letter", "sweep")


@pytest.fixture(scope="module")
def open_house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[processes.Functions]:
    """Every function, as it runs at home, where nobody needs a token."""
    folder = tmp_path_factory.mktemp("open")
    environ = {
        "BACKEND": "embedded",
        "EMBEDDED_PATH": str(folder / "zantara.db"),
        "CALLBACK_SECRETS": "whsec_" + "A" * 44,
    }
    with processes.running(TARGETS, environ, folder) as functions:
        yield functions


@pytest.mark.parametrize("case", nasty.CASES.values(), ids=nasty.CASES)
def test_nasty_input_gets_its_own_answer(case: nasty.Case, open_house: processes.Functions) -> None:
    answer = open_house.ask(case.target, case.method, case.path, case.headers, case.body)
    if answer.status == 204:
        assert (answer.status, answer.body) == (case.expected[0], b"")
        return
    assert (answer.status, answer.code) == case.expected
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json["status"] == answer.status
    assert len(answer.json["detail"]) < 1000
    assert len(answer.body) < 4000
    assert (answer.status == 405) == ("allow" in answer.headers)
    internal = ("Traceback", "/shared/", ".py", "sqlite", "marshmallow", "Exception")
    assert not any(word in answer.body.decode() for word in internal)


@pytest.mark.parametrize("request_", nasty.BROKEN.values(), ids=nasty.BROKEN)
def test_a_body_that_breaks_off_or_is_broken_is_400(
    request_: bytes, open_house: processes.Functions
) -> None:
    """At a push too: what did not come whole is no dead letter, it comes again."""
    for target, path in (("dispatch", b"/dispatch"), ("results", b"/")):
        answer = open_house.say(target, request_ % path)
        assert (answer.status, answer.code) == nasty.MALFORMED
    assert open_house.say("dispatch", request_ % b"/nowhere").code == "not_found"


def test_a_host_that_is_none_is_400(open_house: processes.Functions) -> None:
    answer = open_house.say("get_task", b"GET /tasks HTTP/1.1\r\nHost: a..b\r\n\r\n")
    assert (answer.status, answer.code) == nasty.MALFORMED


def test_what_nobody_reads_of_a_body_is_not_kept_in_memory() -> None:
    client = serving("dispatch")
    kept: list[int] = []

    def note(response: flask.Response) -> flask.Response:
        kept.append(len(flask.request.get_data()))  # as functions-framework does
        return response

    client.application.after_request(note)
    statuses = [client.post(path, data=b" " * 2**21).status_code for path in ("/x", "/dispatch")]
    assert (statuses, kept) == ([404, 413], [0, 0])


def test_the_table_is_as_long_as_it_claims() -> None:
    assert len(nasty.CASES) >= 40


def test_what_is_good_is_let_in(open_house: processes.Functions) -> None:
    """So that the answers above are not those of a house that refuses everything."""
    body = json.dumps(nasty.ORDER).encode()
    answer = open_house.ask("dispatch", "POST", "/dispatch", [nasty.JSON], body)
    assert answer.status == 202
    chunked = open_house.ask("dispatch", "POST", "/dispatch", [nasty.JSON], [body[:9], body[9:]])
    assert chunked.status == 202
    shown = open_house.ask("get_task", "GET", answer.headers["location"])
    assert (shown.status, shown.json["status"]) == (200, "queued")
    charset = [("Content-Type", 'application/json; charset="UTF-8"'), ("X-Any", "\xff")]
    assert open_house.ask("dispatch", "POST", "/dispatch", charset, body).status == 202


def test_every_forged_token_is_401_at_every_push_endpoint(
    issuer: tokens.Issuer, certs: Certs, tmp_path: Path
) -> None:
    environ = {
        "BACKEND": "embedded",
        "EMBEDDED_PATH": str(tmp_path / "zantara.db"),
        "PUBSUB_VERIFY_OIDC": "true",
        "PUBSUB_AUDIENCE": AUDIENCE,
        "RESULTS_PUBSUB_VERIFY_OIDC": "true",
        "RESULTS_PUBSUB_AUDIENCE": AUDIENCE,
        "PUSH_SERVICE_ACCOUNTS": EMAIL,
        "OIDC_CERTS_URL": certs.url,
    }
    cases = forged.cases(issuer, AUDIENCE, EMAIL)
    assert len(cases) >= 45
    assert sum(map(len, PUSHED.values())) >= 7
    body = json.dumps(nasty.message({"payload": 1, "agent": "nobody"}, messageId="1")).encode()
    begun = time.monotonic()
    with processes.running(PUSHED, environ, tmp_path) as functions:
        for target, paths in PUSHED.items():
            for path in paths:
                outcomes = {
                    name: functions.ask(target, "POST", path, [nasty.JSON, *headers], body).status
                    for name, headers in cases.items()
                }
                assert outcomes == dict.fromkeys(cases, 401), f"{target} {path}"
        # Unknown keys make them look again, at their pace, however long all this takes.
        assert certs.asked <= len(PUSHED) + (time.monotonic() - begun) / oidc.FETCH_PAUSE
        refused = functions.ask("results", "POST", "/", [nasty.JSON], body)
        assert (refused.code, refused.headers["www-authenticate"]) == ("unauthenticated", "Bearer")
        for target, paths in PUSHED.items():
            good = [nasty.JSON, *forged.bearer(issuer.token(AUDIENCE, EMAIL))]
            for path in paths:
                assert functions.ask(target, "POST", path, good, body).status == 204


def test_a_thousand_good_pushes_fetch_the_certificates_once_a_process(
    issuer: tokens.Issuer, certs: Certs, tmp_path: Path
) -> None:
    environ = {
        "BACKEND": "embedded",
        "EMBEDDED_PATH": str(tmp_path / "zantara.db"),
        "PUBSUB_VERIFY_OIDC": "true",
        "PUBSUB_AUDIENCE": AUDIENCE,
        "PUSH_SERVICE_ACCOUNTS": EMAIL,
        "OIDC_CERTS_URL": certs.url,
    }
    body = json.dumps(nasty.message({})).encode()
    with processes.running(["sweep"], environ, tmp_path) as functions:
        statuses = set()
        for number in range(1000):
            headers = forged.bearer(issuer.token(AUDIENCE, EMAIL, number=number))
            statuses.add(functions.ask("sweep", "POST", "/", [nasty.JSON, *headers], body).status)
    assert statuses == {204}
    assert certs.asked == 1
