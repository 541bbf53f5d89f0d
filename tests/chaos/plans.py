"""Plans: which of the calls that pass a proxy go wrong, and how."""

from __future__ import annotations

import random
import threading
from collections import Counter

import grpc

from tests.chaos.mishaps import Mishaps, told
from tests.chaos.proxy import Call, Fault

CODES = (  # of an answer that does not tell whether the call took effect
    grpc.StatusCode.UNAVAILABLE,
    grpc.StatusCode.ABORTED,
    grpc.StatusCode.CANCELLED,
    grpc.StatusCode.DEADLINE_EXCEEDED,
    grpc.StatusCode.INTERNAL,
    grpc.StatusCode.RESOURCE_EXHAUSTED,
    grpc.StatusCode.UNKNOWN,
)
KINDS = {  # calls in the words of the store and the bus
    "BatchGetDocuments": "get",
    "Commit": "commit",
    "Publish": "publish",
    "RunAggregationQuery": "total",
    "RunQuery": "query",
}
CREATED = b"\x22\x02\x08\x00"  # a write's `current_document { exists: false }`


class Plan:
    """Mishaps as a proxy's plan; it counts what it does."""

    def __init__(self, mishaps: Mishaps, struck: Counter[str]) -> None:
        self._mishaps, self._struck = mishaps, struck
        self._random = random.Random(mishaps.seed)
        self._lock = threading.Lock()

    def __call__(self, call: Call) -> Fault | None:
        method, about = kind(call), call.request.decode("latin-1")
        if method not in (*KINDS.values(), "create"):
            return None
        with self._lock:
            mishap = self._mishaps.draw(self._random, method, about)
            if mishap is None:
                return None
            code = self._random.choice(CODES)
        self._struck.update(told(mishap, method))
        return Fault(when=mishap.when, code=code, delay=mishap.delay)


def kind(call: Call) -> str:
    """What a call is, in the store's words; a commit that only makes documents is a `create`."""
    if call.method == "Commit" and CREATED in call.request and call.request.count(b"/tasks/") == 1:
        return "create"
    return KINDS.get(call.method, call.method)
