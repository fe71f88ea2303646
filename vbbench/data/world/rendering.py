"""Renders training data into its folder, once, over all cores."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np

from vbbench.core.files import atomic_folder
from vbbench.core.progress import Progress
from vbbench.data import world
from vbbench.data.world.pictures import KINDS, VARIANTS, TrainingData

FORMAT = 1
CHUNK = {"stills": 256, "clips": 64, "prompts": 256}  # rows rendered by one task


def prepare(work: Path, variant: str = "models", processes: int | None = None) -> tuple[Path, str]:
    """Folder and digest of a variant's data, rendered below ``work`` if it is not there yet (about
    a gigabyte, minutes on two cores).

    The digest is of the counts, the seed and a few probe pictures, so a changed world is rendered
    anew.
    """
    digest = data_digest(variant)
    folder = work / f"{variant}-{digest[:12]}"
    if not (folder / "data.json").is_file():
        facts = {"digest": digest, "variant": variant, **_facts(variant)}
        # where somebody else was faster, both rendered the same
        with contextlib.suppress(FileExistsError), atomic_folder(folder) as partial:
            _render(TrainingData(partial, variant), processes or min(16, os.cpu_count() or 1))
            (partial / "data.json").write_text(json.dumps(facts, indent=2))
    return folder, digest


def data_digest(variant: str) -> str:
    """SHA-256 over everything that decides the pixels of a variant."""
    digest = hashlib.sha256(json.dumps(_facts(variant), sort_keys=True).encode())
    n = 2 * len(world.CLASSES)
    people = world.individuals(
        "val", np.arange(n) % len(world.CLASSES), np.arange(n) // len(world.CLASSES)
    )
    seeds = np.arange(n)
    frames = (seeds % world.NUM_FRAMES)[:, None]
    for picture in (
        *world.render_clips(
            people,
            seeds % len(world.SCENES),
            seeds % len(world.MOTIONS),
            seeds,
            frame_indices=frames,
        ),
        *world.render_image_prompts(people, seeds),
    ):
        digest.update(picture.tobytes())
    return digest.hexdigest()


def _facts(variant: str) -> dict[str, Any]:
    return {
        "format": FORMAT,
        "world": world.WORLD_VERSION,
        "frames": world.NUM_FRAMES,
        "size": world.SIZE,
        **asdict(VARIANTS[variant]),
    }


def _render(data: TrainingData, processes: int) -> None:
    """Fill the folder's files, each task its own rows of them."""
    for split in (data.train, data.val):
        for kind in KINDS:
            shape = split.shape(kind)
            for what, tail in (("frames", (3,)), ("masks", ())):
                np.lib.format.open_memmap(
                    split.path(kind, what), mode="w+", dtype=np.uint8, shape=(*shape, *tail)
                ).flush()
    columns = list(zip(*_tasks(data), strict=True))
    progress = Progress(f"rendering {data.variant}", len(columns[0]), 0)
    pool = (
        ProcessPoolExecutor(processes, mp_context=get_context("spawn")) if processes > 1 else None
    )
    try:
        for done, _ in enumerate((pool.map if pool else map)(_render_rows, *columns), start=1):
            if progress.due():
                progress.update(done)
    finally:
        progress.close()
        if pool is not None:
            pool.shutdown(cancel_futures=True)


def _tasks(data: TrainingData) -> Iterator[tuple[TrainingData, str, str, int, int]]:
    for split in (data.train, data.val):
        for kind in KINDS:
            rows = split.shape(kind)[0]
            for start in range(0, rows, CHUNK[kind]):
                yield data, split.name, kind, start, min(rows, start + CHUNK[kind])


def _render_rows(data: TrainingData, split_name: str, kind: str, start: int, stop: int) -> None:
    """Render rows [start, stop) of one kind into its files."""
    split = getattr(data, split_name)
    records = {name: values[start:stop] for name, values in split.records(kind).items()}
    subject = records["subject"]
    people = world.individuals(split.name, split.class_index[subject], split.index[subject])
    if kind == "prompts":
        frames, masks = world.render_image_prompts(people, records["seed"])
    elif kind == "clips":
        frames, masks = world.render_clips(
            people, records["scene"], records["motion"], records["seed"]
        )
    else:
        stills = records["frame"][:, None]
        clips = world.render_clips(
            people, records["scene"], records["motion"], records["seed"], frame_indices=stills
        )
        frames, masks = clips[0][:, 0], clips[1][:, 0]
    for what, values in (("frames", frames), ("masks", masks)):
        target = np.lib.format.open_memmap(split.path(kind, what), mode="r+")
        target[start:stop] = values
        target.flush()
