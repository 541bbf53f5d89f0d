"""The OpenAPI document: what can be asked, what is answered, and everything that can go wrong."""

from __future__ import annotations

import functools
import importlib
import pkgutil
from collections.abc import Iterator, Mapping
from typing import Any

from apispec import APISpec
from apispec.ext.marshmallow import MarshmallowPlugin

import shared
from shared import answers, config, errors, examples, operations, schemas

# What a task may fail of; an agent's own code may add codes of its own.
FAULTS: Mapping[str, str] = {
    "agent_error": "the agent's code raised an exception, at every attempt",
    "agent_failed": "the agent said that the task cannot succeed",
    "attempts_exhausted": "no attempt finished",
    "budget_exceeded": "the next charge does not fit the budget, or the account has no money left",
    "dead_letter": "its message could not be delivered",
    "expired": "the deadline passed",
    "lease_lapsed": "the last attempt did not finish within its lease",
    "result_invalid": "the agent's result is not JSON",
    "result_too_large": "the agent's result is too large",
}
ABOUT = """A serverless orchestrator for AI agents whose budget cannot be overspent.

Money is in cents, with at most 4 decimals; times are RFC 3339 in UTC, a `ttl` is in Unix seconds.
Errors are `application/problem+json` (RFC 9457), each with one of these codes:

| code | status | meaning | worth a retry |
|---|---|---|---|
{errors}

A task that fails says why in `error.code`: one of those above, one of the agent's own, or

| code | meaning |
|---|---|
{faults}
"""
ANSWERS = (
    *(answers.Fault, answers.Event, answers.Callback, answers.Step, answers.Task, answers.Tasks),
    *(answers.Account, answers.Health, answers.Problem, answers.Webhook),
)
ORDERS = {
    "Dispatch": schemas.Dispatch,
    "Redrive": schemas.Redrive,
    "Run": schemas.Run,
    "AccountLimit": schemas.Account,
}
BEARER = {
    "type": "http",
    "scheme": "bearer",
    "bearerFormat": "JWT",
    "description": "a Google-signed ID token of a caller",
}


def document(settings: config.Config) -> dict[str, Any]:
    """The document of an orchestrator with this configuration."""
    plugin = MarshmallowPlugin(schema_name_resolver=lambda schema: schema.__name__)
    spec = APISpec(
        title="Zantara",
        version="1.0.0",
        openapi_version="3.1.0",
        info={"description": _about(), "license": {"name": "Apache-2.0"}},
        plugins=[plugin],
    )
    _describe(plugin)
    for schema in ANSWERS:
        spec.components.schema(schema.__name__, schema=schema)
    for name, order in ORDERS.items():
        spec.components.schema(name, schema=order)
    if settings.caller_mode != "none":
        spec.components.security_scheme("bearer", BEARER)
        spec.options["security"] = [{"bearer": []}]
    for path, each in operations.paths().items():
        spec.path(path, operations=each)
    told = {"post": operations.webhook()}
    plugin.operation_helper(operations=told)
    spec.options["webhooks"] = {"taskEnded": told}
    return _refined(spec.to_dict(), settings)


def _refined(made: dict[str, Any], settings: config.Config) -> dict[str, Any]:
    """What the schemas cannot say of a field by itself."""
    known = made["components"]["schemas"]
    order = known["Dispatch"]
    order["properties"]["agent"] = {"type": "string", "enum": list(settings.agents)}
    order["oneOf"] = [{"required": ["ttl"]}, {"required": ["ttlSeconds"]}]
    for name in ("Redrive", "Run"):
        known[name]["not"] = {"required": ["ttl", "ttlSeconds"]}
    for name, example in examples.EXAMPLES.items():
        known[name]["examples"] = [example]
    known["Problem"]["properties"]["code"]["enum"] = list(codes())
    return made


@functools.cache
def codes() -> Mapping[str, type[errors.Error]]:
    """Every code of an error, by its status, with the first error that has it."""
    for module in pkgutil.iter_modules(shared.__path__, "shared."):
        importlib.import_module(module.name)
    found: dict[str, type[errors.Error]] = {}
    for error in sorted(_family(errors.Error), key=lambda error: (error.status, error.code)):
        if "code" in vars(error):
            found.setdefault(error.code, error)
    return found


def _family(error: type[errors.Error]) -> Iterator[type[errors.Error]]:
    yield error
    for child in error.__subclasses__():
        yield from _family(child)


def _about() -> str:
    rows = (
        f"| `{code}` | {error.status} | {_meaning(error)} | {'yes' if error.retryable else 'no'} |"
        for code, error in codes().items()
    )
    faults = (f"| `{code}` | {about} |" for code, about in FAULTS.items())
    return ABOUT.format(errors="\n".join(rows), faults="\n".join(faults))


def _meaning(error: type[errors.Error]) -> str:
    return (error.__doc__ or "").strip().splitlines()[0].rstrip(".")


def _describe(plugin: MarshmallowPlugin) -> None:
    """Lets our own fields describe themselves: their validators speak Python's regex."""
    converter = plugin.converter
    assert converter is not None  # noqa: S101 - there once a spec was made with the plugin
    for function in (converter.field2pattern, converter.field2length, converter.field2range):
        converter.attribute_functions.remove(function)

    def described(_: Any, field: Any, **__: Any) -> dict[str, Any]:
        about = dict(getattr(field, "described", {}))
        if "type" in about and field.allow_none:
            about["type"] = [about["type"], "null"]
        return about

    converter.add_attribute_function(described)  # type: ignore[no-untyped-call]
