"""Java programs that start quickly: their classes are loaded and checked once, and then mapped.

Java calls it class-data sharing (JEP 350). A program's archive is made by a first life of it, which
is ended as soon as it answers; with it, a start takes half the time.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from emulators.layout import ROOT, free_ports
from emulators.reaper import Reaper
from emulators.runner import Death, Process, Program

FOLDER = ROOT / ".zantara" / "java"
JAVA = (
    "java",
    "-XX:TieredStopAtLevel=1",  # this and the next: a third less time to start, and less CPU
    "-XX:+UseSerialGC",
    "-XX:+IgnoreUnrecognizedVMOptions",  # a Java before 13 makes no archive
)
FIRST = 30.0  # seconds a first life may take to answer, and as many to write its archive
KNOCK = 0.02  # seconds between two looks whether it answers


def commands(programs: Sequence[Sequence[str]]) -> list[list[str]]:
    """How to start each program, all but its `--port`; the first time it takes some seconds.

    A program is what follows Java's own options: `-cp` or `-jar`, the jar, and the rest.
    """
    FOLDER.mkdir(parents=True, exist_ok=True)
    archives = [_archive(program) for program in programs]
    with (FOLDER / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not all(archive.exists() for archive in archives):
            print("Preparing Google's emulators, some seconds the first time ...", file=sys.stderr)
            _make(archives, programs)
    return [
        [*JAVA, *_mapping(archive), *program]
        for archive, program in zip(archives, programs, strict=True)
    ]


def environment() -> dict[str, str]:
    """The developer's own, without options for Java that might contradict these."""
    return {**os.environ, "JAVA_TOOL_OPTIONS": ""}


def _archive(program: Sequence[str]) -> Path:
    """The file for this program and this Java: another of either has another file."""
    java, jar = Path(shutil.which(JAVA[0]) or "").resolve(), Path(program[1])
    made_of = [JAVA, *((str(file), file.stat().st_mtime_ns) for file in (java, jar))]
    return FOLDER / f"{jar.stem}-{hashlib.sha256(repr(made_of).encode()).hexdigest()[:12]}.jsa"


def _mapping(archive: Path) -> list[str]:
    """The option that maps it; none where Java could not make it."""
    return [f"-XX:SharedArchiveFile={archive}"] if archive.stat().st_size else []


def _make(archives: Sequence[Path], programs: Sequence[Sequence[str]]) -> None:
    """Makes them, side by side; an empty file stands for one that cannot be made."""
    drafts = [archive.with_suffix(".draft") for archive in archives]
    deaths: list[Death] = []
    with Reaper() as undertaker:
        lives = [
            Process(_first_life(draft, program, port), undertaker, deaths.append)
            for draft, program, port in zip(drafts, programs, free_ports(len(drafts)), strict=True)
        ]
        for life in lives:
            life.start()
        give_up = time.monotonic() + FIRST
        while not (deaths or all(life.ready() for life in lives) or time.monotonic() > give_up):
            time.sleep(KNOCK)
        for life in lives:
            life.stop()
        for life in lives:
            life.join(FIRST)
    for archive, draft in zip(archives, drafts, strict=True):
        for stale in FOLDER.glob(f"{archive.stem.rpartition('-')[0]}-*.jsa"):
            stale.unlink()
        draft.touch()
        draft.replace(archive)


def _first_life(draft: Path, program: Sequence[str], port: int) -> Program:
    return Program(
        name=draft.stem,
        command=[*JAVA, f"-XX:ArchiveClassesAtExit={draft}", *program, f"--port={port}"],
        environment=environment(),
        log=draft.with_suffix(".log"),
        health=f"http://127.0.0.1:{port}/",
    )
