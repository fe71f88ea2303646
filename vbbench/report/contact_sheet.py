"""A picture for papers and pull requests: a few individuals, every model, some frames of each
clip."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from vbbench.errors import InputError
from vbbench.media.video import load_image_prompt, read_video
from vbbench.results.analysis import Results
from vbbench.results.run_data import ItemFacts, ModelFacts, RunData

FILE = "contact-sheet.png"
ROWS, FRAMES = 9, 3
CELL, GAP, TITLE, CAPTION = 64, 6, 22, 14  # pixels
INK, GREY, EMPTY = (20, 20, 20), (90, 90, 90), (235, 235, 235)


def write_contact_sheet(results: Results, folder: Path) -> None:
    """Write contact-sheet.png: the first prompt of up to `ROWS` individuals from all over the run,
    models in the order of the leaderboard; a clip that is not there stays grey.

    Of reference rows only the ceiling is shown.
    """
    run = results.run
    by_name = {model.name: model for model in run.models}
    models = [
        by_name[name]
        for name in results.order
        if not by_name[name].is_reference or by_name[name].role == "ceiling"
    ]
    items = _items(run)
    clip_width = FRAMES * (CELL + 1) + 3 * GAP
    size = (
        2 * GAP + CELL + 3 * GAP + len(models) * clip_width,
        TITLE + len(items) * (CELL + CAPTION + GAP),
    )
    sheet = Image.new("RGB", size, "white")
    draw, font = ImageDraw.Draw(sheet), ImageFont.load_default(size=12)
    columns = [GAP + CELL + 3 * GAP + number * clip_width for number in range(len(models))]
    for x, model in zip(columns, models, strict=True):
        draw.text((x, 4), model.title[:30], fill=INK, font=font)
    draw.text((GAP, 4), "image prompt", fill=INK, font=font)
    for row, item in enumerate(items):
        y = TITLE + row * (CELL + CAPTION + GAP)
        _paste(sheet, _prompt(item, run.suite.size), GAP, y)
        for x, model in zip(columns, models, strict=True):
            for number, frame in enumerate(_frames(run, model, item)):
                _paste(sheet, frame, x + number * (CELL + 1), y)
        draw.text((GAP, y + CELL), item.text, fill=GREY, font=font)
    sheet.save(folder / FILE, optimize=True)


def _items(run: RunData) -> list[ItemFacts]:
    """The first item of each individual, thinned out to `ROWS`."""
    first = list({item.subject_id: item for item in reversed(run.items)}.values())[::-1]
    return (
        first
        if len(first) <= ROWS
        else [first[len(first) * place // ROWS] for place in range(ROWS)]
    )


def _prompt(item: ItemFacts, size: int) -> np.ndarray | None:
    try:
        return load_image_prompt(item.image, size)[0]
    except InputError:
        return None


def _frames(run: RunData, model: ModelFacts, item: ItemFacts) -> list[np.ndarray | None]:
    """`FRAMES` frames from first to last."""
    clip = run.clips[model.name, item.id]
    try:
        frames = (
            read_video(clip.video).frames
            if clip.status == "done" and clip.video is not None
            else None
        )
    except InputError:
        frames = None
    if frames is None:
        return [None] * FRAMES
    return [frames[place] for place in np.linspace(0, len(frames) - 1, FRAMES).round().astype(int)]


def _paste(sheet: Image.Image, picture: np.ndarray | None, x: int, y: int) -> None:
    if picture is None:
        sheet.paste(EMPTY, (x, y, x + CELL, y + CELL))
        return
    image = Image.fromarray(picture)
    factor = min(CELL / image.width, CELL / image.height)
    fitted = image.resize(
        (max(1, round(image.width * factor)), max(1, round(image.height * factor))),
        Image.Resampling.LANCZOS,
    )
    sheet.paste(fitted, (x + (CELL - fitted.width) // 2, y + (CELL - fitted.height) // 2))
