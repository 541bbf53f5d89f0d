"""An agent's `/run` called over HTTP: how `dispatch` runs a task in http mode."""

from __future__ import annotations

from shared import log
from shared.runtime import Services
from shared.tasks import messages, record, view
from shared.tasks.record import Task

CONNECT = 5.0  # seconds


def run(services: Services, task: Task) -> Task:
    """The task after its agent's `/run`.

    Where no answer comes in time the task stands as it does, queued or running, and goes on by
    itself: the sweep sends it through Pub/Sub.
    """
    import requests

    url = f"{services.config.agent_url(task.agent)}/run"
    try:
        answer = requests.post(
            url,
            data=messages.encode(messages.run(task)),
            headers={"Content-Type": "application/json", **_identity(services, url)},
            timeout=(CONNECT, services.config.agent_timeout_seconds),
        )
        answer.raise_for_status()
    except requests.RequestException as error:
        log.event("agent did not answer", "WARNING", **view.about(task), detail=str(error))
    return record.from_document(services.store.get(task.path)) or task


def _identity(services: Services, url: str) -> dict[str, str]:
    """On Cloud Run an agent lets in only who proves its identity for it."""
    if services.config.local:
        return {}
    import google.auth.transport.requests
    from google.oauth2 import id_token

    transport = google.auth.transport.requests.Request()
    token = id_token.fetch_id_token(  # type: ignore[no-untyped-call]
        transport, url.removesuffix("/run")
    )
    return {"Authorization": f"Bearer {token}"}
