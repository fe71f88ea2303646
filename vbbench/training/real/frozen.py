"""What networks that do not change make of clips and image prompts: computed alone, so that it can
be kept and is the same bits either way.

C latent channels, T frames, h/w latent cells, P patches, D width.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
import torch
from torch import Tensor

from vbbench.networks.codec import FrameCodec, to_unit
from vbbench.networks.image_encoder import ImageEncoder
from vbbench.training.real.cache import TensorCache
from vbbench.training.real.loader import LoadedSample


class FrozenParts:
    """Codec and image encoder, in float32 whatever training computes in, one clip or image prompt
    at a time.

    Args:
        codec, image_encoder: frozen, on their device.
        digests: of their weights, by ``codec`` and ``image-encoder``: what is kept belongs to them.
        cache: None: nothing is kept.

    Attributes:
        read: gives the frames of a sample whose latents were there when it was loaded, and are
            gone.
    """

    def __init__(
        self,
        codec: FrameCodec,
        image_encoder: ImageEncoder,
        digests: Mapping[str, str],
        *,
        cache: TensorCache | None = None,
    ) -> None:
        self.codec, self._image_encoder, self._digests, self._cache = (
            codec,
            image_encoder,
            digests,
            cache,
        )
        self.read: Callable[[LoadedSample], np.ndarray] | None = None
        self._device = next(image_encoder.parameters()).device

    def has_latents(self, clip_key: str) -> bool:
        """Whether a clip's latents are kept, so that its frames need not be read."""
        return self._cache is not None and self._cache.has(self._key("clip", clip_key))

    def clip_latents(self, sample: LoadedSample) -> Tensor:
        """(1, C, T, h, w)."""
        return self._kept("clip", sample.clip_key, lambda: self._encoded(self._frames(sample)))

    def prompt_latents(self, sample: LoadedSample) -> Tensor:
        """(1, C, 1, h, w): the image prompt as a clip of one frame."""
        return self._kept(
            "prompt", sample.prompt_key, lambda: self._encoded(sample.image_prompt[None])
        )

    def prompt_states(self, sample: LoadedSample) -> list[Tensor]:
        """The image encoder's hidden states of the image prompt, (1, 1 + P, D) a level."""

        def states() -> Tensor:
            with torch.autocast(self._device.type, enabled=False):
                return torch.stack(self._image_encoder(self._pixels(sample.image_prompt[None])))

        return list(self._kept("states", sample.prompt_key, states))

    def _frames(self, sample: LoadedSample) -> np.ndarray:
        if sample.frames is not None:
            return sample.frames
        assert self.read is not None  # who passes frames over knows how to get them
        return self.read(sample)

    def _encoded(self, frames_THWC: np.ndarray) -> Tensor:
        with torch.autocast(self._device.type, enabled=False):
            return self.codec.encode(self._pixels(frames_THWC)[None])

    def _pixels(self, frames_THWC: np.ndarray) -> Tensor:
        return to_unit(torch.from_numpy(frames_THWC).to(self._device))

    @torch.no_grad()
    def _kept(self, what: str, key: str | None, compute: Callable[[], Tensor]) -> Tensor:
        if self._cache is None or key is None:
            return compute()
        return self._cache.get(self._key(what, key), compute).to(self._device)

    def _key(self, what: str, key: str) -> str:
        """With the weights it was made by; on another kind of device the last digits would be
        others."""
        weights = self._digests["image-encoder" if what == "states" else "codec"]
        return f"{what}-{self._device.type}-{weights[:16]}-{key}"
