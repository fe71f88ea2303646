"""The loss of a stage on real clips, held against the formula written out in the test."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch

from tests.training.real.dataset import CLIPS, SETTINGS
from vbbench.networks.codec import to_unit
from vbbench.networks.unet.unet import ImagePromptInput
from vbbench.training.real.loader import LoadedSample, load
from vbbench.training.real.objective import RealStage
from vbbench.training.real.parts import make_data, make_stage
from vbbench.training.real.recipes import RealRun


@pytest.fixture
def stage(
    request: pytest.FixtureRequest, dataset: Path, weights: Path, tmp_path: Path
) -> tuple[RealStage, list[LoadedSample]]:
    """A stage, and three samples that are not dropped."""
    run = RealRun(
        request.param,
        dataset / "data",
        dataset / "videos",
        tmp_path,
        SETTINGS,
        dataclasses.replace(CLIPS, text_drop=0.0),
    )
    made, _ = make_stage(run, "cpu")
    data, _ = make_data(run, made, "train", lambda line: None)
    return made, [load(data, number) for number in range(3)]


def by_hand(stage: RealStage, sample: LoadedSample) -> float:
    """Equation 14 of Ho et al. for one clip, and the penalty on embeddings."""
    network, frames = stage.module, torch.from_numpy(sample.frames)
    signal = np.cumprod(1 - np.linspace(1e-4, 0.02, 1000))
    draw = torch.Generator().manual_seed(sample.seed)
    t = int(torch.randint(1000, (), generator=draw))
    x = stage.frozen.codec.encode(to_unit(frames)[None])
    noise = torch.randn(x.shape, generator=draw)
    image_noise = torch.randn((1, 4, 1, *x.shape[-2:]), generator=draw)
    noisy = float(np.sqrt(signal[t])) * x + float(np.sqrt(1 - signal[t])) * noise
    null = network.base.encode_text(["None"])
    pixels = to_unit(torch.from_numpy(sample.image_prompt))[None]
    text, embeddings, image = null, None, None
    if not sample.dropped:
        embeddings = network.embed_image(pixels)
        text = network.encode_text([sample.text], [sample.subject_word], embeddings)
        if network.injects:
            clean = stage.frozen.codec.encode(pixels[:, None])
            prompt = float(np.sqrt(signal[t])) * clean + float(np.sqrt(1 - signal[t])) * image_noise
            image = ImagePromptInput(prompt, torch.tensor([t]), null)
    predicted = network.base.unet(noisy, torch.tensor([t]), text, image_prompt=image)
    penalty = 0.0 if embeddings is None else 0.01 * float(embeddings.abs().mean())
    return float(((predicted - noise) ** 2).mean()) + penalty


@pytest.mark.parametrize(
    "stage", ["videobooth-coarse", "videobooth", "videobooth-fine"], indirect=True
)
@pytest.mark.parametrize(
    "dropped", [(False, False, False), (True, False, True), (True, True, True)]
)
def test_loss_is_the_formulas_mean_over_clips(
    stage: tuple[RealStage, list[LoadedSample]], dropped: tuple[bool, ...]
) -> None:
    made, samples = stage
    samples = [
        dataclasses.replace(sample, dropped=drop)
        for sample, drop in zip(samples, dropped, strict=True)
    ]
    with torch.no_grad():
        expected = sum(by_hand(made, sample) for sample in samples) / 3
        loss, error = made.loss_of(made.module, made.batch(samples))
    assert float(loss) == pytest.approx(expected, rel=2e-5)
    assert float(error) <= float(loss)


@pytest.mark.parametrize("stage", ["videobooth-coarse", "videobooth"], indirect=True)
@pytest.mark.parametrize("dropped", [False, True])
def test_every_trained_parameter_gets_a_gradient_in_any_batch(
    stage: tuple[RealStage, list[LoadedSample]], dropped: bool
) -> None:
    """Processes that add up gradients must all have one for everything, also where a batch is
    without text and image prompt."""
    made, samples = stage
    loss, _ = made.loss_of(
        made.module,
        made.batch([dataclasses.replace(sample, dropped=dropped) for sample in samples]),
    )
    loss.backward()
    trained = dict(made.module.trained())
    assert all(parameter.grad is not None for parameter in trained.values())
    assert any(parameter.grad.abs().max() > 0 for parameter in trained.values())
    assert all(
        parameter.grad is None
        for name, parameter in made.module.named_parameters()
        if name not in trained
    )
    if dropped:
        assert all(
            float(parameter.grad.abs().max()) == 0
            for name, parameter in trained.items()
            if name.startswith("mapper.")
        )


@pytest.mark.parametrize("stage", ["videobooth"], indirect=True)
def test_validation_holds_the_right_image_prompt_against_another(
    stage: tuple[RealStage, list[LoadedSample]],
) -> None:
    made, samples = stage
    made.held_out = samples
    with torch.no_grad():
        figures = made.validate(made.module)
        same = [
            dataclasses.replace(sample, image_prompt=samples[0].image_prompt) for sample in samples
        ]
        made.held_out = same
        equal = made.validate(made.module)
    assert figures.keys() == {
        f"loss_{level}{tail}" for level in (250, 500, 850) for tail in ("", "_wrong_minus_right")
    }
    assert any(abs(figures[f"loss_{level}_wrong_minus_right"]) > 1e-7 for level in (250, 500, 850))
    assert all(
        equal[f"loss_{level}_wrong_minus_right"] == pytest.approx(0, abs=1e-9)
        for level in (250, 500, 850)
    )
