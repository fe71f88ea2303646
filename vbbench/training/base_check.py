"""`vbbench train base --check`: does the base read its prompts? Half a minute on one core.

Real validation clips are noised, the network gives the clean latent in one step, and what it gives
is decoded and held against the clip's own pixels, where the subject is and where it is not. A plain
caption never tells a colour; the rich one tells all of them. What the rich caption adds where the
noise is strong is what the network has read.

A timestep means the same noise to two codecs only so far as the latents of both have unit mean
square: the same schedule then leaves the same share of signal in every number, but a codec with
fewer numbers a frame leaves less of the picture at the same timestep.

B batch, C channels, T frames, H/W pixels, h/w latent cells.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from vbbench.core.paths import seeded_name, weights_path
from vbbench.data.world import MOTIONS, SCENES, caption, rendering, rich_caption
from vbbench.data.world.pictures import Split, TrainingData
from vbbench.errors import UsageError
from vbbench.networks.codec import FrameCodec, to_unit
from vbbench.networks.loading import load_codec, load_network
from vbbench.networks.network import TextToVideoNetwork
from vbbench.networks.sampling.diffusion import add_noise, video_noise
from vbbench.training import checkpoint as checkpoints
from vbbench.training.recipes import RECIPES, build_objective, work_folder

NAME = "base"
TIMESTEPS = (20, 120, 300, 450, 600, 800, 950)
PER_CLASS = 3
NOISE_ON_LATENTS = (0.0, 0.2, 0.4)
"""Standard deviations of noise on latents, with which the codec alone is decoded."""


@dataclass(frozen=True)
class Clips:
    """Validation clips and what is said of them.

    Attributes:
        pixels_BTCHW: in [-1, 1].
        subject_BTHW: 1 where the subject is, else 0.
        plain, rich: captions.
    """

    pixels_BTCHW: Tensor
    subject_BTHW: Tensor
    plain: list[str]
    rich: list[str]


@dataclass(frozen=True)
class CodecRow:
    """PSNR in dB of the codec alone, with noise of a standard deviation on its latents."""

    noise_sd: float
    subject: float
    background: float


@dataclass(frozen=True)
class CheckRow:
    """PSNR in dB of one-step predictions at a timestep: on the subject's pixels, and on the others
    with the plain caption.

    Attributes:
        noised: of the noised latent itself, divided by the signal's share.
        plain, rich: with either caption.
    """

    timestep: int
    noised: float
    plain: float
    rich: float
    background: float


def check(work: Path | None, *, seed: int = 0, checkpoint: bool = False) -> str:
    """Both tables of the base's weights, or of the newest checkpoint of its training.

    Args:
        work: folder of data and checkpoints; None as for a training.
        seed: of the training.
        checkpoint: whether the averaged weights of the newest checkpoint are measured, by the
            recipe as it stands.
    Raises:
        UsageError: there is no checkpoint, or it is of another network.
        WeightsError: weights are missing.
    """
    work = work_folder(work)
    folder, _ = rendering.prepare(work / "data", RECIPES[NAME].data)
    name = seeded_name(NAME, seed)
    if checkpoint:
        objective = build_objective(NAME, folder, seed, "cpu")
        network, step = trained_network(objective, work / "mini" / name)
        title = f"{name}, moving average at step {step}"
    else:
        network, title = load_network(name), f"{name}, {weights_path(name)}"
    codec = load_codec("codec")
    clips = validation_clips(TrainingData(folder, RECIPES[NAME].data).val)
    return f"{title}; PSNR in dB of {len(clips.plain)} validation clips\n" + as_text(
        check_codec(codec, clips), check_network(codec, network, clips)
    )


def validation_clips(split: Split, per_class: int = PER_CLASS) -> Clips:
    """The first clip of the first individuals of each class."""
    subjects = (
        np.arange(split.num_subjects)
        .reshape(-1, split.counts.individuals)[:, :per_class]
        .reshape(-1)
    )
    rows = subjects * split.counts.clips
    clips = split.clips
    plain, rich = [], []
    for row in rows:
        subject = split.individual(int(clips.subject[row]))
        scene, motion = SCENES[clips.scene[row]], MOTIONS[clips.motion[row]]
        plain.append(caption(subject, scene, motion))
        rich.append(rich_caption(subject, scene, motion))
    pixels = to_unit(torch.from_numpy(clips.frames[rows]))
    return Clips(pixels, torch.from_numpy(clips.masks[rows] > 0).float(), plain, rich)


def psnr(decoded_BTCHW: Tensor, pixels_BTCHW: Tensor, weights_BTHW: Tensor) -> float:
    """Peak signal-to-noise ratio in dB over the pixels that weigh 1, of values in [-1, 1]."""
    error_BTHW = ((decoded_BTCHW - pixels_BTCHW) / 2).square().mean(2)
    return -10.0 * math.log10(float((error_BTHW * weights_BTHW).sum() / weights_BTHW.sum()))


@torch.inference_mode()
def check_codec(codec: FrameCodec, clips: Clips) -> list[CodecRow]:
    """What the codec keeps of clips, without noise and with noise on the latents."""
    latents = codec.encode(clips.pixels_BTCHW)
    noise = torch.randn(latents.shape, generator=torch.Generator().manual_seed(0))
    rows = []
    for noise_sd in NOISE_ON_LATENTS:
        decoded = codec.decode(latents + noise_sd * noise)
        rows.append(CodecRow(noise_sd, *_subject_and_background(decoded, clips)))
    return rows


@torch.inference_mode()
def check_network(
    codec: FrameCodec,
    network: TextToVideoNetwork,
    clips: Clips,
    timesteps: Sequence[int] = TIMESTEPS,
) -> list[CheckRow]:
    """One-step predictions of the clean latent from noised clips, noise from each timestep's own
    seed."""
    latents = codec.encode(clips.pixels_BTCHW)
    diffusion = network.config.diffusion
    if diffusion.prediction_type != "sample":
        raise UsageError(
            "only networks that predict the clean latent can be checked, "
            f"not {diffusion.prediction_type!r}."
        )
    signal = diffusion.alphas_cumprod()
    rows = []
    for timestep in timesteps:
        noise = video_noise(
            tuple(latents.shape), diffusion.shared_noise, torch.Generator().manual_seed(timestep)
        )
        noised = add_noise(latents, noise, signal[timestep].expand(len(latents)))
        plain, rich = (
            _predicted(network, noised, timestep, texts) for texts in (clips.plain, clips.rich)
        )
        on_plain, background = _subject_and_background(codec.decode(plain), clips)
        on_rich, _ = _subject_and_background(codec.decode(rich), clips)
        on_noised, _ = _subject_and_background(
            codec.decode(noised / signal[timestep].sqrt()), clips
        )
        rows.append(CheckRow(timestep, on_noised, on_plain, on_rich, background))
    return rows


def _predicted(
    network: TextToVideoNetwork, noised_BCThw: Tensor, timestep: int, texts: Sequence[str]
) -> Tensor:
    timestep_B = torch.full((len(noised_BCThw),), timestep)
    return network.unet(noised_BCThw, timestep_B, network.encode_text(texts)).float()


def _subject_and_background(decoded_BTCHW: Tensor, clips: Clips) -> tuple[float, float]:
    subject = psnr(decoded_BTCHW, clips.pixels_BTCHW, clips.subject_BTHW)
    return subject, psnr(decoded_BTCHW, clips.pixels_BTCHW, 1.0 - clips.subject_BTHW)


def trained_network(objective: Any, work: Path) -> tuple[TextToVideoNetwork, int]:
    """The base with the averaged weights of the newest checkpoint of its training, and the
    checkpoint's step.

    Args:
        objective: `vbbench.training.objectives.base.Base`, built as for that training.
        work: folder of the training's checkpoints.
    Raises:
        UsageError: there is no checkpoint, or it is of another network.
    """
    found = checkpoints.latest(work)
    if found is None:
        raise UsageError(f"there is no checkpoint in {work}.")
    average = {
        name.removeprefix("ema/"): value
        for name, value in found.model().items()
        if name.startswith("ema/")
    }
    try:
        objective.module.load_state_dict(average, strict=True)
    except RuntimeError:
        raise UsageError(
            f"the checkpoint in {work} is of another network than the recipe's."
        ) from None
    return objective.module.eval(), found.step


def as_text(codec_rows: Sequence[CodecRow], rows: Sequence[CheckRow]) -> str:
    """Both tables, in dB."""
    lines = ["codec alone    subject  background"]
    lines += [
        f"  noise {row.noise_sd:3.1f}    {row.subject:7.2f}  {row.background:10.2f}"
        for row in codec_rows
    ]
    lines += ["timestep   noised    plain     rich  rich-plain  background"]
    for row in rows:
        read = row.rich - row.plain
        lines.append(
            f"{row.timestep:8d}  {row.noised:7.2f}  {row.plain:7.2f}  {row.rich:7.2f}  {read:10.2f}"
            f"  {row.background:10.2f}"
        )
    return "\n".join(lines)
