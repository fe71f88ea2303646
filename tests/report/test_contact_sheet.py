"""The contact sheet: who stands where, and what is grey."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

from vbbench.media.video import read_video
from vbbench.report.contact_sheet import (
    CAPTION,
    CELL,
    EMPTY,
    FILE,
    FRAMES,
    GAP,
    ROWS,
    TITLE,
    write_contact_sheet,
)
from vbbench.results.aggregate import load_run
from vbbench.results.analysis import Results, analyse


def sheet_of(results: Results, folder: Path) -> np.ndarray:
    write_contact_sheet(results, folder)
    return np.asarray(Image.open(folder / FILE))


def cell(sheet: np.ndarray, row: int, column: int, frame: int) -> np.ndarray:
    x = GAP + CELL + 3 * GAP + column * (FRAMES * (CELL + 1) + 3 * GAP) + frame * (CELL + 1)
    y = TITLE + row * (CELL + CAPTION + GAP)
    return sheet[y : y + CELL, x : x + CELL]


def test_each_clip_stands_in_its_models_column_and_its_individuals_row(
    run_folder: Path, tmp_path: Path
) -> None:
    run = load_run(run_folder)
    results = analyse(run)
    order = [row.model for row in results.rows]
    sheet = sheet_of(results, tmp_path)
    rows = list({item.subject_id: item for item in reversed(run.items)}.values())[::-1]
    assert sheet.shape[0] == TITLE + min(len(rows), ROWS) * (CELL + CAPTION + GAP)
    shown = grey = 0
    for row, item in enumerate(rows[:ROWS]):
        for column, name in enumerate(order):
            clip = run.clips[name, item.id]
            if clip.status != "done" or clip.video is None:
                assert (cell(sheet, row, column, 0) == EMPTY).all()
                grey += 1
                continue
            frames = read_video(clip.video).frames
            for number, place in enumerate((0, (len(frames) - 1) / 2, len(frames) - 1)):
                wanted = frames[round(place)].reshape(-1, 3).mean(0)
                assert (
                    np.abs(cell(sheet, row, column, number).reshape(-1, 3).mean(0) - wanted).max()
                    < 3
                )
            shown += 1
    assert shown
    assert grey


def test_the_same_run_gives_the_same_bytes(run_folder: Path, tmp_path: Path) -> None:
    results = analyse(load_run(run_folder))
    written = []
    for _ in range(2):
        write_contact_sheet(results, tmp_path)
        written.append((tmp_path / FILE).read_bytes())
    assert written[0] == written[1]
