"""Scoring in three ways that must give the same numbers: a plain loop, the scorer, and the scorer
with everything in its cache.

``python -m tests.benchmarks.scoring_cases --videos 20 --folder DIR`` prints the peak memory of
scoring so many videos, for a fresh process of its own.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from vbbench.core.environment import PeakMemory
from vbbench.data import world
from vbbench.media.pictures import load_reference
from vbbench.media.video import read_video, resize_frames, write_video_lossless
from vbbench.metrics import functional, get_metric
from vbbench.metrics.analysis import Encoders
from vbbench.metrics.cache import EmbeddingCache
from vbbench.metrics.encoders.encoders import get_encoder
from vbbench.metrics.encoders.setting import Setting
from vbbench.metrics.scoring import ClipToScore, score_clips
from vbbench.types import PromptItem, Subject, Video

METRICS = ("clip-text", "clip-image", "dino", "temporal-consistency")
SIDES = {"mini": 64, "sd14": 256}
FRAMES = {"mini": 8, "sd14": 16}
Values = dict[tuple[str, str], float]


def setting(scale: str) -> Setting:
    """Random weights: the same arithmetic, and nothing to be had from a hub."""
    return Setting(scale=scale, weights="random", num_frames=FRAMES[scale], fps=8)


def write_clips(folder: Path, scale: str, count: int) -> list[ClipToScore]:
    """Clips of the miniature world at the scale's size, with image prompts and texts; what is there
    already is used again."""
    clips = []
    for number in range(count):
        class_name = world.CLASSES[number % len(world.CLASSES)]
        scene, motion = (
            world.SCENES[number % len(world.SCENES)],
            world.MOTIONS[number % len(world.MOTIONS)],
        )
        video, image = folder / f"{number}.mkv", folder / f"{number}.png"
        if not video.is_file():
            person = world.individual("test", class_name, number % 100)
            frames = resize_frames(
                world.render_clip(person, scene, motion, number)[0], SIDES[scale]
            )
            there_and_back = np.concatenate([frames, frames[::-1]])[: FRAMES[scale]]
            write_video_lossless(video, Video(there_and_back, 8))
            Image.fromarray(world.render_image_prompt(person, number)[0]).save(image)
        text = world.caption(class_name, scene, motion)
        item = PromptItem(
            str(number),
            Subject(str(number), class_name, image),
            text,
            class_name,
            seed=0,
            image_seed=0,
        )
        clips.append(ClipToScore("m", item, video))
    return clips


def plain_loop(clips: Sequence[ClipToScore], scale: str) -> Values:
    """A video, a metric, a frame at a time, as hand-made scripts do it."""
    values = {}
    for clip in clips:
        for metric in METRICS:
            encoder = get_encoder("dino" if metric == "dino" else "clip", setting(scale))
            embedded = torch.cat(
                [encoder.embed_frames(frame[None]) for frame in read_video(clip.video).frames]
            )
            if metric == "temporal-consistency":
                found = functional.consecutive_cosines(embedded)
            elif metric == "clip-text":
                found = functional.cosine_to_each(embedded, encoder.embed_text([clip.item.text]))
            else:
                found = functional.cosine_to_each(
                    embedded, encoder.embed_frames(load_reference(clip.item.image)[None])
                )
            values[clip.item.id, metric] = float(found.mean())
    return values


def scored(
    clips: Sequence[ClipToScore], scale: str, cache: Path | None = None, batch_size: int = 64
) -> Values:
    """The same numbers by `score_clips`."""
    return dict(_pairs(clips, scale, cache, batch_size))


def _pairs(
    clips: Sequence[ClipToScore], scale: str, cache: Path | None, batch_size: int
) -> Iterator[tuple[tuple[str, str], float]]:
    metrics = [get_metric(name, setting(scale)) for name in METRICS]
    for scores in score_clips(
        clips, metrics, Encoders(setting(scale), batch_size=batch_size), EmbeddingCache(cache)
    ):
        for score in scores:
            assert score.value is not None, score.reason
            yield (score.item_id, score.metric), score.value


def largest_difference(a: Values, b: Values) -> float:
    """Between two sets of the same scores."""
    assert a.keys() == b.keys()
    return max(abs(a[key] - b[key]) for key in a)


def main() -> None:
    """Score some videos and print the peak memory in MB."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--scale", default="mini")
    parser.add_argument("--videos", type=int, required=True)
    parser.add_argument("--folder", type=Path, required=True)
    options = parser.parse_args()
    torch.set_num_threads(1)
    clips = write_clips(options.folder, options.scale, options.videos)
    memory = PeakMemory("cpu")
    values = scored(clips, options.scale)
    print(f"{memory.megabytes():.1f} {np.mean(list(values.values())):.6f}")


if __name__ == "__main__":
    main()
