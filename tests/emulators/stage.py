"""A stage for the bridge and the gateway: endpoints that answer by a script."""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web

from emulators import layout

PATIENCE = 30.0  # seconds until a test has waited in vain


@dataclass(kw_only=True)
class Request:
    """What an endpoint got."""

    method: str
    path: str
    headers: dict[str, str]
    raw_headers: list[tuple[str, str]]
    body: bytes

    @property
    def push(self) -> dict[str, Any]:
        """The body of a push."""
        pushed: dict[str, Any] = json.loads(self.body)
        return pushed

    @property
    def data(self) -> str:
        """The data of the pushed message."""
        return base64.b64decode(self.push["message"].get("data", "")).decode()


Script = Callable[[Request], Awaitable[web.StreamResponse] | web.StreamResponse]


def answer(status: int, text: str = "") -> Script:
    """The same answer to all."""
    return lambda request: web.Response(status=status, text=text)


@dataclass(kw_only=True)
class Endpoint:
    """An HTTP server that keeps what it gets, and answers as its script says."""

    script: Script
    port: int = field(default_factory=lambda: layout.free_ports(1)[0])
    got: list[Request] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._changed = asyncio.Condition()

    @property
    def url(self) -> str:
        """Its address."""
        return f"http://127.0.0.1:{self.port}"

    async def until(self, holds: Callable[[list[Request]], bool]) -> list[Request]:
        """What it got, as soon as the condition holds."""
        async with asyncio.timeout(PATIENCE), self._changed:
            await self._changed.wait_for(lambda: holds(self.got))
        return self.got

    async def count(self, number: int) -> list[Request]:
        """What it got, once there are that many."""
        return await self.until(lambda got: len(got) >= number)

    async def _handle(self, request: web.BaseRequest) -> web.StreamResponse:
        got = Request(
            method=request.method,
            path=request.raw_path,
            headers={name.lower(): value for name, value in request.headers.items()},
            raw_headers=list(request.headers.items()),
            body=await request.read(),
        )
        async with self._changed:
            self.got.append(got)
            self._changed.notify_all()
        answered = self.script(got)
        return answered if isinstance(answered, web.StreamResponse) else await answered

    @asynccontextmanager
    async def open(self) -> AsyncIterator[Endpoint]:
        """Listens."""
        server = web.ServerRunner(
            web.Server(self._handle, handler_cancellation=True), shutdown_timeout=0.1
        )
        await server.setup()
        await web.TCPSite(server, "127.0.0.1", self.port).start()
        try:
            yield self
        finally:
            await server.cleanup()


def run(play: Callable[[], Coroutine[Any, Any, None]]) -> None:
    """Runs a play to its end."""
    asyncio.run(play())


@asynccontextmanager
async def endpoint(script: Script) -> AsyncIterator[Endpoint]:
    """An endpoint that listens."""
    async with Endpoint(script=script).open() as listening:
        yield listening
