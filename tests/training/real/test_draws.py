"""Every draw is a function of seed and number, and has the promised distribution."""

from __future__ import annotations

import hashlib

import numpy as np
import pytest

from vbbench.training.real import draws

N = 37


def drawn(seed: int, number: int, examples: int = N) -> draws.Draw:
    return draws.draw(seed, number, examples, text_drop=0.1, augment=True)


def test_each_epoch_has_each_example_once_in_another_order() -> None:
    epochs = [
        [draws.example_at(3, epoch * N + place, N) for place in range(N)] for epoch in range(3)
    ]
    assert all(sorted(epoch) == list(range(N)) for epoch in epochs)
    assert epochs[0] != epochs[1] != epochs[2]
    assert epochs[0] != [draws.example_at(4, place, N) for place in range(N)]


def test_order_is_that_of_a_plain_sort_of_the_raw_numbers() -> None:
    digest = hashlib.blake2b(b"vbbench-draw:epoch:3:1", digest_size=8).digest()
    raw = np.random.PCG64(int.from_bytes(digest, "big"))
    keys = [int(raw.random_raw()) for _ in range(N)]
    assert draws.permutation(3, 1, N).tolist() == sorted(range(N), key=keys.__getitem__)


def test_next_examples_stay_in_the_epoch() -> None:
    order = draws.permutation(3, 2, N).tolist()
    got = [draws.example_at(3, 2 * N + 30, N, later) for later in range(N)]
    assert got == order[30:] + order[:30]


def test_a_draw_depends_on_nothing_but_seed_and_number() -> None:
    forward = [drawn(5, number) for number in range(200)]
    draws.permutation.cache_clear()
    backward = [drawn(5, number) for number in reversed(range(200))]
    assert forward == backward[::-1]
    assert len({one.seed for one in forward}) == len({one.start for one in forward}) == 200
    assert all(0 <= one.seed < 1 << 63 for one in forward)
    assert [drawn(6, number).seed for number in range(5)] != [one.seed for one in forward[:5]]
    assert forward[7] == draws.draw(5, draws.number_of(1, 3, 4), N, text_drop=0.1, augment=True)


def test_draws_of_known_numbers_stay_what_they_are() -> None:
    """Trainings that go on after an update must see the same examples."""
    one = drawn(1, 100)
    assert (one.example, one.seed, one.dropped) == KNOWN
    assert draws.draw(1, 100, N, text_drop=0.1, augment=False).augmentation is None


KNOWN = (26, 5026677927976199453, False)


def test_shares_are_as_promised() -> None:
    many = [drawn(0, number) for number in range(20000)]
    assert np.mean([one.dropped for one in many]) == pytest.approx(0.1, abs=0.01)
    assert np.mean([one.start for one in many]) == pytest.approx(0.5, abs=0.01)
    changes = [one.augmentation for one in many if one.augmentation is not None]
    assert len(changes) == len(many)
    assert np.mean([one.flip for one in changes]) == pytest.approx(0.5, abs=0.02)
    for side in draws.SIDES:
        assert np.mean([one.side == side for one in changes]) == pytest.approx(0.25, abs=0.02)
    for values, (low, high) in (
        ([one.crop for one in changes], (0.01, 0.2)),
        ([one.degrees for one in changes], (-30, 30)),
        ([one.shift[0] for one in changes], (-0.1, 0.1)),
        ([one.shift[1] for one in changes], (-0.1, 0.1)),
        ([one.scale for one in changes], (0.8, 1.2)),
    ):
        width = high - low
        assert low <= min(values) < low + 0.01 * width
        assert high - 0.01 * width < max(values) < high
        assert np.mean(values) == pytest.approx((low + high) / 2, abs=0.02 * width)
    both = np.corrcoef([[one.start, one.dropped, change.crop, change.degrees, *change.shift, change.scale, change.flip]
                        for one, change in zip(many, changes, strict=True)], rowvar=False)  # fmt: skip
    assert np.abs(both - np.eye(len(both))).max() < 0.05


def test_nothing_is_dropped_or_everything() -> None:
    assert not any(draws.draw(0, n, N, text_drop=0.0, augment=False).dropped for n in range(1000))
    assert all(draws.draw(0, n, N, text_drop=1.0, augment=False).dropped for n in range(1000))
