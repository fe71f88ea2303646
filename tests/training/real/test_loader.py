"""Any number of processes and threads gives the same samples in the same places."""

from __future__ import annotations

import threading
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.training.real.made import example
from tests.training.real.test_clips import many
from vbbench.errors import InputError, UsageError
from vbbench.training.real import loader
from vbbench.training.real.clips import ClipSettings, RealData
from vbbench.training.real.loader import LoadedSample, batches

SETTINGS = ClipSettings(num_frames=2, frame_interval=3, size=16, augment=True, text_drop=0.5)
B = 4


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("clips")


@pytest.fixture
def data(folder: Path) -> RealData:
    return RealData(
        [example(folder, f"e{'x' * place}", 12 + place) for place in range(5)], SETTINGS, 3, B
    )


def read(
    data: RealData,
    steps: range = range(3),
    micro: int = 1,
    rank: int = 0,
    size: int = 1,
    workers: int = 0,
    **more: Any,
) -> list:
    return list(
        batches(
            data,
            steps=steps,
            global_batch=B,
            micro_batch=micro,
            rank=rank,
            size=size,
            workers=workers,
            **more,
        )
    )


def same(one: LoadedSample, other: LoadedSample) -> bool:
    arrays = [(one.frames, other.frames), (one.image_prompt, other.image_prompt)]
    rest = [replace(each, frames=None, image_prompt=None) for each in (one, other)]
    return rest[0] == rest[1] and all(np.array_equal(a, b) for a, b in arrays)


def test_samples_are_what_the_data_say(data: RealData) -> None:
    whole = read(data)
    assert [len(step) for step in whole] == [4, 4, 4]
    for step, micro in enumerate(whole):
        for position, (sample,) in enumerate(micro):
            draw = data.draw(step * B + position)
            assert (sample.number, sample.seed, sample.dropped, sample.draw) == (
                step * B + position,
                draw.seed,
                draw.dropped,
                draw,
            )
            assert (sample.text, sample.subject_word) == ("a dog runs over the beach", "dog")
            np.testing.assert_array_equal(sample.frames, data.frames(draw))
            np.testing.assert_array_equal(sample.image_prompt, data.image_prompt(draw))
            assert (sample.clip_key, sample.prompt_key) == (data.clip_key(draw), None)


@pytest.mark.parametrize("workers", [1, 3])
@pytest.mark.parametrize(("size", "micro"), [(1, 1), (1, 4), (2, 1), (2, 2), (4, 1)])
def test_processes_microbatches_and_threads_change_nothing(
    data: RealData, size: int, micro: int, workers: int
) -> None:
    alone = [[sample for part in step for sample in part] for step in read(data)]
    for rank in range(size):
        shared = read(data, micro=micro, rank=rank, size=size, workers=workers)
        for step, expected in zip(shared, alone, strict=True):
            assert {len(part) for part in step} == {micro}
            got = [sample for part in step for sample in part]
            assert len(got) == B // size
            assert all(same(*pair) for pair in zip(got, expected[rank::size], strict=True))


def test_steps_that_are_left_are_the_same_after_an_interruption(data: RealData) -> None:
    for step, expected in zip(
        read(data, steps=range(2, 5), workers=2), read(data, steps=range(5))[2:], strict=True
    ):
        assert all(same(a, b) for [a], [b] in zip(step, expected, strict=True))
    assert read(data, steps=range(5, 5)) == []


def test_frames_whose_latents_are_kept_are_not_read(data: RealData) -> None:
    known = {data.clip_key(data.draw(number)) for number in range(0, 12, 3)}
    for number, [sample] in enumerate(
        part for step in read(data, workers=2, cached=known.__contains__) for part in step
    ):
        assert (sample.frames is None) == (data.clip_key(data.draw(number)) in known)
        assert sample.image_prompt.shape == (16, 16, 3)


def test_unreadable_examples_are_replaced_alike_in_all_processes(folder: Path) -> None:
    examples, told = many(folder, 100, 42), []
    steps = range(50)
    alone = RealData(examples, SETTINGS, 3, B, on_fault=told.append)
    expected = [sample.draw.example for step in read(alone, steps, workers=2) for [sample] in step]
    assert 42 not in expected
    assert len(told) == 1
    for rank in range(2):
        other = RealData(examples, SETTINGS, 3, B)
        got = [
            sample.draw.example
            for step in read(other, steps, rank=rank, size=2)
            for [sample] in step
        ]
        assert got == [
            expected[step * B + position] for step in steps for position in range(rank, B, 2)
        ]


def test_too_many_unreadable_ones_end_it_in_a_sentence(folder: Path) -> None:
    with pytest.raises(InputError, match="examples cannot be read, more than 1%"):
        read(RealData(many(folder, 20, *range(20)), SETTINGS, 3, B), workers=3)


def test_only_so_much_is_read_ahead_and_threads_end(
    data: RealData, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun: list[int] = []
    real = loader.load
    monkeypatch.setattr(
        loader,
        "load",
        lambda data, number, cached: (begun.append(number), real(data, number, cached))[1],
    )
    stream = batches(
        data, steps=range(1000), global_batch=B, micro_batch=1, rank=0, size=1, workers=2
    )
    next(stream)
    assert len(begun) <= 2 * B + loader._AHEAD * 2
    stream.close()
    assert not [
        thread for thread in threading.enumerate() if thread.name.startswith("vbbench-data")
    ]


@pytest.mark.parametrize(
    "wrong",
    [
        {"micro": 3},
        {"size": 3},
        {"size": 2, "micro": 4},
        {"rank": 1},
        {"rank": -1},
        {"workers": -1},
        {"micro": 0},
        {"size": 0},
    ],
)
def test_numbers_that_do_not_fit_are_refused_at_once(data: RealData, wrong: dict[str, int]) -> None:
    values = {
        "micro_batch": wrong.get("micro", 1),
        "rank": wrong.get("rank", 0),
        "size": wrong.get("size", 1),
    }
    with pytest.raises(UsageError, match="cannot be shared"):
        batches(data, steps=range(1), global_batch=B, workers=wrong.get("workers", 0), **values)
    with pytest.raises(UsageError, match="drawn for a global batch of 4, not 8"):
        batches(data, steps=range(1), global_batch=8, micro_batch=1, rank=0, size=1, workers=0)
