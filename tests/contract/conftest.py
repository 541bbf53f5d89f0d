"""The worlds that the contracts are held against, each described by an environment."""

from __future__ import annotations

import socket
import uuid
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from emulators.layout import Layout
from shared import config, runtime
from shared.storage.store import Store

Environment = Mapping[str, str]


@pytest.fixture
def embedded(tmp_path: Path) -> Environment:
    """An empty embedded database."""
    return {"BACKEND": "embedded", "EMBEDDED_PATH": str(tmp_path / "zantara.db")}


@pytest.fixture
def on_google(emulators: Layout) -> Environment:
    """A project of its own on Google's emulators."""
    return {
        "GCP_PROJECT": f"contract-{uuid.uuid4().hex[:12]}",
        "FIRESTORE_EMULATOR_HOST": emulators.firestore_host,
        "PUBSUB_EMULATOR_HOST": emulators.pubsub_host,
    }


@pytest.fixture
def closed_port() -> Iterator[int]:
    """A port that refuses every connection: bound, and never listened on."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        yield taken.getsockname()[1]


def store_of(environment: Environment) -> Store:
    """The store that a function finds in this environment."""
    return runtime.Services(config.load(environment)).store
