"""The suite ``dreambooth``: a user's own copy of the DreamBooth dataset, with its paper's protocol
(Ruiz et al. 2023, section 4).

Each subject is asked for by 25 prompts, live subjects and objects by their own, several times with
other noise. Its photographs are at once what methods are fitted on and what every frame is held
against: DINO and CLIP-I are means over all pairs. The texts are without the unique token, which is
a matter of the method; so is CLIP-T's. prompts/dreambooth/README.md says it to people.

Shape suffixes: T frames, H/W pixels, 3 colours.
"""

from __future__ import annotations

import shutil
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

from vbbench.core.files import atomic_folder
from vbbench.core.names import nearest
from vbbench.core.words import split_words
from vbbench.data import suite as suites
from vbbench.data.dreambooth_file import LIVE, OBJECTS, PromptFile, fill_in, read_prompt_file
from vbbench.data.suites import load_suite
from vbbench.data.videos.filters import clipped_box
from vbbench.data.videos.layout import cut_out, is_id
from vbbench.data.world.captions import article, caption
from vbbench.data.world.names import CLASSES as MINI_CLASSES
from vbbench.data.world.names import NUM_FRAMES, SCENES, SIZE
from vbbench.errors import InputError, UsageError
from vbbench.media.picture_folder import SUFFIXES, natural
from vbbench.media.pictures import load_picture
from vbbench.media.video import resize_frames, write_video_lossless
from vbbench.types import PromptSuite, Video

if TYPE_CHECKING:
    from vbbench.data.videos.segmenters import Segmenter

# The subjects of a copy of the DreamBooth dataset: folders of photographs, held against the file
# that says their classes.

LIVING = frozenset(
    (
        "bear", "bird", "cat", "cow", "dog", "elephant", "fish", "fox", "goat", "hamster", "horse", "kitten", "lion", "man", "monkey",
        "mouse", "panda", "parrot", "person", "pig", "puppy", "rabbit", "sheep", "tiger", "turtle", "wolf", "woman",
    )
)  # fmt: skip
"""Classes whose subjects are live and take the prompts for live subjects; of the dataset's own
classes these are cat and dog."""
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
        passed_over: files beside photographs that are no pictures by their name, as
            ``folder/file``.
    """

    subjects: tuple[PhotographedSubject, ...]
    without_folder: tuple[str, ...]
    without_word: tuple[str, ...]
    passed_over: tuple[str, ...]


def find_subjects(
    root: Path, file: PromptFile, scale: str, wanted: Collection[str] = ()
) -> FoundSubjects:
    """Every subject that has a folder, or those that are wanted.

    Args:
        root: holds a folder a subject.
        scale: ``sd14``, or ``mini``, whose models know only the miniature's words.
        wanted: names of folders; none: all of them.
    Raises:
        UsageError: a wanted subject has no folder.
        InputError: no such folder, a folder whose class the file does not say, one without a
            photograph, no prompts for a subject of its kind, or nothing is left.
    """
    folders = _folders(root)
    for name in wanted:
        if name not in folders:
            raise UsageError(
                f"{root} has no folder of the subject {name!r}: {nearest(name, folders)}"
            )
    names = [name for name in folders if not wanted or name in wanted]
    if unknown := [name for name in names if name not in file.classes]:
        raise InputError(
            f"{file.path} says no class for {', '.join(unknown)}: add a line like '{unknown[0]},dog' under its heading Classes, or choose "
            "the others with --subjects."
        )
    words = {
        name: word_of(name, file.classes[name], scale) for name in file.classes if name in names
    }
    passed_over: list[str] = []
    found = tuple(
        _subject(folders[name], word, file, scale, passed_over)
        for name, word in words.items()
        if word is not None
    )
    without_word = tuple(name for name, word in words.items() if word is None)
    if not found:
        raise InputError(
            f"no subject is left: the miniature has no word for {', '.join(without_word)}; it knows {', '.join(MINI_CLASSES)}."
        )
    without_folder = () if wanted else tuple(name for name in file.classes if name not in folders)
    return FoundSubjects(found, without_folder, without_word, tuple(passed_over))


def word_of(name: str, class_name: str, scale: str) -> str | None:
    """What texts call a subject; None where the miniature has no word for it.

    The miniature's word is the last one of the class (toy car -> car), or, where the class is one
    of `LIKENESSES`, a word of the folder's name (rc_car, a toy -> car). A backpack in the shape of
    a dog stays a backpack, which the miniature does not know.
    """
    if scale != "mini":
        return class_name
    words = split_words(class_name)
    candidates = words[-1:] + (
        split_words(name.replace("-", " ")) if " ".join(words) in LIKENESSES else []
    )
    return next((word for word in candidates if word in MINI_CLASSES), None)


def _folders(root: Path) -> dict[str, Path]:
    if not root.is_dir():
        raise InputError(
            f"{root} is a file, not a folder of photographs."
            if root.exists()
            else f"there is no folder {root}."
        )
    found = sorted(
        (entry for entry in root.iterdir() if entry.is_dir() and not entry.name.startswith(".")),
        key=lambda e: natural(e.name),
    )
    if not found:
        raise InputError(
            f"{root} holds no folders: each subject's photographs lie in a folder of their own."
        )
    for entry in found:
        if not is_id(entry.name):
            raise InputError(
                f"the folder {entry} has a name that cannot name a subject: letters, digits, '.', '_' and '-' can."
            )
    return {entry.name: entry for entry in found}


def _subject(
    folder: Path, word: str, file: PromptFile, scale: str, passed_over: list[str]
) -> PhotographedSubject:
    entries = sorted(
        (entry for entry in folder.iterdir() if not entry.name.startswith(".")),
        key=lambda entry: natural(entry.name),
    )
    photographs = [entry for entry in entries if entry.suffix.lower() in SUFFIXES]
    passed_over += [f"{folder.name}/{entry.name}" for entry in entries if entry not in photographs]
    if not photographs:
        raise InputError(
            f"the folder {folder} holds no photographs (known: {', '.join(SUFFIXES)})."
        )
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
        raise InputError(
            f"{file.path} has no prompts under {heading}, and {name} ({class_name}) is {kind}."
        )
    return [(fill_in(prompt, class_name), None) for prompt in prompts]


SHAPES: Mapping[str, tuple[int, int, int]] = {"sd14": (16, 256, 8), "mini": (NUM_FRAMES, SIZE, 8)}
"""Frames, pixels of a side and frames a second at each scale; at sd14 those of the released
model."""
NAMES: Mapping[str, str] = {"sd14": "dreambooth", "mini": "dreambooth-mini"}
SEEDS = 4  # videos of each prompt, as in the paper
METRICS = ("dino", "clip-image", "clip-text", "temporal-consistency", "motion")
WHOLE = "image prompts are whole photographs: no segmenter cut the subjects out"
UNSEEN = "the miniature's networks and scoring encoders have only ever seen drawings: on photographs their numbers try the plumbing, no more"


@dataclass(frozen=True)
class MadeSuite:
    """The suite, and a sentence for everything that its user must know of it."""

    suite: PromptSuite
    notes: tuple[str, ...]


def make_suite(
    out: Path,
    photographs: Path,
    prompts: Path,
    *,
    scale: str = "sd14",
    segmenter: Segmenter | None = None,
    seeds: int = SEEDS,
    wanted: Collection[str] = (),
) -> MadeSuite:
    """Write the suite's folder; it is there whole or not at all.

    Args:
        out: a new folder, or an empty one.
        photographs: holds a folder a subject.
        prompts: the dataset's prompts_and_classes.txt.
        scale: a key of `SHAPES`; at mini, subjects that the miniature has a word for are asked for
            in its own words.
        segmenter: cuts the image prompt out of the first photograph in which it finds the subject;
            None: the first one is used whole.
        seeds: videos of each prompt.
        wanted: names of subjects; none: all.
    Raises:
        UsageError: no such scale or subject.
        InputError: the folder is in use; a photograph that cannot be read; or as `read_prompt_file`
            and `find_subjects`.
    """
    if scale not in SHAPES:
        raise UsageError(f"there is no scale {scale!r}: known are {', '.join(SHAPES)}.")
    found = find_subjects(photographs, read_prompt_file(prompts), scale, wanted)
    with _whole_folder(out) as folder:
        rows, items, uncut = [], [], []
        for subject in found.subjects:
            row, is_cut = _write_subject(folder, subject, scale, segmenter)
            rows.append(row)
            items += _items(subject, row["image"], seeds)
            uncut += [] if is_cut else [subject.name]
        notes = _notes(found, scale, segmenter, uncut)
        suites.write(folder, _settings(found, scale, seeds, notes), rows, items)
    strange = (
        [f"no pictures by their names, passed over: {', '.join(found.passed_over)}"]
        if found.passed_over
        else []
    )
    return MadeSuite(load_suite(out), (*notes, *strange))


@contextmanager
def _whole_folder(out: Path) -> Iterator[Path]:
    """A folder beside the target, which becomes the target at the end, or vanishes.

    Raises:
        InputError: the target is in use.
    """
    if not out.is_dir() and (out.exists() or out.is_symlink()):
        raise InputError(f"{out} is a file, not a folder.")
    if out.is_dir() and (held := sorted(entry.name for entry in out.iterdir())):
        raise InputError(f"{out} is in use: it holds {held[0]}. Name a new folder with --out.")
    target = out.resolve()
    try:
        with atomic_folder(target) as partial:
            (partial / "images").mkdir()
            yield partial
    except FileExistsError as error:
        if error.filename != str(target):
            raise
        raise InputError(f"{out} is in use: another process wrote to it in the meantime.") from None


def _write_subject(
    folder: Path, subject: PhotographedSubject, scale: str, segmenter: Segmenter | None
) -> tuple[dict[str, Any], bool]:
    """The subject's row, and whether its image prompt is cut out; a photograph that it was cut from
    is not listed a second time."""
    _, size, fps = SHAPES[scale]
    clips, pictures, prompt = [], [], None
    for place, path in enumerate(subject.photographs):
        picture_HW3, name = load_picture(path), f"{subject.name}-{place:02d}"
        clips.append(f"fit/{name}.mkv")
        write_video_lossless(folder / clips[-1], Video(still_frame(picture_HW3, size)[None], fps))
        cut_HW3 = (
            None
            if segmenter is None or prompt is not None
            else _cut(segmenter, picture_HW3, subject.class_name)
        )
        pictures.append(
            f"images/{name}{path.suffix.lower()}"
            if cut_HW3 is None
            else f"images/{subject.name}-prompt.png"
        )
        if cut_HW3 is None:
            shutil.copyfile(path, folder / pictures[-1])
        else:
            prompt = place
            Image.fromarray(cut_HW3).save(folder / pictures[-1])
    image = pictures.pop(prompt or 0)
    caption = f"a photo of {article(subject.word.lower())} {subject.word}"
    row = {
        "id": subject.name,
        "class": subject.word,
        "image": image,
        "clips": clips,
        "captions": [caption] * len(clips),
    }
    return {**row, "references": pictures}, prompt is not None


def still_frame(picture_HW3: np.ndarray, size: int) -> np.ndarray:
    """A photograph as the frame of a clip: the middle square, resized; uint8 (size, size, 3)."""
    height, width, _ = picture_HW3.shape
    side = min(height, width)
    top, left = (height - side) // 2, (width - side) // 2
    return resize_frames(
        picture_HW3[None, top : top + side, left : left + side], size, resample="lanczos"
    )[0]


def _cut(segmenter: Segmenter, picture_HW3: np.ndarray, noun: str) -> np.ndarray | None:
    """The surest finding on white, square; None where there is none."""
    for found in segmenter.find(picture_HW3[None], noun):
        x1, y1, x2, y2 = clipped_box(found.box, found.mask_HW.shape)
        if found.mask_HW[y1:y2, x1:x2].any():
            return cut_out(picture_HW3, found.mask_HW, found.box)
    return None


def _items(subject: PhotographedSubject, image: str, seeds: int) -> list[dict[str, Any]]:
    """All prompts with the first noise, then all with the next: the first N prompts of a subject
    are N different texts."""
    known = {
        "subject": subject.name,
        "class": subject.word,
        "image": image,
        "subject_word": subject.word,
    }
    return [
        {
            "id": f"{subject.name}-{place:02d}-{seed}",
            **known,
            "text": text,
            **({"scene": scene} if scene else {}),
        }
        for seed in range(seeds)
        for place, (text, scene) in enumerate(subject.prompts)
    ]


def _notes(
    found: FoundSubjects, scale: str, segmenter: Segmenter | None, uncut: list[str]
) -> list[str]:
    """What the suite's description, and with it every report, says beside its counts."""
    notes = [UNSEEN] if scale == "mini" else []
    notes.append(WHOLE if segmenter is None else f"{segmenter.name} cut the image prompts out")
    if segmenter is not None and uncut:
        notes.append(
            f"{segmenter.name} found no subject in any photograph of {', '.join(uncut)}: whole photographs"
        )
    if found.without_word:
        notes.append(
            f"left out, for want of a word that the miniature knows: {', '.join(found.without_word)}"
        )
    if found.without_folder:
        notes.append(
            f"left out, for want of a folder of photographs: {', '.join(found.without_folder)}"
        )
    return notes


def _settings(found: FoundSubjects, scale: str, seeds: int, notes: list[str]) -> dict[str, Any]:
    frames, size, fps = SHAPES[scale]
    counts = {len(subject.prompts) for subject in found.subjects}
    prompts = f"{min(counts)} to {max(counts)}" if len(counts) > 1 else str(*counts)
    what = f"{len(found.subjects)} subjects of a copy of the DreamBooth dataset (Ruiz et al. 2023), {prompts} prompts each, {seeds} seeds"
    return {
        "name": NAMES[scale],
        "version": "1",
        "description": "; ".join([what, *notes]),
        "scale": scale,
        "num_frames": frames,
        "size": size,
        "fps": fps,
        "seed": 0,
        "metrics": list(METRICS),
    }
