"""Suites of the miniature world: prompt items of held-out individuals, with their image prompts, real videos and clips to fit on."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from vbbench.errors import UsageError
from vbbench.types import Video
from vbbench.world.captions import caption
from vbbench.world.individuals import Individual, individual
from vbbench.world.names import CLASSES, MOTIONS, NUM_FRAMES, SCENES, SIZE
from vbbench.world.render import render_clip, render_image_prompt

FPS = 8
FIT_CLIPS = 4
OTHER_OFFSET = 40  # the "other individual" of index i is index i + this: never itself an item's subject in suites of fewer
SPLIT_WORDS = {"train": "training", "val": "validation", "test": "held-out"}
METRICS = ["true-identity", "dino", "clip-image", "clip-text", "temporal-consistency", "motion"]


def write_suite(
    root: Path, name: str, version: str, *, per_class: int, prompts: int, seed: int, split: str = "test", rendered: bool = False
) -> str:
    """Render and write a suite; returns its digest.

    Args:
        root: the suite's folder, made where missing.
        per_class: individuals of each class, at most OTHER_OFFSET.
        prompts: text prompts of each individual; scenes and motions are dealt so that each comes up equally often.
        seed: of the suite.
        split: whose individuals; ``test`` was seen by nothing that was trained.
        rendered: whether its digest counts pixels, so that the same suite can be rendered anywhere, instead of bytes.
    Raises:
        UsageError: more individuals of a class than OTHER_OFFSET.
    """
    from vbbench import suite

    if not 1 <= per_class <= OTHER_OFFSET:
        raise UsageError(f"a suite of the miniature world has 1 to {OTHER_OFFSET} individuals of each class, not {per_class}.")
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
            items += [_write_item(root, person, other, number, *ask, rng) for number, ask in enumerate(asked)]
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
        settings[suite.RENDERED] = {"per_class": per_class, "prompts": prompts, "seed": seed, "split": split}
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


def _write_subject(root: Path, person: Individual, asked: list[tuple[str, str]], rng: np.random.Generator) -> Mapping[str, Any]:
    """The image prompt and its mask, and clips to fit on in other scenes than those asked for."""
    from PIL import Image

    from vbbench.video import write_video_lossless

    name = _subject_id(person)
    image, mask = render_image_prompt(person, _seed(rng))
    Image.fromarray(image).save(root / "images" / f"{name}.png")
    Image.fromarray(mask > 0).save(root / "masks" / f"{name}.png")
    scenes = rng.permutation([scene for scene in SCENES if scene not in {a for a, _ in asked}])[:FIT_CLIPS]
    motions = rng.permutation(MOTIONS)[:FIT_CLIPS]
    clips, captions = [], []
    for number, (scene, motion) in enumerate(zip(map(str, scenes), map(str, motions), strict=True)):
        clips.append(f"fit/{name}-{number}.mkv")
        captions.append(caption(person.class_name, scene, motion))
        write_video_lossless(root / clips[-1], Video(render_clip(person, scene, motion, _seed(rng))[0], FPS))
    world = {"split": person.split, "class": person.class_name, "index": person.index}
    row = {"id": name, "class": person.class_name, "image": f"images/{name}.png", "masks": [f"masks/{name}.png"]}
    return {**row, "clips": clips, "captions": captions, "world": world}


def _write_item(
    root: Path, person: Individual, other: Individual, number: int, scene: str, motion: str, rng: np.random.Generator
) -> Mapping[str, Any]:
    """A text prompt and the real videos that answer it: of the subject, and of another individual at the same seed."""
    from vbbench.video import write_video_lossless

    name, item, seed = _subject_id(person), f"{_subject_id(person)}-{number}", _seed(rng)
    for folder, who in (("real", person), ("other", other)):
        write_video_lossless(root / folder / f"{item}.mkv", Video(render_clip(who, scene, motion, seed)[0], FPS))
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
