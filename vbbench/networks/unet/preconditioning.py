"""Output preconditioning of a network that predicts the clean latent (Karras et al. 2022, "EDM",
section 5).

Where the noise is weak the noised sample is nearly the clean latent, and a network that has to give
it from its own layers loses detail. Here the sample passes by the layers there, and they give only
what is to be mended.

B batch, C channels, T frames, H/W latent cells.
"""

from __future__ import annotations

import math

from torch import Tensor

# of diffusers' schedule "squaredcos_cap_v2" (Nichol and Dhariwal 2021, equation 17)
STEPS, OFFSET = 1000, 0.008


def alpha_bar(timestep_B: Tensor) -> Tensor:
    """(B,) float32: share of the signal's variance on the cosine schedule, at timesteps 0..999,
    whole or not."""
    angle_B = ((timestep_B.float() + 1.0) / STEPS + OFFSET) / (1.0 + OFFSET) * (math.pi / 2)
    start = math.cos(OFFSET / (1.0 + OFFSET) * (math.pi / 2)) ** 2
    return (angle_B.cos().square() / start).clamp(1e-6, 1.0)


def preconditioned(
    layers_BCTHW: Tensor, sample_BCTHW: Tensor, timestep_B: Tensor, skip_sd: float
) -> Tensor:
    """Clean latent from the noised sample and from what the network's layers give.

    ``c_skip sample / sqrt(alpha_bar) + c_out layers`` with EDM's ``c_skip = s^2 / (sigma^2 + s^2)``
    and ``c_out = sigma / sqrt(sigma^2 + s^2)``, where sigma is the noise's deviation relative to
    the signal's and s is ``skip_sd``. EDM's c_out has another factor s: without it the layers give
    the latent itself, of unit variance, where the noise is strong.

    Args:
        layers_BCTHW: output of the network's last layer.
        sample_BCTHW: noised latent, of unit variance.
        timestep_B: its timestep.
        skip_sd: above 0; EDM's sigma_data would be 1 here, which is v-prediction: noise passes by
            at every level.

    Returns:
        (B, C, T, H, W) float32.
    """
    signal_B = alpha_bar(timestep_B)
    sigma2_B = (1.0 - signal_B) / signal_B
    skip_B = skip_sd**2 / (sigma2_B + skip_sd**2) * signal_B.rsqrt()
    out_B = (sigma2_B / (sigma2_B + skip_sd**2)).sqrt()
    return _per_video(skip_B) * sample_BCTHW.float() + _per_video(out_B) * layers_BCTHW.float()


def _per_video(values_B: Tensor) -> Tensor:
    return values_B.view(-1, 1, 1, 1, 1)
