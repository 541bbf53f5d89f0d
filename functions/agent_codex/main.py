"""Agent `codex`: asks a language model, lets it call other agents, and stays within the budget.

Each answer is a durable step: charged at its worst case before it is asked for, settled to what the
provider says that it used, and never paid for twice.
"""

from __future__ import annotations

import time
from typing import Any

import conversation
import model

from shared import runtime
from shared.agent import Failure, agent
from shared.context import Context

MOST_ANSWERS = 32  # of the model, a task


@agent(lease_seconds=300)
def agent_codex(payload: Any, context: Context) -> dict[str, Any]:
    begun = time.monotonic()
    talk = conversation.begin(payload, runtime.current().config)
    asked = model.Model(runtime.current().config, talk.model, talk.max_output_tokens)
    for number in range(1, MOST_ANSWERS + 1):
        if time.monotonic() - begun > context.lease_seconds * model.BEGIN:
            raise context.continue_later()  # its steps are kept, and a delivery takes only so long
        answer = asked.answer(context, f"answer-{number}", talk)
        if not answer["calls"]:
            return talk.result(answer)
        talk.go_on(context, answer)
    raise Failure(f"the model has not come to an end in {MOST_ANSWERS} answers", "endless")
