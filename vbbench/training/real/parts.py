"""What a training on real videos is put together from: the stage on its device, the clips of a
split, and what is shown meanwhile."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from PIL import Image
from torch import Tensor

from vbbench.core import paths
from vbbench.core.digests import file_digest, sha256_of
from vbbench.core.log import TRAINING
from vbbench.data.suite import single_item
from vbbench.data.videos.loader import Example, examples
from vbbench.errors import InputError, PrerequisiteError, UsageError, one_line
from vbbench.models.videobooth.model import VideoBooth
from vbbench.networks.loading import load_codec, load_videobooth
from vbbench.training.peers import Alone
from vbbench.training.real.board import Board
from vbbench.training.real.cache import TensorCache
from vbbench.training.real.clips import RealData, usable
from vbbench.training.real.frozen import FrozenParts
from vbbench.training.real.loader import LoadedSample, load
from vbbench.training.real.objective import RealStage
from vbbench.training.real.recipes import RealRun
from vbbench.types import PromptItem, SamplingParams

if TYPE_CHECKING:
    from accelerate import Accelerator

HELD_OUT, SAMPLED = 8, 2  # clips that are validated on, and of those that are sampled
SHOWN_REASONS = 5
SAMPLE_STEPS, SAMPLE_GUIDANCE, SAMPLE_FPS = 25, 4.0, 8


def make_stage(run: RealRun, device: str) -> tuple[RealStage, dict[str, str]]:
    """What is learned, on its device, and the digests of the weights that it starts from.

    Raises:
        WeightsError: weights are missing, damaged or of another shape.
        UsageError: a size that the codec cannot take.
    """
    names = ("base", "codec", "image-encoder", *([run.start] if run.start else []))
    digests = {name: file_digest(paths.weights_path(name, run.scale)) for name in names}
    torch.manual_seed(run.seed)  # of the mapper's first weights, in every process
    network = load_videobooth(
        run.recipe.stage,
        "base",
        "image-encoder",
        run.start,
        run.scale,
        noises_image_prompt=run.recipe.noises_image_prompt,
    ).to(device)
    codec = load_codec("codec", run.scale, device)
    if run.clips.size % codec.factor:
        raise UsageError(f"--size must be a multiple of {codec.factor}, not {run.clips.size}.")
    cache = TensorCache(run.cache) if run.cache is not None else None
    frozen = FrozenParts(codec, network.image_encoder, digests, cache=cache)
    return RealStage(run.name, network, frozen, run.settings, run.null_text), digests


def make_data(
    run: RealRun, stage: RealStage, split: str, tell: Callable[[str], None]
) -> tuple[RealData, str]:
    """The clips of a split that can be used, and a digest of their list.

    Args:
        split: ``train``, or ``heldout``: whose texts are not dropped, and whose image prompts stay
            as they are.
        tell: is told in lines how many there are, and what was left out and why.
    Raises:
        InputError: there is none.
    """
    training = split == "train"
    settings = replace(
        run.clips,
        augment=training and run.recipe.augment,
        text_drop=run.clips.text_drop if training else 0.0,
    )
    faults: list[str] = []
    found = list(
        examples(run.data, run.videos, classes=run.classes, split=split, on_fault=faults.append)
    )
    tokenizer = stage.module.base.tokenizer
    good, unfit = usable(
        found, settings, fits=lambda text, word: (tokenizer([text]), tokenizer.locate(text, word))
    )
    _tell(split, len(good), reasons := [*faults, *unfit], tell)
    if not good:
        why = f": {reasons[0].rstrip('.')}" if reasons else ""
        raise InputError(f"{run.data} has no clip of the split {split} that can be used{why}.")
    by_content = run.cache is not None or not training
    return RealData(
        good, settings, run.seed, run.settings.global_batch, on_fault=tell, by_content=by_content
    ), _list_digest(good)


def _list_digest(found: Sequence[Example]) -> str:
    """Of what is known of clips without reading them: ids, captions, boxes, and the sizes of their
    files."""
    sizes = ((each.video.stat().st_size, each.mask.stat().st_size) for each in found)
    rows = [
        (each.class_name, each.videoid, each.box, each.label, each.caption, *size)
        for each, size in zip(found, sizes, strict=True)
    ]
    return sha256_of(json.dumps(rows, ensure_ascii=False).encode())


def _tell(split: str, good: int, reasons: Sequence[str], tell: Callable[[str], None]) -> None:
    tell(f"{split}: {good} clips" + (f"; {len(reasons)} left out:" if reasons else ""))
    for reason in reasons[:SHOWN_REASONS]:
        tell(f"  {reason}")
    if len(reasons) > SHOWN_REASONS:
        tell(f"  and {len(reasons) - SHOWN_REASONS} more; `vbbench data check` names them all")


def make_board(run: RealRun, stage: RealStage, done: int) -> Board:
    """What is shown; also gives the stage its held-out clips. Where none is held out, there are no
    samples.

    Args:
        done: steps that are done.
    """
    try:
        data, _ = make_data(run, stage, "heldout", TRAINING.info)
    except InputError:
        TRAINING.info("no clip is held out: no validation, and no samples in between")
        return Board(run.folder, done)
    stage.held_out = list(_held_out(data))
    if not run.settings.sample_every:
        return Board(run.folder, done)
    items = _items(stage.held_out[:SAMPLED], run.folder / "samples" / "image-prompts", run.seed)
    params = SamplingParams(
        run.clips.num_frames, run.clips.size, SAMPLE_FPS, SAMPLE_STEPS, SAMPLE_GUIDANCE, "ddim"
    )
    settings = {"scale": run.scale, "stage": run.recipe.stage, "null_text": run.null_text}
    model = VideoBooth.around(stage.module, stage.frozen.codec, settings, device=run.device)
    return Board(run.folder, done, model, items, params)


def _held_out(data: RealData) -> Iterator[LoadedSample]:
    """The first of them that can be read; of others it was told."""
    for number in range(min(HELD_OUT, len(data))):
        try:
            yield load(data, number)
        except InputError as error:
            TRAINING.info(f"held out: {one_line(error)}")


def _items(samples: Sequence[LoadedSample], folder: Path, seed: int) -> list[PromptItem]:
    """Prompt items of clips: their image prompts, as files, with their captions."""
    folder.mkdir(parents=True, exist_ok=True)
    items = []
    for sample in samples:
        path = folder / f"{sample.clip_key[:16]}.png"
        Image.fromarray(sample.image_prompt).save(path)
        items.append(
            replace(single_item(path, sample.text, sample.subject_word, seed), id=path.stem)
        )
    return items


# Processes that compute one step together (accelerate's, that is PyTorch's distributed data
# parallel), as the loop sees them.

PATIENCE = timedelta(hours=2)
"""Others wait for the first process while it validates, samples and writes."""


def accelerator_for(device: str) -> Accelerator:
    """This process's part of what ``accelerate launch`` or ``torchrun`` started; alone where
    neither did.

    Args:
        device: ``cpu`` or ``cuda``.
    Raises:
        PrerequisiteError: accelerate is not installed.
        UsageError: there is no such device.
    """
    try:
        from accelerate import Accelerator, InitProcessGroupKwargs
    except ImportError:
        raise PrerequisiteError(
            "training at real size needs accelerate: pip install 'vbbench[train]'."
        ) from None
    if device == "cuda" and not torch.cuda.is_available():
        raise UsageError("there is no CUDA device here; train on the CPU with --device cpu.")
    # Autocast is the loss's own: accelerate's would be one for all trainings of a process.
    return Accelerator(
        cpu=device == "cpu",
        mixed_precision="no",
        kwargs_handlers=[InitProcessGroupKwargs(timeout=PATIENCE)],
    )


class Processes(Alone):
    """All processes of an accelerator: they hold the same weights after each step, so there is
    nothing to average.

    The first one writes; a signal to any of them stops all.
    """

    def __init__(self, accelerator: Accelerator) -> None:
        self.accelerator = accelerator
        self.rank, self.size = accelerator.process_index, accelerator.num_processes
        self.writes = self.rank == 0

    def meet(self, tensors: Sequence[Tensor], save: bool, stop: bool) -> tuple[bool, bool]:
        """Whether anybody wants to save, or to stop (which saves)."""
        saves, stops = self.sum(torch.tensor([float(save), float(stop)])).tolist()
        return saves + stops > 0, stops > 0

    def sum(self, values: Tensor) -> Tensor:
        """Added up over all processes, on the CPU."""
        if self.size == 1:
            return values.cpu()
        return self.accelerator.reduce(values.to(self.accelerator.device), reduction="sum").cpu()

    def most(self, value: int) -> int:
        """The largest over all processes."""
        if self.size == 1:
            return value
        return int(
            self.accelerator.gather(torch.tensor([value], device=self.accelerator.device)).max()
        )

    def agree(self, value: int) -> bool:
        """Whether it is the same in all processes."""
        return self.most(value) == value == -self.most(-value)

    @staticmethod
    def is_gone(error: RuntimeError) -> bool:
        """Whether an error of PyTorch's is that of a process whose peers are no longer there."""
        from torch.distributed import DistError

        words = str(error).lower()
        return isinstance(error, DistError) or "connection" in words or "peer" in words

    def barrier(self) -> None:
        """Wait for everybody."""
        self.accelerator.wait_for_everyone()
