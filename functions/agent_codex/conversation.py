"""The conversation: what a payload asks of the model, what it may call, and what was said."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from marshmallow import RAISE, Schema, fields, validate

from shared import errors, fields as types, money, schemas, strictjson
from shared.children import Call, Failed
from shared.config import Config
from shared.context import Context

LONGEST_RESULT = 32 * 1024  # characters of a child's result that the model is told

# An upper bound of the prompt's tokens: a token is at least a byte, and the JSON that carries a
# message is longer than the template around it. This is for what providers add of their own.
OVERHEAD, OVERHEAD_OF_MESSAGE, OVERHEAD_OF_TOOL = 512, 16, 64  # tokens


class _Message(Schema):
    class Meta:
        unknown = RAISE

    role = fields.String(required=True, validate=validate.OneOf(("system", "user", "assistant")))
    content = fields.String(required=True)


class _Tool(Schema):
    """What a call of this agent may cost, and what the model is told of it."""

    class Meta:
        unknown = RAISE

    budgetCents = types.Cents(required=True)  # noqa: N815 - fields are named as in the JSON
    about = fields.String(load_default="")
    parameters = fields.Dict(load_default=lambda: {"type": "object"})


class _Payload(Schema):
    class Meta:
        unknown = RAISE

    prompt = fields.String()
    system = fields.String()
    messages = fields.List(fields.Nested(_Message), validate=validate.Length(min=1))
    model = types.Text()
    maxOutputTokens = types.Whole()  # noqa: N815
    agents = fields.Dict(keys=types.Text(pattern=schemas.NAME), values=fields.Nested(_Tool))


PAYLOAD = _Payload()


@dataclass
class Conversation:
    """What was said so far, in the provider's own form."""

    model: str
    max_output_tokens: int
    messages: list[dict[str, Any]]
    tools: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)  # by agent
    used: list[Mapping[str, int]] = field(default_factory=list)

    def request(self) -> dict[str, Any]:
        """What the model is sent."""
        functions = [
            {"name": name, "description": tool["about"], "parameters": tool["parameters"]}
            for name, tool in self.tools.items()
        ]
        tools = [{"type": "function", "function": function} for function in functions]
        return {"messages": self.messages, **({"tools": tools} if tools else {})}

    def most_tokens(self) -> int:
        """No provider counts more tokens in the request."""
        own = OVERHEAD_OF_MESSAGE * len(self.messages) + OVERHEAD_OF_TOOL * len(self.tools)
        return len(strictjson.compact(self.request()).encode()) + own + OVERHEAD

    def go_on(self, context: Context, answer: Mapping[str, Any]) -> None:
        """Makes the calls that the answer asks for, each a child task, and says what they gave."""
        calls = [
            {
                "id": call["id"],
                "type": "function",
                "function": {"name": call["name"], "arguments": call["arguments"]},
            }
            for call in answer["calls"]
        ]
        self._note(answer)
        self.messages.append(
            {"role": "assistant", "content": answer["text"] or None, "tool_calls": calls}
        )
        for call, told in zip(calls, self._results(context, answer["calls"]), strict=True):
            self.messages.append({"role": "tool", "tool_call_id": call["id"], "content": told})

    def result(self, answer: Mapping[str, Any]) -> dict[str, Any]:
        """The task's result."""
        self._note(answer)
        tokens = {
            name: sum(used.get(name, 0) for used in self.used) for name in ("prompt", "completion")
        }
        return {
            "text": answer["text"],
            "finish": answer["finish"],
            "model": answer["model"],
            "answers": len(self.used),
            "tokens": tokens,
        }

    def _note(self, answer: Mapping[str, Any]) -> None:
        self.used.append(answer["usage"] or {})

    def _results(self, context: Context, asked: list[Mapping[str, str]]) -> list[str]:
        """What to tell the model of each of its calls; a wrong one is told, not made."""
        calls = [self._call(each) for each in asked]
        made = [call for call in calls if isinstance(call, Call)]
        try:
            found = iter(context.gather(made, return_exceptions=True) if made else [])
        except (errors.BudgetExceeded, errors.Invalid, errors.UnknownAgent) as error:
            return [_error(error.detail) if isinstance(call, Call) else call for call in calls]
        return [_told(next(found)) if isinstance(call, Call) else call for call in calls]

    def _call(self, asked: Mapping[str, str]) -> Call | str:
        tool = self.tools.get(asked["name"])
        if tool is None:
            return _error(f"there is no function {asked['name']!r}")
        try:
            payload = strictjson.loads((asked["arguments"] or "{}").encode("utf-8", "replace"))
        except errors.Malformed as error:
            return _error(f"the arguments are not JSON: {error.detail}")
        return Call(asked["name"], payload, money.to_cents(tool["budgetCents"]))


def begin(payload: Any, settings: Config) -> Conversation:
    """What a payload asks for: `prompt` or `messages`; any other JSON is the prompt itself.

    Raises `errors.Invalid` for a field that is wrong.
    """
    if not isinstance(payload, Mapping) or not payload.keys() & {"prompt", "messages"}:
        payload = {"prompt": payload if isinstance(payload, str) else strictjson.compact(payload)}
    asked = schemas.load(PAYLOAD, payload)
    most = settings.codex_max_output_tokens
    if not 1 <= asked.get("maxOutputTokens", most) <= most:
        errors.refuse([("maxOutputTokens", f"must lie between 1 and {most}")])
    messages = [dict(message) for message in asked.get("messages", ())]
    if "system" in asked:
        messages.insert(0, {"role": "system", "content": asked["system"]})
    if "prompt" in asked:
        messages.append({"role": "user", "content": asked["prompt"]})
    return Conversation(
        model=asked.get("model", settings.codex_model),
        max_output_tokens=asked.get("maxOutputTokens", most),
        messages=messages,
        tools=asked.get("agents", {}),
    )


def _told(found: Any) -> str:
    if isinstance(found, Failed):
        return _error(found.detail)
    text = strictjson.compact(found)
    return text if len(text) <= LONGEST_RESULT else f"{text[:LONGEST_RESULT]}… (cut off)"


def _error(detail: str) -> str:
    return json.dumps({"error": detail}, ensure_ascii=False)
