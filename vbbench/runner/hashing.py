"""What a job's hash is made of: everything that decides its result, and nothing else.

Code is hashed as what it does, not as text: comments, docstrings and layout do not count. A
recipe's own files count, the module of its entry, and every module of vbbench that any of these
imports or names in a string, and so on: the entry's import closure.
"""

from __future__ import annotations

import ast
import csv
import importlib.util
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from functools import lru_cache
from pathlib import Path
from typing import Any

from vbbench.core import paths
from vbbench.core.digests import file_digest, folder_files, json_digest, sha256_of
from vbbench.core.paths import weights_dir, weights_path
from vbbench.core.weights_file import read_card, verified_digest
from vbbench.errors import RecipeError
from vbbench.models.recipes import scale_settings
from vbbench.networks.weights.pretrained import pretrained_digests
from vbbench.types import PromptItem, Recipe, SamplingParams, Subject

ALWAYS_HASHED = ("vbbench.media.video",)
"""Modules that make a video's file, whichever model made the video."""
BEHIND_FACE = ("vbbench.types", "vbbench.attention")
"""What the public face gives to models. It loads late, so whoever imports `vbbench` may use it all."""
NEVER_HASHED = ("vbbench", "vbbench.core.version")
"""The public face and the version change no video."""
_PACKAGE = "vbbench"
# "module:Class" strings are imports too: that is how tables name what they load late
_DOTTED = re.compile(r"([A-Za-z_]\w*(?:\.[A-Za-z_]\w*)+)(?::\w+)?")


def digest_of(content: Any) -> str:
    """SHA-256 over anything JSON or TOML can hold (dates count by their text); the order of keys
    does not count."""
    return json_digest(content, default=str)


def weights_digests(recipe: Recipe, scale: str) -> dict[str, str]:
    """Digest of every weights file that a recipe names, each held against its card, and of what it
    names under ``pretrained``.

    Raises:
        RecipeError: a table of weights that cannot be understood.
        WeightsError: one is missing or damaged.
    """
    settings = scale_settings(recipe, scale)
    names = settings.get("weights", {})
    if not isinstance(names, Mapping) or not all(isinstance(name, str) for name in names.values()):
        raise RecipeError(
            f"weights of the model {recipe.name!r} must be a table of names, not {names!r}."
        )
    own = {name: verified_digest(weights_path(name, scale)) for name in _names_of_weights(settings)}
    return {**own, **pretrained_digests(settings, recipe.folder)}


def _names_of_weights(settings: Mapping[str, Any]) -> list[str]:
    return sorted(set(settings.get("weights", {}).values()))


def model_content(recipe: Recipe, scale: str, weights: Mapping[str, str]) -> dict[str, Any]:
    """What a model is: its code, its settings (without cost and sampling, which are no part of it)
    and its weights.

    Offloading changes no number, so it does not count either.
    """
    settings = {
        key: value
        for key, value in scale_settings(recipe, scale).items()
        if key not in ("cost", "sampling")
    }
    if isinstance(memory := settings.pop("memory", {}), Mapping):
        memory = {key: value for key, value in memory.items() if key != "offload"}
    if memory:
        settings["memory"] = memory
    return {
        "name": recipe.name,
        "entry": recipe.entry,
        "code": code_digest(recipe),
        "settings": settings,
        "weights": dict(weights),
        "configurations": {
            name: read_card(weights_path(name, scale)).get("config")
            for name in sorted(set(settings.get("weights", {}).values()))
        },
        "data": _data_digests(settings.get("data", []), scale, recipe),
    }


def _data_digests(names: Any, scale: str, recipe: Recipe) -> dict[str, str | None]:
    """Digests of the files beside the weights that a recipe names under ``data``, and of what a
    table among them names; None: not there."""
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise RecipeError(
            f"data of the model {recipe.name!r} must be a list of files beside the weights, not {names!r}."
        )
    found: dict[str, str | None] = {}
    for name in names:
        path = weights_dir(scale) / name
        found[name] = file_digest(path) if path.is_file() else None
        if path.suffix == ".csv" and path.is_file():
            with path.open(encoding="utf-8", errors="replace", newline="") as file:
                cells = {cell for row in csv.reader(file) for cell in row if cell}
            found |= {
                cell: file_digest(path.parent / cell)
                for cell in sorted(cells)
                if _is_file(path.parent / cell)
            }
    return found


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except OSError:  # a cell that is a long text, and no name
        return False


def subject_content(subject: Subject) -> dict[str, Any]:
    """What a model can learn of a subject."""
    return {
        "id": subject.id,
        "class": subject.class_name,
        "image": file_digest(subject.image),
        "clips": [file_digest(clip) for clip in subject.clips],
        "captions": list(subject.captions),
        "references": [file_digest(picture) for picture in subject.references],
        "masks": [file_digest(mask) for mask in subject.masks],
        "world": dict(subject.world) if subject.world is not None else None,
    }


def item_content(item: PromptItem, subject: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """What a model can read of an item, its subject included.

    Args:
        subject: its `subject_content`, where that is known: photographs are large, and a subject
            has many items.
    """
    videos = (item.reference_video, item.other_video)
    return {
        "id": item.id,
        "subject": subject_content(item.subject) if subject is None else subject,
        "text": item.text,
        "subject_word": item.subject_word,
        "seeds": [item.seed, item.image_seed],
        "asked": [item.scene, item.motion],
        "videos": [file_digest(video) if video is not None else None for video in videos],
    }


def params_content(params: SamplingParams) -> dict[str, Any]:
    """What decides a video beside model and item. The batch size does not: a video is the same in
    any company."""
    return {key: value for key, value in asdict(params).items() if key != "batch_size"}


def code_digest(recipe: Recipe) -> str:
    """Digest of all code that a recipe's videos come from, and of the data files in its folder."""
    files = _own_files(recipe)
    code = _own_code(recipe, files)
    passed_over = {
        *code,
        *(
            name
            for name, path in files.items()
            if path.suffix == ".md" or path.name == "recipe.toml"
        ),
    }
    data = {name: file_digest(path) for name, path in files.items() if name not in passed_over}
    return digest_of({"data": data, "code": code_sources(recipe)})


def code_sources(recipe: Recipe) -> dict[str, str]:
    """Module -> digest of what it does, for every source that a recipe's videos come from: its
    entry's import closure."""
    roots = {_PACKAGE: paths.PACKAGE}
    pending = _own_code(recipe, _own_files(recipe))
    module = recipe.entry.split(":")[0]
    if not module.endswith(".py"):
        roots.setdefault(module.split(".")[0], _package_root(module, recipe))
        pending.update(_modules(module, roots))
    for always in ALWAYS_HASHED:
        pending.update(_modules(always, roots))
    return _closure(pending, roots)


def _own_files(recipe: Recipe) -> dict[str, Path]:
    return {
        f"{recipe.name}/{path.relative_to(recipe.folder).as_posix()}": path
        for path in folder_files(recipe.folder)
    }


def _own_code(recipe: Recipe, files: Mapping[str, Path]) -> dict[str, Path]:
    """The recipe's own Python files; none of a program's, which may be of any Python."""
    return (
        {}
        if recipe.command
        else {name: path for name, path in files.items() if path.suffix == ".py"}
    )


def _package_root(module: str, recipe: Recipe) -> Path:
    """Folder (or file) of an entry's top-level package, found without importing it."""
    spec = importlib.util.find_spec(module.split(".")[0])
    if spec is None or spec.origin is None:
        raise RecipeError(
            f"the model {recipe.name!r} needs the module {module!r}, which is not installed."
        )
    origin = Path(spec.origin)
    return origin.parent if origin.name == "__init__.py" else origin


def _closure(pending: dict[str, Path], roots: Mapping[str, Path]) -> dict[str, str]:
    """Digest of each given source and of each module under the roots that it imports, and so on."""
    digests: dict[str, str] = {}
    while pending:
        name, path = pending.popitem()
        if name in digests or name in NEVER_HASHED:
            continue
        digests[name], imports = _source_facts(
            _source_bytes(path), str(path), name, path.name == "__init__.py"
        )
        for imported in imports:
            for module in BEHIND_FACE if imported == _PACKAGE else (imported,):
                pending.update(_modules(module, roots))
    return digests


def _source_bytes(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise _unreadable(str(path), error) from None


@lru_cache(maxsize=4096)
def _source_facts(
    source: bytes, path: str, module: str, is_package: bool
) -> tuple[str, tuple[str, ...]]:
    """Digest of what a source does, and the names that it may import.

    Remembered by the source's bytes, never by its time: every model of a plan looks at the same
    hundred files.
    """
    try:
        tree = ast.parse(source, filename=path)
    except (SyntaxError, ValueError) as error:
        raise _unreadable(path, error) from None
    # docstrings, and what only type checkers read, do not run
    tree = _OnlyWhatRuns().visit(tree)
    digest = sha256_of(ast.unparse(tree))
    return digest, tuple(dict.fromkeys(_imports(tree, module, is_package=is_package)))


def _unreadable(path: str, error: Exception) -> RecipeError:
    return RecipeError(f"the source {path} cannot be read: {error}.")


class _OnlyWhatRuns(ast.NodeTransformer):
    """Drops docstrings and ``if TYPE_CHECKING`` blocks."""

    def visit_If(self, node: ast.If) -> Any:
        if isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING":
            return [self.visit(child) for child in node.orelse]
        return self.generic_visit(node)

    def _undocumented(self, node: Any) -> Any:
        if ast.get_docstring(node, clean=False) is not None:
            node.body = node.body[1:] or [ast.Pass()]
        return self.generic_visit(node)

    visit_Module = visit_ClassDef = visit_FunctionDef = visit_AsyncFunctionDef = _undocumented


def _imports(tree: ast.Module, module: str, *, is_package: bool) -> Iterator[str]:
    """Names of modules, and of what may be modules, that a source mentions."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            above = (
                module.split(".")[: len(module.split(".")) - node.level + (1 if is_package else 0)]
                if node.level
                else []
            )
            base = ".".join([*above, *filter(None, [node.module])])
            yield base
            yield from (f"{base}.{alias.name}" for alias in node.names)
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            dotted = _DOTTED.fullmatch(node.value)
            if dotted:
                yield dotted[1]


def _modules(name: str, roots: Mapping[str, Path]) -> dict[str, Path]:
    """Source files that importing a dotted name runs: each package on the way, then the module.
    Empty outside the roots."""
    top, *rest = name.split(".")
    root = roots.get(top)
    if root is None:
        return {}
    if root.is_file():
        return {top: root}
    return dict(_walk(top, root, rest))


def _walk(top: str, root: Path, parts: Sequence[str]) -> Iterator[tuple[str, Path]]:
    here, name = root, top
    for part in (None, *parts):
        if part is not None:
            here, name = here / part, f"{name}.{part}"
        if (here / "__init__.py").is_file():
            yield name, here / "__init__.py"
        elif here.with_suffix(".py").is_file():
            yield name, here.with_suffix(".py")
        else:
            return  # an attribute, not a module
