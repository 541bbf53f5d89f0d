"""`callback`: tells whoever asked to be told that a task has ended, as a signed webhook."""

from __future__ import annotations

from shared import deliveries, endpoint, push, runtime, schemas
from shared.storage import bus

api = endpoint.Endpoint("callback")
CALLBACK = schemas.Callback()


@push.route(api, "/")
def deliver(pushed: bus.Pushed) -> None:
    """A message on `callbacks`: one try; Pub/Sub pushes it again until there is nothing to do."""
    asked = schemas.load(CALLBACK, pushed.data)
    deliveries.deliver(runtime.current(), asked["taskId"])


callback = api.target()
