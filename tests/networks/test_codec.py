"""The patch codec, held against principal components by numpy's singular value decomposition."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from vbbench.networks.codec import PatchCodec, to_uint8, to_unit

PATCH, COMPONENTS = 4, 5


@pytest.fixture(scope="module")
def pixels() -> torch.Tensor:
    """Pictures (6, 2, 3, 16, 12) in [-1, 1] with few strong components and a little noise."""
    generator = torch.Generator().manual_seed(0)
    coarse = torch.randn(12, 3, 4, 3, generator=generator)
    smooth = torch.nn.functional.interpolate(coarse, (16, 12), mode="bilinear")
    noise = 0.02 * torch.randn(smooth.shape, generator=generator)
    return (0.4 * smooth + noise).clamp(-1, 1).reshape(6, 2, 3, 16, 12)


@pytest.fixture(scope="module")
def codec(pixels: torch.Tensor) -> PatchCodec:
    codec = PatchCodec(PATCH, COMPONENTS)
    codec.fit(pixels)
    return codec


def patches(pixels: np.ndarray) -> np.ndarray:
    """(B, T, 3, H, W) -> (B, T, h, w, 3 * P * P), cell by cell."""
    b, t, _, height, width = pixels.shape
    rows = [
        pixels[:, :, :, y : y + PATCH, x : x + PATCH].reshape(b, t, -1)
        for y in range(0, height, PATCH)
        for x in range(0, width, PATCH)
    ]
    return np.stack(rows, axis=2).reshape(b, t, height // PATCH, width // PATCH, -1)


def reference(pixels: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Mean, components (K, 3 * P * P) up to their sign, and scales (K,): sd to the power of -0.5,
    then unit mean square."""
    rows = patches(pixels).reshape(-1, 3 * PATCH * PATCH).astype(np.float64)
    mean = rows.mean(0)
    _, values, components = np.linalg.svd(rows - mean, full_matrices=False)
    sd = values[:COMPONENTS] / np.sqrt(len(rows))
    scaled = sd**0.5  # what is left of each component's sd
    return mean, components[:COMPONENTS], sd**-0.5 / np.sqrt((scaled**2).mean())


def test_components_are_the_principal_ones(codec: PatchCodec, pixels: torch.Tensor) -> None:
    mean, components, scale = reference(pixels.numpy())
    np.testing.assert_allclose(codec.mean, mean, atol=1e-5)
    np.testing.assert_allclose(np.abs((codec.basis.numpy() * components).sum(1)), 1, atol=1e-4)
    np.testing.assert_allclose(codec.scale, scale, rtol=1e-4)


def test_latents_are_scaled_coefficients(codec: PatchCodec, pixels: torch.Tensor) -> None:
    mean, components, scale = reference(pixels.numpy())
    signs = np.sign((codec.basis.numpy() * components).sum(1))
    expected = ((patches(pixels.numpy()) - mean) @ components.T * signs * scale).transpose(
        0, 4, 1, 2, 3
    )
    latents = codec.encode(pixels)
    assert latents.shape == (6, COMPONENTS, 2, 4, 3)
    np.testing.assert_allclose(latents, expected, atol=2e-4)


def test_latents_have_unit_mean_square_and_lose_their_order_of_size(
    codec: PatchCodec, pixels: torch.Tensor
) -> None:
    latents = codec.encode(pixels)
    assert float(latents.square().mean()) == pytest.approx(1, rel=1e-3)
    sizes = latents.square().mean((0, 2, 3, 4))
    assert (sizes[:-1] >= sizes[1:]).all()


def test_decoding_is_the_best_approximation_of_that_rank(
    codec: PatchCodec, pixels: torch.Tensor
) -> None:
    mean, components, _ = reference(pixels.numpy())
    rows = patches(pixels.numpy())
    expected = mean + (rows - mean) @ components.T @ components
    decoded = codec.decode(codec.encode(pixels))
    assert decoded.shape == pixels.shape
    np.testing.assert_allclose(patches(decoded.numpy()), expected.clip(-1, 1), atol=1e-4)


def test_what_was_decoded_encodes_to_the_same_latents(
    codec: PatchCodec, pixels: torch.Tensor
) -> None:
    latents = 0.3 * codec.encode(pixels)
    torch.testing.assert_close(codec.encode(codec.decode(latents)), latents, atol=1e-4, rtol=1e-4)


def test_with_all_components_nothing_is_lost(pixels: torch.Tensor) -> None:
    codec = PatchCodec(PATCH, 3 * PATCH * PATCH)
    codec.fit(pixels)
    torch.testing.assert_close(codec.decode(codec.encode(pixels)), pixels, atol=1e-3, rtol=0)


def test_frames_and_cells_do_not_mix(codec: PatchCodec, pixels: torch.Tensor) -> None:
    changed = pixels.clone()
    changed[2, 1, :, 4:8, 8:12] = 0.9
    touched = (codec.encode(changed) != codec.encode(pixels)).any(1).nonzero().tolist()
    assert touched == [[2, 1, 1, 2]]


def test_decoded_pixels_are_confined(codec: PatchCodec) -> None:
    decoded = codec.decode(
        100 * torch.randn(1, COMPONENTS, 1, 2, 2, generator=torch.Generator().manual_seed(0))
    )
    assert decoded.min() == -1
    assert decoded.max() == 1


def test_fitting_does_not_depend_on_the_sign_that_the_solver_picks(codec: PatchCodec) -> None:
    largest = codec.basis.gather(1, codec.basis.abs().argmax(1, keepdim=True))
    assert (largest > 0).all()


def test_bytes_survive_the_trip_to_floats_and_back() -> None:
    frames = torch.arange(256, dtype=torch.uint8).reshape(2, 8, 16, 1).expand(-1, -1, -1, 3)
    unit = to_unit(frames)
    assert unit.shape == (2, 3, 8, 16)
    assert unit.min() == -1
    assert unit.max() == 1
    assert torch.equal(to_uint8(unit), frames)
    assert to_uint8(torch.tensor([-3.0, 0.0, 3.0]).reshape(3, 1, 1)).flatten().tolist() == [
        0,
        128,
        255,
    ]
