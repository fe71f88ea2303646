"""From a request to scores of videos that are there already: what ``vbbench score`` and
`vbbench.score` share. Nothing here prints."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vbbench.core.digests import file_digest
from vbbench.core.environment import choose_device, default_threads, describe
from vbbench.core.threads import torch_threads
from vbbench.data.suites import load_suite
from vbbench.errors import InputError, UsageError
from vbbench.media.video import check_frames, write_video_lossless
from vbbench.runner import submission as submissions
from vbbench.runner import video_manifest
from vbbench.runner.api import MOST_THREADS, check_count
from vbbench.runner.manifest import make_manifest
from vbbench.runner.progress import Progress
from vbbench.runner.scoring import (
    MetricScorer,
    ScoringRequest,
    score_run,
    setting_note,
    videos_to_score,
)
from vbbench.runner.store import RunStore
from vbbench.runner.submission import Shared, Submission, Terms, is_safe, safe_name
from vbbench.runner.video_manifest import Row
from vbbench.types import PromptSuite, Video

if TYPE_CHECKING:
    from PIL.Image import Image

    VideoSource = Any  # Path | str | Video | np.ndarray

MINIATURE = (
    "the miniature encoders have only seen the miniature world;"
    " --scale sd14 measures videos of the real one."
)


@dataclass(frozen=True)
class GivenRows:
    """Videos with their own prompts, in the place of a manifest file.

    Attributes:
        rows: one a video.
        problems: row id -> why there is no video to look at.
        notes: sentences that the user should read.
    """

    rows: tuple[Row, ...]
    problems: Mapping[str, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class ScoreRequest:
    """Everything that a user can ask of the scoring of given videos. Exactly one of ``videos``,
    ``manifest`` and ``given`` says which they are.

    Attributes:
        videos: a folder of videos for the items of ``suite``.
        suite: a bundled suite's name or a suite's folder.
        manifest: a CSV file that names videos and what they were made from.
        given: the same from Python.
        name: of the row in the leaderboard; None for the folder's or manifest's name.
        title: of the row in the leaderboard; None for its name.
        out: the run folder; None for ``runs/<suite>-<name>``.
        scale: None for the suite's, or ``mini``.
        num_frames: that each video must have; None for the suite's, or any.
        fps: frames a second of folders of pictures; None for the suite's, or 1.
        scoring: how the videos are scored.
        device: ``auto``, ``cpu`` or ``cuda``.
        threads: CPU threads; None for the scale's.
        command: what the manifest says the run was made by; None for the process's own command.
    Raises:
        UsageError: a number that cannot be.
    """

    videos: Path | None = None
    suite: str | Path | None = None
    manifest: Path | None = None
    given: GivenRows | None = None
    name: str | None = None
    title: str | None = None
    out: Path | None = None
    scale: str | None = None
    num_frames: int | None = None
    fps: float | None = None
    scoring: ScoringRequest = field(default_factory=ScoringRequest)
    device: str = "auto"
    threads: int | None = None
    command: str | None = None

    def __post_init__(self) -> None:
        check_count("frames", self.num_frames)
        check_count("scoring batch", self.scoring.batch_size)
        check_count("threads", self.threads, MOST_THREADS)
        if self.fps is not None and not 0 < self.fps <= 1000:
            raise UsageError(f"fps must be above 0 and at most 1000, not {self.fps}.")

    @property
    def own_suite(self) -> bool:
        """Whether the videos bring their own prompts."""
        return self.videos is None


@dataclass(frozen=True)
class PreparedScore:
    """Given videos that can be scored.

    Attributes:
        store: the open run folder.
        submission: which video answers which item.
        name: of the row in the leaderboard; safe to name folders.
    """

    request: ScoreRequest
    store: RunStore
    submission: Submission
    name: str

    @property
    def root(self) -> Path:
        """The run folder."""
        return self.store.root

    @property
    def comparable_suite(self) -> PromptSuite | None:
        """The suite whose runs the numbers may be compared with; None where the videos brought
        their own prompts."""
        return None if self.request.own_suite else self.submission.suite

    @property
    def terms(self) -> Terms:
        """What every video is held to."""
        num_frames, fps = self.request.num_frames, self.request.fps
        suite = self.comparable_suite
        if suite is not None:
            num_frames, fps = num_frames or suite.num_frames, fps or suite.fps
        return Terms(num_frames, fps)

    @property
    def device(self) -> str:
        """``cpu`` or ``cuda``."""
        return choose_device(self.request.device, self.submission.scale)

    def interruption(self) -> str:
        """What stays of a scoring that was stopped, in one sentence."""
        return (
            f"stopped; all that is done is kept in {self.root}."
            " Run the same command again to go on."
        )


@contextmanager
def prepare_score(request: ScoreRequest) -> Iterator[PreparedScore]:
    """The run folder, open, and what is given; whatever the user got wrong is an error before the
    folder is made.

    Raises:
        UsageError: a wrong name, or options that do not go together.
        InputError: a folder or manifest that cannot be read.
        SuiteError, WeightsError: a suite or an encoder that cannot be used.
        RunFolderError: the run folder holds something else, is damaged, or is open in another
            process.
    """
    if sum(source is not None for source in (request.videos, request.manifest, request.given)) != 1:
        raise UsageError("one of a folder of videos, a manifest, and rows of videos is needed.")
    name = _name(request)
    opened = _opened_folder if request.videos is not None else _opened_rows
    with opened(request, name) as (store, submission):
        yield PreparedScore(request, store, submission, name)


def score_prepared(prepared: PreparedScore, progress: Progress) -> None:
    """Read what is new, and score what has no score. A video that cannot be read is a record with
    its reason.

    Args:
        progress: told of every stage and every video; the caller enters and leaves it.
    Raises:
        InputError: something given lies in the run folder, where it would be overwritten.
        KeyboardInterrupt: as it comes; all that is done is kept.
    """
    wanted = prepared.request.threads
    threads = wanted or default_threads(prepared.submission.scale, prepared.device)
    with torch_threads(threads):
        _score(prepared, threads, progress)


def _score(prepared: PreparedScore, threads: int, progress: Progress) -> None:
    store, submission, name = prepared.store, prepared.submission, prepared.name
    terms, suite = prepared.terms, prepared.comparable_suite
    nothing_read = submissions.shared([], terms, suite)
    _write_manifest(prepared, threads, nothing_read, None)
    for note in submission.notes:
        progress.say(f"Note: {note}")
    submissions.take_in(store, name, submission.given, terms, progress)
    records = submissions.done_records(store, name)
    for note in submissions.remarks(records, terms, suite):
        progress.say(f"Note: {note}")
    shared = submissions.shared(records, terms, suite)
    scorer = _scorer(prepared.request, submission.suite.metrics, submission.scale, shared)
    left_out = _write_manifest(prepared, threads, shared, scorer)
    if left_out:
        progress.say(setting_note(left_out))
    to_score = videos_to_score(store, scorer.specs)
    if to_score:
        progress.stage("scoring", len(to_score))
        score_run(store, submission.suite, scorer, lambda _: progress.advance())
    store.tidy(scorer.specs)


def _name(request: ScoreRequest) -> str:
    """The model's name. It names folders: an unsafe one is refused, an unsafe default made safe."""
    if request.name is not None:
        if not is_safe(request.name):
            raise UsageError(
                f"--name {request.name!r} cannot name a folder: letters, digits, '.', '_' and '-'"
                " can, at most 64; see --title."
            )
        return request.name
    if request.videos is not None:
        return safe_name(request.videos.absolute().name)
    return safe_name(request.manifest.stem) if request.manifest is not None else "videos"


@contextmanager
def _opened_folder(request: ScoreRequest, name: str) -> Iterator[tuple[RunStore, Submission]]:
    """The run folder for videos of a suite's items."""
    if request.videos is None or request.suite is None:
        raise UsageError("a folder of videos needs the suite whose items they are for.")
    suite = load_suite(request.suite)
    root = request.out or Path("runs") / f"{suite.name}-{name}"
    submission = submissions.match_folder(request.videos, suite, request.scale or suite.scale)
    _check_scorer(request, suite.metrics, submission.scale)
    submissions.check_folder(root, name, own_suite=False)
    with RunStore(root, suite, submission.scale) as store:
        yield store, submission


@contextmanager
def _opened_rows(request: ScoreRequest, name: str) -> Iterator[tuple[RunStore, Submission]]:
    """The run folder for videos with their own prompts, from a manifest or from Python."""
    given = request.given
    if given is None:
        rows, notes = video_manifest.read_manifest(request.manifest or Path())
        given = GivenRows(tuple(rows), notes=tuple(notes))
    root = request.out or Path("runs") / f"{video_manifest.NAME}-{name}"
    scale = request.scale or "mini"
    _check_scorer(request, video_manifest.METRICS, scale)
    submissions.check_folder(root, name, own_suite=True)
    notes = [*given.notes, *([MINIATURE] if scale == "mini" else [])]
    opened = video_manifest.opened(
        root, given.rows, scale=scale, num_frames=request.num_frames, fps=request.fps
    )
    with opened as (store, submission):
        yield (
            store,
            replace(
                submission,
                given=_with_problems(submission, given.problems),
                notes=(*notes, *submission.notes),
            ),
        )


def _with_problems(
    submission: Submission, problems: Mapping[str, str]
) -> tuple[submissions.Given, ...]:
    """What is given, with the reasons why some of it cannot be looked at."""
    found = []
    for entry in submission.given:
        problem = problems.get(entry.item.id)
        if problem is not None:
            entry = replace(entry, source=None, reason=problem)
        found.append(entry)
    return tuple(found)


def _check_scorer(request: ScoreRequest, metrics: tuple[str, ...], scale: str) -> None:
    """Raises what is wrong with the metrics or encoders that are asked for."""
    _scorer(request, metrics, scale, Shared(None, None, "lossless"))


def _scorer(
    request: ScoreRequest, metrics: tuple[str, ...], scale: str, shared: Shared
) -> MetricScorer:
    setting = request.scoring.setting(
        scale, num_frames=shared.num_frames, fps=shared.fps, storage=shared.storage
    )
    return request.scoring.scorer(metrics, setting, choose_device(request.device, scale))


def _write_manifest(
    prepared: PreparedScore, threads: int, shared: Shared, scorer: MetricScorer | None
) -> list[str]:
    """Write what a reader of the run must know of how it was made; without a scorer, so that a run
    that is stopped early can go on. Returns names of metrics that do not stay."""
    request, store, submission = prepared.request, prepared.store, prepared.submission
    title = (request.title or prepared.name).encode("utf-8", "replace").decode("utf-8")
    record = submissions.model_record(
        store, prepared.name, title, shared, own_suite=request.own_suite
    )
    environment = describe(prepared.device, threads)
    specs = scorer.specs if scorer is not None else ()
    manifest = make_manifest(
        submission.suite, submission.scale, {prepared.name: record}, specs, environment
    )
    if request.command is not None:
        manifest["command"] = request.command
    return store.write_manifest(manifest)


@contextmanager
def scored_folder(out: Path | None) -> Iterator[Path]:
    """The run folder ``out``, or a new temporary one, which is removed if the work in it fails."""
    if out is not None:
        yield out
        return
    folder = Path(tempfile.mkdtemp(prefix="vbbench-score-"))
    try:
        yield folder
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise


def given_rows(
    videos: Sequence[VideoSource],
    texts: Sequence[str],
    images: Sequence[Path | str | Image],
    folder: Path,
    *,
    subjects: Sequence[str] | None = None,
    fps: float | None = None,
) -> GivenRows:
    """Rows made of lists from Python.

    Args:
        videos: paths, `Video`s, or arrays uint8 (T, H, W, 3), RGB; a bad one becomes a problem.
        texts: text prompts.
        images: image prompts: paths or PIL images.
        folder: where arrays and PIL images are written, without loss; no run folder.
        subjects: names of the individuals; None: equal image prompts show one individual.
        fps: frames a second of arrays; None for 1.
    Raises:
        UsageError: no video, lists of different lengths, or a text that is none.
        InputError: an image that is neither a path nor a PIL image.
    """
    _check_lists(videos, texts, images, subjects)
    paths = [_image_path(image, folder / "images" / f"{n}.png") for n, image in enumerate(images)]
    names = list(subjects) if subjects is not None else _subjects_by_image(paths)
    rows, problems, arrays = [], {}, 0
    for number, (video, text, image, name) in enumerate(
        zip(videos, texts, paths, names, strict=True), start=1
    ):
        row_id = f"{number:04d}-{safe_name(name)}"
        path = None
        try:
            path = _video_path(video, folder / "videos" / f"{row_id}.mkv", fps)
            arrays += not isinstance(video, Path | str | Video)
        except (InputError, ValueError) as error:
            problems[row_id] = f"video {number}: {error}"
        rows.append(
            Row(
                line=number,
                id=row_id,
                subject=safe_name(name),
                subject_name=name,
                text=text,
                video=path,
                image=image,
                class_name=None,
                subject_word=None,
            )
        )
    notes: tuple[str, ...] = ()
    if arrays and fps is None:
        notes = (
            f"arrays have no rate; 1 frame a second was taken for {arrays} of {len(rows)} videos,"
            " and motion depends on it: see fps.",
        )
    return GivenRows(tuple(rows), problems, notes)


def _check_lists(
    videos: Sequence[Any],
    texts: Sequence[str],
    images: Sequence[Any],
    subjects: Sequence[str] | None,
) -> None:
    lists = {"videos": videos, "texts": texts, "images": images}
    if subjects is not None:
        lists["subjects"] = subjects
    for name, values in lists.items():
        if isinstance(values, str | bytes | Path):
            raise UsageError(f"{name} must be a list, one a video, not {values!r}.")
    lengths = {name: len(values) for name, values in lists.items()}
    if len(set(lengths.values())) > 1:
        counts = ", ".join(f"{count} {name}" for name, count in lengths.items())
        raise UsageError(f"the lists must have one length, one entry a video, not {counts}.")
    if not len(videos):
        raise UsageError("no video was given.")
    for name in ("texts", "subjects"):
        for number, text in enumerate(lists.get(name, ()), start=1):
            if not isinstance(text, str) or not text.strip():
                raise UsageError(f"entry {number} of {name} must be a text, not {text!r}.")


def _image_path(image: Any, target: Path) -> Path:
    """Where the image lies; a PIL image is written to ``target``."""
    if isinstance(image, Path | str):
        return Path(image)
    if not hasattr(image, "save"):
        raise InputError(
            f"an image must be a path or a PIL image, not {type(image).__name__}: "
            "PIL.Image.fromarray makes one of an array."
        )
    target.parent.mkdir(parents=True, exist_ok=True)
    image.save(target)
    return target


def _subjects_by_image(paths: Sequence[Path]) -> list[str]:
    """A name for each image; images of the same bytes have the same name."""
    numbers: dict[str, int] = {}
    names = []
    for path in paths:
        try:
            key = file_digest(path)
        except OSError:  # the row will say so
            key = str(path)
        number = numbers.setdefault(key, len(numbers) + 1)
        names.append(f"subject-{number}")
    return names


def _video_path(video: Any, target: Path, fps: float | None) -> Path:
    """Where the video lies; frames are written to ``target``.

    Raises:
        ValueError: frames of another type or shape.
        InputError: no kind of video.
    """
    if isinstance(video, Path | str):
        return Path(video)
    if not isinstance(video, Video):
        if not hasattr(video, "dtype"):
            raise InputError(
                f"it must be a path, a Video or a uint8 array (T, H, W, 3), not"
                f" {type(video).__name__}."
            )
        video = Video(check_frames(video), fps or 1)
    write_video_lossless(target, video)
    return target
