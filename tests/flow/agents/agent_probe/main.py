"""Agent `probe`: leaves a mark at every run, and takes its time, or fails, as it is told."""

import time
from pathlib import Path

from shared.agent import agent


@agent(cost_cents=5)
def agent_probe(payload, context):
    with Path(payload["mark"]).open("a") as marks:
        marks.write(f"{context.attempt}\n")
    time.sleep(payload.get("seconds", 0))
    if context.attempt <= payload.get("failures", 0):
        raise RuntimeError("as it was told")
    return {"attempt": context.attempt}
