"""A video and the item it answers, with whatever was computed from it.

Shape suffixes: T frames, D embedding, R reference pictures.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from functools import cached_property
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from vbbench.core.digests import file_digest, sha256_of
from vbbench.errors import InputError
from vbbench.media.pictures import load_reference
from vbbench.media.video import content_digest, read_video, video_digest
from vbbench.metrics.analysis import Analysis, Encoders, Facts, FrameEmbeddings
from vbbench.metrics.cache import EmbeddingCache
from vbbench.types import PromptItem, Video

FACTS = Facts()


class EmbeddedClip:
    """One video under a set of encoders. It is decoded when something is not in the cache yet, and
    never twice.

    Args:
        source: decoded, or a file.
        item: what the video was made from.
    """

    def __init__(
        self,
        source: Video | Path,
        item: PromptItem,
        encoders: Encoders,
        cache: EmbeddingCache | None = None,
    ) -> None:
        self.item = item
        self._source = source
        self._encoders = encoders
        self._cache = cache or EmbeddingCache(None)
        self._arrays: dict[Analysis, np.ndarray] = {}
        self._failures: dict[Analysis, Exception] = {}
        self._prepared: dict[Analysis, np.ndarray] = {}

    @cached_property
    def content(self) -> str:
        """Digest of the file's bytes, or of a decoded video's pixels and rate; raises InputError
        where there is no file."""
        if isinstance(self._source, Video):
            return sha256_of(f"{video_digest(self._source)} {float(self._source.fps)}")
        return content_digest(self._source)

    @property
    def num_frames(self) -> int:
        """Frames of the video."""
        return int(self.get(FACTS)[0, 0])

    def get(self, analysis: Analysis) -> np.ndarray:
        """What an analysis made of the video.

        Raises:
            VBBenchError, ValueError: why it could make nothing.
        """
        if analysis not in self._arrays and analysis not in self._failures:
            prepare([self], [analysis], self._encoders)
        if analysis in self._failures:
            raise self._failures[analysis]
        return self._arrays[analysis]

    def frame_embeddings(self, role: str, *, masked: bool = False) -> Tensor:
        """(T, D) float32 on the CPU, not normalised."""
        return torch.from_numpy(self.get(FrameEmbeddings(role, masked)))

    def reference_embeddings(self, role: str, *, masked: bool = False) -> Tensor:
        """(R, D) of the image prompt and of the subject's further references; ``masked``: of what
        the suite's masks leave, on white.

        Raises:
            InputError: a picture cannot be read, or the suite has no masks.
        """
        subject = self.item.subject
        if masked and not subject.masks:
            raise InputError(f"the suite has no mask for the subject {subject.id}.")
        pictures = (subject.image, *subject.references)
        masks = subject.masks if masked else (None,) * len(pictures)
        rows = [
            self._picture(role, picture, mask)
            for picture, mask in zip(pictures, masks, strict=True)
        ]
        return torch.from_numpy(np.concatenate(rows))

    def text_embedding(self, role: str) -> Tensor:
        """(D,) of the item's text prompt, as it is written (the subject word in it, no
        placeholder)."""
        content = sha256_of(self.item.text)
        embed = self._encoders.get(role).embed_text
        row = self._kept(
            content, self._encoders.key(role, what="text"), lambda: embed([self.item.text]).numpy()
        )
        return torch.from_numpy(row[0])

    def _picture(self, role: str, picture: Path, mask: Path | None) -> np.ndarray:
        if not picture.is_file():
            raise InputError(f"there is no picture {picture}.")
        content = (
            file_digest(picture) if mask is None else f"{file_digest(picture)}-{file_digest(mask)}"
        )

        def embed() -> np.ndarray:
            encoder = self._encoders.get(role)
            return encoder.embed_pictures(
                encoder.prepared(load_reference(picture, mask)[None])
            ).numpy()

        return self._kept(content, self._encoders.key(role, what="picture"), embed)

    def _kept(self, content: str, key: str, compute: Callable[[], np.ndarray]) -> np.ndarray:
        """Pictures and texts of one item are asked for again with every model's video: remembered
        in the process, and on the disk."""
        memory = self._encoders.memory
        if (content, key) not in memory:
            array = self._cache.get(content, key)
            if array is None:
                array = compute()
                self._cache.put(content, key, array)
            memory[content, key] = array
        return memory[content, key]

    def _recall(self, analysis: Analysis) -> bool:
        """Whether the analysis is there already, or can never be."""
        if analysis in self._arrays or analysis in self._failures:
            return True
        try:
            array = self._cache.get(self.content, self._encoders.key_of(analysis))
        except Exception as error:  # whatever it is, it is this video's, and not its neighbours'
            self._failures[analysis] = error
            return True
        if array is not None:
            self._arrays[analysis] = array
        return array is not None

    def _look(self, analyses: Iterable[Analysis]) -> None:
        """Decode, and take from the frames what the analyses need."""
        try:
            video = self._source if isinstance(self._source, Video) else read_video(self._source)
        except Exception as error:
            self._failures.update(dict.fromkeys(analyses, error))
            return
        for analysis in analyses:
            try:
                self._prepared[analysis] = analysis.prepare(video, self._encoders)
            except Exception as error:
                self._failures[analysis] = error

    def _keep(self, analysis: Analysis, array: np.ndarray) -> None:
        self._arrays[analysis] = array
        self._cache.put(self.content, self._encoders.key_of(analysis), array)


def prepare(
    clips: Sequence[EmbeddedClip], analyses: Sequence[Analysis], encoders: Encoders
) -> None:
    """Compute what is not there yet, of all clips together. What fails is remembered with its clip,
    and raised when it is asked for."""
    for clip in clips:
        wanted = [analysis for analysis in analyses if not clip._recall(analysis)]
        if wanted:
            clip._look(wanted)
    for analysis in analyses:
        pending = [clip for clip in clips if analysis in clip._prepared]
        if pending:
            _finish(analysis, pending, encoders)


def _finish(analysis: Analysis, clips: Sequence[EmbeddedClip], encoders: Encoders) -> None:
    prepared = [clip._prepared.pop(analysis) for clip in clips]
    try:
        arrays = analysis.finish(prepared, encoders)
    except Exception as error:
        if len(clips) == 1:
            clips[0]._failures[analysis] = error
            return
        for clip, own in zip(
            clips, prepared, strict=True
        ):  # one bad clip must not take others with it
            clip._prepared[analysis] = own
            _finish(analysis, [clip], encoders)
        return
    for clip, array in zip(clips, arrays, strict=True):
        clip._keep(analysis, array)
