"""The console by itself, without a gateway, over a store that counts what it is asked."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import flask
from functions_framework import create_app
from werkzeug.serving import make_server

from shared import config, runtime
from shared.storage.sqlite.bus import Queue
from shared.storage.sqlite.store import EmbeddedStore
from shared.storage.store import Document, Query, Store, Total
from tests.doors.processes import ROOT

SOURCE = ROOT / "functions" / "console" / "main.py"


class Counting:
    """A store that counts its reads: each document that it hands out, and at least one a call."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self.reads = 0

    def get(self, path: str) -> Document:
        self.reads += 1
        return self._store.get(path)

    def query(self, query: Query) -> list[Document]:
        found = self._store.query(query)
        self.reads += max(1, len(found))
        return found

    def total(self, query: Query, sum_field: str) -> Total:
        found = self._store.total(query, sum_field)
        self.reads += max(1, -(-found.count // 1000))  # one each thousand index entries
        return found

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)


@dataclass(frozen=True)
class Console:
    """A console that is served."""

    url: str
    app: flask.Flask
    store: Counting


@contextmanager
def serving(folder: Path, fill: Callable[[Store, int], None], **env: str) -> Iterator[Console]:
    """The console on a free port; `fill` is called with its store and the time."""
    path = str(folder / "zantara.db")
    settings = config.load({"EMBEDDED_PATH": path, "AGENTS": "light,demo", **env})
    store = Counting(EmbeddedStore(path))
    world = runtime.Services(
        settings, store=lambda _: store, bus=lambda _: Queue(settings.embedded_path)
    )
    fill(store, world.now())
    with runtime.using(world):
        app = create_app("console", str(SOURCE))
        server = make_server("127.0.0.1", 0, app, threaded=True)
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield Console(f"http://127.0.0.1:{server.server_port}", app, store)
        finally:
            server.shutdown()
            thread.join()
            server.server_close()
