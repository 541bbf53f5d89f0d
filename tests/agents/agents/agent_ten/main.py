"""Agent `ten`: ten steps that are paid for; it dies where its payload says, once."""

import os
import signal
from functools import partial
from pathlib import Path

from shared import steps
from shared.agent import agent


@agent(lease_seconds=5)
def agent_ten(payload, context):
    folder = Path(payload["folder"])
    return [
        context.step(f"s{number}", partial(work, folder, f"s{number}", payload["die"]), cost=3)
        for number in range(10)
    ]


def work(folder, name, die):
    if die == f"before {name}":
        perish(folder)
    with (folder / name).open("a") as file:  # what the outside world saw of it
        file.write("x")
    if die == f"after {name}":
        perish(folder)
    return steps.Paid(name, 2)


def perish(folder):
    """Kills this process as a kernel would, but only the first time."""
    mark = folder / "died"
    if not mark.exists():
        mark.touch()
        os.killpg(os.getpgid(0), signal.SIGKILL)
