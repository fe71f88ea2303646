"""Given videos in a run folder: what is kept of them, what is read again, and what they have in
common."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tests.media.videos import gif, gradient, h264, pictures
from tests.runner.stubs import MeanScorer
from vbbench.core.digests import file_digest
from vbbench.data.suites import load_suite
from vbbench.errors import InputError, RunFolderError
from vbbench.media.video import read_video, write_video_lossless
from vbbench.runner import submission as intake
from vbbench.runner import video_manifest as own_suite
from vbbench.runner.progress import Silent
from vbbench.runner.scoring import count_failures, score_run, videos_to_score
from vbbench.runner.store import RunStore
from vbbench.runner.submission import Shared, Submission, Terms, match_folder
from vbbench.runner.video_manifest import read_manifest
from vbbench.types import PromptSuite

TERMS = Terms(num_frames=3, fps=4)
Score = Callable[..., dict[str, int]]


def fill(folder: Path, suite: PromptSuite) -> Path:
    """A good video for each item: of one kind each."""
    folder.mkdir()
    makers = (
        lambda path: h264(path.with_suffix(".mp4"), 3, 4),
        lambda path: gif(path.with_suffix(".gif"), gradient(3), 250),
        lambda path: pictures(path, gradient(3)),
    )
    for number, item in enumerate(suite.items):
        makers[number % 3](folder / item.id)
    return folder


class Scored:
    """Takes in and scores as ``vbbench score`` does, with a scorer of numpy alone; remembers what
    was read and scored."""

    def __init__(self, store: RunStore, submission: Submission, terms: Terms = TERMS) -> None:
        scorer = MeanScorer()
        intake.take_in(store, "mine", submission.given, terms, Silent())
        store.write_manifest(
            manifest_of(
                submission.suite,
                intake.model_record(store, "mine", "Mine", Shared(3, 4, "lossy"), own_suite=False),
            )
        )
        self.waiting = {record["item_id"] for record in videos_to_score(store, scorer.specs)}
        score_run(store, submission.suite, scorer, lambda _: None)
        store.tidy(scorer.specs)
        self.calls = {item for _, item in scorer.calls}
        self.counts = count_failures(store, scorer.specs, ["mine"])
        self.records = {record["item_id"]: record for record in store.jobs.values()}
        self.values = {(item, spec): row["value"] for (_, item, spec), row in store.scores.items()}


def manifest_of(suite: PromptSuite, model: dict) -> dict:
    known = {"name": suite.name, "version": suite.version, "digest": suite.digest}
    return {
        "suite": known,
        "scale": "mini",
        "models": {"mine": model},
        "metrics": {},
        "created": "then",
    }


@pytest.fixture
def videos(tiny_suite: PromptSuite, tmp_path: Path) -> Path:
    return fill(tmp_path / "videos", tiny_suite)


@pytest.fixture
def score(tiny_suite: PromptSuite, videos: Path, tmp_path: Path) -> Callable[..., Scored]:
    def score(terms: Terms = TERMS) -> Scored:
        with RunStore(tmp_path / "run", tiny_suite, "mini") as store:
            return Scored(store, match_folder(videos, tiny_suite, "mini"), terms)

    return score


def test_copies_are_byte_for_byte_and_pictures_lose_nothing(
    score: Callable[..., Scored], videos: Path, tmp_path: Path
) -> None:
    scored = score()
    assert scored.counts == {"done": 6, "failed": 0, "unscored": 0}
    kept = {path.name for path in (tmp_path / "run" / "videos" / "mine").iterdir()}
    assert kept == {
        "cat-0-beach.mp4", "cat-0-road.gif", "dog-0-beach.mkv", "dog-0-road.mp4", "dog-1-beach.gif", "dog-1-road.mkv"
    }  # fmt: skip
    for name in ("cat-0-beach.mp4", "cat-0-road.gif"):
        assert file_digest(tmp_path / "run" / "videos" / "mine" / name) == file_digest(
            videos / name
        )
    stored = read_video(tmp_path / "run" / "videos" / "mine" / "dog-0-beach.mkv")
    np.testing.assert_array_equal(stored.frames, gradient(3))
    assert stored.fps == TERMS.fps
    record = scored.records["cat-0-beach"]
    assert (record["status"], record["seconds"], record["peak_memory_mb"]) == (
        "done",
        None,
        None,
    )  # nobody knows what it cost
    assert record["facts"]["codec"] == "h264"
    assert not list((tmp_path / "run").rglob("*.tmp"))


def test_only_what_is_new_or_changed_is_read_and_scored_again(
    score: Callable[..., Scored], videos: Path, tmp_path: Path
) -> None:
    first = score()
    again = score()
    assert (again.waiting, again.calls, again.values) == (set(), set(), first.values)
    h264(videos / "cat-0-beach.mp4", 3, 4, height=16)  # another file under the same name
    gif(
        videos / "dog-0-road.gif", gradient(3)[:, ::-1], 250
    )  # another kind of file for the same item
    (videos / "dog-0-road.mp4").unlink()
    (videos / "cat-0-road.gif").unlink()  # gone
    (videos / "dog-0-beach" / "1.png").unlink()  # one frame less
    os.utime(videos / "dog-1-beach.gif")  # touched, not changed
    later = score()
    assert later.calls == {"cat-0-beach", "dog-0-road"}
    assert later.counts == {"done": 4, "failed": 2, "unscored": 0}
    assert later.records["cat-0-road"]["reason"].startswith("there is no video for this item")
    assert (
        later.records["dog-0-beach"]["reason"]
        == f"{videos / 'dog-0-beach'} holds 2 frames; 3 are asked for."
    )
    assert later.values["cat-0-beach", "mean-1"] != first.values["cat-0-beach", "mean-1"]
    assert later.values["cat-0-road", "mean-1"] is None
    kept = {path.name for path in (tmp_path / "run" / "videos" / "mine").iterdir()}
    assert kept == {"cat-0-beach.mp4", "dog-0-road.gif", "dog-1-beach.gif", "dog-1-road.mkv"}


def test_other_terms_read_the_videos_again(score: Callable[..., Scored]) -> None:
    score()
    assert score(Terms(num_frames=4, fps=4)).counts == {"done": 0, "failed": 6, "unscored": 0}
    assert score().counts == {"done": 6, "failed": 0, "unscored": 0}


def test_damaged_copy_is_made_again_and_its_scores_stay(
    score: Callable[..., Scored], tmp_path: Path
) -> None:
    score()
    copy = tmp_path / "run" / "videos" / "mine" / "cat-0-beach.mp4"
    copy.write_bytes(b"x")
    again = score()
    assert (again.calls, again.counts["done"]) == (set(), 6)
    assert copy.stat().st_size > 1


def test_file_that_changes_while_it_is_read_is_told(
    score: Callable[..., Scored], videos: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    look = intake._look

    def look_and_write(source: Path, terms: Terms) -> object:
        seen = look(source, terms)
        if source.suffix == ".mp4":
            source.write_bytes(source.read_bytes() + b"more")
        return seen

    monkeypatch.setattr(intake, "_look", look_and_write)
    scored = score()
    assert (
        scored.records["cat-0-beach"]["reason"]
        == f"{videos / 'cat-0-beach.mp4'} was changed while it was being read."
    )
    assert scored.counts["failed"] == 2


def test_videos_in_the_run_folder_itself_are_refused_and_kept(
    score: Callable[..., Scored], tiny_suite: PromptSuite, tmp_path: Path
) -> None:
    score()
    own = tmp_path / "run" / "videos" / "mine"
    before = {path.name: path.read_bytes() for path in own.iterdir()}
    with (
        RunStore(tmp_path / "run", tiny_suite, "mini") as store,
        pytest.raises(InputError, match="lies in the run folder .* itself"),
    ):
        Scored(store, match_folder(own, tiny_suite, "mini"))
    assert {path.name: path.read_bytes() for path in own.iterdir()} == before


def test_killed_at_any_record_the_next_run_ends_the_same(
    score: Callable[..., Scored], videos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = score()
    h264(videos / "cat-0-beach.mp4", 3, 4, height=16)
    (videos / "cat-0-road.gif").unlink()
    for appends in range(4):
        with monkeypatch.context() as patch:
            patch.setattr(RunStore, "_append", _stop_after(appends, RunStore._append))
            with pytest.raises(KeyboardInterrupt):
                score()
    last = score()
    assert last.counts == {"done": 5, "failed": 1, "unscored": 0}
    assert last.values["cat-0-beach", "mean-1"] != first.values["cat-0-beach", "mean-1"]
    assert last.values["dog-0-road", "mean-1"] == first.values["dog-0-road", "mean-1"]


def _stop_after(count: int, append: Callable) -> Callable:
    calls = iter(range(count))

    def stopping(*arguments: object) -> None:
        if next(calls, None) is None:
            raise KeyboardInterrupt
        append(*arguments)

    return stopping


def test_folder_of_other_models_is_refused(score: Callable[..., Scored], tmp_path: Path) -> None:
    score()
    root = tmp_path / "run"
    intake.check_folder(root, "mine", own_suite=False)
    intake.check_folder(tmp_path / "new", "mine", own_suite=False)
    for name, own in (("other", False), ("mine", True)):
        with pytest.raises(
            RunFolderError,
            match=r"holds mine, not given videos called \w+: name another one with --out",
        ):
            intake.check_folder(root, name, own_suite=own)
    manifest = json.loads((root / "manifest.json").read_text())
    manifest["models"]["mine"]["settings"] = {"weights": {}}  # a real model of that name
    (root / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(RunFolderError, match="not given videos called mine"):
        intake.check_folder(root, "mine", own_suite=False)


def record(**facts: object) -> dict:
    usual = {"codec": "ffv1", "lossless": True, "frames": 8, "fps": 8.0, "rate": "of the file"}
    return {"facts": {**usual, **facts}}


@pytest.mark.parametrize(
    ("changes", "suites_own", "expected"),
    [
        ([{}, {}], True, Shared(8, 8, "lossless")),
        ([{}, {"fps": 8.03}], True, Shared(8, 8, "lossless")),
        ([{}, {"fps": 8.05}], True, Shared(8, None, "lossless")),
        (
            [{"fps": 12.5}, {"fps": 12.5}],
            True,
            Shared(8, None, "lossless"),
        ),  # one rate, but not the suite's
        ([{"fps": 12.5}, {"fps": 12.5}], False, Shared(8, 12.5, "lossless")),
        ([{"fps": 12.5}, {}], False, Shared(8, None, "lossless")),
        ([{}, {"lossless": False}], True, Shared(8, 8, "lossy")),
        ([{}, {"frames": 9}], False, Shared(None, 8, "lossless")),
        ([], True, Shared(8, 8, "lossless")),
        ([], False, Shared(None, None, "lossless")),
    ],
)
def test_what_videos_have_in_common(
    make_suite: Callable, changes: list[dict], suites_own: bool, expected: Shared
) -> None:
    suite = make_suite(num_frames=8, fps=8) if suites_own else None
    assert (
        intake.shared(
            [record(**change) for change in changes], Terms(8 if suites_own else None, None), suite
        )
        == expected
    )


def test_remarks_say_why_numbers_are_not_comparable(make_suite: Callable) -> None:
    suite = make_suite(num_frames=8, fps=8)
    assert intake.remarks([record()], Terms(8, 8), suite) == []
    lossy = [
        record(),
        record(lossless=False, codec="h264", fps=12.5),
        record(lossless=False, codec="gif", fps=29.97002997),
    ]
    assert intake.remarks(lossy, Terms(8, 8), suite) == [
        "not comparable with runs of the suite tiny: lossy are 2 of 3 videos (gif, h264); "
        "another rate than 8 frames a second have 2 of 3 (12.5, 29.97)."
    ]
    assert (
        "they have 16 frames, the suite's 8"
        in intake.remarks([record(frames=16)], Terms(16, 8), suite)[0]
    )
    assert intake.remarks([record(), record(rate="assumed")], Terms(8, 8), suite) == [
        "folders of pictures have no rate; 8 a second was taken for 1 of 2 videos."
    ]
    assert intake.remarks([record(rate="assumed", fps=1.0)], Terms(None, None), None) == [
        "folders of pictures have no rate; 1 a second was taken for 1 of 1 videos, and motion depends on it: see --fps."
    ]
    assert (
        "they have different numbers of frames (8, 16)"
        in intake.remarks([record(), record(frames=16)], Terms(None, None), None)[0]
    )


@pytest.fixture
def manifest(tmp_path: Path) -> Path:
    """Three rows of two subjects, one of which has two images."""
    from PIL import Image

    folder = tmp_path / "given"
    folder.mkdir()
    for name, colour in (("rex", "red"), ("rex2", "orange"), ("mia", "black")):
        Image.new("RGB", (20, 16), colour).save(folder / f"{name}.png")
    for name in "abc":
        h264(folder / f"{name}.mp4", 5, 10)
    rows = "a.mp4,rex.png,a dog on the road,Rex\nb.mp4,mia.png,a cat,Mia\nc.mp4,rex2.png,Rex on the beach,Rex\n"
    (folder / "m.csv").write_text(f"video,image,text,subject\n{rows}")
    return folder / "m.csv"


@pytest.fixture
def score_manifest(manifest: Path, tmp_path: Path) -> Callable[[], Scored]:
    def score() -> Scored:
        rows, _ = read_manifest(manifest)
        with own_suite.opened(tmp_path / "run", rows, scale="mini", num_frames=None, fps=None) as (
            store,
            submission,
        ):
            return Scored(store, submission, Terms(None, None))

    return score


def test_manifest_becomes_a_suite_in_the_run_folder(
    score_manifest: Callable[[], Scored], manifest: Path, tmp_path: Path
) -> None:
    scored = score_manifest()
    assert scored.counts == {"done": 3, "failed": 0, "unscored": 0}
    suite = load_suite(tmp_path / "run" / "suite")
    assert (suite.name, suite.num_frames, suite.size, suite.fps, suite.metrics) == (
        "manifest",
        5,
        32,
        10,
        own_suite.METRICS,
    )
    assert [(item.id, item.subject.id, item.text, item.subject_word) for item in suite.items] == [
        ("0001-Rex", "Rex", "a dog on the road", "a dog on the road"),
        ("0002-Mia", "Mia", "a cat", "a cat"),
        ("0003-Rex", "Rex", "Rex on the beach", "Rex"),
    ]
    rex = suite.items[0].subject
    assert [file_digest(path) for path in (rex.image, *rex.references)] == [
        file_digest(manifest.parent / name) for name in ("rex.png", "rex2.png")
    ]
    assert [path.name for path in (tmp_path / "run").iterdir() if "new" in path.name] == []


def test_manifests_of_the_same_prompts_make_the_same_suite(
    score_manifest: Callable[[], Scored], manifest: Path, tmp_path: Path
) -> None:
    score_manifest()
    h264(manifest.parent / "d.mp4", 5, 10)
    other = manifest.with_name("other.csv")
    other.write_text(manifest.read_text().replace("a.mp4", "d.mp4"))
    rows, _ = read_manifest(other)
    with own_suite.opened(tmp_path / "second", rows, scale="mini", num_frames=None, fps=None) as (
        _,
        submission,
    ):
        assert submission.suite.digest == load_suite(tmp_path / "run" / "suite").digest


def test_changed_manifest_scores_only_its_changed_rows(
    score_manifest: Callable[[], Scored], manifest: Path, tmp_path: Path
) -> None:
    from PIL import Image

    first = score_manifest()
    assert score_manifest().calls == set()
    manifest.write_text(
        manifest.read_text().replace("a cat", "a cat at night")
    )  # the same video under another text
    assert score_manifest().calls == {"0002-Mia"}
    Image.new("RGB", (20, 16), "green").save(
        manifest.parent / "rex2.png"
    )  # all of a subject's videos are held against it
    assert score_manifest().calls == {"0001-Rex", "0003-Rex"}
    manifest.write_text(manifest.read_text() + "b.mp4,mia.png,a cat,Mia\n")
    assert score_manifest().calls == {"0004-Mia"}
    manifest.write_text(
        "\n".join(manifest.read_text().splitlines()[:2])
    )  # rows that are gone leave nothing behind
    last = score_manifest()
    assert (last.calls, set(last.records)) == ({"0001-Rex"}, {"0001-Rex"})  # Rex has lost an image
    assert last.values["0001-Rex", "mean-1"] == first.values["0001-Rex", "mean-1"]
    assert len((tmp_path / "run" / "scores.jsonl").read_text().splitlines()) == 2


def test_row_whose_image_cannot_be_read_stays_a_record(
    score_manifest: Callable[[], Scored], manifest: Path
) -> None:
    (manifest.parent / "mia.png").write_text("no picture")
    (manifest.parent / "rex2.png").unlink()
    manifest.write_text(
        manifest.read_text() + "c.mp4,,a dog,Bo\n,rex.png,a dog,Rex\n../c.mp4,rex.png,a dog,Rex\n"
    )
    scored = score_manifest()
    reasons = {item: record["reason"] for item, record in scored.records.items()}
    assert reasons == {
        "0001-Rex": None,
        "0002-Mia": reasons["0002-Mia"],
        "0003-Rex": f"there is no picture {manifest.parent / 'rex2.png'}.",
        "0004-Bo": "line 5 of the manifest names no image.",
        "0005-Rex": "line 6 of the manifest names no video.",
        "0006-Rex": f"there is no video {manifest.parent / '../c.mp4'}.",
    }
    assert "mia.png is not a picture that can be read" in reasons["0002-Mia"]
    (manifest.parent / "mia.png").write_bytes((manifest.parent / "rex.png").read_bytes())
    assert "0002-Mia" in score_manifest().calls


def test_paths_that_cannot_be_looked_at_are_reasons(
    score_manifest: Callable[[], Scored], manifest: Path
) -> None:
    manifest.write_text(
        manifest.read_text()
        + f"{'v' * 2000},rex.png,a dog,Rex\na.mp4,{'i' * 2000}.png,a dog,Rex\n{'d/' * 900},rex.png,x,Rex\n"
    )
    reasons = [record["reason"] for record in score_manifest().records.values()]
    assert reasons[:3] == [None] * 3
    assert [reason.rsplit(": ", 1)[-1] for reason in reasons[3:5]] == ["File name too long."] * 2
    assert reasons[5].startswith("there is no video")


def test_two_processes_cannot_change_one_suite(manifest: Path, tmp_path: Path) -> None:
    rows, _ = read_manifest(manifest)
    given: Iterator = own_suite.opened(
        tmp_path / "run", rows, scale="mini", num_frames=None, fps=None
    )
    with given, pytest.raises(RunFolderError, match="another process is writing"):
        own_suite.opened(
            tmp_path / "run",
            [replace(rows[0], text="changed")],
            scale="mini",
            num_frames=None,
            fps=None,
        ).__enter__()
    assert load_suite(tmp_path / "run" / "suite").items[0].text == "a dog on the road"


def test_pixels_decide_about_scores_and_not_the_container(
    score: Callable[..., Scored], videos: Path
) -> None:
    score()
    (videos / "dog-0-beach").rename(videos.parent / "pictures")
    write_video_lossless(videos / "dog-0-beach.mkv", read_video(videos.parent / "pictures", fps=4))
    assert score().calls == {"dog-0-beach"}  # another file is another video
