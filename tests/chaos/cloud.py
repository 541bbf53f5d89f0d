"""The cloud of a battle: real processes, faults under control, every commit witnessed."""

from __future__ import annotations

import json
import secrets
import urllib.request
from collections import Counter
from collections.abc import Collection, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from emulators import topology
from emulators.cluster import Cluster
from emulators.layout import Ports
from shared import config, runtime
from tests.chaos import faulty, journal, witness
from tests.chaos.history import History
from tests.chaos.mishaps import Mishaps
from tests.chaos.plans import Plan
from tests.chaos.proxy import Proxy

PIPELINE = (
    *("accounts", "agent_light", "callback", "cancel_task", "dead_letter", "dispatch"),
    *("get_task", "results", "sweep"),
)
AGENTS = Path(__file__).parent / "agents"
MAIN = '''"""`{name}`: the function `{target}` in the battery's world."""

from tests.chaos import faulty

faulty.install("{name}")

from {module} import {target} as {name}  # noqa: E402, F401
'''
BACKOFF = 0.02  # of a subscription's: a retry comes after 0.2 s, not 10


@dataclass
class Cloud:
    """A running cluster, and what the battery does to it."""

    cluster: Cluster
    folder: Path
    environment: Mapping[str, str]  # for a look at its store from here, past all faults
    firestore: Proxy | None
    pubsub: Proxy | None
    _witness: witness.Embedded | witness.Firestore
    _struck: Counter[str] = field(default_factory=Counter)

    @property
    def url(self) -> str:
        """The orchestrator's address."""
        return self.cluster.gateway_url

    @property
    def journal(self) -> Path:
        """What the agents did."""
        return self.folder / "journal"

    def serves(self, function: str) -> bool:
        """It answers, as it does not while it starts."""
        try:
            with urllib.request.urlopen(f"{self.cluster.function_url(function)}/health", timeout=1):
                return True
        except OSError:
            return False

    def services(self) -> runtime.Services:
        """The store and the bus as the functions have them, but without faults."""
        return runtime.Services(config.load(self.environment))

    def history(self) -> History:
        """Every commit so far, replayed."""
        return History().replay(self._witness.changes())

    def begin(self, mishaps: Mishaps) -> None:
        """Lets calls fail from here on; on the embedded backend as the start has said."""
        (self.folder / "switch").touch()
        if self.firestore and self.pubsub:
            self.firestore.plan = self.pubsub.plan = Plan(mishaps, self._struck)

    def relent(self) -> None:
        """Lets no more calls fail."""
        (self.folder / "switch").unlink(missing_ok=True)
        for proxy in (self.firestore, self.pubsub):
            if proxy:
                proxy.plan = lambda call: None

    def struck(self) -> Counter[str]:
        """The faults so far, by kind."""
        struck = self.folder / "struck"
        return self._struck + Counter(struck.read_text().splitlines() if struck.exists() else ())

    def events(self) -> Counter[str]:
        """How often each event is in the logs, also with its code; the bridge's faults last."""
        counted: Counter[str] = Counter()
        for function in self.cluster.layout.internal:
            for line in lines(self.cluster.log(function)):
                counted[line["message"]] += 1
                counted[f"{line['message']} {line.get('code')}"] += 1
        for line in lines(self.cluster.log("edge")):
            if line["message"] == "faults":
                counted.update(line["struck"])
        return counted


def lines(log: Path) -> Iterator[dict[str, Any]]:
    """The JSON lines of a log; a process that was killed may have left half a line."""
    if not log.exists():
        return
    with log.open(errors="replace") as file:
        for line in file:
            if line.startswith("{") and line.endswith("}\n"):
                yield json.loads(line)


def functions(folder: Path, only: Collection[str], dispatchers: int) -> Path:
    """A folder of entrypoints: the product's own and the battery's agents, each in this world.

    All of them, or `only` some. There may be several of `dispatch`: the second is `dispatch_2`.
    """
    sources = {each: ("functions", each) for each in PIPELINE}
    sources |= {each: ("tests.chaos.agents", each) for each in topology.functions(AGENTS)}
    sources = {each: source for each, source in sources.items() if each in (only or sources)}
    more = range(2, dispatchers + 1)
    sources |= {f"dispatch_{number}": ("functions", "dispatch") for number in more}
    for name, (package, target) in sources.items():
        main = folder / name / "main.py"
        main.parent.mkdir(parents=True, exist_ok=True)
        module = f"{package}.{target}.main"
        main.write_text(MAIN.format(name=name, target=target, module=module))
    return folder


@contextmanager
def running(
    folder: Path,
    *,
    google: bool,
    mishaps: Mishaps | None = None,
    bridge: str = "",
    env: Mapping[str, str] | None = None,
    only: Collection[str] = (),
    dispatchers: int = 1,
    freezing: bool = False,
    emulators: Ports | None = None,
) -> Iterator[Cloud]:
    """A cloud in a folder of its own; `bridge`: the faults of the deliveries, as `up --faults`.

    `only` these functions run, where a part needs no others. With `emulators` it runs on Google's
    that listen there, in a project of its own.
    """
    with ExitStack() as stack:
        ports = Ports.free()
        setting: dict[str, Any] = {"switch": folder / "switch", "struck": folder / "struck"}
        if emulators:
            ports = replace(ports, pubsub=emulators.pubsub, firestore=emulators.firestore)
        project = f"chaos-{secrets.token_hex(4)}"
        proxies: list[Proxy] = []
        watch: witness.Embedded | witness.Firestore
        if google:
            upstream = [f"127.0.0.1:{port}" for port in (ports.firestore, ports.pubsub)]
            proxies = [stack.enter_context(Proxy(host)) for host in upstream]
            names = ("FIRESTORE_EMULATOR_HOST", "PUBSUB_EMULATOR_HOST")
            setting["environment"] = dict(zip(names, (each.host for each in proxies), strict=True))
            environment = dict(zip(names, upstream, strict=True))
            proxies[0].witness = watch = witness.Firestore()
        else:
            database = folder / "data" / "zantara.db"
            database.parent.mkdir(parents=True)
            environment = {"BACKEND": "embedded", "EMBEDDED_PATH": str(database)}
            watch = witness.Embedded(database)
            if mishaps:
                setting["mishaps"] = asdict(mishaps)
        if freezing:
            setting["freezer"] = folder / "freezer"
        cluster = Cluster(
            folder / "data",
            google=google,
            ports=ports,
            functions=functions(folder / "functions", only, dispatchers),
            env={
                faulty.VARIABLE: json.dumps(setting, default=str),
                journal.VARIABLE: str(folder / "journal"),
                "GCP_PROJECT": project,
                **(env or {}),
            },
            backoff=BACKOFF,
            faults=bridge,
        )
        stack.enter_context(cluster)
        yield Cloud(
            cluster=cluster,
            folder=folder,
            environment={"GCP_PROJECT": project, **environment},
            firestore=proxies[0] if proxies else None,
            pubsub=proxies[1] if proxies else None,
            _witness=watch,
        )
