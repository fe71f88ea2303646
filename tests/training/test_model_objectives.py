"""What the generating models are trained on: losses, what they move, and that what they export can
be loaded.

Tiny data, tiny networks; nothing here says how good the shipped weights are.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from tests.models import tiny
from vbbench.core.paths import WEIGHTS_VARIABLE
from vbbench.core.weights_file import save_weights
from vbbench.data.world import (
    CLASSES,
    COLOURS,
    MOTIONS,
    SCENES,
    VOCABULARY,
    caption,
    individual,
    rich_caption,
)
from vbbench.data.world.pictures import TrainingData
from vbbench.networks import loading
from vbbench.networks.network import WordTokenizer, mini_config
from vbbench.training.objectives import base as base_module
from vbbench.training.objectives import image_encoder as image_encoder_module
from vbbench.training.objectives import stage as stage_module
from vbbench.training.objectives import videobooth as videobooth_module
from vbbench.training.objectives.base import (
    cell_weights,
    reading_error,
    repeated,
    sample_timesteps,
    weighted_error,
)
from vbbench.training.objectives.codec import Codec
from vbbench.training.recipes import RECIPES

VIDEOBOOTH = (
    "videobooth-coarse",
    "videobooth",
    "videobooth-fine",
    "videobooth-joint",
    "videobooth-clean-prompt",
)
TRAINED = ("base", "image-encoder", *VIDEOBOOTH)


@pytest.fixture(autouse=True)
def small(weights_root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The tiny weights to start from, tiny networks to train, and a few pictures a step."""
    monkeypatch.setenv(WEIGHTS_VARIABLE, str(weights_root))
    monkeypatch.setattr(base_module, "mini_config", tiny.network_config)
    for name, count in (("STILLS", 5), ("PROMPTS", 2), ("CLIPS", 2)):
        monkeypatch.setattr(base_module, name, count)
    for name, count in (("STILLS", 5), ("CLIPS", 2)):
        monkeypatch.setattr(stage_module, name, count)
    monkeypatch.setattr(image_encoder_module, "MINI_IMAGE_ENCODER", tiny.IMAGE_ENCODER)
    monkeypatch.setattr(image_encoder_module, "SUBJECTS", 8)


def make(name: str, data: TrainingData) -> Any:
    kinds = {
        "base": base_module.Base,
        "image-encoder": image_encoder_module.ImageEncoderObjective,
        "videobooth-coarse": videobooth_module.Coarse,
        "videobooth": videobooth_module.Fine,
        "videobooth-fine": videobooth_module.FineOnly,
        "videobooth-joint": videobooth_module.Joint,
        "videobooth-clean-prompt": videobooth_module.CleanPrompt,
    }
    after = RECIPES[name].after
    with tiny.seeded(0):
        return kinds[name](data, seed=0, device="cpu", **({"start_from": after} if after else {}))


def seed_of(objective: Any, step: int, wanted: str, conditional: bool = True) -> int:
    """The first seed whose batch is of the wanted kind."""
    asked: list[bool] = []
    if embed := getattr(objective.module, "embed_image", None):
        objective.module.embed_image = lambda pixels: (asked.append(True), embed(pixels))[1]
    try:
        for seed in range(200):
            asked.clear()
            with torch.no_grad():
                _, parts = objective.loss(step, seed)
            if wanted in parts and (bool(asked) or not embed) == conditional:
                return seed
    finally:
        vars(objective.module).pop("embed_image", None)
    raise AssertionError(f"no batch of {wanted}")


def kinds_of(name: str) -> tuple[str, ...]:
    return ("contrast",) if name == "image-encoder" else ("stills", "clips")


CASES = [(name, kind) for name in TRAINED for kind in kinds_of(name)]


@pytest.mark.parametrize(("name", "kind"), CASES)
def test_the_loss_falls_on_a_batch_that_is_repeated(
    data: TrainingData, name: str, kind: str
) -> None:
    objective = make(name, data)
    step = objective.settings.steps - 1
    seed = seed_of(objective, step, kind)
    parameters = [
        parameter for parameter in objective.module.parameters() if parameter.requires_grad
    ]
    optimizer, losses = torch.optim.Adam(parameters, lr=3e-3), []
    for _ in range(12):
        loss, parts = objective.loss(step, seed)
        assert torch.isfinite(loss)
        assert loss.ndim == 0
        assert all(not part.requires_grad and torch.isfinite(part) for part in parts.values())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(float(loss.detach()))
    assert losses[-1] < 0.97 * losses[0]
    assert np.mean(losses[-3:]) < np.mean(losses[:3])


@pytest.mark.parametrize("name", TRAINED)
def test_a_batch_comes_from_its_seed_alone(data: TrainingData, name: str) -> None:
    objective = make(name, data)
    step = objective.settings.steps - 1
    with torch.no_grad():
        torch.manual_seed(1)
        first = float(objective.loss(step, 11)[0])
        torch.manual_seed(2)
        assert float(objective.loss(step, 11)[0]) == first
        assert float(objective.loss(step, 12)[0]) != first


@pytest.mark.parametrize(("name", "kind"), CASES)
def test_gradients_reach_exactly_what_is_trained(data: TrainingData, name: str, kind: str) -> None:
    objective = make(name, data)
    step = objective.settings.steps - 1
    objective.loss(step, seed_of(objective, step, kind))[0].backward()
    gradients = {
        key: parameter.grad is not None for key, parameter in objective.module.named_parameters()
    }
    reached = {key for key, has in gradients.items() if has}
    if name.startswith("videobooth"):
        assert reached == {key for key, _ in objective.module.trained()}
        assert not any(key.startswith("image_encoder.") for key in reached)
    else:
        idle = {
            ("base", "stills"): r"\.attn_temp\.to_[qk]\.",
            ("image-encoder", "contrast"): r"\.post_layernorm\.",
        }.get((name, kind), "^$")
        # one frame attends to itself whatever the query; the final norm is not part of the states
        # that are read
        assert reached == {key for key in gradients if not re.search(idle, key)}
    assert all(
        torch.isfinite(parameter.grad).all()
        for parameter in objective.module.parameters()
        if parameter.grad is not None
    )


@pytest.mark.parametrize("name", VIDEOBOOTH)
def test_a_dropped_condition_drops_text_and_image_prompt(data: TrainingData, name: str) -> None:
    objective = make(name, data)
    seed = seed_of(objective, 0, "stills", conditional=False)
    objective.loss(0, seed)[0].backward()
    mapper = objective.module.mapper
    assert mapper is None or all(parameter.grad is None for parameter in mapper.parameters())
    injected = [p for key, p in objective.module.named_parameters() if "_image.weight" in key]
    assert all(parameter.grad is None for parameter in injected)


@pytest.mark.parametrize("name", TRAINED)
def test_validation_figures_are_finite_and_repeatable(data: TrainingData, name: str) -> None:
    objective = make(name, data)
    objective.module.eval()
    with torch.no_grad():
        figures, again = (dict(objective.validate(objective.module)) for _ in range(2))
    assert figures == again
    assert all(np.isfinite(value) for value in figures.values())
    assert all(key.startswith("val_") for key in figures)


LOADERS: dict[str, Callable[[], torch.nn.Module]] = {
    "base": lambda: loading.load_network("base"),
    "image-encoder": lambda: loading.load_image_encoder("image-encoder"),
    "videobooth-coarse": lambda: loading.load_videobooth(
        "coarse", "base", "image-encoder", "videobooth-coarse"
    ),
    "videobooth": lambda: loading.load_videobooth("fine", "base", "image-encoder", "videobooth"),
    "videobooth-fine": lambda: loading.load_videobooth(
        "fine-only", "base", "image-encoder", "videobooth-fine"
    ),
    "videobooth-joint": lambda: loading.load_videobooth(
        "fine", "base", "image-encoder", "videobooth-joint"
    ),
    "videobooth-clean-prompt": lambda: loading.load_videobooth(
        "fine", "base", "image-encoder", "videobooth-clean-prompt"
    ),
}


@pytest.mark.parametrize("name", TRAINED)
def test_exports_load_as_what_they_were(
    data: TrainingData, name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    objective = make(name, data)
    tiny.shaken(objective.module, 7, 0.05) if name in ("base", "image-encoder") else move_trained(
        objective
    )
    tensors, config = objective.export(objective.module)
    tiny.write_weights(tmp_path)
    save_weights(
        tmp_path / "mini" / f"{name}.safetensors", tensors, {"recipe": name, "config": config}
    )
    monkeypatch.setenv(WEIGHTS_VARIABLE, str(tmp_path))
    loaded = LOADERS[name]().state_dict()
    source = objective.module.encoder if name == "image-encoder" else objective.module
    assert set(loaded) == set(source.state_dict())
    for key, value in source.state_dict().items():
        torch.testing.assert_close(loaded[key], value, atol=2e-3, rtol=1e-3, msg=key)


def move_trained(objective: Any) -> None:
    """What training would change, changed; the rest must come from the base on reloading."""
    tiny.shaken(
        torch.nn.ParameterList(parameter for _, parameter in objective.module.trained()), 7, 0.05
    )


def test_videobooth_ships_only_what_it_trained(data: TrainingData) -> None:
    for name in VIDEOBOOTH:
        objective = make(name, data)
        tensors, config = objective.export(objective.module)
        assert set(tensors) == {key for key, _ in objective.module.trained()}
        assert config == {
            "stage": tiny.VIDEOBOOTH[name],
            "noises_image_prompt": "clean" not in name,
            "differences": True,
        }


def test_the_clean_image_prompt_of_the_ablation_carries_no_noise(data: TrainingData) -> None:
    timesteps, pictures = torch.tensor([300, 900]), torch.rand(2, 3, 64, 64)
    for name, clean in (("videobooth", False), ("videobooth-clean-prompt", True)):
        objective = make(name, data)
        asked = stage_module.Asked(
            pictures,
            pictures[:, 0],
            [],
            [],
            timesteps,
            objective.alphas[timesteps],
            torch.zeros(2, 1, 16),
        )
        image = objective.image_prompt(asked, torch.Generator().manual_seed(1))
        assert torch.equal(image.latent_BCTHW, objective.encode(pictures[:, None])) is clean
        assert image.timestep_B.tolist() == ([0, 0] if clean else [300, 900])


def test_the_fine_stage_starts_where_the_coarse_one_ended(data: TrainingData) -> None:
    fine, coarse = (
        make("videobooth", data).module.state_dict(),
        LOADERS["videobooth-coarse"]().state_dict(),
    )
    for key, value in coarse.items():
        assert torch.equal(fine[key], value), key


def test_wrong_image_prompts_of_validation_are_other_individuals_of_the_class(
    data: TrainingData, monkeypatch: pytest.MonkeyPatch
) -> None:
    objective, asked = make("videobooth-coarse", data), []

    def spy(
        module: object,
        split: Any,
        use_clips: bool,
        rows: np.ndarray,
        subjects: np.ndarray,
        *_: object,
    ) -> tuple[Tensor, None]:
        asked.append((split, (split.clips if use_clips else split.stills).subject[rows], subjects))
        return torch.tensor(float(len(asked))), None

    monkeypatch.setattr(objective, "_denoise", spy)
    figures = objective.validate(objective.module)
    assert sum("wrong_minus_right" in key for key in figures) == 4
    for (split, shown, right), (_, _, wrong) in zip(asked[::2], asked[1::2], strict=True):
        assert split.name == "val"
        assert (shown == right).all()
        assert (wrong != right).all()
        assert (split.class_index[wrong] == split.class_index[right]).all()


def test_the_codec_is_fitted_and_loads_again(
    data: TrainingData, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    objective = Codec(data, seed=1, device="cpu")
    figures = objective.solve()
    assert 30 < figures["psnr_db"] < 60
    tensors, config = objective.export(None)
    assert config == {"patch": 8, "components": 96}
    save_weights(
        tmp_path / "mini" / "codec.safetensors", tensors, {"recipe": "codec", "config": config}
    )
    monkeypatch.setenv(WEIGHTS_VARIABLE, str(tmp_path))
    pixels = (
        torch.from_numpy(data.val.stills.frames[:4].copy()).movedim(-1, -3)[:, None].float() / 127.5
        - 1
    )
    loaded = loading.load_codec("codec")
    torch.testing.assert_close(
        loaded.encode(pixels), objective.codec.encode(pixels), atol=0.02, rtol=0.02
    )
    decoded = loaded.decode(loaded.encode(pixels)).numpy()
    error = np.mean((decoded - pixels.numpy()) ** 2) / 4
    assert -10 * np.log10(error) == pytest.approx(figures["psnr_db"], abs=3)


# --- formulas
# ---------------------------------------------------------------------------------------------------------


def test_cells_weigh_by_the_share_that_the_subject_covers() -> None:
    masks = np.random.default_rng(0).integers(0, 5, (2, 3, 16, 24)).astype(np.uint8) * (
        np.arange(24) > 9
    )
    weights = cell_weights(masks, 8)
    assert weights.shape == (2, 1, 3, 2, 3)
    for b, t, row, column in np.ndindex(2, 3, 2, 3):
        cell = masks[b, t, 8 * row : 8 * row + 8, 8 * column : 8 * column + 8]
        expected = 1 + base_module.SUBJECT_WEIGHT * np.count_nonzero(cell) / 64
        assert float(weights[b, 0, t, row, column]) == pytest.approx(expected, abs=1e-6)


def test_the_error_is_weighted_over_places_and_noise_levels() -> None:
    rng = np.random.default_rng(0)
    prediction, target = rng.normal(size=(2, 3, 4, 5, 2, 2))
    weights, sigma = rng.uniform(1, 2, (3, 1, 5, 2, 2)), np.array([0.1, 0.5, 1.0])
    expected = 0.0
    for row in range(3):
        squares = (prediction[row] - target[row]) ** 2
        mean = (squares * weights[row]).sum() / (4 * weights[row].sum())
        expected += mean / max(sigma[row], 0.3) ** 2 / 3
    tensors = (
        torch.from_numpy(value.astype(np.float32)) for value in (prediction, target, weights, sigma)
    )
    assert float(weighted_error(*tensors)) == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("mean", [0.3, 1.2])
def test_timesteps_are_logit_normal_and_reach_the_noisy_end(mean: float) -> None:
    steps = sample_timesteps(40_000, mean, np.random.default_rng(0)).numpy()
    assert steps.dtype == np.int64
    assert steps.min() >= 0
    assert 995 < steps.max() <= 999
    logits = np.log((steps + 0.5) / (999.5 - steps))
    assert np.median(logits) == pytest.approx(mean, abs=0.03)
    low, high = np.quantile(logits, (0.25, 0.75))
    assert high - low == pytest.approx(2 * 0.6745 * 1.3, abs=0.05)


def test_the_subject_word_is_repeated_in_its_place_and_the_text_still_fits() -> None:
    """Three tokens will be injected there. No other word of a caption may hold the class's name as
    a part."""
    tokenizer = WordTokenizer(VOCABULARY, mini_config(VOCABULARY).text.max_length)
    rng = np.random.default_rng(0)
    for name in CLASSES:
        for scene, motion in zip(SCENES, (*MOTIONS, *MOTIONS), strict=False):
            plain = caption(
                individual("train", name, 3), scene, motion, rng, colour_probability=0.5
            )
            text = repeated(plain, name)
            words, at = plain.split(), plain.split().index(name)
            assert text.split() == [*words[:at], name, name, name, *words[at + 1 :]]
            assert int(tokenizer([text])[0, -1]) == tokenizer.end_id
            assert len(text.split()) <= tokenizer.max_length - 2


def test_what_a_text_tells_is_known_and_a_dropped_text_tells_nothing(data: TrainingData) -> None:
    objective, rng = make("base", data), np.random.default_rng(0)
    seen = set()
    for make_batch in (objective._stills, objective._clips):
        for _ in range(8):
            batch = make_batch(rng, data.train)
            assert batch.colours_B33.shape == (len(batch.texts), 3, 3)
            for text, told in zip(batch.texts, batch.told_B3.tolist(), strict=True):
                colours = sum(word in COLOURS for word in text.split())
                assert sum(told) == colours
                seen.add(colours)
    assert seen == {0, 1, 3}
    dropped = np.arange(len(batch.texts)) % 2 == 0
    without = batch.without_texts(dropped)
    assert [text == "" for text in without.texts] == dropped.tolist()
    assert not without.told_B3[dropped].any()
    assert torch.equal(without.told_B3[~dropped], batch.told_B3[~dropped])


def test_reading_is_right_where_the_mean_state_holds_the_colours_that_are_told() -> None:
    colours, told = torch.rand(2, 3, 3) * 2 - 1, torch.tensor([[1.0, 1.0, 1.0], [1.0, 0.0, 0.0]])
    text = torch.zeros(2, 4, 20)
    text[0, :, :9], text[1, :, :3] = colours[0].flatten(), colours[1, 0]
    text[:, :, 9:12] = told[:, None]
    assert float(reading_error(text, colours, told)) == pytest.approx(0.0, abs=1e-10)
    assert float(reading_error(text, colours, torch.ones(2, 3))) > 0.05


def test_texts_of_image_prompts_are_photos(data: TrainingData) -> None:
    objective, rng = make("base", data), np.random.default_rng(0)
    for row in range(0, len(data.train.prompts), 5):
        text = objective._photo_text(data.train, row, rng)
        subject = data.train.individual(int(data.train.prompts.subject[row]))
        words = text.split()
        assert words[:3] == ["a", "photo", "of"]
        assert words[3] == ("an" if words[4][0] in "aeiou" else "a")
        rich = rich_caption(subject, None, None).split()[1:]
        assert words[4:] in ([subject.class_name], [subject.base_name, subject.class_name], rich)
