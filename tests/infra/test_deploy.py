"""`deploy.sh` under a recording gcloud and terraform: what it runs, in order, and how it fails."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from emulators import topology
from shared import config
from tests.infra.conftest import ROOT, VARIABLES, Terraform, copy_checkout, unchecked

READS = (
    "gcloud auth",
    "gcloud config",
    "gcloud projects",
    "gcloud billing",
    "gcloud services list",
    "gcloud run regions",
    "gcloud run services list",
    "gcloud storage buckets describe",
    "gcloud firestore databases list",
    "gcloud functions list",
    "gcloud secrets versions list",
    "terraform -chdir=infra/terraform init",
    "terraform -chdir=infra/terraform plan",
    "terraform -chdir=infra/terraform show",
    "python3 -c",
    "python3 infra/deploy/bundle.py",
)
SERVICES = {target.replace("_", "-") for target in topology.functions()}


@dataclass(frozen=True)
class Deployment:
    """A copy of the checkout, and a cloud that remembers."""

    checkout: Path
    cloud: Path

    def run(self, *arguments: str, fail: str = "", said: str = "", answer: str = "") -> Done:
        """One run of deploy.sh, with what it said and the commands that it gave."""
        (self.cloud / "record").write_text("")
        done = subprocess.run(
            ["bash", "deploy.sh", *(arguments or ("zantara-demo", "europe-west1"))],
            cwd=self.checkout,
            env={
                "PATH": f"{self.cloud}:/usr/bin:/bin",
                "FAKE_CLOUD": str(self.cloud),
                "FAIL": fail,
                "SAID": said,
                "HOME": str(self.cloud),
            },
            input=answer,
            capture_output=True,
            text=True,
            check=False,
        )
        lines = (self.cloud / "record").read_text().splitlines()
        commands = [shlex.join(json.loads(line)) for line in lines]
        return Done(done.returncode, done.stdout, done.stderr, commands)

    def state(self) -> Any:
        """The cloud as it stands."""
        return json.loads((self.cloud / "state").read_text())


@dataclass(frozen=True)
class Done:
    """A run that has ended."""

    status: int
    out: str
    err: str
    commands: list[str]

    @property
    def changes(self) -> list[str]:
        """The commands that change something."""
        return [each for each in self.commands if not each.startswith(READS)]

    @property
    def shown(self) -> list[str]:
        """The commands that it printed."""
        return [
            shlex.join(shlex.split(line[2:])) for line in self.out.splitlines() if line[:2] == "+ "
        ]


@pytest.fixture
def deployment(tmp_path: Path, plan: dict[str, Any]) -> Deployment:
    """A project in which nothing was deployed yet."""
    cloud = tmp_path / "cloud"
    cloud.mkdir()
    (cloud / "plan.json").write_text(json.dumps(plan))
    for tool in ("gcloud", "terraform", "python3"):
        fake = shlex.join([sys.executable, "-IS", str(ROOT / "tests/infra/fake_cloud.py"), tool])
        (cloud / tool).write_text(f'#!/bin/sh\nexec {fake} "$@"\n')
        (cloud / tool).chmod(0o755)
    checkout = tmp_path / "checkout"
    checkout.mkdir()
    return Deployment(copy_checkout(checkout), cloud)


def kinds(commands: list[str]) -> list[str]:
    """The commands' first words, each kind once, in order."""
    short = [re.sub(r"-chdir=\S+ ", "", each).split(" --")[0] for each in commands]
    short = [re.sub(r"(functions deploy|apply|enable) .*", r"\1", each) for each in short]
    return list(dict.fromkeys(re.sub(r" (gs:|-input|https:).*", "", each) for each in short))


def test_a_first_run_goes_from_an_empty_project_to_a_smoke_test(deployment: Deployment) -> None:
    done = deployment.run()
    assert done.status == 0, done.err
    assert kinds(done.changes) == [
        "gcloud services enable",
        "gcloud beta services identity create",
        "gcloud storage buckets create",
        "gcloud storage buckets update",
        "terraform apply",
        "gcloud secrets versions add zantara-callback-secrets",
        "gcloud functions deploy",
        "python3 infra/deploy/smoke.py",
    ]
    assert set(deployment.state()["functions"]) == SERVICES
    smoke, admission = done.changes[-1], done.changes[-2]
    assert "apply" in admission
    assert all(f'"{service}"' in admission for service in SERVICES)
    assert "https://dispatch-123456789012.europe-west1.run.app" in smoke


def test_each_function_is_deployed_as_terraform_says(
    deployment: Deployment, outputs: dict[str, Any]
) -> None:
    deploys = [each for each in deployment.run().commands if "functions deploy" in each]
    for target, function in outputs["functions"].items():
        [command] = [each for each in deploys if f" --entry-point={target} " in each]
        words = shlex.split(command)
        assert words[3] == function["service"]
        assert {"--gen2", "--trigger-http", "--no-allow-unauthenticated"} <= set(words)
        assert f"--service-account={function['service_account']}" in words
        assert f"--timeout={function['timeout']}s" in words
        assert f"--concurrency={function['concurrency']}" in words
        assert f"--ingress-settings={function['ingress']}" in words
        [file] = [each.partition("=")[2] for each in words if each.startswith("--env-vars-file")]
        assert json.loads((deployment.checkout / file).read_text()) == function["environment"]


def test_callbacks_get_a_random_secret_that_is_seen_nowhere(deployment: Deployment) -> None:
    done = deployment.run()
    secret = deployment.state()["secret"]
    assert config.load({"CALLBACK_SECRETS": secret}).callback_secrets == (secret,)
    assert secret not in done.out + done.err + "".join(done.commands)


def test_a_second_run_changes_nothing(deployment: Deployment) -> None:
    deployment.run()
    before = deployment.state()
    done = deployment.run()
    assert done.status == 0, done.err
    assert kinds(done.changes) == ["python3 infra/deploy/smoke.py"]
    assert deployment.state() == before


def test_a_secret_that_cannot_be_seen_is_not_replaced(deployment: Deployment) -> None:
    deployment.run()
    before = deployment.state()["secret"]
    assert deployment.run(fail="secrets versions list").status != 0
    assert deployment.state()["secret"] == before


def test_only_what_changed_is_deployed_again(deployment: Deployment) -> None:
    deployment.run()
    with (deployment.checkout / "functions/agent_light/main.py").open("a") as file:
        file.write("# changed\n")
    deploys = [each for each in deployment.run().changes if "functions deploy" in each]
    assert [each.split()[3] for each in deploys] == ["agent-light"]


def test_a_dry_run_prints_exactly_what_a_run_does_and_does_nothing(deployment: Deployment) -> None:
    dry = deployment.run("--dry-run", "zantara-demo", "europe-west1")
    assert dry.status == 0, dry.err
    assert dry.changes == []
    wet = deployment.run()
    assert sorted(dry.shown) == sorted(wet.shown) == sorted(wet.changes)
    assert "token" not in dry.out.replace("smoke", "")


def test_plan_shows_terraforms_plan_and_stops(deployment: Deployment) -> None:
    done = deployment.run("--plan", "zantara-demo", "europe-west1")
    assert done.status == 0, done.err
    assert "Plan: 100 to add" in done.out
    assert done.changes == []


def test_only_deploys_one_function(deployment: Deployment) -> None:
    done = deployment.run("--only", "get_task", "zantara-demo", "europe-west1")
    assert done.status == 0, done.err
    assert set(deployment.state()["functions"]) == {"get-task"}
    assert 'deployed=["get-task"]' in next(e for e in reversed(done.changes) if "apply" in e)


def test_no_task_is_sent_where_a_hop_is_missing(deployment: Deployment) -> None:
    done = deployment.run("--only", "get_task", "zantara-demo", "europe-west1")
    assert "Skipped: dispatch is not deployed." in done.out
    assert not [each for each in done.changes if "smoke.py" in each]


def test_a_first_run_puts_nothing_into_a_region_that_is_none(deployment: Deployment) -> None:
    done = deployment.run("zantara-demo", "mars-north1")
    assert "Cloud Run has no region 'mars-north1'" in done.err
    assert not [each for each in done.changes if "mars-north1" in each]


def test_a_lock_left_behind_is_explained(deployment: Deployment) -> None:
    done = deployment.run(fail="terraform .* plan .*", said="Error acquiring the state lock")
    assert "terraform -chdir=infra/terraform force-unlock ID" in done.err


def test_destroy_asks_first(deployment: Deployment) -> None:
    deployment.run()
    before = deployment.state()
    done = deployment.run("--destroy", "zantara-demo", "europe-west1", answer="yes\n")
    assert done.status == 1
    assert done.changes == []
    assert deployment.state() == before


def test_destroy_removes_all_but_the_database_and_the_state(deployment: Deployment) -> None:
    deployment.run()
    done = deployment.run("--destroy", "zantara-demo", "europe-west1", answer="zantara-demo\n")
    assert done.status == 0, done.err
    assert deployment.state()["functions"] == {}
    assert deployment.state()["applied"] is None
    assert "destroy" in done.changes[-1]
    assert not any("storage" in each or "firestore" in each for each in done.changes)


STEPS = [  # what fails, the message that says so
    ("gcloud auth print-access-token", "Not logged in"),
    ("gcloud projects describe", "There is no project 'zantara-demo'"),
    ("gcloud billing", "Billing is off"),
    ("gcloud services list", "may not list the APIs"),
    ("gcloud services enable", "stopped at: Preparing the project"),
    ("gcloud beta services identity", "stopped at: Preparing the project"),
    ("buckets create", "stopped at: Preparing the project"),
    ("buckets update", "stopped at: Preparing the project"),
    ("terraform .* init", "terraform init failed"),
    ("terraform .* plan", "terraform plan failed"),
    ("terraform .* apply .*plan$", "stopped at: Applying the infrastructure"),
    ("secrets versions list", "cannot be listed"),
    ("secrets versions add", "stopped at: Giving the callbacks a secret"),
    ("terraform .* show", "stopped at: Deploying the functions"),
    ("bundle.py", "stopped at: Deploying the functions"),
    ("functions deploy dispatch", "These functions were not deployed: dispatch."),
    ("functions deploy sweep", "These functions were not deployed: sweep."),
    ("terraform .* apply .*-auto-approve", "stopped at: Admitting pushes"),
    ("smoke.py", "stopped at: Sending a task"),
]


@pytest.mark.parametrize(("fail", "message"), STEPS)
def test_a_failure_is_named_and_the_next_run_goes_on_from_it(
    deployment: Deployment, fail: str, message: str
) -> None:
    failed = deployment.run(fail=fail)
    assert failed.status != 0
    assert message in failed.err
    if not message.startswith(("Not", "There", "Billing", "may")):
        assert "run the same command again" in failed.err
    stood = deployment.state()["functions"] if (deployment.cloud / "state").exists() else {}
    mended = deployment.run()
    assert mended.status == 0, mended.err
    assert set(deployment.state()["functions"]) == SERVICES
    again = [each.split()[3] for each in mended.changes if "functions deploy" in each]
    assert not set(again) & set(stood)


def test_apis_that_are_on_already_get_their_service_agents(deployment: Deployment) -> None:
    apis = ["cloudresourcemanager", "cloudscheduler", "iam", "pubsub", "storage"]
    (deployment.cloud / "state").write_text(json.dumps({"apis": apis}))
    done = deployment.run()
    assert done.status == 0, done.err


@pytest.mark.parametrize("fail", ["run services list", "functions list", "firestore databases"])
def test_what_cannot_be_looked_at_stops_a_later_run(deployment: Deployment, fail: str) -> None:
    deployment.run()
    failed = deployment.run(fail=fail)
    assert failed.status != 0
    assert "stopped at: Looking at what stands" in failed.err
    assert failed.changes == []


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["zantara-demo"], "Which PROJECT and REGION?"),
        (["zantara-demo", "europe-west1", "more"], "Too many arguments"),
        (["zantara-demo", "Europe"], "REGION must look like us-central1"),
        (["--bogus", "zantara-demo", "europe-west1"], "Unknown option --bogus"),
        (["--only"], "--only wants a function's name"),
        (["--destroy", "--only", "sweep", "zantara-demo", "europe-west1"], "takes no --only"),
        (["--only", "nobody", "zantara-demo", "europe-west1"], "There is no functions/nobody"),
    ],
)
def test_what_it_cannot_understand_it_says(
    deployment: Deployment, arguments: list[str], message: str
) -> None:
    done = deployment.run(*arguments)
    assert done.status == 1
    assert message in done.err
    assert done.changes == []


def test_a_region_that_is_none_is_refused(deployment: Deployment) -> None:
    deployment.run()
    done = deployment.run("zantara-demo", "mars-north1")
    assert "Cloud Run has no region 'mars-north1'" in done.err
    assert done.changes == []


@pytest.mark.parametrize("tool", ["gcloud", "terraform"])
def test_a_tool_that_is_missing_is_named(deployment: Deployment, tool: str) -> None:
    tools = ("bash", "dirname", "cat", "env", "sh")
    for name in tools:
        (deployment.cloud / name).symlink_to(str(shutil.which(name)))
    (deployment.cloud / tool).unlink()
    done = subprocess.run(
        ["bash", "deploy.sh", "zantara-demo", "europe-west1"],
        cwd=deployment.checkout,
        env={"PATH": str(deployment.cloud), "FAKE_CLOUD": str(deployment.cloud)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert f"{tool} is not installed" in done.stderr


def test_help_tells_every_option(deployment: Deployment) -> None:
    done = deployment.run("--help")
    assert done.status == 0
    for option in ("--plan", "--dry-run", "--only", "--destroy", "--help"):
        assert option in done.out


@pytest.fixture
def published(deployment: Deployment, terraform: Terraform) -> Deployment:
    """A project that has a domain."""
    plan = terraform.plan({**VARIABLES, "domain": "zantara.example.com"})
    (deployment.cloud / "plan.json").write_text(json.dumps(plan))
    return deployment


def test_clients_services_accept_the_domain_as_audience_once(published: Deployment) -> None:
    done = published.run()
    assert done.status == 0, done.err
    clients = {"accounts", "cancel-task", "console", "dispatch", "get-task"}
    expected = dict.fromkeys(clients, '["https://zantara.example.com"]')
    assert published.state()["audiences"] == expected
    assert kinds(published.run().changes) == ["python3 infra/deploy/smoke.py"]


def test_an_audience_that_failed_is_given_by_the_next_run(published: Deployment) -> None:
    failed = published.run(fail="run services update get-task")
    assert "These functions were not deployed: get-task." in failed.err
    done = published.run()
    assert done.status == 0, done.err
    assert "get-task" in published.state()["audiences"]
    assert not [each for each in done.changes if "functions deploy" in each]


def test_gcloud_accepts_every_command(published: Deployment, tmp_path: Path) -> None:
    deployment = published
    if not shutil.which("gcloud"):
        reason = "gcloud is not installed: its linter has not seen the commands"
        unchecked(reason, "REQUIRE_GOOGLE_EMULATORS")
    given = deployment.run().commands + deployment.run().commands
    given += deployment.run(
        "--destroy", "zantara-demo", "europe-west1", answer="zantara-demo"
    ).commands
    commands = sorted({each for each in given if each.startswith("gcloud ")})
    file = tmp_path / "commands.json"
    file.write_text(json.dumps([{"command_string": each} for each in commands]))
    linted = subprocess.run(
        ["gcloud", "meta", "lint-gcloud-commands", f"--commands-file={file}"],
        cwd=deployment.checkout,  # where it cannot read --env-vars-file it accepts anything
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "CLOUDSDK_CONFIG": str(tmp_path / "gcloud")},
    ).stdout
    verdicts, _ = json.JSONDecoder().raw_decode(linted[linted.index("[") :])
    assert len(verdicts) == len(commands) > 20
    refused = {
        each["command_string"]: each["error_message"] for each in verdicts if not each["success"]
    }
    assert refused == {}


def test_shellcheck_finds_nothing() -> None:
    scripts = ["deploy.sh", *(str(each) for each in (ROOT / "infra").rglob("*.sh"))]
    program = Path(sys.executable).with_name("shellcheck")  # the environment's own, on PATH or not
    found = subprocess.run(
        [program, "--external-sources", *scripts],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert found.stdout == ""
    assert found.returncode == 0
