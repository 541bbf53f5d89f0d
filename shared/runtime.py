"""The wiring: which store, bus and clock this process uses. Made once, at the first use."""

from __future__ import annotations

import secrets
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cached_property

from shared import config
from shared.network import Network
from shared.storage.bus import Bus
from shared.storage.store import Store


def _now() -> int:
    return time.time_ns() // 1000


def _new_id() -> str:
    return secrets.token_hex(16)


class Services:
    """What the rules work with; clients are made when they are first asked for."""

    def __init__(
        self,
        settings: config.Config,
        *,
        store: Callable[[config.Config], Store] | None = None,
        bus: Callable[[config.Config], Bus] | None = None,
        now: Callable[[], int] = _now,
        new_id: Callable[[], str] = _new_id,
        network: Network | None = None,
    ) -> None:
        self.config = settings
        self.now = now  # this process's clock: microseconds since the epoch
        self.new_id = new_id
        self.network = network or Network()  # the way to callbacks
        self._makers = store or _store, bus or _bus
        self._lock = threading.RLock()  # threads that ask at once share one client

    @property
    def store(self) -> Store:
        """The documents."""
        with self._lock:
            return self._made_store

    @property
    def bus(self) -> Bus:
        """The topics."""
        with self._lock:
            return self._made_bus

    @cached_property
    def _made_store(self) -> Store:
        return self._makers[0](self.config)

    @cached_property
    def _made_bus(self) -> Bus:
        return self._makers[1](self.config)


def _store(settings: config.Config) -> Store:
    if settings.backend == "embedded":
        from shared.storage.sqlite.store import EmbeddedStore

        return EmbeddedStore(settings.embedded_path)
    from shared.storage.google.firestore import FirestoreStore

    return FirestoreStore(
        settings.gcp_project, settings.firestore_database, settings.firestore_emulator_host
    )


def _bus(settings: config.Config) -> Bus:
    if settings.backend == "embedded":
        from shared.storage.sqlite.bus import Queue

        return Queue(settings.embedded_path)
    from shared.storage.google.pubsub import PubSubBus

    return PubSubBus(settings.pubsub_emulator_host)


_current: Services | None = None
_current_lock = threading.Lock()


def current() -> Services:
    """This process's services, from its environment."""
    global _current
    with _current_lock:
        if _current is None:
            _current = Services(config.load())
        return _current


@contextmanager
def using(services: Services) -> Iterator[Services]:
    """Within it, `current` answers with these: how a test swaps the world."""
    global _current
    before, _current = _current, services
    try:
        yield services
    finally:
        _current = before
