"""What the agent `probe` does: the ways an attempt may go, by the payload's `do`."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from shared import agent, steps
from shared.children import Call
from shared.context import Context

if TYPE_CHECKING:
    from tests.chaos.world import World

Work = Callable[["World", Context], Any]


def succeed(world: World, context: Context) -> Any:
    """Has a result."""
    return {"attempt": context.attempt}


def give_up(world: World, context: Context) -> Any:
    """Cannot succeed."""
    raise agent.Failure("as the payload wants it")


def fail(world: World, context: Context) -> Any:
    """Fails, and may be tried again."""
    raise RuntimeError("as the payload wants it")


def stumble(world: World, context: Context) -> Any:
    """Fails the first time."""
    return fail(world, context) if context.attempt == 1 else succeed(world, context)


def charge(world: World, context: Context) -> Any:
    """Pays the worst case first, and takes back what it did not need."""
    charged = context.charge(4, "tokens")
    world.watch.paid(world.disk, context.task)
    world.outside.step("work", lambda: None)
    context.settle(charged, 1)
    return stumble(world, context)


def step(world: World, context: Context) -> Any:
    """Keeps what it paid for."""

    def paid_for() -> str:
        world.watch.paid(world.disk, context.task)
        world.watch.stepped(world.disk, context.task, "one")
        world.outside.step("work", lambda: None)
        return context.task.id

    context.step("one", paid_for, cost=3)
    return stumble(world, context)


def call(world: World, context: Context) -> Any:
    """Has another agent do it."""
    return [context.call("probe", {"do": "succeed"}, budgetCents=6)]


def gather(world: World, context: Context) -> Any:
    """Has two do it, of whom one fails."""
    calls = [Call("probe", {"do": "succeed"}, 6), Call("probe", {"do": "give up"}, 5)]
    return context.gather(calls)


def nest(world: World, context: Context) -> Any:
    """Has one do it who has it done by two."""
    return context.call("probe", {"do": "gather"}, budgetCents=30)


def settle(world: World, context: Context) -> Any:
    """Keeps what did cost less than its worst case, and at first nothing at all."""

    def refused() -> Any:
        world.outside.step("work", lambda: None)
        raise steps.Unpaid from RuntimeError("staged: not taken")

    def taken() -> steps.Paid:
        world.watch.paid(world.disk, context.task)
        world.outside.step("work", lambda: None)
        return steps.Paid("kept", 2)

    with contextlib.suppress(RuntimeError):
        context.step("one", refused, cost=9)
    return context.step("one", taken, cost=9)


def later(world: World, context: Context) -> Any:
    """Goes on in another delivery."""
    if context.state is None:
        raise context.continue_later({"half": True})
    return context.state


WORK: Mapping[str, Work] = {
    work.__name__.replace("_", " "): work
    for work in (succeed, give_up, fail, stumble, charge, step, call, gather, nest, settle, later)
}
