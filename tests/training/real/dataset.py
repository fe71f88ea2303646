"""A small dataset on the disk, and trainings on it with the tiny networks of scale sd14, in this
process or in others."""

from __future__ import annotations

import csv
import json
import os
import subprocess
import sys
from itertools import count, islice
from pathlib import Path
from typing import Any

from tests.training.real import made
from vbbench.data.videos.heldout import split_of
from vbbench.training.real.recipes import RealRun
from vbbench.training.real.settings import ClipSettings, RealSettings
from vbbench.training.real.train import train

ROOT = Path(__file__).parents[3]
SETTINGS = RealSettings(
    steps=20,
    global_batch=4,
    micro_batch=2,
    sample_every=0,
    validate_every=100,
    loaders=1,
    bf16=False,
)
CLIPS = ClipSettings(num_frames=3, frame_interval=2, size=32)
OPTIONS = (
    "--steps 20 --batch-size 4 --micro-batch 2 --sample-every 0 --validate-every 100 --loaders 1"
)
OPTIONS += " --num-frames 3 --frame-interval 2 --size 32"


def ids(split: str, number: int) -> list[str]:
    """So many videoids of a split."""
    return list(
        islice(
            (name for name in (f"clip{place}" for place in count()) if split_of(name) == split),
            number,
        )
    )


def write(folder: Path, train_clips: int = 6, held_out: int = 2) -> Path:
    """``<folder>/data`` and ``<folder>/videos``; every second clip is of another class."""
    for place, name in enumerate([*ids("train", train_clips), *ids("heldout", held_out)]):
        class_name = ("dog", "cat")[place % 2]
        made.video(folder / "videos" / "p" / f"{name}.mp4", 12 + place, seed=place)
        mask = made.example(folder / "made", name).mask
        target = folder / "data" / class_name / name
        target.mkdir(parents=True)
        mask.rename(target / "mask_1.png")
        (target / "mask.json").write_text(
            json.dumps([{"value": 1, "label": class_name, "logit": 0.9, "box": list(made.BOX)}])
        )
        table = folder / "data" / f"{class_name}.csv"
        new = not table.exists()
        with table.open("a", newline="") as file:
            rows = csv.writer(file)
            rows.writerows([("videoid", "page_dir", "name")] if new else [])
            rows.writerow((name, "p", f"a {class_name} runs over the beach, number {place}"))
    return folder


def run(
    folder: Path, name: str, work: Path, settings: RealSettings = SETTINGS, **changes: Any
) -> Path:
    """Train in this process; returns the folder of checkpoints."""
    given = {"settings": settings, "clips": CLIPS, "out": work / "out", **changes}
    told = RealRun(name, folder / "data", folder / "videos", work, **given)
    train(told)
    return told.folder


def command(folder: Path, name: str, work: Path, *more: str) -> list[str]:
    """The same on the command line, after ``vbbench``."""
    places = [
        "--data",
        str(folder / "data"),
        "--videos",
        str(folder / "videos"),
        "--work",
        str(work),
        "--out",
        str(work / "out"),
    ]
    return [
        "train",
        name,
        "--scale",
        "sd14",
        *places,
        "--precision",
        "float32",
        *OPTIONS.split(),
        *more,
    ]


def start(arguments: list[str], weights: Path, processes: int = 1) -> subprocess.Popen[str]:
    """``vbbench`` in other processes."""
    launcher = (
        ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(processes)]
        if processes > 1
        else []
    )
    # the tests' folder may lie beside an installed package
    environment = {
        **os.environ,
        "VBBENCH_WEIGHTS": str(weights),
        "OMP_NUM_THREADS": "1",
        "PYTHONWARNINGS": "ignore",
    }
    return subprocess.Popen(
        [sys.executable, *launcher, "-m", "vbbench", *arguments],
        env=environment,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )


def losses(folder: Path, column: str = "loss") -> list[float]:
    """Of each step; or another column of the curves."""
    newest = max(folder.glob("checkpoint-*"))
    return [row[column] for row in json.loads((newest / "state.json").read_text())["history"]]
