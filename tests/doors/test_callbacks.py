"""Callbacks: signed as the standard says, to public addresses only, and never for long."""

from __future__ import annotations

import base64
import dataclasses
import socket
import ssl
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import standardwebhooks
import trustme

from shared import callbacks, config, errors, limits, network
from tests.doors import receivers, ssrf
from tests.doors.ssrf import HOST, World

NEW, OLD, STRANGE = (f"whsec_{base64.b64encode(bytes([n] * 32)).decode()}" for n in range(3))
PUBLIC = "93.184.215.14"
BODY = '{"taskId":"a","result":"é"}'.encode()


@pytest.fixture
def settings() -> config.Config:
    """The configuration of a deployed function."""
    return config.Config(
        k_service="callback", callback_secrets=(NEW, OLD), callback_timeout_seconds=5
    )


@pytest.fixture
def local(settings: config.Config) -> config.Config:
    """The same on a developer's machine."""
    return dataclasses.replace(settings, k_service="")


def delivered(url: str, settings: config.Config, world: World) -> callbacks.Outcome:
    """The outcome of one attempt, now."""
    now = int(time.time())
    return callbacks.deliver(
        url, BODY, "msg_1", now, settings.callback_secrets, settings, world.network
    )


def assert_shut(url: str, settings: config.Config, world: World) -> None:
    """Neither dispatch nor delivery lets it through, and nothing is connected to."""
    with pytest.raises(errors.Invalid, match=r"^callbackUrl: "):
        callbacks.check_url(url, settings, world.network)
    assert delivered(url, settings, world).state == "retry"
    assert world.dialled == []


@pytest.fixture(params=["deployed", "local"])
def either(request: pytest.FixtureRequest, settings: config.Config) -> config.Config:
    """Deployed or local: what is not public stays shut in both."""
    return dataclasses.replace(settings, k_service="" if request.param == "local" else "callback")


@pytest.mark.parametrize("address", ssrf.ADDRESSES.values(), ids=ssrf.ADDRESSES)
def test_a_name_of_an_address_that_is_not_public_is_shut(
    address: str, either: config.Config
) -> None:
    assert_shut(f"https://{HOST}/hook", either, World({HOST: [[address]]}))


@pytest.mark.parametrize("address", ssrf.ADDRESSES.values(), ids=ssrf.ADDRESSES)
def test_one_bad_address_among_public_ones_shuts_the_name(
    address: str, settings: config.Config
) -> None:
    for answer in ([PUBLIC, address], [address, PUBLIC]):
        assert_shut(f"https://{HOST}/hook", settings, World({HOST: [answer]}))


@pytest.mark.parametrize("address", ssrf.ADDRESSES.values(), ids=ssrf.ADDRESSES)
def test_an_address_that_is_not_public_is_shut_when_given_itself(
    address: str, settings: config.Config
) -> None:
    host = f"[{address}]" if ":" in address else address
    assert_shut(f"https://{host}/hook", settings, World())


@pytest.mark.parametrize("url", ssrf.URLS.values(), ids=ssrf.URLS)
def test_a_url_that_means_something_else_is_shut(url: str, settings: config.Config) -> None:
    assert_shut(url, settings, World({HOST: [[PUBLIC]]}))


def test_the_refusal_names_the_field_and_the_mend(settings: config.Config) -> None:
    with pytest.raises(errors.Invalid) as caught:
        callbacks.check_url(f"https://u:p@{HOST}/", settings)
    problem = caught.value.problem()["errors"]
    detail = "must carry no user name or password: callbacks are signed"
    assert problem == [{"field": "callbackUrl", "detail": detail}]


def test_the_suite_is_as_large_as_it_claims() -> None:
    assert len(ssrf.ADDRESSES) >= 45
    assert len(ssrf.URLS) >= 45


@pytest.mark.parametrize("address", ssrf.PUBLIC)
def test_a_public_address_is_open(address: str, settings: config.Config) -> None:
    world = World({HOST: [[address]]})
    callbacks.check_url(f"https://{HOST}/hook?a=b%20c", settings, world.network)
    delivered(f"https://{HOST}/hook", settings, world)
    assert world.dialled == [(address, 443)]


def test_a_name_that_turns_to_this_machine_after_the_dispatch_is_shut(
    settings: config.Config,
) -> None:
    world = World({HOST: [[PUBLIC], ["127.0.0.1"]]})
    callbacks.check_url(f"https://{HOST}/", settings, world.network)
    assert delivered(f"https://{HOST}/", settings, world).state == "retry"
    assert world.dialled == []


def test_a_delivery_resolves_once_and_dials_what_it_checked(settings: config.Config) -> None:
    """A name that answers anew at every look gets no second look between check and use."""
    world = World({HOST: [[PUBLIC], ["169.254.169.254"], ["127.0.0.1"]]})
    delivered(f"https://{HOST}/", settings, world)
    assert world.looked_up == [HOST]
    assert world.dialled == [(PUBLIC, 443)]


def test_the_next_address_is_tried_where_one_does_not_answer(settings: config.Config) -> None:
    world = World({HOST: [[PUBLIC, "8.8.8.8", PUBLIC]]})
    outcome = delivered(f"https://{HOST}:8443/", settings, world)
    assert world.dialled == [(PUBLIC, 8443), ("8.8.8.8", 8443)]
    assert outcome == callbacks.Outcome(state="retry", detail="the connection failed")


def test_a_name_that_does_not_exist_is_invalid_and_an_outage_is_not(
    settings: config.Config,
) -> None:
    def failing(number: int) -> network.Network:
        def resolve(*_: object, **__: object) -> list[object]:
            raise socket.gaierror(number, "no")

        return network.Network(resolve=resolve)

    with pytest.raises(errors.Invalid, match=f"callbackUrl: {HOST} does not exist"):
        callbacks.check_url(f"https://{HOST}/", settings, failing(socket.EAI_NONAME))
    with pytest.raises(errors.Unavailable):
        callbacks.check_url(f"https://{HOST}/", settings, failing(socket.EAI_AGAIN))


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1", "127.1.2.3", "[::1]"])
def test_at_home_this_machine_may_be_called_over_plain_http(
    host: str, local: config.Config, settings: config.Config
) -> None:
    callbacks.check_url(f"http://{host}:21050/hook", local)
    with pytest.raises(errors.Invalid):
        callbacks.check_url(f"http://{host}:21050/hook", settings)


def test_at_home_localhost_must_be_this_machine(local: config.Config) -> None:
    assert_shut("http://localhost:8080/", local, World({"localhost": [["10.0.0.1"]]}))


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    """Who signs the receivers' certificates."""
    return trustme.CA()


@pytest.fixture
def trusted(authority: trustme.CA, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Lets this process trust it, by OpenSSL's own variable."""
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "ca.pem"))


def server_context(authority: trustme.CA, *names: str) -> ssl.SSLContext:
    """TLS with a certificate for these names."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert(*names).configure_cert(context)
    return context


@pytest.fixture
def receiver(authority: trustme.CA, trusted: None) -> Iterator[receivers.Receiver]:
    """A receiver that is trusted for HOST."""
    with receivers.running(server_context(authority, HOST)) as receiver:
        yield receiver


@pytest.fixture
def world(receiver: receivers.Receiver) -> World:
    """A world where HOST is public, and is that receiver."""
    return World({HOST: [[PUBLIC]]}, receiver.port)


def test_a_receiver_verifies_the_signature_with_either_secret_and_no_other(
    receiver: receivers.Receiver, world: World, settings: config.Config
) -> None:
    outcome = delivered(f"https://{HOST}/200?q=1", settings, world)
    assert outcome.state == "delivered"
    [request] = receiver.requests
    assert (request.path, request.body) == ("/200?q=1", BODY)
    assert request.headers["Content-Type"] == "application/json"
    for secret in (NEW, OLD):
        webhook = standardwebhooks.Webhook(secret)
        assert webhook.verify(request.body, request.headers)["taskId"] == "a"
    with pytest.raises(standardwebhooks.WebhookVerificationError):
        standardwebhooks.Webhook(STRANGE).verify(request.body, request.headers)


def test_a_tampered_or_replayed_callback_fails_at_the_receiver(
    receiver: receivers.Receiver, world: World, settings: config.Config
) -> None:
    delivered(f"https://{HOST}/200", settings, world)
    long_ago = int(time.time()) - 301
    callbacks.deliver(
        f"https://{HOST}/200", BODY, "msg_1", long_ago, (NEW,), settings, world.network
    )
    fresh, replayed = receiver.requests
    webhook = standardwebhooks.Webhook(NEW)
    forgeries = [
        (fresh.body + b" ", fresh.headers),
        (fresh.body, {**fresh.headers, "webhook-id": "msg_2"}),
        (
            fresh.body,
            {
                **fresh.headers,
                "webhook-timestamp": f"{int(fresh.headers['webhook-timestamp']) - 1}",
            },
        ),
        (replayed.body, replayed.headers),
        (replayed.body, {**replayed.headers, "webhook-timestamp": str(int(time.time()))}),
    ]
    for body, headers in forgeries:
        with pytest.raises(standardwebhooks.WebhookVerificationError):
            webhook.verify(body, headers)


def test_tls_is_for_the_name_though_the_address_is_dialled(
    receiver: receivers.Receiver, world: World, settings: config.Config
) -> None:
    delivered(f"https://{HOST}/200", settings, world)
    delivered(f"https://{HOST}:8443/200", settings, world)
    assert world.dialled == [(PUBLIC, 443), (PUBLIC, 8443)]
    assert receiver.names == [HOST, HOST]
    assert [each.headers["Host"] for each in receiver.requests] == [HOST, f"{HOST}:8443"]


def test_a_certificate_for_another_name_or_from_a_stranger_is_refused(
    authority: trustme.CA, trusted: None, settings: config.Config
) -> None:
    for signer, name in (
        (authority, "other.example.com"),
        (authority, PUBLIC),
        (trustme.CA(), HOST),
    ):
        with receivers.running(server_context(signer, name)) as receiver:
            outcome = delivered(
                f"https://{HOST}/200", settings, World({HOST: [[PUBLIC]]}, receiver.port)
            )
        assert outcome.state == "retry"
        assert "certificate" in outcome.detail
        assert receiver.requests == []


@pytest.mark.parametrize(
    ("path", "state", "after"),
    [
        ("/200", "delivered", None),
        ("/201", "delivered", None),
        ("/204", "delivered", None),
        ("/410", "gone", None),
        ("/400", "retry", None),
        ("/401", "retry", None),
        ("/404", "retry", None),
        ("/500", "retry", None),
        ("/502", "retry", None),
        ("/503", "retry", None),
        ("/429/7", "retry", 7),
        ("/503/120", "retry", 120),
        ("/503/999999999", "retry", limits.RETRY_AFTER),
        ("/503/-5", "retry", None),
        ("/503/soon", "retry", None),
        ("/503/1e9", "retry", None),
        ("/503/Mon,%2001%20Jan%20" + "9" * 30 + "%2000:00:00%20GMT", "retry", None),
        ("/503/Mon,%2001%20Jan%202024%2000:00:00%20+" + "9" * 30, "retry", None),
    ],
)
def test_the_answer_decides_what_comes_next(
    path: str, state: str, after: float | None, world: World, settings: config.Config
) -> None:
    outcome = delivered(f"https://{HOST}{path}", settings, world)
    status = path.split("/")[1]
    assert outcome == callbacks.Outcome(
        state=state,  # type: ignore[arg-type]
        detail=f"the receiver answered {status}",
        after=after,
    )


def test_a_retry_after_may_be_a_date(world: World, settings: config.Config) -> None:
    outcome = delivered(f"https://{HOST}/503/date", settings, world)
    assert outcome.after is not None
    assert 0 < outcome.after <= 120


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_redirect_is_not_followed(
    status: int, receiver: receivers.Receiver, world: World, settings: config.Config
) -> None:
    outcome = delivered(f"https://{HOST}/{status}/latest", settings, world)
    assert outcome.state == "retry"
    assert world.leaks == []
    assert len(receiver.requests) == 1


@pytest.mark.parametrize("path", ["/silent", "/trickle"])
def test_a_slow_receiver_is_left_when_the_total_time_is_up(
    path: str, world: World, settings: config.Config
) -> None:
    """The trickle sends a byte often enough for any timeout of a single read."""
    hasty = dataclasses.replace(settings, callback_timeout_seconds=0.5)
    outcome = delivered(f"https://{HOST}{path}", hasty, world)
    assert outcome == callbacks.Outcome(state="retry", detail="no answer within 0.5 seconds")


@pytest.mark.parametrize("path", ["/continue", "/headers", "/garbage", "/hangup"])
def test_a_rude_receiver_is_left(path: str, world: World, settings: config.Config) -> None:
    outcome = delivered(f"https://{HOST}{path}", settings, world)
    assert outcome == callbacks.Outcome(state="retry", detail="the connection failed")


def test_the_body_of_an_answer_is_not_waited_for(world: World, settings: config.Config) -> None:
    assert delivered(f"https://{HOST}/endless", settings, world).state == "delivered"


def test_a_resolver_that_hangs_is_left_too(settings: config.Config) -> None:
    with receivers.running() as receiver:

        def resolve(*_: object, **__: object) -> list[object]:
            receiver.done.wait()
            return []

        hasty = dataclasses.replace(settings, callback_timeout_seconds=0.1)
        with pytest.raises(errors.Unavailable):
            callbacks.check_url(f"https://{HOST}/", hasty, network.Network(resolve=resolve))


def test_a_local_receiver_gets_plain_http(local: config.Config) -> None:
    with receivers.running() as receiver:
        now = int(time.time())
        url = f"http://127.0.0.1:{receiver.port}/200"
        outcome = callbacks.deliver(url, BODY, "msg_1", now, (NEW,), local)
    assert outcome.state == "delivered"
    assert receiver.requests[0].headers["Host"] == f"127.0.0.1:{receiver.port}"


def test_secrets_are_checked_when_they_are_read_and_never_shown() -> None:
    both = config.load({"CALLBACK_SECRETS": f"{NEW}, {OLD}"})
    assert both.callback_secrets == (NEW, OLD)
    assert NEW not in repr(both)
    for wrong in ("plain", "whsec_", "whsec_%%%", "whsec_c2hvcnQ=", f"{NEW},x"):
        with pytest.raises(
            errors.Misconfigured, match="CALLBACK_SECRETS: must be whsec_"
        ) as caught:
            config.load({"CALLBACK_SECRETS": wrong})
        assert NEW not in str(caught.value)


def test_ports_are_checked_when_they_are_read() -> None:
    assert config.load({"CALLBACK_PORTS": "443, 9443"}).callback_ports == (443, 9443)
    for wrong in ("0", "65536", "https", ","):
        with pytest.raises(errors.Misconfigured, match="CALLBACK_PORTS"):
            config.load({"CALLBACK_PORTS": wrong})
