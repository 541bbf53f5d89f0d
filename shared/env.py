"""Variables: how the text of one becomes a value. What cannot raises ValueError with the mend."""

from __future__ import annotations

import base64
from collections.abc import Callable
from contextlib import suppress
from dataclasses import field
from typing import Any


def boolean(text: str) -> bool:
    """true or false."""
    if text.lower() not in ("true", "false", "1", "0"):
        raise ValueError("must be true or false")
    return text.lower() in ("true", "1")


def names(text: str) -> tuple[str, ...]:
    """Names, comma-separated."""
    return tuple(name.strip() for name in text.split(",") if name.strip())


def choice(*choices: str) -> Callable[[str], str]:
    """One of these."""

    def parse(text: str) -> str:
        if text not in choices:
            raise ValueError(f"must be one of {', '.join(choices)}")
        return text

    return parse


def ports(text: str) -> tuple[int, ...]:
    """Port numbers, comma-separated."""
    found = tuple(int(port) for port in names(text))
    if not found or not all(0 < port < 65536 for port in found):
        raise ValueError("must be port numbers, comma-separated")
    return found


def prices(text: str) -> dict[str, tuple[int, ...]]:
    """Prices by model: `MODEL=INPUT/OUTPUT[/CACHED]`, comma-separated."""
    found: dict[str, tuple[int, ...]] = {}
    for entry in names(text):
        model, separator, price = entry.rpartition("=")
        micros = tuple(int(part) for part in price.split("/") if part.isdecimal())
        if not separator or len(micros) not in (2, 3) or len(micros) != price.count("/") + 1:
            raise ValueError(f"{entry!r}: must be MODEL=INPUT/OUTPUT or MODEL=INPUT/OUTPUT/CACHED")
        found[model] = micros
    return found


def positive(text: str) -> int:
    """A whole number, 1 or more."""
    if not text.isdecimal() or not int(text):
        raise ValueError("must be a whole number, 1 or more")
    return int(text)


def secrets(text: str) -> tuple[str, ...]:
    """Secrets of Standard Webhooks, comma-separated."""
    for secret in names(text):
        try:
            key = base64.b64decode(secret.removeprefix("whsec_"), validate=True)
        except ValueError:
            key = b""
        if not secret.startswith("whsec_") or not 24 <= len(key) <= 64:
            raise ValueError("must be whsec_ and the base64 of 24 to 64 random bytes")
    return names(text)


def token(text: str) -> str:
    """A key that goes into a header; what a file or a shell put around it is left out."""
    found = text.strip()
    if not (found.isascii() and found.isprintable()) or " " in found:
        raise ValueError("must be printable ASCII without spaces")  # never repeats the key
    return found


def seconds(text: str) -> float:
    """A number of seconds, 0 or more."""
    with suppress(ValueError):
        if 0 <= float(text) < float("inf"):
            return float(text)
    raise ValueError("must be a number of seconds, 0 or more")


def lasting(text: str) -> float:
    """A number of seconds, 1 or more."""
    if seconds(text) < 1:
        raise ValueError("must be a number of seconds, 1 or more")
    return seconds(text)


def whole(most: int, least: int = 1) -> Callable[[str], int]:
    """A whole number between `least` and `most`."""

    def parse(text: str) -> int:
        if not text.isdecimal() or not least <= int(text) <= most:
            raise ValueError(f"must be an integer between {least} and {most}")
        return int(text)

    return parse


def variable(
    default: str, about: str, parse: Callable[[str], Any] = str, *, secret: bool = False
) -> Any:
    """A field that is read from the variable of its own name, in capitals."""
    metadata = {"default": default, "about": about, "parse": parse}
    value = parse(default)
    if isinstance(value, dict):  # which a dataclass takes only from a factory
        return field(default_factory=value.copy, metadata=metadata, repr=not secret)
    return field(default=value, metadata=metadata, repr=not secret)
