"""Where an encoder's weights come from: a folder, the hub's cache, or the hub; what they are held
against; and how they are read.

Nothing is unpickled that could run code: safetensors, state dicts through ``weights_only``, and
OpenAI's TorchScript archives only once their digest is the published one.
"""

from __future__ import annotations

import json
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import UTC, datetime
from functools import cache
from itertools import starmap
from pathlib import Path
from typing import TYPE_CHECKING

from vbbench.core import hub, paths
from vbbench.core.digests import file_digest
from vbbench.core.files import write_once
from vbbench.core.weights_file import read_card, verified_digest
from vbbench.data.world import VOCABULARY
from vbbench.errors import WeightsError, reason_of
from vbbench.metrics.encoders.configs import EncoderConfig, Source
from vbbench.metrics.encoders.setting import Setting

if TYPE_CHECKING:
    from torch import Tensor

# Digests of published weights that came without one: written down at the first use, and held from
# then on.
#
# One small JSON a file, made whole and then linked to its name, which only the first of several
# processes can do: nobody ever rewrites a
# record, so none is lost. To accept another file, delete its record.


def digest_of(path: Path) -> str:
    """SHA-256 of a file, read once a process as long as the file does not change.

    Raises:
        WeightsError: it cannot be read.
    """
    try:
        status = path.stat()
        return _digest(path, status.st_size, status.st_mtime_ns)
    except OSError as error:
        raise WeightsError(f"the weights {path} cannot be read: {error.strerror}.") from None


@cache
def _digest(path: Path, size: int, changed: int) -> str:
    return file_digest(path)


def record_path(encoder: str, file: str) -> Path:
    """Where the digest of an encoder's file is written down."""
    return paths.cache_dir() / "digests" / f"{encoder}--{file}.json"


def hold(encoder: str, path: Path) -> str:
    """The file's SHA-256, held against the one recorded for this encoder and file name; recorded
    now if there is none.

    Raises:
        WeightsError: another digest was recorded, or records cannot be read or written.
    """
    digest = digest_of(path)
    record = record_path(encoder, path.name)
    recorded = _read(record) or _write(
        record, {"encoder": encoder, "file": path.name, "sha256": digest, "when": _now()}
    )
    if recorded != digest:
        raise WeightsError(
            f"{path} is not the file that {encoder} was first used with: its SHA-256 starts with {digest[:12]}, {record} says "
            f"{recorded[:12]}; bring the old file back, or delete that record to accept the new one."
        )
    return digest


def _read(record: Path) -> str | None:
    try:
        return str(json.loads(record.read_text(encoding="utf-8"))["sha256"])
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise WeightsError(
            f"the digest recorded in {record} cannot be read ({error}): delete it to record it anew."
        ) from None


def _write(record: Path, known: dict[str, str]) -> str:
    """The digest that is on record in the end: ours, or another process's that came first."""
    try:
        was_first = write_once(record, json.dumps(known, indent=2) + "\n")
    except OSError as error:
        raise WeightsError(
            f"the digest of {known['file']} cannot be recorded in {record.parent}: {error.strerror}; "
            f"set {paths.CACHE_VARIABLE} to a folder that can be written to."
        ) from None
    if was_first:
        return known["sha256"]
    return _read(record) or known["sha256"]


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")


RANDOM_DIGEST, ABSENT_DIGEST = "random weights, seed 0", "not at hand"


_download_allowed: ContextVar[bool] = ContextVar("download_allowed", default=True)


@contextmanager
def without_download() -> Iterator[None]:
    """Weights that are not at hand are missing, as long as this lasts."""
    token = _download_allowed.set(False)
    try:
        yield
    finally:
        _download_allowed.reset(token)


def encoder_digest(config: EncoderConfig, setting: Setting) -> str:
    """What the metric spec says of an encoder's weights: the file's SHA-256, once it was held
    against what is known of it.

    Real encoders' weights may be downloaded by this. Random and absent ones are told in words.

    Raises:
        WeightsError: no file, one that was damaged or exchanged, or one that cannot be read.
    """
    if setting.weights == "random":
        return RANDOM_DIGEST
    if setting.weights == "absent":
        return ABSENT_DIGEST
    path = locate(config, setting.scale)
    return (
        _miniature_digest(config, path) if setting.scale == "mini" else _held_digest(config, path)
    )


def _miniature_digest(config: EncoderConfig, path: Path) -> str:
    """The file's SHA-256. Words and architecture stand in its card, which the digest does not
    cover: they must be those of this version.

    Raises:
        WeightsError: as `verified_digest`, or the card says otherwise than the code.
    """
    digest = verified_digest(path)
    known = read_card(path).get("config", {})
    expected = {
        "arch": json.loads(json.dumps(dict(config.arch))),
        **({"words": list(VOCABULARY)} if config.kind == "clip" else {}),
    }
    for what, value in expected.items():
        if known.get(what) != value:
            raise WeightsError(
                f"the card of the weights {path} is damaged or from another version of vbbench: its {what} is another."
            )
    return digest


def locate(config: EncoderConfig, scale: str) -> Path:
    """The file of an encoder's weights: in the folder of the scale's weights, else in the hub's
    cache, else downloaded.

    Raises:
        WeightsError: it is nowhere; one sentence says which file is wanted and where it may lie.
    """
    if scale == "mini":
        return paths.weights_path(config.name, scale)
    folder = paths.weights_dir(scale)
    places = [folder / f"{config.name}.safetensors"]
    places += [
        place / source.file
        for source in config.sources
        for place in _folders_of(source, folder, config.name)
    ]
    on_hub = [(source.repository, source.file) for source in config.sources if source.repository]
    if path := next(filter(Path.is_file, places), None) or next(
        filter(None, starmap(hub.cached_file, on_hub)), None
    ):
        return path
    if not _download_allowed.get():
        raise WeightsError(f"{_wanted(config, folder)}; scoring with them would download them.")
    if refusal := hub.refusal():
        raise WeightsError(f"{_wanted(config, folder)}; {refusal}.")
    try:
        return hub.download_file(*on_hub[0])
    except Exception as error:  # the hub's client raises of everything: its own errors, its HTTP library's, the system's
        raise WeightsError(
            f"{_wanted(config, folder)}; downloading it failed: {reason_of(error)}."
        ) from None


def _folders_of(source: Source, folder: Path, name: str) -> tuple[Path, ...]:
    """Files of the hub have the same name for every model, so they lie in a folder of the encoder's
    name."""
    return (folder / name,) if source.repository else (folder, folder / name)


def _wanted(config: EncoderConfig, folder: Path) -> str:
    first = config.sources[0]
    own = [source.file for source in config.sources if not source.repository]
    names = " or ".join([f"{config.name}.safetensors", *own, f"{config.name}/{first.file}"])
    return (
        f"the weights of {config.name} are not at hand: put {names} into {folder} ({paths.WEIGHTS_VARIABLE} names the folder "
        f"above it), or {first.file} of the hub's {first.repository} into the hub's cache"
    )


def _held_digest(config: EncoderConfig, path: Path) -> str:
    """The file's SHA-256: the published one where there is one, else the one it was first used
    with."""
    published = next(
        (source.sha256 for source in config.sources if source.sha256 and source.file == path.name),
        None,
    )
    if published is None:
        return hold(config.name, path)
    digest = digest_of(path)
    if digest != published:
        raise WeightsError(
            f"{path} is not the published file and was not opened: its SHA-256 starts with {digest[:12]}, "
            f"open_clip's table says {published[:12]}; fetch it again."
        )
    return digest


def load_tensors(config: EncoderConfig, scale: str) -> dict[str, Tensor]:
    """The tensors of a real encoder's weights, as the file has them, once its digest was held.

    Raises:
        WeightsError: as `encoder_digest`, or the file cannot be read.
    """
    path = locate(config, scale)
    _held_digest(config, path)
    archived = any(source.sha256 and source.file == path.name for source in config.sources)
    read = (
        _read_safetensors
        if path.suffix == ".safetensors"
        else _read_archive
        if archived
        else _read_state_dict
    )
    try:
        return read(path)
    except Exception as error:  # three readers, each with errors of its own
        raise WeightsError(f"the weights {path} cannot be read: {reason_of(error)}.") from None


def _read_safetensors(path: Path) -> dict[str, Tensor]:
    from safetensors.torch import load_file

    return load_file(path)


def _read_state_dict(path: Path) -> dict[str, Tensor]:
    import torch

    state = torch.load(path, map_location="cpu", weights_only=True)
    for wrapper in ("state_dict", "model"):
        state = state[wrapper] if isinstance(state.get(wrapper), Mapping) else state
    return dict(state)


def _read_archive(path: Path) -> dict[str, Tensor]:
    """OpenAI's TorchScript archive. It is a program: only a file of the published digest may come
    here."""
    import torch

    with warnings.catch_warnings():
        for kind in (
            DeprecationWarning,
            FutureWarning,
        ):  # TorchScript is deprecated; these archives will not change any more
            warnings.simplefilter("ignore", kind)
        state = torch.jit.load(path, map_location="cpu").state_dict()
    return {
        key: tensor
        for key, tensor in state.items()
        if key not in ("input_resolution", "context_length", "vocab_size")
    }
