"""The provider: one answer of a language model over HTTP; and what is known where none came."""

from __future__ import annotations

import contextlib
import functools
import socket
import threading
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from shared.config import Config

if TYPE_CHECKING:
    import openai

CONNECT = 5.0  # seconds
BUSY = (409, 429, 503, 529)  # statuses that say: not taken, ask again
EXHAUSTED = "insufficient_quota"  # a 429 that no waiting mends


class Refused(Exception):
    """The provider will not take this request; it cost nothing."""


class NotNow(Exception):
    """The provider has not taken the request, which therefore cost nothing; it may later."""

    def __init__(self, detail: str, after: float | None = None) -> None:
        super().__init__(detail)
        self.after = after  # seconds to wait at least, if it said so


class Lost(Exception):
    """No whole answer came; whether it was billed is unknown."""


def ask(settings: Config, request: Mapping[str, Any], end: float) -> dict[str, Any]:
    """`{text, calls, finish, model, usage}`, before `end` (of the monotonic clock).

    `calls` are `{id, name, arguments}`; `usage` is `{prompt, cached, completion}` in tokens, or
    None where the provider does not say. Raises `Refused`, `NotNow` or `Lost`.
    """
    import openai

    end = min(end, time.monotonic() + settings.codex_timeout_seconds)
    key = settings.codex_api_key
    try:
        with _client(settings.codex_base_url, key).chat.completions.create(
            **request,
            stream=True,
            stream_options={"include_usage": True},
            timeout=_timeout(end),
        ) as stream:
            return _read(stream, end)
    except openai.APIStatusError as error:
        raise _refusal(error, _said(error.message, key)) from None
    except openai.APIConnectionError as error:
        if _never_sent(error):
            raise NotNow(f"not connected: {error.__cause__}") from error
        raise Lost(_said(f"{error}: {error.__cause__}", key)) from None
    except openai.APIError as error:
        raise Lost(f"the answer broke off: {_said(str(error), key)}") from None


def _said(detail: str, key: str) -> str:
    """What a provider says of an error, which some do by repeating the key."""
    return detail.replace(key, "***") if key else detail


@functools.lru_cache(maxsize=4)
def _client(base_url: str, api_key: str) -> openai.OpenAI:
    """Tries once: only who knows what a try costs may try again."""
    import openai

    return openai.OpenAI(base_url=base_url, api_key=api_key or "none", max_retries=0)


def _timeout(end: float) -> openai.Timeout:
    import openai

    left = max(0.1, end - time.monotonic())
    return openai.Timeout(left, connect=min(CONNECT, left))


class _Answer:
    """What the chunks of a stream have made so far."""

    def __init__(self) -> None:
        self.text: list[str] = []
        self.calls: dict[int, dict[str, str]] = {}
        self.finish: str | None = None
        self.model: str | None = None
        self.usage: dict[str, int] | None = None

    def add(self, chunk: Any) -> None:
        """Takes in the next chunk."""
        self.model = chunk.model or self.model
        self.usage = _usage(chunk.usage) if chunk.usage else self.usage
        for choice in chunk.choices or ():
            self.finish = choice.finish_reason or self.finish
            if choice.delta is None:  # so some end
                continue
            self.text.append(choice.delta.content or "")
            for part in choice.delta.tool_calls or ():
                call = self.calls.setdefault(part.index, {"id": "", "name": "", "arguments": ""})
                _add(call, part)

    def whole(self) -> dict[str, Any]:
        """As `ask` returns it; raises `Lost` where the end is missing."""
        if self.finish is None:
            raise Lost("the answer was cut off")
        return {
            "text": _clean("".join(self.text)),
            "calls": [
                {name: _clean(value) for name, value in self.calls[index].items()}
                for index in sorted(self.calls)
            ],
            "finish": self.finish,
            "model": self.model,
            "usage": self.usage,
        }


def _read(stream: openai.Stream[Any], end: float) -> dict[str, Any]:
    """The answer of a stream, which may trickle, or keep the connection alive, but not for ever."""
    import openai

    answer = _Answer()
    watch = threading.Timer(max(0.0, end - time.monotonic()), _hang_up, [stream.response])
    watch.daemon = True
    watch.start()
    try:
        for chunk in stream:
            answer.add(chunk)
    except openai.APIError:
        if answer.finish is None:
            if time.monotonic() >= end:
                raise Lost("the answer took too long") from None
            raise
    finally:
        watch.cancel()
    return answer.whole()


def _hang_up(response: Any) -> None:
    """Wakes whoever reads from the connection: a read's own timeout begins anew with each byte."""
    if response.is_closed:  # the connection may serve another request by now
        return
    connection = response.extensions["network_stream"].get_extra_info("socket")
    with contextlib.suppress(OSError):
        # Not the TLS socket's own method, which takes away what the other thread reads with.
        socket.socket.shutdown(connection, socket.SHUT_RDWR)


def _clean(text: str) -> str:
    """A lone surrogate cannot be kept."""
    return text.encode("utf-8", "replace").decode()


def _add(call: dict[str, str], part: Any) -> None:
    call["id"] += part.id or ""
    if part.function:
        call["name"] += part.function.name or ""
        call["arguments"] += part.function.arguments or ""


def _usage(usage: Any) -> dict[str, int] | None:
    """The tokens that the provider counted; None where it does not make sense."""
    if usage is None:
        return None
    details = usage.prompt_tokens_details
    counted = {
        "prompt": usage.prompt_tokens,
        "completion": usage.completion_tokens,
        "cached": (details.cached_tokens if details else 0) or 0,
    }
    whole = all(isinstance(tokens, int) and tokens >= 0 for tokens in counted.values())
    return counted if whole and counted["cached"] <= counted["prompt"] else None


def _refusal(error: openai.APIStatusError, said: str) -> Exception:
    detail = f"{error.status_code}: {said}"[:1000]
    if error.status_code in BUSY and error.code != EXHAUSTED:
        return NotNow(detail, _seconds(error.response.headers.get("retry-after", "")))
    if error.status_code >= 500 or error.status_code == 408:  # a gateway may have given up alone
        return Lost(detail)
    return Refused(detail)


def _seconds(text: str) -> float | None:
    """Of a Retry-After; a date is passed over."""
    return float(text) if text.replace(".", "", 1).isdecimal() else None


def _never_sent(error: openai.APIConnectionError) -> bool:
    import httpx2

    return isinstance(
        error.__cause__, httpx2.ConnectError | httpx2.ConnectTimeout | httpx2.PoolTimeout
    )
