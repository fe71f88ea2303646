"""Where prompts, baselines and weights lie, in a checkout and in an installed wheel alike."""

from __future__ import annotations

import os
from pathlib import Path

from vbbench.errors import UsageError, WeightsError

WEIGHTS_VARIABLE = "VBBENCH_WEIGHTS"
CACHE_VARIABLE = "VBBENCH_CACHE"
OFFLINE_VARIABLES = ("VBBENCH_OFFLINE", "HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE")
PACKAGE = Path(__file__).resolve().parent.parent
"""Folder of vbbench's own sources."""
_SEED = "-seed"


def data_root() -> Path:
    """Folder that holds ``prompts/`` and ``baselines/``: inside the package in a wheel, the
    repository in a checkout."""
    bundled = PACKAGE / "_data"
    return bundled if bundled.is_dir() else PACKAGE.parent


def prompts_dir() -> Path:
    """Folder of the bundled suites, one sub-folder each."""
    return data_root() / "prompts"


def baselines_dir() -> Path:
    """Folder of the bundled recipes, one sub-folder each."""
    return data_root() / "baselines"


def weights_dir(scale: str = "mini") -> Path:
    """Folder of a scale's weights; the environment variable VBBENCH_WEIGHTS replaces the folder
    above it."""
    return Path(os.environ.get(WEIGHTS_VARIABLE) or PACKAGE / "weights") / scale


def weights_path(name: str, scale: str = "mini") -> Path:
    """File of the named weights, ``<weights_dir>/<name>.safetensors``.

    Raises:
        WeightsError: there is no such file; the message names it and what to do.
    """
    path = weights_dir(scale) / f"{name}.safetensors"
    if not path.is_file():
        if scale == "mini":
            trained, _, seed = name.partition(_SEED)
            remedy = f"`vbbench train {trained} --scale mini{f' --seed {seed}' if seed else ''}` makes it, if training knows that name"
        else:
            remedy = (
                f"put it there or set {WEIGHTS_VARIABLE} to the folder that holds {scale}/; `vbbench weights list --scale {scale}` says "
                "where it comes from"
            )
        raise WeightsError(f"the weights {name!r} of scale {scale} are not at {path}: {remedy}.")
    return path


def seeded_name(name: str, training_seed: int) -> str:
    """Name of the weights that a training with another seed made; those of seed 0 are the shipped
    ones."""
    return f"{name}{_SEED}{training_seed}" if training_seed else name


def cache_dir() -> Path:
    """Folder of what vbbench keeps for its user: VBBENCH_CACHE, else ``vbbench`` in XDG_CACHE_HOME
    or in ``~/.cache``. Not made here."""
    if chosen := os.environ.get(CACHE_VARIABLE):
        return Path(chosen)
    try:
        return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "vbbench"
    except RuntimeError:  # a container's user without an entry and without HOME
        raise UsageError(
            f"there is no home folder to keep a cache in: set {CACHE_VARIABLE} to a folder that can be written to."
        ) from None
