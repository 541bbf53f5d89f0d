"""The cluster: one local cloud, from the lock on its data to the last process that ends."""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any

from emulators import Refused, cloudsdk, lane, programs, reaper, runner, topology
from emulators.layout import Layout, Ports, free_ports, is_free

FIRST = ("dispatch", "edge")  # what a dispatch needs: the rest starts once these answer
THEN = ("agent_light", "results", "get_task", "accounts")  # and of the rest, missed first
START = 60.0  # seconds a process may take to answer
KNOCK = 0.02  # seconds between two looks at who is ready
STUBBORN = 3  # deaths of one process until a start has failed


class Cluster:
    """Functions, edge and, if asked for, Google's emulators: a context manager.

    Raises `Refused` where it cannot start.
    """

    def __init__(
        self,
        data: Path,
        *,
        google: bool = False,  # on Google's emulators
        ports: Ports | None = None,
        functions: Path = topology.FUNCTIONS,
        env: Mapping[str, str] | None = None,
        backoff: float = lane.BACKOFF,
        faults: str = "",
        mourn: Callable[[runner.Death], None] | None = None,
    ) -> None:
        """`ports` None: free ones. `backoff` scales the subscriptions' own; `env` wins over all."""
        targets = topology.functions(functions)
        self.layout = Layout(
            data=data.resolve(),
            functions=functions.resolve(),
            ports=ports or Ports.free(),
            internal=dict(zip(targets, free_ports(len(targets)), strict=True)),
            google=google,
        )
        self.deaths: list[runner.Death] = []
        self._env, self._backoff, self._faults = dict(env or {}), backoff, faults
        self._mourn = mourn
        self._processes: dict[str, runner.Process] = {}
        self._starting = threading.Lock()
        self._later: deque[runner.Program] = deque()  # those that no dispatch waits for
        self._stack = ExitStack()

    @property
    def gateway_url(self) -> str:
        """The orchestrator's address."""
        return self.layout.gateway_url

    def agent_url(self, agent: str) -> str:
        """An agent's public address."""
        return self.layout.agent_url(agent)

    def function_url(self, function: str) -> str:
        """The address of a function's own process, past the gateway."""
        return self.layout.function_url(function)

    def log(self, process: str) -> Path:
        """The log of a function, `edge`, `firestore` or `pubsub`."""
        return self.layout.data / "logs" / f"{process}.log"

    def logs(self, process: str) -> list[dict[str, Any]]:
        """Its log's JSON lines, as far as they are whole."""
        lines = self.log(process).read_text().rpartition("\n")[0].splitlines()
        return [json.loads(line) for line in lines if line.startswith("{")]

    def pid(self, process: str) -> int | None:
        """The process (and group) id of a function or `edge` now; None while it is down."""
        return self._processes[process].pid

    def kill(self, process: str) -> None:
        """`kill -9` of a function or `edge`; it is started again at once."""
        self._processes[process].kill()

    def reset(self) -> None:
        """Clears the data of a cluster that does not run."""
        with self._locked():
            for file in self.layout.data.glob("zantara.db*"):
                file.unlink()
            shutil.rmtree(self.layout.data / "logs", ignore_errors=True)
            if self.layout.google:
                cloudsdk.reset(self.layout)

    def start(self) -> None:
        """Starts everything, and returns once it can take a dispatch; `wait` waits for the rest."""
        try:
            self._stack.enter_context(self._locked())
            self._check_ports()
            self._start()
        except BaseException:
            self.stop()
            raise

    def wait(self, seconds: float = START) -> None:
        """Waits until every process answers; raises `Refused` where one does not."""
        while self._run_next():
            pass
        self._await(list(self._processes), seconds)

    def ready(self) -> bool:
        """Every process answers now."""
        return not self._later and all(each.ready() for each in list(self._processes.values()))

    def stop(self) -> None:
        """Ends everything, and returns once nothing is left."""
        with self._starting:
            self._later.clear()
        for process in reversed(self._processes.values()):
            process.stop()
        for process in self._processes.values():
            process.join()
        self._stack.close()

    def __enter__(self) -> Cluster:
        self.start()
        try:
            self.wait()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()

    def _start(self) -> None:
        layout, env = self.layout, self._env
        self._reaper = self._stack.enter_context(reaper.Reaper())
        emulators = cloudsdk.programs(layout) if layout.google else []
        functions = {each: programs.function(each, layout, env) for each in layout.internal}
        rest = functions | {"edge": programs.edge(layout, env, self._backoff, self._faults)}
        first = [*emulators, *(rest.pop(each) for each in FIRST if each in rest)]
        for program in first:
            self._run(program)
        self._await([program.name for program in first], START)
        order = sorted(rest, key=lambda each: THEN.index(each) if each in THEN else len(THEN))
        self._later.extend(rest[name] for name in order)
        threading.Thread(target=self._run_later, daemon=True, name="later").start()

    def _run_later(self) -> None:
        """Starts the rest one after another, so that the first dispatches find a core free."""
        while process := self._run_next():
            give_up = time.monotonic() + START
            while self._later and not process.ready() and time.monotonic() < give_up:
                time.sleep(KNOCK)

    def _run_next(self) -> runner.Process | None:
        """Starts the next of the rest; None once all have been."""
        with self._starting:
            return self._run(self._later.popleft()) if self._later else None

    def _run(self, program: runner.Program) -> runner.Process:
        process = runner.Process(program, self._reaper, self._died)
        self._processes[program.name] = process
        process.start()
        return process

    def _await(self, names: Sequence[str], seconds: float) -> None:
        give_up, waiting = time.monotonic() + seconds, list(names)
        while waiting := [each for each in waiting if not self._processes[each].ready()]:
            died = [each for each in self.deaths if each.name in waiting]
            if len(died) >= STUBBORN or time.monotonic() > give_up:
                missed = sorted({each.name for each in died}) or waiting
                logs = ", ".join(str(self.log(each)) for each in missed)
                tail = f"\n{died[-1].tail}" if died else ""
                raise Refused(f"{', '.join(missed)} did not start; see {logs}{tail}")
            time.sleep(KNOCK)

    def _died(self, death: runner.Death) -> None:
        self.deaths.append(death)
        if self._mourn:
            self._mourn(death)

    def _check_ports(self) -> None:
        ports = self.layout.ports
        wanted = {"the agent": ports.agent, "the gateway": ports.gateway}
        if self.layout.google:
            wanted |= {"Pub/Sub": ports.pubsub, "Firestore": ports.firestore}
        for what, port in wanted.items():
            if not is_free(port) and not (self.layout.google and cloudsdk.answers(port)):
                raise Refused(
                    f"port {port}, for {what}, is in use by another program;"
                    f" --ports {ports.agent + 1000} moves all four to"
                    f" {ports.agent + 1000}-{ports.agent + 1003}"
                )

    @contextmanager
    def _locked(self) -> Iterator[None]:
        """Holds the data folder; the lock dies with this process, whatever happens to it."""
        self.layout.data.mkdir(parents=True, exist_ok=True)
        with (self.layout.data / "lock").open("a+") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                file.seek(0)
                raise Refused(
                    f"{self.layout.data} is in use by process {file.read().strip()};"
                    " stop that one first, or take another folder with --data"
                ) from None
            file.truncate(0)
            file.write(str(os.getpid()))
            file.flush()
            yield
