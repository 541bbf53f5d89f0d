"""The bundles: what `deploy.sh` uploads for each function, and the arguments it deploys it with.

    terraform show -json PLAN | python3 infra/deploy/bundle.py FOLDER

It reads the plan's output `functions` and writes, for each service: `source/` (main.py and its
siblings, shared/, requirements.txt), `environment.yaml` and `arguments`, one a line. It prints a
line for each: service, hash, URL, audience. Standard library alone: it runs before any install.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
RUNTIME = "python313"
LABEL = "zantara_bundle"  # on a deployed function: the hash of what it was deployed from
UNWANTED = shutil.ignore_patterns("__pycache__", "*.py[co]", ".*")


def main(build: str) -> None:
    """Writes the bundles under `build` and prints their lines."""
    plan = json.load(sys.stdin)
    functions = plan["planned_values"]["outputs"]["functions"]["value"]
    for target, function in sorted(functions.items()):
        digest = write(Path(build) / function["service"], target, function)
        print(function["service"], digest, function["url"], function["audience"] or "-", sep="\t")


def write(folder: Path, target: str, function: Mapping[str, Any]) -> str:
    """Lays out one function's bundle in `folder`, afresh; returns its hash."""
    shutil.rmtree(folder, ignore_errors=True)
    source, environment = folder / "source", folder / "environment.yaml"
    shutil.copytree(ROOT / "functions" / target, source, ignore=UNWANTED)
    shutil.copytree(ROOT / "shared", source / "shared", ignore=UNWANTED)
    shutil.copy(ROOT / ".gcloudignore", source)
    requirements(source / "requirements.txt")
    environment.write_text(json.dumps(function["environment"], indent=1, sort_keys=True) + "\n")
    arguments = list(flags(target, function, source, environment))
    digest = fingerprint([source, environment], [*arguments, function["audience"]])
    lines = [*arguments, f"--update-labels={LABEL}={digest}"]
    (folder / "arguments").write_text("".join(f"{line}\n" for line in lines))
    return digest


def requirements(path: Path) -> None:
    """The shared requirements, and after them those that the function's own folder names."""
    own = path.read_text() if path.exists() else ""
    path.write_text((ROOT / "requirements.txt").read_text() + own)


def flags(
    target: str, function: Mapping[str, Any], source: Path, environment: Path
) -> Iterator[str]:
    """The arguments of `gcloud functions deploy SERVICE`."""
    yield from ("--gen2", f"--runtime={RUNTIME}", f"--entry-point={target}", f"--source={source}")
    yield from ("--trigger-http", "--no-allow-unauthenticated")
    for name in ("service_account", "build_service_account", "memory", "cpu", "concurrency"):
        yield f"--{name.replace('_', '-')}={function[name]}"
    yield f"--timeout={function['timeout']}s"
    yield f"--min-instances={function['min_instances']}"
    yield f"--max-instances={function['max_instances']}"
    yield f"--ingress-settings={function['ingress']}"
    yield f"--env-vars-file={environment}"
    secrets = (f"{name}={secret}:latest" for name, secret in sorted(function["secrets"].items()))
    yield f"--set-secrets={','.join(secrets)}" if function["secrets"] else "--clear-secrets"


def fingerprint(paths: list[Path], settings: list[str]) -> str:
    """A hash of the files, their names and the settings; a label holds at most 63 characters."""
    digest = hashlib.sha256("\0".join(settings).encode())
    for path in paths:
        for file in sorted(path.rglob("*")) if path.is_dir() else [path]:
            if file.is_file():
                digest.update(f"\0{file.relative_to(path.parent)}\0".encode())
                digest.update(hashlib.sha256(file.read_bytes()).digest())
    return digest.hexdigest()[:40]


if __name__ == "__main__":
    main(*sys.argv[1:])
