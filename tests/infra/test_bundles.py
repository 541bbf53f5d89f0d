"""What is uploaded: each bundle stands alone, and holds nothing that does not belong."""

from __future__ import annotations

import http.client
import json
import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from emulators import topology
from tests.infra.conftest import ROOT, Terraform, unchecked

BOOT = 30.0  # seconds functions-framework may take to answer, at most


@pytest.fixture(scope="module")
def bundles(
    terraform: Terraform, plan: dict[str, Any], tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """Every function's bundle, as deploy.sh lays it out."""
    build = tmp_path_factory.mktemp("build")
    checkout = terraform.folder.parents[1]
    subprocess.run(
        [sys.executable, "infra/deploy/bundle.py", str(build)],
        cwd=checkout,
        input=json.dumps(plan),
        text=True,
        check=True,
        stdout=subprocess.DEVNULL,
    )
    return build


@pytest.fixture(scope="module")
def environments() -> dict[str, Path]:
    """The environments made so far, one for each set of requirements."""
    return {}


def installed(requirements: Path, environments: dict[str, Path], folder: Path) -> Path:
    """The `bin` of a fresh environment with these requirements and nothing else."""
    text = requirements.read_text()
    if text not in environments:
        subprocess.run([sys.executable, "-m", "venv", str(folder)], check=True)
        pip = [str(folder / "bin/pip"), "install", "--quiet", "--requirement", str(requirements)]
        subprocess.run(pip, check=True)
        environments[text] = folder / "bin"
    return environments[text]


@contextmanager
def served(command: list[str], folder: Path, environment: dict[str, str]) -> Iterator[int]:
    """Runs it, listening on a port of its own."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    process = subprocess.Popen(
        [*command, "--host", "127.0.0.1", "--port", str(port)],
        cwd=folder,
        env={"PATH": "/usr/bin:/bin", **environment},
    )
    try:
        yield port
    finally:
        process.terminate()
        process.wait(10)


def get(port: int, path: str) -> tuple[int, str]:
    """What the server answers, once it is up."""
    last: OSError | None = None
    for _ in range(int(BOOT / 0.1)):
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=BOOT)
        try:
            connection.request("GET", path)
            answer = connection.getresponse()
            return answer.status, answer.read().decode()
        except ConnectionRefusedError as error:
            last = error
            time.sleep(0.1)
        finally:
            connection.close()
    raise AssertionError("it does not start") from last


@pytest.mark.slow
@pytest.mark.parametrize("target", topology.functions())
def test_a_bundle_alone_starts_and_is_healthy(
    target: str, bundles: Path, environments: dict[str, Path], tmp_path: Path
) -> None:
    bundle = bundles / target.replace("_", "-")
    alone = shutil.copytree(bundle / "source", tmp_path / "alone")
    programs = installed(alone / "requirements.txt", environments, tmp_path / "environment")
    environment = json.loads((bundle / "environment.yaml").read_text())
    command = [str(programs / "functions-framework"), "--target", target, "--source", "main.py"]
    with served(command, alone, {**environment, "K_SERVICE": bundle.name}) as port:
        status, body = get(port, "/health")
    assert status == 200, body


@pytest.mark.parametrize("target", topology.functions())
def test_a_bundle_holds_the_function_what_it_shares_and_no_more(target: str, bundles: Path) -> None:
    source = bundles / target.replace("_", "-") / "source"
    held = {str(each.relative_to(source)) for each in source.rglob("*") if each.is_file()}
    shared = {str(each.relative_to(ROOT)) for each in (ROOT / "shared").rglob("*.py")}
    own = {
        str(each.relative_to(ROOT / "functions" / target))
        for each in (ROOT / "functions" / target).rglob("*")
        if each.is_file() and "__pycache__" not in each.parts
    }
    assert held == shared | own | {"requirements.txt", ".gcloudignore"}


def test_a_bundles_hash_changes_with_its_code_and_its_settings_alone(
    terraform: Terraform, plan: dict[str, Any], tmp_path: Path
) -> None:
    def hashes(plan: dict[str, Any], build: str) -> dict[str, str]:
        printed = subprocess.run(
            [sys.executable, str(terraform.folder.parents[1] / "infra/deploy/bundle.py"), build],
            cwd=tmp_path,
            input=json.dumps(plan),
            text=True,
            check=True,
            capture_output=True,
        ).stdout
        return {line.split("\t")[0]: line.split("\t")[1] for line in printed.splitlines()}

    before = hashes(plan, "build")
    assert hashes(plan, "build") == before
    changed = json.loads(json.dumps(plan))
    functions = changed["planned_values"]["outputs"]["functions"]["value"]
    functions["dispatch"]["environment"]["LOG_LEVEL"] = "DEBUG"
    functions["get_task"]["memory"] = "1Gi"
    after = hashes(changed, "build")
    assert {name for name in before if before[name] != after[name]} == {"dispatch", "get-task"}


def listed(folder: Path, configuration: Path) -> set[str]:
    """What gcloud would upload of a folder."""
    if not shutil.which("gcloud"):
        reason = "gcloud is not installed: nobody has looked at what it would upload"
        unchecked(reason, "REQUIRE_GOOGLE_EMULATORS")
    done = subprocess.run(
        ["gcloud", "meta", "list-files-for-upload", str(folder)],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "CLOUDSDK_CONFIG": str(configuration)},
    )
    return set(done.stdout.splitlines())


STRAY = (
    ".env",
    ".venv/lib/x.py",
    ".git/config",
    "shared/__pycache__/a.pyc",
    "prod.tfvars",
    "a.pem",
)


def test_gcloud_uploads_the_whole_bundle_and_no_stray_file(bundles: Path, tmp_path: Path) -> None:
    source = shutil.copytree(bundles / "dispatch/source", tmp_path / "source")
    wanted = {str(each.relative_to(source)) for each in source.rglob("*") if each.is_file()}
    for stray in STRAY:
        (source / stray).parent.mkdir(parents=True, exist_ok=True)
        (source / stray).write_text("secret")
    assert listed(source, tmp_path / "gcloud") == wanted - {".gcloudignore"}


def test_gcloud_uploads_only_code_from_the_repository_itself(
    terraform: Terraform, tmp_path: Path
) -> None:
    checkout = shutil.copytree(terraform.folder.parents[1], tmp_path / "checkout")
    for stray in (
        *STRAY,
        "tests/x.py",
        "emulators/x.py",
        "README.md",
        ".build/x",
        ".zantara/zantara.db",
    ):
        (checkout / stray).parent.mkdir(parents=True, exist_ok=True)
        (checkout / stray).write_text("secret")
    for file in listed(checkout, tmp_path / "gcloud"):
        assert file.startswith(("functions/", "shared/")) or file == "requirements.txt"
