"""The metric spec: everything that makes two numbers of a metric comparable, and an id derived from all of it."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, fields

from vbbench.types import MetricSpec

ID_LENGTH = 12


def make_spec(
    *,
    name: str,
    version: str,
    encoder: str | None,
    encoder_digest: str | None,
    preprocessing: str,
    frames: str,
    pooling: str,
    unit: str,
    higher_is_better: bool,
    bounds: tuple[float, float],
    reads_text: bool,
) -> MetricSpec:
    """A spec with its id.

    Args:
        name, version: of the metric; the version goes up with every change of its formula.
        encoder: name and configuration of the network behind the numbers, None where there is none.
        encoder_digest: SHA-256 of its weights file.
        preprocessing: what happens to a frame before the encoder.
        frames: which frames or pairs are read.
        pooling: how they become one number; also what is not done (factor 100, clamping).
        unit, higher_is_better, bounds: how to read the number.
        reads_text: whether the text prompt is part of it.
    """
    known = {
        "name": name,
        "version": version,
        "encoder": encoder,
        "encoder_digest": encoder_digest,
        "preprocessing": preprocessing,
        "frames": frames,
        "pooling": pooling,
        "unit": unit,
        "higher_is_better": higher_is_better,
        "bounds": (float(bounds[0]), float(bounds[1])),
        "reads_text": reads_text,
    }
    return MetricSpec(**known, id=spec_id(known))


def spec_id(known: dict[str, object]) -> str:
    """First `ID_LENGTH` hex digits of the SHA-256 over all fields but the id, as canonical JSON."""
    text = json.dumps({key: value for key, value in known.items() if key != "id"}, sort_keys=True, ensure_ascii=False)
    return hashlib.sha256(text.encode()).hexdigest()[:ID_LENGTH]


def spec_from_json(record: dict[str, object]) -> MetricSpec:
    """The spec a run's manifest holds.

    Raises:
        ValueError: a field is missing or unknown, or the id does not follow from the fields.
    """
    names = {field.name for field in fields(MetricSpec)}
    if set(record) != names:
        raise ValueError(f"a metric spec has the fields {sorted(names)}, this one has {sorted(record)}")
    spec = MetricSpec(**{**record, "bounds": tuple(record["bounds"])})  # type: ignore[arg-type, call-overload]
    if spec_id(asdict(spec)) != spec.id:
        raise ValueError(f"the id {spec.id} of metric {spec.name} does not follow from its fields")
    return spec
