"""Imports point one way, and every module says what it is for."""

import ast
from collections.abc import Iterator, Set
from functools import cache
from pathlib import Path

import networkx as nx
import pytest

PACKAGE = Path(__file__).parents[1] / "analytics_assets"
LAYERS = (
    {
        "settings",
        "setting_rules",
        "api_settings",
        "stream_settings",
        "addresses",
        "json_logs",
        "partitions",
        "processes",
        "quoting",
        "compat",
    },
    {"schemas"},
    {"warehouse"},
    {"sources", "lifetime", "questions", "serving"},
    {"churn", "streaming"},
    {"checks", "reports", "api", "dashboards"},
    {"assets"},
    {"automation"},
    {"definitions"},
    {"cli"},
)
RANK = {part: rank for rank, layer in enumerate(LAYERS) for part in layer}
MODULES = {str(path.relative_to(PACKAGE)): path for path in sorted(PACKAGE.rglob("*.py"))}
MOST_LINES = 400
NAMED_TUPLE = {"_asdict", "_fields", "_replace"}  # public, whatever their underscore
IN_A_LAYER = [name for name in MODULES if name != "__init__.py"]


def imported(tree: ast.AST, module: str) -> Iterator[str]:
    """Dotted names of all that a module imports, anywhere in it."""
    package = ["analytics_assets", *Path(module).parts[:-1]]
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            origin = node.module.split(".") if node.module else []
            if node.level:
                origin = package[: len(package) - node.level + 1] + origin
            yield from (".".join([*origin, alias.name]) for alias in node.names)


def part_of(module: str) -> str:
    return Path(module).parts[0].removesuffix(".py")


def tree_of(module: str) -> ast.Module:
    return ast.parse(MODULES[module].read_text(encoding="utf-8"))


def is_private(name: str) -> bool:
    return name.startswith("_") and not name.startswith("__")


@cache
def own_names() -> set[str]:
    """All private names that the package gives: to functions, classes, variables, attributes."""
    names = set()
    for module in MODULES:
        for node in ast.walk(tree_of(module)):
            match node:
                case (
                    ast.FunctionDef(name=name)
                    | ast.AsyncFunctionDef(name=name)
                    | ast.ClassDef(name=name)
                ):
                    names.add(name)
                case ast.Name(id=name, ctx=ast.Store()):
                    names.add(name)
                case ast.Attribute(value=ast.Name(id="self" | "cls"), attr=name, ctx=ast.Store()):
                    names.add(name)
    return {name for name in names if is_private(name)}


def private_names(tree: ast.AST, module: str, own: Set[str]) -> Iterator[str]:
    """Private modules and names of other packages that a module uses."""
    for name in imported(tree, module):
        if not name.startswith("analytics_assets.") and any(map(is_private, name.split("."))):
            yield name
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and node.attr not in own | NAMED_TUPLE:
            yield from filter(is_private, [node.attr])


@pytest.mark.parametrize("module", [name for name in MODULES if part_of(name) != "compat"])
def test_private_names_of_libraries_are_used_in_compat_alone(module: str) -> None:
    assert [*private_names(tree_of(module), module, own_names())] == []


@pytest.mark.parametrize(
    ("code", "found"),
    [
        ("from dagster._core.events import ASSET_EVENTS", ["dagster._core.events.ASSET_EVENTS"]),
        ("def f():\n    import dagster._utils", ["dagster._utils"]),
        ("from dagster import _core", ["dagster._core"]),
        ("trees = model._predictors", ["_predictors"]),
        ("step._metadata_accumulator = {}", ["_metadata_accumulator"]),
        ("Manager._ENV.close()", ["_ENV"]),
        ("self._ours(other._ours)", []),
        ("row._replace(a=1)", []),
        ("from analytics_assets.settings import _check_policies", []),
        ("from __future__ import annotations", []),
    ],
)
def test_every_use_of_a_private_name_is_seen(code: str, found: list[str]) -> None:
    assert list(private_names(ast.parse(code), "sources/load.py", {"_ours"})) == found


@pytest.mark.parametrize("module", IN_A_LAYER)
def test_a_module_imports_only_its_own_layer_and_those_below(module: str) -> None:
    ours = [name.split(".") for name in imported(tree_of(module), module)]
    parts = {name[1] for name in ours if name[0] == "analytics_assets"}
    assert parts <= RANK.keys()
    assert {part for part in parts if RANK[part] > RANK[part_of(module)]} == set()


def dotted(module: str) -> str:
    return ".".join(["analytics_assets", *Path(module).with_suffix("").parts]).removesuffix(
        ".__init__"
    )


def circles() -> list[list[str]]:
    """Modules that import each other, function-level imports included."""
    by_name = {dotted(module): module for module in MODULES}
    graph: nx.DiGraph[str] = nx.DiGraph()
    for module in MODULES:
        for name in imported(tree_of(module), module):
            # A name of a module, or a module of a package.
            target = by_name.get(name) or by_name.get(name.rpartition(".")[0])
            if target and target != module:
                graph.add_edge(module, target)
    return [sorted(some) for some in nx.strongly_connected_components(graph) if len(some) > 1]


def test_no_modules_import_each_other() -> None:
    assert circles() == []


@pytest.mark.parametrize(
    "module", [name for name in IN_A_LAYER if part_of(name) in ("churn", "lifetime")]
)
def test_models_know_no_dagster(module: str) -> None:
    roots = {name.split(".")[0] for name in imported(tree_of(module), module)}
    assert not {root for root in roots if root.startswith("dagster")}


@pytest.mark.parametrize("module", IN_A_LAYER)
def test_duckdb_is_imported_by_the_warehouse_and_the_sources_alone(module: str) -> None:
    """Everything else speaks the warehouse's Session, so that another engine can serve it."""
    roots = {name.split(".")[0] for name in imported(tree_of(module), module)}
    assert part_of(module) in ("warehouse", "sources") or "duckdb" not in roots


@pytest.mark.parametrize("module", MODULES)
def test_a_module_opens_with_a_docstring(module: str) -> None:
    assert ast.get_docstring(tree_of(module))


@pytest.mark.parametrize("module", MODULES)
def test_a_module_is_not_long(module: str) -> None:
    lines = MODULES[module].read_text(encoding="utf-8").count("\n")
    assert lines <= MOST_LINES


@pytest.mark.parametrize(
    ("code", "found"),
    [
        ("def f():\n    from analytics_assets.cli import main", "analytics_assets.cli.main"),
        ("if 1:\n    import analytics_assets.checks.schema as s", "analytics_assets.checks.schema"),
        ("from analytics_assets import automation", "analytics_assets.automation"),
        ("from ..automation import jobs", "analytics_assets.automation.jobs"),
        ("from . import config", "analytics_assets.sources.config"),
    ],
)
def test_every_form_of_import_is_seen(code: str, found: str) -> None:
    assert list(imported(ast.parse(code), "sources/load.py")) == [found]


OF_READERS = {
    "api": {
        *("api", "settings", "quoting", "schemas", "warehouse", "questions", "churn"),
        *("serving", "streaming"),
    },
    "dashboards": {
        *("dashboards", "settings", "quoting", "compat", "schemas", "warehouse", "questions"),
        "streaming",
    },
}


@pytest.mark.parametrize("module", IN_A_LAYER)
def test_readers_read_the_published_build_and_only_the_command_line_knows_them(
    module: str,
) -> None:
    ours = [name.split(".") for name in imported(tree_of(module), module)]
    parts = {name[1] for name in ours if name[0] == "analytics_assets"}
    part = part_of(module)
    if part in OF_READERS:
        assert parts <= OF_READERS[part]
    elif part != "cli":
        assert not parts & OF_READERS.keys()
