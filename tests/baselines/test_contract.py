"""What every model must keep, whoever wrote it; held against each recipe that can be called by
name."""

from __future__ import annotations

import hashlib
import inspect
import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from tests.models.tiny import PARAMS
from vbbench.models.base import FittedVideoModel, VideoModel
from vbbench.models.recipes import build_model
from vbbench.models.registry import all_recipes, groups
from vbbench.networks.sampling.sampling import SCHEDULERS
from vbbench.training.recipes import RECIPES as TRAINABLE
from vbbench.types import Adapter, PromptItem, Recipe, SamplingParams, Video

RECIPES = all_recipes()
FIT_STEPS = 3
TOLERANCE = 1  # grey levels: a sum over another batch may round otherwise


@dataclass
class Built:
    """A model at tiny size, and how its videos are asked for."""

    recipe: Recipe
    model: Any

    def adapter(self, item: PromptItem, seed: int = 1) -> Adapter:
        return self.model.fit(item.subject, seed=seed)

    def generate(
        self,
        items: Sequence[PromptItem],
        params: SamplingParams = PARAMS,
        adapter: Adapter | None = None,
    ) -> list[Video]:
        """Fitted models are fitted to the first item's subject, which must then be that of all."""
        if not self.recipe.fitted:
            return self.model.generate(items, params)
        assert len({item.subject.id for item in items}) == 1
        return self.model.generate(items, params, adapter or self.adapter(items[0]))


def shortened(recipe: Recipe) -> Recipe:
    """With so few steps of fitting that a test does not wait."""
    mini = recipe.scales["mini"]
    return (
        replace(recipe, scales={"mini": {**mini, "steps": FIT_STEPS}})
        if "steps" in mini
        else recipe
    )


def make(name: str) -> Built:
    return Built(RECIPES[name], build_model(shortened(RECIPES[name]), "mini", "cpu"))


@pytest.fixture(params=sorted(RECIPES))
def built(request: pytest.FixtureRequest, tiny_weights: object) -> Built:
    return make(request.param)


@pytest.fixture(params=sorted(name for name, recipe in RECIPES.items() if recipe.fitted))
def fitted(request: pytest.FixtureRequest, tiny_weights: object) -> Built:
    return make(request.param)


@pytest.fixture
def of_one(items: Sequence[PromptItem]) -> list[PromptItem]:
    """Two items of one subject."""
    return [items[0], items[1]]


def gap(one: Video, other: Video) -> int:
    return int(np.abs(one.frames.astype(int) - other.frames).max())


def weights_digest(model: object) -> str:
    """Of every parameter and buffer of every network that the model holds."""
    digest = hashlib.sha256()
    for name, module in sorted(vars(model).items()):
        if isinstance(module, nn.Module):
            for key, value in module.state_dict().items():
                digest.update(f"{name}.{key}".encode() + value.contiguous().numpy().tobytes())
    return digest.hexdigest()


@pytest.mark.parametrize("name", sorted(RECIPES))
def test_recipes_say_what_they_are_and_what_they_cost(name: str) -> None:
    recipe = RECIPES[name]
    assert recipe.title.strip()
    assert recipe.description.strip().endswith(".")
    cost = recipe.scales["mini"]["cost"]
    assert cost["sample_seconds"] > 0
    assert ("fit_seconds" in cost) == recipe.fitted
    assert set(recipe.scales["mini"].get("weights", {}).values()) <= set(TRAINABLE)


@pytest.mark.parametrize(
    "name",
    sorted(
        name
        for name, recipe in RECIPES.items()
        if "base" in recipe.scales["mini"].get("weights", {})
    ),
)
def test_recipes_that_sample_say_how(name: str) -> None:
    sampling = RECIPES[name].scales["mini"]["sampling"]
    assert sampling["num_inference_steps"] >= 1
    assert sampling["guidance_scale"] >= 1
    assert sampling["scheduler"] in SCHEDULERS


def test_rivals_are_sampled_alike() -> None:
    """A comparison with other steps or guidance would not be one of methods."""
    rivals = [
        r
        for r in RECIPES.values()
        if "sampling" in r.scales["mini"] and "approximations" not in r.groups
    ]
    sampling = {json.dumps(r.scales["mini"]["sampling"], sort_keys=True) for r in rivals}
    assert len(sampling) == 1


def test_groups_hold_what_the_documentation_says() -> None:
    found = groups()
    assert found["baselines"] == ["dreambooth-video", "elite", "text-to-video", "textual-inversion"]
    arms = ("clean-prompt", "coarse", "fine", "joint", "joint-coarse-path", "short")
    assert found["approximations"] == [
        "videobooth-few-steps",
        "videobooth-frame-noise",
        "videobooth-reuse",
    ]
    assert found["ablations"] == ["retrieve", *(f"videobooth-{arm}" for arm in arms)]
    assert found["references"] == [
        "flicker",
        "other-individual",
        "real-video",
        "shuffled-frames",
        "still-image",
    ]
    assert found["videobooth-family"] == ["videobooth"]


def test_the_protocol_is_kept(built: Built) -> None:
    protocol = FittedVideoModel if built.recipe.fitted else VideoModel
    assert isinstance(built.model, protocol)
    methods = ["__init__", "generate", *(["fit"] if built.recipe.fitted else [])]
    for method in methods:
        wanted = inspect.signature(getattr(protocol, method)).parameters
        found = inspect.signature(getattr(type(built.model), method)).parameters
        assert list(found) == list(wanted), method
        assert [p.kind for p in found.values()] == [p.kind for p in wanted.values()], method
    assert hasattr(built.model, "fit") == built.recipe.fitted


def test_videos_are_as_asked_for(built: Built, of_one: list[PromptItem]) -> None:
    videos = built.generate(of_one)
    assert isinstance(videos, list)
    assert len(videos) == len(of_one)
    for video in videos:
        assert video.frames.shape == (PARAMS.num_frames, PARAMS.size, PARAMS.size, 3)
        assert video.frames.dtype == np.uint8
        assert video.fps == PARAMS.fps
        assert np.ptp(video.frames) > 20


def test_the_same_item_gives_the_same_video_even_from_another_instance(
    built: Built, of_one: list[PromptItem]
) -> None:
    torch.manual_seed(1)
    np.random.seed(1)
    first = built.generate(of_one)
    torch.manual_seed(2)
    np.random.seed(2)
    again = make(built.recipe.name).generate(of_one)
    for one, other in zip(first, again, strict=True):
        np.testing.assert_array_equal(one.frames, other.frames)


def test_the_company_in_a_batch_changes_nothing(
    built: Built, items: Sequence[PromptItem], of_one: list[PromptItem]
) -> None:
    batch = of_one if built.recipe.fitted else list(items)
    generate = (
        partial(built.generate, adapter=built.adapter(batch[0]))
        if built.recipe.fitted
        else built.generate
    )
    together, turned = generate(batch), generate(batch[::-1])[::-1]
    for place in (0, len(batch) - 1):
        (alone,) = generate([batch[place]])
        assert gap(alone, together[place]) <= TOLERANCE
        assert gap(alone, turned[place]) <= TOLERANCE


def test_items_and_their_files_are_left_as_they_were(
    built: Built, of_one: list[PromptItem]
) -> None:
    files = [
        of_one[0].image,
        *of_one[0].subject.clips,
        *filter(None, (of_one[0].reference_video, of_one[0].other_video)),
    ]
    before = [path.read_bytes() for path in files]
    built.generate(of_one)
    assert [path.read_bytes() for path in files] == before


def test_sampling_changes_no_weight_and_keeps_no_gradient(
    built: Built, of_one: list[PromptItem]
) -> None:
    before = weights_digest(built.model)
    built.generate(of_one)
    assert weights_digest(built.model) == before
    for module in vars(built.model).values():
        if isinstance(module, nn.Module):
            assert not module.training
            assert all(parameter.grad is None for parameter in module.parameters())


def test_fitting_changes_no_weight(fitted: Built, of_one: list[PromptItem]) -> None:
    before = weights_digest(fitted.model)
    fitted.adapter(of_one[0])
    assert weights_digest(fitted.model) == before


def test_an_adapter_is_tensors_and_plain_facts(fitted: Built, of_one: list[PromptItem]) -> None:
    adapter = fitted.adapter(of_one[0])
    assert adapter.subject_id == of_one[0].subject.id
    assert adapter.tensors
    for name, tensor in adapter.tensors.items():
        assert isinstance(name, str)
        assert type(tensor) is torch.Tensor
        assert tensor.device.type == "cpu"
        assert not tensor.requires_grad
        assert torch.isfinite(tensor).all()
    assert json.loads(json.dumps(dict(adapter.facts))) == dict(adapter.facts)


def test_fitting_is_decided_by_subject_and_seed(fitted: Built, items: Sequence[PromptItem]) -> None:
    bear, car = items[0], items[2]
    one, again, reseeded, other = (
        fitted.adapter(item, seed).tensors
        for item, seed in ((bear, 1), (bear, 1), (bear, 2), (car, 1))
    )
    assert all(torch.equal(one[name], again[name]) for name in one)
    for changed in (reseeded, other):
        assert any(not torch.equal(one[name], changed[name]) for name in one)


def test_the_adapter_alone_carries_what_was_learned(
    fitted: Built, of_one: list[PromptItem]
) -> None:
    """Another instance gives the same videos from it, and other videos from another adapter."""
    adapter = fitted.adapter(of_one[0])
    ramps = {
        name: torch.linspace(-1, 1, tensor.numel()).view_as(tensor)
        for name, tensor in adapter.tensors.items()
    }
    stranger = replace(
        adapter, tensors={name: tensor + ramps[name] for name, tensor in adapter.tensors.items()}
    )
    here, there = (
        fitted.generate(of_one, adapter=adapter),
        make(fitted.recipe.name).generate(of_one, adapter=adapter),
    )
    changed = fitted.generate(of_one, adapter=stranger)
    for one, same, other in zip(here, there, changed, strict=True):
        assert gap(one, same) == 0
        assert gap(one, other) > 5
