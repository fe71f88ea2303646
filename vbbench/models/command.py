"""A program of its own as a model, in any language and environment: ``command = ["python3",
"generate.py"]`` in recipe.toml.

The program is started in the recipe's folder, without a shell, once a batch, with one more word:
the path of a JSON file

    {"protocol": 1, "scale": "mini", "device": "cpu", "settings": {...},
     "params": {"num_frames": 8, "size": 64, "fps": 8, "num_inference_steps": 25, "guidance_scale":
     3.0, "scheduler": "ddim"}, "items": [{"id": "cat-0", "text": "a cat on the beach",
     "subject_word": "cat", "class": "cat", "image": "/.../cat-0.png",
                "seed": 1, "image_seed": 2, "output": "/tmp/.../0"}]}

It writes one video an item, as ``<output>.mkv`` (or .mp4, .gif ...) or as pictures in a folder
``<output>``, and ends with exit code 0. A word ``{python}`` of the command stands for the Python
that vbbench runs in.
"""

from __future__ import annotations

import json
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from vbbench.core.process import Ended, run_process
from vbbench.errors import CommandError, InputError, RecipeError
from vbbench.media.video import SUFFIXES, read_video
from vbbench.types import PromptItem, SamplingParams, Video

PROTOCOL = 1
TIMEOUT_SECONDS = 600.0
PYTHON = "{python}"
_PARAMS = ("num_frames", "size", "fps", "num_inference_steps", "guidance_scale", "scheduler")


class CommandModel:
    """Has its videos made by a program.

    Args:
        settings: one scale's table of recipe.toml. ``timeout_seconds`` is how long a video may take
            (default `TIMEOUT_SECONDS`); all of the table is handed on. ``command`` is the recipe's.
    Raises:
        RecipeError: a timeout that is no number above 0.
    """

    def __init__(self, settings: Mapping[str, Any], *, device: str, folder: Path) -> None:
        self._settings, self._device, self._folder = settings, device, folder
        self._words = [sys.executable if word == PYTHON else word for word in settings["command"]]
        self._shown = " ".join(settings["command"])
        timeout = settings.get("timeout_seconds", TIMEOUT_SECONDS)
        if (
            isinstance(timeout, bool)
            or not isinstance(timeout, int | float)
            or not 0 < timeout < 1e7
        ):
            raise RecipeError(
                f"timeout_seconds in [scales.{settings['scale']}] must be a number of seconds above 0, not {timeout!r}."
            )
        self._timeout = float(timeout)
        self.process_memory_mb: float | None = None  # most memory that the last program held, in MB

    def generate(self, items: Sequence[PromptItem], params: SamplingParams) -> list[Video]:
        """One video an item, all from one process; see ``vbbench.models.base.VideoModel``.

        Raises:
            CommandError: the program cannot be started, fails, takes too long, or leaves a video
                that is missing or wrong.
        """
        with tempfile.TemporaryDirectory(prefix="vbbench-", ignore_cleanup_errors=True) as name:
            folder = Path(name).resolve()
            jobs = self._jobs(items, params, folder / "videos")
            (folder / "videos").mkdir()
            (folder / "jobs.json").write_text(
                json.dumps(jobs, indent=1, ensure_ascii=False, default=str), encoding="utf-8"
            )
            self._run(folder / "jobs.json", len(items))
            return [_read(Path(job["output"]), params, folder / "videos") for job in jobs["items"]]

    def _jobs(
        self, items: Sequence[PromptItem], params: SamplingParams, folder: Path
    ) -> dict[str, Any]:
        """What the program is told; nothing of the real videos that it is held against."""
        rows = [
            {
                "id": item.id,
                "text": item.text,
                "subject_word": item.subject_word,
                "class": item.subject.class_name,
                "image": str(item.image.resolve()),
                "seed": item.seed,
                "image_seed": item.image_seed,
                "output": str(folder / str(place)),
            }
            for place, item in enumerate(items)
        ]
        settings = {
            key: value for key, value in self._settings.items() if key not in ("command", "scale")
        }
        asked = {name: getattr(params, name) for name in _PARAMS}
        told = {
            "protocol": PROTOCOL,
            "scale": self._settings["scale"],
            "device": self._device,
            "settings": settings,
        }
        return {**told, "params": asked, "items": rows}

    def _run(self, jobs: Path, count: int) -> None:
        limit, self.process_memory_mb = self._timeout * count, None
        try:
            ended = run_process([*self._words, str(jobs)], self._folder, limit)
        except OSError as error:
            raise CommandError(
                f"the command {self._shown!r} cannot be started in {self._folder}: {error.strerror}."
            ) from None
        self.process_memory_mb = ended.memory_mb
        if ended.code is None:
            raise CommandError(
                f"the command {self._shown!r} was stopped: it took longer than {limit:g} seconds{_last(ended, jobs)}.",
                ended.tail,
            )
        if ended.code:
            how = (
                f"ended with exit code {ended.code}"
                if ended.code > 0
                else f"was killed by signal {-ended.code}"
            )
            raise CommandError(
                f"the command {self._shown!r} {how}{_last(ended, jobs)}.", ended.tail
            )


def _last(ended: Ended, jobs: Path) -> str:
    return (
        f"; the last it wrote is: {ended.last_line.replace(f'{jobs.parent}/', '')}"
        if ended.last_line
        else "; it wrote nothing to standard error"
    )


def _read(output: Path, params: SamplingParams, folder: Path) -> Video:
    """The video that a program left for an item. Reasons name no item, so that equal ones stand
    together in reports.

    Raises:
        CommandError: none or several, one that lies elsewhere, cannot be read, or is not what was
            asked for.
    """
    places = [output, *(output.with_name(output.name + suffix) for suffix in SUFFIXES)]
    found = [path for path in places if path.exists() or path.is_symlink()]
    if not found:
        raise CommandError(
            f"the command left no video: no folder of the name given as output, and no file of it ({', '.join(SUFFIXES)})."
        )
    if len(found) > 1:
        raise CommandError(
            f"the command left {len(found)} videos for one item: {', '.join(path.suffix or 'a folder' for path in found)}."
        )
    inside = [found[0], *(found[0].iterdir() if found[0].is_dir() else ())]
    if not all(path.resolve().is_relative_to(folder) for path in inside):
        raise CommandError("the video is a link that leads out of the folder for videos.")
    try:
        frames = read_video(found[0], fps=params.fps).frames
    except InputError as error:
        raise CommandError(
            f"the video is of no use: {str(error).replace(f'{folder}/', '')}"
        ) from None
    count, height, width, _ = frames.shape
    if (count, height, width) != (params.num_frames, params.size, params.size):
        asked = f"{params.num_frames} of {params.size} x {params.size} are asked for"
        raise CommandError(f"the video has {count} frames of {width} x {height} pixels; {asked}.")
    return Video(frames, params.fps)
