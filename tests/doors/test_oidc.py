"""Push tokens: the genuine one is let in, a forged one never is, and certificates are kept."""

from __future__ import annotations

import base64
import dataclasses
import json
import stat
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from werkzeug.datastructures import Headers

from emulators import tokens
from shared import config, errors, oidc
from tests.doors import forged
from tests.doors.conftest import AUDIENCE, EMAIL, Certs


def outcome(headers: forged.Headers, settings: config.Config) -> str:
    """What becomes of a push: `let in`, or the code of the error."""
    try:
        oidc.verify_push(Headers(headers), AUDIENCE, settings)
    except errors.Error as error:
        return error.code
    return "let in"


def good(issuer: tokens.Issuer, **claims: object) -> forged.Headers:
    """The headers of a genuine push."""
    return forged.bearer(issuer.token(AUDIENCE, EMAIL, **claims))


def test_every_forged_token_is_401_and_none_breaks_it(
    issuer: tokens.Issuer, settings: config.Config
) -> None:
    cases = forged.cases(issuer, AUDIENCE, EMAIL)
    assert len(cases) >= 45
    assert outcome(good(issuer), settings) == "let in"
    outcomes = {name: outcome(headers, settings) for name, headers in cases.items()}
    assert outcomes == dict.fromkeys(cases, "unauthenticated")


def test_no_forged_token_passes_where_iam_checks_the_signature(
    issuer: tokens.Issuer, settings: config.Config
) -> None:
    """A token whose signature is still there was not checked by IAM, whoever signed it."""
    cases = forged.cases(issuer, AUDIENCE, EMAIL)
    del cases["tampered: signature removed, as by IAM"]  # there, this is the genuine one
    behind_iam = dataclasses.replace(settings, oidc_mode="iam")
    outcomes = {name: outcome(headers, behind_iam) for name, headers in cases.items()}
    assert outcomes == dict.fromkeys(cases, "unauthenticated")
    assert outcome(good(issuer), behind_iam) == "unauthenticated"


def test_the_claims_are_who_the_token_speaks_for(
    issuer: tokens.Issuer, settings: config.Config
) -> None:
    claims = oidc.verify_push(Headers(good(issuer, sub="1234")), AUDIENCE, settings)
    assert claims == oidc.Claims(email=EMAIL, subject="1234")


@pytest.mark.parametrize(
    ("offsets", "claims"),
    [
        ({"iat": 20, "exp": 3620}, {}),
        ({"iat": -3620, "exp": -20}, {}),
        ({"nbf": 0}, {}),
        ({}, {"azp": None, "hd": "example.com"}),
        ({}, {"email": "second@zantara-dev.iam.gserviceaccount.com"}),
    ],
    ids=["its clock is ahead", "its clock is behind", "nbf", "other claims", "a second account"],
)
def test_a_genuine_token_is_let_in(
    offsets: dict[str, int],
    claims: dict[str, object],
    issuer: tokens.Issuer,
    settings: config.Config,
) -> None:
    now = int(time.time())
    times = {name: now + offset for name, offset in offsets.items()}
    assert outcome(good(issuer, **times, **claims), settings) == "let in"


def test_the_scheme_is_read_in_any_case(issuer: tokens.Issuer, settings: config.Config) -> None:
    headers = [("authorization", f"bearer {issuer.token(AUDIENCE, EMAIL)}")]
    assert outcome(headers, settings) == "let in"


def test_without_an_audience_nothing_is_verified(
    issuer: tokens.Issuer, settings: config.Config
) -> None:
    with pytest.raises(errors.Misconfigured):
        oidc.verify_push(Headers(good(issuer, aud="")), "", settings)


def stripped(issuer: tokens.Issuer, **claims: object) -> str:
    """A token as Cloud Run hands it on after its IAM has checked it."""
    signed, _, _ = issuer.token(AUDIENCE, EMAIL, **claims).rpartition(".")
    return f"Bearer {signed}.SIGNATURE_REMOVED_BY_GOOGLE"


def test_behind_iam_the_claims_alone_are_checked_all_of_them(
    issuer: tokens.Issuer, settings: config.Config, certs: Certs
) -> None:
    behind_iam = dataclasses.replace(settings, oidc_mode="iam")

    def push(**claims: object) -> str:
        return outcome([("Authorization", stripped(issuer, **claims))], behind_iam)

    assert push() == "let in"
    for claims in (
        {"aud": "x"},
        {"iss": "x"},
        {"exp": 1},
        {"email": "m@x.y"},
        {"email_verified": 1},
    ):
        assert push(**claims) == "unauthenticated"
    assert certs.asked == 0


def test_behind_iam_the_token_that_iam_checked_counts(
    issuer: tokens.Issuer, settings: config.Config
) -> None:
    """Of two tokens Cloud Run checks the serverless one: the other may be anyone's invention."""
    behind_iam = dataclasses.replace(settings, oidc_mode="iam")
    mine = stripped(issuer, email="mallory@example.com")
    invented = ("Authorization", stripped(issuer))
    assert (
        outcome([("X-Serverless-Authorization", mine), invented], behind_iam) == "unauthenticated"
    )
    assert outcome([("X-Serverless-Authorization", stripped(issuer))], behind_iam) == "let in"


def test_a_thousand_tokens_on_many_threads_fetch_the_certificates_once(
    issuer: tokens.Issuer, settings: config.Config, certs: Certs
) -> None:
    headers = [good(issuer, number=number) for number in range(1000)]
    with ThreadPoolExecutor(20) as threads:
        outcomes = set(threads.map(lambda each: outcome(each, settings), headers))
    assert outcomes == {"let in"}
    assert certs.asked == 1


class Clock:
    """A clock that stands until it is moved."""

    now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


Keys = Callable[[], bool]


@pytest.fixture
def known(certs: Certs, clock: Clock, issuer: tokens.Issuer) -> Keys:
    """Asks whether the issuer's key is known now."""
    store = oidc.Certificates(certs.url, clock)
    return lambda: store.verifier(issuer.key_id) is not None


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"Cache-Control": "public, max-age=600, must-revalidate"}, 600),
        ({"Cache-Control": "max-age=600", "Age": "200"}, 400),
        ({"Cache-Control": "max-age=600", "Age": "x"}, 600),
        ({"Cache-Control": "no-store"}, oidc.FETCH_PAUSE),
        ({"Cache-Control": "max-age=600", "Age": "9999"}, oidc.FETCH_PAUSE),
        ({}, oidc.FETCH_PAUSE),
    ],
)
def test_certificates_are_kept_as_long_as_their_headers_say(
    headers: dict[str, str], seconds: int, certs: Certs, clock: Clock, known: Keys
) -> None:
    certs.headers = headers
    assert known()
    clock.now += seconds - 1
    assert known()
    assert certs.asked == 1
    clock.now += 1
    assert known()
    assert certs.asked == 2


def test_an_unknown_key_is_looked_up_once_and_garbage_does_not_hammer_the_issuer(
    certs: Certs, clock: Clock, issuer: tokens.Issuer
) -> None:
    store = oidc.Certificates(certs.url, clock)
    rotated, certs.certs = certs.certs, {}
    assert store.verifier(issuer.key_id) is None
    for number in range(100):
        assert store.verifier(f"garbage {number}") is None
    assert certs.asked == 1
    certs.certs = rotated
    clock.now += oidc.FETCH_PAUSE
    assert store.verifier(issuer.key_id) is not None
    assert certs.asked == 2


@pytest.mark.parametrize(
    "broken",
    [{"status": 500}, {"status": 404}, {"body": b"<html>"}, {"body": b"[]"}, {"body": b'{"k":"x"}'},
     {"body": b'{"k":1}'}, {"url": "http://127.0.0.1:1/certs"}],
    ids=str,
)  # fmt: skip
def test_without_certificates_it_is_503_and_tried_again_after_a_pause(
    broken: dict[str, object], certs: Certs, clock: Clock, issuer: tokens.Issuer
) -> None:
    whole = dataclasses.replace(certs)
    for name, value in broken.items():
        setattr(certs, name, value)
    store = oidc.Certificates(certs.url, clock)
    for _ in range(3):
        with pytest.raises(errors.Unavailable):
            store.verifier(issuer.key_id)
    assert certs.asked <= 1
    certs.status, certs.body = whole.status, whole.body
    clock.now += oidc.FETCH_PAUSE
    if certs.url == whole.url:
        assert store.verifier(issuer.key_id) is not None


def test_certificates_outlive_an_outage_until_they_expire(
    certs: Certs, clock: Clock, known: Keys
) -> None:
    certs.headers = {"Cache-Control": "max-age=600"}
    assert known()
    certs.status = 503
    clock.now += 599
    assert known()
    clock.now += 1
    with pytest.raises(errors.Unavailable):
        known()


def test_a_key_that_is_not_rsa_lets_nobody_in(
    issuer: tokens.Issuer, certs: Certs, settings: config.Config
) -> None:
    public = ec.generate_private_key(ec.SECP256R1()).public_key()
    pem = public.public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    certs.certs = {issuer.key_id: pem.decode()}
    assert outcome(good(issuer), settings) == "unauthenticated"


def test_the_issuer_keeps_its_key_private_and_for_good(tmp_path: Path) -> None:
    folder = tmp_path / "made" / "here"
    with ThreadPoolExecutor(8) as threads:  # as processes that start at once
        made = list(threads.map(lambda _: tokens.Issuer(folder).certs(), range(8)))
    assert all(certs == tokens.Issuer(folder).certs() for certs in made)
    assert [path.name for path in folder.iterdir()] == ["issuer.pem"]
    assert stat.S_IMODE((folder / "issuer.pem").stat().st_mode) == 0o600


def test_a_local_token_looks_like_googles(issuer: tokens.Issuer) -> None:
    header, payload, _ = issuer.token(AUDIENCE, EMAIL).split(".")
    read = [json.loads(base64.urlsafe_b64decode(part + "==")) for part in (header, payload)]
    assert read[0] == {"alg": "RS256", "kid": issuer.key_id, "typ": "JWT"}
    assert set(read[1]) == {"iss", "aud", "azp", "sub", "email", "email_verified", "iat", "exp"}
