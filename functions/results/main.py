"""`results`: settles a task's state and money in one commit, then hands on to its callback."""

from __future__ import annotations

from shared import endpoint, errors, limits, log, push, runtime, schemas, strictjson
from shared.storage import bus
from shared.tasks import commits, endings, transitions
from shared.tasks.record import Outcome

api = endpoint.Endpoint("results")
RESULT = schemas.Result()


@push.route(api, "/pubsub/results", "/")
def settle(pushed: bus.Pushed) -> None:
    """A result that comes late, twice, or from a fenced attempt changes nothing."""
    current = runtime.current()
    result = schemas.load(RESULT, pushed.data)
    text = strictjson.dumps(result["result"]) if "result" in result else None
    status, error = result["status"], result.get("error")
    if text and len(text.encode()) > limits.BODY:  # an agent of ours has seen to that itself
        detail = f"the result has more than {limits.BODY} bytes"
        status, text, error = "failed", None, transitions.fault("result_too_large", detail)
    outcome = Outcome(status=status, result=text, error=error, published_at=pushed.published_at)
    try:
        task = commits.settle(current, result, outcome)
    except (errors.TaskEnded, errors.Fenced) as late:
        log.event("late result", taskId=result["taskId"], code=late.code, detail=late.detail)
        return
    endings.announce(current, task)


results = api.target()
