"""Agent `demo`, of the local cloud alone: works, or fails, as its payload says.

`{"seconds": 2}` takes that long, in its first attempt only; `{"fail": "why"}` fails. Its lease is
short, so that an attempt that was broken is soon replaced.
"""

import time

from shared.agent import Failure, agent


@agent(cost_cents=5, lease_seconds=3)
def agent_demo(payload, context):
    wanted = payload if isinstance(payload, dict) else {}
    if "fail" in wanted:
        raise Failure(str(wanted["fail"]))
    seconds = wanted.get("seconds", 1) if context.attempt == 1 else 0
    time.sleep(min(seconds, 60))
    return {"by": f"attempt {context.attempt}", "worked": seconds}
