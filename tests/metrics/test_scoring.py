"""From a video to scores: each metric's value, embeddings made once, and reasons in the place of missing numbers."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from vbbench.errors import UsageError, WeightsError
from vbbench.metrics import METRICS, encoders, functional, get_metric
from vbbench.metrics.base import Measurement
from vbbench.metrics.scoring import score_video
from vbbench.types import Video
from vbbench.video import write_video_lossless


@pytest.fixture
def metrics(untrained: Path) -> list:
    return [get_metric(name) for name in METRICS]


def test_every_metric_gives_a_score_with_its_spec(metrics: list, scene) -> None:
    scores = score_video(Video(scene.frames, 8), scene.item, metrics, model="m")
    assert [score.metric for score in scores] == list(METRICS)
    for score, metric in zip(scores, metrics, strict=True):
        assert (score.model, score.item_id, score.spec_id, score.reason) == ("m", "dog-beach", metric.spec.id, None)
        low, high = metric.spec.bounds
        assert low <= score.value <= high
        pairs = metric.spec.frames == "all consecutive pairs"
        assert len(score.per_frame) == len(scene.frames) - pairs
        assert np.mean(score.per_frame) == pytest.approx(score.value, abs=1e-6)


def test_scores_are_the_formulas_over_the_encoders(metrics: list, scene) -> None:
    by_name = {score.metric: score.value for score in score_video(Video(scene.frames, 8), scene.item, metrics, model="m")}
    clip = encoders.get_encoder("clip")
    frames, text = clip.embed_frames(scene.frames), clip.embed_text([scene.item.text])[0]
    assert by_name["clip-text"] == pytest.approx(float(functional.clip_text(frames, text)))
    assert by_name["temporal-consistency"] == pytest.approx(float(functional.temporal_consistency(frames)))
    assert by_name["motion"] == pytest.approx(float(functional.motion(scene.frames, 8)))


def test_frames_are_embedded_once_an_encoder(metrics: list, scene, monkeypatch: pytest.MonkeyPatch) -> None:
    seen = []
    original = encoders.ClipEncoder.embed_frames
    monkeypatch.setattr(encoders.ClipEncoder, "embed_frames", lambda self, frames: seen.append(len(frames)) or original(self, frames))
    score_video(Video(scene.frames, 8), scene.item, metrics, model="m")
    assert sorted(seen) == [1, 8]  # the image prompt and the clip, for three metrics


def test_a_file_scores_as_its_frames_do(metrics: list, scene, tmp_path: Path) -> None:
    video = Video(scene.frames, 8)
    write_video_lossless(tmp_path / "clip.mkv", video)
    assert score_video(tmp_path / "clip.mkv", scene.item, metrics, model="m") == score_video(video, scene.item, metrics, model="m")


def test_videos_that_cannot_be_scored_are_records_with_reasons(metrics: list, scene, tmp_path: Path) -> None:
    (tmp_path / "text.mkv").write_text("no video")
    for video, reason in (
        (tmp_path / "missing.mkv", "no video"),
        (tmp_path / "text.mkv", "not a video"),
        (Video(scene.frames[:5], 8), "5 frames; the suite asks for 8"),
    ):
        scores = score_video(video, scene.item, metrics, model="m", num_frames=8)
        assert [score.metric for score in scores] == list(METRICS)
        assert all(score.value is None and reason in score.reason for score in scores)


def test_one_frame_has_no_motion_but_a_likeness(metrics: list, scene) -> None:
    scores = {score.metric: score for score in score_video(Video(scene.frames[:1], 8), scene.item, metrics, model="m")}
    assert scores["clip-image"].value is not None
    for name in ("motion", "temporal-consistency"):
        assert scores[name].value is None
        assert "T >= 2" in scores[name].reason


def test_a_metrics_own_failure_is_its_own(metrics: list, scene) -> None:
    item = replace(scene.item, text="a zebra on the beach", subject=replace(scene.item.subject, world=None))
    scores = {score.metric: score for score in score_video(Video(scene.frames, 8), item, metrics, model="m")}
    assert "'zebra'" in scores["clip-text"].reason
    assert "miniature world" in scores["true-identity"].reason
    assert scores["dino"].value is not None


def test_a_value_that_is_no_number_is_a_reason(metrics: list, scene) -> None:
    class Broken:
        spec = metrics[0].spec

        def score(self, clip: object) -> Measurement:
            return Measurement(math.nan)

    (score,) = score_video(Video(scene.frames, 8), scene.item, [Broken()], model="m")
    assert score.value is None
    assert "nan" in score.reason


def test_unknown_metrics_are_answered_with_the_nearest(untrained: Path) -> None:
    with pytest.raises(UsageError, match="Did you mean 'clip-image'"):
        get_metric("clip-imag")


@pytest.mark.parametrize("name", ["clip-text", "dino", "true-identity"])
def test_a_metric_without_weights_says_which_are_wanted(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VBBENCH_WEIGHTS", str(tmp_path))
    with pytest.raises(WeightsError, match="vbbench train"):
        get_metric(name)


def test_other_weights_are_another_spec(untrained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from vbbench.weights_io import load_weights, save_weights

    before = get_metric("dino").spec
    tensors, card = load_weights(untrained / "dino.safetensors")
    tensors["cls_token"] = tensors["cls_token"] + 0.5
    save_weights(tmp_path / "mini" / "dino.safetensors", tensors, card)
    monkeypatch.setenv("VBBENCH_WEIGHTS", str(tmp_path))
    after = get_metric("dino").spec
    assert after.id != before.id
    assert replace(after, id=before.id, encoder_digest=before.encoder_digest) == before
