"""The gateway passes on what it gets, to the function that the path names."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import aiohttp
import pytest
from aiohttp import web
from google.auth import jwt
from yarl import URL

from emulators import push, tokens
from emulators.control import Control
from emulators.gateway import Gateway
from emulators.layout import PUSHER, Layout, Ports
from tests.emulators.stage import PATIENCE, Endpoint, Request, answer, endpoint, run

FUNCTIONS = (
    "accounts",
    "agent_codex",
    "agent_light",
    "cancel_task",
    "console",
    "dispatch",
    "get_task",
    "results",
)


@dataclass(kw_only=True)
class Front:
    """A gateway before one endpoint that plays all functions."""

    layout: Layout
    client: aiohttp.ClientSession
    kicks: list[str] = field(default_factory=list)

    async def call(self, method: str, url: str | URL, **options: object) -> tuple[int, bytes]:
        """Its answer."""
        got = await self.client.request(method, url, **options)  # type: ignore[arg-type]
        async with asyncio.timeout(PATIENCE), got:
            return got.status, await got.read()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A functions folder."""
    for name in FUNCTIONS:
        (tmp_path / "functions" / name).mkdir(parents=True)
        (tmp_path / "functions" / name / "main.py").touch()
    return tmp_path


@asynccontextmanager
async def fronting(
    folder: Path, issuer: tokens.Issuer, port: int, others: Mapping[str, int | None] | None = None
) -> AsyncIterator[Front]:
    """A gateway before `port`, but for the functions that `others` puts elsewhere or nowhere."""
    ports = {**dict.fromkeys(FUNCTIONS, port), **(others or {})}
    layout = Layout(
        data=folder,
        functions=folder / "functions",
        ports=Ports.free(),
        internal={name: port for name, port in ports.items() if port},
    )
    async with aiohttp.ClientSession(auto_decompress=False) as client:
        front = Front(layout=layout, client=client)
        signer = push.Signer(issuer, PUSHER)
        breaking = Control(layout, lambda subscription, kind, times: None)
        async with Gateway(layout, issuer, signer, front.kicks.append, breaking):
            yield front


@pytest.mark.parametrize(
    ("path", "function"),
    [
        ("/dispatch", "dispatch"),
        ("/health", "dispatch"),
        ("/healthz", "dispatch"),
        ("/openapi.json", "dispatch"),
        ("/task/t1", "get_task"),
        ("/task/t1?wait=3", "get_task"),
        ("/tasks?limit=2", "get_task"),
        ("/task/t1/cancel", "cancel_task"),
        ("/task/t1/redrive", "dispatch"),
        ("/account/a1", "accounts"),
        ("/pubsub/results", "results"),
        ("/", "console"),
        ("/app.js", "console"),
    ],
)
def test_a_path_reaches_its_function(
    folder: Path, issuer: tokens.Issuer, path: str, function: str
) -> None:
    async def play() -> None:
        async with (
            endpoint(answer(204)) as right,
            endpoint(answer(500)) as wrong,
            fronting(folder, issuer, wrong.port, {function: right.port}) as front,
        ):
            status, _ = await front.call("GET", front.layout.gateway_url + path)
        assert status == 204
        assert [each.path for each in right.got] == [path]
        assert wrong.got == []

    run(play)


def test_every_agent_is_reachable_and_the_first_has_a_port_of_its_own(
    folder: Path, issuer: tokens.Issuer
) -> None:
    async def play() -> None:
        async with (
            endpoint(answer(204)) as light,
            endpoint(answer(204)) as codex,
            fronting(folder, issuer, light.port, {"agent_codex": codex.port}) as front,
        ):
            await front.call("POST", front.layout.agent_url("light") + "/run", data=b"{}")
            await front.call("POST", front.layout.agent_url("codex") + "/run", data=b"{}")
        assert [each.path for each in light.got] == ["/run"]
        assert [each.path for each in codex.got] == ["/run"]

    run(play)


async def in_pieces() -> AsyncIterator[bytes]:
    for piece in (b'{"a"', b":", b"1}"):
        yield piece


def test_requests_arrive_as_they_were_sent(folder: Path, issuer: tokens.Issuer) -> None:
    async def play() -> None:
        path = "/task/%41%2Fb%20c?x=%20&y=1&y=2"
        body = bytes(range(256)) * 4096
        async with (
            endpoint(answer(200)) as function,
            fronting(folder, issuer, function.port) as front,
        ):
            url = front.layout.gateway_url
            await front.call("PUT", URL(url + path, encoded=True), data=body)
            headers = {"X-A": "1", "Idempotency-Key": "k", "Content-Type": "text/odd"}
            await front.call("POST", url + "/dispatch", data=in_pieces(), headers=headers)
        whole, chunked = function.got
        assert (whole.method, whole.path, whole.body) == ("PUT", path, body)
        assert whole.headers["content-length"] == str(len(body))
        assert chunked.body == b'{"a":1}'
        assert chunked.headers["transfer-encoding"] == "chunked"
        assert "content-length" not in chunked.headers
        assert chunked.headers.items() >= {k.lower(): v for k, v in headers.items()}.items()

    run(play)


def test_answers_come_back_as_they_were_given(folder: Path, issuer: tokens.Issuer) -> None:
    async def play() -> None:
        def script(request: Request) -> web.StreamResponse:
            headers = [("Location", "/task/1"), ("Set-Cookie", "a=1"), ("Set-Cookie", "b=2")]
            response = web.Response(status=402, body=b"\x1f\x8bno gzip", reason="Pay")
            for name, value in headers:
                response.headers.add(name, value)
            response.headers["Content-Encoding"] = "gzip"
            return response

        async with (
            endpoint(script) as function,
            fronting(folder, issuer, function.port) as front,
            front.client.get(front.layout.gateway_url + "/tasks") as got,
        ):
            assert (got.status, got.reason) == (402, "Pay")
            assert await got.read() == b"\x1f\x8bno gzip"
            assert got.headers.getall("Set-Cookie") == ["a=1", "b=2"]
            assert (got.headers["Location"], got.headers["Content-Encoding"]) == ("/task/1", "gzip")

    run(play)


def test_a_push_posted_by_hand_is_signed_and_one_with_a_token_is_left_alone(
    folder: Path, issuer: tokens.Issuer
) -> None:
    async def play() -> None:
        async with (
            endpoint(answer(204)) as function,
            fronting(folder, issuer, function.port) as front,
        ):
            agent, gateway = front.layout.agent_url("light"), front.layout.gateway_url
            codex = front.layout.agent_url("codex")
            targets = [
                f"{agent}/pubsub/push",
                f"{gateway}/pubsub/results",
                f"{codex}/pubsub/push",
            ]
            for url in targets:
                await front.call("POST", url, data=b"{}")
            await front.call("POST", targets[0], data=b"{}", headers={"Authorization": "Bearer x"})
            await front.call("POST", f"{agent}/run", data=b"{}")
            await front.call("POST", f"{gateway}/dispatch", data=b"{}")
            await front.call("GET", targets[0])
        *signed, own, run_, dispatched, read = function.got
        for url, got in zip(targets, signed, strict=True):
            token = got.headers["authorization"].removeprefix("Bearer ")
            claims = jwt.decode(token, issuer.certs(), audience=url)  # type: ignore[no-untyped-call]
            assert claims["email"] == PUSHER
        assert own.headers["authorization"] == "Bearer x"
        for got in (run_, dispatched, read):
            assert "authorization" not in got.headers

    run(play)


def test_the_issuers_certificates_are_served(folder: Path, issuer: tokens.Issuer) -> None:
    async def play() -> None:
        async with fronting(folder, issuer, 1) as front:
            got = await front.client.get(front.layout.certs_url)
            assert await got.json() == issuer.certs()
            assert "max-age" in got.headers["Cache-Control"]

    run(play)


def test_a_request_waits_for_a_function_that_is_starting(
    folder: Path, issuer: tokens.Issuer
) -> None:
    async def play() -> None:
        function = Endpoint(script=answer(200))
        async with fronting(folder, issuer, function.port) as front:
            url = front.layout.gateway_url + "/dispatch"
            call = asyncio.create_task(front.call("POST", url, data=b"{}"))
            await asyncio.sleep(0.2)  # time for the first tries to be refused; more proves the same
            async with function.open():
                assert await call == (200, b"")
        assert [each.body for each in function.got] == [b"{}"]

    run(play)


def test_a_client_that_gives_up_ends_the_request_behind_the_gateway(
    folder: Path, issuer: tokens.Issuer
) -> None:
    async def play() -> None:
        gone = asyncio.Event()

        async def hang(request: Request) -> web.StreamResponse:
            try:
                await asyncio.Event().wait()
            finally:
                gone.set()
            raise AssertionError

        async with endpoint(hang) as function, fronting(folder, issuer, function.port) as front:
            url = front.layout.gateway_url + "/task/t?wait=60"
            call = asyncio.create_task(front.call("GET", url))
            await function.count(1)
            call.cancel()
            async with asyncio.timeout(PATIENCE):
                await gone.wait()

    run(play)


def test_a_function_that_dies_in_mid_request_is_a_502_problem(
    folder: Path, issuer: tokens.Issuer
) -> None:
    async def play() -> None:
        async def slam(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.readuntil(b"\r\n\r\n")
            writer.close()

        server = await asyncio.start_server(slam, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        async with fronting(folder, issuer, port) as front:
            status, body = await front.call(
                "POST", front.layout.gateway_url + "/dispatch", data=b""
            )
        server.close()
        assert status == 502
        assert b'"code": "unavailable"' in body

    run(play)


def test_what_nobody_answers_is_a_404_problem(folder: Path, issuer: tokens.Issuer) -> None:
    async def play() -> None:
        async with fronting(folder, issuer, 1, {"console": None}) as front:
            for path in ("/", "/nothing", "/agents/nobody/run"):
                status, body = await front.call("GET", front.layout.gateway_url + path)
                assert status == 404
                assert b'"code": "not_found"' in body

    run(play)


def test_the_bridge_is_told_what_was_probably_published(
    folder: Path, issuer: tokens.Issuer
) -> None:
    async def play() -> None:
        async with (
            endpoint(answer(202)) as function,
            fronting(folder, issuer, function.port) as front,
        ):
            await front.call("POST", front.layout.gateway_url + "/dispatch", data=b"{}")
            await front.call("POST", front.layout.agent_url("light") + "/pubsub/push", data=b"{}")
            assert front.kicks == ["tasks", "results"]

    run(play)
