"""The metric spec: everything that makes two numbers of a metric comparable, and an id derived from
all of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, fields, replace
from typing import TYPE_CHECKING, Any

from vbbench.core.digests import json_digest
from vbbench.metrics.meaning import BESIDE, check_meaning, meaning_of
from vbbench.types import MetricSpec

if TYPE_CHECKING:
    from vbbench.metrics.encoders.configs import EncoderConfig
    from vbbench.metrics.encoders.setting import Setting

ID_LENGTH = 12
DECODER = "PyAV (FFmpeg) to rgb24, chroma bicubic, transparency on white, turned upright, every frame in order; pictures by Pillow"
AVERAGING = (
    "mean over the frames (or pairs) of a video, then over a model's videos, each counting the same"
)
FAILURES = "a video without a number is listed with its reason and counted beside the mean, never replaced or dropped in silence"
WHOLE_PROMPT = "the text as it is written, the subject word in it, no placeholder"
NAMES = tuple(field.name for field in fields(MetricSpec) if field.name not in ("id", *BESIDE))
"""What the id covers."""


def make_spec(
    setting: Setting, config: EncoderConfig | None = None, digest: str | None = None, **known: Any
) -> MetricSpec:
    """A spec with its id.

    Args:
        setting: what all metrics of one scoring share.
        config: the encoder behind the numbers; None where there is none.
        digest: of its weights.
        known: further fields of `MetricSpec`; ``name``, ``version``, ``formula``, ``unit``,
            ``higher_is_better``, ``bounds`` and ``reads_text`` have no default. ``kind``,
            ``title`` and ``direction`` default to what `meaning_of` says.
    Raises:
        TypeError: a field is unknown, or one without a default is missing.
        ValueError: a kind or direction that does not exist, or a direction that contradicts
            ``higher_is_better``.
    """
    beside = {name: known.pop(name) for name in BESIDE if name in known}
    values: dict[str, Any] = {
        **_encoder_fields(setting, config, digest),
        "decoder": DECODER,
        "storage": setting.storage,
        "num_frames": setting.num_frames,
        "fps": setting.fps,
        "frames": "all",
        "averaging": AVERAGING,
        **dict.fromkeys(("pairs", "references", "reference_mask", "frame_mask", "prompt")),
        "factor": 1.0,
        "clamp": "none",
        "failures": FAILURES,
        **known,
    }
    values["bounds"] = tuple(map(float, values["bounds"]))
    return with_meaning(MetricSpec(**values, id=spec_id(values)), beside)


def with_meaning(spec: MetricSpec, beside: Mapping[str, str]) -> MetricSpec:
    """The same spec with other words beside it.

    Args:
        beside: ``kind``, ``title`` and ``direction``, or some of them; the others are as
            `meaning_of` says.
    Raises:
        ValueError: as `check_meaning`.
    """
    usual = meaning_of(spec)
    words = {name: beside.get(name, getattr(usual, name)) for name in BESIDE}
    check_meaning(words, spec)
    return replace(spec, **words)


def _encoder_fields(
    setting: Setting, config: EncoderConfig | None, digest: str | None
) -> dict[str, Any]:
    names = (
        "encoder",
        "patch_size",
        "encoder_digest",
        "precision",
        "resize",
        "interpolation",
        "crop",
        "normalisation",
    )
    if config is None:
        return dict.fromkeys(names)
    mean, std = (" ".join(map(str, channel)) for channel in (config.mean, config.std))
    return {
        "encoder": f"{setting.scale}/{config.name}: {config.title}",
        "patch_size": config.patch_size,
        "encoder_digest": digest,
        "precision": setting.precision,
        "resize": f"short side to {config.resize} pixels",
        "interpolation": config.interpolation,
        "crop": f"centre {config.crop} x {config.crop}",
        "normalisation": f"pixels / 255, mean {mean}, standard deviation {std}",
    }


def spec_id(known: dict[str, Any]) -> str:
    """First `ID_LENGTH` hex digits of the SHA-256 over the fields in `NAMES`, as canonical JSON."""
    left_out = ("id", *BESIDE)
    content = {key: _canonical(value) for key, value in known.items() if key not in left_out}
    return json_digest(content)[:ID_LENGTH]


def _canonical(value: Any) -> Any:
    """8 and 8.0 are one number."""
    if isinstance(value, tuple | list):
        return [_canonical(inner) for inner in value]
    return float(value) if isinstance(value, int) and not isinstance(value, bool) else value


def spec_from_json(record: dict[str, Any]) -> MetricSpec:
    """The spec a run's manifest holds; one of before kinds were written down gets the usual ones.

    Raises:
        ValueError: a field is missing or unknown, or the id does not follow from the fields.
    """
    beside = {name: record[name] for name in BESIDE if name in record}
    record = {key: value for key, value in record.items() if key not in BESIDE}
    lacks, strange = sorted({*NAMES, "id"} - set(record)), sorted(set(record) - {*NAMES, "id"})
    if lacks or strange:
        wrong = [f"lacks {', '.join(lacks)}"] * bool(lacks) + [
            f"has the unknown {', '.join(strange)}"
        ] * bool(strange)
        raise ValueError(f"the spec of metric {record.get('name')!r} {' and '.join(wrong)}")
    spec = MetricSpec(**{**record, "bounds": tuple(record["bounds"])})
    if spec_id(asdict(spec)) != spec.id:
        raise ValueError(f"the id {spec.id} of metric {spec.name} does not follow from its fields")
    return with_meaning(spec, beside)


def under_one_setting(a: Mapping[str, Any], b: Mapping[str, Any]) -> bool:
    """Whether two specs, as records, say the same of the videos and of the encoders' precision."""
    same_videos = all(a.get(name) == b.get(name) for name in ("num_frames", "fps", "storage"))
    return same_videos and (
        None in (a.get("precision"), b.get("precision")) or a["precision"] == b["precision"]
    )


def is_untrained(record: Mapping[str, Any]) -> bool:
    """Whether a spec, as a record, is of an encoder with random weights."""
    return str(record.get("encoder_digest") or "").startswith("random")


def differing_fields(a: MetricSpec, b: MetricSpec) -> dict[str, tuple[Any, Any]]:
    """Name of each field that the id covers and in which two specs differ -> its two values."""
    pairs = {name: (getattr(a, name), getattr(b, name)) for name in NAMES}
    return {name: (one, other) for name, (one, other) in pairs.items() if one != other}
