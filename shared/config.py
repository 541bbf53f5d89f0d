"""The environment, read once and typed: the only module that looks at it."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from typing import Any

from shared import errors, money
from shared.env import (
    boolean,
    choice,
    lasting,
    names,
    ports,
    positive,
    prices,
    seconds,
    secrets,
    token,
    variable,
    whole,
)


@dataclass(frozen=True, kw_only=True)
class Config:
    """Every variable, with its default; `infra/config.example.env` lists the same."""

    gcp_project: str = variable("zantara-dev", "Google Cloud project id")
    backend: str = variable(
        "auto",
        "embedded (SQLite) or google; auto: google on Cloud Run or beside the emulators' hosts",
        choice("auto", "embedded", "google"),
    )
    embedded_path: str = variable(
        ".zantara/zantara.db",
        "embedded: the database's file; the messages are beside it, as FILE.bus",
    )
    firestore_emulator_host: str = variable("", "host:port of the Firestore emulator")
    pubsub_emulator_host: str = variable("", "host:port of the Pub/Sub emulator")
    firestore_database: str = variable("(default)", "Firestore database id")
    k_service: str = variable("", "set by Cloud Run: the service's name")

    pubsub_topic_id: str = variable("tasks", "topic of the tasks, in GCP_PROJECT")
    pubsub_topic: str = variable("", "its full path (projects/P/topics/T); wins over the id")
    results_topic_id: str = variable("results", "topic of the results, in GCP_PROJECT")
    results_topic: str = variable("", "its full path; wins over the id")
    callbacks_topic_id: str = variable("callbacks", "topic of the callbacks, in GCP_PROJECT")
    callbacks_topic: str = variable("", "its full path; wins over the id")

    pubsub_verify_oidc: bool = variable(
        "false", "verify Google's OIDC token on every push but the results", boolean
    )
    pubsub_audience: str = variable("", "the audience that token must have: the push endpoint")
    results_pubsub_verify_oidc: bool = variable("false", "the same for /pubsub/results", boolean)
    results_pubsub_audience: str = variable("", "the audience of the results' pushes")
    push_service_accounts: tuple[str, ...] = variable(
        "",
        "e-mails that may push, comma-separated; required where pushes are verified",
        names,
    )
    oidc_mode: str = variable(
        "verify",
        "verify: the signature; iam: only the claims, where Cloud Run's IAM has stripped it",
        choice("verify", "iam"),
    )
    oidc_certs_url: str = variable(
        "https://www.googleapis.com/oauth2/v1/certs",
        "where the token's x509 certificates are; another issuer is refused on Cloud Run",
    )

    caller_auth: str = variable(
        "auto",
        "how callers prove who they are: none, iam (Cloud Run's IAM checks their token), or oidc"
        " (the function does); auto: iam on Cloud Run, else none",
        choice("auto", "none", "iam", "oidc"),
    )
    caller_audience: tuple[str, ...] = variable(
        "", "audiences of callers' tokens, comma-separated; required for oidc", names
    )
    callers: tuple[str, ...] = variable(
        "",
        "e-mails that may call, comma-separated; required for oidc; empty: who IAM lets",
        names,
    )
    admins: tuple[str, ...] = variable(
        "", "e-mails that may redrive, change accounts and see every task", names
    )
    orchestrators: tuple[str, ...] = variable(
        "",
        "agents: e-mails that may run a task that exists: the function dispatch's",
        names,
    )

    callback_secrets: tuple[str, ...] = variable(
        "",
        "secrets that sign callbacks (whsec_…), comma-separated; while one is replaced, both",
        secrets,
        secret=True,
    )
    callback_ports: tuple[int, ...] = variable(
        "443,8443", "ports that a callbackUrl may use, comma-separated", ports
    )
    callback_attempts: int = variable(
        "12", "tries of a callback before it is given up", whole(1000)
    )
    callback_timeout_seconds: float = variable(
        "10",
        "how long one delivery of a callback may take altogether, in seconds",
        seconds,
    )

    agents: tuple[str, ...] = variable(
        "light", "names that dispatch accepts, comma-separated", names
    )
    agent_cost_per_run_cents: int | None = variable(
        "",
        "an agent's fixed cost per attempt in cents; overrides the decorator's",
        lambda text: money.from_cents(text) if text else None,
    )
    agent_timeout_seconds: float = variable(
        "60",
        "http mode: how long dispatch waits for an agent's /run, in seconds",
        seconds,
    )
    lease_seconds: float = variable(
        "",
        "how long an attempt owns its task, in seconds; overrides the decorator's",
        lambda text: seconds(text) if text else 0.0,
    )
    max_attempts: int = variable("5", "attempts of a task before it fails", whole(1000))
    publish_grace_seconds: float = variable(
        "30",
        "how long the sweep leaves a queued task to the message under way, in seconds",
        seconds,
    )
    retention_days: int = variable(
        "30",
        "how long an ended task, its idempotency key and a dead letter are kept, in days; at least"
        " 8: until its purse is settled, an account knows from its tasks alone what they cost",
        whole(36_500, least=8),
    )
    require_account: bool = variable("false", "refuse tasks that name no account", boolean)
    purse_seconds: float = variable(
        "60",
        "how long a dispatching process may hand out what an account granted it, in seconds; at"
        " least 1",
        lasting,
    )
    default_ttl_seconds: float = variable(
        "300",
        "deadline of a run that names none (/run and bare payloads), in seconds",
        seconds,
    )
    default_budget_cents: int = variable(
        "100",
        "budget of a run that names none (/run and bare payloads), in cents",
        money.from_cents,
    )
    sharded: bool = variable(
        "false",
        "look for tasks by shard, with the indexes of Terraform's sharding",
        boolean,
    )
    codex_base_url: str = variable(
        "", "agent codex: an OpenAI-compatible endpoint, such as https://api.openai.com/v1"
    )
    codex_api_key: str = variable("", "agent codex: the endpoint's key", token, secret=True)
    codex_model: str = variable("", "agent codex: the model, where a payload names none")
    codex_prices: Mapping[str, tuple[int, ...]] = variable(
        "",
        "agent codex: MODEL=INPUT/OUTPUT[/CACHED], comma-separated, in micros (1 cent = 10,000)"
        " per million tokens; a model without a price is refused",
        prices,
    )
    codex_max_output_tokens: int = variable(
        "4096", "agent codex: tokens that one answer may have at the most", positive
    )
    codex_output_limit: str = variable(
        "max_completion_tokens",
        "agent codex: the name under which the endpoint takes that limit",
        choice("max_completion_tokens", "max_tokens"),
    )
    codex_timeout_seconds: float = variable(
        "120", "agent codex: how long one answer may take, in seconds", seconds
    )
    console_read_only: bool = variable("false", "console: show all, change nothing", boolean)
    log_level: str = variable(
        "INFO",
        "the lowest severity that is logged",
        choice("DEBUG", "INFO", "WARNING", "ERROR"),
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
    for each in fields(Config):
        parse, text = each.metadata.get("parse"), environ.get(each.name.upper())
        if parse and text:
            try:
                values[each.name] = parse(text)
            except ValueError as error:
                raise errors.Misconfigured(f"{each.name.upper()}: {error}") from None
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
