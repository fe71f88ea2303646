"""A profile's record as JSON: written the same for the same record, and read back with
suspicion."""

from __future__ import annotations

import dataclasses
import json
import math
import types
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar, Union, get_args, get_origin, get_type_hints

from vbbench.errors import RunFolderError
from vbbench.profiling.record import Record

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

FORMAT, VERSION = "vbbench-profile", 1
Kind = TypeVar("Kind", bound="DataclassInstance")


def write_record(record: Record, path: Path) -> None:
    """As JSON, the same bytes for the same record.

    Raises:
        ValueError: a number in it is not finite.
    """
    text = json.dumps(
        {"format": FORMAT, "version": VERSION, **dataclasses.asdict(record)},
        indent=1,
        ensure_ascii=False,
        allow_nan=False,
    )
    path.write_text(text + "\n", "utf-8")


def read_record(path: Path) -> Record:
    """A record back from JSON.

    Raises:
        RunFolderError: it cannot be read, or is not what `write_record` wrote.
    """
    try:
        data = json.loads(path.read_text("utf-8"), parse_constant=_refuse_constant)
    except OSError as error:
        raise RunFolderError(f"{path} cannot be read: {error.strerror}.") from error
    except (ValueError, RecursionError) as error:
        raise RunFolderError(f"{path} is damaged: it is no JSON.") from error
    if not isinstance(data, dict) or data.pop("format", None) != FORMAT:
        raise RunFolderError(f"{path} is no profile.")
    if (version := data.pop("version", None)) != VERSION:
        raise RunFolderError(
            f"{path} is of another version ({version!r}); this program reads version {VERSION}."
        )
    try:
        return _made(Record, data, "the profile")
    except ValueError as error:
        raise RunFolderError(f"{path} is damaged: {error}.") from error


def _refuse_constant(name: str) -> float:
    raise ValueError(f"{name} is no number")


def _made(kind: type[Kind], data: Any, where: str) -> Kind:
    """A dataclass from a mapping whose names and types are checked."""
    if not isinstance(data, dict):
        raise ValueError(f"{where} is no object")
    hints = get_type_hints(kind)
    needed = {
        each.name
        for each in dataclasses.fields(kind)
        if each.default is each.default_factory is dataclasses.MISSING
    }
    if wrong := sorted(
        (needed - set(data)) | (set(data) - {each.name for each in dataclasses.fields(kind)})
    ):
        raise ValueError(
            f"{where} lacks {wrong[0]!r}"
            if wrong[0] in hints
            else f"{where} has an unknown {wrong[0]!r}"
        )
    return kind(
        **{name: _value(hints[name], value, f"{name!r} of {where}") for name, value in data.items()}
    )


def _value(hint: Any, value: Any, where: str) -> Any:
    if get_origin(hint) in (Union, types.UnionType):
        return None if value is None else _value(get_args(hint)[0], value, where)
    if get_origin(hint) is tuple:
        if not isinstance(value, list):
            raise ValueError(f"{where} is no list")
        return tuple(
            _value(get_args(hint)[0], each, f"{where}, number {place}")
            for place, each in enumerate(value)
        )
    if isinstance(hint, type) and dataclasses.is_dataclass(hint):
        return _made(hint, value, where)
    kind = get_origin(hint) or hint
    if kind is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if (
        not isinstance(value, kind)
        or (isinstance(value, bool) and kind is not bool)
        or (kind is float and not math.isfinite(value))
    ):
        raise ValueError(f"{where} is {value!r}")
    return value
