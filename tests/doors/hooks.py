"""What no schema can say: times are to come, names resolve, a key means one request.

Schemathesis loads this. A value that the schema allows is made to mean something here; one that it
forbids is sent as it is.
"""

from __future__ import annotations

import os
import re
import time
import uuid
from typing import Any

import schemathesis

from shared import fields, schemas

KEY = r"[^\x00-\x1f\x7f]{1,255}"


@schemathesis.hook
def before_call(context: Any, case: Any, kwargs: Any) -> None:
    """Changes a request just before it is sent, in whatever phase."""
    if isinstance(case.body, dict):
        case.body = {name: _meant(name, value) for name, value in case.body.items()}
    headers = case.headers or {}
    if re.fullmatch(schemas.HEADER, headers.get("Idempotency-Key") or ""):
        headers["Idempotency-Key"] = _unique(headers["Idempotency-Key"])


def _meant(name: str, value: Any) -> Any:
    number = isinstance(value, int | float) and not isinstance(value, bool)
    if name == "ttl" and number and 0 <= value < fields.MILLISECONDS:
        return int(time.time()) + 60 + value % 1000
    if name in ("budgetCents", "limitCents") and number and 0 <= value <= 10**9:
        return round(value, 4)  # multipleOf is true of decimals, not of floats
    if name == "idempotencyKey" and isinstance(value, str) and re.fullmatch(KEY, value):
        return _unique(value)
    if name == "callbackUrl" and isinstance(value, str) and re.fullmatch(schemas.URL, value):
        return "http://127.0.0.1:9/"
    return value


def _unique(key: str) -> str:
    return f"{key}{uuid.uuid4().hex}"[-255:]


@schemathesis.auth()
class Bearer:
    """The token of an admin, as the run was given it."""

    def get(self, case: Any, context: Any) -> str:
        return os.environ["CALLER_TOKEN"]

    def set(self, case: Any, data: str, context: Any) -> None:
        case.headers = {**(case.headers or {}), "Authorization": f"Bearer {data}"}
