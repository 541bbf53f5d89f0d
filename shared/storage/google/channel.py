"""Google's APIs over bare gRPC: the official message classes and credentials, without the clients.

The generated clients take as long to import as everything else that a function needs together; a
call through one costs three times the CPU. What they add, retries and credentials, gRPC and
google-auth have too.
"""

from __future__ import annotations

import importlib.util
import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import urlencode

import grpc
from grpc.experimental import ChannelOptions

CALL = 15.0  # seconds that a call may take, with all its tries

# gRPC makes five tries at the most. A commit that landed though its answer was lost fails its own
# precondition when it is tried again; a message published twice is delivered twice.
RETRIED = ("UNAVAILABLE", "ABORTED", "RESOURCE_EXHAUSTED", "CANCELLED")
POLICY = {
    "maxAttempts": 5,
    "initialBackoff": "0.1s",
    "maxBackoff": "2s",
    "backoffMultiplier": 3,
    "retryableStatusCodes": RETRIED,
}
OPTIONS = [
    ("grpc.service_config", json.dumps({"methodConfig": [{"name": [{}], "retryPolicy": POLICY}]})),
    ("grpc.per_rpc_retry_buffer_size", 4 * 1024 * 1024),  # the largest commit can be tried again
    ("grpc.max_receive_message_length", -1),  # a page of large documents
    (ChannelOptions.SingleThreadedUnaryStream, 1),  # a read needs no thread: half its CPU
]
ALIVE = [("grpc.keepalive_time_ms", 30_000)]  # as Google's own clients; the emulators forbid it
SCOPE = "https://www.googleapis.com/auth/cloud-platform"


@contextmanager
def bare(package: str) -> Iterator[None]:
    """Within it, modules of a package are imported without the package's own `__init__`.

    That would import every client. Whoever needs them later imports the package as ever.
    """
    spec = importlib.util.find_spec(package) if package not in sys.modules else None
    if spec is None:
        yield
        return
    sys.modules[package] = importlib.util.module_from_spec(spec)
    try:
        yield
    finally:
        del sys.modules[package]


def channel(api: str, emulator_host: str) -> grpc.Channel:
    """A channel to the emulator if there is one, else to `api`, with this service's credentials."""
    if emulator_host:
        return grpc.insecure_channel(emulator_host, options=OPTIONS)
    import google.auth
    from google.auth.transport.grpc import secure_authorized_channel
    from google.auth.transport.requests import Request

    credentials, _ = google.auth.default(scopes=[SCOPE])
    opened: grpc.Channel = secure_authorized_channel(  # type: ignore[no-untyped-call]
        credentials, Request(), f"{api}:443", options=OPTIONS + ALIVE
    )
    return opened


def reason(error: grpc.RpcError) -> str:
    """What a call failed with, for a reader."""
    return f"{error.code().name}: {error.details()}"


def routing(**resource: str) -> tuple[str, str]:
    """The header by which Google routes a call: https://google.aip.dev/client-libraries/4222."""
    return "x-goog-request-params", urlencode(resource, safe="/")
