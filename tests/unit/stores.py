"""Stores that watch or disturb another one, for what a healthy store never shows."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence

from shared import errors
from shared.storage.sqlite.store import EmbeddedStore
from shared.storage.store import Document, Query, Total, Write


class Watched(EmbeddedStore):
    """Counts calls, and does what a test planned around the next commit."""

    def __init__(self, path: str) -> None:
        super().__init__(path)
        self.calls: Counter[str] = Counter()
        self.before: Callable[[], object] | None = None  # done once, before the next commit
        self.lost: errors.Error | None = None  # raised once, though the next commit has landed

    def get(self, path: str) -> Document:
        self.calls["get"] += 1
        return super().get(path)

    def commit(self, writes: Sequence[Write]) -> int:
        self.calls["commit"] += 1
        before, self.before = self.before, None
        if before:
            before()
        version = super().commit(writes)
        lost, self.lost = self.lost, None
        if lost:
            raise lost
        return version

    def query(self, query: Query) -> list[Document]:
        self.calls["query"] += 1
        return super().query(query)

    def total(self, query: Query, sum_field: str) -> Total:
        self.calls["total"] += 1
        return super().total(query, sum_field)
