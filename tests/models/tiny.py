"""A set of miniature weights for the tests: everything that the recipes name, small, and random but
for the codec.

They draw nothing that anybody would recognise. They are there to be loaded, run and compared.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from vbbench.core.paths import WEIGHTS_VARIABLE
from vbbench.core.weights_file import save_weights
from vbbench.data.suites import load_suite
from vbbench.data.world import CLASSES, VOCABULARY, individuals, render_clips
from vbbench.networks.codec import PatchCodec, to_unit
from vbbench.networks.elite import GLOBAL, LOCAL, EliteNetwork
from vbbench.networks.image_encoder import ImageEncoder, ImageEncoderConfig
from vbbench.networks.network import NetworkConfig, TextToVideoNetwork, mini_config
from vbbench.networks.videobooth import COARSE, FINE, FINE_ONLY, VideoBoothNetwork
from vbbench.types import PromptItem, SamplingParams

PATCH, COMPONENTS = 8, 6
PARAMS = SamplingParams(
    num_frames=8,
    size=64,
    fps=8,
    num_inference_steps=3,
    guidance_scale=3.0,
    scheduler="ddim",
    batch_size=4,
)
IMAGE_ENCODER = ImageEncoderConfig(
    size=16, patch=4, width=16, feed_forward=32, layers=3, heads=2, stem=(8, 8), levels=(1,)
)

VIDEOBOOTH = {
    "videobooth-coarse": COARSE,
    "videobooth-short-coarse": COARSE,
    "videobooth-fine": FINE_ONLY,
    **dict.fromkeys(
        ("videobooth", "videobooth-short", "videobooth-joint", "videobooth-clean-prompt"), FINE
    ),
}
ELITE = {"elite-global": GLOBAL, "elite": LOCAL}
"""Names of weights -> stages."""


def network_config(
    vocabulary: tuple[str, ...] = VOCABULARY, latent_channels: int = COMPONENTS
) -> NetworkConfig:
    """All switches of the miniature network, at a size that costs nothing."""
    mini = mini_config(vocabulary, latent_channels)
    return replace(
        mini,
        unet=replace(
            mini.unet,
            block_out_channels=(16, 32),
            num_heads=(1, 2),
            cross_attention_dim=16,
            norm_num_groups=4,
        ),
        text=replace(mini.text, width=16, feed_forward=32, heads=2),
    )


def shaken(module: nn.Module, seed: int, amount: float = 0.15) -> nn.Module:
    """The module with noise on every parameter, so that nothing is zero, one or equal to its
    copy."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.add_(amount * torch.randn(parameter.shape, generator=generator))
    return module.eval()


def make_codec() -> PatchCodec:
    """Fitted on a frame of each class."""
    count = len(CLASSES)
    people = individuals("train", np.arange(count), np.arange(count))
    frames, _ = render_clips(
        people,
        np.arange(count) % 8,
        np.arange(count) % 6,
        np.arange(count),
        frame_indices=np.zeros((count, 1), int),
    )
    codec = PatchCodec(PATCH, COMPONENTS)
    codec.fit(to_unit(torch.from_numpy(frames)))
    return codec


def make_network(seed: int = 1) -> TextToVideoNetwork:
    with seeded(seed):
        return shaken(TextToVideoNetwork(network_config()), seed)  # type: ignore[return-value]


def make_image_encoder(seed: int = 2) -> ImageEncoder:
    with seeded(seed):
        return shaken(ImageEncoder(IMAGE_ENCODER), seed, 0.3)  # type: ignore[return-value]


def make_videobooth(stage: str, seed: int = 3) -> VideoBoothNetwork:
    """On the tiny base; what the stage trains is elsewhere than in the base."""
    with seeded(seed):
        network = VideoBoothNetwork(make_network(), make_image_encoder(), stage)
    shaken(nn.ParameterList(parameter for _, parameter in network.trained()), seed, 0.3)
    return network.eval()


def make_elite(stage: str, seed: int = 4) -> EliteNetwork:
    """On the tiny base; what the stages up to this one train is elsewhere than in the base."""
    with seeded(seed):
        network = EliteNetwork(make_network(), make_image_encoder(), stage)
    shaken(nn.ParameterList(parameter for _, parameter in network.shipped()), seed, 0.3)
    return network.eval()


@contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Torch's global generator at ``seed``, and as it was afterwards."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        yield


def write_weights(root: Path) -> Path:
    """Write the whole set into ``root/mini``; returns ``root``, which is what VBBENCH_WEIGHTS is
    set to."""
    codec, folder = make_codec(), root / "mini"
    files = {
        "codec": (codec.state_dict(), {"patch": PATCH, "components": COMPONENTS}),
        "base": (make_network().state_dict(), network_config().as_dict()),
        "image-encoder": (make_image_encoder().state_dict(), IMAGE_ENCODER.as_dict()),
    }
    for name, stage in VIDEOBOOTH.items():
        files[name] = (
            dict(make_videobooth(stage).trained()),
            {"stage": stage, "noises_image_prompt": "clean" not in name},
        )
    for name, stage in ELITE.items():
        files[name] = (dict(make_elite(stage).shipped()), {"stage": stage})
    for name, (tensors, config) in files.items():
        save_weights(folder / f"{name}.safetensors", tensors, {"recipe": name, "config": config})
    return root


@pytest.fixture(scope="session")
def weights_root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny weights, written once. Never changed: a test that damages weights writes its own."""
    return write_weights(tmp_path_factory.mktemp("weights"))


@pytest.fixture
def tiny_weights(weights_root: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of the tiny weights, where the program now finds them."""
    monkeypatch.setenv(WEIGHTS_VARIABLE, str(weights_root))
    return weights_root / "mini"


@pytest.fixture(scope="session")
def items() -> tuple[PromptItem, ...]:
    """Items of the bundled suite: two of a bear and two of a car."""
    return load_suite("mini").items[:4]
