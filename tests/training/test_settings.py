"""The schedule, the memory of the moving average, and the seeds of batches."""

from __future__ import annotations

import dataclasses

import pytest

from vbbench.errors import UsageError
from vbbench.training.settings import TrainSettings, batch_seed, ema_decay_at, lr_at

SETTINGS = TrainSettings(lr=2.0, steps=100, warmup_steps=10, decay_from=0.5, final_lr_fraction=0.1)


@pytest.mark.parametrize(
    ("step", "lr"),
    [(0, 0.2), (4, 1.0), (9, 2.0), (10, 2.0), (50, 2.0), (75, 2.0 * 0.55), (100, 0.2), (1000, 0.2)],
)
def test_learning_rate_warms_up_stays_and_falls_linearly(step: int, lr: float) -> None:
    assert lr_at(SETTINGS, step) == pytest.approx(lr)


def test_learning_rate_depends_on_step_and_steps_alone() -> None:
    longer = dataclasses.replace(SETTINGS, steps=1000)
    assert lr_at(longer, 100) == 2.0
    assert lr_at(longer, 750) == lr_at(SETTINGS, 75)


def test_schedule_without_warm_up_or_decay() -> None:
    flat = TrainSettings(lr=1.0, steps=4, warmup_steps=0, decay_from=1.0)
    assert [lr_at(flat, step) for step in range(4)] == [1.0] * 4


def test_moving_average_has_a_short_memory_at_first() -> None:
    assert ema_decay_at(SETTINGS, 0) == pytest.approx(0.1)
    assert ema_decay_at(SETTINGS, 90) == pytest.approx(0.91)
    assert ema_decay_at(SETTINGS, 10**6) == SETTINGS.ema_decay


def test_batch_seeds_are_apart_and_stable() -> None:
    seeds = {
        batch_seed(seed, step, rank) for seed in range(5) for step in range(50) for rank in range(3)
    }
    assert len(seeds) == 5 * 50 * 3
    assert all(0 <= seed < 2**63 for seed in seeds)
    assert batch_seed(0, 0, 0) == BATCH_SEED_OF_ZEROS


# Changing it would make a resumed training another one.
BATCH_SEED_OF_ZEROS = 4588227882122708231


@pytest.mark.parametrize(
    "change", [{"steps": 0}, {"average_every": 0}, {"ema_decay": 1.0}, {"decay_from": 1.5}]
)
def test_impossible_settings_are_refused(change: dict) -> None:
    with pytest.raises(UsageError):
        dataclasses.replace(SETTINGS, **change)
