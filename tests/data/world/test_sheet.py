"""Contact sheets."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

from vbbench.data.world import CLASSES, NUM_FRAMES, SIZE, individual, render_image_prompt
from vbbench.data.world.sheet import contact_sheet, grid, write_contact_sheet


def test_a_grid_holds_its_pictures_apart_on_white() -> None:
    pictures = np.arange(2 * 3 * 2 * 2 * 3, dtype=np.uint8).reshape(2, 3, 2, 2, 3)
    sheet = grid(pictures, scale=2)
    assert sheet.shape == (2 * 7 + 3, 3 * 7 + 3, 3)
    np.testing.assert_array_equal(sheet[10:14:2, 17:21:2], pictures[1, 2])
    assert (sheet[7:10] == 255).all()
    assert (sheet[:, :3] == 255).all()


def test_the_contact_sheet_is_written_and_shows_every_class(tmp_path: Path) -> None:
    path = tmp_path / "new" / "sheet.png"
    write_contact_sheet(path, seed=1)
    written = np.asarray(Image.open(path))
    np.testing.assert_array_equal(written, contact_sheet(1))
    side = 2 * SIZE + 3
    assert written.shape == (len(CLASSES) * side + 3, (4 + NUM_FRAMES) * side + 3, 3)
    seed = np.random.default_rng(1).integers(0, 2**31, 4)[0]
    picture, _ = render_image_prompt(individual("train", CLASSES[0], 4), int(seed))
    np.testing.assert_array_equal(written[3 : 3 + 2 * SIZE : 2, 3 : 3 + 2 * SIZE : 2], picture)
