"""A process is kept alive until it is stopped, and nothing of it stays."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from emulators import layout, reaper, runner
from tests.emulators.stage import PATIENCE

SERVER = """
import http.server, os, sys, time
if "fork" in sys.argv and os.fork() == 0:
    pass  # a worker holds the port, as gunicorn's does
elif "fork" in sys.argv:
    time.sleep(1000)
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.end_headers()
        self.wfile.write(str(os.getpid()).encode())
http.server.HTTPServer(("127.0.0.1", int(sys.argv[1])), Handler).serve_forever()
"""


def until(holds: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE
    while not holds():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.01)


def alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    status = Path(f"/proc/{pid}/stat")
    return not status.exists() or status.read_text().rpartition(")")[2].split()[0] != "Z"


@pytest.fixture
def watchdog() -> Iterator[reaper.Reaper]:
    with reaper.Reaper() as watching:
        yield watching


def answering_group(process: runner.Process) -> int | None:
    """The process group of whoever answers on its port."""
    try:
        with urllib.request.urlopen(process.program.health, timeout=5) as answer:
            return os.getpgid(int(answer.read()))
    except (OSError, ValueError):  # nobody, or one that was killed in mid-answer
        return None


Deaths = list[runner.Death]


@pytest.fixture
def deaths() -> Deaths:
    return []


@pytest.fixture
def started(
    tmp_path: Path, watchdog: reaper.Reaper, deaths: Deaths
) -> Iterator[Callable[..., runner.Process]]:
    """Starts a Python text as a process."""
    processes: list[runner.Process] = []

    def start(text: str, *arguments: str) -> runner.Process:
        port = layout.free_ports(1)[0]
        program = runner.Program(
            name="server",
            command=[sys.executable, "-c", text, str(port), *arguments],
            environment=os.environ,
            log=tmp_path / "logs" / "server.log",
            health=f"http://127.0.0.1:{port}/health",
        )
        process = runner.Process(program, watchdog, deaths.append)
        processes.append(process)
        process.start()
        return process

    yield start
    for process in processes:
        process.stop()
        process.join()


@pytest.mark.parametrize("arguments", [(), ("fork",)])
def test_a_killed_process_is_started_again_on_its_port(
    started: Callable[..., runner.Process], deaths: Deaths, arguments: tuple[str, ...]
) -> None:
    process = started(SERVER, *arguments)
    until(process.ready)
    first = process.pid
    assert first
    os.kill(first, signal.SIGKILL)  # of its group, only the leader
    until(lambda: answering_group(process) not in (None, first))  # no orphan answers instead
    assert [death.code for death in deaths] == [-signal.SIGKILL]


def test_one_that_is_killed_again_and_again_never_backs_off(
    started: Callable[..., runner.Process], deaths: Deaths
) -> None:
    """Work that kills its process would hold up all other work, for longer each time."""
    started("import os; os.kill(os.getpid(), 9)")
    until(lambda: len(deaths) >= 4)
    assert {death.again for death in deaths} == {0.0}


def test_kill_takes_the_whole_group_down(started: Callable[..., runner.Process]) -> None:
    process = started(SERVER, "fork")
    until(process.ready)
    first = process.pid
    process.kill()
    until(lambda: process.pid not in (None, first) and process.ready())


def test_a_stopped_process_is_gone_with_all_its_group(
    started: Callable[..., runner.Process], deaths: Deaths
) -> None:
    process = started(SERVER, "fork")
    until(process.ready)
    with urllib.request.urlopen(process.program.health) as answer:
        worker = int(answer.read())
    leader = process.pid
    process.stop()
    process.join()
    assert leader is not None
    assert leader != worker
    until(lambda: not alive(leader) and not alive(worker))
    assert deaths == []


def test_one_that_ignores_sigterm_is_ended_all_the_same(
    started: Callable[..., runner.Process],
) -> None:
    process = started("import signal\nsignal.signal(15, signal.SIG_IGN)\n" + SERVER)
    until(process.ready)
    process.stop()
    process.join(0.1)
    assert not process.ready()


def test_one_that_dies_at_once_is_started_again_more_and_more_slowly_and_tells_why(
    started: Callable[..., runner.Process], deaths: Deaths
) -> None:
    started("import sys; sys.exit('no such luck')")
    until(lambda: len(deaths) >= 2)
    assert deaths[0].code == 1
    assert "no such luck" in deaths[0].tail
    assert deaths[1].again > deaths[0].again


def test_a_process_that_is_stopped_while_it_backs_off_never_comes_back(
    started: Callable[..., runner.Process], deaths: Deaths
) -> None:
    process = started("raise SystemExit(1)")
    until(lambda: len(deaths) >= 2)
    process.stop()
    process.join()
    assert process.pid is None


def test_one_that_was_never_started_can_be_stopped(
    tmp_path: Path, watchdog: reaper.Reaper, deaths: Deaths
) -> None:
    """As a cluster does where Ctrl-C comes between the making of a process and its start."""
    program = runner.Program(
        name="none", command=[], environment={}, log=tmp_path / "log", health="http://127.0.0.1:1/"
    )
    process = runner.Process(program, watchdog, deaths.append)
    process.stop()
    process.join()
    assert process.pid is None


def test_nothing_outlives_a_killed_parent(tmp_path: Path) -> None:
    parent = """
import os, sys, time
from pathlib import Path
from emulators import reaper, runner
program = runner.Program(
    name="child", command=[sys.executable, "-c", "import time; time.sleep(1000)"],
    environment=os.environ, log=Path(sys.argv[1]), health="http://127.0.0.1:1/")
process = runner.Process(program, reaper.Reaper(), print)
process.start()
while process.pid is None:
    time.sleep(0.01)
print(process.pid, flush=True)
time.sleep(1000)
"""
    command = [sys.executable, "-c", parent, str(tmp_path / "log")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as running:
        assert running.stdout
        child = int(running.stdout.readline())
        assert alive(child)
        running.kill()
    until(lambda: not alive(child))
