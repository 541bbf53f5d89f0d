"""Agent `crew`: plans, has several agents work at once, and joins what they found.

Its payload: `{"topics": ["…", …], "agent": "light", "shareCents": 5}`.
"""

from shared.agent import Failure, agent
from shared.children import Call, Failed

PLAN_CENTS = 1


@agent(max_attempts=3)
def agent_crew(payload, context):
    plan = context.step("plan", lambda: _plan(payload), cost=PLAN_CENTS)
    found = context.gather([Call(**call) for call in plan], return_exceptions=True)
    done = [each for each in found if not isinstance(each, Failed)]
    if not done:
        raise Failure("nobody found anything")
    return {"found": done, "missing": len(found) - len(done), "leftCents": context.remaining_cents}


def _plan(payload):
    """Who does what, on how much of the crew's money."""
    if not isinstance(payload, dict) or not payload.get("topics"):
        raise Failure("give topics, a list of what to work on")
    worker, share = payload.get("agent", "light"), payload.get("shareCents", 5)
    return [
        {"agent": worker, "payload": {"topic": topic}, "budgetCents": share}
        for topic in payload["topics"]
    ]
