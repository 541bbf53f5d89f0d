"""Receivers of callbacks: a real HTTPS server, good, slow, rude and gone."""

from __future__ import annotations

import contextlib
import ssl
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from email.utils import formatdate
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from time import sleep, time
from urllib.parse import unquote


@dataclass
class Received:
    """A request as it came in."""

    path: str
    headers: dict[str, str]
    body: bytes


@dataclass
class Receiver:
    """What a running receiver was sent."""

    port: int = 0
    requests: list[Received] = field(default_factory=list)
    names: list[str | None] = field(default_factory=list)  # that TLS clients asked for (SNI)
    done: threading.Event = field(default_factory=threading.Event)


def _answer(handler: BaseHTTPRequestHandler, receiver: Receiver) -> None:
    """Answers as the path says."""
    kind, _, argument = handler.path.partition("?")[0].strip("/").partition("/")
    if kind == "silent":
        receiver.done.wait()
    elif kind == "trickle":  # a header line that never ends within any single read's patience
        _trickle(handler, b"HTTP/1.1 200 OK\r\nX-Slow: " + b"x" * 400 + b"\r\n\r\n")
    elif kind == "continue":
        with contextlib.suppress(OSError):
            for _ in range(20_000):
                handler.wfile.write(b"HTTP/1.1 100 Continue\r\n\r\n")
            handler.wfile.write(b"HTTP/1.1 200 OK\r\n\r\n")
    elif kind == "headers":
        handler.wfile.write(b"HTTP/1.1 200 OK\r\n" + b"X: %s\r\n" % (b"x" * 60_000) * 3 + b"\r\n")
    elif kind == "garbage":
        handler.wfile.write(b"\x16\x03\x01\x00garbage\r\n\r\n")
    elif kind == "endless":  # a good answer whose body has no end
        handler.send_response(200)
        handler.end_headers()
        with contextlib.suppress(OSError):
            while not receiver.done.is_set():
                handler.wfile.write(b"x" * 65_536)
    elif kind != "hangup":
        _status(handler, int(kind or 200), argument)


def _status(handler: BaseHTTPRequestHandler, status: int, argument: str) -> None:
    handler.send_response(status)
    if argument and status in (301, 302, 303, 307, 308):
        handler.send_header("Location", f"https://169.254.169.254/{argument}")
    elif argument == "date":
        handler.send_header("Retry-After", formatdate(time() + 120, usegmt=True))
    elif argument:
        handler.send_header("Retry-After", unquote(argument))
    handler.end_headers()


def _trickle(handler: BaseHTTPRequestHandler, data: bytes) -> None:
    with contextlib.suppress(OSError):
        for byte in data:
            handler.wfile.write(bytes([byte]))
            sleep(0.02)


@contextlib.contextmanager
def running(context: ssl.SSLContext | None = None, port: int = 0) -> Iterator[Receiver]:
    """A receiver on this machine, under TLS where there is a context."""
    receiver = Receiver()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            receiver.requests.append(Received(self.path, dict(self.headers), body))
            _answer(self, receiver)

        def log_message(self, *_: object) -> None:
            """Says nothing."""

    class Server(ThreadingHTTPServer):
        def finish_request(self, request: object, client_address: object) -> None:
            with contextlib.suppress(OSError):  # a handshake that fails is the client's affair
                if context:
                    request = context.wrap_socket(request, server_side=True)  # type: ignore[arg-type]
                super().finish_request(request, client_address)  # type: ignore[arg-type]

    if context:
        context.sni_callback = lambda _, name, __: receiver.names.append(name)
    server = Server(("127.0.0.1", port), Handler)
    receiver.port = server.server_port
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    try:
        yield receiver
    finally:
        receiver.done.set()
        server.shutdown()
        server.server_close()
