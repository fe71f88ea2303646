"""The conditioning image encoder: which hidden states it hands on, in which shapes."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from tests.models.tiny import make_image_encoder
from vbbench.networks.image_encoder import (
    CLIP_MEAN,
    CLIP_STD,
    MINI_IMAGE_ENCODER,
    ImageEncoder,
    ImageEncoderConfig,
    mirrored,
)


@pytest.fixture(scope="module")
def encoder() -> ImageEncoder:
    return make_image_encoder()


@pytest.fixture(scope="module")
def pictures() -> Tensor:
    return torch.rand(2, 3, 64, 64, generator=torch.Generator().manual_seed(0)) * 2 - 1


def layer_outputs(encoder: ImageEncoder, pictures: Tensor) -> list[Tensor]:
    """What each transformer layer gives, first to last, taken down by hooks."""
    outputs: list[Tensor] = []
    layers = next(
        module for module in encoder.vision.modules() if isinstance(module, nn.ModuleList)
    )
    hooks = [
        layer.register_forward_hook(
            lambda _m, _i, out: outputs.append(out[0] if isinstance(out, tuple) else out)
        )
        for layer in layers
    ]
    with torch.no_grad():
        encoder(pictures)
    for hook in hooks:
        hook.remove()
    return outputs


def test_the_last_state_comes_first_then_the_levels(
    encoder: ImageEncoder, pictures: Tensor
) -> None:
    layers = layer_outputs(encoder, pictures)
    assert len(layers) == 3
    with torch.no_grad():
        states = encoder(pictures)
    assert len(states) == encoder.num_levels == 2
    torch.testing.assert_close(states[0], layers[2])  # without the final norm
    torch.testing.assert_close(states[1], layers[0])  # level 1: after the first layer


def test_shapes_class_token_first(encoder: ImageEncoder, pictures: Tensor) -> None:
    with torch.no_grad():
        states = encoder(pictures)
        token = encoder.class_token(pictures)
    patches = (16 // 4) ** 2
    assert [tuple(state.shape) for state in states] == [(2, 1 + patches, 16)] * 2
    assert torch.equal(token, states[0][:, 0])


def test_every_part_of_the_picture_is_seen(encoder: ImageEncoder, pictures: Tensor) -> None:
    with torch.no_grad():
        before = encoder.class_token(pictures)
        for row, column in ((0, 0), (0, 48), (48, 0), (48, 48)):
            changed = pictures.clone()
            changed[:, :, row : row + 16, column : column + 16] *= -1
            assert (encoder.class_token(changed) - before).abs().max() > 1e-4


def test_the_miniature_reads_pictures_of_the_world() -> None:
    encoder = ImageEncoder(MINI_IMAGE_ENCODER).eval()
    with torch.no_grad():
        states = encoder(torch.zeros(1, 3, 64, 64))
    assert [tuple(state.shape) for state in states] == [(1, 65, 128)] * 3


def test_the_defaults_are_those_of_the_released_encoder() -> None:
    config = ImageEncoderConfig()
    assert (config.size, config.patch, config.width, config.layers, config.levels) == (
        224,
        14,
        1024,
        24,
        (4, 8, 12, 16),
    )


@pytest.mark.parametrize("config", [MINI_IMAGE_ENCODER, ImageEncoderConfig()])
def test_the_configuration_survives_a_card(config: ImageEncoderConfig) -> None:
    assert ImageEncoderConfig.from_dict(json.loads(json.dumps(config.as_dict()))) == config


def test_mirroring_flips_about_half_and_changes_nothing_else() -> None:
    pictures = torch.arange(400 * 3 * 2 * 2, dtype=torch.float32).reshape(400, 3, 2, 2)
    result = mirrored(pictures, torch.Generator().manual_seed(0))
    kept = (result == pictures).flatten(1).all(1)
    flipped = (result == pictures[..., [1, 0]]).flatten(1).all(1)
    assert (kept ^ flipped).all()
    assert 0.4 < float(flipped.float().mean()) < 0.6
    assert torch.equal(result, mirrored(pictures, torch.Generator().manual_seed(0)))


def test_at_the_real_scale_pictures_are_resized_and_normalised_as_clip_asks() -> None:
    """Against open_clip's own transform, on a picture of another size."""
    from PIL import Image
    from torchvision.transforms import InterpolationMode, Normalize, Resize
    from torchvision.transforms.functional import to_tensor

    config = ImageEncoderConfig(
        size=32,
        patch=8,
        width=16,
        feed_forward=32,
        layers=2,
        heads=2,
        levels=(1,),
        pixel_mean=CLIP_MEAN,
        pixel_std=CLIP_STD,
    )
    encoder = ImageEncoder(config).eval()
    picture = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    resized = Resize(32, InterpolationMode.BICUBIC, antialias=True)(
        to_tensor(Image.fromarray(picture))
    ).clamp(0, 1)
    wanted = Normalize(CLIP_MEAN, CLIP_STD)(resized)
    pixels = torch.from_numpy(picture).movedim(-1, 0)[None].float() / 127.5 - 1
    torch.testing.assert_close(encoder._prepared(pixels)[0], wanted, atol=1e-5, rtol=1e-5)
    assert encoder(pixels)[0].shape == (1, 17, 16)
