"""What an encoder makes of the canary's inputs, stage by stage, so that a drift can be told where it begins.

Shape suffixes: N inputs, B batch, H/W pixels, S segments, D embedding, C channels.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from vbbench.errors import InputError
from vbbench.metrics.canary_inputs import digest_of, frames_for, texts_for
from vbbench.metrics.encoder_pictures import normalise
from vbbench.metrics.encoders import ClipEncoder, FrameEncoder, SegmentEncoder

LEVELS = 256
_LOGITS_SIDE = 8
Embed = Callable[[Sequence[Any]], np.ndarray]
"""Prepared inputs, in one batch, to (B, D) float32."""


@dataclass(frozen=True)
class Channel:
    """One kind of input, frames or texts, up to where the network takes over.

    Attributes:
        names: of the inputs.
        inputs: their SHA-256.
        prepared: SHA-256 of what they become: a frame resized and cropped, a text's tokens; or why a text is refused.
        ready: the prepared inputs that `embed` takes; None where one was refused.
        embed: the rest of the encoder.
    """

    names: tuple[str, ...]
    inputs: tuple[str, ...]
    prepared: tuple[str, ...]
    ready: tuple[Any, ...]
    embed: Embed

    @property
    def refused(self) -> list[str]:
        """Why, of each input that the encoder does not take."""
        return [why for why, ready in zip(self.prepared, self.ready, strict=True) if ready is None]

    def embedded(self) -> np.ndarray:
        """(N, D) float32, all in one batch; NaN in the rows of refused inputs."""
        taken = [n for n, ready in enumerate(self.ready) if ready is not None]
        if not taken:
            return np.full((len(self.names), 1), np.nan, np.float32)
        found = self.embed([self.ready[n] for n in taken])
        embedded = np.full((len(self.names), found.shape[1]), np.nan, np.float32)
        embedded[taken] = found
        return embedded


def channels_of(encoder: FrameEncoder, side: int) -> dict[str, Channel]:
    """``frames`` of every encoder, and ``texts`` of one that reads any.

    Args:
        side: to which the encoder's frames are resized; or were, where it is held against a recording.
    """
    frames = frames_for(side)
    crops = tuple(encoder.prepared(frame[None])[0] for frame in frames.values())
    digests = tuple(map(digest_of, frames.values()))
    found = {"frames": Channel(tuple(frames), digests, tuple(map(digest_of, crops)), crops, lambda crops: embed_crops(encoder, crops))}
    if isinstance(encoder, ClipEncoder):
        texts = texts_for(encoder.config)
        tokens = tuple(_tokens(encoder, text) for text in texts)
        ready = tuple(None if token == why else text for text, (token, why) in zip(texts, tokens, strict=True))
        found["texts"] = Channel(
            texts, tuple(map(digest_of, texts)), tuple(token for token, _ in tokens), ready, lambda texts: encoder.embed_text(texts).numpy()
        )
    return found


def _tokens(encoder: ClipEncoder, text: str) -> tuple[str, str | None]:
    """Digest of the text's tokens; twice the reason where it is refused."""
    try:
        return digest_of(np.array(encoder.tokenizer(text), dtype="<i8")), None
    except InputError as error:
        return str(error), str(error)


def embed_crops(encoder: FrameEncoder, crops: Sequence[np.ndarray]) -> np.ndarray:
    """(B, D) float32: embeddings; of the segmenter its logits, averaged over cells, because shares of segments only move in jumps."""
    pixels_BHWC = np.stack(crops)
    if not isinstance(encoder, SegmentEncoder):
        return encoder.embed_pictures(pixels_BHWC).numpy()
    caught: list[Tensor] = []

    def catch(_module: nn.Module, _given: Any, logits_BSHW: Tensor) -> None:
        caught.append(nn.functional.adaptive_avg_pool2d(logits_BSHW.float(), _LOGITS_SIDE).flatten(1).cpu())

    handle = encoder.network.register_forward_hook(catch)
    try:
        encoder.embed_pictures(pixels_BHWC)
    finally:
        handle.remove()
    return torch.cat(caught).numpy()


def tensors_digest(encoder: FrameEncoder) -> str:
    """SHA-256 of the network's weights as they lie in memory, in its precision, by name: the file's digest does not say that they were
    read and filled in as they were once."""
    state = encoder.network.state_dict()  # type: ignore[attr-defined]
    digest = sha256()
    for name in sorted(name for name, tensor in state.items() if tensor.is_floating_point()):
        tensor = state[name].detach().cpu().contiguous()
        digest.update(f"{name} {tuple(tensor.shape)}".encode())
        digest.update(tensor.reshape(-1).view(torch.uint8).numpy())
    return digest.hexdigest()


def normalised_levels(encoder: FrameEncoder) -> np.ndarray:
    """(256, C) float32: what each value of each channel becomes. Scaling treats every pixel alike, so this is all of it."""
    ramp_BHWC = torch.arange(LEVELS, dtype=torch.uint8).reshape(1, LEVELS, 1, 1).expand(1, LEVELS, 1, 3)
    return normalise(ramp_BHWC.contiguous(), encoder.config)[0, :, :, 0].T.contiguous().numpy()


def distances(embedded_ND: np.ndarray, recorded_ND: np.ndarray) -> np.ndarray:
    """(N,) float64: length of the difference over the length of the recorded; infinite where either is not finite or of another size."""
    if embedded_ND.shape != recorded_ND.shape:
        return np.full(len(recorded_ND), np.inf)
    recorded = recorded_ND.astype(np.float64)
    with np.errstate(invalid="ignore", over="ignore", divide="ignore"):
        found = np.linalg.norm(embedded_ND - recorded, axis=1) / np.linalg.norm(recorded, axis=1)
    return np.where(np.isfinite(found), found, np.inf)
