"""A running cloud with the agents of this suite, on each backend, beside a scripted provider."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from emulators import programs, topology
from emulators.cluster import Cluster
from emulators.layout import Layout, Ports
from shared import config, runtime
from shared.storage.google.firestore import FirestoreStore
from shared.storage.sqlite.store import EmbeddedStore
from shared.storage.store import Store
from tests.agents import provider_server
from tests.flow.cloud import Cloud

AGENTS = Path(__file__).parent / "agents"
FAULTS = "duplicate=0.2,drop-ack=0.05,seed=8"
SETTINGS = {
    "PUBLISH_GRACE_SECONDS": "3",
    "MAX_ATTEMPTS": "10",
    "CODEX_API_KEY": "sk-test",
    "CODEX_MODEL": "tiny",
    "CODEX_PRICES": "tiny=2000000/10000000",
    "CODEX_MAX_OUTPUT_TOKENS": "100",
}


@pytest.fixture(params=["embedded", pytest.param("google", marks=pytest.mark.google)])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Store:
    """An empty store on each backend."""
    if request.param == "embedded":
        return EmbeddedStore(str(tmp_path / "store.db"))
    there: Layout = request.getfixturevalue("emulators")
    return FirestoreStore(f"agents-{uuid.uuid4().hex[:12]}", "(default)", there.firestore_host)


@dataclass
class Scene:
    """A running cloud, its store, and the provider that its agent codex asks."""

    cloud: Cloud
    store: Store
    provider: provider_server.Provider


@pytest.fixture(
    scope="session",
    params=["embedded", pytest.param("google", marks=pytest.mark.google)],
)
def scene(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Scene]:
    """The cloud on each backend, whose bridge delivers messages twice and forgets some acks."""
    folder, google, ports = tmp_path_factory.mktemp(request.param), False, Ports.free()
    if request.param == "google":
        there: Layout = request.getfixturevalue("emulators")
        google = True
        ports = replace(ports, pubsub=there.ports.pubsub, firestore=there.ports.firestore)
    with provider_server.provider() as provider:
        cluster = Cluster(
            folder / "data",
            google=google,
            ports=ports,
            functions=_functions(folder / "functions"),
            env={**SETTINGS, "CODEX_BASE_URL": provider.url},
            backoff=0.02,
            faults=FAULTS,
        )
        with cluster:
            settings = config.load({"GCP_PROJECT": "zantara-dev", **programs.bus(cluster.layout)})
            yield Scene(Cloud(cluster), runtime.Services(settings).store, provider)


def _functions(folder: Path) -> Path:
    """The project's functions beside the tests' agents."""
    folder.mkdir()
    for each in (*topology.FUNCTIONS.iterdir(), *AGENTS.iterdir()):
        if (each / "main.py").is_file():
            (folder / each.name).symlink_to(each)
    return folder
