"""Suites: named, versioned, hashed lists of prompt items. Reading, checking and writing of
``prompts/<name>/``.

``suite.toml`` holds the settings and the recorded digest, ``subjects.jsonl`` and ``items.jsonl``
one record a line; every path in them is relative to the folder and stays inside it.

A suite of the miniature world may be *rendered*: its suite.toml says in ``[rendered]`` how its
files are made, they are made when it is first used, and its digest counts the pixels of its files
instead of their bytes, which another encoder would change.
"""

from __future__ import annotations

import json
import re
import tomllib
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Any, TypeVar

from vbbench.core.digests import file_digest, json_digest, sha256_number
from vbbench.core.strict_json import LineError, read_chunks
from vbbench.data.world.individuals import OTHER_OFFSET, SPLITS
from vbbench.errors import InputError, SuiteError
from vbbench.types import PromptItem, PromptSuite, Subject

T = TypeVar("T")
SETTINGS = (
    "name",
    "version",
    "description",
    "scale",
    "num_frames",
    "size",
    "fps",
    "seed",
    "metrics",
)
"""Settings that the digest covers; `vbbench.data.suite_file.SuiteFile` says what they must be."""
RENDERED = "rendered"
"""The table of suite.toml that says how a suite of the miniature world is rendered."""
_DIGEST = re.compile(r"[0-9a-f]{64}")
_VERSION = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")  # it names a folder
ITEM_KEYS = ("id", "subject", "class", "text", "subject_word", "image")
OPTIONAL_ITEM_KEYS = ("scene", "motion", "reference_video", "other_video")
SUBJECT_KEYS = ("id", "class", "image")
OPTIONAL_SUBJECT_KEYS = ("clips", "captions", "references", "masks", "world")
_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")  # ids name files


def read_folder(root: Path, header: Mapping[str, Any] | None = None) -> PromptSuite:
    """Read and check the suite whose files lie in a folder.

    Args:
        header: its `read_header`, where that is known.
    Raises:
        SuiteError: a file is missing, a record is wrong, or the digest is not the recorded one.
    """
    header = read_header(root) if header is None else header
    subject_rows, item_rows = _read_rows(root / "subjects.jsonl"), _read_rows(root / "items.jsonl")
    _check_rows(root, subject_rows, "subjects.jsonl", SUBJECT_KEYS, OPTIONAL_SUBJECT_KEYS)
    _check_rows(root, item_rows, "items.jsonl", ITEM_KEYS, OPTIONAL_ITEM_KEYS)
    digests = _file_digests(root, header, subject_rows, item_rows)
    digest = compute_digest(header, subject_rows, item_rows, digests)
    if header.get("digest") != digest:
        raise SuiteError(
            f"the suite {root} is not the one that was recorded: its digest is {digest[:12]}, "
            f"suite.toml says {str(header.get('digest'))[:12]}."
        )
    subjects = {row["id"]: _subject(root, row) for row in subject_rows}
    image_digests = {row["id"]: digests[row["image"]] for row in subject_rows}
    items = tuple(_item(root, row, subjects, image_digests, header["seed"]) for row in item_rows)
    settings = {key: header[key] for key in SETTINGS if key != "metrics"}
    return PromptSuite(
        **settings, digest=digest, metrics=tuple(header["metrics"]), items=items, root=root
    )


def write(
    root: Path,
    settings: Mapping[str, Any],
    subjects: Sequence[Mapping[str, Any]],
    items: Sequence[Mapping[str, Any]],
) -> str:
    """Write suite.toml, subjects.jsonl and items.jsonl; the files they name must already lie in the
    folder.

    Args:
        root: the suite's folder.
        settings: the keys of `SETTINGS`, and ``rendered`` where its files are rendered.
        subjects, items: rows as they stand in the files.
    Returns:
        The digest, which is also recorded in suite.toml.
    Raises:
        SuiteError: as `read_folder`, which reads the suite back before this returns.
    """
    _check_settings(settings, root)
    root.mkdir(parents=True, exist_ok=True)
    digest = compute_digest(
        settings, subjects, items, _file_digests(root, settings, subjects, items)
    )
    lines = [*_toml_lines({key: settings[key] for key in SETTINGS}), f'digest = "{digest}"']
    if RENDERED in settings:
        lines += ["", f"[{RENDERED}]", *_toml_lines(settings[RENDERED])]
    (root / "suite.toml").write_text("\n".join([*lines, ""]), encoding="utf-8")
    for name, rows in (("subjects.jsonl", subjects), ("items.jsonl", items)):
        text = "".join(json.dumps(dict(row), ensure_ascii=False) + "\n" for row in rows)
        (root / name).write_text(text, encoding="utf-8")
    return read_folder(root).digest


def derive_seed(suite_seed: int, key: str) -> int:
    """A seed for anything in a suite: the first 8 bytes of SHA-256 over ``"<suite seed>:<key>"``,
    sign bit cleared."""
    return sha256_number(f"{suite_seed}:{key}") & (2**63 - 1)


def single_item(image: Path, text: str, subject_word: str, seed: int) -> PromptItem:
    """A prompt item outside of any suite, from a user's own picture.

    Raises:
        InputError: the subject word does not stand in the text.
    """
    if not has_word(text, subject_word):
        raise InputError(f"the subject word {subject_word!r} is not a word of the text {text!r}.")
    subject = Subject(id=image.stem, class_name=subject_word, image=image)
    image_seed = derive_seed(seed, file_digest(image))
    return PromptItem(
        "sample",
        subject,
        text,
        subject_word,
        seed=derive_seed(seed, "sample"),
        image_seed=image_seed,
    )


def first_prompts(items: Sequence[T], subject_of: Callable[[T], str], count: int) -> tuple[T, ...]:
    """The first ``count`` items of each subject, in their order."""
    seen: Counter[str] = Counter()
    kept = []
    for item in items:
        seen[subject_of(item)] += 1
        if seen[subject_of(item)] <= count:
            kept.append(item)
    return tuple(kept)


def has_word(text: str, word: str) -> bool:
    """Whether the text holds the word as a whole word, whatever its case."""
    return (
        bool(word.strip())
        and re.search(rf"(?<!\w){re.escape(word.strip())}(?!\w)", text, re.IGNORECASE) is not None
    )


def compute_digest(
    settings: Mapping[str, Any],
    subjects: Sequence[Mapping[str, Any]],
    items: Sequence[Mapping[str, Any]],
    files: Mapping[str, str],
) -> str:
    """SHA-256 over the settings, the rows and the digest of every file they name; line ends and the
    order of keys do not count."""
    content = {
        "settings": {
            key: settings.get(key)
            for key in (*SETTINGS, *([RENDERED] if RENDERED in settings else []))
        },
        "subjects": [dict(row) for row in subjects],
        "items": [dict(row) for row in items],
        "files": dict(files),
    }
    return json_digest(content)


def read_header(root: Path) -> dict[str, Any]:
    """The settings in a suite's suite.toml, checked, with its recorded digest.

    Raises:
        SuiteError: missing or wrong.
    """
    path = root / "suite.toml"
    try:
        header = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise SuiteError(f"{root} is not a suite: it has no suite.toml.") from None
    except (OSError, ValueError) as error:
        raise SuiteError(f"{path} cannot be read: {error}.") from None
    _check_settings(header, root)
    return header


def is_waiting(root: Path, header: Mapping[str, Any]) -> bool:
    """Whether a suite's folder holds no files yet, only how they are rendered."""
    return RENDERED in header and not (root / "items.jsonl").exists()


def _file_digests(
    root: Path,
    settings: Mapping[str, Any],
    subjects: Sequence[Mapping[str, Any]],
    items: Sequence[Mapping[str, Any]],
) -> dict[str, str]:
    """Digest of every file that the rows name: of its bytes, or of its pixels in a rendered
    suite."""
    files = {
        name: _inside(root, name)
        for name in sorted({name for row in (*subjects, *items) for name in _paths(row)})
    }
    if RENDERED not in settings:
        return {name: file_digest(path) for name, path in files.items()}
    from vbbench.data.pixels import pixel_digests

    return pixel_digests(root, files)


def _toml_lines(table: Mapping[str, Any]) -> list[str]:
    return [f"{key} = {json.dumps(value, ensure_ascii=False)}" for key, value in table.items()]


def _check_settings(settings: Mapping[str, Any], root: Path) -> None:
    from vbbench.data.suite_file import check_suite_file

    check_suite_file(settings, root)
    if not _ID.fullmatch(settings["name"]):
        raise SuiteError(
            f"the suite {root} has a name that cannot name a folder: {settings['name']!r}."
        )
    if RENDERED in settings:
        check_rendered(settings, root)


def check_rendered(settings: Mapping[str, Any], root: Path) -> None:
    """Whether a suite.toml says soundly how its suite is rendered.

    Raises:
        SuiteError: it does not.
    """
    from vbbench.data.suite_file import check_rendered_table

    table = settings[RENDERED]
    check_rendered_table(table, root)
    if (
        not 1 <= table["per_class"] <= OTHER_OFFSET
        or table["prompts"] < 1
        or table["seed"] < 0
        or table["split"] not in SPLITS
    ):
        raise SuiteError(f"the suite {root} cannot be rendered with {table!r}.")
    if not _VERSION.fullmatch(settings["version"]) or not _DIGEST.fullmatch(
        str(settings.get("digest", "0" * 64))
    ):
        raise SuiteError(f"the suite {root} has a version or a digest that cannot name a folder.")


def _read_rows(path: Path) -> list[dict[str, Any]]:
    if not path.is_file():
        raise SuiteError(f"{path} cannot be read: there is no such file.")
    rows = []
    try:
        for chunk in read_chunks(path):
            for line, row in zip(chunk.lines, chunk.records, strict=True):
                if not isinstance(row, dict):
                    raise LineError(line, f"{row!r} is no object")
                rows.append(row)
    except LineError as error:
        raise SuiteError(
            f"line {error.line} of {path} is not a JSON object: {error.what}."
        ) from None
    except OSError as error:
        raise SuiteError(f"{path} cannot be read: {error}.") from None
    if not rows:
        raise SuiteError(f"{path} is empty.")
    return rows


def _check_rows(
    root: Path,
    rows: Iterable[Mapping[str, Any]],
    name: str,
    required: Sequence[str],
    optional: Sequence[str],
) -> None:
    seen: set[str] = set()
    for row in rows:
        where = f"{row.get('id')!r} in {root / name}"
        missing = [
            key for key in required if not isinstance(row.get(key), str) or not row[key].strip()
        ]
        unknown = sorted(set(row) - set(required) - set(optional))
        if missing or unknown:
            lacks = f"lacks {', '.join(missing)}"
            raise SuiteError(
                f"{where} {lacks if missing else 'has unknown ' + ', '.join(unknown)}."
            )
        for key, value in row.items():
            if value is not None and not _OPTIONAL_KINDS.get(key, _is_text)(value):
                raise SuiteError(f"{where} has {key} that cannot be understood: {value!r}.")
        if not _ID.fullmatch(row["id"]):
            raise SuiteError(f"{where} has an id that cannot name a file.")
        if row["id"] in seen:
            raise SuiteError(f"{where} stands there twice.")
        seen.add(row["id"])
        for path in _paths(row):
            if not _inside(root, path).is_file():
                raise SuiteError(f"{where} names {path}, which does not exist.")


def _is_text(value: Any) -> bool:
    return isinstance(value, str)


def _are_texts(value: Any) -> bool:
    return isinstance(value, list) and all(map(_is_text, value))


def _is_table(value: Any) -> bool:
    return isinstance(value, dict)


_FILE_LISTS = ("clips", "references", "masks")
_OPTIONAL_KINDS: Mapping[str, Callable[[Any], bool]] = {
    **dict.fromkeys((*_FILE_LISTS, "captions"), _are_texts),
    "world": _is_table,
}


def _paths(row: Mapping[str, Any]) -> list[str]:
    """Every file a row names."""
    single = [
        row[key] for key in ("image", "reference_video", "other_video") if row.get(key) is not None
    ]
    return [*single, *(name for key in _FILE_LISTS for name in row.get(key) or ())]


def _inside(root: Path, name: Any) -> Path:
    """The file of that name inside the suite; a name that leads out of the folder is refused."""
    parts = PurePosixPath(name).parts if isinstance(name, str) and "\0" not in name else ()
    path = root.joinpath(*parts)
    if (
        not parts
        or PurePosixPath(name).is_absolute()
        or not path.resolve().is_relative_to(root.resolve())
    ):
        raise SuiteError(f"the suite {root} names {name!r}, which does not lie inside of it.")
    return path


def _subject(root: Path, row: Mapping[str, Any]) -> Subject:
    where = f"{row['id']!r} in {root / 'subjects.jsonl'}"
    clips, references, masks = (
        tuple(_inside(root, name) for name in row.get(key) or ()) for key in _FILE_LISTS
    )
    captions = tuple(row.get("captions") or ())
    if len(clips) != len(captions):
        raise SuiteError(f"{where} has {len(clips)} clips but {len(captions)} captions.")
    if masks and len(masks) != 1 + len(references):
        raise SuiteError(
            f"{where} has {len(masks)} masks for its image prompt and {len(references)} "
            "references: one each is needed."
        )
    return Subject(
        row["id"],
        row["class"],
        _inside(root, row["image"]),
        clips,
        captions,
        references,
        masks,
        row.get("world"),
    )


def _item(
    root: Path,
    row: Mapping[str, Any],
    subjects: Mapping[str, Subject],
    image_digests: Mapping[str, str],
    seed: int,
) -> PromptItem:
    where = f"{row['id']!r} in {root / 'items.jsonl'}"
    subject = subjects.get(row["subject"])
    if subject is None:
        raise SuiteError(f"{where} is of a subject that subjects.jsonl lacks: {row['subject']!r}.")
    if subject.class_name != row["class"] or subject.image != _inside(root, row["image"]):
        raise SuiteError(f"{where} and its subject {subject.id!r} differ in class or image.")
    if not has_word(row["text"], row["subject_word"]):
        raise SuiteError(
            f"{where} has the subject word {row['subject_word']!r}, "
            "which is not a word of its text."
        )
    videos = [
        _inside(root, row[key]) if row.get(key) else None
        for key in ("reference_video", "other_video")
    ]
    return PromptItem(
        id=row["id"],
        subject=subject,
        text=row["text"],
        subject_word=row["subject_word"],
        seed=derive_seed(seed, row["id"]),
        image_seed=derive_seed(seed, image_digests[subject.id]),
        scene=row.get("scene"),
        motion=row.get("motion"),
        reference_video=videos[0],
        other_video=videos[1],
    )
