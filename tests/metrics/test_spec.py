"""A metric's id follows from everything that makes its numbers comparable."""

from __future__ import annotations

import json
from dataclasses import asdict, replace

import pytest

from vbbench.errors import UsageError
from vbbench.metrics import METRICS, explain, get_metric
from vbbench.metrics.encoders.configs import encoder_config
from vbbench.metrics.encoders.setting import Setting
from vbbench.metrics.spec import (
    ID_LENGTH,
    NAMES,
    differing_fields,
    make_spec,
    spec_from_json,
    spec_id,
)
from vbbench.types import MetricSpec

KNOWN = {
    "name": "clip-image",
    "version": "1",
    "formula": "cos",
    "unit": "cosine",
    "higher_is_better": True,
    "bounds": (-1, 1),
}
SETTING = Setting(num_frames=8, fps=8)


def a_spec(setting: Setting = SETTING, **changed: object) -> MetricSpec:
    return make_spec(
        setting,
        encoder_config("clip", setting),
        "0" * 64,
        **{**KNOWN, "reads_text": False, **changed},
    )


def other_value(value: object) -> object:
    """Something else of the same kind."""
    if isinstance(value, bool):
        return not value
    if isinstance(value, tuple):
        return (value[0] - 1, value[1])
    return value + 1 if isinstance(value, int | float) else f"{value}, changed"


def test_the_id_is_short_hexadecimal_and_repeatable() -> None:
    spec = a_spec()
    assert len(spec.id) == ID_LENGTH
    assert int(spec.id, 16) >= 0
    assert a_spec() == spec


@pytest.mark.parametrize("name", NAMES)
def test_each_field_alone_changes_the_id(name: str) -> None:
    spec = a_spec(
        pairs="all", references="all", reference_mask="none", frame_mask="none", prompt="whole"
    )
    changed = replace(spec, **{name: other_value(getattr(spec, name))})
    assert spec_id(asdict(changed)) != spec.id
    assert list(differing_fields(spec, changed)) == [name]


@pytest.mark.parametrize(
    "change",
    [
        {"precision": "bfloat16"},
        {"num_frames": 16},
        {"num_frames": None},
        {"fps": 12},
        {"fps": None},
        {"storage": "lossy"},
    ],
)
def test_each_choice_of_a_setting_is_another_id_for_every_metric(change: dict[str, object]) -> None:
    before, after = (
        Setting(num_frames=8, fps=8, weights="random"),
        Setting(**{"num_frames": 8, "fps": 8, "weights": "random", **change}),
    )
    for name in METRICS:
        one, two = get_metric(name, before).spec, get_metric(name, after).spec
        assert list(differing_fields(one, two)) == [
            field for field in change if not (field == "precision" and one.encoder is None)
        ]
        assert (one.id == two.id) == (not differing_fields(one, two))


def test_random_weights_say_so_in_the_spec() -> None:
    assert "random" in get_metric("dino", Setting(weights="random")).spec.encoder_digest


def test_a_whole_number_is_the_same_however_it_is_written() -> None:
    assert a_spec(Setting(num_frames=8, fps=8.0)).id == a_spec(Setting(num_frames=8, fps=8)).id


def test_a_spec_survives_json() -> None:
    assert spec_from_json(json.loads(json.dumps(asdict(a_spec())))) == a_spec()


def test_a_spec_that_was_tampered_with_is_refused() -> None:
    record = asdict(a_spec())
    with pytest.raises(ValueError, match="does not follow"):
        spec_from_json({**record, "crop": "none"})
    with pytest.raises(ValueError, match="lacks unit"):
        spec_from_json({key: value for key, value in record.items() if key != "unit"})
    with pytest.raises(ValueError, match="unknown pooling"):
        spec_from_json({**record, "pooling": "max"})


@pytest.mark.parametrize(
    "wrong", [{"precision": "int8"}, {"storage": "tape"}, {"weights": "guessed"}]
)
def test_wrong_settings_are_told(wrong: dict[str, str]) -> None:
    with pytest.raises(UsageError, match=next(iter(wrong.values()))):
        Setting(**wrong)
    with pytest.raises(UsageError, match="two encoders were named for clip"):
        Setting(variants=(("clip", "a"), ("clip", "b")))


@pytest.mark.parametrize("name", METRICS)
def test_the_protocol_in_words_holds_every_field(name: str) -> None:
    spec = get_metric(name, Setting(num_frames=8, fps=8, weights="random")).spec
    told = " ".join(explain.explain(spec).split())
    for field in NAMES:
        value = getattr(spec, field)
        if isinstance(value, str) and value not in ("lossless", "none"):
            assert " ".join(value.split()) in told, field
    for words in (
        spec.id,
        "8 frames at 8 frames a second",
        "stored without loss",
        "higher is better" if spec.sign else "neither more nor less is better",
        f"{spec.bounds[1]:g}",
    ):
        assert words in told
    assert ("The text prompt is not read" in told) != spec.reads_text
    assert max(map(len, explain.explain(spec).splitlines())) <= explain.WIDTH


@pytest.mark.parametrize(
    ("name", "title"),
    [
        ("clip-text", "CLIP-Text"), ("clip-image-masked", "CLIP-Image, masked"), ("dino", "DINO"), ("dino-masked", "DINO, masked"),
        ("dino-consistency-first", "DINO consistency first"),
        ("temporal-consistency", "Temporal consistency"), ("true-identity", "True identity"),
    ],
)  # fmt: skip
def test_titles_keep_their_capitals(name: str, title: str) -> None:
    assert explain.title(name) == title
