"""Damages do what they say, by as much as they say."""

from __future__ import annotations

import numpy as np
import pytest

from vbbench.data import world
from vbbench.metrics import METRICS
from vbbench.metrics.validation import cases
from vbbench.metrics.validation import damage as damages
from vbbench.metrics.validation.cases import Case
from vbbench.metrics.validation.claims import CLAIMS, FALL, FREE, STAY, TRUTHS, expected
from vbbench.metrics.validation.damage import ATTRIBUTES, DAMAGES

SEED = 5
BY_FRAMES = ("swapped", "class", "scene", "motion", "copied")


@pytest.fixture(scope="module")
def case() -> Case:
    return cases.make_case("test", "dog", 1, "beach", "left", 3)


def applied(case: Case, name: str) -> np.ndarray:
    return np.stack([DAMAGES[name].apply(case, level, SEED)[0] for level in DAMAGES[name].levels])


def changed_frames(case: Case, frames: np.ndarray) -> list[bool]:
    return [bool((a != b).any()) for a, b in zip(frames, case.frames_THWC, strict=True)]


@pytest.mark.parametrize("name", DAMAGES)
def test_every_damage_leaves_shape_and_type_and_is_the_same_at_every_call(
    case: Case, name: str
) -> None:
    levels = DAMAGES[name].levels
    assert len(levels) >= 6
    assert levels[0] == 0
    assert list(levels) == sorted(set(levels))
    one, two = applied(case, name), applied(case, name)
    assert one.dtype == np.uint8
    assert one.shape == (len(levels), *case.frames_THWC.shape)
    np.testing.assert_array_equal(one, two)
    np.testing.assert_array_equal(one[0], case.frames_THWC)
    assert (
        (one[1:] != case.frames_THWC).any(axis=(1, 2, 3, 4)).all()
    )  # nothing above 0 is no damage


def test_the_clip_is_what_its_script_draws(case: Case) -> None:
    np.testing.assert_array_equal(cases.draw(cases.script_of(case)), case.frames_THWC)
    np.testing.assert_array_equal(
        case.frames_THWC, world.render_clip(case.person, "beach", "left", 3)[0]
    )


@pytest.mark.parametrize("class_name", world.CLASSES)
def test_the_other_individual_differs_in_everything_it_can(class_name: str) -> None:
    person = world.individual("test", class_name, 0)
    other = cases.unlike(person)
    for mine, theirs in zip(cases.colour_names(person), cases.colour_names(other), strict=True):
        assert mine != theirs
    assert (other.marking != person.marking) == (
        class_name != "tiger"
    )  # tigers have stripes, all of them


@pytest.mark.parametrize("name", BY_FRAMES)
def test_so_many_frames_are_damaged_the_last_ones(case: Case, name: str) -> None:
    for level, frames in zip(DAMAGES[name].levels, applied(case, name), strict=True):
        late = 8 - int(level)
        assert not any(changed_frames(case, frames)[:late])
        if name != "motion":  # some poses of two motions are the same
            assert all(changed_frames(case, frames)[late:])


def test_what_the_damaged_frames_show(case: Case) -> None:
    np.testing.assert_array_equal(
        applied(case, "swapped")[-1], world.render_clip(case.other, "beach", "left", 3)[0]
    )
    np.testing.assert_array_equal(applied(case, "copied")[-1], np.stack([case.prompt_HWC] * 8))
    for name, words, own in (("scene", world.SCENES, "beach"), ("motion", world.MOTIONS, "left")):
        asked = {"scene": "beach", "motion": "left"}
        clips = [
            world.render_clip(case.person, **{**asked, name: word}, seed=3)[0]
            for word in words
            if word != own
        ]
        assert sum((applied(case, name)[-1] == clip).all() for clip in clips) == 1
    _, people = DAMAGES["class"].apply(case, 8, SEED)
    assert world.CLASSES[people.class_index[0]] != "dog"
    np.testing.assert_array_equal(people.colours[0], world.batch_of([case.person]).colours[0])


def test_attributes_come_from_the_other_one_by_one(case: Case) -> None:
    mine, theirs = world.batch_of([case.person]), world.batch_of([case.other])
    before: set[int] = set()
    for level in DAMAGES["attributes"].levels:
        _, people = DAMAGES["attributes"].apply(case, level, SEED)
        taken = {
            place
            for place in range(3)
            if (people.colours[0, place] == theirs.colours[0, place]).all()
        }
        taken |= {3} if people.marking[0] == theirs.marking[0] else set()
        taken |= {4} if (people.shape[0, :2] == theirs.shape[0, :2]).all() else set()
        assert len(taken) == level
        assert before <= taken
        before = taken
    assert len(before) == len(ATTRIBUTES)
    np.testing.assert_array_equal(people.shape[0], theirs.shape[0])
    assert mine.colours.tolist() == [
        [list(case.person.base), list(case.person.secondary), list(case.person.marking_colour)]
    ]  # untouched


@pytest.mark.parametrize(
    ("class_name", "index"), [("dog", 1), ("panda", 39), ("bear", 35), ("elephant", 31)]
)
def test_colours_move_by_the_distance_that_is_stated(class_name: str, index: int) -> None:
    case = cases.make_case("test", class_name, index, "snow", "right", 1)
    for level in DAMAGES["colours"].levels:
        _, people = DAMAGES["colours"].apply(case, level, SEED)
        for own, moved in zip(
            world.batch_of([case.person]).colours[0], people.colours[0], strict=True
        ):
            assert damages.colour_distances(own, moved[None])[0] == pytest.approx(level, abs=1.0)


def test_colour_distance_is_the_metrics_own() -> None:
    from vbbench.metrics.functional import colour_difference

    one, others = np.array([200, 40, 40]), np.array([[200, 40, 40], [38, 166, 164], [0, 0, 0]])
    assert damages.colour_distances(one, others) == pytest.approx(
        [colour_difference(one, other) for other in others]
    )


def test_blur_keeps_the_mean_and_takes_the_detail(case: Case) -> None:
    clips = applied(case, "blur").astype(float)
    detail = np.abs(np.diff(clips, axis=3)).mean(axis=(1, 2, 3, 4))
    assert (np.diff(detail) < 0).all()
    assert clips.mean(axis=(1, 2, 3, 4)) == pytest.approx([clips[0].mean()] * len(clips), abs=1.5)
    assert (
        DAMAGES["blur"].apply(case, 2, 0)[0].tolist()
        == DAMAGES["blur"].apply(case, 2, 1)[0].tolist()
    )  # nothing is left to chance


def test_noise_has_the_standard_deviation_that_is_stated(case: Case) -> None:
    grey = Case(**{**vars(case), "frames_THWC": np.full_like(case.frames_THWC, 128)})
    for level in DAMAGES["noise"].levels[1:-1]:  # at the last one some pixels are clipped
        assert DAMAGES["noise"].apply(grey, level, SEED)[0].astype(float).std() == pytest.approx(
            level, rel=0.02
        )


def test_flicker_has_the_standard_deviation_that_is_stated(case: Case) -> None:
    grey = Case(**{**vars(case), "frames_THWC": np.full_like(case.frames_THWC, 80)})
    for level in DAMAGES["flicker"].levels:
        means = DAMAGES["flicker"].apply(grey, level, SEED)[0].astype(float).mean(axis=(1, 2, 3))
        assert means.std() / 80 == pytest.approx(level, abs=0.01)
        assert means.mean() == pytest.approx(80, abs=1)
    for level in DAMAGES["colour-flicker"].levels[:-1]:
        shifts = (
            DAMAGES["colour-flicker"].apply(grey, level, SEED)[0].astype(float).mean(axis=(1, 2))
            - 80
        )
        assert shifts.std(axis=0) == pytest.approx([level] * 3, abs=0.5)


def test_shuffled_moves_so_many_frames_and_loses_none() -> None:
    case = cases.make_case("test", "dog", 1, "beach", "closer", 3)  # no two frames alike
    for level, frames in zip(DAMAGES["shuffled"].levels, applied(case, "shuffled"), strict=True):
        assert sum(changed_frames(case, frames)) == level
        assert {frame.tobytes() for frame in frames} == {
            frame.tobytes() for frame in case.frames_THWC
        }


def test_frozen_steps_stand_still(case: Case) -> None:
    for level, frames in zip(DAMAGES["frozen"].levels, applied(case, "frozen"), strict=True):
        still = [(a == b).all() for a, b in zip(frames[:-1], frames[1:], strict=True)]
        assert sum(still) == level
        assert all(still[7 - int(level) :])


def test_every_metric_claims_known_truths_and_every_damage_harms_known_ones() -> None:
    assert set(CLAIMS) == set(METRICS)
    for claimed in CLAIMS.values():
        assert claimed
        assert claimed <= set(TRUTHS)
    for damage in DAMAGES.values():
        assert damage.harms
        assert damage.harms | damage.unsure <= set(TRUTHS)
        assert not damage.harms & damage.unsure


@pytest.mark.parametrize(
    ("metric", "damage", "ought"),
    [
        ("dino", "attributes", FALL),
        ("dino", "scene", STAY),
        ("dino", "blur", FREE),
        (
            "dino",
            "copied",
            STAY,
        ),  # the image prompt shows the subject: to rise is to reward copying
        ("clip-text", "scene", FALL),
        ("clip-text", "frozen", FALL),  # who stands still does not run
        ("clip-text", "attributes", STAY),
        ("temporal-consistency", "shuffled", FALL),
        ("temporal-consistency", "frozen", STAY),
        ("temporal-consistency", "swapped", FREE),
        ("motion", "frozen", FALL),
        ("motion", "flicker", STAY),
    ],
)
def test_what_a_metric_ought_to_do(metric: str, damage: str, ought: str) -> None:
    assert expected(metric, DAMAGES[damage]) == ought
