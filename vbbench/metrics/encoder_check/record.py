"""Recordings of encoders: what they made of the fixed inputs, how much of a difference is noise,
and when and where that was.

A recording is two files: ``<name>.safetensors`` with embeddings, ``<name>.json`` with everything
else, to be read by people. The miniature's ship beside this file; the real encoders' are made at
their first check, in the user's cache folder.
"""

from __future__ import annotations

import json
import platform
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import safetensors.numpy
import torch
from safetensors import SafetensorError

from vbbench.core import paths
from vbbench.core.digests import sha256_of
from vbbench.core.files import write_atomic
from vbbench.core.threads import torch_threads
from vbbench.errors import IncompleteError
from vbbench.metrics.encoder_check.probe import (
    Channel,
    channels_of,
    distances,
    normalised_levels,
    tensors_digest,
)
from vbbench.metrics.encoders.configs import EncoderConfig
from vbbench.metrics.encoders.encoders import FrameEncoder, get_encoder
from vbbench.metrics.encoders.setting import PRECISIONS, Setting

# How far an encoder's embeddings move where nothing is wrong, and how far they may move for that
# reason.
#
# The reference is float32 on the CPU, one thread, one input at a time. Another order of sums
# (batch, threads, instruction set, device)
# and another precision move the embeddings away from it; that is measured where a recording is
# made. What may be is a multiple of it:
#
# - float32: a large multiple, because only the order of sums is measured, and another machine has
# orders of its own. Never below
# `FLOOR`: batches, threads and one machine's instruction sets in turn gave up to 1.2e-6, miniature
# or ViT-L/14, and an embedding that is
#   off by 2e-5 of its length moves no cosine by more than that.
# - bfloat16, float16: a smaller one, because it is the rounding of weights and activations itself
# that is measured, and other
#   instruction sets repeated it within 15 %.

MULTIPLE = {"float32": 8.0, "bfloat16": 3.0, "float16": 3.0}
FLOOR = 2e-5
Reference = Mapping[str, np.ndarray]
"""Name of a channel -> (N, D) float32."""
Load = Callable[[str, str], FrameEncoder]
"""Precision and device to the encoder to be measured."""


@dataclass(frozen=True)
class Way:
    """One way to compute, other than the reference's: the precision is apart. ``threads`` None: as
    many as the process has."""

    threads: int | None
    batch: int


THOROUGH = tuple(Way(threads, batch) for threads in (1, 2) for batch in (1, 7, 64))
QUICK = (Way(None, 16),)
"""For encoders of real size, whose recording is made while somebody waits."""


@dataclass(frozen=True)
class Noise:
    """The largest distance from the reference, of one channel under one way to compute; None where
    the precision does not run."""

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
        return {
            name: np.concatenate([channel.embed([ready]) for ready in channel.ready])
            for name, channel in channels.items()
        }


def measure(
    load: Load, device: str, against: Reference, ways: tuple[Way, ...] = THOROUGH
) -> list[Noise]:
    """The noise of every precision under every way, on a device."""
    found = []
    for precision in PRECISIONS:
        encoder = load(precision, device)
        channels = channels_of(encoder, encoder.config.resize)
        for way in ways:
            with torch_threads(way.threads) as count:
                for name, channel in channels.items():
                    off = _distances(channel, against[name], way.batch)
                    largest, mean = _largest_and_mean(off)
                    found.append(Noise(name, precision, device, count, way.batch, largest, mean))
    return found


def _largest_and_mean(off_N: np.ndarray | None) -> tuple[float | None, float | None]:
    if off_N is None or not np.isfinite(off_N).all():
        return None, None
    return float(off_N.max()), float(off_N.mean())


def _distances(channel: Channel, against_ND: np.ndarray, batch: int) -> np.ndarray | None:
    """(N,) of the inputs, repeated until they fill a batch; None where the device cannot compute in
    this precision."""
    order = np.arange(max(len(channel.ready), batch)) % len(channel.ready)
    starts = range(0, len(order), batch)
    try:
        embedded = np.concatenate(
            [
                channel.embed([channel.ready[n] for n in order[start : start + batch]])
                for start in starts
            ]
        )
    except RuntimeError:  # PyTorch, of an operation that the precision lacks
        return None
    return distances(embedded, against_ND[order])


def allowed(noise: list[Noise]) -> dict[str, dict[str, float | None]]:
    """Channel -> precision -> the largest distance that passes; None where the precision does not
    run."""
    found: dict[str, dict[str, float | None]] = {}
    for channel in dict.fromkeys(row.channel for row in noise):
        of_channel = found.setdefault(channel, {})
        for precision in PRECISIONS:
            measured = [
                row.largest for row in noise if (row.channel, row.precision) == (channel, precision)
            ]
            known = [largest for largest in measured if largest is not None]
            of_channel[precision] = max(FLOOR, MULTIPLE[precision] * max(known)) if known else None
    return found


SHIPPED = Path(__file__).parent / "canaries"
LIBRARIES = ("torch", "open_clip_torch", "timm", "transformers", "pillow", "numpy")
_LEVELS = "levels"
_FACTS = (
    "encoder",
    "weights",
    "tensors",
    "side",
    "preprocessing",
    "when",
    "where",
    "allowed",
    "noise",
    "channels",
    "sha256",
)


@dataclass(frozen=True)
class Recording:
    """One encoder, recorded.

    Attributes:
        path: of its JSON.
        facts: the JSON: ``encoder``, ``weights`` (digest of the file), ``tensors`` (digest in
            memory, by precision), ``side`` (of the square frames), ``preprocessing``, ``when``,
            ``where`` (versions and machine), ``allowed``, ``noise`` and ``channels`` (name, digest
            and prepared digest of each input).
        embeddings: channel -> (N, D) float32, the reference of `canary_noise`.
        levels: (256, 3) float32, what each value of a pixel becomes.
    """

    path: Path
    facts: Mapping[str, Any]
    embeddings: Mapping[str, np.ndarray]
    levels: np.ndarray


def find(config: EncoderConfig, setting: Setting, digest: str) -> Path | None:
    """The recording that an encoder is held against: its user's own, else the shipped one of its
    name; None where there is none.

    The shipped one is the miniature's whatever weights are there: that they are others is what a
    check should tell.
    """
    shipped = SHIPPED / f"{config.name}.json"
    kept = kept_path(config, setting, digest)
    if kept.is_file():
        return kept
    return (
        shipped
        if setting.scale == "mini" and setting.weights == "trained" and shipped.is_file()
        else None
    )


def kept_path(config: EncoderConfig, setting: Setting, digest: str) -> Path:
    """Where a user's recording of an encoder with these weights lies."""
    weights = "random" if setting.weights == "random" else digest[:12]
    return paths.cache_dir() / "canaries" / f"{config.name}-{weights}.json"


def make(path: Path, role: str, setting: Setting, device: str, digest: str) -> Recording:
    """Measure an encoder and write its recording.

    Raises:
        WeightsError: its weights cannot be had.
        IncompleteError: it cannot be written, or the encoder refuses a text.
    """

    def load(precision: str, device: str) -> FrameEncoder:
        return get_encoder(role, replace(setting, precision=precision), device)

    encoder = load("float32", "cpu")
    channels = channels_of(encoder, encoder.config.resize)
    if refused := [why for channel in channels.values() for why in channel.refused]:
        raise IncompleteError(f"it cannot be recorded: {refused[0]}")
    embeddings = reference(channels)
    ways = THOROUGH if setting.scale == "mini" else QUICK
    noise = measure(load, device, embeddings, ways)
    facts = {
        "encoder": f"{setting.scale}/{encoder.config.name}: {encoder.config.title}",
        "weights": digest,
        "tensors": {precision: tensors_digest(load(precision, device)) for precision in PRECISIONS},
        "side": encoder.config.resize,
        "preprocessing": encoder.config.preprocessing,
        "when": datetime.now(UTC).isoformat(timespec="seconds"),
        "where": surroundings(device),
        "allowed": allowed(noise),
        "multiple": MULTIPLE,
        "floor": FLOOR,
        "noise": [asdict(row) for row in noise],
        "channels": {name: _rows(channel) for name, channel in channels.items()},
    }
    recording = Recording(path, facts, embeddings, normalised_levels(encoder))
    _write(recording)
    return recording


def _rows(channel: Channel) -> list[dict[str, str]]:
    columns = zip(channel.names, channel.inputs, channel.prepared, strict=True)
    return [
        {"name": name, "input": given, "prepared": prepared} for name, given, prepared in columns
    ]


def load(path: Path) -> Recording:
    """Read a recording.

    Raises:
        IncompleteError: it is damaged.
    """
    try:
        facts = json.loads(path.read_text(encoding="utf-8"))
        if lacks := [name for name in _FACTS if name not in facts]:
            raise ValueError(f"it lacks {', '.join(lacks)}")
        content = path.with_suffix(".safetensors").read_bytes()
        if sha256_of(content) != facts["sha256"]:
            raise ValueError("the embeddings are not those that belong to it")
        embeddings = safetensors.numpy.load(content)
        levels = embeddings.pop(_LEVELS)
        if not set(embeddings) == set(facts["channels"]) == set(facts["allowed"]):
            raise ValueError("it lists other inputs than it holds")
        return Recording(path, facts, embeddings, levels)
    except (OSError, ValueError, KeyError, TypeError, AttributeError, SafetensorError) as error:
        remedy = "install vbbench again" if path.parent == SHIPPED else "delete it to record anew"
        raise IncompleteError(
            f"the recording {path} is damaged ({_reason(error)}): {remedy}."
        ) from None


def surroundings(device: str) -> dict[str, str]:
    """Versions of the libraries that numbers depend on, and the kind of machine."""
    known = {library: version(library) for library in LIBRARIES}
    cpu = f"{platform.machine()}, {torch.backends.cpu.get_cpu_capability()}"
    return {
        **known,
        "device": torch.cuda.get_device_name()
        if torch.device(device).type == "cuda"
        else f"cpu ({cpu})",
    }


def _write(recording: Recording) -> None:
    arrays = {**recording.embeddings, _LEVELS: recording.levels}
    content = safetensors.numpy.save(
        {name: np.ascontiguousarray(array) for name, array in arrays.items()}
    )
    facts = json.dumps(
        {**recording.facts, "sha256": sha256_of(content)}, indent=1, ensure_ascii=False
    )
    try:
        write_atomic(recording.path.with_suffix(".safetensors"), content)
        write_atomic(recording.path, f"{facts}\n")
    except OSError as error:
        raise IncompleteError(
            f"the recording {recording.path} cannot be written: {error.strerror}; set {paths.CACHE_VARIABLE} to a folder that can."
        ) from None


def _reason(error: Exception) -> str:
    return (
        f"it lacks {error}"
        if isinstance(error, KeyError)
        else (str(error).splitlines() or [type(error).__name__])[0]
    )
