"""What ELITE's two stages are trained on: which words, which masks, what moves, and that the export
can be loaded."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from tests.models import tiny
from vbbench.core.paths import WEIGHTS_VARIABLE
from vbbench.core.weights_file import save_weights
from vbbench.data.world.pictures import TrainingData
from vbbench.networks.elite import load_elite
from vbbench.training.objectives import elite as elite_module
from vbbench.training.objectives import stage as stage_module
from vbbench.training.recipes import RECIPES

STAGES = {
    "elite-global": (elite_module.Global, "global", None),
    "elite": (elite_module.Local, "local", "elite-global"),
}


@pytest.fixture(autouse=True)
def small(weights_root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The tiny weights to start from, and a few pictures a step."""
    monkeypatch.setenv(WEIGHTS_VARIABLE, str(weights_root))
    for name, count in (("STILLS", 5), ("CLIPS", 2)):
        monkeypatch.setattr(stage_module, name, count)


def make(name: str, data: TrainingData) -> Any:
    kind, _, start = STAGES[name]
    with tiny.seeded(0):
        return kind(data, seed=0, device="cpu", start_from=start)


def seed_of(objective: Any, wanted: str, conditional: bool = True) -> int:
    """The first seed whose batch is of the wanted kind, with or without text and image prompt."""
    for seed in range(200):
        with torch.no_grad():
            _, parts = objective.loss(0, seed)
        if wanted in parts and (float(parts["embedding"]) > 0) == conditional:
            return seed
    raise AssertionError(f"no batch of {wanted}")


def settled(objective: Any) -> Any:
    """With local values that are not zero, as after some training."""
    tiny.shaken(
        torch.nn.ParameterList(parameter for _, parameter in objective.module.trained()), 7, 0.05
    )
    return objective


CASES = [(name, kind) for name in STAGES for kind in ("stills", "clips")]


@pytest.mark.parametrize(("name", "kind"), CASES)
def test_the_loss_falls_on_a_batch_that_is_repeated(
    data: TrainingData, name: str, kind: str
) -> None:
    objective = settled(make(name, data))
    seed = seed_of(objective, kind)
    parameters = [
        parameter for parameter in objective.module.parameters() if parameter.requires_grad
    ]
    lr = (
        3e-3 if name == "elite-global" else 2e-2
    )  # what is added to the text attention has less of a say in a random network
    optimizer, losses = torch.optim.Adam(parameters, lr=lr), []
    for _ in range(12):
        loss, parts = objective.loss(0, seed)
        assert loss.ndim == 0
        assert all(not part.requires_grad and torch.isfinite(part) for part in parts.values())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(float(loss.detach()))
    assert losses[-1] < 0.97 * losses[0]
    assert np.mean(losses[-3:]) < np.mean(losses[:3])


@pytest.mark.parametrize(("name", "kind"), CASES)
def test_gradients_reach_exactly_what_is_trained(data: TrainingData, name: str, kind: str) -> None:
    objective = settled(make(name, data))
    objective.loss(0, seed_of(objective, kind))[0].backward()
    reached = {
        key for key, parameter in objective.module.named_parameters() if parameter.grad is not None
    }
    assert reached == {key for key, _ in objective.module.trained()}
    assert all(parameter.grad.abs().max() > 0 for _, parameter in objective.module.trained())


@pytest.mark.parametrize("name", STAGES)
def test_a_batch_comes_from_its_seed_alone(data: TrainingData, name: str) -> None:
    objective = make(name, data)
    with torch.no_grad():
        torch.manual_seed(1)
        first = float(objective.loss(0, 11)[0])
        torch.manual_seed(2)
        assert float(objective.loss(3, 11)[0]) == first
        assert float(objective.loss(0, 12)[0]) != first


def test_the_global_stage_learns_without_text_and_image_prompt_too(data: TrainingData) -> None:
    objective = make("elite-global", data)
    objective.loss(0, seed_of(objective, "stills", conditional=False))[0].backward()
    assert all(parameter.grad is None for parameter in objective.module.mapper.parameters())
    assert all(
        parameter.grad is not None
        for _, parameter in objective.module.base.unet.text_kv_parameters()
    )


def test_every_step_of_the_local_stage_has_an_image_prompt(data: TrainingData) -> None:
    objective = settled(make("elite", data))
    with torch.no_grad():
        assert all(float(objective.loss(0, seed)[1]["embedding"]) > 0 for seed in range(40))


@pytest.mark.parametrize(("name", "trained"), [("elite-global", {1, 2}), ("elite", {1})])
def test_all_words_are_used_in_some_of_the_first_stages_steps_and_the_primary_one_elsewhere(
    data: TrainingData, monkeypatch: pytest.MonkeyPatch, name: str, trained: set[int]
) -> None:
    objective, counts = make(name, data), []
    encode = objective.module.encode_text

    def spy(texts: object, words: object, embeddings: Tensor) -> Tensor:
        counts.append(embeddings.shape[1])
        return encode(texts, words, embeddings)

    monkeypatch.setattr(objective.module, "encode_text", spy)
    with torch.no_grad():
        for seed in range(12):
            objective.loss(0, seed)
        assert set(counts) == trained
        first = counts.copy()
        counts.clear()
        objective.validate(objective.module)
        assert set(counts) == {1}
        counts.clear()
        for seed in range(12):
            objective.loss(0, seed)
        assert counts == first


def test_masks_are_mirrored_with_their_pictures(data: TrainingData) -> None:
    objective, split, rows = make("elite", data), data.train, np.arange(12)
    pixels, foreground = objective._image_prompts(split, rows, torch.Generator().manual_seed(0))
    flipped = 0
    for row, picture, mask in zip(rows, pixels, foreground, strict=True):
        plain = (
            torch.from_numpy(split.prompts.frames[row].copy()).permute(2, 0, 1).float() / 127.5 - 1
        )
        known = torch.from_numpy(split.prompts.masks[row] > 0).float()
        turned = not torch.allclose(picture, plain, atol=1e-5)
        flipped += turned
        torch.testing.assert_close(picture, plain.flip(-1) if turned else plain, atol=1e-5, rtol=0)
        assert torch.equal(mask, known.flip(-1) if turned else known)
    assert 0 < flipped < len(rows)


def test_the_penalty_is_the_papers(data: TrainingData) -> None:
    """0.01 times the words' size in the first stage, 0.0001 times the local values' in the
    second."""
    for name, factor in (("elite-global", 1.0), ("elite", 0.01)):
        objective = settled(make(name, data))
        module, split = objective.module, data.train
        prompts, foreground = objective._image_prompts(
            split, np.arange(3), torch.Generator().manual_seed(0)
        )
        words = [split.individual(int(s)).class_name for s in split.prompts.subject[:3]]
        texts = [f"a photo of a {word}" for word in words]
        with torch.no_grad():
            nothing = torch.zeros(3)
            asked = stage_module.Asked(prompts, foreground, texts, words, nothing, nothing, nothing)
            _, more, small = objective.conditions(module, asked, torch.Generator())
            local = more.get("local_prompt")
            if local is None:
                sizes = [module.words(module.encode_image(prompts)).abs().mean()]
            else:
                sizes = [
                    (local.features_BMD @ layer.to_v_local.weight.T).abs().mean()
                    for layer in module.base.unet.text_attentions()
                ]
        assert float(small.abs().mean()) == pytest.approx(
            factor * float(torch.stack(sizes).mean()), rel=1e-5
        )


@pytest.mark.parametrize("name", STAGES)
def test_validation_figures_are_finite_and_repeatable(data: TrainingData, name: str) -> None:
    objective = make(name, data)
    with torch.no_grad():
        figures, again = (dict(objective.validate(objective.module)) for _ in range(2))
    assert figures == again
    assert all(np.isfinite(value) and key.startswith("val_") for key, value in figures.items())


@pytest.mark.parametrize("name", STAGES)
def test_exports_load_as_what_they_were(
    data: TrainingData, name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    objective, stage = settled(make(name, data)), STAGES[name][1]
    tensors, config = objective.export(objective.module)
    assert set(tensors) == {key for key, _ in objective.module.shipped()}
    assert config == {"stage": stage, "differences": True}
    tiny.write_weights(tmp_path)
    save_weights(tmp_path / "mini" / "x.safetensors", tensors, {"config": config})
    monkeypatch.setenv(WEIGHTS_VARIABLE, str(tmp_path))
    loaded = load_elite(stage, "base", "image-encoder", "x").state_dict()
    for key, value in objective.module.state_dict().items():
        torch.testing.assert_close(loaded[key], value, atol=2e-3, rtol=2e-3, msg=key)


def test_the_local_stage_follows_the_global_one_of_its_training_seed() -> None:
    assert RECIPES["elite"].after == "elite-global"
    assert RECIPES["elite-global"].after is None
