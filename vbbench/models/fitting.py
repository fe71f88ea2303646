"""What methods that are fitted to a subject share: its clips as latents, the loss the base was
trained with, and its arithmetic.

B batch, C latent channels, T frames, h/w latent cells.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from vbbench.errors import InputError, RecipeError
from vbbench.media.video import read_video
from vbbench.networks.codec import FrameCodec, to_unit
from vbbench.types import Subject

LOGIT_SPREAD = 1.3  # standard deviation of `draw_timesteps`
SIGMA_FLOOR = (
    0.3  # of the loss weight 1 / max(sigma, floor) ** 2 of networks that predict the clean latent
)


def clip_latents(subject: Subject, codec: FrameCodec, device: str) -> list[Tensor]:
    """Latents (C, T, h, w) of each of the subject's clips; T is 1 where a clip is a still
    photograph.

    Raises:
        InputError: the subject has no clips, one cannot be read, or their pictures are of different
            sizes.
    """
    if not subject.clips:
        raise InputError(f"the subject {subject.id} has no clips to be fitted on")
    frames = (torch.from_numpy(read_video(path).frames).to(device) for path in subject.clips)
    with torch.no_grad():
        latents = [codec.encode(to_unit(clip)[None])[0] for clip in frames]
    if len({clip.shape[2:] for clip in latents}) > 1:
        raise InputError(
            f"the clips of the subject {subject.id} are of different sizes: they must be of one to be fitted on together."
        )
    return latents


def frames_of(clips: list[Tensor], captions: tuple[str, ...]) -> tuple[Tensor, list[str], Tensor]:
    """All frames of clips as clips of one: latents (N, C, 1, h, w), the caption of each, and its
    index in its clip (N, 1)."""
    latents = torch.cat([clip.transpose(0, 1).unsqueeze(2) for clip in clips])
    texts = [
        caption for clip, caption in zip(clips, captions, strict=True) for _ in range(clip.shape[1])
    ]
    index = torch.cat([torch.arange(clip.shape[1], device=clip.device) for clip in clips])
    return latents, texts, index[:, None]


def draw_timesteps(
    count: int, logit_mean: float | None, steps: int, generator: torch.Generator
) -> Tensor:
    """(count,) whole timesteps below ``steps``: uniform, or logit-normal around a mean (Esser et
    al. 2024, section 3.1).

    The miniature base was trained on the latter: which colours a subject has is settled while the
    noise is still very strong.
    """
    if logit_mean is None:
        return torch.randint(steps, (count,), generator=generator)
    share = torch.sigmoid(logit_mean + LOGIT_SPREAD * torch.randn(count, generator=generator))
    return (share * steps).long().clamp_max(steps - 1)


def denoising_loss(
    prediction: Tensor, x: Tensor, noise: Tensor, alpha_bar_B: Tensor, prediction_type: str
) -> Tensor:
    """Mean squared error of what the network predicts, in float32.

    ``epsilon``: against the noise (Ho et al. 2020, equation 14). ``sample``: against the clean
    latent, each video's error divided by max(sigma, SIGMA_FLOOR) ** 2, which counts it as
    v-prediction's (Salimans and Ho 2022). ``v_prediction``: against v.

    Args:
        prediction, x, noise: (B, C, T, h, w): the network's output, clean latents, their noise.
        alpha_bar_B: share of the signal's variance at each video's timestep.
    Raises:
        RecipeError: an unknown prediction type.
    """
    a = alpha_bar_B.view(-1, 1, 1, 1, 1)
    targets = {
        "epsilon": noise,
        "sample": x,
        "v_prediction": a.sqrt() * noise - (1.0 - a).sqrt() * x,
    }
    if prediction_type not in targets:
        raise RecipeError(
            f"a network that predicts {prediction_type!r} cannot be fitted; known are {', '.join(targets)}."
        )
    error_B = (prediction.float() - targets[prediction_type]).square().mean((1, 2, 3, 4))
    if prediction_type == "sample":
        error_B = error_B / (1.0 - alpha_bar_B).sqrt().clamp_min(SIGMA_FLOOR).square()
    return error_B.mean()


def multiplies_bfloat16(device: str) -> bool:
    """Whether the device has instructions for bfloat16; elsewhere it is emulated, on a CPU some ten
    times slower than float32."""
    if torch.device(device).type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    capabilities: dict[str, Any] = getattr(torch.cpu, "get_capabilities", dict)()
    return bool(capabilities.get("avx512_bf16") or capabilities.get("amx_bf16"))


def fast_arithmetic(device: str) -> torch.autocast:
    """Autocast to bfloat16 where the processor multiplies it, no autocast elsewhere (there it would
    be emulated, and slow)."""
    return torch.autocast(
        torch.device(device).type, torch.bfloat16, enabled=multiplies_bfloat16(device)
    )
