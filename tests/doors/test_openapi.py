"""The OpenAPI document: complete with every error, and true of the running functions."""

from __future__ import annotations

import ast
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from emulators import tokens
from emulators.cluster import Cluster
from shared import config, openapi

ROOT = Path(__file__).parents[2]
HERE = Path(__file__).parent
CASES = 250  # of each operation at the most: some thousands altogether
AUDIENCE, ADMIN = "https://zantara.example.com", "admin@example.com"


def trees() -> Iterator[ast.Module]:
    """The code of what is deployed."""
    for folder in ("shared", "functions"):
        for path in (ROOT / folder).rglob("*.py"):
            yield ast.parse(path.read_text())


def text(node: ast.AST) -> str | None:
    """The node's value, where it is a string."""
    return node.value if isinstance(node, ast.Constant) and isinstance(node.value, str) else None


def codes_in_the_code() -> set[str]:
    """What is written as `code = "…"` or `status, code, … = …, "…", …` in a class."""
    found = set()
    for tree in trees():
        for cls in (node for node in ast.walk(tree) if isinstance(node, ast.ClassDef)):
            for node in cls.body:
                target = getattr(node, "target", None) or getattr(node, "targets", [None])[0]
                value = getattr(node, "value", None)
                pairs = (
                    zip(target.elts, value.elts, strict=True)
                    if isinstance(target, ast.Tuple) and isinstance(value, ast.Tuple)
                    else [(target, value)]
                )
                for name, each in pairs:
                    if isinstance(name, ast.Name) and name.id == "code" and each and text(each):
                        found.add(str(text(each)))
    return found


def faults_in_the_code() -> set[str]:
    """What `fault` is called with, and the code of an `agent.Failure` that names none."""
    found = {"agent_failed"}
    for tree in trees():
        for call in (node for node in ast.walk(tree) if isinstance(node, ast.Call)):
            name = getattr(call.func, "attr", None) or getattr(call.func, "id", None)
            if name in ("fault", "_failed") and call.args and text(call.args[0]):
                found.add(str(text(call.args[0])))
    return found


def table(heading: str) -> set[str]:
    """The codes of the table in the document's description that has this head."""
    about = openapi.document(config.Config())["info"]["description"]
    rows = about.split(heading)[1].split("\n\n")[0]
    return set(re.findall(r"^\| `([a-z_]+)`", rows, re.MULTILINE))


def test_every_error_code_of_the_code_is_in_the_document() -> None:
    made = openapi.document(config.Config())
    listed = made["components"]["schemas"]["Problem"]["properties"]["code"]["enum"]
    assert set(listed) == codes_in_the_code()
    assert table("| code | status |") == codes_in_the_code()
    assert table("| code | meaning |") == faults_in_the_code()
    assert len(codes_in_the_code()) > 20


def test_every_refusal_has_an_example_that_its_schema_allows() -> None:
    made = openapi.document(config.Config())
    listed = made["components"]["schemas"]["Problem"]["properties"]["code"]["enum"]
    for path in made["paths"].values():
        for operation in path.values():
            for status, response in operation["responses"].items():
                examples = response["content"].get("application/problem+json", {}).get("examples")
                for code, example in (examples or {}).items():
                    assert example["value"]["status"] == int(status)
                    assert example["value"]["code"] == code in listed


def test_every_body_has_an_example_that_its_schema_takes() -> None:
    known = openapi.document(config.Config())["components"]["schemas"]
    answered = {schema.__name__: schema for schema in openapi.ANSWERS}
    parts = {"Fault", "Event", "Callback", "Step", "Problem"}  # shown within the others
    for name, schema in {**answered, **openapi.ORDERS}.items():
        examples = known[name].get("examples", [])
        assert bool(examples) == (name not in parts), name
        assert all(not schema().validate(example) for example in examples), name


def test_callers_are_told_to_bring_a_token_where_one_is_wanted() -> None:
    assert "security" not in openapi.document(config.Config())
    made = openapi.document(config.Config(caller_auth="iam"))
    assert made["security"] == [{"bearer": []}]
    assert made["components"]["securitySchemes"]["bearer"]["scheme"] == "bearer"


@pytest.mark.slow
def test_the_document_is_true_of_the_running_functions(tmp_path: Path) -> None:
    """Thousands of requests, good and bad, through the gateway of a local cloud; every check on."""
    environ = {
        "CALLER_AUTH": "oidc",
        "CALLER_AUDIENCE": AUDIENCE,
        "CALLERS": ADMIN,
        "ADMINS": ADMIN,
    }
    with Cluster(tmp_path, env=environ) as cluster:
        token = tokens.Issuer(tmp_path).token(AUDIENCE, ADMIN)
        options = {
            "--checks": "all",
            "--max-examples": str(CASES),
            "--seed": "1",
            "--exclude-path": "/run",  # it is at the agents' own addresses
        }
        run = subprocess.run(
            [
                *(Path(sys.executable).with_name("schemathesis"), "--no-color"),
                *("--config-file", HERE / "schemathesis.toml"),
                *("run", f"{cluster.gateway_url}/openapi.json", "--continue-on-failure"),
                *(part for option in options.items() for part in option),
            ],
            env={**os.environ, "CALLER_TOKEN": token, "PYTHONPATH": str(ROOT)},
            cwd=tmp_path,
            capture_output=True,
            text=True,
            check=False,
        )
    assert run.returncode == 0, run.stdout[-20_000:] + run.stderr[-2_000:]
    [generated] = re.findall(r"(\d+) generated", run.stdout)
    assert int(generated) > 2000, run.stdout[-3_000:]
