"""Each entrypoint is a functions-framework process of its own, and needs nothing else."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import requests

from emulators import topology
from emulators.layout import free_ports
from tests.flow.cloud import eventually

ROOT = topology.FUNCTIONS.parent


@pytest.mark.slow  # together
@pytest.mark.parametrize("target", topology.functions())
def test_a_target_starts_by_itself_and_answers(target: str, tmp_path: Path) -> None:
    """In the project's environment, with no PYTHONPATH and no configuration at all."""
    [port] = free_ports(1)
    framework = Path(sys.executable).parent / "functions-framework"
    source = ROOT / "functions" / target / "main.py"
    command = [str(framework), "--target", target, "--source", str(source), "--port", str(port)]
    process = subprocess.Popen(
        command,
        cwd=tmp_path,
        env={"PATH": os.environ["PATH"], "HOME": str(tmp_path)},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        answer = eventually(lambda: _health(port))
    finally:
        os.killpg(process.pid, signal.SIGTERM)
        process.wait()
    assert answer == {"status": "ok"}


def _health(port: int) -> object:
    try:
        return requests.get(f"http://127.0.0.1:{port}/health", timeout=5).json()
    except requests.ConnectionError:
        return None
