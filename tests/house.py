"""How the package stands, counted: ``python -m tests.house [FOLDER]``.

Rooms, imports between them, files that one other file imports, and the measures of its style.
FOLDER is a checkout; by default the one that this file lies in.
"""

from __future__ import annotations

import ast
import io
import sys
import tokenize
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

NOT_CODE = {
    tokenize.COMMENT,
    tokenize.NL,
    tokenize.NEWLINE,
    tokenize.INDENT,
    tokenize.DEDENT,
    tokenize.ENCODING,
    tokenize.ENDMARKER,
}
BRANCHES = (ast.If, ast.For, ast.While, ast.ExceptHandler, ast.IfExp, ast.comprehension)


def sources(root: Path, folder: str) -> dict[str, Path]:
    """Module name -> file, of a package or of the recipes' code."""
    found = {}
    for path in sorted((root / folder).rglob("*.py")):
        if "_data" in path.parts or "templates" in path.parts:
            continue
        parts = path.relative_to(root).with_suffix("").parts
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


def imported(path: Path, modules: Mapping[str, Path]) -> set[str]:
    """Modules that a file imports, late imports and those for types included."""
    return set(_resolved(_in_imports(path), modules))


def named_in_tables(path: Path, modules: Mapping[str, Path]) -> set[str]:
    """Modules that a file names in a string, as ``vbbench.metrics.motion:Motion``."""
    tree = ast.parse(path.read_text("utf-8"))
    texts = [node.value for node in ast.walk(tree) if isinstance(node, ast.Constant)]
    names = [text.partition(":")[0] for text in texts if isinstance(text, str) and " " not in text]
    return set(_resolved(names, modules))


def _in_imports(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def _resolved(names: Iterable[str], modules: Mapping[str, Path]) -> Iterator[str]:
    for name in names:
        parts = name.split(".")
        while parts and ".".join(parts) not in modules:
            parts.pop()
        if len(parts) > 1:
            yield ".".join(parts)


def room(module: str) -> str:
    """The first name below vbbench."""
    return module.split(".")[1] if "." in module else "vbbench"


def code_tokens(path: Path) -> tuple[int, int]:
    """Tokens of code (no comments, no docstrings) and the lines they stand on."""
    text = path.read_text("utf-8")
    docstrings = {
        (node.lineno, node.col_offset)
        for node in ast.walk(ast.parse(text))
        if isinstance(node, ast.Expr)
        and isinstance(node.value, ast.Constant)
        and isinstance(node.value.value, str)
    }
    count, lines = 0, set()
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        if token.type not in NOT_CODE and token.start not in docstrings:
            count += 1
            lines.add(token.start[0])
    return count, len(lines)


def complexities(path: Path) -> Iterator[tuple[int, str]]:
    """Branches + 1 of each function, and its place."""
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            branches = sum(isinstance(each, BRANCHES) for each in ast.walk(node))
            yield 1 + branches, f"{path}:{node.lineno} {node.name}"


def class_names(path: Path) -> Iterator[str]:
    """Names of the classes of a file."""
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.ClassDef):
            yield node.name


def single_importers(root: Path) -> tuple[dict[str, str], int]:
    """File -> the one other file that imports it; and how many files there are.

    A file that a table or a recipe names is a plug-in, and no helper of one caller.
    """
    modules = sources(root, "vbbench")
    importers: dict[str, set[str]] = defaultdict(set)
    plugins: set[str] = set()
    for name, path in {**modules, **sources(root, "baselines")}.items():
        plugins |= named_in_tables(path, modules)
        for each in imported(path, modules) - {name}:
            importers[each].add(name)
    for path in sorted((root / "baselines").glob("*/recipe.toml")):
        text = path.read_text("utf-8")
        plugins |= {name for name in modules if f'entry = "{name}:' in text}
    helpers = [name for name, path in modules.items() if path.name != "__init__.py"]
    lonely = {
        name: next(iter(importers[name]))
        for name in helpers
        if len(importers[name]) == 1 and name not in plugins
    }
    return lonely, len(modules)


def main(root: Path) -> None:
    """Print the counts."""
    modules = sources(root, "vbbench")
    arrows = Counter(
        (room(name), room(each))
        for name, path in modules.items()
        for each in imported(path, modules)
        if room(each) not in (room(name), "vbbench")
    )
    mutual = sorted(pair for pair in arrows if pair[::-1] in arrows and pair < pair[::-1])
    tokens, lines = map(sum, zip(*map(code_tokens, modules.values()), strict=True))
    texts = [path.read_text("utf-8").splitlines() for path in modules.values()]
    twice = [
        name
        for name, count in Counter(
            each for path in modules.values() for each in class_names(path)
        ).items()
        if count > 1
    ]
    lonely, files = single_importers(root)
    print(f"rooms: {len({room(name) for name in modules} - {'vbbench'})}")
    print(f"pairs of rooms that import each other: {len(mutual)} {mutual}")
    print(f"files: {files}; with a single importer: {len(lonely)} ({len(lonely) / files:.0%})")
    print(f"code tokens: {tokens}; a code line: {tokens / lines:.1f}")
    print(f"lines over 100 columns: {sum(len(line) > 100 for text in texts for line in text)}")
    print(f"class names that occur twice: {len(twice)} {sorted(twice)}")


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parents[1])
