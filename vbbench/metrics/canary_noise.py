"""How far an encoder's embeddings move where nothing is wrong, and how far they may move for that reason.

The reference is float32 on the CPU, one thread, one input at a time. Another order of sums (batch, threads, instruction set, device)
and another precision move the embeddings away from it; that is measured where a recording is made. What may be is a multiple of it:

- float32: a large multiple, because only the order of sums is measured, and another machine has orders of its own. Never below
  `FLOOR`: batches, threads and one machine's instruction sets in turn gave up to 1.2e-6, miniature or ViT-L/14, and an embedding that is
  off by 2e-5 of its length moves no cosine by more than that.
- bfloat16, float16: a smaller one, because it is the rounding of weights and activations itself that is measured, and other
  instruction sets repeated it within 15 %.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from vbbench.metrics.canary_probe import Channel, channels_of, distances
from vbbench.metrics.encoders import FrameEncoder
from vbbench.metrics.setting import PRECISIONS
from vbbench.threads import torch_threads

MULTIPLE = {"float32": 8.0, "bfloat16": 3.0, "float16": 3.0}
FLOOR = 2e-5
Reference = Mapping[str, np.ndarray]
"""Name of a channel -> (N, D) float32."""
Load = Callable[[str, str], FrameEncoder]
"""Precision and device to the encoder to be measured."""


@dataclass(frozen=True)
class Way:
    """One way to compute, other than the reference's: the precision is apart. ``threads`` None: as many as the process has."""

    threads: int | None
    batch: int


THOROUGH = tuple(Way(threads, batch) for threads in (1, 2) for batch in (1, 7, 64))
QUICK = (Way(None, 16),)
"""For encoders of real size, whose recording is made while somebody waits."""


@dataclass(frozen=True)
class Noise:
    """The largest distance from the reference, of one channel under one way to compute; None where the precision does not run."""

    channel: str
    precision: str
    device: str
    threads: int
    batch: int
    largest: float | None
    mean: float | None


def reference(channels: Mapping[str, Channel]) -> dict[str, np.ndarray]:
    """The reference's embeddings, of the channels of an encoder in float32 on the CPU."""
    with torch_threads(1):
        return {name: np.concatenate([channel.embed([ready]) for ready in channel.ready]) for name, channel in channels.items()}


def measure(load: Load, device: str, against: Reference, ways: tuple[Way, ...] = THOROUGH) -> list[Noise]:
    """The noise of every precision under every way, on a device."""
    found = []
    for precision in PRECISIONS:
        encoder = load(precision, device)
        channels = channels_of(encoder, encoder.config.resize)
        for way in ways:
            with torch_threads(way.threads) as count:
                for name, channel in channels.items():
                    off = _distances(channel, against[name], way.batch)
                    runs = off is not None and bool(np.isfinite(off).all())
                    numbers = (float(off.max()), float(off.mean())) if runs else (None, None)
                    found.append(Noise(name, precision, device, count, way.batch, *numbers))
    return found


def _distances(channel: Channel, against_ND: np.ndarray, batch: int) -> np.ndarray | None:
    """(N,) of the inputs, repeated until they fill a batch; None where the device cannot compute in this precision."""
    order = np.arange(max(len(channel.ready), batch)) % len(channel.ready)
    starts = range(0, len(order), batch)
    try:
        embedded = np.concatenate([channel.embed([channel.ready[n] for n in order[start : start + batch]]) for start in starts])
    except RuntimeError:  # PyTorch, of an operation that the precision lacks
        return None
    return distances(embedded, against_ND[order])


def allowed(noise: list[Noise]) -> dict[str, dict[str, float | None]]:
    """Channel -> precision -> the largest distance that passes; None where the precision does not run."""
    found: dict[str, dict[str, float | None]] = {}
    for channel in dict.fromkeys(row.channel for row in noise):
        of_channel = found.setdefault(channel, {})
        for precision in PRECISIONS:
            measured = [row.largest for row in noise if (row.channel, row.precision) == (channel, precision)]
            known = [largest for largest in measured if largest is not None]
            of_channel[precision] = max(FLOOR, MULTIPLE[precision] * max(known)) if known else None
    return found
