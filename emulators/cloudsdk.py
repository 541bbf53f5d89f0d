"""Google's emulators: where the Cloud SDK has them, and how they are started and stopped."""

from __future__ import annotations

import os
import shutil
import subprocess
import urllib.error
import urllib.request
from pathlib import Path

from emulators import Refused, java
from emulators.layout import Layout
from emulators.runner import Program

FIRESTORE = "platform/cloud-firestore-emulator/cloud-firestore-emulator.jar"
MAIN = "com.google.cloud.datastore.emulator.firestore.CloudFirestore"  # of its jar
PUBSUB = "platform/pubsub-emulator/lib"
HOST = "--host=127.0.0.1"
USUAL = (  # where the SDK is when nothing else tells
    "/usr/lib/google-cloud-sdk",
    "/usr/share/google-cloud-sdk",
    "/snap/google-cloud-cli/current",
    "/opt/google-cloud-sdk",
    "/opt/homebrew/share/google-cloud-sdk",
    "/usr/local/share/google-cloud-sdk",
    "~/google-cloud-sdk",
)
MEND = """\
  Install them:      gcloud components install beta cloud-firestore-emulator pubsub-emulator
  or, on Debian:     apt-get install google-cloud-cli-firestore-emulator \\
                         google-cloud-cli-pubsub-emulator default-jre-headless
  or use Docker:     docker compose -f emulators/docker-compose.yml up
                     and start this again: it finds them.
  Or do without:     ./emulators/up needs Python alone."""


def programs(layout: Layout) -> list[Program]:
    """The emulators to start; none of those that answer already, from Docker for instance.

    Raises `Refused` where one is needed and cannot be found.
    """
    ports = layout.ports
    wanted = {"firestore": ports.firestore, "pubsub": ports.pubsub}
    missing = {name: port for name, port in wanted.items() if not answers(port)}
    if not missing:
        return []
    known = installed()
    if not shutil.which("java"):
        raise Refused(f"Google's emulators need Java, and there is no `java` on the PATH.\n{MEND}")
    commands = dict(zip(known, java.commands(list(known.values())), strict=True))
    return [
        Program(
            name=name,
            command=[*commands[name], f"--port={port}"],
            environment=java.environment(),
            log=layout.data / "logs" / f"{name}.log",
            health=f"http://127.0.0.1:{port}/",
        )
        for name, port in missing.items()
    ]


def answers(port: int) -> bool:
    """An emulator listens there."""
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=2) as answer:
            return bool(answer.read().strip() == b"Ok")
    except (urllib.error.URLError, OSError):
        return False


def reset(layout: Layout) -> None:
    """Empties those that run already."""
    for port in (layout.ports.firestore, layout.ports.pubsub):
        if answers(port):
            request = urllib.request.Request(f"http://127.0.0.1:{port}/reset", method="POST")
            urllib.request.urlopen(request, timeout=10).close()


def installed() -> dict[str, list[str]]:
    """How Java starts each, past the SDK's own scripts; raises `Refused` where one is missing."""
    for root in _candidates():
        firestore, pubsub = root / FIRESTORE, sorted((root / PUBSUB).glob("*-all.jar"))
        if firestore.is_file() and pubsub:
            return {
                "firestore": ["-cp", str(firestore), "-Duser.language=en", MAIN, "start", HOST],
                "pubsub": ["-jar", str(pubsub[-1]), HOST],
            }
    raise Refused(f"Google's emulators for Firestore and Pub/Sub are not installed here.\n{MEND}")


def _candidates() -> list[Path]:
    """Places to look, the cheap ones first: `gcloud` takes a second to tell."""
    named = [os.environ[name] for name in ("CLOUDSDK_ROOT_DIR",) if name in os.environ]
    gcloud = shutil.which("gcloud")
    beside = [str(Path(gcloud).resolve().parent.parent)] if gcloud else []
    found = [Path(place).expanduser() for place in (*named, *beside, *USUAL)]
    if gcloud and not any((root / FIRESTORE).is_file() for root in found):
        told = subprocess.run(
            [gcloud, "info", "--format=value(installation.sdk_root)"],
            capture_output=True,
            text=True,
            check=False,
        )
        found.append(Path(told.stdout.strip() or "/"))
    return found
