"""ELITE as a model: what its image prompt, its mask and lambda reach, and what they must not."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from tests.models.tiny import PARAMS
from vbbench.errors import InputError
from vbbench.models.elite.model import Elite, image_prompt_and_mask
from vbbench.types import PromptItem, Video

pytestmark = pytest.mark.usefixtures("tiny_weights")


def build(strength: float = 0.8) -> Elite:
    weights = {"codec": "codec", "base": "base", "image-encoder": "image-encoder", "elite": "elite"}
    return Elite(
        {"lambda": strength, "weights": weights, "scale": "mini"}, device="cpu", folder=Path()
    )


def gap(one: Video, other: Video) -> int:
    """Largest difference of a pixel, in grey levels."""
    return int(np.abs(one.frames.astype(int) - other.frames).max())


def with_picture(item: PromptItem, image: Path, masks: tuple[Path, ...] = ()) -> PromptItem:
    """The item with another image prompt; its seeds stay."""
    return replace(item, subject=replace(item.subject, image=image, masks=masks, references=()))


def shaken(model: Elite, wanted: Callable[[str], bool], amount: float = 0.5) -> int:
    """Noise on the parameters with wanted names; their number."""
    generator, count = torch.Generator().manual_seed(0), 0
    with torch.no_grad():
        for name, parameter in model.network.named_parameters():
            if wanted(name):
                parameter.add_(amount * torch.randn(parameter.shape, generator=generator))
                count += 1
    return count


def test_an_image_prompt_changes_its_own_video_alone(items: Sequence[PromptItem]) -> None:
    model, (bear, _, car, _) = build(), items
    before = model.generate([bear, car], PARAMS)
    after = model.generate([with_picture(bear, car.image), car], PARAMS)
    assert gap(before[0], after[0]) > 10
    assert gap(before[1], after[1]) <= 1


def test_an_image_prompt_reaches_the_conditional_branch_alone(items: Sequence[PromptItem]) -> None:
    model, unguided = build(), replace(PARAMS, guidance_scale=0.0)
    (plain,) = model.generate([items[0]], unguided)
    (other,) = model.generate(
        [replace(with_picture(items[0], items[2].image), text="a bear at night")], unguided
    )
    assert gap(plain, other) <= 1


def test_videos_are_sampled_with_the_primary_word_alone(items: Sequence[PromptItem]) -> None:
    model = build()
    (before,) = model.generate([items[0]], PARAMS)
    assert (
        shaken(
            model, lambda name: name.startswith(("mapper.mapping.1.", "mapper.mapping_patch.1."))
        )
        == 20
    )
    assert gap(before, model.generate([items[0]], PARAMS)[0]) == 0
    assert shaken(model, lambda name: name.startswith("mapper.mapping.0.")) == 10
    assert gap(before, model.generate([items[0]], PARAMS)[0]) > 5


def test_without_lambda_the_local_mapping_has_no_say(items: Sequence[PromptItem]) -> None:
    def is_local(name: str) -> bool:
        return name.startswith("local_mapper.") or "_local." in name

    for strength, moved in ((0.0, False), (0.8, True)):
        model = build(strength)
        (before,) = model.generate([items[0]], PARAMS)
        assert shaken(model, is_local) == 2 * 10 + 2 * 7
        assert (gap(before, model.generate([items[0]], PARAMS)[0]) > 0) == moved


def test_lambda_is_a_dial(items: Sequence[PromptItem]) -> None:
    none, little, much = (
        build(strength).generate([items[0]], PARAMS)[0] for strength in (0.0, 1e-6, 0.8)
    )
    assert gap(none, little) <= 1
    assert gap(none, much) > 5


def picture_of(
    folder: Path, name: str, colour: int, box: tuple[int, int, int, int] | None = None
) -> Path:
    """A picture of one grey, or black with a light box."""
    picture = Image.new("RGB", (64, 64), (colour,) * 3)
    if box:
        picture.paste((255, 255, 255), box)
    picture.save(folder / name)
    return folder / name


def test_the_mask_says_where_the_subject_is(items: Sequence[PromptItem], tmp_path: Path) -> None:
    left, right = (picture_of(tmp_path, f"{at}.png", 0, (at, 0, at + 32, 64)) for at in (0, 32))
    bear, model = items[0], build()
    _, mask = image_prompt_and_mask(with_picture(bear, bear.image, (left,)), 64)
    assert mask[:, :32].all()
    assert not mask[:, 32:].any()
    one, other = model.generate(
        [with_picture(bear, bear.image, (side,)) for side in (left, right)], PARAMS
    )
    assert gap(one, other) > 1


def test_without_a_mask_it_is_what_is_not_white(items: Sequence[PromptItem]) -> None:
    bear = with_picture(items[0], items[0].image)
    picture, mask = image_prompt_and_mask(bear, 64)
    assert mask.tolist() == (picture.min(-1) < 250).tolist()
    _, known = image_prompt_and_mask(items[0], 64)
    assert items[0].subject.masks
    assert (mask & known).sum() / (mask | known).sum() > 0.9


@pytest.mark.parametrize(
    ("picture", "mask", "told"),
    [
        ("white", None, "white.png shows no subject"),
        ("grey", "black", "the mask .*black.png shows no subject"),
        ("grey", "small", "one size"),
    ],
)
def test_image_prompts_without_a_subject_are_told(
    items: Sequence[PromptItem], tmp_path: Path, picture: str, mask: str | None, told: str
) -> None:
    for name, colour in (("white", 255), ("grey", 128), ("black", 0)):
        picture_of(tmp_path, f"{name}.png", colour)
    Image.new("L", (32, 32), 255).save(tmp_path / "small.png")
    masks = (tmp_path / f"{mask}.png",) if mask else ()
    with pytest.raises(InputError, match=told):
        build().generate([with_picture(items[0], tmp_path / f"{picture}.png", masks)], PARAMS)


def test_a_subject_too_small_for_any_patch_falls_back_on_the_global_mapping(
    items: Sequence[PromptItem], tmp_path: Path
) -> None:
    speck = picture_of(tmp_path, "speck.png", 0, (3, 3, 5, 5))
    item = with_picture(items[0], items[0].image, (speck,))
    assert gap(build(0.8).generate([item], PARAMS)[0], build(0.0).generate([item], PARAMS)[0]) <= 1


@pytest.mark.parametrize(
    ("change", "told"),
    [({"subject_word": "cat"}, "'cat'"), ({"text": "a bear on the moon"}, "'moon'")],
)
def test_bad_items_are_told(items: Sequence[PromptItem], change: dict, told: str) -> None:
    with pytest.raises(InputError, match=told):
        build().generate([replace(items[0], **change)], PARAMS)
