"""Agent `tree`: pays a step, hands the rest on to children like itself, counts them all."""

from shared import steps
from shared.agent import agent
from shared.children import Call, Failed


@agent(lease_seconds=8)
def agent_tree(payload, context):
    context.step("own", lambda: steps.Paid(None, 0.5), cost=1)
    if not payload["levels"]:
        return 1
    below = {**payload, "levels": payload["levels"] - 1}
    calls = [Call("tree", below, payload["cents"][below["levels"]])] * payload["width"]
    found = context.gather(calls, return_exceptions=True)
    return 1 + sum(each for each in found if not isinstance(each, Failed))
