"""The wire: messages between functions, delivered when and as often as the battery likes."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from tests.chaos import steps

if TYPE_CHECKING:
    from tests.chaos.world import World

DELIVERIES = 5  # of a message, then it is a dead letter
MORTAL = ("tasks", "results", "callbacks")  # the topics whose subscriptions give up
PREFIX = "projects/zantara-dev/topics/"
SUBSCRIPTIONS = "projects/zantara-dev/subscriptions/"
HANDLERS = {
    "tasks": ("agent_probe", "/pubsub/push"),
    "results": ("results", "/pubsub/results"),
    "callbacks": ("callback", "/"),
    "ticks": ("sweep", "/"),
    "dead": ("dead_letter", "/"),
}


@dataclass(eq=False)
class Message:
    """A message on its way to its one subscriber."""

    id: str
    topic: str
    data: bytes
    attributes: dict[str, str]
    deliveries: int = 0

    def envelope(self) -> dict[str, Any]:
        """The body of its push."""
        message = {
            "data": base64.b64encode(self.data).decode(),
            "attributes": self.attributes,
            "messageId": self.id,
        }
        return {"message": message, "subscription": f"{SUBSCRIPTIONS}{self.topic}"}


@dataclass
class Wire:
    """Implements `shared.storage.bus.Bus`, and delivers."""

    world: World
    messages: list[Message] = field(default_factory=list)

    def publish(self, topic: str, data: bytes, attributes: Mapping[str, str]) -> str:
        """See `Bus.publish`."""
        name = topic.removeprefix(PREFIX)
        message = Message(self.world.new_id()[:16], name, data, dict(attributes))
        self.messages.append(message)
        return message.id

    def post(self, topic: str, message: Any, **attributes: str) -> Message:
        """A message from somewhere else."""
        self.publish(f"{PREFIX}{topic}", json.dumps(message).encode(), attributes)
        return self.messages[-1]

    def on(self, topic: str) -> list[Message]:
        """What is under way on a topic."""
        return [message for message in self.messages if message.topic == topic]

    def push(self, message: Message, process: str = "") -> steps.Actor:
        """A delivery that has reached its function, and not gone a step further."""
        message.deliveries += 1
        function, path = HANDLERS[message.topic]
        return self.world.start(function, path, message.envelope(), process=process)

    def deliver(self, message: Message, process: str = "") -> Any:
        """Delivers it; the answer is None where the function crashed."""
        return self.settle(message, self.push(message, process).finish())

    def settle(self, message: Message, answer: Any) -> Any:
        """Acknowledged a message is gone, too often refused it is a dead letter."""
        if answer is not None and answer.status_code in (200, 204):
            self.drop(message)
            self._check_effect(message)
        elif message.deliveries >= DELIVERIES and message.topic in (
            "tasks",
            "results",
            "callbacks",
        ):
            self.kill(message)
        return answer

    def kill(self, message: Message) -> None:
        """Makes a dead letter of it."""
        self.drop(message)
        self.world.events["dead-lettered"] += 1
        self.publish(f"{PREFIX}dead", message.data, message.attributes)

    def drop(self, message: Message) -> None:
        """Takes it from the wire, if it is there still."""
        if message in self.messages:
            self.messages.remove(message)

    def _check_effect(self, message: Message) -> None:
        """A result that is acknowledged has ended its task, or another attempt has taken that."""
        if message.topic != "results":
            return
        told = json.loads(message.data)
        task = self.world.watch.tasks.get(f"tasks/{told['taskId']}")
        if task and task.status == "running" and told.get("attempt") == task.attempts:
            said = f"{task.path}: its result is acknowledged, and it is running"
            self.world.watch.violations.append(said)
