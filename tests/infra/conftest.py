"""What the infra tests share: a copy of the checkout, Terraform, and a plan of a whole project."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

import pytest

from emulators import topology

ROOT = Path(__file__).resolve().parents[2]
REQUIREMENT = "REQUIRE_TERRAFORM"
NUMBER = "123456789012"
VARIABLES = {
    "project_id": "zantara-demo",
    "project_number": NUMBER,
    "region": "europe-west1",
    "admins": ["user:head@example.com"],
    "callers": ["group:team@example.com"],
    "deployed": [name.replace("_", "-") for name in topology.functions()],
}


def unchecked(reason: str, requirement: str = "") -> NoReturn:
    """Skips loudly; where the environment sets the requirement to 1, fails instead."""
    if requirement and os.environ.get(requirement) == "1":
        pytest.fail(f"{requirement}=1, but {reason}")
    warnings.warn(f"NOT CHECKED: {reason}", stacklevel=2)
    pytest.skip(f"NOT CHECKED: {reason}")


def copy_checkout(to: Path) -> Path:
    """The files that a deployment reads, without what earlier runs left among them."""
    unwanted = shutil.ignore_patterns(
        "__pycache__", ".terraform*", "backend.tf", "terraform.tfvars", "*.tfstate*"
    )
    for folder in ("functions", "shared", "infra"):
        shutil.copytree(ROOT / folder, to / folder, ignore=unwanted)
    for file in ("deploy.sh", "requirements.txt", ".gcloudignore"):
        shutil.copy(ROOT / file, to)
    return to


@dataclass(frozen=True)
class Terraform:
    """The real Terraform in a copy of the checkout, initialized."""

    folder: Path
    environment: dict[str, str]

    def run(self, *arguments: str, check: bool = True) -> str:
        """What it prints; fails the test where it fails, unless told not to check."""
        done = subprocess.run(
            ["terraform", *arguments],
            cwd=self.folder,
            env=self.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT if check else subprocess.PIPE,
            text=True,
            check=False,
        )
        if check and done.returncode:
            pytest.fail(f"terraform {' '.join(arguments)}:\n{done.stdout}")
        return done.stdout

    def plan(self, variables: dict[str, Any]) -> dict[str, Any]:
        """The plan with these variables, as `terraform show -json` gives it."""
        file = self.folder / "test.tfvars.json"
        file.write_text(json.dumps(variables))
        self.run("plan", "-input=false", "-no-color", f"-var-file={file}", "-out=test.plan")
        plan: dict[str, Any] = json.loads(self.run("show", "-json", "test.plan"))
        file.unlink()
        return plan


@pytest.fixture(scope="session")
def terraform(tmp_path_factory: pytest.TempPathFactory) -> Terraform:
    """Terraform with the registry's providers, or their stand-ins where those are set up."""
    if not shutil.which("terraform"):
        unchecked("terraform is not installed", REQUIREMENT)
    environment = {**os.environ, "TF_IN_AUTOMATION": "1", "CHECKPOINT_DISABLE": "1"}
    stand_in = os.environ.get("TERRAFORM_OFFLINE_SETUP") or str(
        ROOT.parent / "shared/terraform-offline/setup"
    )
    if Path(stand_in).is_file():
        kept = ROOT / ".build/terraform-offline"
        subprocess.run(["bash", stand_in, kept], check=True, stdout=subprocess.DEVNULL)
        environment["TF_CLI_CONFIG_FILE"] = str(kept / "terraform.rc")
    folder = copy_checkout(tmp_path_factory.mktemp("checkout")) / "infra/terraform"
    ready = subprocess.run(
        ["terraform", "init", "-input=false", "-no-color"],
        cwd=folder,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    if ready.returncode and "registry" in ready.stdout:
        reason = "the Terraform registry cannot be reached, and TERRAFORM_OFFLINE_SETUP is unset"
        unchecked(reason, REQUIREMENT)
    assert ready.returncode == 0, ready.stdout
    return Terraform(folder, environment)


@pytest.fixture(scope="session")
def plan(terraform: Terraform) -> dict[str, Any]:
    """The plan of a project in which every function is deployed."""
    return terraform.plan(VARIABLES)


@pytest.fixture(scope="session")
def outputs(plan: dict[str, Any]) -> dict[str, Any]:
    """The plan's outputs, by name."""
    return {name: output.get("value") for name, output in plan["planned_values"]["outputs"].items()}


def resources(plan: dict[str, Any], kind: str) -> dict[str, dict[str, Any]]:
    """The planned resources of a type: their values, by name or by for_each's key."""
    return {
        str(resource.get("index", resource["name"])): resource["values"]
        for resource in plan["planned_values"]["root_module"]["resources"]
        if resource["type"] == kind
    }
