"""Functions as they run: each a functions-framework process of its own, spoken to byte by byte."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
START = 60  # seconds that a process may take to come up


@dataclass(frozen=True)
class Answer:
    """What came back."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        """The body, read."""
        return json.loads(self.body)

    @property
    def code(self) -> str:
        """The problem's code, where it is one; else what it is."""
        if self.headers.get("content-type") != "application/problem+json":
            return self.headers.get("content-type") or "nothing"
        return str(self.json["code"])


@dataclass
class Functions:
    """Running functions, by target."""

    ports: dict[str, int] = field(default_factory=dict)

    def ask(
        self,
        target: str,
        method: str,
        path: str,
        headers: Iterable[tuple[str, str]] = (),
        body: bytes | Iterable[bytes] | None = None,
    ) -> Answer:
        """Sends just these headers, doubled ones too; a body given in parts is sent chunked."""
        client = http.client.HTTPConnection("127.0.0.1", self.ports[target], timeout=30)
        with contextlib.closing(client):
            client.putrequest(method, path, skip_accept_encoding=True)
            for name, value in headers:
                client.putheader(name, value.encode("latin-1"))
            if isinstance(body, bytes):
                client.putheader("Content-Length", str(len(body)))
            elif body is not None:
                client.putheader("Transfer-Encoding", "chunked")
            chunked = body is not None and not isinstance(body, bytes)
            client.endheaders(body, encode_chunked=chunked)
            return _answer(client.getresponse())

    def say(self, target: str, request: bytes) -> Answer:
        """Sends just these bytes, and no more after them."""
        with socket.create_connection(("127.0.0.1", self.ports[target]), timeout=30) as connection:
            connection.sendall(request)
            connection.shutdown(socket.SHUT_WR)
            response = http.client.HTTPResponse(connection)
            response.begin()
            return _answer(response)


def _answer(response: http.client.HTTPResponse) -> Answer:
    kept = {name.lower(): value for name, value in response.getheaders()}
    return Answer(response.status, kept, response.read())


@contextlib.contextmanager
def running(targets: Iterable[str], environ: Mapping[str, str], logs: Path) -> Iterator[Functions]:
    """These functions, each on a port of its own, until the end of the block."""
    functions = Functions()
    with contextlib.ExitStack() as stack:
        for target in targets:
            functions.ports[target] = _free_port()
            log = stack.enter_context((logs / f"{target}.log").open("wb"))
            stack.enter_context(_process(target, functions.ports[target], environ, log))
        for target in targets:
            _await(functions, target)
        yield functions


@contextlib.contextmanager
def _process(
    target: str, port: int, environ: Mapping[str, str], log: Any
) -> Iterator[subprocess.Popen[bytes]]:
    command = Path(sys.executable).with_name("functions-framework")
    source = ROOT / "functions" / target / "main.py"
    process = subprocess.Popen(
        [command, "--target", target, "--source", source, "--port", str(port), "--host=127.0.0.1"],
        env={"PATH": os.environ["PATH"], "THREADS": "8", **environ},
        stdout=log,
        stderr=log,
    )
    try:
        yield process
    finally:
        process.terminate()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port: int = server.getsockname()[1]
        return port


def _await(functions: Functions, target: str) -> None:
    """Until it answers; a process that never does fails the test, with what it said."""
    end = time.monotonic() + START
    while True:
        with contextlib.suppress(OSError):
            if functions.ask(target, "GET", "/health").status == 200:
                return
        assert time.monotonic() < end, f"{target} does not come up"
        time.sleep(0.05)
