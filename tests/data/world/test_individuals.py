"""Who lives in the miniature world: splits that share nobody, attributes that differ, names that
are checked."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from vbbench.data.world import (
    CLASSES,
    COLOURS,
    MARKINGS,
    PALETTE,
    SPLITS,
    Individual,
    batch_of,
    individual,
    individuals,
    split_size,
)
from vbbench.data.world.individuals import NUM_SHAPE_PARAMETERS
from vbbench.data.world.names import CLASS_MARKINGS
from vbbench.errors import InputError


def everybody(split: str, class_name: str) -> list[Individual]:
    return [individual(split, class_name, index) for index in range(split_size(split, class_name))]


def look(person: Individual) -> tuple[str, str, str, str]:
    """What an individual is told apart by, as the palette names it."""
    return person.base_name, person.secondary_name, person.marking_name, person.marking


@pytest.mark.parametrize("class_name", CLASSES)
def test_no_look_is_in_two_splits_or_twice_in_one(class_name: str) -> None:
    looks = {split: [look(person) for person in everybody(split, class_name)] for split in SPLITS}
    for split, found in looks.items():
        assert len(found) == split_size(split, class_name) > 0
        assert len(set(found)) == len(found), split
    for one, other in itertools.combinations(SPLITS, 2):
        assert not set(looks[one]) & set(looks[other])


@pytest.mark.parametrize("class_name", CLASSES)
def test_attributes_are_the_worlds_and_differ_within_an_individual(class_name: str) -> None:
    for person in everybody("test", class_name):
        assert len({person.base_name, person.secondary_name, person.marking_name}) == 3
        assert {person.base_name, person.secondary_name, person.marking_name} <= set(COLOURS)
        assert person.marking in CLASS_MARKINGS[class_name]
        for name, colour in zip(
            look(person)[:3], (person.base, person.secondary, person.marking_colour), strict=True
        ):
            np.testing.assert_allclose(colour, PALETTE[name], rtol=0.06, atol=7)
        assert len(person.shape) == NUM_SHAPE_PARAMETERS
        assert max(map(abs, person.shape)) <= 1


def test_each_split_has_a_share_of_every_attribute() -> None:
    for split in SPLITS:
        people = [person for name in CLASSES for person in everybody(split, name)]
        for column, words in enumerate((COLOURS, COLOURS, COLOURS, MARKINGS)):
            assert {look(person)[column] for person in people} == set(words)


def test_train_holds_four_fifths() -> None:
    for name in CLASSES:
        sizes = [split_size(split, name) for split in SPLITS]
        np.testing.assert_allclose(np.array(sizes) / sum(sizes), (0.8, 0.1, 0.1), atol=0.002)


def test_individuals_are_the_same_in_any_order() -> None:
    names = [("test", "horse", 3), ("train", "cat", 700), ("val", "tiger", 0)]
    forward = [individual(*name) for name in names]
    individual.cache_clear()
    assert [individual(*name) for name in reversed(names)] == forward[::-1]


def test_batches_hold_what_the_records_say() -> None:
    people = [
        individual("val", "lion", 2),
        individual("val", "bear", 0),
        individual("val", "lion", 1),
    ]
    batch = individuals("val", np.array([6, 0, 6]), np.array([2, 0, 1]))
    assert [CLASSES[i] for i in batch.class_index] == ["lion", "bear", "lion"]
    np.testing.assert_array_equal(
        batch.colours, [[p.base, p.secondary, p.marking_colour] for p in people]
    )
    assert [MARKINGS[i] for i in batch.marking] == [p.marking for p in people]
    np.testing.assert_allclose(batch.shape, [p.shape for p in people], rtol=1e-6)
    again = batch.take(np.array([2, 2]))
    np.testing.assert_array_equal(again.colours, batch_of([people[2], people[2]]).colours)
    assert len(again) == 2


@pytest.mark.parametrize(
    ("name", "words"),
    [
        (("testing", "dog", 0), ("'testing'", "train, val, test")),
        (("test", "wolf", 0), ("'wolf'", "bear, car")),
        (("test", "tiger", 113), ("0 to 112", "not 113")),
        (("test", "tiger", -1), ("not -1",)),
    ],
)
def test_wrong_names_are_told(name: tuple[str, str, int], words: tuple[str, ...]) -> None:
    with pytest.raises(InputError) as caught:
        individual(*name)
    for word in words:
        assert word in str(caught.value)
