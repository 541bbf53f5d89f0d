"""Callbacks: signed webhooks (Standard Webhooks 1.0.0) that go to public addresses only."""

from __future__ import annotations

import email.utils
import http.client
import ipaddress
import re
import ssl
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Literal
from urllib.parse import urlsplit

from shared import config as configs, errors, limits, network as networks

_AUTHORITY = re.compile(r"(?:\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9.-]+)(?::[0-9]{1,5})?")
_LABEL = r"[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?"
_NAME = re.compile(rf"(?:{_LABEL}\.)+[a-z](?:[a-z0-9-]{{0,61}}[a-z0-9])?")
_PRIVATE_NAMES = (".internal", ".local", ".localhost", ".home.arpa")

_NETWORK = networks.Network()
_PORTS = {"https": 443, "http": 80}


@dataclass(frozen=True, kw_only=True)
class Target:
    """A callback URL, taken apart."""

    scheme: str
    host: str
    port: int
    path: str  # with the query

    @property
    def loopback(self) -> bool:
        """It names this machine itself; a name that merely resolves to it does not."""
        try:
            return self.host == "localhost" or ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return False


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What became of one attempt."""

    state: Literal["delivered", "retry", "gone"]
    detail: str  # why, for the task's owner
    after: float | None = None  # seconds that the receiver asked us to wait


def check_url(url: str, config: configs.Config, network: networks.Network = _NETWORK) -> None:
    """Whether callbacks may go to this URL, as things stand.

    Raises `errors.Invalid`, which names the field and the mend, and `errors.Unavailable` where its
    host cannot be resolved now.
    """
    try:
        _resolved(parsed(url, config), config, network)
    except errors.Invalid as error:
        raise _invalid(error.detail) from None


def _invalid(detail: str) -> errors.Invalid:
    problem = {"field": "callbackUrl", "detail": detail}
    return errors.Invalid(f"callbackUrl: {detail}", errors=[problem])


def deliver(
    url: str,
    body: bytes,
    webhook_id: str,
    timestamp: int,
    secrets: Sequence[str],
    config: configs.Config,
    network: networks.Network = _NETWORK,
) -> Outcome:
    """Posts `body` once; `timestamp` is that of this attempt, in Unix seconds.

    The URL is checked anew, and the address that passed is the one that is connected to. Never
    raises for what a receiver does: everything but 2xx and 410 is worth another try.
    """
    deadline = time.monotonic() + config.callback_timeout_seconds
    headers = {
        "Content-Type": "application/json",
        "User-Agent": "zantara",
        "webhook-id": webhook_id,
        "webhook-timestamp": str(timestamp),
        "webhook-signature": _signatures(body, webhook_id, timestamp, secrets),
        "Connection": "close",
    }
    try:
        target = parsed(url, config)
        found = _resolved(target, config, network)
        with network.connect(found, target.port, deadline) as wire:
            answer = _posted(target, wire, body, headers)
    except errors.Error as error:
        return Outcome(state="retry", detail=error.detail)
    except TimeoutError:
        seconds = f"{config.callback_timeout_seconds:g}"
        return Outcome(state="retry", detail=f"no answer within {seconds} seconds")
    except ssl.SSLCertVerificationError:
        return Outcome(state="retry", detail="the host's certificate is not valid")
    except (OSError, http.client.HTTPException, ValueError):
        return Outcome(state="retry", detail="the connection failed")
    return _outcome(answer)


def parsed(url: str, config: configs.Config) -> Target:
    """The parts of a URL that may be called back, whatever its host resolves to.

    Raises `errors.Invalid`.
    """
    if len(url) > limits.CALLBACK_URL or not re.fullmatch(r"[!-~]+", url):
        raise errors.Invalid(
            f"must be at most {limits.CALLBACK_URL} characters of plain, encoded ASCII"
        )
    try:
        parts = urlsplit(url)
        port = _PORTS.get(parts.scheme, 0) if parts.port is None else parts.port
    except ValueError:
        raise errors.Invalid("is not a URL") from None
    if "@" in parts.netloc:
        raise errors.Invalid("must carry no user name or password: callbacks are signed")
    if not _AUTHORITY.fullmatch(parts.netloc) or not parts.hostname:
        raise errors.Invalid("must have a host: https://example.com/path")
    if "#" in url:
        raise errors.Invalid("must have no fragment")
    path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    target = Target(scheme=parts.scheme, host=parts.hostname, port=port, path=path)
    if config.local and target.loopback and target.scheme in _PORTS:
        return target
    if target.scheme != "https":
        raise errors.Invalid("must begin with https://")
    if target.port not in config.callback_ports:
        allowed = ", ".join(map(str, config.callback_ports))
        raise errors.Invalid(f"must use one of the ports {allowed}")
    _check_host(target.host)
    return target


def _check_host(host: str) -> None:
    """A full DNS name or a plain address: no number that a resolver would read as an address."""
    try:
        ipaddress.ip_address(host)
    except ValueError:
        if len(host) > 253 or not _NAME.fullmatch(host) or host.endswith(_PRIVATE_NAMES):
            raise errors.Invalid("must name a public host: https://example.com/path") from None


def _resolved(
    target: Target, config: configs.Config, network: networks.Network
) -> list[networks.Address]:
    """The addresses to connect to: every one that the host has may be, or none is."""
    found = network.addresses(target.host, target.port, config.callback_timeout_seconds)
    local = config.local and target.loopback
    if not found or not all(
        each.is_loopback if local else networks.is_public(each) for each in found
    ):
        raise errors.Invalid("the host must resolve to public addresses only")
    return found


def _signatures(body: bytes, webhook_id: str, timestamp: int, secrets: Sequence[str]) -> str:
    """One signature for each secret, so that a receiver may know the old one or the new."""
    import standardwebhooks

    at = datetime.fromtimestamp(timestamp, UTC)
    return " ".join(
        standardwebhooks.Webhook(secret).sign(webhook_id, at, body.decode()) for secret in secrets
    )


def _posted(
    target: Target, wire: networks.Wire, body: bytes, headers: Mapping[str, str]
) -> http.client.HTTPResponse:
    """The answer's status and headers; a redirect is one like any other, its body is not read."""
    if target.scheme == "https":
        wire.secure(target.host)
    client = http.client.HTTPConnection(target.host, target.port)
    client.default_port = _PORTS[target.scheme]
    client.sock = wire  # so it never connects by itself
    client.request("POST", target.path, body, headers)
    return client.getresponse()


def _outcome(answer: http.client.HTTPResponse) -> Outcome:
    detail = f"the receiver answered {answer.status}"
    if 200 <= answer.status < 300:
        return Outcome(state="delivered", detail=detail)
    if answer.status == 410:
        return Outcome(state="gone", detail=detail)
    return Outcome(
        state="retry", detail=detail, after=_pause(answer.headers.get("Retry-After", ""))
    )


def _pause(value: str) -> float | None:
    """The seconds that a Retry-After asks for, as a number or as a date (RFC 9110)."""
    if re.fullmatch(r"[0-9]{1,9}", value):
        return min(float(value), limits.RETRY_AFTER)
    try:
        seconds = (email.utils.parsedate_to_datetime(value) - datetime.now(UTC)).total_seconds()
    except (ValueError, TypeError, OverflowError):  # a year or an offset of a hundred digits
        return None
    return min(max(seconds, 0.0), limits.RETRY_AFTER)
