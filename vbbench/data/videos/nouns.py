"""The subject's noun in a caption: which of the classes it speaks of, and by which word. Standard
library only.

The paper parses captions by a language toolkit; for nine nouns a list of words does, needs no model
and can be read. The first word that belongs to a class is taken; words that only look like one (hot
dog, sea lion, cable car) are passed over.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

from vbbench.errors import UsageError

CLASSES = ("bear", "car", "cat", "dog", "elephant", "horse", "lion", "panda", "tiger")
"""The nine classes of the paper, section 4.1."""

_WORDS: dict[str, tuple[str, ...]] = {
    "bear": ("bear", "grizzly"),
    "car": (
        "car",
        "automobile",
        "sedan",
        "convertible",
        "hatchback",
        "limousine",
        "sports car",
        "racecar",
    ),
    "cat": ("cat", "kitten", "kitty", "tomcat", "tabby"),
    "dog": (
        "dog",
        "puppy",
        "doggy",
        "doggie",
        "pup",
        "labrador",
        "poodle",
        "corgi",
        "dachshund",
        "bulldog",
        "terrier",
    ),
    "elephant": ("elephant",),
    "horse": ("horse", "pony", "stallion", "mare", "foal", "mustang", "gelding"),
    "lion": ("lion", "lioness"),
    "panda": ("panda", "panda bear"),
    "tiger": ("tiger", "tigress"),
}
# Longer expressions that hold one of these words and mean something else.
_OTHERS = (
    "teddy bear", "gummy bear", "bear in mind", "bear fruit", "bear witness", "cable car", "car park", "car parking", "car wash",
    "car seat", "car key", "car door", "tram car", "big cat", "hot dog", "prairie dog", "dog tag", "dog rose", "sea horse",
    "horse chestnut", "horse radish", "pommel horse", "rocking horse", "sea lion", "mountain lion", "lion fish", "lion dance",
    "red panda", "tiger shark", "tiger prawn", "tiger shrimp", "tiger lily", "tiger moth", "tiger beetle", "elephant seal",
    "elephant grass", "sea elephant",
)  # fmt: skip
_CLASS = re.compile(r"[a-z]+(?: [a-z]+)*")


@dataclass(frozen=True)
class Noun:
    """What a caption is about: the class, and the word of the caption that says so, in lower
    case."""

    class_name: str
    word: str


def check_classes(names: Sequence[str]) -> tuple[str, ...]:
    """Classes as they were named, each once.

    Raises:
        UsageError: none, or a name that is no word in lower case.
    """
    for name in names:
        if not _CLASS.fullmatch(name):
            raise UsageError(f"a class is a word in lower case, not {name!r}.")
    if not names:
        raise UsageError("no class was named.")
    return tuple(dict.fromkeys(names))


def find_noun(caption: str, classes: Sequence[str] = CLASSES) -> Noun | None:
    """The first noun of one of the classes; None where there is none.

    Args:
        caption: a sentence in English, in any case.
        classes: those of `CLASSES` with their plurals and synonyms; other words with their plural
            alone.
    """
    for match in _pattern(tuple(classes)).finditer(caption.lower()):
        if match.lastgroup is not None and match.lastgroup != "other":
            return Noun(classes[int(match.lastgroup[1:])], " ".join(match.group().split()))
    return None


@lru_cache(maxsize=32)
def _pattern(classes: tuple[str, ...]) -> re.Pattern[str]:
    """One alternative a class, the other meanings first: at one place the first alternative that
    fits is taken."""
    parts = [("other", [word for word in _OTHERS if word not in classes])]
    parts += [(f"c{place}", list(_WORDS.get(name, (name,)))) for place, name in enumerate(classes)]
    if "panda" in classes:  # before the bear of "panda bear", whatever the order of the classes
        parts.sort(key=lambda part: (part[0] != "other", part[0] != f"c{classes.index('panda')}"))
    groups = [f"(?P<{name}>{'|'.join(_spellings(words))})" for name, words in parts]
    return re.compile(rf"(?<![\w'-])(?:{'|'.join(groups)})(?![\w-])")


def _spellings(words: Sequence[str]) -> list[str]:
    """Singular and plural, longest first; the words of one expression may stand apart, or be joined
    by a hyphen."""
    every = {spelling for word in words for spelling in (word, plural(word))}
    return [
        r"(?:\s+|-)".join(map(re.escape, spelling.split()))
        for spelling in sorted(every, key=lambda text: (-len(text), text))
    ]


def plural(word: str) -> str:
    """The regular plural: dogs, puppies, finches."""
    if word.endswith("y") and word[-2:-1] not in "aeiou":
        return f"{word[:-1]}ies"
    return f"{word}es" if word.endswith(("s", "x", "z", "ch", "sh")) else f"{word}s"
