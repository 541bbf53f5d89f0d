"""The push: a message as Pub/Sub posts it to an endpoint, signed by the local issuer."""

from __future__ import annotations

import asyncio
import base64
import json
import time
from dataclasses import dataclass
from datetime import UTC, datetime

import aiohttp

from emulators import tokens, topology
from emulators.sources import Delivery

ACCEPTED = (102, 200, 201, 202, 204)  # what Pub/Sub takes for an acknowledgement
TOKEN_USE = 600  # seconds a token is used again; it is good for an hour
HOLD = 10.0  # seconds a push waits for a process that is starting, as Cloud Run lets it
KNOCK = 0.05  # seconds between two tries to connect
KEEPALIVE = 1.0  # seconds an idle connection is kept: less than gunicorn's two


class Signer:
    """Authorization headers of pushes, each token used for a while as Pub/Sub does."""

    def __init__(self, issuer: tokens.Issuer, email: str) -> None:
        self._issuer, self._email = issuer, email
        self._tokens: dict[str, tuple[float, str]] = {}

    def authorization(self, audience: str) -> str:
        """The header for a push to this audience."""
        made, token = self._tokens.get(audience, (float("-inf"), ""))
        if time.monotonic() - made > TOKEN_USE:
            token = self._issuer.token(audience, self._email)
            self._tokens[audience] = time.monotonic(), token
        return f"Bearer {token}"


@dataclass(frozen=True, kw_only=True)
class Answer:
    """How an endpoint answered a push."""

    status: int | None  # None: not at all
    detail: str = ""

    @property
    def accepted(self) -> bool:
        """It acknowledged the message."""
        return self.status in ACCEPTED


def session() -> aiohttp.ClientSession:
    """An HTTP client without limits of its own."""
    connector = aiohttp.TCPConnector(limit=0, keepalive_timeout=KEEPALIVE)
    return aiohttp.ClientSession(
        connector=connector, timeout=aiohttp.ClientTimeout(), auto_decompress=False
    )


def envelope(delivery: Delivery, subscription: topology.Subscription, project: str) -> bytes:
    """The body of a push, as Pub/Sub writes it: what is empty is left out."""
    published = datetime.fromtimestamp(delivery.published_at / 1_000_000, UTC)
    moment = published.isoformat(timespec="milliseconds").replace("+00:00", "Z")
    message = {
        "data": base64.b64encode(delivery.data).decode(),
        "attributes": dict(delivery.attributes),
        "messageId": delivery.message_id,
        "message_id": delivery.message_id,
        "publishTime": moment,
        "publish_time": moment,
    }
    counted = subscription.max_delivery_attempts is not None
    body = {
        "message": {name: value for name, value in message.items() if value},
        "subscription": f"projects/{project}/subscriptions/{subscription.name}",
        **({"deliveryAttempt": delivery.attempt} if counted else {}),
    }
    return json.dumps(body).encode()


async def post(
    client: aiohttp.ClientSession, url: str, body: bytes, authorization: str, deadline: float
) -> Answer:
    """Posts it, and waits up to `deadline` seconds for the answer."""
    headers = {
        "Authorization": authorization,
        "Content-Type": "application/json",
        "User-Agent": "CloudPubSub-Google",
    }
    try:
        async with asyncio.timeout(deadline):
            return await _posted(client, url, body, headers)
    except TimeoutError:
        return Answer(status=None, detail=f"no answer within the ack deadline, {deadline:g} s")
    except (aiohttp.ClientError, OSError) as error:
        return Answer(status=None, detail=str(error) or type(error).__name__)


async def _posted(
    client: aiohttp.ClientSession, url: str, body: bytes, headers: dict[str, str]
) -> Answer:
    give_up = time.monotonic() + HOLD
    while True:
        try:
            async with client.post(url, data=body, headers=headers, allow_redirects=False) as got:
                return Answer(status=got.status, detail=_why(await got.read()))
        except aiohttp.ClientConnectorError:
            if time.monotonic() > give_up:
                raise
        await asyncio.sleep(KNOCK)


def _why(body: bytes) -> str:
    """What an answer says: a problem document's detail, or the beginning of the text."""
    try:
        return str(json.loads(body)["detail"])
    except (ValueError, TypeError, KeyError):
        return body[:300].decode("utf-8", "replace")
