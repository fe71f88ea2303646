"""Retrieval: the clip of a training set that fits text and image prompt best, shown as it is: what
copying training data scores."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from vbbench.core.words import split_words
from vbbench.media.video import load_image_prompt
from vbbench.networks.codec import to_unit
from vbbench.networks.loading import load_image_encoder
from vbbench.types import PromptItem, SamplingParams, Video

from .banks import Bank, open_bank

ARTICLES = frozenset(
    {"a", "an", "the"}
)  # "a red cat" is no nearer to "a cat" than "an orange cat" is
AT_ONCE = 64  # pictures the image encoder sees at once


class Retrieve:
    """Among the clips whose captions share most words with the text, the one whose individual's
    image prompt is most like the item's.

    Alike: the cosine of class tokens of the conditioning image encoder's last hidden state. Where
    two are as much alike, the clip that comes first. Only pictures of clips that come into question
    are embedded, each once.
    """

    def __init__(self, settings: Mapping[str, Any], *, device: str, folder: Path) -> None:
        self.settings, self.device = settings, device
        self.encoder = load_image_encoder(
            settings["weights"]["image-encoder"], str(settings["scale"]), device
        )
        self._bank: Bank | None = None
        self._words: list[frozenset[str]] = []
        self._embedded: dict[int, Tensor] = {}  # subject of the bank -> (D,)

    def generate(self, items: Sequence[PromptItem], params: SamplingParams) -> list[Video]:
        """One training clip an item.

        Raises:
            InputError: the training set cannot be read, or its clips are not of the frames asked
                for.
        """
        if self._bank is None:  # not when the model is built: that needs no data
            self._bank = open_bank(str(self.settings["bank"]), str(self.settings["scale"]))
            self._words = [content_words(caption) for caption in self._bank.captions]
        return [self._bank.video(self._find(item, self._bank), params) for item in items]

    def _find(self, item: PromptItem, bank: Bank) -> int:
        """Row of the clip that is shown."""
        wanted = content_words(item.text)
        shared = np.array([len(wanted & words) for words in self._words])
        rows = np.flatnonzero(shared == shared.max())
        self._embed(sorted({bank.subjects[row] for row in rows} - self._embedded.keys()), bank)
        picture, _ = load_image_prompt(item.image, self._side)
        alike = (
            torch.stack([self._embedded[bank.subjects[row]] for row in rows])
            @ self._embedding(picture[None])[0]
        )
        return int(rows[int(alike.argmax())])

    @property
    def _side(self) -> int:
        """Side of the pictures that the image encoder is given."""
        return int(self.encoder.config.size) * 2 ** len(self.encoder.config.stem)

    def _embed(self, subjects: Sequence[int], bank: Bank) -> None:
        for start in range(0, len(subjects), AT_ONCE):
            part = subjects[start : start + AT_ONCE]
            self._embedded.update(
                zip(part, self._embedding(bank.pictures(part, self._side)), strict=True)
            )

    @torch.inference_mode()
    def _embedding(self, pictures_BHWC: np.ndarray) -> Tensor:
        """(B, D) of length one, from uint8 pictures."""
        return F.normalize(
            self.encoder.class_token(to_unit(torch.from_numpy(pictures_BHWC).to(self.device))),
            dim=-1,
        )


def content_words(text: str) -> frozenset[str]:
    """The words of a text that say something."""
    return frozenset(split_words(text)) - ARTICLES
