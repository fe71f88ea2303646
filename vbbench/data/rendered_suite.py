"""Suites that are rendered when first used: what is shipped is how to make them and the digest of
what must come out.

They lie in ``<cache>/suites/<name>-<version>-<digest>``, whole or not at all. Their digest counts
pixels and texts: the bytes of a PNG or of a video depend on the library that packs them, the pixels
on the drawing code alone.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from vbbench.core.files import atomic_folder, clear_temporary
from vbbench.core.locks import locked
from vbbench.core.log import LOG
from vbbench.core.paths import CACHE_VARIABLE, cache_dir
from vbbench.data.world.captions import caption
from vbbench.data.world.individuals import OTHER_OFFSET, Individual, individual
from vbbench.data.world.names import CLASSES, MOTIONS, NUM_FRAMES, SCENES, SIZE
from vbbench.data.world.render import render_clip, render_image_prompt
from vbbench.errors import SuiteError, UsageError
from vbbench.types import PromptSuite, Video

# Suites of the miniature world: prompt items of held-out individuals, with their image prompts,
# real videos and clips to fit on.

FPS = 8
FIT_CLIPS = 4
SPLIT_WORDS = {"train": "training", "val": "validation", "test": "held-out"}
METRICS = ["true-identity", "dino", "clip-image", "clip-text", "temporal-consistency", "motion"]


def write_suite(
    root: Path,
    name: str,
    version: str,
    *,
    per_class: int,
    prompts: int,
    seed: int,
    split: str = "test",
    rendered: bool = False,
) -> str:
    """Render and write a suite; returns its digest.

    Args:
        root: the suite's folder, made where missing.
        per_class: individuals of each class, at most OTHER_OFFSET.
        prompts: text prompts of each individual; scenes and motions are dealt so that each comes up
            equally often.
        seed: of the suite.
        split: whose individuals; ``test`` was seen by nothing that was trained.
        rendered: whether its digest counts pixels, so that the same suite can be rendered anywhere,
            instead of bytes.
    Raises:
        UsageError: more individuals of a class than OTHER_OFFSET.
    """
    from vbbench.data import suite

    if not 1 <= per_class <= OTHER_OFFSET:
        raise UsageError(
            f"a suite of the miniature world has 1 to {OTHER_OFFSET} individuals of each class, not {per_class}."
        )
    for folder in ("images", "masks", "real", "other", "fit"):
        (root / folder).mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng([seed, SPLIT_SALT])
    count = len(CLASSES) * per_class * prompts
    deck = {words: _deal(words, count, rng) for words in (SCENES, MOTIONS)}
    subjects, items = [], []
    for class_name in CLASSES:
        for index in range(per_class):
            person = individual(split, class_name, index)
            asked = [(deck[SCENES].pop(), deck[MOTIONS].pop()) for _ in range(prompts)]
            subjects.append(_write_subject(root, person, asked, rng))
            other = individual(split, class_name, index + OTHER_OFFSET)
            items += [
                _write_item(root, person, other, number, *ask, rng)
                for number, ask in enumerate(asked)
            ]
    settings = {
        "name": name,
        "version": version,
        "description": f"{len(subjects)} {SPLIT_WORDS[split]} individuals of the miniature world, {prompts} text prompts each",
        "scale": "mini",
        "num_frames": NUM_FRAMES,
        "size": SIZE,
        "fps": FPS,
        "seed": seed,
        "metrics": METRICS,
    }
    if rendered:
        settings[suite.RENDERED] = {
            "per_class": per_class,
            "prompts": prompts,
            "seed": seed,
            "split": split,
        }
    return suite.write(root, settings, subjects, items)


SPLIT_SALT = 20231200777


def _deal(words: tuple[str, ...], count: int, rng: np.random.Generator) -> list[str]:
    """``count`` words in random order, each equally often up to one."""
    rounds = [rng.permutation(words) for _ in range(-(-count // len(words)))]
    return [str(word) for word in np.concatenate(rounds)[:count]]


def _seed(rng: np.random.Generator) -> int:
    return int(rng.integers(2**31))


def _subject_id(person: Individual) -> str:
    return f"{person.class_name}-{person.index:04d}"


def _write_subject(
    root: Path, person: Individual, asked: list[tuple[str, str]], rng: np.random.Generator
) -> Mapping[str, Any]:
    """The image prompt and its mask, and clips to fit on in other scenes than those asked for."""
    from PIL import Image

    from vbbench.media.video import write_video_lossless

    name = _subject_id(person)
    image, mask = render_image_prompt(person, _seed(rng))
    Image.fromarray(image).save(root / "images" / f"{name}.png")
    Image.fromarray(mask > 0).save(root / "masks" / f"{name}.png")
    scenes = rng.permutation([scene for scene in SCENES if scene not in {a for a, _ in asked}])[
        :FIT_CLIPS
    ]
    motions = rng.permutation(MOTIONS)[:FIT_CLIPS]
    clips, captions = [], []
    for number, (scene, motion) in enumerate(zip(map(str, scenes), map(str, motions), strict=True)):
        clips.append(f"fit/{name}-{number}.mkv")
        captions.append(caption(person.class_name, scene, motion))
        write_video_lossless(
            root / clips[-1], Video(render_clip(person, scene, motion, _seed(rng))[0], FPS)
        )
    world = {"split": person.split, "class": person.class_name, "index": person.index}
    row = {
        "id": name,
        "class": person.class_name,
        "image": f"images/{name}.png",
        "masks": [f"masks/{name}.png"],
    }
    return {**row, "clips": clips, "captions": captions, "world": world}


def _write_item(
    root: Path,
    person: Individual,
    other: Individual,
    number: int,
    scene: str,
    motion: str,
    rng: np.random.Generator,
) -> Mapping[str, Any]:
    """A text prompt and the real videos that answer it: of the subject, and of another individual
    at the same seed."""
    from vbbench.media.video import write_video_lossless

    name, item, seed = _subject_id(person), f"{_subject_id(person)}-{number}", _seed(rng)
    for folder, who in (("real", person), ("other", other)):
        write_video_lossless(
            root / folder / f"{item}.mkv", Video(render_clip(who, scene, motion, seed)[0], FPS)
        )
    return {
        "id": item,
        "subject": name,
        "class": person.class_name,
        "text": caption(person.class_name, scene, motion),
        "subject_word": person.class_name,
        "image": f"images/{name}.png",
        "scene": scene,
        "motion": motion,
        "reference_video": f"real/{item}.mkv",
        "other_video": f"other/{item}.mkv",
    }


SECONDS_A_CLIP = 0.04


def counts(header: Mapping[str, Any]) -> tuple[int, int]:
    """Numbers of subjects and items of a suite that may not be rendered yet."""
    table = header["rendered"]
    subjects = len(CLASSES) * table["per_class"]
    return subjects, subjects * table["prompts"]


def from_cache(header: Mapping[str, Any], read: Callable[[Path], PromptSuite]) -> PromptSuite:
    """The suite, rendered first where it is not there yet or has been damaged.

    Args:
        header: the settings of its suite.toml.
        read: reads a suite's folder and holds it against the digest recorded in that folder.
    Raises:
        SuiteError: the cache cannot be written to, or other pixels come out here than those
            recorded.
    """
    folder = (
        cache_dir()
        / "suites"
        / f"{header['name']}-{header['version']}-{str(header.get('digest'))[:12]}"
    )
    try:
        found = _read_whole(folder, header, read)
        if found is not None:
            return found
        folder.parent.mkdir(parents=True, exist_ok=True)
        waiting = f"another process is rendering {folder}; waiting for it."
        lock = folder.with_name(f".{folder.name}.lock")
        with locked(lock, on_wait=lambda: LOG.info(waiting)):
            found = _read_whole(
                folder, header, read
            )  # another process may have rendered it in the meantime
            if found is None:
                clear_temporary(folder.parent, of=folder)
                _tell(header, folder)
                render_whole(folder, header)
            return found or read(folder)
    except OSError as error:
        raise SuiteError(
            f"the suite {header['name']} is rendered when first used, but {folder.parent} cannot be used for it: "
            f"{error.strerror or error}. Set {CACHE_VARIABLE} to a folder that can be written to."
        ) from None


def _read_whole(
    folder: Path, header: Mapping[str, Any], read: Callable[[Path], PromptSuite]
) -> PromptSuite | None:
    """The rendered suite; None where it is not there, or not as it was recorded."""
    if not folder.is_dir():
        return None
    try:
        suite = read(folder)
    except SuiteError:
        return None
    return suite if suite.digest == header["digest"] else None


def _tell(header: Mapping[str, Any], folder: Path) -> None:
    subjects, items = counts(header)
    seconds = SECONDS_A_CLIP * (subjects * FIT_CLIPS + 2 * items)
    what = (
        "is damaged and rendered anew"
        if folder.exists()
        else f"is rendered once ({subjects} individuals, {items} prompts)"
    )
    LOG.info(
        f"the suite {header['name']} {what}, into {folder}; this takes about {max(1, round(seconds))} s."
    )


def render_whole(folder: Path, header: Mapping[str, Any]) -> str:
    """Render a suite beside its folder, and put it in the place of what is there once it is whole;
    returns its digest.

    Args:
        header: name, version, ``rendered``, and the digest that must come out, where there is one.
    Raises:
        SuiteError: other pixels or texts came out than those recorded.
    """
    with atomic_folder(folder, replace=True) as partial:
        digest = write_suite(
            partial, header["name"], header["version"], **header["rendered"], rendered=True
        )
        if digest != header.get("digest", digest):
            raise SuiteError(
                f"the suite {header['name']} comes out differently here: its digest is {digest[:12]}, {header['digest'][:12]} is recorded. "
                "The drawing code or the arithmetic of this machine is another, so its scores could stand beside no others; "
                "`vbbench world suite` writes a suite of your own."
            )
    return digest
