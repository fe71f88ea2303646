"""Untrained miniature encoders in the place of the shipped ones: the code around them is what is
tested here."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import torch

from vbbench.core.weights_file import save_weights
from vbbench.data.world import VOCABULARY
from vbbench.metrics.encoders import encoders
from vbbench.metrics.encoders.configs import encoder_config
from vbbench.metrics.encoders.segmenter import SEGMENTS, UNet
from vbbench.metrics.encoders.setting import Setting
from vbbench.metrics.encoders.tokenizer import WordTokenizer
from vbbench.types import PromptItem, Subject


def save_untrained(folder: Path) -> None:
    """The three miniature encoders' weights as they are before training."""
    torch.manual_seed(0)
    arch = encoder_config("clip", Setting()).arch
    tokenizer = WordTokenizer(VOCABULARY, arch["text_cfg"]["context_length"])
    clip = encoders.build_clip(arch, tokenizer.vocab_size)
    save_weights(
        folder / "clip.safetensors",
        clip.state_dict(),
        {"config": {"arch": dict(arch), "words": list(VOCABULARY)}},
    )
    arch = encoder_config("dino", Setting()).arch
    save_weights(
        folder / "dino.safetensors",
        encoders.build_dino(arch).state_dict(),
        {"config": {"arch": dict(arch)}},
    )
    arch = encoder_config("segmenter", Setting()).arch
    config = {"arch": dict(arch), "segments": list(SEGMENTS)}
    save_weights(
        folder / "segmenter.safetensors", UNet(arch["widths"]).state_dict(), {"config": config}
    )


@pytest.fixture(scope="package")
def untrained_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("weights")
    save_untrained(folder / "mini")
    return folder


@pytest.fixture
def untrained(untrained_folder: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Folder of the untrained weights, in force for one test."""
    monkeypatch.setenv("VBBENCH_WEIGHTS", str(untrained_folder))
    encoders.forget_encoders()
    yield untrained_folder / "mini"
    encoders.forget_encoders()


@dataclass(frozen=True)
class Scene:
    """A real clip of the miniature world and the item it answers."""

    frames: object
    masks: object
    item: PromptItem


@pytest.fixture
def scene(tmp_path: Path) -> Scene:
    """A held-out dog on the beach, with its image prompt."""
    from PIL import Image

    from vbbench.data import world

    subject = world.individual("test", "dog", 0)
    frames, masks = world.render_clip(subject, "beach", "right", 3)
    image, mask = world.render_image_prompt(subject, 4)
    Image.fromarray(image).save(tmp_path / "dog.png")
    Image.fromarray(mask > 0).save(tmp_path / "dog-mask.png")
    reference = {"split": "test", "class": "dog", "index": 0}
    item = PromptItem(
        id="dog-beach",
        subject=Subject(
            "dog-0",
            "dog",
            tmp_path / "dog.png",
            masks=(tmp_path / "dog-mask.png",),
            world=reference,
        ),
        text="a dog running right on the beach",
        subject_word="dog",
        seed=1,
        image_seed=2,
    )
    return Scene(frames, masks, item)
