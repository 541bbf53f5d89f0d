"""`emulators/up` as a person uses it: a shell command, a banner, Ctrl-C."""

from __future__ import annotations

import os
import re
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from uuid import uuid4

import pytest

from emulators import breaking, layout
from tests.emulators.test_runner import until

SETUP = layout.ROOT / "emulators" / "setup"
MARK = "ZANTARA_TEST"


@contextmanager
def up(data: Path, *options: str, mark: str = "") -> Iterator[subprocess.Popen[str]]:
    command = [sys.executable, "-m", "emulators.up", f"--data={data}", *options]
    environment = {**os.environ, MARK: mark}
    with subprocess.Popen(
        command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as running:
        try:
            yield running
        finally:
            if running.poll() is None:
                running.terminate()


def ports() -> str:
    """An option for four ports in a row that are free."""
    first = next(
        port for port in layout.free_ports(50) if all(map(layout.is_free, range(port, port + 4)))
    )
    return f"--ports={first}"


def marked(mark: str) -> list[str]:
    """The commands of all processes that carry the mark in their environment."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if f"{MARK}={mark}".encode() in (process / "environ").read_bytes():
                found.append((process / "cmdline").read_text().replace("\0", " "))
        except OSError:
            continue  # gone meanwhile, or not ours
    return found


@pytest.mark.skipif(not Path("/proc/self/environ").exists(), reason="looks for processes in /proc")
@pytest.mark.parametrize(
    "numbers",
    [[signal.SIGINT], [signal.SIGTERM], [signal.SIGKILL], [signal.SIGINT, signal.SIGTERM]],
    ids=["interrupt", "terminate", "kill", "both at once"],
)
def test_nothing_stays_behind(tmp_path: Path, numbers: list[signal.Signals]) -> None:
    mark, option = uuid4().hex, ports()
    with up(tmp_path, option, mark=mark) as running:
        assert running.stdout
        banner = [running.stdout.readline() for _ in range(5)]
        assert "Zantara is up" in banner[0]
        assert any("curl -s http" in line for line in banner)
        assert len(marked(mark)) > 3
        for number in (signal.SIGSTOP, *numbers, signal.SIGCONT):
            running.send_signal(number)
        until(lambda: not marked(mark))
        assert running.wait() == (-signal.SIGKILL if signal.SIGKILL in numbers else 0)
        assert running.stderr
        assert running.stderr.read() == ""
    first = int(option.partition("=")[2])
    assert all(layout.is_free(port) for port in range(first, first + 4))


def test_the_demo_ends_well_and_shows_every_hop_with_its_cents(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also behind a proxy, which cannot reach this machine's own ports."""
    for name in ("http_proxy", "HTTP_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    with up(tmp_path, "--demo", ports()) as running:
        shown, complaints = running.communicate()
    assert (running.returncode, complaints) == (0, "")
    for hop in ("dispatch .* queued", "agent_light .* running .* 5 ¢", "results .* succeeded"):
        assert re.search(hop, shown), shown
    assert "spent 5 ¢ of 10 ¢, held 0 ¢" in shown


def test_whatever_is_broken_from_the_command_line_its_promise_holds(tmp_path: Path) -> None:
    with up(tmp_path, "--break=all", ports()) as running:
        shown, complaints = running.communicate()
    assert (running.returncode, complaints) == (0, ""), shown
    assert "BROKEN" not in shown
    assert re.findall(r"^(\w+): ", shown, re.MULTILINE) == list(breaking.ACTIONS)
    assert shown.count("  held: ") == len(breaking.ACTIONS)
    assert "200 dispatches at once: 37 admitted, 163 refused with 402" in shown


def test_a_busy_port_is_one_clear_line(tmp_path: Path) -> None:
    option = ports()
    port = int(option.partition("=")[2]) + 1
    with socket.create_server(("127.0.0.1", port)), up(tmp_path, option) as running:
        _, complaint = running.communicate()
    assert running.returncode == 1
    assert complaint.startswith(f"zantara: port {port}")
    assert complaint.count("\n") == 1


@pytest.mark.parametrize(
    "option",
    [
        "--faults=lose=1",
        "--faults=drop=2",
        "--ports=70000",
        "--ports=http",
        "--break=legs",
        "--nonsense",
    ],
)
def test_nonsense_is_refused_with_the_usage(tmp_path: Path, option: str) -> None:
    with up(tmp_path, option) as running:
        _, complaint = running.communicate()
    assert running.returncode == 2
    assert "usage: emulators/up" in complaint


def test_without_the_sdk_google_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from emulators import cloudsdk, up as command

    monkeypatch.setattr(cloudsdk, "_candidates", list)
    monkeypatch.setattr(sys, "argv", ["up", "--google", f"--data={tmp_path}", ports()])
    assert command.main() == 1
    complaint = capsys.readouterr().err
    assert "not installed here" in complaint
    assert "gcloud components install" in complaint
    assert "docker compose" in complaint


def test_setup_has_nothing_to_do_the_second_time(tmp_path: Path) -> None:
    project = tmp_path / "project"
    (project / "emulators").mkdir(parents=True)
    for name in ("emulators/setup", "requirements.txt", "pyproject.toml"):
        shutil.copy(layout.ROOT / name, project / name)
    wanted = subprocess.run(
        "cat requirements.txt pyproject.toml | cksum",
        shell=True,
        cwd=project,
        capture_output=True,
        text=True,
        check=True,
    ).stdout.strip()
    (project / ".venv").mkdir()
    (project / ".venv" / "made-test").write_text(f"{wanted} {project}\n")
    for extra in ("local", "test"):
        done = subprocess.run(
            [project / "emulators" / "setup", extra], capture_output=True, text=True, check=True
        )
        assert done.stdout + done.stderr == ""


def test_setup_without_a_good_python_says_what_is_needed(tmp_path: Path) -> None:
    project, tools = tmp_path / "project", tmp_path / "bin"
    (project / "emulators").mkdir(parents=True)
    tools.mkdir()
    for name in ("emulators/setup", "requirements.txt", "pyproject.toml"):
        shutil.copy(layout.ROOT / name, project / name)
    for tool in ("bash", "cat", "cksum", "dirname"):
        (tools / tool).symlink_to(shutil.which(tool) or "")
    (tools / "python3").write_text("#!/bin/sh\nexit 1\n")
    (tools / "python3").chmod(0o755)
    done = subprocess.run(
        [tools / "bash", project / "emulators" / "setup"],
        env={"PATH": str(tools)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert "Python 3.11 or newer" in done.stderr
    assert not (project / ".venv").exists()
