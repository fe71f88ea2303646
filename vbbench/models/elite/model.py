"""ELITE as a model: an image prompt and a text in, a video out (arXiv 2302.13848, section 3)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from vbbench.errors import InputError
from vbbench.media.pictures import load_image_prompt, load_mask
from vbbench.models.latent_video import LatentVideoModel
from vbbench.networks.codec import to_unit
from vbbench.networks.elite import LOCAL, EliteNetwork, load_elite, not_white
from vbbench.networks.network import TextToVideoNetwork
from vbbench.networks.sampling.guidance import Denoiser
from vbbench.types import PromptItem, SamplingParams


class Elite(LatentVideoModel):
    """Both mappings; ``settings["lambda"]`` is the strength of the local one (0: the global mapping
    alone).

    The subject is where its mask says, ``Subject.masks[0]``, or, where a suite has none, wherever
    the image prompt is not white.
    """

    network: EliteNetwork

    def _load_network(self) -> EliteNetwork:
        weights = self.settings["weights"]
        return load_elite(
            LOCAL,
            weights["base"],
            weights["image-encoder"],
            weights["elite"],
            self.scale,
            self._home,
            self.dtype,
        )

    @property
    def base(self) -> TextToVideoNetwork:
        """The text-to-video network, of which the mappings are no part."""
        return self.network.base

    def denoiser(self, items: Sequence[PromptItem], params: SamplingParams) -> Denoiser:
        """The network bound to each item's text with its primary word, and to its local prompt."""
        pictures, masks = zip(
            *(image_prompt_and_mask(item, params.size) for item in items), strict=True
        )
        texts, words = [item.text for item in items], [item.subject_word for item in items]
        states = self.network.encode_image(
            to_unit(torch.from_numpy(np.stack(pictures)).to(self.device))
        )
        conditional = self.network.encode_text(texts, words, self.network.primary_word(states))
        strength, local = self.settings["lambda"], None
        if strength:
            local = self.network.local_prompt(
                states, torch.from_numpy(np.stack(masks)).to(self.device), texts, words, strength
            )
        return self.bind(conditional, local=local)


def image_prompt_and_mask(item: PromptItem, size: int) -> tuple[np.ndarray, np.ndarray]:
    """An item's image prompt, uint8 (size, size, 3), and where it shows the subject, bool (size,
    size).

    Raises:
        InputError: a picture cannot be read, or shows no subject.
    """
    picture, _ = load_image_prompt(item.image, size)
    mask = (
        load_mask(item.subject.masks[0], item.image, size)
        if item.subject.masks
        else not_white(picture)
    )
    if not mask.any():
        raise InputError(
            f"the image prompt {item.image} shows no subject: at {size} x {size} pixels it is white, or its mask dark, all over."
        )
    return picture, mask
