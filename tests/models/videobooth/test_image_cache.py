"""What image prompts leave behind is kept within a budget, and makes no difference to the
numbers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
import torch

from tests.models.tiny import PARAMS
from tests.models.videobooth.test_model import build
from vbbench.models.videobooth.model import MEGABYTE, ImagePromptCache
from vbbench.networks.unet.conditioning import ImagePromptStates
from vbbench.types import PromptItem


def states(value: float = 0.0) -> ImagePromptStates:
    """A quarter of a megabyte."""
    half = torch.full((1, 32, MEGABYTE // 8 // 4 // 32), value)
    return ImagePromptStates(((half, half.clone()),))


def test_it_computes_each_step_of_an_image_once() -> None:
    cache, computed = ImagePromptCache(10), []

    def compute() -> ImagePromptStates:
        computed.append(1)
        return states(float(len(computed)))

    first = cache.get("bear", 1.0, compute)
    assert cache.get("bear", 1.0, compute) is first
    assert cache.get("bear", 2.0, compute) is not first
    assert cache.get("cat", 1.0, compute) is not first
    assert len(computed) == 3
    assert (cache.hits, cache.misses) == (1, 3)
    assert cache.num_bytes == 3 * MEGABYTE // 4


def test_other_images_make_room_the_oldest_first() -> None:
    cache = ImagePromptCache(1)
    for image in ("bear", "cat"):
        for step in range(2):
            cache.get(image, step, states)
    cache.get("dog", 0, states)
    assert cache.num_bytes == 3 * MEGABYTE // 4
    before = cache.hits
    cache.get("cat", 0, states)
    cache.get("cat", 1, states)
    assert cache.hits == before + 2
    cache.get("bear", 0, states)
    assert cache.hits == before + 2


def test_an_image_that_does_not_fit_keeps_its_first_steps() -> None:
    cache = ImagePromptCache(1)
    for _ in range(2):
        for step in range(10):
            cache.get("bear", step, states)
    assert cache.num_bytes == MEGABYTE
    assert cache.hits == 4


def test_images_of_one_batch_do_not_push_each_other_out() -> None:
    cache = ImagePromptCache(1)
    for _ in range(2):
        cache.begin(["bear", "cat"])
        for step in range(4):
            for image in ("bear", "cat"):
                cache.get(image, step, states)
    assert cache.hits == 4
    cache.begin(["dog"])
    cache.get("dog", 0, states)
    assert cache.num_bytes <= MEGABYTE
    assert cache._images.keys() == {"cat", "dog"}


@pytest.mark.parametrize("megabytes", [0, 0.2])
def test_what_is_larger_than_the_budget_is_not_kept(megabytes: float) -> None:
    cache = ImagePromptCache(megabytes)
    cache.get("bear", 0, states)
    assert cache.num_bytes == 0


@pytest.mark.usefixtures("tiny_weights")
def test_videos_are_the_same_with_and_without(items: Sequence[PromptItem]) -> None:
    bear, other_bear, car, _ = items
    kept, anew = build("fine"), build("fine", speed={"image_cache_mb": 0})
    one = kept.generate([bear, other_bear], PARAMS) + kept.generate([car, bear], PARAMS)
    two = anew.generate([bear, other_bear], PARAMS) + anew.generate([car, bear], PARAMS)
    assert all(np.array_equal(a.frames, b.frames) for a, b in zip(one, two, strict=True))
    assert kept._kept.misses == 2 * PARAMS.num_inference_steps
    assert (
        kept._kept.hits == PARAMS.num_inference_steps
    )  # two prompts of one image in a batch ask once
    assert anew._kept.num_bytes == 0


@pytest.mark.usefixtures("tiny_weights")
def test_another_noise_or_picture_is_another_image(items: Sequence[PromptItem]) -> None:
    model, bear = build("fine"), items[0]
    model.generate([bear], PARAMS)
    for changed in (
        replace(bear, image_seed=bear.image_seed + 1),
        replace(bear, subject=replace(bear.subject, image=items[2].image)),
    ):
        before = model._kept.misses
        model.generate([changed], PARAMS)
        assert model._kept.misses == before + PARAMS.num_inference_steps
