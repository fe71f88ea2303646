"""The canary: fixed frames and texts through each encoder, held against a recording, before any
model runs.

Which encoders are checked, and against what; `canary_compare` tells where a drift begins.
Embeddings are always computed: no cache is read.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from vbbench.errors import IncompleteError, WeightsError, one_line
from vbbench.metrics.encoder_check import record as canary_record
from vbbench.metrics.encoder_check.probe import (
    Channel,
    channels_of,
    distances,
    normalised_levels,
    tensors_digest,
)
from vbbench.metrics.encoder_check.record import Recording, surroundings
from vbbench.metrics.encoders.configs import ENCODERS, check_scale, encoder_config
from vbbench.metrics.encoders.encoders import FrameEncoder, get_encoder
from vbbench.metrics.encoders.setting import Setting
from vbbench.metrics.encoders.weights import encoder_digest, locate

# An encoder held against its recording, stage by stage: a drift is told where it begins.
#
# It begins in the weights, in the inputs themselves, in resize and crop, in the scaling of pixels,
# in the tokens, or, all those being
# equal, in the network and in the libraries and the machine that compute it.

PREPARED = {"frames": "pixels", "texts": "tokens"}
"""What inputs are when the network gets them."""
SCALED_ALLOWED = 1e-5
"""Of a pixel's scaled value, which lies in about -2..3: forty times float32's resolution, and a
thousandth of a byte's step."""


@dataclass(frozen=True)
class CanaryResult:
    """One thing that was compared.

    Attributes:
        passed: it is as recorded, or was recorded just now.
        row: encoder, what, difference, allowed, verdict; as a table shows them.
        sentence: the same in words, with what to look at; empty where nothing is wrong.
        measured: False where nothing could be compared, which never passes.
    """

    passed: bool
    row: tuple[str, ...]
    sentence: str = ""
    measured: bool = True


def drifted(encoder: str, what: str, difference: str, allowed: str, why: str) -> CanaryResult:
    """It is not as recorded."""
    return CanaryResult(
        False, (encoder, what, difference, allowed, "drifted"), f"{encoder}, {what}: {why}"
    )


def not_measured(encoder: str, what: str, why: str) -> CanaryResult:
    """Nothing could be compared."""
    return CanaryResult(
        False,
        (encoder, what, "", "", f"not measured: {why}"),
        f"{encoder}, {what}: {why}",
        measured=False,
    )


def compare(
    encoder: FrameEncoder, digest: str, recording: Recording, device: str, precision: str
) -> list[CanaryResult]:
    """One result a stage, in the order in which a drift travels.

    Args:
        digest: of the encoder's weights, as `vbbench.metrics.encoders.weights.encoder_digest` says
            it.
        device, precision: what it computes with.
    """
    held = _Held(encoder, recording, precision, _changes(recording, device))
    channels = channels_of(encoder, recording.facts["side"])
    results = [held.file(digest), held.memory(), held.inputs(channels)]
    if not results[-1].passed:  # what comes of other inputs cannot be compared
        return results
    for kind, channel in channels.items():
        off, alike = held.distances(kind, channel), held.alike(kind, channel)
        stages = [held.prepared(kind, off, alike), *([held.scaling()] if kind == "frames" else [])]
        before = [result.row[1] for result in (*results[:2], *stages) if not result.passed]
        results += [*stages, held.embeddings(kind, off, alike, before)]
    return results


@dataclass(frozen=True)
class _Held:
    """An encoder and what it is held against; a method a stage."""

    encoder: FrameEncoder
    recording: Recording
    precision: str
    changes: str
    """Since the recording, in libraries and device; in words."""

    def file(self, digest: str) -> CanaryResult:
        recorded = self.recording.facts["weights"]
        why = (
            f"the file's SHA-256 starts with {digest[:12]}, the recorded one's with {recorded[:12]}; bring that back, or accept this one "
            "by `vbbench metrics --check --record`."
        )
        return self._exact("weights", digest == recorded, f"{digest[:12]} for {recorded[:12]}", why)

    def memory(self) -> CanaryResult:
        """Every single number, which embeddings may hide: a bias of attention's keys cancels out
        whatever it is."""
        digest, recorded = (
            tensors_digest(self.encoder),
            self.recording.facts["tensors"][self.precision],
        )
        why = f"the network's weights are not the recorded ones; look at their file, or else at how it is read ({self.changes})."
        return self._exact(
            "in memory", digest == recorded, f"{digest[:12]} for {recorded[:12]}", why
        )

    def inputs(self, channels: Mapping[str, Channel]) -> CanaryResult:
        given = [
            pair
            for channel in channels.values()
            for pair in zip(channel.names, channel.inputs, strict=True)
        ]
        recorded = [
            (row["name"], row["input"])
            for kind in channels
            for row in self.recording.facts["channels"][kind]
        ]
        changed = f"{sum(pair not in recorded for pair in given)} of {len(given)}"
        why = f"{changed} of the fixed frames and texts are not the recorded ones; look at what makes them, and at NumPy ({self.changes})."
        return self._exact("inputs", given == recorded, changed, why)

    def prepared(self, kind: str, off_N: np.ndarray | str, alike_N: np.ndarray) -> CanaryResult:
        """What frames and texts are when the network gets them."""
        changed = f"{int((~alike_N).sum())} of {len(alike_N)}"
        known = np.array([]) if isinstance(off_N, str) else off_N[~alike_N & np.isfinite(off_N)]
        moved = f", which moves their embeddings by up to {known.max():.1e}" if known.size else ""
        look = "the tokenizer, its words and its library"
        if kind == "frames":
            now, then = self.encoder.config.preprocessing, self.recording.facts["preprocessing"]
            asked = (
                "what is asked for is as recorded"
                if now == then
                else f"asked for is {now!r}, recorded was {then!r}"
            )
            look = f"resize, crop and Pillow; {asked}"
        why = f"{changed} {kind} become other {PREPARED[kind]}{moved}; look at {look} ({self.changes})."
        return self._exact(PREPARED[kind], bool(alike_N.all()), changed, why)

    def scaling(self) -> CanaryResult:
        """Of pixels; a step of a byte is about 0.015."""
        off = float(np.abs(normalised_levels(self.encoder) - self.recording.levels).max())
        why = f"pixels are scaled otherwise than recorded, by up to {off:.1e} (allowed: {SCALED_ALLOWED:.1e}); look at mean and std."
        return self._near("scaling", off, SCALED_ALLOWED, why)

    def embeddings(
        self, kind: str, off_N: np.ndarray | str, alike_N: np.ndarray, before: list[str]
    ) -> CanaryResult:
        """Of the inputs that reached the network as recorded; of all where none did."""
        name, allowed = (
            self.encoder.config.name,
            self.recording.facts["allowed"][kind][self.precision],
        )
        if isinstance(off_N, str):
            return not_measured(
                name, kind, f"they cannot be computed in {self.precision}: {off_N}."
            )
        if allowed is None:
            return not_measured(
                name,
                kind,
                f"{self.precision} did not run where {self.recording.path} was made: its noise is not known.",
            )
        off = float(off_N[alike_N].max() if alike_N.any() else off_N.max())
        why = f"embeddings are off by up to {off:.1e} of their length (allowed in {self.precision}: {allowed:.1e}), "
        if before:
            why += f"as may be, see {' and '.join(before)}."
        else:
            why += f"though weights and {PREPARED[kind]} are as recorded; look at network, libraries and device ({self.changes})."
        return self._near(kind, off, allowed, why)

    def distances(self, kind: str, channel: Channel) -> np.ndarray | str:
        """(N,) of all inputs in one batch; why there are none where the device cannot compute
        them."""
        try:
            return distances(channel.embedded(), self.recording.embeddings[kind])
        except (
            RuntimeError,
            AssertionError,
            ValueError,
        ) as error:  # a lack of memory or of an operation; frames of another size
            return one_line(error)

    def alike(self, kind: str, channel: Channel) -> np.ndarray:
        """(N,) bool: inputs that reach the network as recorded."""
        recorded = self.recording.facts["channels"][kind]
        return np.array(
            [now == row["prepared"] for now, row in zip(channel.prepared, recorded, strict=True)]
        )

    def _exact(self, what: str, same: bool, difference: str, why: str) -> CanaryResult:
        name = self.encoder.config.name
        return (
            CanaryResult(True, (name, what, "none", "none", "same"))
            if same
            else drifted(name, what, difference, "none", why)
        )

    def _near(self, what: str, off: float, allowed: float, why: str) -> CanaryResult:
        name, numbers = self.encoder.config.name, (f"{off:.1e}", f"{allowed:.1e}")
        if off <= allowed:
            return CanaryResult(True, (name, what, *numbers, "within noise"))
        return drifted(name, what, *numbers, why)


def _changes(recording: Recording, device: str) -> str:
    then, now = recording.facts["where"], surroundings(device)
    others = [
        f"{what} {now[what]} for {then.get(what)}" for what in now if now[what] != then.get(what)
    ]
    return (
        f"since {recording.facts['when']}: {', '.join(others)}"
        if others
        else "libraries and device are the recorded ones"
    )


__all__ = ["CanaryResult", "check_encoders", "record"]


def check_encoders(setting: Setting, device: str) -> list[CanaryResult]:
    """Every encoder of a setting against its recording; one that has none is recorded now, in the
    user's cache folder.

    Raises:
        UsageError: no such scale, encoder or device.
    """
    return [
        result
        for role in ENCODERS[check_scale(setting.scale)]
        for result in _check(role, setting, device)
    ]


def record(setting: Setting, device: str, folder: Path | None = None) -> list[CanaryResult]:
    """Record every encoder of a setting anew.

    Args:
        folder: where the recordings go, under the encoders' names; None: where this user's checks
            look first.
    Raises:
        UsageError: no such scale, encoder or device.
    """
    return [
        result
        for role in ENCODERS[check_scale(setting.scale)]
        for result in _check(role, setting, device, anew=True, folder=folder)
    ]


def _check(
    role: str, setting: Setting, device: str, *, anew: bool = False, folder: Path | None = None
) -> list[CanaryResult]:
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
        path = (
            canary_record.kept_path(config, setting, digest)
            if folder is None
            else folder / f"{config.name}.json"
        )
        canary_record.make(path, role, setting, device, digest)
    except IncompleteError as error:
        return [not_measured(config.name, "recording", str(error))]
    return [
        CanaryResult(
            True,
            (config.name, "all", "", "", "recorded now, held from the next time on"),
            f"recorded in {path}.",
        )
    ]
