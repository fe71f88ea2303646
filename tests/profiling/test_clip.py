"""Where the seconds of a clip go, on tiny weights."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from tests.models.tiny import PARAMS
from tests.models.videobooth.test_model import build
from vbbench.errors import UsageError
from vbbench.models.text_to_video import PARTS
from vbbench.profiling import clip
from vbbench.profiling.options import Options
from vbbench.types import PromptItem

pytestmark = pytest.mark.usefixtures("tiny_weights")


@pytest.fixture
def ticking(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """A clock that a test sets."""
    now = [0.0]
    monkeypatch.setattr(clip.time, "process_time", lambda: now[0])
    return now


def test_parts_follow_each_other(ticking: list[float]) -> None:
    watch = clip.Stopwatch("cpu", 1)
    for part, seconds in (("conditions", 0.5), ("denoising", 8.0), ("decoding", 0.25), ("denoising", 2.0)):
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


def test_profile(monkeypatch: pytest.MonkeyPatch) -> None:
    record = clip.profile(Options(quick=True, further={"models": ("videobooth", "text-to-video"), "batch": 2}))
    assert [row.variant for row in record.rows] == ["videobooth", "text-to-video"]
    for row in record.rows:
        assert set(row.facts["seconds_by_part"]) == set(PARTS)
        assert sum(row.facts["seconds_by_part"].values()) == pytest.approx(row.median_seconds, rel=0.5)
        assert 0 < row.facts["outside"] < 1
        assert row.rounds == clip.QUICK_ROUNDS
    assert "2 clips at once" in record.rows[0].case
    assert record.command.endswith("--models videobooth,text-to-video --batch 2")


def test_the_target_can_be_missed() -> None:
    (row,) = clip.profile(Options(quick=True, further={"models": ("text-to-video",), "batch": 1})).rows
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
    ],
)
def test_what_cannot_be_measured_is_told(options: Options, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        clip.profile(options)
