"""From photographs to scores: a suite of them is planned, fitted to, sampled and scored like any
other, here with tiny weights."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from tests.data.videos.photographs import write_copy
from tests.models.tiny import tiny_weights, weights_root
from vbbench.cli import main
from vbbench.media.pictures import load_picture
from vbbench.media.video import read_video
from vbbench.metrics.encoders.encoders import get_encoder
from vbbench.metrics.encoders.setting import Setting

__all__ = ["tiny_weights", "weights_root"]


def test_photographs_end_in_scores(
    tiny_weights: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    photographs, file = write_copy(tmp_path)
    made = [
        "data",
        "dreambooth",
        "--photographs",
        str(photographs),
        "--prompts",
        str(file),
        "--out",
        str(tmp_path / "suite"),
    ]
    assert main([*made, "--scale", "mini", "--subjects", "rex,rc_car"]) == 0
    run = [
        "run",
        "--suite",
        str(tmp_path / "suite"),
        "--out",
        str(tmp_path / "run"),
        "--models",
        "videobooth,textual-inversion",
    ]
    words = [
        "--no-references",
        "--prompts-per-subject",
        "1",
        "--steps",
        "2",
        "--metrics",
        "dino",
        "--random-weights",
        "--threads",
        "1",
    ]
    assert main([*run, *words]) == 0
    assert (tmp_path / "run" / "report" / "index.html").is_file()
    assert "have only ever seen drawings" in (tmp_path / "run" / "report" / "index.html").read_text(
        "utf-8"
    )

    rows = [
        json.loads(line) for line in (tmp_path / "run" / "scores.jsonl").read_text().splitlines()
    ]
    scores = {(row["model"], row["item_id"]): row["value"] for row in rows}
    assert set(scores) == {
        (model, item)
        for model in ("videobooth", "textual-inversion")
        for item in ("rex-00-0", "rc_car-00-0")
    }
    setting = Setting("mini", (), "float32", "random", 8, 8, "lossless")
    for (model, item), score in scores.items():
        (video,) = (tmp_path / "run" / "videos" / model).glob(f"{item}.*")
        assert score == pytest.approx(
            mean_pairwise_cosine(video, photographs / item.split("-")[0], setting), abs=1e-5
        )


def mean_pairwise_cosine(video: Path, folder: Path, setting: Setting) -> float:
    """The paper's DINO score, by hand: of all pairs of a frame and a photograph."""
    encoder = get_encoder("dino", setting)
    frames = encoder.embed_frames(read_video(video).frames).double().numpy()
    cosines = []
    for path in folder.iterdir():
        photograph = encoder.embed_frames(load_picture(path)[None]).double().numpy()[0]
        cosines += [
            float(frame @ photograph / np.linalg.norm(frame) / np.linalg.norm(photograph))
            for frame in frames
        ]
    return float(np.mean(cosines))
