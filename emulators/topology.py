"""The hops: which topic feeds which function, and how it is delivered. Terraform mirrors it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

FUNCTIONS = Path(__file__).resolve().parent.parent / "functions"

TOPICS = ("tasks", "results", "callbacks", "ticks", "dead")


@dataclass(frozen=True, kw_only=True)
class Subscription:
    """A push subscription as it is deployed; the bridge delivers by the same terms."""

    name: str
    topic: str
    function: str  # the target that receives the push
    path: str  # the path of its push endpoint
    agent: str | None = None  # only messages whose attribute `agent` is this
    ack_deadline_seconds: int = 600
    minimum_backoff_seconds: float = 10
    maximum_backoff_seconds: float = 600
    max_delivery_attempts: int | None = 5  # then to the topic `dead`; None: never

    @property
    def filter(self) -> str:
        """The filter in Pub/Sub's own syntax, or empty."""
        return f'attributes.agent="{self.agent}"' if self.agent else ""


def agents(folder: Path = FUNCTIONS) -> tuple[str, ...]:
    """The agents' names: one folder `functions/agent_NAME` each."""
    return tuple(
        sorted(
            each.name.removeprefix("agent_").replace("_", "-")
            for each in folder.glob("agent_*")
            if (each / "main.py").is_file()
        )
    )


def functions(folder: Path = FUNCTIONS) -> tuple[str, ...]:
    """The targets: one folder `functions/TARGET` each."""
    return tuple(sorted(main.parent.name for main in folder.glob("*/main.py")))


def target(agent: str) -> str:
    """The function of an agent."""
    return f"agent_{agent.replace('-', '_')}"


def subscriptions(folder: Path = FUNCTIONS) -> tuple[Subscription, ...]:
    """Every push subscription, in the order of the hops."""
    pushes = [
        Subscription(
            name=f"sub-{agent}",
            topic="tasks",
            function=target(agent),
            path="/pubsub/push",
            agent=agent,
        )
        for agent in agents(folder)
    ]
    handlers = (
        Subscription(
            name="sub-results", topic="results", function="results", path="/pubsub/results"
        ),
        Subscription(name="sub-callbacks", topic="callbacks", function="callback", path="/"),
        Subscription(
            name="sub-ticks",
            topic="ticks",
            function="sweep",
            path="/",
            max_delivery_attempts=None,
        ),
        Subscription(
            name="sub-dead",
            topic="dead",
            function="dead_letter",
            path="/",
            max_delivery_attempts=None,
        ),
    )
    here = functions(folder)
    return (*pushes, *(handler for handler in handlers if handler.function in here))
