"""What a file's header may hold, by pydantic, and its complaints as sentences.

Imports pydantic, which is slow: import it where a file is read, not at a module's top that
``import vbbench`` or ``vbbench --help`` reaches.
"""

from __future__ import annotations

import dataclasses
import inspect
import json
import reprlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, TypeVar, get_args

from pydantic import BaseModel, ConfigDict, TypeAdapter, ValidationError

from vbbench.core.names import nearest
from vbbench.core.strict_json import TOO_DEEP

STRICT = ConfigDict(extra="forbid", strict=True, allow_inf_nan=False, frozen=True)
Migration = Callable[[dict[str, Any]], dict[str, Any]]
Location = Sequence[int | str]
Kind = TypeVar("Kind")

_WANTED = {
    "string_type": "a text",
    "int_type": "a whole number",
    "int_from_float": "a whole number",
    "float_type": "a number",
    "finite_number": "a finite number",
    "bool_type": "true or false",
    "list_type": "a list",
    "tuple_type": "a list",
    "dict_type": "a table",
    "mapping_type": "a table",
    "is_instance_of": "a table",
    "model_type": "a table",
    "dataclass_type": "a table",
}
"""pydantic's name of an error -> what should stand there."""
_SHORT = reprlib.Repr()
_SHORT.maxstring = _SHORT.maxother = _SHORT.maxlong = 80
_UNKNOWN = ("extra_forbidden", "unexpected_keyword_argument")


class NewerFormatError(ValueError):
    """A file of a format that this program does not know yet; the message follows the file's
    name.

    Args:
        number: the file's format; ``newest`` is the newest known one.
    """

    def __init__(self, number: int, newest: int) -> None:
        super().__init__(
            f"was written by a newer vbbench (format {number}; this one knows {newest}): "
            "update vbbench"
        )


class Header(BaseModel):
    """Base of what a file's header holds: unknown keys, NaN and infinity are errors, and no value
    is converted."""

    model_config = STRICT


@dataclasses.dataclass(frozen=True)
class Complaint:
    """What is wrong with one value.

    Attributes:
        table: keys and list indices that lead to the table it stands in.
        key: its own key or index; None where the whole is wrong.
        kind: ``unknown``, ``missing``, ``wrong``, or ``said`` where `text` is a whole sentence.
        text: what should stand there, or what was meant by an unknown key.
        value: what stands there.
    """

    table: tuple[int | str, ...]
    key: int | str | None
    kind: str
    text: str
    value: Any


def validate(kind: type[Kind], content: Any, where: str) -> Kind:
    """A JSON file's content, checked.

    Args:
        kind: a `Header`, or a dataclass.
        content: as parsed from JSON.
        where: what it is, as it stands in sentences: ``the profile``.
    Raises:
        ValueError: half a sentence about the first value that is wrong.
    """
    try:
        # through text: a list of JSON may stand for a tuple, which strictness refuses in Python
        return TypeAdapter(kind).validate_json(json.dumps(content))
    except RecursionError:
        raise ValueError(TOO_DEEP) from None
    except ValidationError as error:
        raise ValueError(_of_json(worst(complaints(error, kind)), where)) from None


def migrate(
    content: Any, migrations: Mapping[int, Migration], newest: int, *, without: int | None = None
) -> dict[str, Any]:
    """A file's content in the newest format.

    Args:
        migrations: format -> how a file of it becomes one of the next.
        newest: the format that this program writes.
        without: the format of files that do not say theirs; None: all do.
    Raises:
        NewerFormatError: it is of a newer format.
        ValueError: it is no object, or of no format.
    """
    if not isinstance(content, dict):
        raise ValueError("it is no object")
    number = content.get("format", without)
    if number is None:
        raise ValueError("it lacks 'format'")
    if isinstance(number, bool) or not isinstance(number, int) or number < 1:
        raise ValueError(f"{number!r} is no format")
    if number > newest:
        raise NewerFormatError(number, newest)
    while number < newest:
        content = {**migrations[number](content), "format": number + 1}
        number += 1
    return content


def complaints(error: ValidationError, kind: Any) -> list[Complaint]:
    """Everything that is wrong, in the order of the fields."""
    return [_complaint(each, kind) for each in error.errors(include_url=False)]


def worst(found: Sequence[Complaint]) -> Complaint:
    """The complaint to begin with: a misspelt key tells more than the one that is missing for
    it."""
    return next((each for each in found if each.kind == "unknown"), found[0])


def in_toml(complaint: Complaint, path: object) -> str:
    """A complaint about a TOML file, as a sentence."""
    table = ".".join(map(str, complaint.table))
    where = f"[{table}] in {path}" if table else str(path)
    match complaint.kind:
        case "unknown":
            return f"{where} has the unknown key {complaint.key!r}: {complaint.text}"
        case "missing":
            return f"{where} lacks {complaint.key}."
        case "said":
            return f"{complaint.key} in {where}: {complaint.text}."
    inside = f"[{table}] of {path}" if table else str(path)
    return f"{complaint.key} in {inside} must be {complaint.text}, not {brief(complaint.value)}."


def brief(value: Any) -> str:
    """A value as Python writes it, cut where it is long or deep."""
    return _SHORT.repr(value)


def _of_json(complaint: Complaint, where: str) -> str:
    table = _place(complaint.table, where)
    match complaint.kind:
        case "unknown":
            return f"{table} has an unknown {complaint.key!r}: {complaint.text}"
        case "missing":
            return f"{table} lacks {complaint.key!r}"
        case "said":
            return complaint.text
    place = table if complaint.key is None else _place((complaint.key,), table)
    if complaint.text == "a list":
        return f"{place} is no list"
    if complaint.text == "a table":
        return f"{place} is no object"
    return f"{place} is {brief(complaint.value)}, not {complaint.text}"


def _place(location: Location, where: str) -> str:
    for step in location:
        where = f"{where}, number {step}" if isinstance(step, int) else f"{step!r} of {where}"
    return where


def _complaint(error: Mapping[str, Any], kind: Any) -> Complaint:
    *table, key = error["loc"] or (None,)
    name, value = error["type"], error["input"]
    if name in _UNKNOWN:
        return Complaint(
            tuple(table), key, "unknown", nearest(str(key), _fields(kind, table)), value
        )
    if name in ("missing", "missing_argument"):
        return Complaint(tuple(table), key, "missing", "", value)
    if name == "value_error":
        return Complaint(tuple(table), key, "said", str(error["ctx"]["error"]), value)
    wanted = _WANTED.get(name) or error["msg"].removeprefix("Input should be ")
    return Complaint(tuple(table), key, "wrong", wanted, value)


def _fields(kind: Any, table: Location) -> list[str]:
    """Names that may stand in a table."""
    for step in table:
        annotation = _annotations(kind).get(str(step)) if not isinstance(step, int) else None
        kind = next(_with_fields(annotation), None) if annotation is not None else kind
    return list(_annotations(kind))


def _annotations(kind: Any) -> dict[str, Any]:
    if inspect.isclass(kind) and issubclass(kind, BaseModel):
        return {field.alias or name: field.annotation for name, field in kind.model_fields.items()}
    if dataclasses.is_dataclass(kind):
        hints = inspect.get_annotations(kind, eval_str=True)  # type: ignore[arg-type]
        return {field.name: hints.get(field.name) for field in dataclasses.fields(kind)}
    return {}


def _with_fields(annotation: Any) -> Iterator[Any]:
    """Classes with fields of their own inside of an annotation: ``tuple[Row, ...]`` -> Row."""
    if _annotations(annotation):
        yield annotation
    for argument in get_args(annotation):
        yield from _with_fields(argument)
