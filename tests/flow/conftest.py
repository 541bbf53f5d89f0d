"""One cloud a backend for the whole session: the project's functions, and an agent to probe."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from emulators import topology
from emulators.cluster import Cluster
from emulators.layout import Layout, Ports
from tests.flow.cloud import Cloud

AGENTS = Path(__file__).parent / "agents"
ELSEWHERE = "elsewhere"  # an agent that is not deployed here
SETTINGS = {"PUBLISH_GRACE_SECONDS": "3", "PURSE_SECONDS": "3"}
# No healthy attempt may outlive its lease on a busy machine, where gRPC takes seconds to begin.
LEASE = {"embedded": "5", "google": "12"}  # seconds


def _functions(folder: Path) -> Path:
    """The project's functions beside the tests' agents."""
    folder.mkdir()
    for each in (*topology.FUNCTIONS.iterdir(), *AGENTS.iterdir()):
        if (each / "main.py").is_file():
            (folder / each.name).symlink_to(each)
    return folder


@pytest.fixture(scope="session")
def embedded_cloud(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cloud]:
    """A running cloud on the embedded backend."""
    cluster = _cluster(tmp_path_factory.mktemp("embedded"), "embedded")
    with cluster:
        yield Cloud(cluster)


@pytest.fixture(scope="session")
def google_cloud(emulators: Layout, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cloud]:
    """A running cloud on Google's emulators."""
    there = {"pubsub": emulators.ports.pubsub, "firestore": emulators.ports.firestore}
    ports = replace(Ports.free(), **there)
    with _cluster(tmp_path_factory.mktemp("google"), "google", ports) as cluster:
        yield Cloud(cluster)


@pytest.fixture(
    params=["embedded_cloud", pytest.param("google_cloud", marks=pytest.mark.google)],
    ids=["embedded", "google"],
)
def cloud(request: pytest.FixtureRequest) -> Cloud:
    """A running cloud, on each backend."""
    found: Cloud = request.getfixturevalue(request.param)
    return found


def _cluster(folder: Path, backend: str, ports: Ports | None = None) -> Cluster:
    functions = _functions(folder / "functions")
    agents = {"AGENTS": ",".join((*topology.agents(functions), ELSEWHERE))}
    env = {**SETTINGS, **agents, "LEASE_SECONDS": LEASE[backend]}
    data, google = folder / "data", backend == "google"
    return Cluster(data, google=google, ports=ports, functions=functions, env=env, backoff=0.02)


@pytest.fixture
def mark(tmp_path: Path) -> Path:
    """Where the agent `probe` leaves its marks."""
    return tmp_path / f"mark-{uuid.uuid4().hex}"
