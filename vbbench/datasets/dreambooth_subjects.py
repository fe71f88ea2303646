"""The subjects of a copy of the DreamBooth dataset: folders of photographs, held against the file that says their classes."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path

from vbbench.datasets.dreambooth_file import LIVE, OBJECTS, PromptFile, fill_in
from vbbench.datasets.layout import is_id
from vbbench.errors import InputError, UsageError
from vbbench.picture_folder import SUFFIXES, natural
from vbbench.recipes import nearest
from vbbench.words import split_words
from vbbench.world.captions import caption
from vbbench.world.names import CLASSES as MINI_CLASSES
from vbbench.world.names import SCENES

LIVING = frozenset(
    (
        "bear", "bird", "cat", "cow", "dog", "elephant", "fish", "fox", "goat", "hamster", "horse", "kitten", "lion", "man", "monkey",
        "mouse", "panda", "parrot", "person", "pig", "puppy", "rabbit", "sheep", "tiger", "turtle", "wolf", "woman",
    )
)  # fmt: skip
"""Classes whose subjects are live and take the prompts for live subjects; of the dataset's own classes these are cat and dog."""
LIKENESSES = frozenset({"toy", "stuffed animal", "plushie", "plush", "figurine"})
"""Classes of things that are made after something else; the folder's name says after what."""


@dataclass(frozen=True)
class PhotographedSubject:
    """A subject, its photographs and its prompts.

    Attributes:
        name: of its folder.
        class_name: what the file says that it is.
        word: what texts call it: the class, at scale mini the miniature's word for it.
        photographs: its files, in natural order; at least one.
        prompts: text, and the scene it asks for where the miniature knows one.
    """

    name: str
    class_name: str
    word: str
    photographs: tuple[Path, ...]
    prompts: tuple[tuple[str, str | None], ...]


@dataclass(frozen=True)
class FoundSubjects:
    """What a copy of the dataset holds.

    Attributes:
        subjects: in the order of the file.
        without_folder: subjects of the file that have no folder, though nobody left them out.
        without_word: subjects that the miniature has no word for.
        passed_over: files beside photographs that are no pictures by their name, as ``folder/file``.
    """

    subjects: tuple[PhotographedSubject, ...]
    without_folder: tuple[str, ...]
    without_word: tuple[str, ...]
    passed_over: tuple[str, ...]


def find_subjects(root: Path, file: PromptFile, scale: str, wanted: Collection[str] = ()) -> FoundSubjects:
    """Every subject that has a folder, or those that are wanted.

    Args:
        root: holds a folder a subject.
        scale: ``sd14``, or ``mini``, whose models know only the miniature's words.
        wanted: names of folders; none: all of them.
    Raises:
        UsageError: a wanted subject has no folder.
        InputError: no such folder, a folder whose class the file does not say, one without a photograph, no prompts for a subject of its
            kind, or nothing is left.
    """
    folders = _folders(root)
    for name in wanted:
        if name not in folders:
            raise UsageError(f"{root} has no folder of the subject {name!r}: {nearest(name, folders)}")
    names = [name for name in folders if not wanted or name in wanted]
    if unknown := [name for name in names if name not in file.classes]:
        raise InputError(
            f"{file.path} says no class for {', '.join(unknown)}: add a line like '{unknown[0]},dog' under its heading Classes, or choose "
            "the others with --subjects."
        )
    words = {name: word_of(name, file.classes[name], scale) for name in file.classes if name in names}
    passed_over: list[str] = []
    found = tuple(_subject(folders[name], word, file, scale, passed_over) for name, word in words.items() if word is not None)
    without_word = tuple(name for name, word in words.items() if word is None)
    if not found:
        raise InputError(
            f"no subject is left: the miniature has no word for {', '.join(without_word)}; it knows {', '.join(MINI_CLASSES)}."
        )
    without_folder = () if wanted else tuple(name for name in file.classes if name not in folders)
    return FoundSubjects(found, without_folder, without_word, tuple(passed_over))


def word_of(name: str, class_name: str, scale: str) -> str | None:
    """What texts call a subject; None where the miniature has no word for it.

    The miniature's word is the last one of the class (toy car -> car), or, where the class is one of `LIKENESSES`, a word of the folder's
    name (rc_car, a toy -> car). A backpack in the shape of a dog stays a backpack, which the miniature does not know.
    """
    if scale != "mini":
        return class_name
    words = split_words(class_name)
    candidates = words[-1:] + (split_words(name.replace("-", " ")) if " ".join(words) in LIKENESSES else [])
    return next((word for word in candidates if word in MINI_CLASSES), None)


def _folders(root: Path) -> dict[str, Path]:
    if not root.is_dir():
        raise InputError(f"{root} is a file, not a folder of photographs." if root.exists() else f"there is no folder {root}.")
    found = sorted((entry for entry in root.iterdir() if entry.is_dir() and not entry.name.startswith(".")), key=lambda e: natural(e.name))
    if not found:
        raise InputError(f"{root} holds no folders: each subject's photographs lie in a folder of their own.")
    for entry in found:
        if not is_id(entry.name):
            raise InputError(f"the folder {entry} has a name that cannot name a subject: letters, digits, '.', '_' and '-' can.")
    return {entry.name: entry for entry in found}


def _subject(folder: Path, word: str, file: PromptFile, scale: str, passed_over: list[str]) -> PhotographedSubject:
    entries = sorted((entry for entry in folder.iterdir() if not entry.name.startswith(".")), key=lambda entry: natural(entry.name))
    photographs = [entry for entry in entries if entry.suffix.lower() in SUFFIXES]
    passed_over += [f"{folder.name}/{entry.name}" for entry in entries if entry not in photographs]
    if not photographs:
        raise InputError(f"the folder {folder} holds no photographs (known: {', '.join(SUFFIXES)}).")
    class_name = file.classes[folder.name]
    prompts = _mini_prompts(word) if scale == "mini" else _prompts(folder.name, class_name, file)
    return PhotographedSubject(folder.name, class_name, word, tuple(photographs), tuple(prompts))


def _mini_prompts(word: str) -> Sequence[tuple[str, str | None]]:
    return [(caption(word, scene, None), scene) for scene in SCENES]


def _prompts(name: str, class_name: str, file: PromptFile) -> Sequence[tuple[str, str | None]]:
    alive = class_name.lower() in LIVING
    prompts = file.live if alive else file.objects
    if not prompts:
        kind, heading = ("a live subject", LIVE) if alive else ("an object", OBJECTS)
        raise InputError(f"{file.path} has no prompts under {heading}, and {name} ({class_name}) is {kind}.")
    return [(fill_in(prompt, class_name), None) for prompt in prompts]
