"""The issuer's certificates, served where OIDC_CERTS_URL has the functions look for them."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from urllib.parse import urlsplit

from aiohttp import web

from emulators import Refused, tokens

Handler = Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]

HERE = ("localhost", "127.0.0.1")


@asynccontextmanager
async def served(issuer: tokens.Issuer, url: str) -> AsyncIterator[None]:
    """Serves them at `url`, if that is on this machine: any other is somebody else's to serve.

    Raises `Refused` where the port is taken.
    """
    place = urlsplit(url)
    if place.hostname not in HERE:
        yield
        return
    port = place.port or 80
    server = web.ServerRunner(web.Server(_answer(issuer, place.path or "/"), access_log=None))
    await server.setup()
    try:
        try:
            await web.TCPSite(server, "127.0.0.1", port).start()
        except OSError as error:
            raise Refused(f"OIDC_CERTS_URL: {error.strerror}; name a free port") from None
        yield
    finally:
        await server.cleanup()


def _answer(issuer: tokens.Issuer, path: str) -> Handler:
    async def answer(request: web.BaseRequest) -> web.StreamResponse:
        if request.path != path:
            return web.Response(status=404)
        return web.json_response(issuer.certs(), headers={"Cache-Control": "max-age=3600"})

    return answer
