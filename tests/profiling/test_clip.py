"""Where the seconds of a clip go, on tiny weights."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from torch.utils.flop_counter import FlopCounterMode

from tests.models.tiny import PARAMS
from tests.models.videobooth.test_model import build
from vbbench.data.suites import load_suite
from vbbench.errors import IncompleteError, UsageError
from vbbench.models.latent_video import PARTS
from vbbench.models.registry import resolve_models
from vbbench.profiling import clip, memory
from vbbench.profiling.costs import attention_formulas
from vbbench.profiling.options import Options
from vbbench.profiling.record import Ceiling
from vbbench.types import PromptItem

pytestmark = pytest.mark.usefixtures("tiny_weights")


@pytest.fixture(autouse=True)
def short(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is measured is not what the tests are about."""
    monkeypatch.setattr(clip, "ROUNDS", 1)
    monkeypatch.setattr(clip, "measure_ceilings", lambda *_: (Ceiling("matmul", "float32", 1e13),))


@pytest.fixture
def ticking(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """A clock that a test sets."""
    now = [0.0]
    monkeypatch.setattr(clip.time, "process_time", lambda: now[0])
    return now


def test_parts_follow_each_other(ticking: list[float]) -> None:
    watch = clip.Stopwatch("cpu", 1)
    for part, seconds in (
        ("conditions", 0.5),
        ("denoising", 8.0),
        ("decoding", 0.25),
        ("denoising", 2.0),
    ):
        watch.begin(part)
        ticking[0] += seconds
    watch.begin("")
    ticking[0] += 100
    assert watch.seconds == {"conditions": 0.5, "denoising": 10.0, "decoding": 0.25}


def test_a_model_tells_its_parts(items: Sequence[PromptItem]) -> None:
    model, told = build("fine"), []
    model.on_part = told.append
    model.generate(items[:1], PARAMS)
    assert tuple(told) == PARTS


def test_profile() -> None:
    record = clip.profile(
        Options(quick=True, further={"models": ("videobooth", "text-to-video"), "batch": 2})
    )
    assert [row.variant for row in record.rows] == ["videobooth", "text-to-video"]
    for row in record.rows:
        assert set(row.facts["seconds_by_part"]) == set(PARTS)
        assert sum(row.facts["seconds_by_part"].values()) == pytest.approx(
            row.median_seconds, rel=0.5
        )
        assert 0 < row.facts["outside"] < 1
        assert row.rounds == clip.QUICK_ROUNDS
        assert row.exact
        assert row.peak_memory_mb is None
        assert row.roofline == row.flops / 1e13 / row.median_seconds  # type: ignore[operator]
    assert "2 clips at once" in record.rows[0].case
    assert record.command.endswith("--models videobooth,text-to-video --batch 2")


def test_the_first_call_is_told_as_the_others_and_without_loading(
    ticking: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    lasting = iter([(100.0, 8.0), (10.0, 2.0), (20.0, 4.0)])

    def measured(batch: clip.Batch, options: Options) -> dict[str, float]:
        loading, making = next(lasting)
        watch = clip.Stopwatch("cpu", 1)
        for part, seconds in ((clip.LOADING, loading), *((part, making) for part in PARTS)):
            watch.begin(part)
            ticking[0] += seconds
        watch.begin("")
        return watch.seconds

    monkeypatch.setattr(clip, "_measured", measured)
    (row,) = clip.profile(
        Options(quick=True, further={"models": ("text-to-video",), "batch": 2})
    ).rows
    assert row.first_seconds == 3 * 8 / 2
    assert row.median_seconds == 3 * 3 / 2
    assert row.facts[clip.LOADING] == 15


def test_loading_and_parts_are_measured_apart() -> None:
    (recipe,) = resolve_models("text-to-video")
    found = clip._measured(clip.batch_of(recipe, load_suite("mini"), 1), Options())
    assert set(found) == {clip.LOADING, *PARTS}
    assert all(seconds > 0 for seconds in found.values())


def test_approximations_are_told_and_other_settings_are_none() -> None:
    models = ("videobooth-reuse", "videobooth-few-steps", "videobooth-frame-noise")
    rows = clip.profile(Options(quick=True, further={"models": models, "batch": 1})).rows
    assert [row.exact for row in rows] == [False, True, True]
    assert "reuse_features = 2" in rows[0].facts["approximate"]
    assert all("approximate" not in row.facts for row in rows[1:])
    assert [row.facts["steps"] for row in rows] == [25, 10, 25]
    assert [row.facts["image prompt"].split()[0] for row in rows] == ["1", "1", "8"]


@pytest.mark.parametrize(
    ("name", "period", "steps"),
    [
        ("videobooth-reuse", 2, 5),
        ("videobooth-reuse", 3, 8),
        ("videobooth-reuse", 3, 2),
        ("elite", 1, 4),
    ],
)
def test_operations_are_those_of_all_steps(name: str, period: int, steps: int) -> None:
    (recipe,) = resolve_models(name)
    if period > 1:
        recipe = replace(
            recipe,
            scales={"mini": {**recipe.scales["mini"], "approximate": {"reuse_features": period}}},
        )
    batch = clip.batch_of(recipe, load_suite("mini"), 1)
    batch = replace(batch, params=replace(batch.params, num_inference_steps=steps))
    counter = FlopCounterMode(display=False, custom_mapping=dict(attention_formulas()))
    with counter:
        batch.load("cpu").generate(batch.items, batch.params)
    assert clip.operations(batch, period, "cpu") == counter.get_total_flops() > 0


def test_memory_is_that_of_a_fresh_process_beyond_the_model(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked: dict[str, Any] = {}
    monkeypatch.setattr(
        clip,
        "peak_in_fresh_process",
        lambda target, arguments, *, threads: asked.update(arguments, target=target) or 7.5,
    )
    (row,) = clip.profile(Options(further={"models": ("videobooth",), "batch": 1})).rows
    assert row.peak_memory_mb == 7.5
    assert asked.pop("target") == "vbbench.profiling.clip:prepared"
    assert asked["clips"] == 1
    making: Callable[[], Any] = clip.prepared(**asked)
    (video,) = making()
    (recipe,) = resolve_models("videobooth")
    batch = clip.batch_of(recipe, load_suite("mini"), 1)
    (expected,) = batch.load("cpu").generate(batch.items, batch.params)
    assert np.array_equal(video.frames, expected.frames)


def test_the_fresh_process_finds_the_memory_of_a_batch(tiny_weights: object) -> None:
    arguments = {
        "folder": str(resolve_models("text-to-video")[0].folder),
        "training_seed": 0,
        "clips": 4,
    }
    assert (
        1
        < memory.peak_in_fresh_process("vbbench.profiling.clip:prepared", arguments, threads=1)
        < 500
    )


def test_memory_that_cannot_be_measured_is_a_gap(monkeypatch: pytest.MonkeyPatch) -> None:
    def killed(*_: object, **__: object) -> float:
        raise IncompleteError("a fresh process was ended by signal 9")

    monkeypatch.setattr(clip, "peak_in_fresh_process", killed)
    record = clip.profile(Options(further={"models": ("text-to-video",), "batch": 1}))
    assert [gap.reason for gap in record.gaps] == ["a fresh process was ended by signal 9"]
    assert record.rows[0].peak_memory_mb is None


def test_the_target_can_be_missed() -> None:
    (row,) = clip.profile(
        Options(quick=True, further={"models": ("text-to-video",), "batch": 1})
    ).rows
    shares = {0.04: True, 0.06: False}
    for share, passed in shares.items():
        row.facts["outside"] = share  # type: ignore[index]
        assert clip._check(row).passed is passed


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (Options(backward=True), "as its recipe makes it"),
        (Options(further={"models": ("dreambooth-video",)}), "must be fitted to a subject first"),
        (Options(further={"models": ("real-video",)}), "no latent video model"),
        (Options(further={"models": ("videobot",)}), "videobo"),
        (Options(further={"batch": 1000}), "--batch 1000: the suite mini has 18 items"),
    ],
)
def test_what_cannot_be_measured_is_told(options: Options, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        clip.profile(options)
