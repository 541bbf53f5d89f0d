"""The backend of a run: Google's emulators or an embedded file, gone when the run is over."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import grpc
from google.api_core import exceptions
from google.pubsub_v1 import PublisherClient
from google.pubsub_v1.services.publisher.transports import PublisherGrpcTransport

from emulators import programs, reaper
from shared import config, runtime
from shared.storage.sqlite.bus import Queue
from shared.storage.store import Put
from tests import emulation

BATCH = 500  # documents a commit, Firestore's own limit


@dataclass(frozen=True, kw_only=True)
class Backend:
    """One store and one bus, with nothing in them."""

    folder: Path  # for whatever a run leaves; it is deleted with the run
    undertaker: reaper.Reaper  # kills the processes that an interrupted run left behind
    google: bool
    _hosts: Mapping[str, str]

    def environment(self, project: str) -> dict[str, str]:
        """The variables that lead a process to the part of it that belongs to this project."""
        path = str(self.folder / f"{project}.db")
        where = self._hosts or {"BACKEND": "embedded", "EMBEDDED_PATH": path}
        return {**where, "GCP_PROJECT": project, "PUBLISH_GRACE_SECONDS": "3600"}

    def services(self, project: str) -> runtime.Services:
        """The same store and bus from here, with the topics made."""
        found = runtime.Services(config.load(self.environment(project)))
        topics = [found.config.topic(hop) for hop in ("tasks", "results", "callbacks")]
        if not self.google:
            queue = Queue(found.config.embedded_path)
            for topic in topics:
                queue.subscribe(topic, topic)
            return found
        channel = grpc.insecure_channel(found.config.pubsub_emulator_host)
        with PublisherClient(transport=PublisherGrpcTransport(channel=channel)) as publisher:
            for topic in topics:
                try:
                    publisher.create_topic(name=topic)
                except exceptions.AlreadyExists:
                    continue
        return found


@contextmanager
def running(*, google: bool) -> Iterator[Backend]:
    """A fresh backend; raises `emulators.Refused` where Google's emulators are wanted and missing.

    What a run starts with its `undertaker` must be ended before this is left.
    """
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="bench-")))
        undertaker = stack.enter_context(reaper.Reaper())
        hosts: dict[str, str] = {}
        if google:
            layout = stack.enter_context(emulation.running(folder))
            hosts = programs.bus(layout)
        yield Backend(folder=folder, undertaker=undertaker, google=google, _hosts=hosts)


def fill(here: runtime.Services, puts: list[Put]) -> int:
    """Writes new documents in as few commits as possible; returns the version of the last."""
    version = 0
    for first in range(0, len(puts), BATCH):
        version = here.store.commit(puts[first : first + BATCH])
    return version
