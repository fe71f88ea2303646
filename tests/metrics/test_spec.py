"""A metric's id follows from everything that makes its numbers comparable."""

from __future__ import annotations

import json
from dataclasses import asdict, fields

import pytest

from vbbench.metrics.spec import ID_LENGTH, make_spec, spec_from_json
from vbbench.types import MetricSpec

FIELDS = {
    "name": "clip-image",
    "version": "1",
    "encoder": "clip",
    "encoder_digest": "0" * 64,
    "preprocessing": "resize 64",
    "frames": "all",
    "pooling": "mean",
    "unit": "cosine",
    "higher_is_better": True,
    "bounds": (-1.0, 1.0),
    "reads_text": False,
}
OTHER = {"encoder": None, "encoder_digest": None, "higher_is_better": False, "bounds": (0.0, 1.0), "reads_text": True}


def test_the_id_is_short_hexadecimal_and_repeatable() -> None:
    spec = make_spec(**FIELDS)
    assert len(spec.id) == ID_LENGTH
    assert int(spec.id, 16) >= 0
    assert make_spec(**FIELDS).id == spec.id


@pytest.mark.parametrize("name", [field.name for field in fields(MetricSpec) if field.name != "id"])
def test_each_field_alone_changes_the_id(name: str) -> None:
    changed = {**FIELDS, name: OTHER.get(name, f"{FIELDS[name]}, changed")}
    assert make_spec(**changed).id != make_spec(**FIELDS).id


def test_a_spec_survives_json() -> None:
    spec = make_spec(**FIELDS)
    assert spec_from_json(json.loads(json.dumps(asdict(spec)))) == spec


def test_a_spec_that_was_tampered_with_is_refused() -> None:
    record = asdict(make_spec(**FIELDS))
    with pytest.raises(ValueError, match="does not follow"):
        spec_from_json({**record, "pooling": "max"})
    with pytest.raises(ValueError, match="fields"):
        spec_from_json({key: value for key, value in record.items() if key != "unit"})
