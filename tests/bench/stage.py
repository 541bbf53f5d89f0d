"""The stage: the real functions in one process, each of their operations counted.

What they publish is kept and pushed to them by hand, so nothing here waits or races.
"""

from __future__ import annotations

import base64
import threading
import uuid
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from functools import cache
from pathlib import Path
from typing import Any

import functions_framework
import grpc
import werkzeug.serving

from emulators import topology
from emulators.layout import Layout
from shared import config, runtime
from shared.storage.bus import Bus
from shared.storage.sqlite.store import EmbeddedStore
from tests.bench import prices, wire

PROBE = Path(__file__).parent.parent / "flow" / "agents" / "agent_probe"
AGENTS = "light,crew,probe"
DELIVERIES = 5  # of one message, at most
SECRET = f"whsec_{base64.b64encode(bytes(32)).decode()}"

Message = tuple[str, bytes, Mapping[str, str]]


class Tape:
    """A bus that keeps what is published, for the stage to push."""

    def __init__(self, bus: Bus) -> None:
        self._bus = bus
        self.messages: deque[Message] = deque()

    def publish(self, topic: str, data: bytes, attributes: Mapping[str, str]) -> str:
        """See `Bus.publish`."""
        self.messages.append((topic.rpartition("/")[2], data, attributes))
        return self._bus.publish(topic, data, attributes)


class Stage:
    """A client of the functions, and the Pub/Sub that pushes to them."""

    def __init__(self, tape: Tape, tally: wire.Tally, receiver_url: str) -> None:
        self.tally = tally
        self.receiver_url = receiver_url  # of callbacks
        self._tape = tape

    def request(self, method: str, function: str, path: str, body: Any = None) -> Any:
        """The JSON that a function answers; raises AssertionError where it refuses."""
        self.tally.add(requests=1)
        answer = _app(function).test_client().open(path, method=method, json=body)
        assert answer.status_code < 300, answer.text
        return answer.json

    def dispatch(self, agent: str = "light", **order: Any) -> str:
        """The id of a task, which is on its way."""
        asked = {"agent": agent, "payload": {"msg": "hi"}, "ttlSeconds": 600, "budgetCents": 10}
        task_id: str = self.request("POST", "dispatch", "/dispatch", {**asked, **order})["taskId"]
        return task_id

    def deliver(self) -> None:
        """Pushes until nothing is under way; what is not acknowledged comes again."""
        refused: dict[bytes, int] = {}
        while self._tape.messages:
            message = self._tape.messages.popleft()
            if not self.push(message):
                data = message[1]
                refused[data] = refused.get(data, 0) + 1
                assert refused[data] < DELIVERIES, f"nobody takes {data!r}"
                self._tape.messages.append(message)

    def push(self, message: Message) -> bool:
        """Whether one delivery of a message is acknowledged."""
        topic, data, attributes = message
        size = wire.message_size(data, attributes)
        self.tally.add(pushes=1, requests=1, billed_bytes=prices.billed(size))
        pushed = {
            "data": base64.b64encode(data).decode(),
            "attributes": dict(attributes),
            "messageId": uuid.uuid4().hex,
        }
        client = _app(_receiver(topic, attributes)).test_client()
        return bool(client.post("/", json={"message": pushed}).status_code == 204)

    def tick(self) -> None:
        """What Cloud Scheduler does every minute: a message on `ticks`, pushed to `sweep`."""
        self.tally.published(b"{}", {})
        assert self.push(("ticks", b"{}", {}))


@contextmanager
def embedded(folder: Path, **environ: str) -> Iterator[Stage]:
    """A stage on the embedded backend."""
    tally = wire.Tally()
    path = str(folder / "zantara.db")
    world = runtime.Services(config.load({"EMBEDDED_PATH": path}))
    store, tape = (
        wire.EmbeddedCalls(EmbeddedStore(path), tally),
        Tape(wire.EmbeddedBus(world.bus, tally)),
    )
    with _set({"EMBEDDED_PATH": path, **environ}, lambda _: store, tape, tally) as stage:
        yield stage


@contextmanager
def google(layout: Layout, **environ: str) -> Iterator[Stage]:
    """A stage on Google's emulators, in a project of its own."""
    settings = {
        "GCP_PROJECT": f"count-{uuid.uuid4().hex[:10]}",
        "FIRESTORE_EMULATOR_HOST": layout.firestore_host,
        "PUBSUB_EMULATOR_HOST": layout.pubsub_host,
    }
    world = runtime.Services(config.load(settings))
    _make_topics(world.config)
    tally = wire.Tally()
    with wire.tapped(tally):
        store, tape = world.store, Tape(world.bus)
    with _set({**settings, **environ}, lambda _: store, tape, tally) as stage:
        yield stage


@contextmanager
def _set(
    environ: Mapping[str, str], store: Callable[[config.Config], Any], tape: Tape, tally: wire.Tally
) -> Iterator[Stage]:
    with ExitStack() as stack:
        light = stack.enter_context(_serving(_counted(_app("agent_light"), tally)))
        receiver = stack.enter_context(_serving(_accepting))
        settings = config.load(
            {"AGENTS": AGENTS, "AGENT_LIGHT_URL": light, "CALLBACK_SECRETS": SECRET, **environ}
        )
        stack.enter_context(
            runtime.using(runtime.Services(settings, store=store, bus=lambda _: tape))
        )
        yield Stage(tape, tally, receiver)


@cache
def _app(function: str) -> Any:
    folder = PROBE if function == PROBE.name else topology.FUNCTIONS / function
    source = str(folder / "main.py")
    return functions_framework.create_app(function, source)  # type: ignore[no-untyped-call]


def _receiver(topic: str, attributes: Mapping[str, str]) -> str:
    named = {"results": "results", "callbacks": "callback", "ticks": "sweep"}
    return named.get(topic) or topology.target(attributes["agent"])


def _counted(app: Any, tally: wire.Tally) -> Any:
    def answer(environ: Any, start: Any) -> Any:
        tally.add(requests=1)
        return app(environ, start)

    return answer


def _accepting(environ: Any, start: Any) -> list[bytes]:
    """Somebody's webhook."""
    start("204 No Content", [])
    return []


class _Quiet(werkzeug.serving.WSGIRequestHandler):
    def log_request(self, *_: object) -> None:
        pass


@contextmanager
def _serving(app: Any) -> Iterator[str]:
    """The URL of a WSGI app that answers HTTP on this machine."""
    server = werkzeug.serving.make_server("127.0.0.1", 0, app, request_handler=_Quiet)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


def _make_topics(settings: config.Config) -> None:
    from google.pubsub_v1 import PublisherClient
    from google.pubsub_v1.services.publisher.transports import PublisherGrpcTransport

    channel = grpc.insecure_channel(settings.pubsub_emulator_host)
    client = PublisherClient(transport=PublisherGrpcTransport(channel=channel))
    for hop in ("tasks", "results", "callbacks"):
        client.create_topic(name=settings.topic(hop))
