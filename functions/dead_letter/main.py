"""`dead_letter`: a dead message is not a dead task. It is recorded, and sent on its way again."""

from __future__ import annotations

from shared import dead_letters, endpoint, push, runtime
from shared.storage import bus

api = endpoint.Endpoint("dead_letter")


@push.route(api, "/")
def revive(pushed: bus.Pushed) -> None:
    """A message that five deliveries did not bring through."""
    dead_letters.revive(runtime.current(), pushed)


dead_letter = api.target()
