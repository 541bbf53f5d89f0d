"""A local issuer whose certificates are served over real HTTP, and what trusts it."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import functions_framework
import pytest

from emulators import tokens
from shared import config

AUDIENCE = "https://agent.example.com/pubsub/push"
EMAIL = "push@zantara-dev.iam.gserviceaccount.com"


def serving(target: str) -> Any:
    """A test client of a function, as functions-framework serves it."""
    source = Path(__file__).parents[2] / "functions" / target / "main.py"
    app = functions_framework.create_app(target, str(source))  # type: ignore[no-untyped-call]
    return app.test_client()


@dataclass
class Certs:
    """What the issuer's server answers, and how often it was asked."""

    url: str = ""
    status: int = 200
    certs: dict[str, str] = field(default_factory=dict)
    body: bytes | None = None
    headers: dict[str, str] = field(
        default_factory=lambda: {"Cache-Control": "public, max-age=3600"}
    )
    asked: int = 0

    def answer(self, handler: BaseHTTPRequestHandler) -> None:
        """Sends it."""
        self.asked += 1
        handler.send_response(self.status)
        for header in self.headers.items():
            handler.send_header(*header)
        handler.end_headers()
        handler.wfile.write(json.dumps(self.certs).encode() if self.body is None else self.body)


@pytest.fixture(scope="session")
def issuer(tmp_path_factory: pytest.TempPathFactory) -> tokens.Issuer:
    """The issuer whose tokens are genuine."""
    return tokens.Issuer(tmp_path_factory.mktemp("issuer"))


@pytest.fixture
def certs(issuer: tokens.Issuer) -> Iterator[Certs]:
    """A server of that issuer's certificates, on a port of its own."""
    certs = Certs(certs=issuer.certs())

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            certs.answer(self)

        def log_message(self, *_: object) -> None:
            """Says nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    certs.url = f"http://127.0.0.1:{server.server_port}/certs"
    yield certs
    server.shutdown()
    server.server_close()


@pytest.fixture
def settings(certs: Certs, tmp_path: Path) -> config.Config:
    """The configuration of a push endpoint that trusts the issuer."""
    return config.Config(
        pubsub_verify_oidc=True,
        pubsub_audience=AUDIENCE,
        push_service_accounts=(EMAIL, "second@zantara-dev.iam.gserviceaccount.com"),
        oidc_certs_url=certs.url,
        embedded_path=str(tmp_path / "zantara.db"),
    )
