"""What `vbbench train base --check` measures, on a network and a codec that cost nothing."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from tests.models import tiny
from vbbench.data.world import CLASSES
from vbbench.data.world.pictures import TrainingData
from vbbench.errors import UsageError
from vbbench.networks.codec import PatchCodec
from vbbench.training import base_check, checkpoint
from vbbench.training.base_check import (
    Clips,
    check_codec,
    check_network,
    psnr,
    trained_network,
    validation_clips,
)


@pytest.fixture(scope="module")
def clips(data: TrainingData) -> Clips:
    return validation_clips(data.val, per_class=1)


@pytest.fixture(scope="module")
def codec() -> PatchCodec:
    return tiny.make_codec()


def test_clips_are_one_of_each_class_and_only_the_rich_captions_tell_colours(
    clips: Clips, data: TrainingData
) -> None:
    assert clips.pixels_BTCHW.shape == (len(CLASSES), 8, 3, 64, 64)
    assert clips.subject_BTHW.shape == (len(CLASSES), 8, 64, 64)
    for row, (plain, rich, name) in enumerate(zip(clips.plain, clips.rich, CLASSES, strict=True)):
        colour = data.val.individual(row * data.val.counts.individuals).base_name
        assert name in plain.split()
        assert colour not in plain.split()
        assert colour in rich.split()


def test_psnr_counts_only_the_pixels_that_weigh() -> None:
    pixels = torch.zeros(1, 1, 3, 2, 2)
    decoded = torch.tensor([[0.2, 2.0], [0.2, 2.0]]).expand(1, 1, 3, 2, 2)
    left = torch.tensor([[1.0, 0.0], [1.0, 0.0]])[None, None]
    assert psnr(decoded, pixels, left) == pytest.approx(20.0)  # an error of a tenth of the range
    assert psnr(decoded, pixels, 1 - left) == pytest.approx(0.0)


def test_noise_on_latents_costs_and_the_codec_alone_is_the_first_row(
    codec: PatchCodec, clips: Clips
) -> None:
    rows = check_codec(codec, clips)
    assert [row.noise_sd for row in rows] == [0.0, 0.2, 0.4]
    assert rows[0].subject > rows[1].subject > rows[2].subject
    decoded = codec.decode(codec.encode(clips.pixels_BTCHW))
    assert rows[0].subject == pytest.approx(psnr(decoded, clips.pixels_BTCHW, clips.subject_BTHW))


def test_a_network_that_knows_the_clips_is_as_good_as_the_codec(
    codec: PatchCodec, clips: Clips
) -> None:
    network = tiny.make_network()
    latents = codec.encode(clips.pixels_BTCHW)
    told = network.encode_text(clips.rich)
    network.unet.forward = lambda noised, timestep, text: (
        latents if torch.equal(text, told) else torch.zeros_like(latents)
    )
    best = check_codec(codec, clips)[0]
    for row in check_network(codec, network, clips, (20, 600)):
        assert row.rich == pytest.approx(best.subject)
        assert row.rich > row.plain + 1
    first, second = check_network(codec, network, clips, (20, 600))
    assert first.noised > second.noised


def test_networks_that_predict_noise_are_refused(codec: PatchCodec, clips: Clips) -> None:
    network = tiny.make_network()
    object.__setattr__(network.config.diffusion, "prediction_type", "epsilon")
    with pytest.raises(UsageError, match="epsilon"):
        check_network(codec, network, clips)


class OneNetwork:
    def __init__(self) -> None:
        self.module = tiny.make_network(seed=5)


def test_a_checkpoint_is_read_by_its_moving_average(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no checkpoint"):
        trained_network(OneNetwork(), tmp_path)
    wanted = tiny.make_network(seed=6)
    folder = checkpoint.begin(tmp_path, 3)
    tensors = {f"ema/{name}": value for name, value in wanted.state_dict().items()}
    checkpoint.write_tensors(folder / checkpoint.MODEL, tensors)
    checkpoint.write_tensors(folder / checkpoint.optimizer_name(0), {"step/x": torch.ones(1)})
    checkpoint.commit(
        tmp_path,
        folder,
        {"name": "base", "seed": 2, "step": 3, "seconds": 1.0, "history": [], "sums": {}},
    )
    network, step = trained_network(OneNetwork(), tmp_path)
    assert step == 3
    for name, value in network.state_dict().items():
        assert torch.equal(value, wanted.state_dict()[name]), name


def test_the_tables_name_every_timestep_and_noise(codec: PatchCodec, clips: Clips) -> None:
    text = base_check.as_text(
        check_codec(codec, clips), check_network(codec, tiny.make_network(), clips, (20, 800))
    )
    assert [line.split()[0] for line in text.splitlines()] == [
        "codec",
        "noise",
        "noise",
        "noise",
        "timestep",
        "20",
        "800",
    ]
