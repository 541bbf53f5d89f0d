"""Google's OIDC tokens: who made this request, proved by a signature or vouched for by IAM."""

from __future__ import annotations

import base64
import functools
import re
import threading
import time
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from shared import errors, strictjson

if TYPE_CHECKING:
    from google.auth.crypt import RSAVerifier
    from werkzeug.datastructures import Headers

    from shared import config as configs

ISSUER = "https://accounts.google.com"
LONGEST_HEADER = 4096  # bytes
LONGEST_LIFETIME = 3600  # seconds, as Google's tokens have
SKEW = 60  # seconds that two clocks may differ
FETCH_TIMEOUT = 5  # seconds
FETCH_PAUSE = 10  # seconds between two fetches at least, whatever the reason

_BEARER = re.compile(r"Bearer (([\w-]+)\.([\w-]+)\.([\w-]+))", re.ASCII | re.IGNORECASE)
_REMOVED = "SIGNATURE_REMOVED_BY_GOOGLE"  # what Cloud Run's IAM leaves of a signature it checked


@dataclass(frozen=True, kw_only=True)
class Claims:
    """Who a token speaks for."""

    email: str
    subject: str


def verify_push(headers: Headers, audience: str, config: configs.Config) -> Claims:
    """The service account that made a push, one of `PUSH_SERVICE_ACCOUNTS`.

    Raises as `verify` does; also where the token is good but belongs to another account.
    """
    if not audience:
        raise errors.Misconfigured("PUBSUB_AUDIENCE: a token for anyone would pass without it")
    claims = verify(headers, (audience,), config.oidc_mode, config)
    if claims.email not in config.push_service_accounts:
        raise errors.Unauthenticated("the token's e-mail is not one of PUSH_SERVICE_ACCOUNTS")
    return claims


def verify(
    headers: Headers, audiences: Collection[str], mode: str, config: configs.Config
) -> Claims:
    """Whom the request's token speaks for, after every check that the mode allows.

    `mode` is `verify`, or `iam` behind Cloud Run's IAM, which has checked the signature and the
    audience, and stripped the first: then no audience need be named here. Raises
    `errors.Unauthenticated` for anything wrong with it, and `errors.Unavailable` only where the
    certificates cannot be had.
    """
    if not audiences and mode != "iam":
        raise errors.Misconfigured("an audience is required: a token for anyone would pass")
    match = _BEARER.fullmatch(_authorization(headers, mode))
    if not match:
        raise errors.Unauthenticated("the Authorization header is no bearer token")
    token, header, payload, signature = match.groups()
    if mode == "iam":
        if signature != _REMOVED:
            raise errors.Unauthenticated("IAM did not check this token: see infra/SECURITY.md")
    else:
        _check_signature(token, _segment(header), config.oidc_certs_url)
    return _checked(_segment(payload), audiences, time.time())


def _authorization(headers: Headers, mode: str) -> str:
    """The one header that counts; where IAM finds two tokens, it checks only the serverless one."""
    name = "Authorization"
    if mode == "iam" and "X-Serverless-Authorization" in headers:
        name = "X-Serverless-Authorization"
    values = headers.getlist(name)
    if len(values) != 1:
        raise errors.Unauthenticated(f"exactly one {name} header is required")
    if len(values[0]) > LONGEST_HEADER:
        raise errors.Unauthenticated(f"the {name} header is longer than {LONGEST_HEADER} bytes")
    return values[0]


def _segment(encoded: str) -> Mapping[str, Any]:
    try:
        value = strictjson.loads(_bytes(encoded))
    except errors.Malformed as error:
        raise errors.Unauthenticated(f"the token is malformed: {error}") from None
    if not isinstance(value, dict):
        raise errors.Unauthenticated("the token is malformed: not an object")
    return value


def _bytes(encoded: str) -> bytes:
    """Base64url without padding, in its one canonical form."""
    try:
        data = base64.urlsafe_b64decode(encoded + "=" * (-len(encoded) % 4))
    except ValueError:
        data = b""
    if base64.urlsafe_b64encode(data).rstrip(b"=") != encoded.encode():
        raise errors.Unauthenticated("the token is malformed: not base64url")
    return data


def _check_signature(token: str, header: Mapping[str, Any], url: str) -> None:
    """Only the algorithm and the key id are read from the header: it can name no key of its own."""
    key = header.get("kid")
    if header.get("alg") != "RS256" or "crit" in header or not isinstance(key, str):
        raise errors.Unauthenticated("the token must be signed with RS256 by a named key")
    verifier = certificates(url).verifier(key)
    if verifier is None:
        raise errors.Unauthenticated("the token's key is not one of the issuer's")
    signed, _, signature = token.rpartition(".")
    try:
        good = verifier.verify(signed.encode(), _bytes(signature))
    except TypeError:  # the named key is not an RSA key
        good = False
    if not good:
        raise errors.Unauthenticated("the token's signature is wrong")


def _checked(claims: Mapping[str, Any], audiences: Collection[str], now: float) -> Claims:
    issued, expires = claims.get("iat"), claims.get("exp")
    email, subject = claims.get("email"), claims.get("sub")
    if claims.get("iss") != ISSUER:
        raise errors.Unauthenticated(f"the token's issuer is not {ISSUER}")
    audience = claims.get("aud")
    if audiences and not (isinstance(audience, str) and audience in audiences):
        raise errors.Unauthenticated("the token's audience is another one")
    if type(issued) is not int or type(expires) is not int:  # a boolean would pass isinstance
        raise errors.Unauthenticated("the token's iat and exp must be integers")
    if not 0 < expires - issued <= LONGEST_LIFETIME + SKEW:
        raise errors.Unauthenticated("the token lives too long")
    if not issued - SKEW <= now < expires + SKEW:
        raise errors.Unauthenticated("the token is expired, or not yet valid")
    if "nbf" in claims and not (type(claims["nbf"]) is int and claims["nbf"] - SKEW <= now):
        raise errors.Unauthenticated("the token is not yet valid")
    if not isinstance(email, str) or not email or claims.get("email_verified") is not True:
        raise errors.Unauthenticated("the token has no verified e-mail")
    if not isinstance(subject, str) or not subject:
        raise errors.Unauthenticated("the token has no subject")
    return Claims(email=email, subject=subject)


@functools.cache
def certificates(url: str) -> Certificates:
    """The process's one store of the certificates at `url`."""
    return Certificates(url)


class Certificates:
    """An issuer's keys, kept for as long as its Cache-Control header says.

    An own cache rather than an HTTP one: it keeps parsed keys, fetches once for many threads, looks
    again for an unknown key, and lets neither garbage keys nor an outage turn into a stampede.
    """

    def __init__(self, url: str, clock: Callable[[], float] = time.monotonic) -> None:
        """Fetches nothing yet."""
        self._url, self._clock = url, clock
        self._lock = threading.Lock()
        self._verifiers: Mapping[str, RSAVerifier] = {}
        self._fresh_until = self._fetch_after = float("-inf")  # seconds of the clock

    def verifier(self, key: str) -> RSAVerifier | None:
        """What checks signatures of the key with this id, or None where the issuer has none such.

        Raises `errors.Unavailable` where the certificates cannot be had.
        """
        if not self._knows(key):
            with self._lock:
                now = self._clock()
                if not self._knows(key) and now >= self._fetch_after:
                    self._fetch_after = now + FETCH_PAUSE
                    self._fetch()
        if self._clock() >= self._fresh_until:
            raise errors.Unavailable("the issuer's certificates cannot be fetched now")
        return self._verifiers.get(key)

    def _knows(self, key: str) -> bool:
        return key in self._verifiers and self._clock() < self._fresh_until

    def _fetch(self) -> None:
        import requests  # not at import time: a function that verifies nothing needs no client
        from google.auth import crypt

        try:
            answer = requests.get(self._url, timeout=FETCH_TIMEOUT, allow_redirects=False)
            answer.raise_for_status()
            pems = strictjson.loads(answer.content)
            parse: Callable[[str], RSAVerifier] = crypt.RSAVerifier.from_string
            verifiers = {key: parse(pem) for key, pem in pems.items()}
        except (requests.RequestException, errors.Malformed, AttributeError, ValueError, TypeError):
            return  # what is fresh stays in use; the next try is after the pause
        self._verifiers = verifiers
        self._fresh_until = self._clock() + _lifetime(answer.headers)


def _lifetime(headers: Mapping[str, str]) -> float:
    """How long an answer stays fresh, in seconds; never so short that each token fetches anew."""
    caching = re.search(r"\bmax-age=(\d{1,9})\b", headers.get("Cache-Control", ""))
    age = re.fullmatch(r"\d{1,9}", headers.get("Age", ""))
    return max((int(caching[1]) if caching else 0) - (int(age[0]) if age else 0), FETCH_PAUSE)
