"""``prompts_and_classes.txt`` of the DreamBooth dataset: the class of each subject, and the prompts
for objects and for live subjects.

The file is read as text, line by line, and nothing in it is run. A prompt may stand as it does in
the dataset, as an element of a list in Python with ``{0}`` (the unique token) and ``{1}`` (the
class), or as a plain line. ``{}``, ``{unique_token}`` and ``{class_token}`` are known too.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from vbbench.data.videos.layout import is_id
from vbbench.data.world.captions import article
from vbbench.errors import InputError

CLASSES, OBJECTS, LIVE = "Classes", "Object Prompts", "Live Subject Prompts"
_HEADINGS = {
    "classes": CLASSES,
    "prompts": None,
    "object prompts": OBJECTS,
    "live subject prompts": LIVE,
    "live prompts": LIVE,
}
_TOKEN, _CLASS = "unique_token", "class_token"
_BRACKETS = re.compile(r"(?:\w+\s*=\s*)?\[|\]")
_QUOTED = re.compile(
    r"""[fF]?(?P<quote>['"])(?P<text>.*)(?P=quote)\s*(?:\.\s*format\s*\((?P<arguments>[\w\s,]*)\))?\s*,?"""
)
_PLACE = re.compile(r"\{([^{}]*)\}")
_CLASS_WORDS = re.compile(r"[^\W\d_]+(?:[ '-][^\W_]+)*")
_MOST_BYTES = 1 << 20


@dataclass(frozen=True)
class PromptFile:
    """What the file says.

    Attributes:
        path: the file.
        classes: class of each subject, in the order of the file.
        objects, live: prompts with ``{class}`` in the place of the class, and nothing in that of
            the unique token.
    """

    path: Path
    classes: Mapping[str, str]
    objects: tuple[str, ...]
    live: tuple[str, ...]


def fill_in(prompt: str, class_name: str) -> str:
    """The text of a prompt for a class; an article before it is the class's own: ``a {class} in the
    snow`` -> an owl in the snow."""
    text = re.sub(
        r"\b([Aa])n? \{class\}",
        lambda found: f"{found[1]}{article(class_name.lower())[1:]} {{class}}",
        prompt,
    )
    return text.replace("{class}", class_name)


def read_prompt_file(path: Path) -> PromptFile:
    """Read and check the file.

    Raises:
        InputError: unreadable, not UTF-8, a line that cannot be understood (its number is named), a
            subject or a prompt that stands there twice, or no subjects or no prompts at all.
    """
    classes: dict[str, str] = {}
    prompts: dict[str, list[str]] = {OBJECTS: [], LIVE: []}
    section: str | None = None
    for number, line in enumerate(_lines(path), 1):
        where, heading = f"{path}, line {number}", line.strip("#*: \t").lower()
        if heading in _HEADINGS:
            section = _HEADINGS[heading]
        elif not line or line.startswith("#"):
            continue
        elif section == CLASSES:
            _add_class(classes, line, where)
        elif section is None:
            raise InputError(
                f"{where}: {line[:60]!r} stands under none of the headings {CLASSES}, {OBJECTS} and {LIVE}."
            )
        elif not _BRACKETS.fullmatch(line):
            _add_prompt(prompts[section], line, where)
    if not classes:
        raise InputError(
            f"{path} names no subjects: lines like 'dog2,dog' belong under the heading {CLASSES}."
        )
    if not prompts[OBJECTS] and not prompts[LIVE]:
        raise InputError(
            f"{path} holds no prompts: they belong under the headings {OBJECTS} and {LIVE}."
        )
    return PromptFile(path, classes, tuple(prompts[OBJECTS]), tuple(prompts[LIVE]))


def _lines(path: Path) -> Sequence[str]:
    """The lines of the file, stripped."""
    if not path.is_file():
        raise InputError(
            f"{path} is a folder, not the file of prompts."
            if path.is_dir()
            else f"there is no file {path}."
        )
    try:
        if path.stat().st_size > _MOST_BYTES:
            raise InputError(f"{path} is over 1 MB: it is no file of prompts.")
        return [line.strip() for line in path.read_text(encoding="utf-8-sig").split("\n")]
    except UnicodeDecodeError as error:
        raise InputError(f"{path} is not UTF-8 text (byte {error.start}).") from None
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror}.") from None


def _add_class(classes: dict[str, str], line: str, where: str) -> None:
    cells = [cell.strip() for cell in line.split(",")]
    if not classes and len(cells) == 2 and cells[1].lower() == "class":
        return  # the header
    if len(cells) != 2 or not is_id(cells[0]):
        raise InputError(
            f"{where}: a subject's folder and its class are needed, as in 'dog2,dog', not {line[:60]!r}."
        )
    if not _CLASS_WORDS.fullmatch(cells[1]):
        raise InputError(f"{where}: {cells[1][:60]!r} is no class: it is a word or several.")
    if cells[0] in classes:
        raise InputError(f"{where}: the subject {cells[0]} stands there twice.")
    classes[cells[0]] = cells[1]


def _add_prompt(prompts: list[str], line: str, where: str) -> None:
    quoted = _QUOTED.fullmatch(line)
    if quoted is None and (line[-1] in "'\"[]," or line[0] in "'\"[]" or ".format" in line):
        raise InputError(
            f"{where}: {line[:80]!r} cannot be understood: one prompt a line is needed, in quotes or without."
        )
    text = re.sub(r"\\(['\"\\])", r"\1", quoted["text"]) if quoted else line
    names = (
        [name.strip() for name in (quoted["arguments"] or "").split(",") if name.strip()]
        if quoted
        else []
    )
    try:
        prompt = _with_class(text, names or [_TOKEN, _CLASS])
    except ValueError as error:
        raise InputError(f"{where}: {line[:80]!r} cannot be understood: {error}.") from None
    if prompt in prompts:
        raise InputError(f"{where}: the prompt {prompt!r} stands there twice.")
    prompts.append(prompt)


def _with_class(text: str, arguments: Sequence[str]) -> str:
    """The prompt with ``{class}`` alone.

    Raises:
        ValueError: half a sentence about what is wrong with its places.
    """
    places = _PLACE.findall(text)
    if re.search(r"[{}]", _PLACE.sub("", text)):
        raise ValueError("a brace is missing")
    numbers = iter(range(len(places)))
    meant = [_meaning(place.strip() or str(next(numbers)), arguments) for place in places]
    if meant.count(_CLASS) != 1 or meant.count(_TOKEN) > 1:
        raise ValueError(
            "it needs one place for the class, {1}, and at most one for the unique token, {0}"
        )
    fillings = iter("{class}" if name == _CLASS else "" for name in meant)
    return " ".join(_PLACE.sub(lambda _: next(fillings), text).split())


def _meaning(place: str, arguments: Sequence[str]) -> str:
    if place.isdecimal():
        place = arguments[int(place)] if int(place) < len(arguments) else place
    if place not in (_TOKEN, _CLASS):
        raise ValueError(f"{{{place[:30]}}} is neither {_TOKEN} nor {_CLASS}")
    return place
