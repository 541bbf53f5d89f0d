"""An OpenAI-compatible endpoint that does what a script says, over real HTTP."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

HANG = 30.0  # seconds at most; a test's end releases it


@dataclass
class Provider:
    """What it was asked, what it will do, and the tokens that it counted."""

    script: list[Callable[[Exchange], None]] = field(default_factory=list)
    asked: list[dict[str, Any]] = field(default_factory=list)
    keys: list[str | None] = field(default_factory=list)
    url: str = ""
    over: threading.Event = field(default_factory=threading.Event)
    hung_up: threading.Event = field(default_factory=threading.Event)  # by who waited in vain
    on_answer: Callable[[], None] = lambda: None

    def then(self, *steps: Callable[[Exchange], None]) -> None:
        """What comes next, a step a request; the last one is repeated."""
        self.script += steps

    def next(self) -> Callable[[Exchange], None]:
        return self.script.pop(0) if len(self.script) > 1 else self.script[0]


class Exchange(BaseHTTPRequestHandler):
    """One request."""

    provider: Provider
    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.provider.asked.append(json.loads(body))
        self.provider.keys.append(self.headers["Authorization"])
        self.close_connection = True
        self.provider.next()(self)

    def log_message(self, *_: Any) -> None: ...

    def begin(self, *, length: int | None = None) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.send_header("Connection", "close")
        if length is not None:
            self.send_header("Content-Length", str(length))
        self.end_headers()

    def event(self, data: Any) -> None:
        text = data if isinstance(data, str) else json.dumps(data)
        self.wfile.write(f"data: {text}\n\n".encode())
        self.wfile.flush()

    def chunk(self, finish: str | None = None, usage: Any = None, **delta: Any) -> None:
        choices = [{"index": 0, "delta": delta or None, "finish_reason": finish}]  # some say null
        base = {"id": "c", "object": "chat.completion.chunk", "created": 1, "model": "tiny-1"}
        if usage:
            self.event({**base, "choices": [], "usage": usage})
        else:
            self.event({**base, "choices": choices})


def usage(prompt: int, completion: int, cached: int | None = None) -> dict[str, Any]:
    counted: dict[str, Any] = {
        "prompt_tokens": prompt,
        "completion_tokens": completion,
        "total_tokens": prompt + completion,
    }
    return (
        counted
        if cached is None
        else {
            **counted,
            "prompt_tokens_details": {"cached_tokens": cached},
        }
    )


def says(
    text: str, counted: Any = None, finish: str = "stop", calls: Any = ()
) -> Callable[[Exchange], None]:
    """A whole answer, in pieces."""

    def answer(exchange: Exchange) -> None:
        exchange.begin()
        for start in range(0, len(text), 5):
            exchange.chunk(content=text[start : start + 5])
        for index, (name, arguments) in enumerate(calls):
            head = {"name": name, "arguments": ""}
            exchange.chunk(
                tool_calls=[
                    {"index": index, "id": f"call_{index}", "type": "function", "function": head}
                ]
            )
            for start in range(0, len(arguments), 4):
                rest = {"arguments": arguments[start : start + 4]}
                exchange.chunk(tool_calls=[{"index": index, "function": rest}])
        exchange.chunk(finish=finish)
        if counted:
            exchange.chunk(usage=counted)
        exchange.provider.on_answer()
        exchange.event("[DONE]")

    return answer


def calls(*made: tuple[str, Any], counted: Any) -> Callable[[Exchange], None]:
    """An answer that calls functions."""
    given = [(name, it if isinstance(it, str) else json.dumps(it)) for name, it in made]
    return says("", counted, "tool_calls", given)


def fails(
    status: int, code: str = "e", after: str | None = None, says: str = ""
) -> Callable[[Exchange], None]:
    """An error as OpenAI writes it."""

    def answer(exchange: Exchange) -> None:
        message = says or f"status {status}"
        body = json.dumps({"error": {"message": message, "code": code}}).encode()
        exchange.send_response(status)
        exchange.send_header("Content-Type", "application/json")
        exchange.send_header("Content-Length", str(len(body)))
        if after:
            exchange.send_header("Retry-After", after)
        exchange.end_headers()
        exchange.wfile.write(body)

    return answer


def hangs(exchange: Exchange) -> None:
    """Takes the request, and never says a word."""
    exchange.provider.over.wait(HANG)


def trickles(exchange: Exchange) -> None:
    """Says a little, again and again."""
    exchange.begin()
    while not exchange.provider.over.wait(0.05):
        try:
            exchange.chunk(content="…")
        except OSError:
            return


def keeps_alive(exchange: Exchange) -> None:
    """Sends the comments that keep a connection open, and never an answer."""
    exchange.begin()
    end = time.monotonic() + HANG
    while not exchange.provider.over.wait(0.05) and time.monotonic() < end:
        try:
            exchange.wfile.write(b": processing\n\n")
            exchange.wfile.flush()
        except OSError:
            exchange.provider.hung_up.set()
            return


def breaks_off(exchange: Exchange) -> None:
    """The connection dies in the middle of an answer."""
    exchange.begin(length=10_000)
    exchange.chunk(content="half an ans")


def ends_early(exchange: Exchange) -> None:
    """The stream ends in good order, without an end of the answer."""
    exchange.begin()
    exchange.chunk(content="half an ans")


def breaks_off_before_usage(exchange: Exchange) -> None:
    exchange.begin(length=10_000)
    exchange.chunk(content="all")
    exchange.chunk(finish="stop")


def errs_midway(exchange: Exchange, says: str = "overloaded") -> None:
    exchange.begin()
    exchange.chunk(content="half")
    exchange.event({"error": {"message": says, "code": "server_error"}})


@contextmanager
def provider() -> Iterator[Provider]:
    """A provider that listens."""
    made = Provider()
    handler = type("Handler", (Exchange,), {"provider": made})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    server.daemon_threads = True
    made.url = f"http://127.0.0.1:{server.server_port}/v1"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield made
    finally:
        made.over.set()
        server.shutdown()
        server.server_close()
        thread.join()
