"""The model: its price, and an answer of it as a step that is paid for once."""

from __future__ import annotations

import random
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import provider
from conversation import Conversation

from shared import errors, log, money, steps
from shared.agent import Failure
from shared.config import Config
from shared.context import Context

MILLION = 1_000_000
# Shares of a lease, which is a little longer than the function's timeout: in the first one another
# answer may begin, in the second it must come. Whatever the timeout cuts off would be paid for.
BEGIN, ANSWER = 1 / 4, 1 / 2
MARGIN = 2.0  # seconds before the end of a lease or a deadline in which nothing more is asked for
FIRST_PAUSE = 0.5  # seconds, doubling
LONGEST_PAUSE = 20.0  # seconds
MOST_LOST = 3  # answers in a row that were lost on their way, each of them paid for


@dataclass(frozen=True)
class Price:
    """Micros per million tokens."""

    input: int
    output: int
    cached: int

    def micros(self, prompt: int, completion: int, cached: int = 0) -> int:
        """What these tokens cost; a part of a micro counts as one."""
        total = (prompt - cached) * self.input + cached * self.cached + completion * self.output
        return -(-total // MILLION)


class Model:
    """A model at its price.

    Raises `errors.Misconfigured` where the endpoint is not set, `errors.Invalid` for a model
    without a name or a price.
    """

    def __init__(self, settings: Config, name: str, max_output_tokens: int) -> None:
        if not settings.codex_base_url:
            raise errors.Misconfigured(
                "CODEX_BASE_URL: set it to an OpenAI-compatible endpoint, with CODEX_MODEL and"
                " CODEX_PRICES, to use the agent codex"
            )
        if name not in settings.codex_prices:
            raise errors.Invalid(
                f"model: {name!r} has no price in CODEX_PRICES, and unknown cost is refused"
                if name
                else "model: name one in the payload, or set CODEX_MODEL"
            )
        micros = settings.codex_prices[name]
        self._price = Price(micros[0], micros[1], micros[2] if len(micros) > 2 else micros[0])
        self._settings, self._name, self._most = settings, name, max_output_tokens

    def answer(self, context: Context, step: str, talk: Conversation) -> Any:
        """The next answer in a conversation, as `provider.ask` returns it; kept under the step.

        Raises `errors.BudgetExceeded` where its worst case does not fit: then nothing is sent.
        """
        worst = self._price.micros(talk.most_tokens(), self._most)
        cents = money.to_cents(worst)
        return context.step(step, lambda: self._paid(context, talk, worst), cost=cents)

    def _paid(self, context: Context, talk: Conversation, worst: int) -> steps.Paid:
        """An answer and its price; asked for anew while there is time, and money.

        The step has charged `worst` for the first try. One whose answer was lost may have been
        billed: it keeps its charge, and the next one takes another.
        """
        left = min(context.lease_seconds * ANSWER, context.remaining_seconds)
        end = time.monotonic() + left - MARGIN
        lost, pause = 0, FIRST_PAUSE
        while True:
            try:
                answer = provider.ask(self._settings, self._request(talk), end)
            except provider.Refused as refused:
                raise steps.Unpaid from Failure(str(refused), "provider_refused")
            except provider.NotNow as busy:
                wait = max(busy.after or 0, random.uniform(pause / 2, pause))
                if time.monotonic() + wait > end:
                    raise steps.Unpaid from errors.Unavailable(str(busy))
            except provider.Lost as error:
                lost, wait = lost + 1, random.uniform(pause / 2, pause)
                log.event("answer lost", "WARNING", taskId=context.task_id, detail=str(error))
                if lost >= MOST_LOST or time.monotonic() + wait > end:
                    raise errors.Unavailable(str(error)) from error
                context.charge(money.to_cents(worst), "another try")
            else:
                return steps.Paid(answer, self._settled(context, answer["usage"], worst))
            time.sleep(wait)
            pause = min(2 * pause, LONGEST_PAUSE)
            context.progress(0, "the model is asked again")  # and stops here after a cancel

    def _request(self, talk: Conversation) -> dict[str, Any]:
        limit = {self._settings.codex_output_limit: self._most}
        return {"model": self._name, **talk.request(), **limit}

    def _settled(self, context: Context, usage: Mapping[str, int] | None, worst: int) -> float:
        """What an answer did cost, in cents; its worst case where the provider does not say.

        Should the provider have counted more than the worst case, the rest is charged too; raises
        `errors.BudgetExceeded` where that does not fit.
        """
        micros = worst if usage is None else self._price.micros(**usage)
        excess = micros - worst
        if excess > 0:
            log.event("more than the worst case", "ERROR", usage=usage, micros=micros, worst=worst)
            fits = min(money.to_cents(excess), context.remaining_cents)
            context.charge(fits, "more than the worst case")
            if fits < money.to_cents(excess):
                raise errors.BudgetExceeded(
                    f"the provider counted {micros} micros, more than its limits allow"
                )
        return money.to_cents(min(micros, worst))
