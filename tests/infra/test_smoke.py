"""The smoke test sends one task, shows its timeline, and fails where the task does."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from tests.infra.conftest import ROOT

TIMELINE = [
    {"event": "queued", "at": "2026-11-23T00:00:00Z"},
    {"event": "running", "at": "2026-11-23T00:00:01Z", "attempt": 1},
    {"event": "succeeded", "at": "2026-11-23T00:00:02Z"},
]
ENDED = {"taskId": "t1", "status": "succeeded", "costCents": 5, "timeline": TIMELINE}


@dataclass
class Service:
    """dispatch and get_task at once, with what they were asked."""

    url: str = ""
    accept: tuple[int, Any] = (202, {"taskId": "t1", "status": "queued"})
    end: tuple[int, Any] = (200, ENDED)
    asked: list[tuple[str, str, Any]] = field(default_factory=list)


@pytest.fixture
def service() -> Iterator[Service]:
    """A real server of them."""
    service = Service()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.answer(*service.end, None)

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            self.answer(*service.accept, json.loads(body))

        def answer(self, status: int, body: Any, asked: Any) -> None:
            service.asked.append((self.path, self.headers["Authorization"], asked))
            self.send_response(status)
            self.end_headers()
            self.wfile.write(json.dumps(body).encode())

        def log_message(self, *_: object) -> None:
            """Says nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    service.url = f"http://127.0.0.1:{server.server_port}"
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield service
    server.shutdown()


def smoke(service: Service, folder: Path, account: str) -> subprocess.CompletedProcess[str]:
    """Runs it with a gcloud that is logged in as this account."""
    gcloud = folder / "gcloud"
    gcloud.write_text(
        f'#!/bin/sh\nif [ "$1" = config ]; then echo {account}; else echo "$*" | tr " " _; fi\n'
    )
    gcloud.chmod(0o755)
    return subprocess.run(
        [sys.executable, "infra/deploy/smoke.py", service.url, service.url, "0"],
        cwd=ROOT,
        env={**os.environ, "PATH": f"{folder}:/usr/bin:/bin"},
        capture_output=True,
        text=True,
        check=False,
    )


def test_it_shows_the_timeline_of_a_task_that_succeeds(service: Service, tmp_path: Path) -> None:
    done = smoke(service, tmp_path, "you@example.com")
    assert done.returncode == 0, done.stderr
    assert [line.split()[1] for line in done.stdout.splitlines()[:3]] == [
        "queued",
        "running",
        "succeeded",
    ]
    assert "succeeded for 5 cents" in done.stdout
    (dispatched, token, order), (read, _, _) = service.asked
    assert dispatched == "/dispatch"
    assert token == "Bearer auth_print-identity-token"
    assert (order["agent"], order["payload"]) == ("light", {"msg": "smoke"})
    assert read == "/task/t1?wait=60"


def test_a_service_account_names_its_audience(service: Service, tmp_path: Path) -> None:
    smoke(service, tmp_path, "ci@zantara-demo.iam.gserviceaccount.com")
    assert service.asked[0][1].endswith(f"--audiences={service.url}")


def test_it_fails_where_the_task_fails(service: Service, tmp_path: Path) -> None:
    service.end = 200, {**ENDED, "status": "expired", "error": {"code": "expired"}}
    done = smoke(service, tmp_path, "you@example.com")
    assert done.returncode == 1
    assert "Task t1 is expired" in done.stderr


def test_a_refusal_says_who_may_call(service: Service, tmp_path: Path) -> None:
    service.accept = 403, {"error": "no"}
    done = smoke(service, tmp_path, "you@example.com")
    assert done.returncode == 1
    assert "`callers`" in done.stderr


def test_what_can_never_succeed_is_not_tried_again(service: Service, tmp_path: Path) -> None:
    service.accept = 422, {"code": "invalid"}
    done = smoke(service, tmp_path, "you@example.com")
    assert done.returncode == 1
    assert "answers 422" in done.stderr
    assert len(service.asked) == 1
