"""An HTTP entrypoint: routes a request to its handler, and turns errors into answers."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Callable, Mapping
from typing import IO, Any

import flask
from werkzeug import exceptions
from werkzeug.routing import Map, Rule

from shared import errors, limits, log, runtime, strictjson

DRAINED = 32 * 1024 * 1024  # bytes that are read of what nobody wants; as Cloud Run lets through
CHUNK = 64 * 1024  # bytes
SHOWN = 200  # characters of a path

Handler = Callable[..., flask.Response]


class Endpoint:
    """The routes of one function; `target` makes of them what functions-framework serves."""

    def __init__(self, name: str) -> None:
        self.name = name
        self._map = Map(merge_slashes=False)  # a doubled slash is another path, and no redirect
        self.route("GET", "/health", "/healthz")(_health)
        self.route("GET", "/openapi.json")(_openapi)

    def route(self, method: str, *paths: str) -> Callable[[Handler], Handler]:
        """Routes a method and paths, in werkzeug's syntax, to the handler below."""

        def register(handler: Handler) -> Handler:
            for path in paths:
                self._map.add(Rule(path, methods=[method], endpoint=handler))
            return handler

        return register

    def target(self) -> Callable[[flask.Request], flask.Response]:
        """A plain function, as functions-framework wants it."""

        def entrypoint(request: flask.Request) -> flask.Response:
            response = self._answer(request)
            _drain(request)
            return response

        entrypoint.__name__ = self.name
        if flask.has_app_context():  # functions-framework's own answers are pages of HTML
            flask.current_app.register_error_handler(404, _nowhere)
            flask.current_app.register_error_handler(400, _unreadable)
        return entrypoint

    def _answer(self, request: flask.Request) -> flask.Response:
        try:
            settings = runtime.current().config
            scope = {"function": self.name, "project": settings.gcp_project}
            with log.bound(**scope, level=settings.log_level):
                return self._routed(request)
        except errors.Misconfigured as error:
            log.event("misconfigured", "ERROR", function=self.name, detail=error.detail)
            return problem(error)

    def _routed(self, request: flask.Request) -> flask.Response:
        try:
            handler, arguments = self._map.bind_to_environ(request.environ).match()
            return handler(request, **arguments)  # type: ignore[no-any-return]
        except errors.Misconfigured:
            raise
        except errors.Error as error:
            severity = "ERROR" if error.status >= 500 else "INFO"
            log.event("refused", severity, code=error.code, detail=error.detail)
            return problem(error)
        except exceptions.MethodNotAllowed as error:
            allowed = ", ".join(sorted(error.valid_methods or ()))
            refusal = errors.MethodNotAllowed(f"{request.path[:SHOWN]} takes {allowed}")
            return problem(refusal, {"Allow": allowed})
        except exceptions.NotFound:
            return problem(errors.NotFound(f"there is nothing at {request.path[:SHOWN]}"))
        except Exception as error:  # the last resort: nothing internal may leave
            log.event("crashed", "ERROR", exception=repr(error), stack=log.stack(error))
            return problem(errors.Error("an internal error; the log of this function tells more"))


def answer(
    body: Any, status: int = 200, headers: Mapping[str, str] | None = None
) -> flask.Response:
    """A JSON response."""
    return flask.Response(
        strictjson.compact(body), status, headers, content_type="application/json"
    )


def problem(error: errors.Error, headers: Mapping[str, str] | None = None) -> flask.Response:
    """The error as a response (RFC 9457); `retryAfter` (seconds) becomes a header too."""
    document = error.problem()
    headers = dict(headers or {})
    if "retryAfter" in document:
        headers["Retry-After"] = str(document["retryAfter"])
    if isinstance(error, errors.Unauthenticated):
        headers["WWW-Authenticate"] = "Bearer"
    return flask.Response(
        strictjson.compact(document), error.status, headers, content_type="application/problem+json"
    )


def body(request: flask.Request, most: int = limits.BODY, *, optional: bool = False) -> Any:
    """The JSON that a request carries; {} where it may carry none, and does not.

    Raises `errors.UnsupportedMediaType`, `errors.TooLarge` or `errors.Malformed`.
    """
    data = raw(request, most)
    if optional and not data:
        return {}
    if request.mimetype != "application/json":
        raise errors.UnsupportedMediaType(
            f"Content-Type: must be application/json, not {request.mimetype or 'missing'}"
        )
    if request.mimetype_params.get("charset", "utf-8").lower() != "utf-8":
        raise errors.UnsupportedMediaType("Content-Type: JSON is UTF-8; name no other charset")
    if request.headers.get("Content-Encoding", "identity") != "identity":
        raise errors.UnsupportedMediaType("Content-Encoding: send the body as it is")
    return strictjson.loads(data)


def query(request: flask.Request) -> dict[str, str]:
    """The parameters of the query string; raises `errors.Invalid` where one is given twice."""
    for name, values in request.args.lists():
        if len(values) > 1:
            raise errors.Invalid(f"{name[:SHOWN]}: give it once, not {len(values)} times")
    return request.args.to_dict()


def raw(request: flask.Request, most: int) -> bytes:
    """The body's bytes, all of them; raises `errors.TooLarge` or `errors.Malformed`."""
    length = request.content_length or 0
    try:
        data: bytes = _stream(request).read(most + 1)
    except Exception:  # each server has an error of its own for broken chunks
        raise errors.Malformed("the body breaks off, or its chunks are broken") from None
    if max(len(data), length) > most:
        raise errors.TooLarge(
            f"the body has more than the {most} bytes that are allowed", start=data[:CHUNK]
        )
    if len(data) < length:
        raise errors.Malformed(f"the body breaks off: {len(data)} bytes of {length} came")
    return data


def _stream(request: flask.Request) -> IO[bytes]:
    """Where the body comes from: bare, where the server says where it ends.

    Flask's own limit would cut a chunked body short without a word.
    """
    bare: IO[bytes] = request.environ["wsgi.input"]
    return bare if request.environ.get("wsgi.input_terminated") else request.stream


def _drain(request: flask.Request) -> None:
    """Reads the rest of the body, so that who sends it sees the answer, and drops it.

    functions-framework would do the same, but keep all of it in memory, whoever sends it.
    """
    left, stream = DRAINED, _stream(request)
    with contextlib.suppress(Exception):  # it is broken: nothing more will come
        while left > 0 and (data := stream.read(CHUNK)):
            left -= len(data)
    request.stream = io.BytesIO()


def _nowhere(error: Exception) -> flask.Response:
    return problem(errors.NotFound())


def _unreadable(error: Exception) -> flask.Response:
    return problem(errors.Malformed("the request's Host header or path cannot be read"))


def _health(request: flask.Request) -> flask.Response:
    return answer({"status": "ok"})


def _openapi(request: flask.Request) -> flask.Response:
    from shared import openapi  # takes a moment to make, and is seldom asked for

    return answer(openapi.document(runtime.current().config))
