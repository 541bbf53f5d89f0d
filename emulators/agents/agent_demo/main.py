"""Agent `demo`, of the local cloud alone: works, or fails, as its payload says.

`{"seconds": 2}` takes that long, in its first attempt only; `{"fail": "why"}` fails. Its lease is
short, so that an attempt that was broken is soon replaced; while it works it keeps it, by telling
its progress, unless it is `{"silent": true}`.
"""

import time

from shared.agent import Failure, agent


@agent(cost_cents=5, lease_seconds=3)
def agent_demo(payload, context):
    wanted = payload if isinstance(payload, dict) else {}
    if "fail" in wanted:
        raise Failure(str(wanted["fail"]))
    seconds = min(wanted.get("seconds", 1), 60) if context.attempt == 1 else 0
    end = time.monotonic() + seconds
    while (left := end - time.monotonic()) > 0:
        time.sleep(min(left, 1))
        if left > 1 and not wanted.get("silent"):
            context.progress(1 - left / seconds)
    return {"by": f"attempt {context.attempt}", "worked": seconds}
