"""The environment, read once and typed: the only module that looks at it."""

from __future__ import annotations

import base64
import os
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, fields, replace
from typing import Any

from shared import errors, money


def _boolean(text: str) -> bool:
    if text.lower() not in ("true", "false", "1", "0"):
        raise ValueError("must be true or false")
    return text.lower() in ("true", "1")


def _names(text: str) -> tuple[str, ...]:
    return tuple(name.strip() for name in text.split(",") if name.strip())


def _choice(*choices: str) -> Callable[[str], str]:
    def parse(text: str) -> str:
        if text not in choices:
            raise ValueError(f"must be one of {', '.join(choices)}")
        return text

    return parse


def _ports(text: str) -> tuple[int, ...]:
    ports = tuple(int(port) for port in _names(text))
    if not ports or not all(0 < port < 65536 for port in ports):
        raise ValueError("must be port numbers, comma-separated")
    return ports


def _prices(text: str) -> dict[str, tuple[int, ...]]:
    prices: dict[str, tuple[int, ...]] = {}
    for entry in _names(text):
        model, separator, price = entry.rpartition("=")
        micros = tuple(int(part) for part in price.split("/") if part.isdecimal())
        if not separator or len(micros) not in (2, 3) or len(micros) != price.count("/") + 1:
            raise ValueError(f"{entry!r}: must be MODEL=INPUT/OUTPUT or MODEL=INPUT/OUTPUT/CACHED")
        prices[model] = micros
    return prices


def _positive(text: str) -> int:
    if not text.isdecimal() or not int(text):
        raise ValueError("must be a whole number, 1 or more")
    return int(text)


def _secrets(text: str) -> tuple[str, ...]:
    for secret in _names(text):
        try:
            key = base64.b64decode(secret.removeprefix("whsec_"), validate=True)
        except ValueError:
            key = b""
        if not secret.startswith("whsec_") or not 24 <= len(key) <= 64:
            raise ValueError("must be whsec_ and the base64 of 24 to 64 random bytes")
    return _names(text)


def _seconds(text: str) -> float:
    with suppress(ValueError):
        if 0 <= float(text) < float("inf"):
            return float(text)
    raise ValueError("must be a number of seconds, 0 or more")


def _whole(most: int) -> Callable[[str], int]:
    def parse(text: str) -> int:
        if not text.isdecimal() or not 1 <= int(text) <= most:
            raise ValueError(f"must be an integer between 1 and {most}")
        return int(text)

    return parse


def _variable(
    default: str, about: str, parse: Callable[[str], Any] = str, *, secret: bool = False
) -> Any:
    """A field that is read from the variable of its own name, in capitals."""
    metadata = {"default": default, "about": about, "parse": parse}
    value = parse(default)
    if isinstance(value, dict):  # which a dataclass takes only from a factory
        return field(default_factory=value.copy, metadata=metadata, repr=not secret)
    return field(default=value, metadata=metadata, repr=not secret)


@dataclass(frozen=True, kw_only=True)
class Config:
    """Every variable, with its default; `infra/config.example.env` lists the same."""

    gcp_project: str = _variable("zantara-dev", "Google Cloud project id")
    backend: str = _variable(
        "auto",
        "embedded (SQLite) or google; auto: google on Cloud Run or beside the emulators' hosts",
        _choice("auto", "embedded", "google"),
    )
    embedded_path: str = _variable(".zantara/zantara.db", "embedded: the database's file")
    firestore_emulator_host: str = _variable("", "host:port of the Firestore emulator")
    pubsub_emulator_host: str = _variable("", "host:port of the Pub/Sub emulator")
    firestore_database: str = _variable("(default)", "Firestore database id")
    k_service: str = _variable("", "set by Cloud Run: the service's name")

    pubsub_topic_id: str = _variable("tasks", "topic of the tasks, in GCP_PROJECT")
    pubsub_topic: str = _variable("", "its full path (projects/P/topics/T); wins over the id")
    results_topic_id: str = _variable("results", "topic of the results, in GCP_PROJECT")
    results_topic: str = _variable("", "its full path; wins over the id")
    callbacks_topic_id: str = _variable("callbacks", "topic of the callbacks, in GCP_PROJECT")
    callbacks_topic: str = _variable("", "its full path; wins over the id")

    pubsub_verify_oidc: bool = _variable(
        "false", "verify Google's OIDC token on every push but the results", _boolean
    )
    pubsub_audience: str = _variable("", "the audience that token must have: the push endpoint")
    results_pubsub_verify_oidc: bool = _variable("false", "the same for /pubsub/results", _boolean)
    results_pubsub_audience: str = _variable("", "the audience of the results' pushes")
    push_service_accounts: tuple[str, ...] = _variable(
        "", "e-mails that may push, comma-separated; required where pushes are verified", _names
    )
    oidc_mode: str = _variable(
        "verify",
        "verify: the signature; iam: only the claims, where Cloud Run's IAM has stripped it",
        _choice("verify", "iam"),
    )
    oidc_certs_url: str = _variable(
        "https://www.googleapis.com/oauth2/v1/certs",
        "where the token's x509 certificates are; another issuer is refused on Cloud Run",
    )

    caller_auth: str = _variable(
        "auto",
        "how callers prove who they are: none, iam (Cloud Run's IAM checks their token), or oidc"
        " (the function does); auto: iam on Cloud Run, else none",
        _choice("auto", "none", "iam", "oidc"),
    )
    caller_audience: tuple[str, ...] = _variable(
        "", "audiences of callers' tokens, comma-separated; required for oidc", _names
    )
    callers: tuple[str, ...] = _variable(
        "", "e-mails that may call, comma-separated; required for oidc; empty: who IAM lets", _names
    )
    admins: tuple[str, ...] = _variable(
        "", "e-mails that may redrive, change accounts and see every task", _names
    )
    orchestrators: tuple[str, ...] = _variable(
        "", "agents: e-mails that may run a task that exists: the function dispatch's", _names
    )

    callback_secrets: tuple[str, ...] = _variable(
        "",
        "secrets that sign callbacks (whsec_…), comma-separated; while one is replaced, both",
        _secrets,
        secret=True,
    )
    callback_ports: tuple[int, ...] = _variable(
        "443,8443", "ports that a callbackUrl may use, comma-separated", _ports
    )
    callback_attempts: int = _variable(
        "12", "tries of a callback before it is given up", _whole(1000)
    )
    callback_timeout_seconds: float = _variable(
        "10", "how long one delivery of a callback may take altogether, in seconds", _seconds
    )

    agents: tuple[str, ...] = _variable(
        "light", "names that dispatch accepts, comma-separated", _names
    )
    agent_cost_per_run_cents: int | None = _variable(
        "",
        "an agent's fixed cost per attempt in cents; overrides the decorator's",
        lambda text: money.from_cents(text) if text else None,
    )
    agent_timeout_seconds: float = _variable(
        "60", "http mode: how long dispatch waits for an agent's /run, in seconds", _seconds
    )
    lease_seconds: float = _variable(
        "",
        "how long an attempt owns its task, in seconds; overrides the decorator's",
        lambda text: _seconds(text) if text else 0.0,
    )
    max_attempts: int = _variable("5", "attempts of a task before it fails", _whole(1000))
    publish_grace_seconds: float = _variable(
        "30",
        "how long the sweep leaves a queued task to the message under way, in seconds",
        _seconds,
    )
    retention_days: int = _variable(
        "30",
        "how long an ended task, its idempotency key and a dead letter are kept, in days",
        _whole(36_500),
    )
    require_account: bool = _variable("false", "refuse tasks that name no account", _boolean)
    purse_seconds: float = _variable(
        "60",
        "how long a dispatching process may hand out what an account granted it, in seconds",
        _seconds,
    )
    default_ttl_seconds: float = _variable(
        "300", "deadline of a run that names none (/run and bare payloads), in seconds", _seconds
    )
    default_budget_cents: int = _variable(
        "100",
        "budget of a run that names none (/run and bare payloads), in cents",
        money.from_cents,
    )
    sharded: bool = _variable(
        "false", "look for tasks by shard, with the indexes of Terraform's sharding", _boolean
    )
    codex_base_url: str = _variable(
        "", "agent codex: an OpenAI-compatible endpoint, such as https://api.openai.com/v1"
    )
    codex_api_key: str = _variable("", "agent codex: the endpoint's key", secret=True)
    codex_model: str = _variable("", "agent codex: the model, where a payload names none")
    codex_prices: Mapping[str, tuple[int, ...]] = _variable(
        "",
        "agent codex: MODEL=INPUT/OUTPUT[/CACHED], comma-separated, in micros (1 cent = 10,000)"
        " per million tokens; a model without a price is refused",
        _prices,
    )
    codex_max_output_tokens: int = _variable(
        "4096", "agent codex: tokens that one answer may have at the most", _positive
    )
    codex_output_limit: str = _variable(
        "max_completion_tokens",
        "agent codex: the name under which the endpoint takes that limit",
        _choice("max_completion_tokens", "max_tokens"),
    )
    codex_timeout_seconds: float = _variable(
        "120", "agent codex: how long one answer may take, in seconds", _seconds
    )
    console_read_only: bool = _variable("false", "console: show all, change nothing", _boolean)
    log_level: str = _variable(
        "INFO", "the lowest severity that is logged", _choice("DEBUG", "INFO", "WARNING", "ERROR")
    )
    agent_urls: Mapping[str, str] = field(
        default_factory=dict,
        metadata={"about": "AGENT_<NAME>_URL: where http mode finds the agent of that name"},
    )

    @property
    def local(self) -> bool:
        """Not on Cloud Run: on a developer's machine, or in a test."""
        return not self.k_service

    @property
    def caller_mode(self) -> str:
        """CALLER_AUTH, with `auto` made out: `none`, `iam` or `oidc`."""
        if self.caller_auth != "auto":
            return self.caller_auth
        return "none" if self.local else "iam"

    def topic(self, hop: str) -> str:
        """The full path of the topic `tasks`, `results` or `callbacks`."""
        prefix = "pubsub" if hop == "tasks" else hop
        path: str = getattr(self, f"{prefix}_topic")
        return path or f"projects/{self.gcp_project}/topics/{getattr(self, f'{prefix}_topic_id')}"

    def push_audience(self, function: str) -> str:
        """The audience that a push to this function must prove; empty where none is verified."""
        if function == "results":
            return self.results_pubsub_audience if self.results_pubsub_verify_oidc else ""
        return self.pubsub_audience if self.pubsub_verify_oidc else ""

    def agent_url(self, agent: str) -> str:
        """The base URL of an agent for http mode; raises `errors.Misconfigured` without one."""
        url = self.agent_urls.get(agent)
        if not url:
            raise errors.Misconfigured(
                f"set AGENT_{agent.upper().replace('-', '_')}_URL for http mode"
            )
        return url.rstrip("/")


def load(environ: Mapping[str, str] = os.environ) -> Config:
    """The configuration; an empty variable counts as unset.

    Raises `errors.Misconfigured`, which names the variable and the mend.
    """
    values: dict[str, Any] = {}
    for variable in fields(Config):
        parse, text = variable.metadata.get("parse"), environ.get(variable.name.upper())
        if parse and text:
            try:
                values[variable.name] = parse(text)
            except ValueError as error:
                raise errors.Misconfigured(f"{variable.name.upper()}: {error}") from None
    values["agent_urls"] = {
        name[len("AGENT_") : -len("_URL")].lower().replace("_", "-"): url
        for name, url in environ.items()
        if name.startswith("AGENT_") and name.endswith("_URL") and name != "AGENT_PUSH_URL"
    }
    return _checked(Config(**values))


def _checked(config: Config) -> Config:
    if config.backend == "auto":
        emulators = config.firestore_emulator_host or config.pubsub_emulator_host
        chosen = "google" if config.k_service or emulators else "embedded"
        config = replace(config, backend=chosen)
    if config.caller_auth == "oidc" and not (config.caller_audience and config.callers):
        raise errors.Misconfigured(
            "CALLER_AUDIENCE, CALLERS: required where CALLER_AUTH is oidc, which Google itself"
            " would let anybody pass"
        )
    if bool(config.firestore_emulator_host) != bool(config.pubsub_emulator_host):
        raise errors.Misconfigured(
            "FIRESTORE_EMULATOR_HOST and PUBSUB_EMULATOR_HOST: set both, or neither"
        )
    for switch, audience in (
        ("pubsub_verify_oidc", "pubsub_audience"),
        ("results_pubsub_verify_oidc", "results_pubsub_audience"),
    ):
        if getattr(config, switch) and not getattr(config, audience):
            raise errors.Misconfigured(
                f"{audience.upper()}: required where {switch.upper()} is true"
            )
        if getattr(config, switch) and not config.push_service_accounts:
            raise errors.Misconfigured(
                f"PUSH_SERVICE_ACCOUNTS: required where {switch.upper()} is true"
            )
    if config.k_service and config.oidc_certs_url != Config.oidc_certs_url:
        raise errors.Misconfigured("OIDC_CERTS_URL: only for local use, refused on Cloud Run")
    return config
