"""What a metric is: a spec, and a formula over one video's embeddings."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from vbbench import resources
from vbbench.metrics.configs import encoder_config
from vbbench.metrics.encoders import get_encoder
from vbbench.metrics.spec import make_spec
from vbbench.types import MetricSpec, PromptItem, Video
from vbbench.video import load_image_prompt
from vbbench.weights_io import verified_digest

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
        """(R, D) of the subject's reference pictures; the item's image prompt is the one there is."""

        def embed() -> Tensor:
            network = self.encoder(encoder)
            image_HWC, _ = load_image_prompt(self.item.image, network.config.resize)
            return network.embed_frames(image_HWC[None])

        return self._once(("references", encoder), embed)

    def text_embedding(self, encoder: str) -> Tensor:
        """(D,) of the item's text prompt, as it is written (the subject word in it, no placeholder)."""
        return self._once(("text", encoder), lambda: self.encoder(encoder).embed_text([self.item.text])[0])

    def _once(self, key: tuple[str, str], compute: Callable[[], Tensor]) -> Tensor:
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


def encoder_spec(encoder: str, scale: str, *, name: str, frames: str, pooling: str, unit: str, reads_text: bool) -> MetricSpec:
    """The spec of a metric that is a mean of cosines over an encoder's embeddings, higher being better.

    Raises:
        UsageError: no such encoder at the scale.
        WeightsError: its weights are missing or damaged.
    """
    config = encoder_config(encoder, scale)
    digest = verified_digest(resources.weights_path(config.weights, scale))
    return make_spec(
        name=name,
        version="1",
        encoder=f"{scale}/{encoder}: {config.title}",
        encoder_digest=digest,
        preprocessing=config.preprocessing,
        frames=frames,
        pooling=pooling,
        unit=unit,
        higher_is_better=True,
        bounds=(-1.0, 1.0),
        reads_text=reads_text,
    )


def pooled(values: Tensor, value: Tensor) -> Measurement:
    """A measurement from a formula's tensors."""
    return Measurement(float(value), tuple(float(v) for v in values))
