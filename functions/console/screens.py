"""The console's pages and what they load: static files, one origin, no build step."""

from __future__ import annotations

import hashlib
import html
import mimetypes
from functools import cache
from pathlib import Path
from string import Template
from typing import Any

import flask
from marshmallow import RAISE, Schema, fields

from shared import endpoint, errors, runtime, schemas


class Brief(Schema):
    """The query of a page that has seen the rest, and no news since."""

    class Meta:
        unknown = RAISE

    brief = fields.Boolean(load_default=False)


BRIEF = Brief()
HERE = Path(__file__).parent
PAGES, STATIC = HERE / "pages", HERE / "static"
POLICY = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self'",
        "connect-src 'self'",
        "form-action 'self'",
        "base-uri 'none'",
        "frame-ancestors 'none'",
        "require-trusted-types-for 'script'",
        "trusted-types 'none'",
    )
)
HEADERS = {
    "Content-Security-Policy": POLICY,
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}
FOR_EVER = {"Cache-Control": "public, max-age=31536000, immutable"}
FRESH = {"Cache-Control": "no-cache"}
SECRET = {"Cache-Control": "no-store", "X-Content-Type-Options": "nosniff"}
TITLES = {
    "tasks": "Tasks",
    "task": "Task",
    "accounts": "Accounts",
    "account": "Account",
    "health": "Health",
    "dispatch": "Dispatch",
    "break": "Break it",
}
UNDER = {"task": "tasks", "account": "accounts"}  # a page that the menu shows as another


def screen(page: str) -> endpoint.Handler:
    """The handler of a page."""

    def show(request: flask.Request, name: str = "") -> flask.Response:
        return flask.Response(_page(page, name), headers={**HEADERS, **FRESH}, mimetype="text/html")

    return show


def static(request: flask.Request, version: str, name: str) -> flask.Response:
    """A file that the pages load; its address changes with its content, so it is kept for ever."""
    content = _files().get(name)
    if content is None:
        raise errors.NotFound(f"there is nothing at {request.path}")
    kind = mimetypes.guess_type(name)[0] or "text/plain"
    kept = FOR_EVER if version == _version() else FRESH
    return flask.Response(content, headers={**HEADERS, **kept}, mimetype=kind)


def brief(request: flask.Request) -> bool:
    """Whether only what changes without any task moving is asked for, which takes few reads."""
    asked: bool = schemas.load(BRIEF, request.args.to_dict())["brief"]
    return asked


def data(body: Any) -> flask.Response:
    """A JSON answer for the pages, which nobody keeps."""
    return endpoint.answer(body, headers=SECRET)


def _page(page: str, name: str) -> str:
    settings = runtime.current().config
    menu = UNDER.get(page, page)
    values = {
        "page": page,
        "name": name,
        "title": TITLES[page],
        "static": f"/console/static/{_version()}",
        "agents": ",".join(settings.agents),
        "readonly": "true" if settings.console_read_only else "false",
        "local": "true" if settings.local else "false",
        "project": settings.gcp_project,
    }
    escaped = {key: html.escape(value) for key, value in values.items()}
    current = {f"current_{each}": ' aria-current="page"' if each == menu else "" for each in TITLES}
    content = (PAGES / f"{page}.html").read_text()
    shell = Template((PAGES / "shell.html").read_text())
    return shell.substitute(escaped, **current, content=content)


@cache
def _files() -> dict[str, bytes]:
    return {file.name: file.read_bytes() for file in sorted(STATIC.iterdir())}


@cache
def _version() -> str:
    digest = hashlib.sha256()
    for name, content in _files().items():
        digest.update(f"{name}\0{len(content)}\0".encode() + content)
    return digest.hexdigest()[:12]
