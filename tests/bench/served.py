"""A function served as it is deployed: its flat bundle, compiled, behind functions-framework."""

from __future__ import annotations

import compileall
import contextlib
import http.client
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from emulators import layout, topology
from infra.deploy import bundle
from tests.bench.backend import Backend

HELLO = Path(__file__).parent / "hello"
KNOCK = 0.001  # seconds between two tries to connect
PATIENCE = 60.0  # seconds a process may take to its first answer
HOPS = bundle.ROOT / "infra/terraform/hops.tf"


@dataclass(frozen=True, kw_only=True)
class Visit:
    """A request, and the status of its real answer."""

    method: str = "GET"
    path: str = "/"
    body: bytes | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    status: int = 200


class Served:
    """One process of a function, from `start` to `end`; a context manager does both."""

    def __init__(
        self, backend: Backend, name: str, source: Path, environment: Mapping[str, str]
    ) -> None:
        self.name, self._source, self._backend = name, source, backend
        [self.port] = layout.free_ports(1)
        self.log = backend.folder / f"{name}-{self.port}.log"
        kept = {each: os.environ[each] for each in ("HOME", "LANG", "PATH") if each in os.environ}
        # The bundle's own `shared`, not this checkout's, which is installed beside.
        self._environment = {**kept, "PYTHONPATH": str(source), **environment}

    def __enter__(self) -> Served:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.end()

    def start(self) -> None:
        """Starts the process, and returns at once."""
        script = Path(sys.executable).parent / "functions-framework"
        where = [f"--source={self._source / 'main.py'}", f"--port={self.port}", "--host=127.0.0.1"]
        with self.log.open("wb") as log:
            self.began = time.perf_counter()
            self._process = subprocess.Popen(
                [sys.executable, str(script), f"--target={self.name}", *where],
                cwd=self._source,
                env=self._environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        self._backend.undertaker.adopt(self._process.pid)

    def end(self) -> None:
        """Kills it, whatever it does."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
        self._backend.undertaker.forget(self._process.pid)

    def connect(self) -> http.client.HTTPConnection:
        """A connection, as soon as the process takes one."""
        give_up = time.monotonic() + PATIENCE
        while True:
            connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=PATIENCE)
            try:
                connection.connect()
            except ConnectionRefusedError:
                if time.monotonic() > give_up or self._process.poll() is not None:
                    raise AssertionError(f"{self.name} does not start:\n{self.tail()}") from None
                time.sleep(KNOCK)
            else:
                return connection

    def visit(self, visit: Visit, connection: http.client.HTTPConnection) -> bytes:
        """The answer's body; raises AssertionError where it is not the right answer."""
        connection.request(visit.method, visit.path, visit.body, dict(visit.headers))
        answer = connection.getresponse()
        body = answer.read()
        if answer.status != visit.status:
            told = body[:500].decode("utf-8", "replace")
            raise AssertionError(f"{self.name}: {answer.status} {told}\n{self.tail()}")
        return body

    def repeat(self, visit: Visit, times: int) -> None:
        """The same visit again and again, on a connection of its own."""
        connection = self.connect()
        for _ in range(times):
            self.visit(visit, connection)
        connection.close()

    def first(self, visit: Visit) -> float:
        """Seconds from the start of the process to its answer."""
        connection = self.connect()
        self.visit(visit, connection)
        seconds = time.perf_counter() - self.began
        connection.close()
        return seconds

    def cpu(self) -> float:
        """Seconds of CPU that its processes have used, user and system."""
        return sum(time.clock_gettime((~pid << 3) | 2) for pid in self._group())

    def memory(self) -> int:
        """Resident bytes of its processes; what they share counts in each."""
        pages = [Path(f"/proc/{pid}/statm").read_text().split()[1] for pid in self._group()]
        return sum(map(int, pages)) * os.sysconf("SC_PAGE_SIZE")

    def tail(self) -> str:
        """The end of what it has written."""
        return self.log.read_text(errors="replace")[-2000:]

    def _group(self) -> list[int]:
        """gunicorn's master, then its worker."""
        pid = self._process.pid
        return [pid, *map(int, Path(f"/proc/{pid}/task/{pid}/children").read_text().split())]


def bundles(folder: Path) -> dict[str, Path]:
    """Every function's bundle with its bytecode, laid out as for deployment, and `hello`."""
    found = {"hello": shutil.copytree(HELLO, folder / "hello", ignore=bundle.UNWANTED)}
    for name in topology.functions():
        source = bundle.ROOT / "functions" / name
        found[name] = shutil.copytree(source, folder / name, ignore=bundle.UNWANTED)
        shared = bundle.ROOT / "shared"
        shutil.copytree(shared, folder / name / "shared", ignore=bundle.UNWANTED)
    for each in found.values():
        compileall.compile_dir(each, quiet=1)
    return found


def threads(function: str) -> str:
    """`THREADS` as it is deployed: the function's concurrency in infra/terraform/hops.tf."""
    text = HOPS.read_text()
    [default] = re.findall(r"^ +concurrency +=\s*(\d+)", text, re.MULTILINE)
    named = dict(re.findall(r"^ +(\w+) += \{.*\bconcurrency = (\d+)", text, re.MULTILINE))
    return str(named.get("agent" if function.startswith("agent_") else function, default))
