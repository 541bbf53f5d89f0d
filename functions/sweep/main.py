"""`sweep`: looks after whatever is due; many at once do no harm."""

from __future__ import annotations

from shared import endpoint, push, runtime, sweeper
from shared.storage import bus

api = endpoint.Endpoint("sweep")


@push.route(api, "/")
def tick(pushed: bus.Pushed) -> None:
    """Any message on `ticks`."""
    sweeper.sweep(runtime.current())


sweep = api.target()
