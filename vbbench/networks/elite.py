"""ELITE as one network: the text-to-video network, the image encoder, the global mapping and (local
stage) the local one.

B batch, H/W pixels, E words, P patches, L text tokens, D width.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from vbbench.networks.image_encoder import ImageEncoder
from vbbench.networks.loading import META, load_image_encoder, load_network, load_trained
from vbbench.networks.network import TextToVideoNetwork
from vbbench.networks.unet.coarse import Mapper, perceptron
from vbbench.networks.unet.unet import LocalPrompt

# ELITE's local mapping: the subject's patches become features that the text attention can read
# (section 3).
#
# B batch, H/W pixels, P patches, D width.

# grey levels: an image prompt's pixel is white, and not the subject, if no channel is below
WHITE_FROM = 250
COVERED = 0.25  # share of a patch that must be the subject for its feature to be read


class LocalMapper(nn.Module):
    """Maps hidden states of an image encoder to text features, patch by patch: the mean over the
    levels.

    Args:
        levels: hidden states read.
        input_dim: width of the image encoder.
        hidden_dim: width inside.
        output_dim: width of the text states.
    """

    def __init__(self, levels: int, input_dim: int, hidden_dim: int, output_dim: int) -> None:
        super().__init__()
        self.mapping_patch = nn.ModuleList(
            perceptron(input_dim, hidden_dim, output_dim) for _ in range(levels)
        )

    def forward(self, states: Sequence[Tensor], foreground_BHW: Tensor) -> Tensor:
        """Features of the patches that show the subject.

        Args:
            states: one (B, 1 + P, D) tensor a level, class token first; P patches row by row in a
                square.
            foreground_BHW: 1 where the picture shows the subject, else 0; any size that is not
                smaller than the patches' grid.
        Returns:
            (B, P, D'); zero for patches that show the subject on less than a quarter of their area.
        Raises:
            ValueError: as many states as levels are needed.
        """
        if len(states) != len(self.mapping_patch):
            raise ValueError(
                f"{len(states)} hidden states for a local mapper of {len(self.mapping_patch)} levels"
            )
        levels = [patch(x[:, 1:]) for x, patch in zip(states, self.mapping_patch, strict=True)]
        features = torch.stack(levels).mean(0)
        return features * covered_patches(foreground_BHW, features.shape[1]).unsqueeze(-1)


def covered_patches(foreground_BHW: Tensor, patches: int) -> Tensor:
    """(B, P) bool: which patches of a square grid show the subject."""
    side = round(patches**0.5)
    cover = F.adaptive_avg_pool2d(foreground_BHW.float().unsqueeze(1), side)
    return cover.flatten(1) >= COVERED


def not_white(picture_HWC: np.ndarray) -> np.ndarray:
    """(H, W) bool: what an image prompt, which is cut out on white, shows of its subject where
    nobody has a mask of it.

    White parts of the subject count as background: a suite that shows such subjects should bring
    masks.
    """
    return picture_HWC.min(-1) < WHITE_FROM


GLOBAL, LOCAL = "global", "local"
STAGES = (GLOBAL, LOCAL)


class EliteNetwork(nn.Module):
    """An image prompt as words in the place of the subject word, and in the local stage as patches
    that text attention reads too.

    The hidden states of the image encoder, deepest first, become one word each. The first is the
    primary word, the only one that videos are sampled with; the others are there in the global
    stage's training, to take up what does not belong to the subject.

    Args:
        base: a text-to-video network; changed in place (its text attention is tuned, and in the
            local stage extended).
        image_encoder: frozen.
        stage: ``global`` or ``local``.
    """

    def __init__(self, base: TextToVideoNetwork, image_encoder: ImageEncoder, stage: str) -> None:
        super().__init__()
        if stage not in STAGES:
            raise ValueError(f"unknown stage {stage!r}; there are {', '.join(STAGES)}")
        self.base, self.stage = base, stage
        self.image_encoder = image_encoder.eval()
        sizes = (
            image_encoder.num_levels,
            image_encoder.config.width,
            image_encoder.config.width,
            base.config.text.width,
        )
        self.mapper = Mapper(*sizes)
        self.local_mapper = LocalMapper(*sizes) if stage == LOCAL else None
        if stage == LOCAL:
            base.unet.enable_local_attention()
        self.requires_grad_(False)

    def trained(self) -> Iterator[tuple[str, nn.Parameter]]:
        """What the stage trains: mapper and text K, V; in the local stage local mapper and local K,
        V instead."""
        return self._local() if self.stage == LOCAL else self._global()

    def shipped(self) -> Iterator[tuple[str, nn.Parameter]]:
        """What any stage up to this one trained: the difference to the base."""
        yield from self._global()
        yield from self._local()

    def _global(self) -> Iterator[tuple[str, nn.Parameter]]:
        yield from (
            (f"mapper.{name}", parameter) for name, parameter in self.mapper.named_parameters()
        )
        yield from (
            (f"base.unet.{name}", parameter)
            for name, parameter in self.base.unet.text_kv_parameters()
        )

    def _local(self) -> Iterator[tuple[str, nn.Parameter]]:
        if self.local_mapper is not None:
            yield from (
                (f"local_mapper.{name}", parameter)
                for name, parameter in self.local_mapper.named_parameters()
            )
        yield from (
            (f"base.unet.{name}", parameter)
            for name, parameter in self.base.unet.local_parameters()
        )

    def encode_image(self, pixels_B3HW: Tensor) -> list[Tensor]:
        """Hidden states (B, 1 + P, D) of image prompts in [-1, 1], deepest first; without
        gradients."""
        with torch.no_grad():
            return self.image_encoder(pixels_B3HW)

    def words(self, states: Sequence[Tensor]) -> Tensor:
        """All words (B, E, D) of image prompts, the primary one first."""
        return self.mapper(states)

    def primary_word(self, states: Sequence[Tensor]) -> Tensor:
        """The primary word (B, 1, D) alone."""
        return self.mapper(states)[:, :1]

    def encode_text(
        self, texts: Sequence[str], subject_words: Sequence[str], words_BED: Tensor
    ) -> Tensor:
        """Text states (B, L, D) of texts whose subject word is replaced by words of an image
        prompt.

        Raises:
            InputError: a subject word that does not stand in its text, or words the text encoder
                does not know.
        """
        return self.base.encode_text_with(texts, subject_words, words_BED)

    def local_prompt(
        self,
        states: Sequence[Tensor],
        foreground_BHW: Tensor,
        texts: Sequence[str],
        subject_words: Sequence[str],
        strength: float = 1.0,
    ) -> LocalPrompt | None:
        """What the local attention reads; None in the global stage.

        Args:
            states: of `encode_image`.
            foreground_BHW: where the image prompts show their subjects.
            texts, subject_words: as in `encode_text`; the first of the words that replace a subject
                word stands where it stood.
            strength: the paper's lambda.
        Raises:
            InputError: a subject word that does not stand in its text.
        """
        if self.local_mapper is None:
            return None
        places = [
            self.base.tokenizer.locate(text, word)[0]
            for text, word in zip(texts, subject_words, strict=True)
        ]
        word_B = torch.tensor(places, device=foreground_BHW.device)
        return LocalPrompt(self.local_mapper(states, foreground_BHW), word_B, strength)


# From weights files to an ELITE network.


def load_elite(
    stage: str,
    base: str,
    image_encoder: str,
    weights: str | None,
    scale: str = "mini",
    device: str = "cpu",
    dtype: torch.dtype | None = None,
) -> EliteNetwork:
    """ELITE on a base: ``weights`` hold what was trained and replace the base's own.

    Args:
        stage: of the network that is built; global weights may fill a local one, whose local
            attention then has yet to be trained.
        base, image_encoder, weights: names of weights; no ``weights``: untrained mappers on the
            untouched base.
        dtype: as in `vbbench.networks.loading.load_network`; of everything.
    Raises:
        WeightsError: weights are missing, damaged, or of another stage or shape.
    """
    parts = (
        load_network(base, scale, device, dtype),
        load_image_encoder(image_encoder, scale, device, dtype),
    )
    with torch.device(device):
        network = EliteNetwork(*parts, stage).eval().to(dtype)
    if weights is None or device == META:
        return network
    config = load_trained(
        network,
        {name for name, _ in network.shipped()},
        weights,
        scale,
        may_lack=((GLOBAL, LOCAL),),
    )
    if config["stage"] != stage:
        network.base.unet.reset_local_attention()
    return network
