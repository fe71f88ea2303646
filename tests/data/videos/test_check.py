"""`vbbench data check`: planted faults and leaks are found, and nothing else."""

from __future__ import annotations

import json
import shutil
from functools import partial
from itertools import count
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.data.videos.clips import pan
from tests.media.videos import cut, encode
from vbbench.cli import main
from vbbench.data.videos import faults
from vbbench.data.videos.check import check
from vbbench.data.videos.heldout import is_held_out
from vbbench.data.videos.layout import read_mask
from vbbench.metrics.encoders.encoders import picture_embedder


@pytest.fixture
def data(clips: Path, built: Path, tmp_path: Path) -> tuple[Path, Path]:
    """Copies of the built dataset and of its videos."""
    return shutil.copytree(built, tmp_path / "data"), shutil.copytree(
        clips / "videos", tmp_path / "videos"
    )


def lines_of(capsys: pytest.CaptureFixture[str]) -> list[str]:
    return [
        line
        for line in capsys.readouterr().out.splitlines()
        if not line.startswith(("Checked", "Faults"))
    ]


def test_a_sound_dataset_has_no_faults(
    data: tuple[Path, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["data", "check", str(data[0]), "--videos", str(data[1])]) == 0
    assert capsys.readouterr().out.endswith("Faults: none.\n")
    assert main(["data", "check", str(data[0])]) == 0
    assert "videos were not looked at" in capsys.readouterr().err
    assert main(["data", "check", str(data[1])]) == 2


@pytest.mark.parametrize("workers", [1, 2])
def test_ten_planted_faults_are_found(
    data: tuple[Path, Path], capsys: pytest.CaptureFixture[str], workers: int
) -> None:
    root, videos = data
    cars = root / "car"

    def change(videoid: str, **values: object) -> None:
        (entry,) = json.loads((cars / videoid / "mask.json").read_text())
        (cars / videoid / "mask.json").write_text(
            json.dumps([{"value": 0, "label": "background"}, {**entry, **values}])
        )

    for videoid, box, label in (
        ("c001", [0, 0, 500, 20], "car"),
        ("c003", [1, 2, 150, 120], "cat"),
    ):
        change(videoid, box=box, label=label)
    Image.fromarray(np.zeros((160, 200), np.uint8)).save(cars / "c005" / "mask_1.png")
    Image.fromarray(np.full((80, 100), 255, np.uint8)).save(cars / "c007" / "mask_1.png")
    (cars / "c009" / "mask.json").write_text('[{"value": 1, "label":')
    (videos / "p" / "c011.mp4").unlink()
    listed = (root / "bear.csv").read_text()
    other = next(
        path
        for path in sorted(root.iterdir())
        if path.is_dir() and path.name not in ("car", "bear")
    )
    videoid = next(other.iterdir()).name
    cut(next((videos / "p").glob(f"{videoid}.*")), 0.1)
    (root / "bear.csv").write_text(f"{listed}{listed.splitlines()[1]}\ngone,p,a bear\n")
    shutil.copytree(cars / "c001", cars / "stray")
    assert (
        main(["data", "check", str(root), "--videos", str(videos), "--workers", str(workers)]) == 1
    )
    found = capsys.readouterr()
    told = sorted(
        ": ".join(line.split(": ")[:2])
        for line in found.out.splitlines()
        if not line.startswith(("Checked", "Faults"))
    )
    assert told == sorted(
        [
            f"{faults.BOX_OUTSIDE}: car/c001/mask.json",
            f"{faults.OTHER_CLASS}: car/c003/mask.json",
            f"{faults.EMPTY_MASK}: car/c005/mask_1.png",
            f"{faults.MASK_SIZE}: car/c007/mask_1.png",
            f"{faults.DAMAGED_JSON}: car/c009/mask.json",
            f"{faults.MISSING_VIDEO}: car/c011",
            f"{faults.UNREADABLE_FRAME}: {other.name}/{videoid}",
            f"{faults.DUPLICATE_ID}: bear.csv, line 3",
            f"{faults.ROW_WITHOUT_FOLDER}: bear.csv, line 4",
            f"{faults.FOLDER_WITHOUT_ROW}: car/stray",
        ]
    )
    assert "has 10 faults" in found.err
    assert "Faults: 1, empty mask." in found.out


def test_a_planted_leak_is_found(
    data: tuple[Path, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    """A mirrored, smaller, badly packed copy of a clip, under an id that the rule holds out."""
    root, videos = data
    held = next(f"h{number}" for number in count() if is_held_out(f"h{number}"))
    frames, _ = pan(3)
    small = np.stack(
        [np.asarray(Image.fromarray(frame[:, ::-1].copy()).resize((150, 120))) for frame in frames]
    )
    encode(
        videos / "p" / f"{held}.mp4",
        small,
        "libx264",
        "yuv420p",
        crf="32",
        **{"x264-params": "log-level=none"},
    )
    folder = shutil.copytree(root / "car" / "c003", root / "car" / held)
    mirrored = Image.fromarray(read_mask(folder / "mask_1.png")[:, ::-1].astype(np.uint8) * 255)
    mirrored.resize((150, 120), Image.Resampling.NEAREST).save(folder / "mask_1.png")
    (entry,) = json.loads((folder / "mask.json").read_text())
    x1, y1, x2, y2 = entry["box"]
    box = [(200 - x2) * 0.75, y1 * 0.75, (200 - x1) * 0.75, y2 * 0.75]
    (folder / "mask.json").write_text(json.dumps([{**entry, "box": box}]))
    with (root / "car.csv").open("a") as file:
        file.write(f"{held},p,a car\n")
    assert main(["data", "check", str(root), "--videos", str(videos)]) == 1
    told = lines_of(capsys)
    assert [line.split(": ")[:2] for line in told] == [
        [faults.SAME_FRAME, "car/c003"],
        [faults.SAME_PROMPT, "car/c003"],
    ]
    assert all(f"that of car/{held} in the held-out split" in line for line in told)
    assert main(["data", "heldout", str(root)]) == 0
    assert capsys.readouterr().out == f"class,videoid,page_dir,name\ncar,{held},p,a car\n"


def test_another_dataset_with_the_same_sources_leaks(
    data: tuple[Path, Path], tmp_path: Path
) -> None:
    root, videos = data
    other = tmp_path / "other"
    (other / "car").mkdir(parents=True)
    shutil.copytree(root / "car" / "c001", other / "car" / "renamed")
    shutil.copy(videos / "p" / "c001.mp4", videos / "renamed.mp4")
    (other / "car.csv").write_text("videoid,page_dir,name,source\nrenamed,,a car,c001\n")
    kinds = [(fault.kind, fault.file) for fault in check(root, videos=videos, against=other).faults]
    assert kinds == [(faults.SAME_SOURCE, "car/c001")]
    (other / "car.csv").write_text("videoid,page_dir,name\nrenamed,,a car\n")
    found = check(
        root,
        videos=videos,
        against=other,
        make_embed=partial(picture_embedder, "mini"),
        lowest=0.9999,
    ).faults
    kinds = [(fault.kind, fault.file) for fault in found]
    assert kinds == [
        (kind, "car/c001")
        for kind in (faults.SAME_FRAME, faults.SAME_PROMPT, faults.SAME_EMBEDDING)
    ]


def test_damaged_tables_are_faults_of_their_own(data: tuple[Path, Path]) -> None:
    root, _ = data
    (root / "bear.csv").write_bytes(b"videoid,page_dir,name\n\xff,x,y\n")
    (root / "zebra").mkdir()
    (root / "car.csv").write_text((root / "car.csv").read_text() + "../x,p,a car\n")
    kinds = {(fault.kind, fault.file.split(",")[0]) for fault in check(root).faults}
    assert kinds == {
        (faults.DAMAGED_CSV, "bear.csv"),
        (faults.FOLDER_WITHOUT_ROW, "zebra"),
        (faults.STRANGE_ID, "car.csv"),
    }
