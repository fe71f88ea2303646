"""Imports run one way, and importing the package costs nothing."""

from __future__ import annotations

import ast
import importlib
import inspect
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

import vbbench
from vbbench.models.registry import all_recipes

PACKAGE = Path(vbbench.__file__).parent

# In this order, strictly: a room imports only from rooms above it. So no two rooms import each
# other.
ROOMS = (
    "types",
    "errors",
    "core",
    "media",
    "attention",
    "networks",
    "models",
    "data",
    "metrics",
    "runner",
    "results",
    "training",
    "profiling",
    "report",
    "cli",
)
PLACE = {name: place for place, name in enumerate(ROOMS)}
# What conditions a model must not score it: the encoders of one side are unknown to the other.
APART = {frozenset({"models", "metrics"}), frozenset({"networks", "metrics"})}
FOR_RECIPES = ("types", "errors", "media", "networks", "models", "data", "core.paths", "core.words")
"""What code in baselines/ may import; everything else is no door for a model."""
WITHOUT_TORCH = ("types", "errors", "results", "report")
PAGE_MAKERS = ("torch", "jinja2", "markupsafe", "matplotlib")
"""What results/ must not load."""
COMPUTING = tuple(
    f"vbbench.results.{name}"
    for name in (
        "aggregate",
        "claims.evaluate",
        "clustered",
        "comparisons",
        "gate.compare",
        "items",
        "normalised",
        "power",
        "statistics",
        "tables",
        "validity",
    )
)
"""Files of results/ that compute numbers; `results.analysis` calls them."""
HEAVY = (
    "torch",
    "numpy",
    "pydantic",
    "PIL",
    "av",
    "pandas",
    "rich",
    "scipy",
    "matplotlib",
    "transformers",
    "diffusers",
)


def sources() -> list[Path]:
    return sorted(
        path for path in PACKAGE.rglob("*.py") if "_data" not in path.relative_to(PACKAGE).parts
    )


def imports(path: Path) -> Iterator[tuple[str, int]]:
    """Absolute names of what a file imports at run time, with line numbers."""
    for node in ast.walk(_without_type_checking(ast.parse(path.read_text("utf-8")))):
        if isinstance(node, ast.Import):
            yield from ((alias.name, node.lineno) for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            yield from ((f"{node.module}.{alias.name}", node.lineno) for alias in node.names)


def _without_type_checking(tree: ast.Module) -> ast.Module:
    class Drop(ast.NodeTransformer):
        def visit_If(self, node: ast.If) -> ast.AST | list[ast.stmt]:
            return (
                node.orelse
                if ast.unparse(node.test) == "TYPE_CHECKING"
                else self.generic_visit(node)
            )

    return Drop().visit(tree)


def part(path: Path) -> str:
    """The first name below vbbench: ``models`` of vbbench/models/base.py."""
    return path.relative_to(PACKAGE).with_suffix("").parts[0]


def imported_part(name: str) -> str | None:
    """The room that an import leads to; ``face`` for the package itself."""
    top, *rest = name.split(".")
    if top != "vbbench":
        return None
    is_part = bool(rest) and ((PACKAGE / rest[0]).is_dir() or (PACKAGE / f"{rest[0]}.py").is_file())
    return rest[0] if is_part else "face"


def test_every_room_has_a_place() -> None:
    assert {part(path) for path in sources()} - {"__init__", "__main__"} == set(ROOMS)


def test_imports_run_one_way() -> None:
    """Also those within functions: that an import is late makes it no other arrow."""
    wrong = []
    for path in sources():
        here = part(path)
        if here in ("__init__", "__main__"):  # the doors: they lead to every room
            continue
        for name, line in imports(path):
            there = imported_part(name)
            if there is None or there == here:
                continue
            if there == "face" or PLACE[there] > PLACE[here] or frozenset({here, there}) in APART:
                wrong.append(f"{path.relative_to(PACKAGE)}:{line} imports {name}")
    assert wrong == []


def test_files_import_each_other_in_no_circle() -> None:
    files = {module_name(path): path for path in sources()}
    left = {
        name: {each for each, _ in imported_files(path, files)} - {name}
        for name, path in files.items()
    }
    while leaves := {name for name, needs in left.items() if not needs & left.keys()}:
        left = {name: needs for name, needs in left.items() if name not in leaves}
    assert left == {}


def module_name(path: Path) -> str:
    parts = path.relative_to(PACKAGE.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def imported_files(path: Path, files: Mapping[str, Path]) -> Iterator[tuple[str, int]]:
    """Modules that a file names in its imports; a package counts only where a name is taken from
    its own file."""
    for name, line in imports(path):
        module = name if name in files else name.rpartition(".")[0]
        if module in files:
            yield module, line


def test_relative_imports_are_not_used() -> None:
    """They would slip past the test above."""
    relative = [
        f"{path.relative_to(PACKAGE)}:{node.lineno}"
        for path in sources()
        for node in ast.walk(ast.parse(path.read_text("utf-8")))
        if isinstance(node, ast.ImportFrom) and node.level
    ]
    assert relative == []


def test_package_never_imports_its_recipes() -> None:
    assert not [
        name
        for path in sources()
        for name, _ in imports(path)
        if name.split(".")[0] in ("baselines", "tests")
    ]


def test_reports_need_no_torch() -> None:
    wrong = [
        f"{path.relative_to(PACKAGE)}:{n}"
        for path in sources()
        if part(path) in WITHOUT_TORCH
        for name, n in imports(path)
        if name.split(".")[0] == "torch"
    ]
    assert wrong == []
    paths = [
        path.relative_to(PACKAGE.parent).with_suffix("")
        for path in sources()
        if part(path) == "report"
    ]
    names = [".".join(path.parts) for path in paths if path.name != "__init__"]
    assert loaded_by("; ".join(f"import {name}" for name in names)) & {"torch"} == set()


def test_results_make_no_pages() -> None:
    """Numbers first, pages of them later: results/ knows neither HTML nor pictures."""
    wrong = [
        f"{path.relative_to(PACKAGE)}:{line} imports {name}"
        for path in sources()
        if part(path) == "results"
        for name, line in imports(path)
        if name.split(".")[0] in PAGE_MAKERS
    ]
    assert wrong == []
    paths = [path for path in sources() if part(path) == "results" and path.stem != "__init__"]
    code = "; ".join(f"import {module_name(path)}" for path in paths)
    assert loaded_by(code) & set(PAGE_MAKERS) == set()


def test_reports_compute_nothing() -> None:
    """What a page shows was computed by results/, once: report/ takes classes and constants of the
    files that compute, and none of their functions."""
    wrong = []
    for path in sources():
        if part(path) != "report":
            continue
        for name, line in imports(path):
            module, _, member = name.rpartition(".")
            computes = module in COMPUTING and inspect.isfunction(
                getattr(importlib.import_module(module), member, None)
            )
            if computes or name in COMPUTING or name.split(".")[0] == "scipy":
                wrong.append(f"{path.relative_to(PACKAGE)}:{line} imports {name}")
    assert wrong == []


def test_the_package_says_that_it_has_types() -> None:
    """The wheel too: its tests read the installed package."""
    assert (PACKAGE / "py.typed").is_file()


@pytest.mark.parametrize(
    "code",
    [
        "import vbbench, vbbench.types, vbbench.errors, vbbench.models.registry",
        "from vbbench.cli import make_parser; make_parser()",
    ],
)
def test_light_modules_load_nothing_heavy(code: str) -> None:
    assert loaded_by(code) & set(HEAVY) == set()


def loaded_by(code: str) -> set[str]:
    """Top-level modules in a fresh Python after running some code."""
    script = f"import sys; sys.path.insert(0, {str(PACKAGE.parent)!r}); {code}; print(*sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True, timeout=120
    )
    return {name.split(".")[0] for name in done.stdout.split()}


def test_bundled_recipes_use_no_private_attribute_but_their_own() -> None:
    wrong = []
    for recipe in all_recipes().values():
        for path in recipe.folder.rglob("*.py"):
            tree = ast.parse(path.read_text("utf-8"))
            own = defined_names(tree)
            for node in ast.walk(tree):
                if (
                    isinstance(node, ast.Attribute)
                    and is_private(node.attr)
                    and node.attr not in own
                ):
                    wrong.append(f"{recipe.name}/{path.name}:{node.lineno} uses {node.attr}")
    assert wrong == []


def is_private(name: str) -> bool:
    return name.startswith("_") and not name.startswith("__")


def defined_names(tree: ast.Module) -> set[str]:
    """Names of functions, and of attributes that are assigned."""
    names = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef):
            names.add(node.name)
        elif isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store):
            names.add(node.attr)
    return names


def test_bundled_recipes_use_public_doors() -> None:
    """Recipes are read from baselines/ as a user's folder is; their code imports public names of
    the rooms that models are made of."""
    wrong = []
    for recipe in all_recipes().values():
        for path in recipe.folder.rglob("*.py"):
            for name, line in imports(path):
                _, *parts = name.split(".")
                if name.split(".")[0] != "vbbench":
                    continue
                private = any(each.startswith("_") for each in parts)
                if private or not any(".".join(parts).startswith(room) for room in FOR_RECIPES):
                    wrong.append(f"{recipe.name}/{path.name}:{line} imports {name}")
    assert wrong == []
