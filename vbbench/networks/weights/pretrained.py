"""Weights of others that a recipe names in ``[scales.<scale>.pretrained.<part>]``: folders as
diffusers writes them, or the hub's.

Nothing in them is run: tensors are read from safetensors alone, and classes are those of the
installed diffusers and transformers.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vbbench.core import hub, paths
from vbbench.core.digests import folder_digest
from vbbench.core.names import nearest
from vbbench.errors import RecipeError, WeightsError, reason_of

KEYS = ("folder", "repository", "revision", "class", "subfolder")
INDEX = "model_index.json"
_COMMIT = re.compile(r"[0-9a-f]{40}")
_REPOSITORY = re.compile(r"[\w.-]+/[\w.-]+")


@dataclass(frozen=True)
class Source:
    """Where one part's weights come from: a folder, or a repository of the hub at one commit.

    Attributes:
        part: what they are for: ``pipeline``, or the name of one of its components.
        folder: as the recipe has it, relative to the recipe's folder or to that of the scale's
            weights; None for the hub's.
        repository, revision: ``owner/name`` and a commit; None for a folder.
        class_name: of a component, whose folder does not say it.
        subfolder: of a component that lies inside of a larger repository or folder; empty for none.
    """

    part: str
    folder: str | None
    repository: str | None
    revision: str | None
    class_name: str | None
    subfolder: str


def sources(settings: Mapping[str, Any]) -> dict[str, Source]:
    """What a scale's settings name under ``pretrained``, by part; nothing where there is no such
    table.

    Raises:
        RecipeError: a key that means nothing, neither or both of folder and repository, or a
            revision that could move.
    """
    tables = settings.get("pretrained", {})
    if not isinstance(tables, Mapping) or not all(
        isinstance(table, Mapping) for table in tables.values()
    ):
        raise RecipeError(
            f"pretrained must hold tables, [scales.{settings['scale']}.pretrained.pipeline] for one, not {tables!r}."
        )
    return {
        part: _source(part, table, f"[scales.{settings['scale']}.pretrained.{part}]")
        for part, table in tables.items()
    }


def _source(part: str, table: Mapping[str, Any], where: str) -> Source:
    for key, value in table.items():
        if key not in KEYS:
            raise RecipeError(f"{where} has the unknown key {key!r}: {nearest(key, KEYS)}")
        if not isinstance(value, str) or not value:
            raise RecipeError(f"{key} in {where} must be a text, not {value!r}.")
    folder, repository, revision = (
        table.get("folder"),
        table.get("repository"),
        table.get("revision"),
    )
    if (folder is None) == (repository is None):
        raise RecipeError(f"{where} must name a folder or a repository of the hub, one of the two.")
    if repository is not None and not _REPOSITORY.fullmatch(repository):
        raise RecipeError(f"the repository in {where} must be 'owner/name', not {repository!r}.")
    if repository is not None and not _COMMIT.fullmatch(revision or ""):
        raise RecipeError(
            f"{where} needs revision = the 40 hex digits of a commit of {repository}, not {revision!r}: a branch moves, and scores with it."
        )
    subfolder = table.get("subfolder", "")
    if Path(subfolder).is_absolute() or ".." in Path(subfolder).parts:
        raise RecipeError(
            f"the subfolder in {where} must lie inside of what it is a part of, not {subfolder!r}."
        )
    return Source(part, folder, repository, revision, table.get("class"), subfolder)


def pretrained_digests(settings: Mapping[str, Any], folder: Path) -> dict[str, str]:
    """What identifies each part's weights: the SHA-256 over a folder's files, or
    ``owner/name@commit``. Downloads nothing.

    Args:
        folder: the recipe's.
    Raises:
        RecipeError: as `sources`.
        WeightsError: a folder is not there, or what the hub has is not at hand and must not be
            downloaded.
    """
    return {
        part: _identity(source, settings["scale"], folder)
        for part, source in sources(settings).items()
    }


def _identity(source: Source, scale: str, folder: Path) -> str:
    if source.folder is None:
        if hub.refusal() and cached_file(source, _first_file(source)) is None:
            raise not_at_hand(source, "")
        return f"{source.repository}@{source.revision}"
    found = local_folder(source, scale, folder)
    linked = next((path for path in found.rglob("*") if path.is_symlink() and path.is_dir()), None)
    if linked is not None:  # what lies behind it would be loaded, and not be seen by the digest
        raise WeightsError(f"{linked} is a link to a folder: put the folder itself into {found}.")
    return folder_digest(found)


def local_folder(source: Source, scale: str, folder: Path) -> Path:
    """The folder that a source names: beside the recipe, else among the scale's weights.

    Raises:
        WeightsError: it is in neither place.
    """
    named = Path(source.folder or "").expanduser()
    places = (
        [folder / named]
        if named.is_absolute()
        else [folder / named, paths.weights_dir(scale) / named]
    )
    found = next((place for place in places if place.is_dir()), None)
    if found is None:
        hint = (
            ""
            if named.is_absolute()
            else f" ({paths.WEIGHTS_VARIABLE} names the folder above {scale}/)"
        )
        raise WeightsError(
            f"the weights of the {source.part} are not there: put them into {' or '.join(map(str, places))}{hint}."
        )
    return found


def check_safe(folder: Path) -> None:
    """Does nothing for a pipeline's folder all of whose classes are diffusers' or transformers'
    own.

    Raises:
        WeightsError: it is no such folder, or it names code of its own or of other packages.
    """
    from diffusers import pipelines

    try:
        index = json.loads((folder / INDEX).read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise WeightsError(f"{folder} holds no pipeline: it has no {INDEX}.") from None
    except (OSError, ValueError) as error:
        raise WeightsError(f"{folder / INDEX} cannot be read: {error}.") from None
    if not isinstance(index, dict) or not isinstance(index.get("_class_name"), str):
        raise WeightsError(
            f"{folder / INDEX} names no pipeline of diffusers; code of its own is not run."
        )
    for name, value in index.items():
        library = value[0] if isinstance(value, list) and value else None
        if library is None or name.startswith("_"):
            continue
        if library not in ("diffusers", "transformers") and not hasattr(pipelines, str(library)):
            raise WeightsError(
                f"the part {name} in {folder / INDEX} is of {library!r}; only classes of diffusers and transformers are loaded."
            )
    code = next(
        folder.rglob("*.py"), None
    )  # diffusers would run some of it in the place of the library's
    if code is not None:
        raise WeightsError(
            f"{folder} brings code of its own, {code.relative_to(folder)}, which is not run: take it out."
        )


def fetch(source: Source, cls: Any) -> Path:
    """Folder of a repository's files in the hub's cache, downloaded where they are not there;
    pickles are not fetched.

    Args:
        cls: class of the pipeline, which knows the files it needs; None for a component.
    Raises:
        WeightsError: they are not at hand and cannot be had.
    """
    try:
        return _hub_folder(source, cls, local=True)
    except Exception as error:  # the hub's client and diffusers raise of everything
        if hub.refusal():
            raise not_at_hand(source, "") from error
    try:
        _ask(source)
        return _hub_folder(source, cls, local=False)
    except Exception as error:
        reason = reason_of(error)
        raise not_at_hand(source, reason) from error


def _hub_folder(source: Source, cls: Any, *, local: bool) -> Path:
    if cls is not None:  # diffusers alone knows which files a pipeline needs
        return Path(
            cls.download(
                source.repository,
                revision=source.revision,
                use_safetensors=True,
                local_files_only=local,
            )
        )
    at = f"{source.subfolder}/" if source.subfolder else ""
    patterns = [f"{at}*.json", f"{at}*.txt", f"{at}*.model", f"{at}*.safetensors"]
    found = hub.folder_of(str(source.repository), str(source.revision), patterns, local=local)
    if not (found / _first_file(source)).is_file():
        raise FileNotFoundError(f"{_first_file(source)} is not in {source.repository}")
    return found


def _ask(source: Source) -> None:
    """One short question first: the download itself would try again for minutes where nobody
    answers."""
    hub.published_digest(str(source.repository), _first_file(source), source.revision)


def _first_file(source: Source) -> str:
    """A file that must be there: the pipeline's index, or a component's configuration."""
    if source.class_name is None:
        return INDEX
    return f"{source.subfolder}/config.json" if source.subfolder else "config.json"


def cached_file(source: Source, file: str) -> Path | None:
    """A file of the repository in the hub's local cache; None where it is not in it."""
    return hub.cached_file(str(source.repository), file, source.revision)


def not_at_hand(source: Source, reason: str) -> WeightsError:
    """The error for weights of the hub that are not in its cache; says what to put where."""
    why = hub.refusal() or f"downloading them failed: {reason}"
    return WeightsError(
        f"the weights of the {source.part} are not at hand: put {source.repository} at commit {str(source.revision)[:12]} into the hub's "
        f"cache, or a copy into a folder and name it with folder = in the recipe; {why}."
    )
