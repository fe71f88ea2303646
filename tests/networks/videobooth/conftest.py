"""Small networks for the tests of this folder."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.parity.golden import Released
from vbbench.networks.unet.unet import UNetConfig

GOLDEN = Path(__file__).parents[2] / "files" / "golden"


@pytest.fixture(scope="session")
def golden() -> Path:
    return GOLDEN


@pytest.fixture(scope="session")
def released() -> Released:
    return Released(GOLDEN)


@pytest.fixture
def mini() -> UNetConfig:
    """The miniature's switches at a tiny size."""
    return UNetConfig(
        in_channels=6,
        out_channels=6,
        block_out_channels=(16, 32),
        layers_per_block=1,
        attention_levels=(True, True),
        num_heads=(1, 2),
        cross_attention_dim=12,
        norm_num_groups=4,
        feed_forward_mult=2,
        watermark_widths=None,
        time_scale_shift=True,
        pooled_text=True,
        frame_codes=5,
        spatial_codes=(8, 8),
        temporal_codes=5,
        zero_init=True,
    )
