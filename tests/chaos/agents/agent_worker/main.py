"""Agent `worker`: does as its payload says, and writes down what it did."""

from __future__ import annotations

import os
import time
from functools import partial
from typing import Any

from shared.agent import Failure, agent
from shared.children import Call
from shared.context import Context
from tests.chaos import journal


@agent(cost_cents=5)
def agent_worker(payload: dict[str, Any], context: Context) -> Any:
    """`fail`: so many attempts do; `give_up`: for good; `die`: the process, at the first."""
    journal.write("began", context.task_id, context.attempt)
    time.sleep(payload.get("sleep", 0))
    time.sleep(dict(enumerate(payload.get("doze", []), 1)).get(context.attempt, 0))
    if payload.get("die") and context.attempt == 1:
        os.killpg(os.getpgrp(), 9)
    if payload.get("fail", 0) >= context.attempt:
        raise RuntimeError("as asked")
    if payload.get("give_up"):
        raise Failure("as asked")
    for number in range(payload.get("steps", 0)):
        context.step(f"step-{number}", partial(_step, context, number), cost=1)
    if payload.get("charge"):
        charge = context.charge(payload["charge"])
        context.settle(charge, payload["charge"] / 2)
    if payload.get("calls"):
        calls = [Call("light", {"child": n}, budgetCents=5) for n in range(payload["calls"])]
        context.gather(calls)
    journal.write("did", context.task_id, context.attempt)
    return {"attempt": context.attempt}


def _step(context: Context, number: int) -> int:
    journal.write(f"step-{number}", context.task_id, context.attempt)
    return number
