"""The suites that there are: bundled ones by name, any by its folder."""

from __future__ import annotations

from pathlib import Path

from vbbench.core.names import nearest
from vbbench.core.paths import prompts_dir
from vbbench.data import rendered_suite
from vbbench.data.suite import is_waiting, read_folder, read_header
from vbbench.errors import UsageError
from vbbench.types import PromptSuite


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
    """Names of the bundled suites, sorted."""
    return sorted(path.parent.name for path in prompts_dir().glob("*/suite.toml"))


def resolve_suite(name: str) -> Path:
    """Folder of a suite, by its name or by its path.

    Raises:
        UsageError: neither a bundled suite nor a folder; or one that must be made of data that
            cannot be bundled.
    """
    if name in suite_names():
        return prompts_dir() / name
    if Path(name).is_dir():
        return Path(name)
    if name in (path.parent.name for path in prompts_dir().glob("*/README.md")):
        raise UsageError(
            f"the suite {name!r} is not bundled: {prompts_dir() / name / 'README.md'} says what it needs."
        )
    raise UsageError(f"there is no suite {name!r}: {nearest(name, suite_names())}")
