"""The contract of `shared.storage.store`, at once: every store must pass every test below."""

from __future__ import annotations

import os
import random
import subprocess
import sys
import threading
import time
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import pytest

from shared import errors
from shared.storage.store import MISSING, Document, Patch, Put, Query, Store
from tests.contract.commits import create, data
from tests.contract.conftest import Environment

LONG = 60.0  # seconds that no wait below ever takes
COUNT = """
import os
from tests.contract.conftest import store_of
from tests.contract.races import increment
store = store_of(os.environ)
for _ in range(25):
    increment(store, "things/counter")
"""


def increment(store: Store, path: str) -> None:
    """A compare-and-set, repeated until it wins."""
    while True:
        document = store.get(path)
        try:
            store.commit([Patch(path, {"n": document.data["n"] + 1}, document.version)])
        except errors.Conflict:
            time.sleep(random.uniform(0, 0.02))
        else:
            return


def attempt(store: Store, path: str, who: int) -> bool:
    """Whether this creator was the one that won."""
    try:
        store.commit([Put(path, {"who": who})])
    except errors.Conflict:
        return False
    return True


class Races:
    """Many writers, one document."""

    def test_thirty_threads_lose_no_update(self, store: Store) -> None:
        create(store, "things/counter", n=0)
        with ThreadPoolExecutor(30) as pool:
            for done in [pool.submit(increment, store, "things/counter") for _ in range(30)]:
                done.result()
        assert data(store, "things/counter") == {"n": 30}

    def test_of_twenty_creators_one_wins(self, store: Store) -> None:
        with ThreadPoolExecutor(20) as pool:
            won = list(pool.map(lambda who: attempt(store, "things/a", who), range(20)))
        assert won.count(True) == 1
        assert data(store, "things/a") == {"who": won.index(True)}

    def test_readers_see_all_of_a_commit_or_nothing(self, store: Store) -> None:
        """Money moves between two documents while their sum is taken."""
        versions = [create(store, f"purses/{name}", n=50) for name in "ab"]
        done = threading.Event()

        def move() -> None:
            version = max(versions)
            first, second = versions
            for n in range(50):
                writes = [
                    Patch("purses/a", {"n": 49 - n}, first),
                    Patch("purses/b", {"n": 51 + n}, second),
                ]
                version = first = second = store.commit(writes)
            assert version
            done.set()

        with ThreadPoolExecutor(1) as pool:
            mover = pool.submit(move)
            sums = {100}
            while not done.is_set() and not mover.done():
                sums.add(store.total(Query(collection="purses"), "n").sum)
                sums.add(sum(each.data["n"] for each in store.query(Query(collection="purses"))))
            mover.result()
        assert sums == {100}
        assert data(store, "purses/a") == {"n": 0}


class Waits:
    """Waiting for a change without polling a server."""

    def test_it_answers_at_once_where_it_holds_already(self, store: Store) -> None:
        create(store, "things/a", n=1)
        assert store.wait("things/a", lambda seen: seen.data["n"] == 1, LONG).data == {"n": 1}

    def test_it_answers_on_the_change(self, store: Store) -> None:
        version = create(store, "things/a", n=1)
        waiting, looked = self._waiting(store, lambda seen: seen.data["n"] == 3)
        assert looked.wait(LONG)
        version = store.commit([Patch("things/a", {"n": 2}, version)])
        version = store.commit([Patch("things/a", {"n": 3}, version)])
        found = waiting.result(LONG / 2)
        assert (found.data, found.version) == ({"n": 3}, version)

    def test_it_answers_when_the_document_appears(self, store: Store) -> None:
        waiting, looked = self._waiting(store, lambda seen: seen.version != MISSING)
        assert looked.wait(LONG)
        version = create(store, "things/a", n=1)
        found = waiting.result(LONG / 2)
        assert (found.path, found.data, found.version) == ("things/a", {"n": 1}, version)

    def test_it_gives_the_document_as_it_stands_when_time_is_up(self, store: Store) -> None:
        version = create(store, "things/a", n=1)
        found = store.wait("things/a", lambda seen: False, 0.3)
        assert (found.data, found.version) == ({"n": 1}, version)
        assert store.wait("things/b", lambda seen: False, 0.3).version == MISSING

    def test_many_wait_for_one_change(self, store: Store) -> None:
        version = create(store, "things/a", n=1)
        waits = [self._waiting(store, lambda seen: seen.data["n"] == 2) for _ in range(10)]
        assert all(looked.wait(LONG) for _, looked in waits)
        store.commit([Patch("things/a", {"n": 2}, version)])
        assert [waiting.result(LONG / 2).data for waiting, _ in waits] == [{"n": 2}] * 10

    @pytest.mark.parametrize("milliseconds", [0, 1, 2, 4, 8, 16, 32])
    def test_no_change_is_missed_while_a_wait_begins(self, store: Store, milliseconds: int) -> None:
        version = create(store, "things/a", n=1)
        waits = [self._waiting(store, lambda seen: seen.data["n"] == 2) for _ in range(4)]
        time.sleep(milliseconds / 1000)  # not a time that anything needs: only a different one
        store.commit([Patch("things/a", {"n": 2}, version)])
        assert [waiting.result(LONG / 2).data for waiting, _ in waits] == [{"n": 2}] * 4

    def _waiting(self, store: Store, until: Any) -> tuple[Future[Document], threading.Event]:
        """A wait in another thread, and the event of its first look."""
        looked, result = threading.Event(), Future[Document]()

        def look(seen: Document) -> bool:
            looked.set()
            return bool(until(seen))

        def wait() -> None:
            try:
                result.set_result(store.wait("things/a", look, LONG))
            except BaseException as error:
                result.set_exception(error)

        threading.Thread(target=wait, daemon=True).start()
        return result, looked


class Processes:
    """Several processes at one store."""

    def test_two_processes_lose_no_update(self, store: Store, environment: Environment) -> None:
        create(store, "things/counter", n=0)
        others = [
            subprocess.Popen([sys.executable, "-c", COUNT], env={**os.environ, **environment})
            for _ in range(2)
        ]
        for _ in range(25):
            increment(store, "things/counter")
        assert [other.wait(LONG) for other in others] == [0, 0]
        assert data(store, "things/counter") == {"n": 75}

    def test_a_wait_answers_on_another_process_commit(
        self, store: Store, environment: Environment
    ) -> None:
        create(store, "things/counter", n=0)
        with subprocess.Popen([sys.executable, "-c", COUNT], env={**os.environ, **environment}):
            found = store.wait("things/counter", lambda seen: seen.data["n"] == 25, LONG)
        assert found.data == {"n": 25}
