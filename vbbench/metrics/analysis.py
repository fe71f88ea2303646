"""What is computed from the frames of a video once, for all metrics that read it.

Shape suffixes: T frames, H/W pixels, D embedding, K kinds of marking.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from vbbench.core.plugins import FOLDER_PACKAGE
from vbbench.data import world
from vbbench.media.video import resize_frames
from vbbench.metrics import functional
from vbbench.metrics.cache import key_of
from vbbench.metrics.encoders.configs import encoder_config
from vbbench.metrics.encoders.encoders import FrameEncoder, SegmentEncoder, get_encoder
from vbbench.metrics.encoders.segmenter import BASE, DETAIL, FIRST_MARKING, SECONDARY
from vbbench.metrics.encoders.setting import Setting
from vbbench.metrics.encoders.weights import encoder_digest
from vbbench.types import Video

BATCH_SIZE = {"cpu": 16, "cuda": 64}
"""Frames that an encoder sees at once, of whatever videos. More than 16 no longer fit a CPU's cache
and take longer."""
LARGEST_SIDE = 128
"""Motion: frames are shrunk to this short side first. The flow's cost grows with the pixels, its
mean hardly changes."""
SMALLEST_REGION = 6
"""Pixels below which a region counts as not found."""
REGIONS = ("base", "secondary", "marking")


class Encoders:
    """The encoders of one setting on one device, each loaded when first asked for.

    Args:
        batch_size: frames that an encoder sees at once; `BATCH_SIZE` by default.
    """

    def __init__(
        self, setting: Setting, device: str = "cpu", batch_size: int | None = None
    ) -> None:
        self.setting, self.device = setting, device
        self.batch_size = batch_size or BATCH_SIZE[device.partition(":")[0]]
        self.memory: dict[tuple[str, str], np.ndarray] = {}
        """Embeddings of pictures and texts, by content and key."""
        self._keys: dict[str, str] = {}
        self._analysis_keys: dict[Analysis, str] = {}
        self._segmented: tuple[np.ndarray, np.ndarray] | None = None

    def get(self, role: str) -> FrameEncoder:
        """The encoder of a role; raises WeightsError where its weights are not to be had."""
        return get_encoder(role, self.setting, self.device)

    def key(self, role: str, **what: object) -> str:
        """Digest of an encoder's configuration, weights, precision and device, and of anything else
        that is named."""
        if role not in self._keys:
            config = encoder_config(role, self.setting)
            weights = encoder_digest(config, self.setting)
            self._keys[role] = key_of(
                config=repr(config),
                weights=weights,
                precision=self.setting.precision,
                device=self.device,
            )
        return key_of(encoder=self._keys[role], **what)

    def key_of(self, analysis: Analysis) -> str:
        """The analysis' own key, made once."""
        if analysis not in self._analysis_keys:
            key, module = analysis.key(self), type(analysis).__module__
            # the module of a metric's folder is named by its digest: other code, other key
            own = module.startswith(FOLDER_PACKAGE)
            self._analysis_keys[analysis] = key_of(key=key, module=module) if own else key
        return self._analysis_keys[analysis]

    def embed(self, role: str, crops: Sequence[np.ndarray]) -> list[np.ndarray]:
        """Prepared frames of several videos, uint8 (T, crop, crop, 3) each, to embeddings (T, D)
        each; batches run across the videos."""
        encoder = self.get(role)
        together = np.concatenate(list(crops))
        batches = [
            encoder.embed_pictures(together[start : start + self.batch_size]).numpy()
            for start in range(0, len(together), self.batch_size)
        ]
        return np.split(np.concatenate(batches), np.cumsum([len(part) for part in crops])[:-1])

    def segments(self, frames_THWC: np.ndarray) -> np.ndarray:
        """(T, crop, crop) uint8, the segmenter's answer; that of the last frames is remembered, as
        two analyses ask in turn."""
        if self._segmented is None or self._segmented[0] is not frames_THWC:
            segmenter = self.get("segmenter")
            assert isinstance(segmenter, SegmentEncoder)
            self._segmented = (frames_THWC, segmenter.segments(frames_THWC))
        return self._segmented[1]


class Analysis(ABC):
    """An array with one row a frame (or pair of frames), made from the frames alone. Two that are
    equal are made once."""

    @abstractmethod
    def key(self, encoders: Encoders) -> str:
        """Digest of everything but the frames that decides the array."""

    @abstractmethod
    def prepare(self, video: Video, encoders: Encoders) -> np.ndarray:
        """What is needed of the decoded frames, which are not kept after it; raises ValueError
        where it can be had of no such video."""

    def finish(self, prepared: Sequence[np.ndarray], encoders: Encoders) -> list[np.ndarray]:
        """The arrays of several videos, from what was prepared of each."""
        return list(prepared)


@dataclass(frozen=True)
class Facts(Analysis):
    """(1, 4) float64: number of frames, height, width, frames a second."""

    def key(self, encoders: Encoders) -> str:
        """Nothing but the decoder decides them."""
        return key_of(what="facts")

    def prepare(self, video: Video, encoders: Encoders) -> np.ndarray:
        """The array itself."""
        return np.array([[*video.frames.shape[:3], video.fps]], dtype=np.float64)


@dataclass(frozen=True)
class FrameEmbeddings(Analysis):
    """(T, D) float32: an encoder's embedding of each frame; ``masked``: of the subject alone, on
    white, as the segmenter finds it."""

    role: str
    masked: bool = False

    def key(self, encoders: Encoders) -> str:
        """The encoder, and the segmenter where it is asked."""
        return encoders.key(
            self.role, what="frames", mask=encoders.key("segmenter") if self.masked else None
        )

    def prepare(self, video: Video, encoders: Encoders) -> np.ndarray:
        """uint8 crops, (T, crop, crop, 3)."""
        crops = encoders.get(self.role).prepared(video.frames)
        return on_white(crops, encoders.segments(video.frames) > 0) if self.masked else crops

    def finish(self, prepared: Sequence[np.ndarray], encoders: Encoders) -> list[np.ndarray]:
        """Embedded in batches that run across the videos."""
        return encoders.embed(self.role, prepared)


@dataclass(frozen=True)
class Flow(Analysis):
    """(T - 1,) float32: `functional.flow_magnitudes` of frames at most `LARGEST_SIDE` high or wide,
    whichever is less."""

    def key(self, encoders: Encoders) -> str:
        """No encoder decides it."""
        return key_of(what="flow")

    def prepare(self, video: Video, encoders: Encoders) -> np.ndarray:
        """The array itself."""
        frames = video.frames
        short = min(frames.shape[1:3])
        if short > LARGEST_SIDE:
            height, width = (round(side * LARGEST_SIDE / short) for side in frames.shape[1:3])
            frames = resize_frames(frames, (height, width))
        return functional.flow_magnitudes(frames, video.fps).numpy()


@dataclass(frozen=True)
class Regions(Analysis):
    """(T, 1 + 9 + K) float64: share of the frame that is subject; median RGB (0..255) of `REGIONS`,
    NaN where one was not found; pixels of each kind of marking, all 0 where none was found."""

    def key(self, encoders: Encoders) -> str:
        """The segmenter."""
        return encoders.key("segmenter", what="regions")

    def prepare(self, video: Video, encoders: Encoders) -> np.ndarray:
        """The array itself."""
        crops = encoders.get("segmenter").prepared(video.frames)
        return np.stack(
            [regions_of(*pair) for pair in zip(crops, encoders.segments(video.frames), strict=True)]
        )


def regions_of(frame_HWC: np.ndarray, segments_HW: np.ndarray) -> np.ndarray:
    """One row of `Regions`, from a frame and its segments."""
    marked_HW = (segments_HW >= FIRST_MARKING) & (segments_HW < DETAIL)
    kinds_K = np.bincount(
        segments_HW[marked_HW].astype(np.int64) - FIRST_MARKING, minlength=len(world.MARKINGS)
    ).astype(np.float64)
    colours = []
    for mask in (segments_HW == BASE, segments_HW == SECONDARY, marked_HW):
        colours.append(
            np.median(frame_HWC[mask], axis=0)
            if mask.sum() >= SMALLEST_REGION
            else np.full(3, np.nan)
        )
    if np.isnan(colours[-1]).any():
        kinds_K[:] = 0
    return np.concatenate([[(segments_HW > 0).mean()], *colours, kinds_K])


def on_white(crops_THWC: np.ndarray, masks_THW: np.ndarray) -> np.ndarray:
    """The frames with everything outside of the masks white. Masks of another size are stretched
    (nearest)."""
    size = crops_THWC.shape[1:3]
    if masks_THW.shape[1:] != size:
        stretched = resize_frames(
            np.repeat(masks_THW[..., None].astype(np.uint8), 3, axis=-1), size, resample="nearest"
        )
        masks_THW = stretched[..., 0] > 0
    return np.where(masks_THW[..., None], crops_THWC, np.uint8(255))
