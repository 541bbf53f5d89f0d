"""Terraform describes what the code expects: the hops, the environment, nothing unformatted."""

from __future__ import annotations

import dataclasses
import json
import re
from typing import Any
from urllib.parse import urlsplit

import pytest

from emulators import bridge, gateway, topology
from shared import config
from tests.bench import limits
from tests.infra.conftest import NUMBER, ROOT, VARIABLES, Terraform, resources

PLATFORM = {"THREADS"}  # what functions-framework reads, not we


class Asked(dict[str, str]):
    """An environment that has nothing, and remembers what it was asked for."""

    def get(self, name: str, default: Any = None) -> Any:
        self[name] = ""
        return default


def test_it_is_formatted_and_valid(terraform: Terraform) -> None:
    assert terraform.run("fmt", "-check", "-recursive") == ""
    terraform.run("validate", "-no-color")


@pytest.mark.slow
def test_its_own_tests_pass(terraform: Terraform) -> None:
    assert "0 failed" in terraform.run("test", "-no-color")


def test_every_variable_and_output_is_described(terraform: Terraform) -> None:
    for file, block in (("variables.tf", "variable"), ("outputs.tf", "output")):
        text = (terraform.folder / file).read_text()
        blocks = text.split(f'\n{block} "')[1:]
        names = [each.partition('"')[0] for each in blocks]
        assert names == sorted(names)
        for name, each in zip(names, blocks, strict=True):
            assert "description = " in each.replace("  ", " "), name


def test_the_hops_are_those_of_the_local_topology(plan: dict[str, Any]) -> None:
    assert set(resources(plan, "google_pubsub_topic")) == set(topology.TOPICS)
    pushes = resources(plan, "google_pubsub_subscription")
    del pushes["dead_archive"]
    assert set(pushes) == {hop.name for hop in topology.subscriptions()}
    for hop in topology.subscriptions():
        planned = pushes[hop.name]
        [push], [retry] = planned["push_config"], planned["retry_policy"]
        endpoint = urlsplit(push["push_endpoint"])
        service = hop.function.replace("_", "-")
        region = VARIABLES["region"]
        assert planned["topic"] == hop.topic
        assert endpoint.netloc == f"{service}-{NUMBER}.{region}.run.app"
        assert endpoint.path == hop.path
        assert planned["filter"] == hop.filter
        assert planned["ack_deadline_seconds"] == hop.ack_deadline_seconds
        assert retry["minimum_backoff"] == f"{hop.minimum_backoff_seconds}s"
        assert retry["maximum_backoff"] == f"{hop.maximum_backoff_seconds}s"
        attempts = [dead["max_delivery_attempts"] for dead in planned["dead_letter_policy"]]
        assert attempts == ([hop.max_delivery_attempts] if hop.max_delivery_attempts else [])


def test_the_functions_are_the_folders(outputs: dict[str, Any]) -> None:
    assert set(outputs["functions"]) == set(topology.functions())
    assert tuple(outputs["agents"]) == topology.agents()


@pytest.mark.parametrize("target", topology.functions())
def test_the_environment_of_a_function_is_what_config_reads(
    target: str, outputs: dict[str, Any], plan: dict[str, Any]
) -> None:
    function = outputs["functions"][target]
    environment: dict[str, str] = function["environment"]
    environment |= dict.fromkeys(function["secrets"], "")
    known = {name.upper() for name in config.Config.__dataclass_fields__} | PLATFORM
    agents = {name for name in environment if name.startswith("AGENT_") and name.endswith("_URL")}
    assert set(environment) - agents <= known
    read = config.load({**environment, "K_SERVICE": function["service"]})
    assert read.backend == "google"
    assert read.gcp_project == VARIABLES["project_id"]
    topics = resources(plan, "google_pubsub_topic")
    for hop in ("tasks", "results", "callbacks"):
        assert read.topic(hop) == f"projects/{read.gcp_project}/topics/{topics[hop]['name']}"
    assert int(environment["THREADS"]) == function["concurrency"]


def test_the_example_lists_every_variable_with_its_default_and_unit() -> None:
    lines = (ROOT / "infra/config.example.env").read_text().splitlines()
    given = [line.partition("=") for line in lines if line and not line.startswith("#")]
    about = dict(zip([name for name, _, _ in given], lines[3::3], strict=True))
    variables = {
        each.name.upper(): each.metadata
        for each in dataclasses.fields(config.Config)
        if "default" in each.metadata
    }
    assert {name: value for name, _, value in given if name in variables} == {
        name: metadata["default"] for name, metadata in variables.items()
    }
    for name, metadata in variables.items():
        assert about[name] == f"# {metadata['about']}"
    beside = {name: value for name, _, value in given if name not in variables}
    assert beside.pop("AGENT_LIGHT_URL")
    asked = Asked()
    bridge.hops(config.load({}), asked)
    assert beside.keys() == asked.keys() | {"ZANTARA_DATA"}


def test_dispatch_knows_every_agent_and_where_it_is(outputs: dict[str, Any]) -> None:
    read = config.load(outputs["functions"]["dispatch"]["environment"])
    assert read.agents == topology.agents()
    for agent in topology.agents():
        assert read.agent_url(agent) == outputs["functions"][topology.target(agent)]["url"]


def test_the_simulation_knows_the_default_sizes(outputs: dict[str, Any]) -> None:
    for target, concurrency in limits.CONCURRENCY.items():
        function = outputs["functions"]["agent_light" if target == "agent" else target]
        assert (function["concurrency"], function["cpu"]) == (concurrency, "1")
        assert function["max_instances"] == limits.MAX_INSTANCES
        assert function["memory"] == f"{limits.MEMORY * 1024:.0f}Mi"


def test_an_agent_trusts_dispatch_and_no_other_caller(outputs: dict[str, Any]) -> None:
    for agent in topology.agents():
        read = config.load(outputs["functions"][topology.target(agent)]["environment"])
        assert read.orchestrators == (outputs["functions"]["dispatch"]["service_account"],)


def test_an_attempt_cannot_outlive_its_lease(outputs: dict[str, Any]) -> None:
    for agent in topology.agents():
        function = outputs["functions"][topology.target(agent)]
        assert config.load(function["environment"]).lease_seconds > function["timeout"]


def test_admins_are_known_wherever_callers_are(outputs: dict[str, Any]) -> None:
    for target in ("accounts", "cancel_task", "dispatch", "get_task"):
        read = config.load(outputs["functions"][target]["environment"])
        assert read.admins == ("head@example.com",)


def test_every_agent_knows_whom_it_may_call(outputs: dict[str, Any]) -> None:
    for agent in topology.agents():
        read = config.load(outputs["functions"][topology.target(agent)]["environment"])
        assert read.agents == topology.agents()


def test_what_is_pushed_verifies_the_audience_that_the_push_carries(
    outputs: dict[str, Any], plan: dict[str, Any]
) -> None:
    pushes = resources(plan, "google_pubsub_subscription")
    for hop in topology.subscriptions():
        read = config.load(outputs["functions"][hop.function]["environment"])
        [token] = pushes[hop.name]["push_config"][0]["oidc_token"]
        results = hop.topic == "results"
        assert read.results_pubsub_verify_oidc if results else read.pubsub_verify_oidc
        audience = read.results_pubsub_audience if results else read.pubsub_audience
        assert audience == token["audience"]
        assert read.oidc_mode == "iam"
        assert read.push_service_accounts == (outputs["push_service_account"],)


def test_an_agent_elsewhere_gets_its_tasks_at_its_own_url(terraform: Terraform) -> None:
    url = "https://agent.example.com/pubsub/push"
    plan = terraform.plan({**VARIABLES, "push_urls": {"far": url}})
    [push] = resources(plan, "google_pubsub_subscription")["sub-far"]["push_config"]
    assert push["push_endpoint"] == push["oidc_token"][0]["audience"] == url
    functions = plan["planned_values"]["outputs"]["functions"]["value"]
    assert "far" in functions["dispatch"]["environment"]["AGENTS"].split(",")


@pytest.mark.parametrize(
    ("variables", "message"),
    [
        ({"settings": {"agent_lihgt": {"timeout": 30}}}, "no folder of functions/: agent_lihgt"),
        ({"settings": {"dispatch": {"memory": "512"}}}, "memory must be"),
        ({"settings": {"dispatch": {"cpu": "0.5"}}}, "cpu must be 1 or more"),
        ({"settings": {"dispatch": {"min_instances": 3, "max_instances": 2}}}, "max_instances"),
        ({"settings": {"dispatch": {"timeout": 571}}}, "timeout must lie between"),
        ({"database_location": "Europe"}, "database_location must be"),
        ({"admins": ["group:team@example.com"]}, "Each of admins must be"),
        ({"domain": "https://zantara.example.com"}, "domain must be a host name"),
    ],
)
def test_a_setting_that_cannot_work_is_refused_by_name(
    terraform: Terraform, variables: dict[str, Any], message: str
) -> None:
    given = {**VARIABLES, **variables}
    arguments = [f"-var={name}={json.dumps(value)}" for name, value in given.items()]
    with pytest.raises(pytest.fail.Exception) as refused:
        terraform.run("plan", "-input=false", "-no-color", *arguments)
    assert message in " ".join(str(refused.value).replace("│", " ").split())


def test_an_existing_database_is_adopted_not_made_anew(terraform: Terraform) -> None:
    variables = ["-var=project_id=zantara-demo", f"-var=project_number={NUMBER}"]
    existing = '-var=existing_databases=["(default)"]'
    said = terraform.run("plan", "-input=false", "-no-color", *variables, existing, check=False)
    # Offline the import itself cannot be planned: that it is tried, of this id, is what shows.
    assert "google_firestore_database.this: Preparing import" in said
    assert "projects/zantara-demo/databases/(default)" in said


PATHS = (
    *("/", "/console/api/tasks", "/dispatch", "/task/t1", "/tasks", "/task/t1/cancel"),
    *("/task/t1/redrive", "/task/t1/callback", "/account/team", "/health", "/openapi.json"),
)


def test_the_public_url_leads_where_the_local_gateway_does(terraform: Terraform) -> None:
    def local(path: str) -> str:
        found = (name for pattern, name in gateway.ROUTES if re.fullmatch(pattern, path))
        return next(found, "console")

    def public(path: str) -> str:
        for route in routes:
            pattern = re.sub(r"{\w+}", "[^/]+", route["template"] or "")
            if re.fullmatch(pattern, path) or path.startswith(route["prefix"] or "nowhere"):
                return str(route["target"])
        return "console"

    plan = terraform.plan({**VARIABLES, "domain": "zantara.example.com"})
    routes = plan["planned_values"]["outputs"]["routes"]["value"]
    assert {path: public(path) for path in PATHS} == {path: local(path) for path in PATHS}
