"""What fitted methods share: the loss, the timesteps, and the clips as latents."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from tests.models import tiny
from vbbench.errors import InputError, RecipeError
from vbbench.media.video import write_video_lossless
from vbbench.models import fitting
from vbbench.models.fitting import (
    SIGMA_FLOOR,
    clip_latents,
    denoising_loss,
    draw_timesteps,
    fast_arithmetic,
    frames_of,
)
from vbbench.types import PromptItem, Video


@pytest.mark.parametrize("kind", ["epsilon", "sample", "v_prediction"])
def test_the_loss_is_the_textbooks(kind: str) -> None:
    generator = torch.Generator().manual_seed(0)
    prediction, x, noise = torch.randn(3, 2, 4, 3, 5, 5, generator=generator)
    a = torch.tensor([0.3, 0.999])
    target = {
        "epsilon": noise,
        "sample": x,
        "v_prediction": torch.stack(
            [a[i] ** 0.5 * noise[i] - (1 - a[i]) ** 0.5 * x[i] for i in (0, 1)]
        ),
    }[kind]
    errors = torch.stack([F.mse_loss(prediction[i], target[i]) for i in (0, 1)])
    if kind == "sample":
        errors = errors / torch.tensor([0.7, 0.3**2])
    torch.testing.assert_close(denoising_loss(prediction, x, noise, a, kind), errors.mean())


def test_the_loss_is_the_one_the_miniature_base_was_trained_with() -> None:
    from vbbench.training.objectives import base

    prediction, x, noise = torch.randn(3, 4, 4, 3, 5, 5, generator=torch.Generator().manual_seed(0))
    a = torch.tensor([0.01, 0.3, 0.9, 0.999])
    expected = base.weighted_error(prediction, x, torch.ones(4, 1, 3, 5, 5), (1 - a).sqrt())
    torch.testing.assert_close(denoising_loss(prediction, x, noise, a, "sample"), expected)
    assert SIGMA_FLOOR == base.SIGMA_FLOOR


def test_an_unknown_prediction_is_told() -> None:
    x = torch.zeros(1, 1, 1, 1, 1)
    with pytest.raises(RecipeError, match="predicts 'flow'"):
        denoising_loss(x, x, x, torch.ones(1), "flow")


def test_timesteps_are_drawn_as_asked_for() -> None:
    generator = torch.Generator().manual_seed(0)
    uniform = draw_timesteps(20000, None, 1000, generator).double()
    assert (float(uniform.min()), float(uniform.max())) == (0, 999)
    assert float(uniform.mean()) == pytest.approx(499.5, abs=10)
    late = draw_timesteps(20000, 2.0, 1000, generator).double()
    assert 0 <= float(late.min()) <= float(late.max()) <= 999
    logits = torch.logit((late[(late > 0) & (late < 999)] + 0.5) / 1000)
    assert float(logits.median()) == pytest.approx(2.0, abs=0.05)


def test_frames_are_the_clips_one_by_one(items: Sequence[PromptItem]) -> None:
    subject = items[0].subject
    clips = clip_latents(subject, tiny.make_codec(), "cpu")
    assert [tuple(clip.shape) for clip in clips] == [(tiny.COMPONENTS, 8, 8, 8)] * len(
        subject.clips
    )
    clips[1] = clips[1][:, :5]  # clips need not be equally long
    latents, texts, index = frames_of(clips, subject.captions)
    assert index.flatten().tolist() == [*range(8), *range(5), *range(8), *range(8)]
    assert texts[7:9] == list(subject.captions[:2])
    for row, (clip, frame) in {0: (0, 0), 12: (1, 4), 13: (2, 0)}.items():
        torch.testing.assert_close(latents[row, :, 0], clips[clip][:, frame])


def test_a_subject_without_clips_is_told(items: Sequence[PromptItem]) -> None:
    with pytest.raises(InputError, match="has no clips to be fitted on"):
        clip_latents(replace(items[0].subject, clips=(), captions=()), tiny.make_codec(), "cpu")


def test_clips_of_different_sizes_are_told(items: Sequence[PromptItem], tmp_path: Path) -> None:
    subject = items[0].subject
    write_video_lossless(tmp_path / "small.mkv", Video(np.zeros((1, 32, 32, 3), np.uint8), 8))
    with pytest.raises(
        InputError, match=f"clips of the subject {subject.id} are of different sizes"
    ):
        clip_latents(
            replace(subject, clips=(subject.clips[0], tmp_path / "small.mkv"), captions=("a", "b")),
            tiny.make_codec(),
            "cpu",
        )


@pytest.mark.parametrize(
    ("found", "enabled"),
    [({"avx512_bf16": True}, True), ({"amx_bf16": True}, True), ({"avx2": True}, False)],
)
def test_bfloat16_is_used_where_the_processor_has_it(
    found: dict[str, bool], enabled: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fitting.torch.cpu, "get_capabilities", lambda: found, raising=False)
    with fast_arithmetic("cpu"):
        assert torch.is_autocast_enabled("cpu") == enabled
