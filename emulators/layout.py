"""Where everything of one local cloud is: its ports, its addresses, and each push's audience."""

from __future__ import annotations

import fcntl
import json
import os
import random
import socket
import tempfile
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path
from typing import BinaryIO

from emulators import topology

ROOT = topology.FUNCTIONS.parent
PROJECT = "zantara-dev"
PUSHER = f"pubsub-push@{PROJECT}.iam.gserviceaccount.com"  # whom the local Pub/Sub signs as
FRONT_AGENT = "light"  # the agent that has a port of its own, as in the seed
FREE = range(20000, 32000)  # where free ports are looked for: below those the system hands out

_mine: set[int] = set()  # ports that this process was given


@dataclass(frozen=True, kw_only=True)
class Ports:
    """The public ports."""

    agent: int = 8080
    gateway: int = 8081
    pubsub: int = 8082
    firestore: int = 8083

    @classmethod
    def at(cls, first: int) -> Ports:
        """Four ports in a row."""
        return cls(agent=first, gateway=first + 1, pubsub=first + 2, firestore=first + 3)

    @classmethod
    def parse(cls, text: str) -> Ports:
        """The four that begin with this one; raises ValueError."""
        first = int(text)
        if not 1 <= first <= 65532:
            raise ValueError(f"{first} is no port with three more after it")
        return cls.at(first)

    @classmethod
    def free(cls) -> Ports:
        """Four ports that nobody listens on."""
        agent, gateway, pubsub, firestore = free_ports(4)
        return cls(agent=agent, gateway=gateway, pubsub=pubsub, firestore=firestore)


@dataclass(frozen=True, kw_only=True)
class Layout:
    """One local cloud; the processes that share it hand it on as JSON."""

    data: Path  # the folder of its data, its logs and its issuer's key
    functions: Path  # the folder with one entrypoint per subfolder
    ports: Ports
    internal: Mapping[str, int]  # the port of each function's own process
    google: bool = False  # on Google's emulators instead of the embedded backend

    @property
    def gateway_url(self) -> str:
        """The orchestrator's address."""
        return f"http://localhost:{self.ports.gateway}"

    @property
    def certs_url(self) -> str:
        """Where the local issuer's certificates are."""
        return f"http://127.0.0.1:{self.ports.gateway}/oidc/certs"

    @property
    def pubsub_host(self) -> str:
        """The Pub/Sub emulator, as `PUBSUB_EMULATOR_HOST` names it."""
        return f"127.0.0.1:{self.ports.pubsub}"

    @property
    def firestore_host(self) -> str:
        """The Firestore emulator, as `FIRESTORE_EMULATOR_HOST` names it."""
        return f"127.0.0.1:{self.ports.firestore}"

    def agent_url(self, agent: str) -> str:
        """An agent's public address; `/run` and `/pubsub/push` are below it."""
        if agent == FRONT_AGENT:
            return f"http://localhost:{self.ports.agent}"
        return f"{self.gateway_url}/agents/{agent}"

    def function_url(self, function: str) -> str:
        """The address of a function's own process, past the gateway."""
        return f"http://127.0.0.1:{self.internal[function]}"

    def pid_file(self, function: str) -> Path:
        """Where the id of a function's process (and its group) is, while it runs."""
        return self.data / "logs" / f"{function}.pid"

    def subscriptions(self) -> tuple[topology.Subscription, ...]:
        """The hops of these functions."""
        return topology.subscriptions(self.functions)

    def audience(self, subscription: topology.Subscription) -> str:
        """The audience of a subscription's tokens: its push endpoint, as the outside knows it."""
        if subscription.agent:
            return self.agent_url(subscription.agent) + subscription.path
        if subscription.function == "results":
            return self.gateway_url + subscription.path
        return f"{self.gateway_url}/{subscription.function}"  # no public path: just a name

    def dumps(self) -> str:
        """As JSON, for another process."""
        return json.dumps(asdict(self), default=str)

    @classmethod
    def loads(cls, text: str) -> Layout:
        """The layout that `dumps` wrote."""
        fields = json.loads(text)
        return cls(
            data=Path(fields["data"]),
            functions=Path(fields["functions"]),
            ports=Ports(**fields["ports"]),
            internal=fields["internal"],
            google=fields["google"],
        )


def free_ports(count: int) -> list[int]:
    """Ports that nobody listens on, and that nobody else is given while this process lives."""
    found: list[int] = []
    for port in random.sample(FREE, len(FREE)):
        if is_free(port) and _reserved(port):
            found.append(port)
        if len(found) == count:
            return found
    raise OSError(f"no {count} free ports in {FREE}")


def _reserved(port: int) -> bool:
    """Takes a port for this process: a lock on one byte of a file that all clusters share."""
    if port in _mine:
        return False
    try:
        fcntl.lockf(_reservations(), fcntl.LOCK_EX | fcntl.LOCK_NB, 1, port)
    except OSError:
        return False
    _mine.add(port)
    return True


@cache
def _reservations() -> BinaryIO:
    """Open as long as this process lives: closing it would give every port back."""
    return Path(tempfile.gettempdir(), f"zantara-ports-{os.getuid()}").open("a+b")


def is_free(port: int) -> bool:
    """Nobody listens on this port."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
        return True
