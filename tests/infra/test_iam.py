"""Each function may publish where its code publishes, and nowhere else."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from functools import cache
from pathlib import PurePath
from typing import Any

from emulators import topology
from tests.infra.conftest import ROOT, resources

PUBLISHES = {
    ("publish", "to_agent"): {"tasks"},
    ("publish", "to_agent_soon"): {"tasks"},
    ("publish", "to_results"): {"results"},
    ("publish", "to_callback"): {"callbacks"},
    ("bus", "publish"): {"tasks", "results", "callbacks"},
}
Place = tuple[str, str]  # a module, and a function, class or method in it; empty: its top level


@cache
def mentions(module: str) -> dict[str, set[Place]]:
    """What each function of a module names: `commits.claim`, `_settle`, `services.bus.publish`."""
    tree = ast.parse((ROOT / module).read_text())
    found: dict[str, set[Place]] = {"": set()}
    functions = {each.name: each for each in ast.walk(tree) if isinstance(each, ast.FunctionDef)}
    for name, function in functions.items():
        found[name] = set(named(function))
    inside = {id(node) for function in functions.values() for node in ast.walk(function)}
    for node in ast.walk(tree):
        if id(node) not in inside:
            found[""] |= set(named(node))
    return found


@cache
def imports(module: str) -> dict[str, str]:
    """The names that it imports from `shared`: a module's own file, or the file that has them."""
    return {
        alias.asname or alias.name: home(str(node.module).replace(".", "/"), alias.name)
        for node in ast.walk(ast.parse((ROOT / module).read_text()))
        if isinstance(node, ast.ImportFrom) and str(node.module).startswith("shared")
        for alias in node.names
    }


def home(package: str, name: str) -> str:
    """The file of the module of that name in a package, or else of the package itself."""
    module = f"{package}/{name}.py"
    return module if (ROOT / module).is_file() else f"{package}.py"


@cache
def modules(name: str) -> list[str]:
    """The files of `shared` of that name: an object is called as its class's module is."""
    return [str(path.relative_to(ROOT)) for path in (ROOT / "shared").rglob(f"{name}.py")]


def named(node: ast.AST) -> Iterator[Place]:
    """Every name below a node, with what it is taken from."""
    for each in ast.walk(node):
        if isinstance(each, ast.Attribute):
            source = each.value
            yield getattr(source, "id", getattr(source, "attr", "")), each.attr
        elif isinstance(each, ast.Name):
            yield "", each.id


def topics(module: str, function: str, seen: set[tuple[str, str]]) -> set[str]:
    """The topics to which a function publishes, itself or by what it names."""
    if (module, function) in seen or function not in mentions(module):
        return set()
    seen.add((module, function))
    found: set[str] = set()
    for source, name in mentions(module)[function]:
        found |= PUBLISHES.get((source, name), set())
        if source == "publish":
            continue
        sibling = str(PurePath(module).with_name(f"{source}.py"))
        imported = imports(module).get(source or name, module)
        others = modules(source) if source and source not in imports(module) else [imported]
        places = [each for each in (*others, sibling) if (ROOT / each).is_file()]
        for place in places or [module]:
            found |= topics(place, name, seen)
    return found


def test_every_function_may_publish_just_where_its_code_does(plan: dict[str, Any]) -> None:
    granted = set(resources(plan, "google_pubsub_topic_iam_member"))
    granted -= {"dead_letters", "ticks"}  # Google's own agents
    needed = set()
    for target in topology.functions():
        module, seen = f"functions/{target}/main.py", set[Place]()
        for function in mentions(module):
            needed |= {f"{target}:{topic}" for topic in topics(module, function, seen)}
    assert granted == needed
