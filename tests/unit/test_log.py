"""The log is one JSON object a line, as Cloud Logging reads it."""

from __future__ import annotations

import json
import threading
from datetime import UTC, datetime
from typing import Any

import pytest

from shared import log

TRACE = "0af7651916cd43dd8448eb211c80319c"


def lines(capsys: pytest.CaptureFixture[str]) -> list[dict[str, Any]]:
    """What was logged."""
    return [json.loads(line) for line in capsys.readouterr().out.splitlines()]


def test_a_line_has_severity_time_and_message(capsys: pytest.CaptureFixture[str]) -> None:
    before = datetime.now(UTC)
    log.event("queued", taskId="1", costCents=0.5)
    [line] = lines(capsys)
    when = datetime.fromisoformat(line.pop("time"))
    assert abs((when - before).total_seconds()) < 60
    assert line == {"severity": "INFO", "message": "queued", "taskId": "1", "costCents": 0.5}


def test_what_is_bound_is_on_every_line_within(capsys: pytest.CaptureFixture[str]) -> None:
    with log.bound(function="dispatch", taskId="1"):
        with log.bound(taskId="2"):
            log.event("inner", attempt=1)
        log.event("outer")
    log.event("outside")
    named = [(each["message"], each.get("function"), each.get("taskId")) for each in lines(capsys)]
    assert named == [
        ("inner", "dispatch", "2"),
        ("outer", "dispatch", "1"),
        ("outside", None, None),
    ]


def test_a_trace_links_to_cloud_trace(capsys: pytest.CaptureFixture[str]) -> None:
    with log.bound(project="p", level="INFO"):
        log.event("ours", traceId=TRACE)
        log.event("a client's own", traceId="abc")
    ours, theirs = lines(capsys)
    assert ours["logging.googleapis.com/trace"] == f"projects/p/traces/{TRACE}"
    assert "logging.googleapis.com/trace" not in theirs
    assert not {"project", "level"} & (ours.keys() | theirs.keys())


@pytest.mark.parametrize("level", log.SEVERITIES)
def test_nothing_below_the_level_is_logged(capsys: pytest.CaptureFixture[str], level: str) -> None:
    with log.bound(level=level):
        for severity in log.SEVERITIES:
            log.event("said", severity)
    logged = [line["severity"] for line in lines(capsys)]
    assert logged == list(log.SEVERITIES[log.SEVERITIES.index(level) :])


def test_text_stays_readable_on_one_line_and_anything_can_be_said(
    capsys: pytest.CaptureFixture[str],
) -> None:
    log.event("said", detail="Grüße\n😀", error=ValueError("no"), lone="\ud800")
    out = capsys.readouterr().out
    assert "Grüße\\n😀" in out
    [line] = out.splitlines()
    assert json.loads(line)["error"] == "no"


def test_threads_keep_their_lines_whole_and_their_fields_apart(
    capsys: pytest.CaptureFixture[str],
) -> None:
    def speak(name: str) -> None:
        with log.bound(name=name):
            for _ in range(50):
                log.event("said", text=name * 200)

    threads = [threading.Thread(target=speak, args=(name,)) for name in "abcd"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    found = lines(capsys)
    assert len(found) == 200
    assert all(line["text"] == line["name"] * 200 for line in found)
