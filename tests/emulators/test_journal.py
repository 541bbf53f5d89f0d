"""The journal shows what the logs got, one readable line each."""

from __future__ import annotations

import json
from pathlib import Path

from emulators import journal

HOP = {
    "severity": "INFO",
    "time": "2026-11-22T00:44:10.546Z",
    "message": "running",
    "function": "agent_light",
    "taskId": "aa5f70be2696b9f2efc888277725a9e5",
    "attempt": 1,
    "costCents": 5,
}


def test_only_whole_new_lines_are_read_and_sorted_by_time(tmp_path: Path) -> None:
    logs = journal.Journal(tmp_path)
    one, other = tmp_path / "one.log", tmp_path / "other.log"
    one.write_text('{"time": "2", "message": "b"}\n{"time": "3", "mess')
    other.write_text('{"time": "1", "message": "a"}\n')
    assert [entry["message"] for entry in logs.news()] == ["a", "b"]
    assert logs.news() == []
    with one.open("a") as file:
        file.write('age": "c"}\n')
    assert [entry["message"] for entry in logs.news()] == ["c"]


def test_what_is_no_json_is_shown_as_it_stands_but_java_stays_silent(tmp_path: Path) -> None:
    (tmp_path / "dispatch.log").write_text("Traceback …\n17\n\n")
    (tmp_path / "pubsub.log").write_text("INFO: Detected HTTP/2 connection.\n")
    found = journal.Journal(tmp_path).news()
    assert [(entry["function"], entry["message"]) for entry in found] == [
        ("dispatch", "Traceback …"),
        ("dispatch", "17"),
    ]


def test_a_log_that_begins_anew_is_read_anew(tmp_path: Path) -> None:
    logs = journal.Journal(tmp_path)
    log = tmp_path / "one.log"
    log.write_text('{"message": "a long one"}\n')
    logs.news()
    log.write_text("")
    logs.news()
    log.write_text('{"message": "b"}\n')
    assert [entry["message"] for entry in logs.news()] == ["b"]


def test_a_line_tells_when_who_which_task_what_and_how_much() -> None:
    line = journal.readable(HOP)
    assert line.split() == [
        "00:44:10.546",
        "agent_light",
        "aa5f70be",
        "running",
        "attempt",
        "1",
        "5",
        "¢",
    ]
    coloured = journal.readable({**HOP, "message": "succeeded"}, colour=True)
    assert journal.GREEN in coloured


def test_an_attempt_that_failed_tells_what_the_agents_code_raised() -> None:
    line = journal.readable({**HOP, "message": "attempt failed", "exception": "KeyError('msg')"})
    assert line.endswith("attempt failed  attempt 1  5 ¢  KeyError('msg')")


def test_a_refused_push_tells_why_and_when_it_comes_again() -> None:
    entry = json.loads(
        '{"severity": "WARNING", "message": "not acknowledged", "function": "edge",'
        ' "subscription": "sub-light", "detail": "busy", "againInSeconds": 1.0}'
    )
    assert "not acknowledged  sub-light  busy  again in 1.0 s" in journal.readable(entry)
