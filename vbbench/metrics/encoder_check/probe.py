"""What an encoder makes of the canary's inputs, stage by stage, so that a drift can be told where
it begins.

Shape suffixes: N inputs, B batch, H/W pixels, S segments, D embedding, C channels.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from vbbench.core.digests import sha256_of
from vbbench.data.world import VOCABULARY
from vbbench.errors import InputError
from vbbench.metrics.encoders.configs import EncoderConfig
from vbbench.metrics.encoders.encoders import ClipEncoder, FrameEncoder, SegmentEncoder
from vbbench.metrics.encoders.pictures import normalise

# The canary's fixed frames and texts.
#
# Frames are whole-number arithmetic alone: a generator's stream may change with its library, and
# the last bit of a sine with the
# machine. Shape suffixes: H/W pixels.

ENGLISH = (
    "a photo of a dog",
    "a dog",
    "A DOG running on the beach, at sunset!",
    "Two children aren't watching the cat: it's asleep on grandma's red sofa.",
    "a red cube left of a blue sphere",
    "a blue cube left of a red sphere",
    "An extreme close-up (f/1.8, 85mm) of a bumblebee's wing -- iridescent, 4K & 60 fps.",
    "naïve café, 東京 at night; Zürich's tram no. 7 ... 100% rainy?",
    "a slow pan over snowy mountains towards a small wooden house with smoke rising from its chimney while a horse and a young tiger walk "
    "side by side along the frozen river, the camera following them closely until the sun sets behind the last hill",
)
MINIATURE = (
    "a dog",
    "A DOG, running right on the beach!",
    "a photo of an elephant standing still in the snow",
    "a red car with blue stripes driving left on the road",
    "a blue car with red stripes driving left on the road",
    "a red and yellow and green patch",
)
_WORDS_A_TEXT = 18


def texts_for(config: EncoderConfig) -> tuple[str, ...]:
    """General English for the real encoders; for the miniature its own sentences and, in pieces,
    every word it knows. None for an encoder that reads no text."""
    if config.kind != "clip":
        return ()
    if "open_clip" in config.arch:
        return ENGLISH
    pieces = (
        VOCABULARY[start : start + _WORDS_A_TEXT]
        for start in range(0, len(VOCABULARY), _WORDS_A_TEXT)
    )
    return (*MINIATURE, *map(" ".join, pieces))


def frames_for(side: int) -> dict[str, np.ndarray]:
    """Name -> uint8 (H, W, 3): each pattern at an odd size, that resize, antialiasing and crop
    change, and as a square of the encoder's own ``side``, that no resize touches."""
    sizes = ((97, 131), (131, 97), (64, 65), (41, 300), (288, 512), (512, 288), (45, 41))
    drawn = [
        *zip(_PATTERNS, sizes, strict=True),
        *((pattern, (side, side)) for pattern in _PATTERNS),
    ]
    return {
        f"{pattern} {height} x {width}": _PATTERNS[pattern](height, width)
        for pattern, (height, width) in drawn
    }


def digest_of(what: np.ndarray | str) -> str:
    """SHA-256 of an array's type, shape and numbers, or of a text."""
    if isinstance(what, str):
        return sha256_of(what)
    digest = hashlib.sha256(f"{what.dtype.str} {what.shape}".encode())
    digest.update(np.ascontiguousarray(what).tobytes())
    return digest.hexdigest()


def _grid(height: int, width: int) -> tuple[np.ndarray, np.ndarray]:
    """Row and column of each pixel, int64, to be broadcast."""
    return np.arange(height, dtype=np.int64)[:, None], np.arange(width, dtype=np.int64)[None, :]


def _rgb(*channels: np.ndarray) -> np.ndarray:
    return np.stack(np.broadcast_arrays(*channels), axis=-1).astype(np.uint8)


def _gradient(height: int, width: int) -> np.ndarray:
    """Each channel rises another way."""
    y, x = _grid(height, width)
    return _rgb(
        255 * x // (width - 1), 255 * y // (height - 1), 255 * (y + x) // (height + width - 2)
    )


def _checker(height: int, width: int) -> np.ndarray:
    """Squares of 5 pixels, two colours far apart."""
    y, x = _grid(height, width)
    odd = (y // 5 + x // 5) % 2
    return _rgb(230 - 200 * odd, 40 + 60 * odd, 30 + 190 * odd)


def _stripes(height: int, width: int) -> np.ndarray:
    """Upright, level and slanted, of 1, 3 and 7 pixels, a channel each: the finest are gone where a
    filter widens."""
    y, x = _grid(height, width)
    return _rgb(255 * (x % 2), 255 * (y // 3 % 2), 255 * ((y + x) // 7 % 2))


def _discs(height: int, width: int) -> np.ndarray:
    """Hard-edged discs that grow to the right and downwards, on grey."""
    y, x = _grid(height, width)
    cell = max(8, min(height, width) // 3)
    row, column = y // cell, x // cell
    apart = (2 * (y % cell) - cell) ** 2 + (2 * (x % cell) - cell) ** 2
    inside = apart < (cell * (3 + (row + column) % 3) // 6) ** 2
    colours = (
        (70 * row + 20) % 256,
        (90 * column + 60) % 256,
        (50 * (row + 2 * column) + 100) % 256,
    )
    return _rgb(*(np.where(inside, colour, 128) for colour in colours))


def _blocks(height: int, width: int) -> np.ndarray:
    """Flat colours, 7 x 5 of them, the corners of the colour cube among them."""
    y, x = _grid(height, width)
    number = 7 * (5 * y // height) + 7 * x // width
    return _rgb(number * 85 % 256, number // 3 * 127 % 256, number * 51 % 256)


def _noise(height: int, width: int) -> np.ndarray:
    """Fine noise: a 32-bit integer hash of each pixel's place."""
    y, x = _grid(height, width)
    return _rgb(*(_hashed(3 * (y * width + x) + channel) >> 24 for channel in range(3)))


def _figure(height: int, width: int) -> np.ndarray:
    """Something like a picture: ground, sky, and a two-coloured body with legs."""
    y, x = _grid(height, width)
    y, x = 60 * y // height, 60 * x // width
    sky, body, belly = (
        y < 35,
        ((x - 28) ** 2 * 4 + (y - 30) ** 2 * 9 < 1600),
        ((x - 28) ** 2 * 4 + (y - 36) ** 2 * 16 < 900),
    )
    legs = (y > 34) & (y < 50) & ((x - 16) % 8 < 3) & (x > 15) & (x < 42)
    layers = ((body | legs, (200, 120, 40)), (belly, (240, 225, 190)))
    picture = np.where(
        sky[..., None], np.array((150, 190, 235)), np.array((90, 150, 70)) - 2 * (y[..., None] % 3)
    )
    for mask, colour in layers:
        picture = np.where(mask[..., None], np.array(colour), picture)
    return np.broadcast_to(picture, (height, width, 3)).astype(np.uint8)


def _hashed(numbers: np.ndarray) -> np.ndarray:
    """Each number's hash, 0 .. 2 ** 32 - 1; multiply, shift, exclusive or, in 64 bits that never
    overflow."""
    hashed = (numbers + 1) * 0x9E3779B1 & 0xFFFFFFFF
    for shift, factor in ((16, 0x2C1B3C6D), (12, 0x297A2D39)):
        hashed = (hashed ^ hashed >> shift) * factor & 0xFFFFFFFF
    return hashed ^ hashed >> 15


_PATTERNS: dict[str, Callable[[int, int], np.ndarray]] = {
    "gradient": _gradient,
    "checker": _checker,
    "stripes": _stripes,
    "discs": _discs,
    "blocks": _blocks,
    "noise": _noise,
    "figure": _figure,
}


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
        prepared: SHA-256 of what they become: a frame resized and cropped, a text's tokens; or why
            a text is refused.
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
        side: to which the encoder's frames are resized; or were, where it is held against a
            recording.
    """
    frames = frames_for(side)
    crops = tuple(encoder.prepared(frame[None])[0] for frame in frames.values())
    digests = tuple(map(digest_of, frames.values()))
    found = {
        "frames": Channel(
            tuple(frames),
            digests,
            tuple(map(digest_of, crops)),
            crops,
            lambda crops: embed_crops(encoder, crops),
        )
    }
    if isinstance(encoder, ClipEncoder):
        texts = texts_for(encoder.config)
        tokens = tuple(_tokens(encoder, text) for text in texts)
        ready = tuple(
            None if token == why else text for text, (token, why) in zip(texts, tokens, strict=True)
        )
        found["texts"] = Channel(
            texts,
            tuple(map(digest_of, texts)),
            tuple(token for token, _ in tokens),
            ready,
            lambda texts: encoder.embed_text(texts).numpy(),
        )
    return found


def _tokens(encoder: ClipEncoder, text: str) -> tuple[str, str | None]:
    """Digest of the text's tokens; twice the reason where it is refused."""
    try:
        return digest_of(np.array(encoder.tokenizer(text), dtype="<i8")), None
    except InputError as error:
        return str(error), str(error)


def embed_crops(encoder: FrameEncoder, crops: Sequence[np.ndarray]) -> np.ndarray:
    """(B, D) float32: embeddings; of the segmenter its logits, averaged over cells, because shares
    of segments only move in jumps."""
    pixels_BHWC = np.stack(crops)
    if not isinstance(encoder, SegmentEncoder):
        return encoder.embed_pictures(pixels_BHWC).numpy()
    caught: list[Tensor] = []

    def catch(_module: nn.Module, _given: Any, logits_BSHW: Tensor) -> None:
        caught.append(
            nn.functional.adaptive_avg_pool2d(logits_BSHW.float(), _LOGITS_SIDE).flatten(1).cpu()
        )

    handle = encoder.network.register_forward_hook(catch)
    try:
        encoder.embed_pictures(pixels_BHWC)
    finally:
        handle.remove()
    return torch.cat(caught).numpy()


def tensors_digest(encoder: FrameEncoder) -> str:
    """SHA-256 of the network's weights as they lie in memory, in its precision, by name: the file's
    digest does not say that they were read and filled in as they were once."""
    state = encoder.network.state_dict()  # type: ignore[attr-defined]
    digest = hashlib.sha256()
    for name in sorted(name for name, tensor in state.items() if tensor.is_floating_point()):
        tensor = state[name].detach().cpu().contiguous()
        digest.update(f"{name} {tuple(tensor.shape)}".encode())
        digest.update(tensor.reshape(-1).view(torch.uint8).numpy())
    return digest.hexdigest()


def normalised_levels(encoder: FrameEncoder) -> np.ndarray:
    """(256, C) float32: what each value of each channel becomes. Scaling treats every pixel alike,
    so this is all of it."""
    ramp_BHWC = (
        torch.arange(LEVELS, dtype=torch.uint8).reshape(1, LEVELS, 1, 1).expand(1, LEVELS, 1, 3)
    )
    return normalise(ramp_BHWC.contiguous(), encoder.config)[0, :, :, 0].T.contiguous().numpy()


def distances(embedded_ND: np.ndarray, recorded_ND: np.ndarray) -> np.ndarray:
    """(N,) float64: length of the difference over the length of the recorded; infinite where either
    is not finite or of another size."""
    if embedded_ND.shape != recorded_ND.shape:
        return np.full(len(recorded_ND), np.inf)
    recorded = recorded_ND.astype(np.float64)
    with np.errstate(invalid="ignore", over="ignore", divide="ignore"):
        found = np.linalg.norm(embedded_ND - recorded, axis=1) / np.linalg.norm(recorded, axis=1)
    return np.where(np.isfinite(found), found, np.inf)
