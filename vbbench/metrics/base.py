"""What a metric is: a spec, and a formula over one video's embeddings."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from vbbench.metrics.encoders import get_encoder
from vbbench.types import MetricSpec, PromptItem, Video
from vbbench.video import load_image_prompt

if TYPE_CHECKING:
    import numpy as np
    from torch import Tensor

    from vbbench.metrics.encoders import FrameEncoder


@dataclass(frozen=True)
class Measurement:
    """A metric's value for one video, with what it was pooled from (frames, or pairs of them) where that makes sense."""

    value: float
    per_frame: tuple[float, ...] | None = None


class EmbeddedClip:
    """One decoded video and what it was made from; embeddings are computed when first asked for, once an encoder.

    T frames, D embedding, R reference pictures.
    """

    def __init__(self, video: Video, item: PromptItem, *, scale: str = "mini", device: str = "cpu") -> None:
        self.video = video
        self.item = item
        self.scale = scale
        self.device = device
        self._kept: dict[tuple[str, str], Tensor] = {}

    @property
    def frames(self) -> np.ndarray:
        """(T, H, W, 3) uint8 RGB."""
        return self.video.frames

    def encoder(self, name: str) -> FrameEncoder:
        """The encoder of that name at this clip's scale; loaded once a process."""
        return get_encoder(name, self.scale, self.device)

    def frame_embeddings(self, encoder: str) -> Tensor:
        """(T, D) float32 on the CPU, not normalised."""
        return self._once(("frames", encoder), lambda: self.encoder(encoder).embed_frames(self.frames))

    def reference_embeddings(self, encoder: str) -> Tensor:
        """(R, D) of the subject's reference pictures: the item's image prompt."""
        return self._once(("references", encoder), lambda: self.encoder(encoder).embed_frames(self._references()))

    def text_embedding(self, encoder: str) -> Tensor:
        """(D,) of the item's text prompt."""
        return self._once(("text", encoder), lambda: self.encoder(encoder).embed_text([self.item.text])[0])

    def _references(self) -> np.ndarray:
        image_HWC, _ = load_image_prompt(self.item.image, min(self.frames.shape[1:3]))
        return image_HWC[None]

    def _once(self, key: tuple[str, str], compute) -> Tensor:  # noqa: ANN001
        if key not in self._kept:
            self._kept[key] = compute()
        return self._kept[key]


class Metric(Protocol):
    """A named number a video gets. `spec` says everything needed to compare it with another video's."""

    spec: MetricSpec

    def __init__(self, scale: str) -> None: ...

    def score(self, clip: EmbeddedClip) -> Measurement:
        """The number.

        Raises:
            VBBenchError, ValueError: why this video has none, in a sentence.
        """
        ...
