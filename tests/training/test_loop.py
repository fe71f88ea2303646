"""One loop: resuming is exact, averages are right, and what goes wrong is said."""

from __future__ import annotations

import csv
import dataclasses
import functools
import time
from pathlib import Path

import numpy as np
import pytest
import torch

from tests.training.toy import SETTINGS, Toy, fingerprint, train
from vbbench.errors import UsageError, VBBenchError
from vbbench.training import checkpoint
from vbbench.training.loop import fit
from vbbench.training.settings import ema_decay_at
from vbbench.training.trainer import Trainer


def interrupted(work: Path, at: int, settings=SETTINGS) -> None:
    """Train up to a step, and leave a checkpoint there as a kill would."""
    trainer = Trainer(Toy(), settings, seed=3, work=work, facts={"made_from": {}})
    work.mkdir(exist_ok=True)

    class StopHere(Exception):  # noqa: N818
        pass

    step = trainer._step

    def counted() -> None:
        if trainer.done == at:
            trainer._save()
            raise StopHere
        step()

    trainer._step = counted
    with pytest.raises(StopHere):
        trainer.run()


@pytest.mark.parametrize("at", [1, 7, 10, 19])
@pytest.mark.parametrize("bf16", [True, False])
def test_resumed_training_ends_with_the_very_same_weights(
    tmp_path: Path, at: int, bf16: bool
) -> None:
    settings = dataclasses.replace(SETTINGS, bf16=bf16)
    straight = train(tmp_path / "straight", settings)
    interrupted(tmp_path / "resumed", at, settings)
    resumed = train(tmp_path / "resumed", settings)
    assert fingerprint(resumed.module) == fingerprint(straight.module)
    assert resumed.validation == straight.validation
    drop = {"seconds"}
    assert [{k: v for k, v in row.items() if k not in drop} for row in resumed.history] == [
        {k: v for k, v in row.items() if k not in drop} for row in straight.history
    ]


def test_torn_checkpoint_costs_steps_but_not_exactness(tmp_path: Path) -> None:
    straight = train(tmp_path / "straight")
    interrupted(tmp_path / "torn", 5)
    interrupted_again = Trainer(
        Toy(), SETTINGS, seed=3, work=tmp_path / "torn", found=checkpoint.latest(tmp_path / "torn")
    )
    interrupted_again.clock = interrupted_again.saved = interrupted_again.drawn = time.monotonic()
    for _ in range(5):
        interrupted_again._step()
    interrupted_again._save()
    torn = tmp_path / "torn" / "checkpoint-00000010" / checkpoint.MODEL
    torn.write_bytes(torn.read_bytes()[:50])
    assert checkpoint.latest(tmp_path / "torn").step == 5
    assert fingerprint(train(tmp_path / "torn").module) == fingerprint(straight.module)


def test_seeds_change_the_result_and_only_they_do(tmp_path: Path) -> None:
    first, again, other = (train(tmp_path / str(n), seed=seed) for n, seed in enumerate((3, 3, 4)))
    assert fingerprint(first.module) == fingerprint(again.module) != fingerprint(other.module)


def test_moving_average_is_numpys(tmp_path: Path) -> None:
    class Recording(Toy):
        seen: list[np.ndarray] = []  # noqa: RUF012

        def after_step(self, step: int) -> None:
            self.seen.append(self.module[0].weight.detach().numpy().copy())

    objective = Recording()
    expected = objective.module[0].weight.detach().numpy().astype(np.float64)
    result = fit(objective, SETTINGS, seed=3, work=tmp_path)
    for step, weight in enumerate(Recording.seen):
        decay = ema_decay_at(SETTINGS, step)
        expected = decay * expected + (1 - decay) * weight
    assert len(Recording.seen) == SETTINGS.steps
    np.testing.assert_allclose(
        result.module[0].weight.detach().numpy(), expected, rtol=2e-6, atol=1e-7
    )
    assert not np.allclose(expected, Recording.seen[-1], atol=1e-4)


def test_it_learns(tmp_path: Path) -> None:
    result = train(tmp_path, dataclasses.replace(SETTINGS, steps=400))
    assert result.loss < 0.6 * result.history[0]["loss"]
    assert result.validation["error"] < 0.6


def test_frozen_parameters_stay(tmp_path: Path) -> None:
    before = Toy().module[5].weight.clone()
    assert torch.equal(train(tmp_path).module[5].weight, before)


def test_curves_are_a_table_and_a_picture(tmp_path: Path) -> None:
    result = train(tmp_path)
    rows = list(csv.DictReader((tmp_path / "curves.csv").read_text().splitlines()))
    assert [int(row["step"]) for row in rows] == list(range(1, 21))
    assert {"seconds", "loss", "lr", "even", "val/error"} <= rows[0].keys()
    assert [row["step"] for row in rows if row["val/error"]] == ["10", "20"]
    assert float(rows[-1]["val/error"]) == pytest.approx(result.validation["error"], rel=1e-5)
    assert [row["even"] != "" for row in rows] == [True, False] * 10  # the part of even steps
    assert (tmp_path / "curves.png").read_bytes().startswith(b"\x89PNG")


def test_more_steps_go_on_from_a_finished_training(tmp_path: Path) -> None:
    train(tmp_path)
    longer = train(tmp_path, dataclasses.replace(SETTINGS, steps=30))
    assert [longer.steps, longer.history[-1]["step"]] == [30, 30]
    assert longer.facts["earlier"][0]["until"] == 20
    assert longer.facts["earlier"][0]["settings"]["steps"] == 20


def test_finished_training_is_handed_back_unchanged(tmp_path: Path) -> None:
    first = train(tmp_path)
    again = train(tmp_path)
    fewer = train(tmp_path, dataclasses.replace(SETTINGS, steps=15))
    assert fingerprint(first.module) == fingerprint(again.module) == fingerprint(fewer.module)
    assert again.validation == fewer.validation == first.validation
    assert fewer.facts["settings"]["steps"] == 20


def test_ended_early_is_validated(tmp_path: Path) -> None:
    interrupted(tmp_path, 13)
    result = train(tmp_path, dataclasses.replace(SETTINGS, steps=12))
    assert result.steps == 13
    assert set(result.validation) == {"error"}


def test_curriculum_sees_the_steps_that_are_trained(tmp_path: Path) -> None:
    objective = Toy()
    fit(objective, dataclasses.replace(SETTINGS, steps=3), seed=0, work=tmp_path)
    assert objective.settings.steps == 3
    assert Toy.settings is SETTINGS


def test_another_training_in_the_folder_is_named(tmp_path: Path) -> None:
    train(tmp_path)
    with pytest.raises(UsageError, match="holds a training of toy with seed 3"):
        train(tmp_path, seed=4)


def test_another_network_in_the_folder_is_named(tmp_path: Path) -> None:
    train(tmp_path)
    with pytest.raises(UsageError, match="another network"):
        train(tmp_path, dataclasses.replace(SETTINGS, steps=30), width=8)


def test_changed_sources_are_recorded_or_refused(tmp_path: Path) -> None:
    def from_(base: str, steps: int):
        return fit(
            Toy(),
            dataclasses.replace(SETTINGS, steps=steps),
            seed=3,
            work=tmp_path,
            made_from={"base": base, "data": "d"},
        )

    from_("one", 10)
    with pytest.raises(UsageError, match="but base changed since"):
        from_("two", 10)
    result = from_("two", 20)
    assert result.facts["made_from"] == {"base": "two", "data": "d"}
    assert [(entry["until"], entry["made_from"]["base"]) for entry in result.facts["earlier"]] == [
        (10, "one")
    ]


def test_diverged_loss_is_said_and_never_saved(tmp_path: Path) -> None:
    with pytest.raises(VBBenchError, match="no longer finite at step 13"):
        train(tmp_path, dataclasses.replace(SETTINGS, checkpoint_every_seconds=0.0), nan_at=12)
    newest = checkpoint.latest(tmp_path)
    assert newest.step == 12
    assert all(torch.isfinite(value).all() for value in newest.model().values())


@pytest.mark.gpu
def test_resume_on_a_gpu(tmp_path: Path) -> None:
    losses = []
    for name, plan in (("straight", [20]), ("resumed", [10, 20])):
        for steps in plan:
            objective = Toy()
            objective.module.to("cuda")
            flat = dataclasses.replace(SETTINGS, steps=steps, decay_from=1.0, bf16=False)
            result = fit(objective, flat, seed=3, work=tmp_path / name, device="cuda")
        losses.append([row["loss"] for row in result.history])
    np.testing.assert_allclose(losses[0], losses[1], rtol=1e-4)


def test_workers_need_a_factory_and_the_cpu(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="More than one worker"):
        fit(Toy(), SETTINGS, seed=0, work=tmp_path, workers=2)
    with pytest.raises(UsageError, match="More than one worker"):
        fit(
            Toy(),
            SETTINGS,
            seed=0,
            work=tmp_path,
            workers=2,
            device="cuda",
            factory=functools.partial(Toy),
        )
