"""The suites that there are: bundled ones and those of installed packages by name, any by its
folder.

Packages add theirs by the entry-point group ``vbbench.suites``: each entry point is a function
without arguments that returns suite folders.
"""

from __future__ import annotations

from pathlib import Path

from vbbench.core.names import nearest
from vbbench.core.paths import prompts_dir
from vbbench.core.plugins import load_plugins, warn_once
from vbbench.data import rendered_suite
from vbbench.data.suite import is_waiting, read_folder, read_header
from vbbench.errors import UsageError
from vbbench.types import PromptSuite

ENTRY_POINT_GROUP = "vbbench.suites"


def load_suite(name_or_folder: Path | str) -> PromptSuite:
    """Read and check a suite; one of the miniature world is rendered when it is first used.

    Args:
        name_or_folder: a bundled suite's name, or any suite's folder.
    Raises:
        UsageError: no such suite.
        SuiteError: a file is missing, a record is wrong, or the digest is not the recorded one.
    """
    root = name_or_folder if isinstance(name_or_folder, Path) else resolve_suite(name_or_folder)
    header = read_header(root)
    if is_waiting(root, header):
        return rendered_suite.from_cache(header, read_folder)
    return read_folder(root, header)


def suite_names() -> list[str]:
    """Names of the bundled suites, then those of installed packages, each sorted."""
    return [*_bundled_names(), *sorted(_plugins())]


def _bundled_names() -> list[str]:
    return sorted(path.parent.name for path in prompts_dir().glob("*/suite.toml"))


def _plugins() -> dict[str, Path]:
    """Suite folders of installed packages, by the suite's name; bundled names stay the bundled
    suites'."""
    found: dict[str, Path] = {}
    bundled = _bundled_names()
    for name, folder in load_plugins(ENTRY_POINT_GROUP, _named):
        taken = name in bundled or found.get(name, folder) != folder
        if taken:
            warn_once(f"the suite {folder} is left out: there is a suite {name!r} already.")
        else:
            found[name] = folder
    return found


def _named(folder: Path) -> tuple[str, Path]:
    return str(read_header(folder)["name"]), folder


def resolve_suite(name: str) -> Path:
    """Folder of a suite, by its name or by its path.

    Raises:
        UsageError: neither a known suite nor a folder; or one that must be made of data that
            cannot be bundled.
    """
    if name in _bundled_names():
        return prompts_dir() / name
    if Path(name).is_dir():
        return Path(name)
    plugins = _plugins()
    if name in plugins:
        return plugins[name]
    if name in (path.parent.name for path in prompts_dir().glob("*/README.md")):
        raise UsageError(
            f"the suite {name!r} is not bundled: {prompts_dir() / name / 'README.md'} says what it "
            "needs."
        )
    raise UsageError(f"there is no suite {name!r}: {nearest(name, suite_names())}")
