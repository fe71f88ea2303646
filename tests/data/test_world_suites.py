"""Suites of the world: written the same way every time, and the bundled one is what the code
makes."""

from __future__ import annotations

import json
from collections import Counter
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from vbbench.core import paths
from vbbench.data import rendered_suite
from vbbench.data.suites import load_suite
from vbbench.data.world import CLASSES, MOTIONS, SCENES, caption, individual, render_clip
from vbbench.errors import UsageError
from vbbench.media.video import read_video, video_digest
from vbbench.types import PromptSuite, Video

MINI = {"per_class": 1, "prompts": 2, "seed": 0}


@pytest.fixture
def two_classes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rendered_suite, "CLASSES", ("cat", "elephant"))


@pytest.fixture(scope="module")
def bundled() -> PromptSuite:
    return load_suite("mini")


@pytest.mark.usefixtures("two_classes")
def test_writing_twice_gives_the_same_suite(tmp_path: Path) -> None:
    options = {"per_class": 1, "prompts": 2}
    first = rendered_suite.write_suite(tmp_path / "a", "small", "1", **options, seed=3)
    assert rendered_suite.write_suite(tmp_path / "b", "small", "1", **options, seed=3) == first
    assert load_suite(tmp_path / "a").digest == first
    assert rendered_suite.write_suite(tmp_path / "c", "small", "1", **options, seed=4) != first


@pytest.mark.usefixtures("two_classes")
def test_videos_are_stored_without_loss(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rendered = []

    def record(*arguments: object) -> tuple[np.ndarray, np.ndarray]:
        rendered.append(render_clip(*arguments))
        return rendered[-1]

    monkeypatch.setattr(rendered_suite, "render_clip", record)
    rendered_suite.write_suite(tmp_path, "small", "1", per_class=1, prompts=1, seed=0)
    stored = Counter(video_digest(read_video(path)) for path in tmp_path.rglob("*.mkv"))
    assert stored == Counter(
        video_digest(Video(frames, rendered_suite.FPS)) for frames, _ in rendered
    )
    assert len(rendered) == 2 * (rendered_suite.FIT_CLIPS + 2)


def test_the_bundled_suite_is_what_the_code_makes(tmp_path: Path, bundled: PromptSuite) -> None:
    """Rows and settings to the letter. Of pixels one grey level here and there is allowed: the sine
    of another processor."""
    rendered_suite.write_suite(tmp_path, "mini", "2", **MINI)
    for name in ("items.jsonl", "subjects.jsonl"):
        assert _rows(tmp_path / name) == _rows(bundled.root / name)
    made = load_suite(tmp_path)
    for key in (
        "name",
        "version",
        "description",
        "scale",
        "num_frames",
        "size",
        "fps",
        "seed",
        "metrics",
    ):
        assert getattr(made, key) == getattr(bundled, key)
    files = sorted(
        path.relative_to(tmp_path)
        for path in tmp_path.rglob("*.*")
        if path.suffix in (".png", ".mkv")
    )
    assert len(files) == 9 * (2 + rendered_suite.FIT_CLIPS + 2 * MINI["prompts"])
    for name in files:
        gap = np.abs(_pixels(tmp_path / name).astype(int) - _pixels(bundled.root / name))
        assert gap.max() <= 1, name
        assert (gap > 0).mean() < 1e-3, name


def _rows(path: Path) -> list[dict]:
    return [json.loads(line) for line in path.read_text("utf-8").splitlines()]


def _pixels(path: Path) -> np.ndarray:
    return read_video(path).frames if path.suffix == ".mkv" else np.asarray(Image.open(path))


def test_the_bundled_suite_deals_scenes_and_motions_evenly(bundled: PromptSuite) -> None:
    assert bundled.root == paths.prompts_dir() / "mini"
    assert len(bundled.items) == 18
    assert Counter(item.subject.class_name for item in bundled.items) == dict.fromkeys(CLASSES, 2)
    for words, asked in (
        (SCENES, [i.scene for i in bundled.items]),
        (MOTIONS, [i.motion for i in bundled.items]),
    ):
        counts = Counter(asked)
        assert set(counts) == set(words)
        assert max(counts.values()) - min(counts.values()) <= 1


def test_texts_say_what_is_asked_for_and_nothing_about_the_individual(bundled: PromptSuite) -> None:
    for item in bundled.items:
        assert item.text == caption(item.subject.class_name, item.scene, item.motion)
        assert item.subject_word == item.subject.class_name
    assert len({item.seed for item in bundled.items}) == len(bundled.items)


def test_subjects_are_held_out(bundled: PromptSuite) -> None:
    assert all(
        subject.world is not None and subject.world["split"] == "test"
        for subject in bundled.subjects
    )


def test_clips_to_fit_on_never_show_the_scenes_that_are_asked_for(bundled: PromptSuite) -> None:
    for subject in bundled.subjects:
        asked = {item.scene for item in bundled.items if item.subject.id == subject.id}
        shown = [_scene_of(read_video(clip).frames) for clip in subject.clips]
        assert not asked & set(shown)
        assert len(set(shown)) == len(subject.clips) == rendered_suite.FIT_CLIPS
        for scene, text in zip(shown, subject.captions, strict=True):
            assert text.endswith(caption("x", scene, None).removeprefix("a x "))


def test_reference_videos_show_the_scene_and_another_individual_differs_in_itself_alone(
    bundled: PromptSuite,
) -> None:
    for item in bundled.items:
        real, other = (read_video(path) for path in (item.reference_video, item.other_video))
        assert (
            real.frames.shape
            == other.frames.shape
            == (bundled.num_frames, bundled.size, bundled.size, 3)
        )
        assert real.fps == other.fps == bundled.fps
        assert _scene_of(real.frames) == item.scene
        np.testing.assert_array_equal(real.frames[:, :2], other.frames[:, :2])
        assert (real.frames != other.frames).any(-1).mean() > 0.02


@cache
def _edges(scene: str) -> np.ndarray:
    """The uppermost and the lowest row of a scene, which no subject reaches."""
    frame = render_clip(individual("train", "dog", 0), scene, "standing", 0, num_frames=1)[0][0]
    return frame[[0, -1]].astype(int)


def _scene_of(frames: np.ndarray) -> str:
    """The scene whose edges are nearest."""
    return min(SCENES, key=lambda scene: np.abs(frames[0, [0, -1]] - _edges(scene)).mean())


def test_more_individuals_than_others_can_be_told_from_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="1 to 40"):
        rendered_suite.write_suite(tmp_path, "big", "1", per_class=41, prompts=1, seed=0)
