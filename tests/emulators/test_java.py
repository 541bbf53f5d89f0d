"""Java programs start from an archive of their classes, which is made once."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from emulators import cloudsdk, java, layout
from tests.emulators.test_runner import until

JAR = ["-jar", __file__, "--host=127.0.0.1"]


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(java, "FOLDER", tmp_path / "archives")
    return tmp_path / "archives"


@pytest.fixture
def broken_java(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A Java that writes down its arguments, and dies."""
    program = tmp_path / "java"
    program.write_text(f'#!/bin/sh\necho "$@" >> {tmp_path}/asked\nexit 1\n')
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    return tmp_path / "asked"


def test_an_archive_is_made_once_and_starts_the_program(
    emulators: layout.Layout, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    program = cloudsdk.installed()["pubsub"]
    [command] = java.commands([program])
    [archive] = folder.glob("*.jsa")
    assert f"-XX:SharedArchiveFile={archive}" in command
    assert archive.stat().st_size > 1_000_000
    assert "Preparing" in capsys.readouterr().err
    assert java.commands([program]) == [command]
    assert "Preparing" not in capsys.readouterr().err
    port = layout.free_ports(1)[0]
    # Java says so, and ends, if it cannot map the archive that it is told to require.
    with subprocess.Popen(["java", "-Xshare:on", *command[1:], f"--port={port}"]) as life:
        try:
            until(lambda: cloudsdk.answers(port) or life.poll() is not None)
            assert life.poll() is None
        finally:
            life.terminate()


def test_a_java_that_makes_no_archive_is_started_without_one(
    broken_java: Path, folder: Path
) -> None:
    [command] = java.commands([JAR])
    assert command == [*java.JAVA, *JAR]
    asked = broken_java.read_text()
    assert java.commands([JAR]) == [command]
    assert broken_java.read_text() == asked  # it is not tried again


@pytest.mark.usefixtures("broken_java")
def test_another_java_has_another_archive_and_the_old_one_goes(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    java.commands([JAR])
    [old] = folder.glob("*.jsa")
    monkeypatch.setattr(java, "JAVA", (*java.JAVA, "-Xmx1g"))
    java.commands([JAR])
    [new] = folder.glob("*.jsa")
    assert new != old
