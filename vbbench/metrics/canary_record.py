"""Recordings of encoders: what they made of the fixed inputs, how much of a difference is noise, and when and where that was.

A recording is two files: ``<name>.safetensors`` with embeddings, ``<name>.json`` with everything else, to be read by people. The
miniature's ship beside this file; the real encoders' are made at their first check, in the user's cache folder.
"""

from __future__ import annotations

import json
import os
import platform
import tempfile
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from hashlib import sha256
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import safetensors.numpy
import torch
from safetensors import SafetensorError

from vbbench import resources
from vbbench.errors import IncompleteError
from vbbench.metrics import canary_noise
from vbbench.metrics.canary_probe import Channel, channels_of, normalised_levels, tensors_digest
from vbbench.metrics.configs import EncoderConfig
from vbbench.metrics.encoders import FrameEncoder, get_encoder
from vbbench.metrics.setting import PRECISIONS, Setting

SHIPPED = Path(__file__).parent / "canaries"
LIBRARIES = ("torch", "open_clip_torch", "timm", "transformers", "pillow", "numpy")
_LEVELS = "levels"
_FACTS = ("encoder", "weights", "tensors", "side", "preprocessing", "when", "where", "allowed", "noise", "channels", "sha256")


@dataclass(frozen=True)
class Recording:
    """One encoder, recorded.

    Attributes:
        path: of its JSON.
        facts: the JSON: ``encoder``, ``weights`` (digest of the file), ``tensors`` (digest in memory, by precision), ``side`` (of the
            square frames), ``preprocessing``, ``when``, ``where`` (versions and machine), ``allowed``, ``noise`` and ``channels`` (name,
            digest and prepared digest of each input).
        embeddings: channel -> (N, D) float32, the reference of `canary_noise`.
        levels: (256, 3) float32, what each value of a pixel becomes.
    """

    path: Path
    facts: Mapping[str, Any]
    embeddings: Mapping[str, np.ndarray]
    levels: np.ndarray


def find(config: EncoderConfig, setting: Setting, digest: str) -> Path | None:
    """The recording that an encoder is held against: its user's own, else the shipped one of its name; None where there is none.

    The shipped one is the miniature's whatever weights are there: that they are others is what a check should tell.
    """
    shipped = SHIPPED / f"{config.name}.json"
    kept = kept_path(config, setting, digest)
    if kept.is_file():
        return kept
    return shipped if setting.scale == "mini" and setting.weights == "trained" and shipped.is_file() else None


def kept_path(config: EncoderConfig, setting: Setting, digest: str) -> Path:
    """Where a user's recording of an encoder with these weights lies."""
    weights = "random" if setting.weights == "random" else digest[:12]
    return resources.cache_dir() / "canaries" / f"{config.name}-{weights}.json"


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
    embeddings = canary_noise.reference(channels)
    ways = canary_noise.THOROUGH if setting.scale == "mini" else canary_noise.QUICK
    noise = canary_noise.measure(load, device, embeddings, ways)
    facts = {
        "encoder": f"{setting.scale}/{encoder.config.name}: {encoder.config.title}",
        "weights": digest,
        "tensors": {precision: tensors_digest(load(precision, device)) for precision in PRECISIONS},
        "side": encoder.config.resize,
        "preprocessing": encoder.config.preprocessing,
        "when": datetime.now(UTC).isoformat(timespec="seconds"),
        "where": surroundings(device),
        "allowed": canary_noise.allowed(noise),
        "multiple": canary_noise.MULTIPLE,
        "floor": canary_noise.FLOOR,
        "noise": [asdict(row) for row in noise],
        "channels": {name: _rows(channel) for name, channel in channels.items()},
    }
    recording = Recording(path, facts, embeddings, normalised_levels(encoder))
    _write(recording)
    return recording


def _rows(channel: Channel) -> list[dict[str, str]]:
    columns = zip(channel.names, channel.inputs, channel.prepared, strict=True)
    return [{"name": name, "input": given, "prepared": prepared} for name, given, prepared in columns]


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
        if sha256(content).hexdigest() != facts["sha256"]:
            raise ValueError("the embeddings are not those that belong to it")
        embeddings = safetensors.numpy.load(content)
        levels = embeddings.pop(_LEVELS)
        if not set(embeddings) == set(facts["channels"]) == set(facts["allowed"]):
            raise ValueError("it lists other inputs than it holds")
        return Recording(path, facts, embeddings, levels)
    except (OSError, ValueError, KeyError, TypeError, AttributeError, SafetensorError) as error:
        remedy = "install vbbench again" if path.parent == SHIPPED else "delete it to record anew"
        raise IncompleteError(f"the recording {path} is damaged ({_reason(error)}): {remedy}.") from None


def surroundings(device: str) -> dict[str, str]:
    """Versions of the libraries that numbers depend on, and the kind of machine."""
    known = {library: version(library) for library in LIBRARIES}
    cpu = f"{platform.machine()}, {torch.backends.cpu.get_cpu_capability()}"
    return {**known, "device": torch.cuda.get_device_name() if torch.device(device).type == "cuda" else f"cpu ({cpu})"}


def _write(recording: Recording) -> None:
    arrays = {**recording.embeddings, _LEVELS: recording.levels}
    content = safetensors.numpy.save({name: np.ascontiguousarray(array) for name, array in arrays.items()})
    facts = json.dumps({**recording.facts, "sha256": sha256(content).hexdigest()}, indent=1, ensure_ascii=False)
    try:
        recording.path.parent.mkdir(parents=True, exist_ok=True)
        _replace(recording.path.with_suffix(".safetensors"), content)
        _replace(recording.path, f"{facts}\n".encode())
    except OSError as error:
        raise IncompleteError(
            f"the recording {recording.path} cannot be written: {error.strerror}; set {resources.CACHE_VARIABLE} to a folder that can."
        ) from None


def _replace(path: Path, content: bytes) -> None:
    """Written beside and renamed, so that a file under its name is whole."""
    handle, partial = tempfile.mkstemp(dir=path.parent, suffix=".tmp")
    with os.fdopen(handle, "wb") as file:
        file.write(content)
    os.chmod(partial, 0o644)  # mkstemp keeps files to their owner
    os.replace(partial, path)


def _reason(error: Exception) -> str:
    return f"it lacks {error}" if isinstance(error, KeyError) else (str(error).splitlines() or [type(error).__name__])[0]
