"""Agent `light`: echoes its payload."""

from shared.agent import agent


@agent(cost_cents=5)
def agent_light(payload, context):
    return {"echo": payload}
