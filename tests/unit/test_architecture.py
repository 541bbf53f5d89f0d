"""The arrows of the design: who may know whom."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SHARED = sorted((ROOT / "shared").glob("*.py"))
BACKENDS = sorted((ROOT / "shared" / "backends").glob("*.py"))
FUNCTIONS = sorted((ROOT / "functions").glob("*/*.py"))
MAINS = sorted((ROOT / "functions").glob("*/main.py"))
EMULATORS = sorted((ROOT / "emulators").rglob("*.py"))

# What stands at the bottom knows nothing but what stands below it.
BOTTOM: Mapping[str, set[str]] = {
    "errors": set(),
    "money": set(),
    "store": set(),
    "bus": set(),
    "log": set(),
    "strictjson": {"errors"},
    "env": set(),
    "clock": set(),
    "limits": set(),
    "config": {"env", "errors", "money"},
    "shards": {"store"},
    "models": {"clock", "money", "shards", "store"},
    "messages": {"clock", "models", "money", "strictjson"},
}
# The rules know no HTTP: they work on the ports alone.
RULES = {"admission", "budgets", "endings", "hops", "ledgers", "pages", "sweeper", "tasks"}
RULES |= {"transitions", "steps", "redrives", *BOTTOM}
WEB = {"flask", "werkzeug", "functions_framework", "requests", "shared.endpoint", "shared.push"}
BACKEND_KNOWS = {"errors", "store", "bus", "backends"}
CLIENTS = ["google.cloud.firestore_v1", "google.cloud.firestore", "google.cloud.pubsub_v1", "grpc"]
CLIENTS += ["google.pubsub_v1", "google.api_core", "google.protobuf", "google.auth", "requests"]

IMPORT_ALL = """
import importlib, pkgutil, sys
from pathlib import Path

def loaded():
    return [name for name in sys.argv[1].split(",") if name in sys.modules]

import shared
for each in pkgutil.iter_modules(shared.__path__, "shared."):
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


def ours(path: Path) -> set[str]:
    """The modules of `shared` that a file imports."""
    modules = {each.stem for each in SHARED} | {"backends"}
    named = (name.split(".")[1] for name in imports(path) if name.startswith("shared."))
    return modules & set(named)


def name(path: Path) -> str:
    """A file as the tests call it."""
    return str(path.relative_to(ROOT))


@pytest.mark.parametrize("path", [*SHARED, *BACKENDS, *FUNCTIONS], ids=name)
def test_nothing_that_is_deployed_knows_the_local_cloud_or_the_tests(path: Path) -> None:
    known = {each.split(".")[0] for each in imports(path)}
    assert not known & {"emulators", "tests", "functions"}


@pytest.mark.parametrize("module", BOTTOM)
def test_the_bottom_knows_only_what_is_below(module: str) -> None:
    assert ours(ROOT / "shared" / f"{module}.py") <= BOTTOM[module]


@pytest.mark.parametrize("module", sorted(RULES))
def test_the_rules_know_no_http(module: str) -> None:
    known = set(imports(ROOT / "shared" / f"{module}.py"))
    assert not {each for each in known if each in WEB or each.split(".")[0] in WEB}


def test_backends_are_named_in_the_runtime_alone() -> None:
    knowing = {path.stem for path in SHARED if "backends" in ours(path)}
    assert knowing == {"runtime"}
    assert not [name(path) for path in FUNCTIONS if "backends" in ours(path)]


@pytest.mark.parametrize("path", BACKENDS, ids=name)
def test_a_backend_knows_its_port_and_the_errors_alone(path: Path) -> None:
    assert ours(path) <= BACKEND_KNOWS


def test_no_two_modules_need_each_other() -> None:
    """Imports at the top of a file; one within a function may look back."""
    known = {
        path.stem: {
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
    if isinstance(node, ast.ImportFrom) and node.module == "shared":
        yield from (each.name for each in node.names)
    elif isinstance(node, ast.ImportFrom) and (node.module or "").startswith("shared."):
        yield (node.module or "").split(".")[1]


@pytest.mark.parametrize(
    "path", [path for path in (*SHARED, *BACKENDS, *FUNCTIONS) if path.stem != "config"], ids=name
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


@pytest.mark.parametrize("path", [*SHARED, *BACKENDS, *FUNCTIONS, *EMULATORS], ids=name)
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
        for path in (*SHARED, *BACKENDS, *EMULATORS):
            assert agent not in path.read_text(), name(path)
