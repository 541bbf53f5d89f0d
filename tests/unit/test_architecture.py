"""The arrows of the design: who may know whom."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SHARED = sorted((ROOT / "shared").rglob("*.py"))
BACKENDS = [path for path in SHARED if path.parent.name in ("sqlite", "google")]
FUNCTIONS = sorted((ROOT / "functions").glob("*/*.py"))
MAINS = sorted((ROOT / "functions").glob("*/main.py"))
EMULATORS = sorted((ROOT / "emulators").rglob("*.py"))

# The rules know no HTTP: they work on the ports alone.
RULES = [path for path in SHARED if path.parent.parent.name == "storage"]
RULES += [path for path in SHARED if path.parent.name in ("storage", "tasks")]
RULES += [
    ROOT / "shared" / f"{name}.py"
    for name in (
        *("admission", "budgets", "ledgers", "sweeper", "steps", "redrives"),
        *("errors", "money", "clock", "limits", "log", "strictjson", "env", "config", "runtime"),
    )
]
WEB = {"flask", "werkzeug", "functions_framework", "requests", "shared.endpoint", "shared.push"}
CLIENTS = ["google.cloud.firestore_v1", "google.cloud.firestore", "google.cloud.pubsub_v1", "grpc"]
CLIENTS += ["google.pubsub_v1", "google.api_core", "google.protobuf", "google.auth", "requests"]

IMPORT_ALL = """
import importlib, pkgutil, sys
from pathlib import Path

def loaded():
    return [name for name in sys.argv[1].split(",") if name in sys.modules]

import shared
for each in pkgutil.walk_packages(shared.__path__, "shared."):
    if each.name.startswith("shared.storage.google."):
        continue  # the adapters, which the runtime imports when they are first asked for
    importlib.import_module(each.name)
    assert not loaded(), f"{each.name} loads {loaded()}"
for main in sys.argv[2:]:
    sys.path.insert(0, str(Path(main).parent))
    spec = importlib.util.spec_from_file_location("main", main)
    spec.loader.exec_module(importlib.util.module_from_spec(spec))
    assert not loaded(), f"{main} loads {loaded()}"
"""

EMBEDDED = """
import sys
from shared import config, runtime

made = runtime.Services(config.load({"BACKEND": "embedded", "EMBEDDED_PATH": sys.argv[2]}))
made.store.get("tasks/none")
made.bus.publish("projects/p/topics/t", b"1", {})
loaded = [name for name in sys.argv[1].split(",") if name in sys.modules]
assert not loaded, f"the embedded backend loads {loaded}"
"""


@cache
def tree(path: Path) -> ast.Module:
    """The syntax of a file."""
    return ast.parse(path.read_text(), str(path))


def imports(path: Path) -> Iterator[str]:
    """Every module that a file imports, anywhere in it, by its full name."""
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.Import):
            yield from (each.name for each in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: a relative import"
            yield node.module or ""
            yield from (f"{node.module}.{each.name}" for each in node.names)


def module(path: Path) -> str:
    """The dotted name of a file of `shared`."""
    return ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


def ours(path: Path) -> set[str]:
    """The modules of `shared` that a file imports, by their full names."""
    return {module(each) for each in SHARED} & set(imports(path)) - {"shared"}


def name(path: Path) -> str:
    """A file as the tests call it."""
    return str(path.relative_to(ROOT))


@pytest.mark.parametrize("path", [*SHARED, *FUNCTIONS], ids=name)
def test_nothing_that_is_deployed_knows_the_local_cloud_or_the_tests(path: Path) -> None:
    known = {each.split(".")[0] for each in imports(path)}
    assert not known & {"emulators", "tests", "functions"}


@pytest.mark.parametrize("path", RULES, ids=name)
def test_the_rules_know_no_http(path: Path) -> None:
    known = set(imports(path))
    assert not {each for each in known if each in WEB or each.split(".")[0] in WEB}


def test_backends_are_named_in_the_runtime_alone() -> None:
    named = ("shared.storage.sqlite", "shared.storage.google")
    knowing = {
        path.stem
        for path in (*SHARED, *FUNCTIONS)
        if path not in BACKENDS and any(each.startswith(named) for each in ours(path))
    }
    assert knowing == {"runtime"}


@pytest.mark.parametrize("path", BACKENDS, ids=name)
def test_a_backend_knows_its_port_and_the_errors_alone(path: Path) -> None:
    known = {each for each in ours(path) if not each.startswith("shared.storage")}
    assert known <= {"shared.errors"}


def test_no_two_modules_need_each_other() -> None:
    """Imports at the top of a file; one within a function may look back."""
    known = {
        module(path): {
            each
            for node in tree(path).body
            if isinstance(node, ast.Import | ast.ImportFrom)
            for each in ours_of(node)
        }
        for path in SHARED
    }
    while known:
        bottom = {module for module, needs in known.items() if not needs & known.keys()}
        assert bottom, f"a circle among {sorted(known)}"
        known = {module: needs for module, needs in known.items() if module not in bottom}


def ours_of(node: ast.Import | ast.ImportFrom) -> Iterator[str]:
    """The modules of `shared` that one import names."""
    if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("shared"):
        yield node.module or ""
        yield from (f"{node.module}.{each.name}" for each in node.names)


@pytest.mark.parametrize(
    "path", [path for path in (*SHARED, *FUNCTIONS) if path.stem != "config"], ids=name
)
def test_only_config_reads_the_environment(path: Path) -> None:
    read = {"environ", "environb", "getenv", "getenvb"}
    for node in ast.walk(tree(path)):
        assert not (isinstance(node, ast.Attribute) and node.attr in read and is_os(node.value))
        assert not (
            isinstance(node, ast.ImportFrom)
            and node.module == "os"
            and read & {each.name for each in node.names}
        )


def is_os(node: ast.expr) -> bool:
    """Whether an expression is the module `os`."""
    return isinstance(node, ast.Name) and node.id == "os"


def test_no_cloud_client_is_loaded_before_it_is_used() -> None:
    """Neither by a module of `shared` nor by an entrypoint: it would cost every cold start."""
    command = [sys.executable, "-c", IMPORT_ALL, ",".join(CLIENTS), *map(str, MAINS)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=ROOT / "tests")
    assert done.returncode == 0, done.stderr.splitlines()[-1]


@pytest.mark.parametrize("path", [*SHARED, *FUNCTIONS, *EMULATORS], ids=name)
def test_a_module_says_what_it_owns(path: Path) -> None:
    assert not path.stat().st_size or ast.get_docstring(tree(path))


def test_the_embedded_backend_needs_no_cloud_client(tmp_path: Path) -> None:
    command = [sys.executable, "-c", EMBEDDED, ",".join(CLIENTS), str(tmp_path / "zantara.db")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr.splitlines()[-1]


def test_an_agent_is_one_folder_that_nothing_else_names() -> None:
    """A newcomer adds one without touching any other file."""
    agents = [path.parent.name for path in MAINS if path.parent.name.startswith("agent_")]
    assert len(agents) >= 2
    for agent in set(agents) - {"agent_light"}:  # the seed's own, which has a port of its own
        for path in (*SHARED, *EMULATORS):
            assert agent not in path.read_text(), name(path)
