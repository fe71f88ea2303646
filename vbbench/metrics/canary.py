"""The canary: fixed frames and texts through each encoder, held against a recording, before any model runs.

Which encoders are checked, and against what; `canary_compare` tells where a drift begins. Embeddings are always computed: no cache
is read.
"""

from __future__ import annotations

from pathlib import Path

from vbbench.errors import IncompleteError, WeightsError
from vbbench.metrics import canary_record
from vbbench.metrics.canary_compare import CanaryResult, compare, drifted, not_measured
from vbbench.metrics.configs import ENCODERS, check_scale, encoder_config
from vbbench.metrics.encoder_weights import encoder_digest, locate
from vbbench.metrics.encoders import get_encoder
from vbbench.metrics.setting import Setting

__all__ = ["CanaryResult", "check_encoders", "record"]


def check_encoders(setting: Setting, device: str) -> list[CanaryResult]:
    """Every encoder of a setting against its recording; one that has none is recorded now, in the user's cache folder.

    Raises:
        UsageError: no such scale, encoder or device.
    """
    return [result for role in ENCODERS[check_scale(setting.scale)] for result in _check(role, setting, device)]


def record(setting: Setting, device: str, folder: Path | None = None) -> list[CanaryResult]:
    """Record every encoder of a setting anew.

    Args:
        folder: where the recordings go, under the encoders' names; None: where this user's checks look first.
    Raises:
        UsageError: no such scale, encoder or device.
    """
    return [result for role in ENCODERS[check_scale(setting.scale)] for result in _check(role, setting, device, anew=True, folder=folder)]


def _check(role: str, setting: Setting, device: str, *, anew: bool = False, folder: Path | None = None) -> list[CanaryResult]:
    config = encoder_config(role, setting)
    try:
        if setting.weights == "trained":
            locate(config, setting.scale)
    except WeightsError as error:
        return [not_measured(config.name, "weights", str(error))]
    try:
        digest = encoder_digest(config, setting)
        encoder = get_encoder(role, setting, device)
    except WeightsError as error:  # they are there, and damaged, exchanged or of another shape
        return [drifted(config.name, "weights", "refused", "same", str(error))]
    try:
        found = None if anew else canary_record.find(config, setting, digest)
        if found is not None:
            return compare(encoder, digest, canary_record.load(found), device, setting.precision)
        path = canary_record.kept_path(config, setting, digest) if folder is None else folder / f"{config.name}.json"
        canary_record.make(path, role, setting, device, digest)
    except IncompleteError as error:
        return [not_measured(config.name, "recording", str(error))]
    return [CanaryResult(True, (config.name, "all", "", "", "recorded now, held from the next time on"), f"recorded in {path}.")]
