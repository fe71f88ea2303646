"""What a person watches while a stage trains: TensorBoard's curves, and samples of a few image
prompts in a folder and there."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from vbbench.core.log import TRAINING
from vbbench.errors import VBBenchError, one_line
from vbbench.media.video import write_page_video, write_video_lossless
from vbbench.types import PromptItem, SamplingParams, Video

if TYPE_CHECKING:
    from vbbench.models.videobooth.model import VideoBooth

SHOWN_FRAMES = 4
"""Of each sample in TensorBoard, beside its image prompt."""


class Board:
    """Curves and samples of one training; the first process has it.

    Args:
        folder: the training's; gets ``tensorboard/`` and ``samples/``.
        done: steps that are done; what TensorBoard shows of later ones, from before a kill, is
            dropped.
        model: samples with the network that is trained; None: no samples.
        items: what is sampled.
        params: how.
    """

    def __init__(
        self,
        folder: Path,
        done: int,
        model: VideoBooth | None = None,
        items: Sequence[PromptItem] = (),
        params: SamplingParams | None = None,
    ) -> None:
        self._folder, self._model, self._items, self._params = folder, model, items, params
        self._writer = _writer(folder / "tensorboard", done)

    def add(self, row: Mapping[str, float]) -> None:
        """A row of the curves; one that cannot be written is told, and training goes on."""
        if self._writer is None:
            return
        try:
            for name, value in row.items():
                if name != "step":
                    self._writer.add_scalar(name, value, int(row["step"]))
            self._writer.flush()
        except OSError as error:
            TRAINING.info(
                f"TensorBoard's curves of step {row['step']} cannot be written: {one_line(error)}"
            )

    def show(self, step: int) -> None:
        """Sample every item; one that goes wrong is told, and training goes on."""
        if self._model is None or self._params is None:
            return
        for item in self._items:
            try:
                self._keep(item, step, self._model.generate([item], self._params)[0])
            except (VBBenchError, OSError) as error:
                TRAINING.info(f"sample {item.id} at step {step}: {one_line(error)}")

    def _keep(self, item: PromptItem, step: int, video: Video) -> None:
        path = self._folder / "samples" / f"{step:08d}" / item.id
        write_video_lossless(path.with_name(f"{path.name}.mkv"), video)
        write_page_video(
            path.with_name(f"{path.name}.mp4"), video, max(1, 256 // video.frames.shape[1])
        )
        if self._writer is not None:
            chosen = np.linspace(0, len(video.frames) - 1, SHOWN_FRAMES).round().astype(int)
            strip = np.concatenate(list(video.frames[chosen]), axis=1)
            self._writer.add_image(f"samples/{item.id}", strip, step, dataformats="HWC")
            self._writer.flush()

    def close(self) -> None:
        """Write what is left."""
        if self._writer is not None:
            self._writer.close()


def _writer(folder: Path, done: int) -> Any:
    """TensorBoard's writer; None, told once, where it is not installed (curves.csv has the same
    numbers)."""
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError:
        TRAINING.info(
            "TensorBoard is not installed (pip install 'vbbench[train]'): its curves are left out; curves.csv has them."
        )
        return None
    return SummaryWriter(str(folder), purge_step=done + 1)
