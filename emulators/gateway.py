"""The gateway: the public ports, and which function answers which path on them."""

from __future__ import annotations

import asyncio
import json
import re
import time
from collections.abc import Callable, Mapping
from contextlib import suppress

import aiohttp
from aiohttp import web
from multidict import CIMultiDict
from yarl import URL

from emulators import push, tokens, topology
from emulators.control import Control
from emulators.layout import FRONT_AGENT, Layout
from shared import errors, log

ROUTES = (  # of the orchestrator's port: the first that matches; what none matches is the console's
    (r"/(dispatch|health|healthz|openapi\.json)", "dispatch"),
    (r"/task/[^/]+/(redrive|callback)", "dispatch"),
    (r"/task/[^/]+/cancel", "cancel_task"),
    (r"/task/[^/]+|/tasks", "get_task"),
    (r"/account/[^/]+", "accounts"),
    (r"/pubsub/results", "results"),
)
AGENT = re.compile(r"/agents/([a-z0-9-]+)(/.*)")
HOP_BY_HOP = {"connection", "keep-alive", "te", "trailer", "transfer-encoding", "upgrade"}
CHUNK = 64 * 1024  # bytes
GOODBYE = 0.1  # seconds that requests under way have to end; none would be for ever


class Gateway:
    """Passes requests on as they are; signs a push that comes without a token."""

    def __init__(
        self,
        layout: Layout,
        issuer: tokens.Issuer,
        signer: push.Signer,
        kick: Callable[[str], None],
        control: Control | None = None,
    ) -> None:
        """`kick` is told the topic that a finished request has probably published to."""
        self._layout, self._signer, self._kick = layout, signer, kick
        self._control = control
        self._servers: list[web.ServerRunner] = []
        self._certs = json.dumps(issuer.certs())
        self._audiences = {
            each.function: (each.path, layout.audience(each)) for each in layout.subscriptions()
        }

    async def __aenter__(self) -> Gateway:
        """Opens both ports."""
        self._client = push.session()
        ports = self._layout.ports
        for port, handler in ((ports.agent, self._agent), (ports.gateway, self._orchestrator)):
            server = web.ServerRunner(
                web.Server(handler, handler_cancellation=True, access_log=None),
                shutdown_timeout=GOODBYE,
            )
            await server.setup()
            await web.TCPSite(server, "127.0.0.1", port).start()
            self._servers.append(server)
        return self

    async def __aexit__(self, *ended: object) -> None:
        for server in self._servers:
            await server.cleanup()
        await self._client.close()

    async def _agent(self, request: web.BaseRequest) -> web.StreamResponse:
        return await self._pass(request, topology.target(FRONT_AGENT), request.raw_path)

    async def _orchestrator(self, request: web.BaseRequest) -> web.StreamResponse:
        if request.path == "/oidc/certs":
            return web.Response(
                text=self._certs,
                content_type="application/json",
                headers={"Cache-Control": "public, max-age=3600"},
            )
        if self._control and request.path.startswith("/local/"):
            return await self._control.answer(request)
        if match := AGENT.fullmatch(request.raw_path):
            return await self._pass(request, topology.target(match[1]), match[2])
        for pattern, function in ROUTES:
            if re.fullmatch(pattern, request.path):
                return await self._pass(request, function, request.raw_path)
        return await self._pass(request, "console", request.raw_path)

    async def _pass(self, request: web.BaseRequest, function: str, path: str) -> web.StreamResponse:
        if function not in self._layout.internal:
            return _problem(errors.NotFound(f"there is nothing at {request.path}"))
        headers = _end_to_end(request.headers)
        self._sign(request.method, headers, function, path)
        url = URL(self._layout.function_url(function) + path, encoded=True)
        try:
            response = await self._sent(request, url, headers)
        except (aiohttp.ClientError, OSError) as error:
            detail = f"{function} did not answer: {error or type(error).__name__}"
            log.event("no answer", "WARNING", path=request.path, detail=detail)
            return _problem(errors.Unavailable(detail), status=502)
        if request.method == "POST":
            self._kick("tasks" if function == "dispatch" else "results")
        return await _relayed(request, response)

    def _sign(self, method: str, headers: CIMultiDict[str], function: str, path: str) -> None:
        """A push posted by hand gets the token that Pub/Sub would have sent."""
        endpoint, audience = self._audiences.get(function, ("", ""))
        pushed = method == "POST" and path.partition("?")[0] == endpoint
        if pushed and "Authorization" not in headers:
            headers["Authorization"] = self._signer.authorization(audience)

    async def _sent(
        self, request: web.BaseRequest, url: URL, headers: CIMultiDict[str]
    ) -> aiohttp.ClientResponse:
        """The function's answer; waits for a process that is starting."""
        give_up = time.monotonic() + push.HOLD
        body = request.content if request.body_exists else None
        while True:
            try:
                return await self._client.request(
                    request.method,
                    url,
                    headers=headers,
                    data=body,
                    allow_redirects=False,
                    skip_auto_headers=("User-Agent", "Accept", "Accept-Encoding", "Content-Type"),
                )
            except aiohttp.ClientConnectorError:  # nothing of the body was sent yet
                if time.monotonic() > give_up:
                    raise
            await asyncio.sleep(push.KNOCK)


async def _relayed(
    request: web.BaseRequest, response: aiohttp.ClientResponse
) -> web.StreamResponse:
    """The answer, passed on chunk by chunk."""
    async with response:
        answer = web.StreamResponse(
            status=response.status, reason=response.reason, headers=_end_to_end(response.headers)
        )
        await answer.prepare(request)
        # A function that dies in mid-answer ends ours as short as its own: the client sees it.
        with suppress(ConnectionResetError):
            async for chunk in response.content.iter_chunked(CHUNK):
                await answer.write(chunk)
        await answer.write_eof()
    return answer


def _end_to_end(headers: Mapping[str, str]) -> CIMultiDict[str]:
    """All headers but those that are about one connection only."""
    return CIMultiDict(
        (name, value) for name, value in headers.items() if name.lower() not in HOP_BY_HOP
    )


def _problem(error: errors.Error, status: int | None = None) -> web.Response:
    return web.Response(
        status=status or error.status,
        text=json.dumps({**error.problem(), "status": status or error.status}),
        content_type="application/problem+json",
    )
