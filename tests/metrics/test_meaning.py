"""Kind, title and direction stand beside the spec, and are no part of its id."""

from __future__ import annotations

import json
from dataclasses import asdict

import pytest

from vbbench.metrics import METRICS, get_metric
from vbbench.metrics.encoders.setting import Setting
from vbbench.metrics.meaning import BESIDE, BUNDLED, KINDS, precedence
from vbbench.metrics.spec import make_spec, spec_from_json, with_meaning
from vbbench.types import MetricSpec

SETTING = Setting(num_frames=8, fps=8, weights="random")


def a_spec(name: str = "mine", **known: object) -> MetricSpec:
    usual = {"version": "1", "formula": "f", "unit": "u", "bounds": (0, 1), "reads_text": False}
    return make_spec(SETTING, name=name, **{**usual, "higher_is_better": True, **known})


def test_every_bundled_metric_has_its_meaning() -> None:
    assert set(BUNDLED) == set(METRICS)
    for name, known in BUNDLED.items():
        spec = get_metric(name, SETTING).spec
        assert (spec.kind, spec.title, spec.direction) == (known.kind, known.title, known.direction)
        assert spec.kind in KINDS


def test_motion_has_no_direction() -> None:
    spec = get_metric("motion", SETTING).spec
    assert (spec.kind, spec.direction, spec.sign) == ("motion", "none", 0)


def test_the_id_does_not_follow_from_what_is_said_beside_it() -> None:
    plain = a_spec()
    told = a_spec(kind="judge", title="My judge", direction="none")
    assert (plain.kind, plain.title, plain.direction) == ("quality", "Mine", "higher")
    assert (told.kind, told.title, told.direction) == ("judge", "My judge", "none")
    assert plain.id == told.id
    assert plain == told


def test_it_survives_json_and_older_records_get_the_usual() -> None:
    told = a_spec(kind="subject", title="My own", direction="none")
    record = json.loads(json.dumps(asdict(told)))
    assert asdict(spec_from_json(record)) == {**asdict(told), "bounds": (0.0, 1.0)}
    older = {key: value for key, value in record.items() if key not in BESIDE}
    read = spec_from_json(older)
    assert (read.kind, read.title, read.direction) == ("quality", "Mine", "higher")
    motion = asdict(get_metric("motion", SETTING).spec)
    older = {key: value for key, value in motion.items() if key not in BESIDE}
    assert spec_from_json(older).direction == "none"


@pytest.mark.parametrize(
    ("known", "kind"),
    [
        ({"reads_text": True}, "text"),
        ({"references": "all"}, "subject"),
        ({"pairs": "consecutive"}, "time"),
        ({}, "quality"),
    ],
)
def test_what_a_metric_from_elsewhere_is_about_is_guessed(known: dict, kind: str) -> None:
    assert a_spec(**known).kind == kind


@pytest.mark.parametrize(
    ("beside", "message"),
    [
        ({"kind": "beauty"}, "kind of metric 'mine' must be one of subject"),
        ({"direction": "up"}, "direction of metric 'mine' must be one of higher"),
        ({"direction": "lower"}, "has direction 'lower', but its spec says"),
        ({"title": " "}, "title of metric 'mine' must be a text"),
    ],
)
def test_wrong_words_are_told(beside: dict[str, str], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        with_meaning(a_spec(), beside)
    with pytest.raises(ValueError, match=message):
        spec_from_json({**asdict(a_spec()), **beside})


def test_who_speaks_for_a_kind() -> None:
    names = ["clip-image-masked", "mine", "dino", "true-identity", "clip-image"]
    specs = [a_spec(name, references="all") for name in names]
    assert [spec.name for spec in sorted(specs, key=precedence)] == [
        "true-identity",
        "dino",
        "clip-image",
        "clip-image-masked",
        "mine",
    ]
