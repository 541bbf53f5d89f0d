"""The contract of the store bites: a store with a break made on purpose fails it."""

from __future__ import annotations

import random
import time
from collections.abc import Sequence
from dataclasses import replace

import pytest

from shared import errors
from shared.storage.sqlite.store import EmbeddedStore
from shared.storage.store import MISSING, Delete, Document, Patch, Put, Query, Write
from tests.contract import commits, queries, races

pytest_plugins = ["pytester"]

SUITE = """
import pytest
from tests.contract.queries import things
from tests.contract.test_bites import BREAKS

broken, claims = BREAKS[{name!r}]

class TestClaims(claims):
    pass

@pytest.fixture
def store(tmp_path):
    return broken(str(tmp_path / "zantara.db"))
"""


class NoPreconditions(EmbeddedStore):
    """Writes over whatever stands there."""

    def commit(self, writes: Sequence[Write]) -> int:
        at = [replace(write, version=self.get(write.path).version) for write in writes]
        return super().commit(at)


class CreatesOver(EmbeddedStore):
    """Drops one precondition only: that what is created must not exist."""

    def commit(self, writes: Sequence[Write]) -> int:
        at = [
            replace(write, version=self.get(write.path).version) if self._creates(write) else write
            for write in writes
        ]
        return super().commit(at)

    def _creates(self, write: Write) -> bool:
        return isinstance(write, Put) and write.version == MISSING


class OneByOne(EmbeddedStore):
    """Commits each write by itself."""

    def commit(self, writes: Sequence[Write]) -> int:
        return [super(OneByOne, self).commit([write]) for write in writes][-1]


class ChecksThenWrites(EmbeddedStore):
    """Checks the preconditions, and writes a moment later."""

    def commit(self, writes: Sequence[Write]) -> int:
        for write in writes:
            if self.get(write.path).version != write.version:
                raise errors.Conflict
        time.sleep(random.uniform(0, 0.002))  # the moment
        at = [replace(write, version=self.get(write.path).version) for write in writes]
        return super().commit(at)


class PatchReplaces(EmbeddedStore):
    """Forgets the fields that a patch does not name."""

    def commit(self, writes: Sequence[Write]) -> int:
        return super().commit([self._whole(write) for write in writes])

    def _whole(self, write: Write) -> Write:
        if isinstance(write, Patch):
            return Put(write.path, dict(write.fields), write.version)
        return write


class DeletesAnything(EmbeddedStore):
    """Deletes at any version."""

    def commit(self, writes: Sequence[Write]) -> int:
        at = [
            replace(write, version=self.get(write.path).version or 1)
            if isinstance(write, Delete)
            else write
            for write in writes
        ]
        return super().commit(at)


class SkipsTies(EmbeddedStore):
    """Goes on behind the value of the order, and forgets the id."""

    def query(self, query: Query) -> list[Document]:
        if query.after and query.order:
            query = replace(query, after=(query.after[0], "" if "-" in query.order else "~"))
        return super().query(query)


class OldVersion(EmbeddedStore):
    """Returns the version before instead of the new one."""

    def commit(self, writes: Sequence[Write]) -> int:
        super().commit(writes)
        return writes[0].version


BREAKS: dict[str, tuple[type[EmbeddedStore], type]] = {
    "no preconditions": (NoPreconditions, commits.Commits),
    "creates over": (CreatesOver, commits.Commits),
    "one by one": (OneByOne, commits.Commits),
    "patch replaces": (PatchReplaces, commits.Commits),
    "deletes anything": (DeletesAnything, commits.Commits),
    "old version": (OldVersion, commits.Commits),
    "checks, then writes": (ChecksThenWrites, races.Races),
    "skips ties": (SkipsTies, queries.Queries),
}


@pytest.mark.parametrize("name", BREAKS)
def test_a_broken_store_fails_the_suite(pytester: pytest.Pytester, name: str) -> None:
    pytester.makepyfile(SUITE.format(name=name))
    found = pytester.runpytest_inprocess("-q", "-x", "-p", "no:cacheprovider").parseoutcomes()
    assert (found.get("failed"), found.get("errors")) == (1, None)
