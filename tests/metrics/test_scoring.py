"""From a video to scores: each metric's value, embeddings made once, and reasons in the place of
missing numbers."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from vbbench.errors import UsageError, WeightsError
from vbbench.media.video import read_video, write_video_lossless
from vbbench.metrics import METRICS, functional, get_metric
from vbbench.metrics import scored_clip as clips
from vbbench.metrics.analysis import Encoders, FrameEmbeddings
from vbbench.metrics.base import Measurement
from vbbench.metrics.cache import EmbeddingCache
from vbbench.metrics.encoders import encoders
from vbbench.metrics.encoders.setting import Setting
from vbbench.metrics.scoring import ClipToScore, score_clips
from vbbench.types import PromptItem, Score, Video

SETTING = Setting(num_frames=8)


@pytest.fixture
def metrics(untrained: Path) -> list:
    return [get_metric(name, SETTING) for name in METRICS]


def scores_of(
    video: Video | Path, item: PromptItem, metrics: list, setting: Setting = SETTING
) -> list[Score]:
    (scores,) = score_clips([ClipToScore("m", item, video)], metrics, Encoders(setting))
    return scores


def test_every_metric_gives_a_score_with_its_spec(metrics: list, scene) -> None:
    scores = scores_of(Video(scene.frames, 8), scene.item, metrics)
    assert [score.metric for score in scores] == list(METRICS)
    for score, metric in zip(scores, metrics, strict=True):
        assert (score.model, score.item_id, score.spec_id, score.reason) == (
            "m",
            "dog-beach",
            metric.spec.id,
            None,
        )
        low, high = metric.spec.bounds
        assert low <= score.value <= high
        count = len(scene.frames)
        pairs = {None: count, "all pairs of two frames": count * (count - 1) // 2}
        assert len(score.per_frame) == pairs.get(metric.spec.pairs, count - 1)
        assert np.mean(score.per_frame) == pytest.approx(score.value, abs=1e-6)


def test_scores_are_the_formulas_over_the_encoders(metrics: list, scene) -> None:
    by_name = {
        score.metric: score.value
        for score in scores_of(Video(scene.frames, 8), scene.item, metrics)
    }
    clip = encoders.get_encoder("clip")
    frames, text = clip.embed_frames(scene.frames), clip.embed_text([scene.item.text])
    assert by_name["clip-text"] == pytest.approx(
        float(functional.cosine_to_each(frames, text).mean())
    )
    assert by_name["temporal-consistency"] == pytest.approx(
        float(functional.consecutive_cosines(frames).mean())
    )
    assert by_name["motion"] == pytest.approx(
        float(functional.flow_magnitudes(scene.frames, 8).mean())
    )


def test_masked_likeness_does_not_see_the_scenery(
    metrics: list, scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With a perfect segmenter, other scenery moves the plain metric and leaves the masked one."""
    subject = scene.masks > 0
    monkeypatch.setattr(
        encoders.SegmentEncoder, "segments", lambda self, frames: subject.astype(np.uint8)
    )
    other = np.where(subject[..., None], scene.frames, np.uint8(90))
    before, after = (
        {score.metric: score.value for score in scores_of(Video(frames, 8), scene.item, metrics)}
        for frames in (scene.frames, other)
    )
    for name in ("clip-image", "dino"):
        assert after[f"{name}-masked"] == pytest.approx(before[f"{name}-masked"], abs=1e-6)
        assert after[name] != pytest.approx(before[name], abs=1e-5)


def test_references_are_meant_over_and_masks_are_wanted(
    metrics: list, scene, tmp_path: Path
) -> None:
    Image.fromarray(scene.frames[0]).save(tmp_path / "second.png")
    subject = replace(scene.item.subject, references=(tmp_path / "second.png",), masks=())
    item = replace(scene.item, subject=subject)
    scores = {score.metric: score for score in scores_of(Video(scene.frames, 8), item, metrics)}
    one, two = (
        {
            score.metric: score.value
            for score in scores_of(Video(scene.frames, 8), replace(item, subject=alone), metrics)
        }
        for alone in (
            replace(subject, references=()),
            replace(subject, image=tmp_path / "second.png", references=()),
        )
    )
    for name in ("clip-image", "dino"):
        assert scores[name].value == pytest.approx((one[name] + two[name]) / 2, abs=1e-6)
        assert "no mask" in scores[f"{name}-masked"].reason


def test_frames_are_embedded_once_an_encoder(
    metrics: list, scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = []
    original = encoders.ClipEncoder.embed_pictures
    monkeypatch.setattr(
        encoders.ClipEncoder,
        "embed_pictures",
        lambda self, crops: seen.append(len(crops)) or original(self, crops),
    )
    plain = [metric for metric in metrics if "masked" not in metric.spec.name]
    scores_of(Video(scene.frames, 8), scene.item, plain)
    assert sorted(seen) == [1, 8]  # the image prompt and the clip, for five metrics


def test_a_video_is_decoded_once(
    metrics: list, scene, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_video_lossless(tmp_path / "clip.mkv", Video(scene.frames, 8))
    seen = []
    monkeypatch.setattr(clips, "read_video", lambda path: seen.append(path) or read_video(path))
    scores_of(tmp_path / "clip.mkv", scene.item, metrics)
    assert seen == [tmp_path / "clip.mkv"]


def test_a_file_scores_as_its_frames_do(metrics: list, scene, tmp_path: Path) -> None:
    video = Video(scene.frames, 8)
    write_video_lossless(tmp_path / "clip.mkv", video)
    assert scores_of(tmp_path / "clip.mkv", scene.item, metrics) == scores_of(
        video, scene.item, metrics
    )


def test_videos_that_cannot_be_scored_are_records_with_reasons(
    metrics: list, scene, tmp_path: Path
) -> None:
    (tmp_path / "text.mkv").write_text("no video")
    for video, reason in (
        (tmp_path / "missing.mkv", "no video"),
        (tmp_path / "text.mkv", "not a video"),
        (Video(scene.frames[:5], 8), "5 frames; the suite asks for 8"),
    ):
        scores = scores_of(video, scene.item, metrics)
        assert [score.metric for score in scores] == list(METRICS)
        assert all(score.value is None and reason in score.reason for score in scores)


def test_one_frame_is_a_picture_not_a_video(untrained: Path, scene) -> None:
    setting = Setting()
    scores = scores_of(
        Video(scene.frames[:1], 8),
        scene.item,
        [get_metric(name, setting) for name in METRICS],
        setting,
    )
    assert all(score.value is None and "one frame" in score.reason for score in scores)


def test_one_bad_video_takes_no_others_with_it(metrics: list, scene, tmp_path: Path) -> None:
    (tmp_path / "text.mkv").write_text("no video")
    videos = [Video(scene.frames, 8), tmp_path / "text.mkv", Video(scene.frames[::-1].copy(), 8)]
    together = list(
        score_clips(
            [ClipToScore("m", scene.item, video) for video in videos], metrics, Encoders(SETTING)
        )
    )
    assert [scores[0].value is None for scores in together] == [False, True, False]


def test_what_an_analysis_cannot_do_is_the_reason_of_that_clip(
    metrics: list, scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    dark = np.zeros_like(scene.frames)
    original = encoders.DinoEncoder.embed_pictures

    def embed(self: encoders.DinoEncoder, crops: np.ndarray) -> torch.Tensor:
        if (crops.reshape(len(crops), -1).max(axis=1) == 0).any():
            raise RuntimeError("too dark")
        return original(self, crops)

    monkeypatch.setattr(encoders.DinoEncoder, "embed_pictures", embed)
    videos = [Video(scene.frames, 8), Video(dark, 8)]
    first, second = score_clips(
        [ClipToScore("m", scene.item, video) for video in videos], metrics, Encoders(SETTING)
    )
    assert all(score.value is not None for score in first)
    assert {score.metric for score in second if score.reason == "RuntimeError: too dark"} == {
        n for n in METRICS if "dino" in n or "subject" in n
    }


def test_order_batches_and_threads_do_not_move_a_score(untrained: Path, scene) -> None:
    rng = np.random.default_rng(0)
    setting = Setting(num_frames=2)
    rolled = [np.roll(scene.frames[:2], int(shift), axis=2) for shift in rng.integers(64, size=60)]
    to_score = [
        ClipToScore("m", replace(scene.item, id=f"i{number}"), Video(frames, 8))
        for number, frames in enumerate(rolled)
    ]
    embedded = [
        get_metric(name, setting) for name in METRICS if name != "motion"
    ]  # each video's flow is computed alone

    def values(batch_size: int, threads: int) -> dict[tuple[str, str], float]:
        before = torch.get_num_threads()
        torch.set_num_threads(threads)
        scored = score_clips(
            [to_score[i] for i in rng.permutation(60)],
            embedded,
            Encoders(setting, batch_size=batch_size),
        )
        found = {
            (score.item_id, score.metric): score.value for scores in scored for score in scores
        }
        torch.set_num_threads(before)
        return found

    expected = values(16, 1)
    assert len(expected) == 60 * len(embedded)
    for batch_size, threads in ((1, 1), (7, 2), (64, 2)):
        assert values(batch_size, threads) == pytest.approx(expected, abs=1e-5)


def test_the_cache_gives_back_what_was_computed_and_decodes_nothing(
    metrics: list, scene, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_video_lossless(tmp_path / "clip.mkv", Video(scene.frames, 8))
    kept = EmbeddingCache(tmp_path / "cache")
    clip = ClipToScore("m", scene.item, tmp_path / "clip.mkv")
    (cold,) = score_clips([clip], metrics, Encoders(SETTING), kept)

    def refuse(*_: object) -> None:
        raise AssertionError("computed again")

    monkeypatch.setattr(clips, "read_video", refuse)
    monkeypatch.setattr(encoders.ClipEncoder, "embed_text", refuse)
    (warm,) = score_clips([clip], metrics, Encoders(SETTING), kept)
    assert warm == cold


def test_other_encoders_batches_and_contents_are_other_entries(untrained: Path, scene) -> None:
    keys = {
        FrameEmbeddings("clip").key(Encoders(SETTING)),
        FrameEmbeddings("clip", masked=True).key(Encoders(SETTING)),
        FrameEmbeddings("dino").key(Encoders(SETTING)),
        FrameEmbeddings("clip").key(Encoders(Setting(precision="bfloat16"))),
        FrameEmbeddings("clip").key(Encoders(Setting(weights="random"))),
    }
    assert len(keys) == 5
    assert (
        FrameEmbeddings("clip").key(Encoders(Setting(num_frames=None))) in keys
    )  # what the frames are like is no part of it


def test_a_damaged_or_forbidden_cache_ends_nothing(metrics: list, scene, tmp_path: Path) -> None:
    kept = EmbeddingCache(tmp_path / "cache")
    clip = ClipToScore("m", scene.item, Video(scene.frames, 8))
    (cold,) = score_clips([clip], metrics, Encoders(SETTING), kept)
    for number, path in enumerate((tmp_path / "cache").rglob("*.npy")):
        whole = path.read_bytes()
        path.write_bytes(
            whole[:50] if number % 2 else whole[:-1] + bytes([whole[-1] ^ 1])
        )  # cut off, or one bit turned
    (again,) = score_clips([clip], metrics, Encoders(SETTING), kept)
    (tmp_path / "file").write_text("in the way")
    (without,) = score_clips([clip], metrics, Encoders(SETTING), EmbeddingCache(tmp_path / "file"))
    assert again == without == cold


def test_a_metrics_own_failure_is_its_own(metrics: list, scene) -> None:
    item = replace(
        scene.item, text="a zebra on the beach", subject=replace(scene.item.subject, world=None)
    )
    scores = {score.metric: score for score in scores_of(Video(scene.frames, 8), item, metrics)}
    assert "'zebra'" in scores["clip-text"].reason
    assert "miniature world" in scores["true-identity"].reason
    assert scores["dino"].value is not None


def test_a_value_that_is_no_number_is_a_reason(metrics: list, scene) -> None:
    class Broken:
        spec = metrics[0].spec
        reads = ()

        def score(self, clip: object) -> Measurement:
            return Measurement(math.nan)

    (score,) = scores_of(Video(scene.frames, 8), scene.item, [Broken()])
    assert score.value is None
    assert "nan" in score.reason


def test_unknown_metrics_are_answered_with_the_nearest(untrained: Path) -> None:
    with pytest.raises(UsageError, match="Did you mean 'clip-image'"):
        get_metric("clip-imag")


@pytest.mark.parametrize("name", ["clip-text", "dino", "true-identity"])
def test_a_metric_without_weights_says_which_are_wanted(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("VBBENCH_WEIGHTS", str(tmp_path))
    with pytest.raises(WeightsError, match="vbbench train"):
        get_metric(name)


def test_other_weights_are_another_spec(
    untrained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from vbbench.core.weights_file import load_weights, save_weights

    before = get_metric("dino").spec
    tensors, card = load_weights(untrained / "dino.safetensors")
    tensors["cls_token"] = tensors["cls_token"] + 0.5
    save_weights(tmp_path / "mini" / "dino.safetensors", tensors, card)
    monkeypatch.setenv("VBBENCH_WEIGHTS", str(tmp_path))
    after = get_metric("dino").spec
    assert after.id != before.id
    assert replace(after, id=before.id, encoder_digest=before.encoder_digest) == before
