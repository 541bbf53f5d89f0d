"""The configuration: every variable has a default and a meaning; what is wrong names itself."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest

from shared import config, errors, limits

VARIABLES = {
    each.name.upper(): each for each in fields(config.Config) if "default" in each.metadata
}


def test_an_empty_environment_is_a_laptop() -> None:
    settings = config.load({})
    assert (settings.backend, settings.local, settings.gcp_project) == (
        "embedded",
        True,
        "zantara-dev",
    )
    assert settings.agents == ("light",)
    assert settings.max_attempts == 5


@pytest.mark.parametrize("name", VARIABLES)
def test_every_variable_says_what_it_is_and_an_empty_one_counts_as_unset(name: str) -> None:
    assert VARIABLES[name].metadata["about"]
    assert config.load({name: ""}) == config.load({})


@pytest.mark.parametrize("name", VARIABLES)
def test_every_default_could_have_been_given(name: str) -> None:
    default = VARIABLES[name].metadata["default"]
    assert getattr(config.load({name: default}), name.lower()) == getattr(
        config.load({}), name.lower()
    )


def test_a_new_variable_of_the_example_is_read(tmp_path: Path) -> None:
    """The example itself is held equal to the configuration beside Terraform's tests."""
    example = Path(__file__).parents[2] / "infra" / "config.example.env"
    lines = [line for line in example.read_text().splitlines() if line and line[0] != "#"]
    given = dict(line.split("=", 1) for line in lines)
    assert config.load(given).agent_url("light") == given["AGENT_LIGHT_URL"]


def test_an_ended_task_outlives_every_task_that_may_share_its_purse() -> None:
    """Else the purse would be settled without it, and its account be spent anew."""
    assert config.load({"RETENTION_DAYS": "8"}).retention_days * 86_400 > limits.TTL + 3600


BAD: dict[str, tuple[str, str]] = {
    "BACKEND": ("sqlite", "one of auto, embedded, google"),
    "PUBSUB_VERIFY_OIDC": ("yes", "true or false"),
    "RESULTS_PUBSUB_VERIFY_OIDC": ("2", "true or false"),
    "OIDC_MODE": ("off", "one of verify, iam"),
    "AGENT_COST_PER_RUN_CENTS": ("-1", "between 0 and"),
    "AGENT_TIMEOUT_SECONDS": ("-1", "0 or more"),
    "LEASE_SECONDS": ("soon", "a number of seconds"),
    "MAX_ATTEMPTS": ("0", "between 1 and 1000"),
    "RETENTION_DAYS": ("7", "between 8 and"),
    "CALLBACK_ATTEMPTS": ("many", "an integer"),
    "PUBLISH_GRACE_SECONDS": ("inf", "0 or more"),
    "PURSE_SECONDS": ("0.5", "1 or more"),
    "DEFAULT_TTL_SECONDS": ("1 minute", "a number of seconds"),
    "DEFAULT_BUDGET_CENTS": ("0.00001", "4 decimals"),
    "LOG_LEVEL": ("debug", "DEBUG"),
}


@pytest.mark.parametrize("name", BAD)
def test_a_bad_value_names_its_variable_and_the_mend(name: str) -> None:
    value, mend = BAD[name]
    with pytest.raises(errors.Misconfigured) as caught:
        config.load({name: value})
    assert caught.value.detail.startswith(f"{name}: ")
    assert mend in caught.value.detail


TOGETHER: dict[str, tuple[dict[str, str], str]] = {
    "one emulator": ({"PUBSUB_EMULATOR_HOST": "localhost:8082"}, "set both"),
    "the other": ({"FIRESTORE_EMULATOR_HOST": "localhost:8083"}, "set both"),
    "no audience": ({"PUBSUB_VERIFY_OIDC": "true"}, "PUBSUB_AUDIENCE"),
    "no audience of results": ({"RESULTS_PUBSUB_VERIFY_OIDC": "1"}, "RESULTS_PUBSUB_AUDIENCE"),
    "nobody who may push": (
        {"PUBSUB_VERIFY_OIDC": "true", "PUBSUB_AUDIENCE": "https://a"},
        "PUSH_SERVICE_ACCOUNTS",
    ),
    "an issuer of its own in the cloud": (
        {"K_SERVICE": "dispatch", "OIDC_CERTS_URL": "http://localhost/certs"},
        "OIDC_CERTS_URL",
    ),
    "anybody may call": ({"CALLER_AUTH": "oidc"}, "CALLER_AUDIENCE"),
}


@pytest.mark.parametrize(("environ", "named"), TOGETHER.values(), ids=TOGETHER)
def test_what_does_not_go_together_is_refused(environ: dict[str, str], named: str) -> None:
    with pytest.raises(errors.Misconfigured, match=named):
        config.load(environ)


EMULATORS = {"FIRESTORE_EMULATOR_HOST": "h:1", "PUBSUB_EMULATOR_HOST": "h:2"}


@pytest.mark.parametrize(
    ("environ", "backend"),
    [
        ({}, "embedded"),
        ({"K_SERVICE": "dispatch"}, "google"),
        (EMULATORS, "google"),
        ({**EMULATORS, "BACKEND": "embedded"}, "embedded"),
        ({"BACKEND": "google"}, "google"),
    ],
)
def test_the_backend_follows_from_the_place(environ: dict[str, str], backend: str) -> None:
    assert config.load(environ).backend == backend


@pytest.mark.parametrize("text", ["true", "TRUE", "1", "false", "0", "False"])
def test_a_switch_is_true_or_false(text: str) -> None:
    settings = config.load({"REQUIRE_ACCOUNT": text})
    assert settings.require_account == (text.lower() in ("true", "1"))


@pytest.mark.parametrize(("hop", "prefix"), [("tasks", "PUBSUB"), ("results", "RESULTS")])
def test_a_topic_is_named_by_its_id_or_its_full_path(hop: str, prefix: str) -> None:
    project = {"GCP_PROJECT": "p"}
    assert config.load(project).topic(hop) == f"projects/p/topics/{hop}"
    assert config.load({**project, f"{prefix}_TOPIC_ID": "x"}).topic(hop) == "projects/p/topics/x"
    full = {f"{prefix}_TOPIC_ID": "x", f"{prefix}_TOPIC": "projects/q/topics/y"}
    assert config.load({**project, **full}).topic(hop) == "projects/q/topics/y"


def test_pushes_are_verified_where_they_are_told_to_be() -> None:
    named = {"PUBSUB_AUDIENCE": "a", "RESULTS_PUBSUB_AUDIENCE": "r", "PUSH_SERVICE_ACCOUNTS": "x@y"}
    assert config.load(named).push_audience("agent_light") == ""
    tasks = config.load({**named, "PUBSUB_VERIFY_OIDC": "true"})
    assert (tasks.push_audience("agent_light"), tasks.push_audience("results")) == ("a", "")
    results = config.load({**named, "RESULTS_PUBSUB_VERIFY_OIDC": "true"})
    assert (results.push_audience("sweep"), results.push_audience("results")) == ("", "r")


def test_lists_are_comma_separated() -> None:
    assert config.load({"AGENTS": " light, code-x ,,"}).agents == ("light", "code-x")


def test_the_url_of_each_agent_has_a_variable() -> None:
    settings = config.load(
        {
            "AGENT_LIGHT_URL": "http://l/",
            "AGENT_CODE_X_URL": "http://c",
            "AGENT_PUSH_URL": "http://p",
        }
    )
    assert settings.agent_url("light") == "http://l"
    assert settings.agent_url("code-x") == "http://c"
    with pytest.raises(errors.Misconfigured, match="AGENT_OTHER_ONE_URL"):
        settings.agent_url("other-one")
    assert "push" not in settings.agent_urls


def test_a_key_is_taken_without_the_line_break_that_a_secret_s_file_ends_with() -> None:
    assert config.load({"CODEX_API_KEY": " sk-1\n"}).codex_api_key == "sk-1"


@pytest.mark.parametrize("key", ["sk-\nsecret", "sk-sécret", "sk- secret"])
def test_a_key_that_no_header_can_carry_is_refused_and_not_repeated(key: str) -> None:
    with pytest.raises(errors.Misconfigured, match="CODEX_API_KEY") as refused:
        config.load({"CODEX_API_KEY": key})
    assert key not in refused.value.detail
    assert "cret" not in refused.value.detail


def test_a_secret_is_not_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    secret = "whsec_" + "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
    settings: Any = config.load({"CALLBACK_SECRETS": secret})
    assert settings.callback_secrets == (secret,)
    assert secret not in repr(settings)


def test_a_deadline_and_a_budget_by_default_have_units() -> None:
    settings = config.load({"DEFAULT_TTL_SECONDS": "1.5", "DEFAULT_BUDGET_CENTS": "2.5"})
    assert (settings.default_ttl_seconds, settings.default_budget_cents) == (1.5, 25_000)
