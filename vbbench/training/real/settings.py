"""How clips are made of videos, and how a stage is trained on them. Standard library only."""

from __future__ import annotations

from dataclasses import dataclass

from vbbench.errors import UsageError
from vbbench.training.settings import TrainSettings


@dataclass(frozen=True)
class ClipSettings:
    """The defaults are the released code's, where it has one.

    Attributes:
        num_frames: of a clip.
        frame_interval: frames from one frame of a clip to its next; a short video gets a smaller
            one. (The released code spreads 16 frames over 64, which are 4.2 on average; here they
            lie evenly.)
        size: side of a clip's frames and of the image prompt, in pixels.
        windows: in how many places of a video a clip may begin, evenly spread, so that their
            latents can be kept; 0: anywhere.
        augment: image prompts are changed, as in stage 2 (`vbbench.training.real.clips`).
        text_drop: share of the examples without text and image prompt.
    """

    num_frames: int = 16
    frame_interval: int = 4
    size: int = 256
    windows: int = 0
    augment: bool = False
    text_drop: float = 0.1

    def __post_init__(self) -> None:
        if min(self.num_frames, self.frame_interval, self.size) < 1 or self.windows < 0:
            raise UsageError(
                "a clip needs at least one frame, an interval and a size of at least 1, and windows are not below 0."
            )
        if not 0.0 <= self.text_drop <= 1.0:
            raise UsageError(f"text_drop is a share, 0 to 1, not {self.text_drop:g}.")


@dataclass(frozen=True)
class RealSettings(TrainSettings):
    """Hyper-parameters of the loop over real clips; the defaults are the released code's where it
    says any.

    Attributes:
        global_batch: clips a step, over all processes.
        micro_batch: clips that a process computes at once; gradients of the others are added up
            (accumulation).
        recompute: gradient checkpointing of the UNet's blocks.
        sample_every: steps between samples of a few held-out image prompts; 0: none.
        loaders: threads of each process that read videos ahead; 0: it reads them when it needs
            them.
    """

    lr: float = 1e-4
    steps: int = 10000
    betas: tuple[float, float] = (0.9, 0.999)
    weight_decay: float = 0.0
    warmup_steps: int = 0
    decay_from: float = 1.0
    grad_clip: float = 0.1
    ema_decay: float = 0.9999
    validate_every: int = 500
    checkpoint_every_seconds: float = 900.0
    global_batch: int = 16
    micro_batch: int = 1
    recompute: bool = False
    sample_every: int = 500
    loaders: int = 4

    def __post_init__(self) -> None:
        if self.lr <= 0.0:
            raise UsageError(f"the learning rate must be above 0, not {self.lr:g}.")
        if not 0.0 <= self.ema_decay < 1.0:
            raise UsageError(
                f"the decay of the moving average is a share, 0 to below 1, not {self.ema_decay:g}."
            )
        if min(self.global_batch, self.micro_batch) < 1:
            raise UsageError("a batch needs at least one clip.")
        if self.checkpoint_every_seconds < 0:
            raise UsageError(
                f"the seconds between checkpoints are not below 0, as {self.checkpoint_every_seconds:g} is."
            )

    def check(self, processes: int) -> None:
        """Does nothing where so many processes can share a step.

        Raises:
            UsageError: its clips cannot be dealt out evenly.
        """
        if self.global_batch % (processes * self.micro_batch):
            raise UsageError(
                f"a step of {self.global_batch} clips (--batch-size) cannot be shared by {processes} processes in microbatches of "
                f"{self.micro_batch} (--micro-batch): it must be a multiple of their product."
            )
