"""Videos that somebody hands in: which of them answers which prompt item.

A name says which item a video is for, and nothing else is ever read from it: texts and pictures
come from the suite.
"""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from vbbench.core.digests import file_digest, sha256_of
from vbbench.core.names import closest
from vbbench.errors import InputError, RunFolderError, one_line
from vbbench.runner.hashing import digest_of, item_content
from vbbench.runner.progress import Progress
from vbbench.runner.records import Record, read_manifest_or_none
from vbbench.runner.store import RunStore
from vbbench.types import Job, PromptItem, PromptSuite, Video

SHOWN = 5  # names in one line
MOST_COMPARED = 100  # names that are held against all ids; it takes a while
_SAFE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")


@dataclass(frozen=True)
class Given:
    """What was handed in for an item: a file or a folder of pictures, or the reason why there is
    none to look at."""

    item: PromptItem
    source: Path | None
    reason: str | None = None


@dataclass(frozen=True)
class Submission:
    """One video an item of a suite, in its order; the scale to score them at; and sentences that
    the user should read."""

    suite: PromptSuite
    scale: str
    given: tuple[Given, ...]
    notes: tuple[str, ...] = ()


def is_safe(name: str) -> bool:
    """Whether a name may name files and folders anywhere."""
    return _SAFE.fullmatch(name) is not None


def safe_name(name: str) -> str:
    """The name itself if it is safe, else what is safe of it and a digest of the whole: different
    names stay different."""
    if is_safe(name):
        return name
    kept = re.sub(r"[^A-Za-z0-9._-]+", "-", name).strip("-._")[:40]
    return f"{kept or 'x'}-{sha256_of(name)[:8]}"


def listed(names: Sequence[str]) -> str:
    """The first `SHOWN` of them in one line, and how many more there are."""
    more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    return f"{', '.join(names[:SHOWN])}{more}"


def match_folder(folder: Path, suite: PromptSuite, scale: str) -> Submission:
    """The videos of a folder: ``<item id>.mp4`` (or another of `SUFFIXES`), or a folder ``<item
    id>`` of pictures.

    Links are followed, wherever they lead; those that lead out of the folder are told.

    Raises:
        InputError: no folder, or nothing in it is called like an item of the suite.
    """
    from vbbench.media.video import SUFFIXES

    if not folder.is_dir():
        raise InputError(
            f"{folder} is a file, not a folder of videos."
            if folder.exists()
            else f"there is no folder {folder}."
        )
    ids = {item.id for item in suite.items}
    found: dict[str, list[Path]] = {}
    strangers = []
    for entry in sorted(entry for entry in folder.iterdir() if not entry.name.startswith(".")):
        video = (
            entry.name
            if entry.is_dir()
            else entry.stem
            if entry.suffix.lower() in SUFFIXES
            else None
        )
        if video in ids:
            found.setdefault(video, []).append(entry)
        else:
            strangers.append(entry)
    missing = [item.id for item in suite.items if item.id not in found]
    notes = [_about_strangers(folder, strangers, missing, suite)] if strangers else []
    if not found:
        raise InputError(
            f"nothing in {folder} is called like an item of the suite {suite.name}, whose first video would be {suite.items[0].id}.mp4."
            f"{' ' + notes[0] if notes else ''}"
        )
    outside = [path for paths in found.values() for path in paths if _leads_out(path, folder)]
    if outside:
        notes.append(
            f"{len(outside)} of the videos are links out of {folder}, which were followed: {_names(outside)}."
        )
    given = tuple(
        _given(item, found.get(item.id, []), strangers, folder, SUFFIXES) for item in suite.items
    )
    return Submission(suite, scale, given, tuple(notes))


def _given(
    item: PromptItem,
    paths: Sequence[Path],
    strangers: Iterable[Path],
    folder: Path,
    suffixes: Sequence[str],
) -> Given:
    if len(paths) == 1:
        return Given(item, paths[0])
    if paths:
        return Given(item, None, f"there are {len(paths)} videos for this item: {_names(paths)}.")
    alike = [entry for entry in strangers if entry.stem == item.id]
    hint = (
        f" ({_names(alike)}: known are {', '.join(suffixes)} and folders of pictures)"
        if alike
        else ""
    )
    return Given(item, None, f"there is no video for this item: {item.id}.* in {folder}{hint}.")


def _about_strangers(
    folder: Path, strangers: Sequence[Path], missing: Sequence[str], suite: PromptSuite
) -> str:
    lower: Mapping[str, str] = {item_id.lower(): item_id for item_id in missing}
    near = {entry: _nearest(entry, lower) for entry in strangers[:MOST_COMPARED]}
    ordered = sorted(
        strangers, key=lambda entry: near.get(entry) is None
    )  # those that may be meant for an item come first
    shown = [
        f"{entry.name} (did you mean {near[entry]}?)" if near.get(entry) else entry.name
        for entry in ordered
    ]
    count = (
        f"{len(strangers)} names in {folder} are"
        if len(strangers) > 1
        else f"one name in {folder} is"
    )
    return f"{count} no item of the suite {suite.name} and left out: {listed(shown)}."


def _nearest(entry: Path, lower: Mapping[str, str]) -> str | None:
    meant = closest(entry.stem, lower, similarity=0.75)
    return None if meant is None else lower[meant]


def _leads_out(path: Path, folder: Path) -> bool:
    return not Path(os.path.realpath(path)).is_relative_to(os.path.realpath(folder))


def _names(paths: Sequence[Path]) -> str:
    return listed([path.name for path in paths])


# Takes given videos into a run folder: each is looked at once, and becomes a record, of a video or
# of the reason why there is none.

CLOSE = 0.005  # rates that differ by less are one rate
KIND = "given videos"


@dataclass(frozen=True)
class Terms:
    """What every video is held to: its number of frames, None for any; and the rate of folders of
    pictures, None where unknown."""

    num_frames: int | None
    fps: float | None


@dataclass(frozen=True)
class Shared:
    """What all videos that could be read have in common: frames and rate, None where they differ;
    and whether any is lossy."""

    num_frames: int | None
    fps: float | None
    storage: str


def check_folder(root: Path, name: str, own_suite: bool) -> None:
    """Does nothing where a run folder is new, or of the same kind of scoring.

    Raises:
        RunFolderError: it is no run folder, or holds other models, whose videos must not be
            measured by what these are like.
    """
    models = read_manifest_or_none(root).get("models", {})
    kinds = {model: record.get("settings") for model, record in models.items()}
    if kinds and kinds != {name: settings_of(own_suite)}:
        raise RunFolderError(
            f"the run folder {root} holds {', '.join(sorted(kinds))}, not {KIND} called {name}: name another one with --out; "
            "`vbbench report` puts several side by side."
        )


def settings_of(own_suite: bool) -> dict[str, str]:
    """What the manifest of a run keeps as the settings of its model, where that is given videos."""
    return {"source": KIND, "prompts": "a manifest's" if own_suite else "the suite's"}


def model_record(
    store: RunStore, name: str, title: str, shared: Shared, *, own_suite: bool
) -> dict[str, Any]:
    """What the manifest of a run says of given videos, in the place of a model: the same keys as of
    any model."""
    items = {record["item_id"]: record for record in store.jobs.values() if record["model"] == name}
    done = sum(record["status"] == "done" for record in items.values())
    return {
        "digest": digest_of(
            {item: record["facts"].get("content") for item, record in items.items()}
        ),
        "recipe": name,
        "training_seed": None,
        "trained": {},
        "title": title,
        "description": f"Given as files: {done} videos for {len(items)} items.",
        "citation": "",
        "groups": [],
        "role": "",
        "fitted": False,
        "weights": {},
        "settings": settings_of(own_suite),
        "params": asdict(shared),
    }


def take_in(
    store: RunStore, name: str, given: Sequence[Given], terms: Terms, progress: Progress
) -> None:
    """Bring the run folder's records in line with what is given. What has not changed since is not
    read again.

    Raises:
        InputError: something given lies in the run folder, where it would be overwritten.
        OSError: the run folder cannot be written to.
    """
    for entry in given:
        if entry.source is not None and Path(os.path.realpath(entry.source)).is_relative_to(
            os.path.realpath(store.root)
        ):
            raise InputError(
                f"{entry.source} lies in the run folder {store.root} itself: name another one with --out."
            )
    progress.stage("reading", len(given))
    for entry in given:
        progress.advance(failed=not _take(store, name, entry, terms))


def _take(store: RunStore, name: str, entry: Given, terms: Terms) -> bool:
    from vbbench.media.video import content_digest

    content, reason = "", entry.reason
    try:
        if entry.source is not None:
            content = content_digest(entry.source)
    except InputError as error:
        reason = one_line(error)
    job = _job(name, entry.item, content, terms)
    if store.is_done(job):
        return True
    store.forget(job)
    if reason is None and entry.source is not None:
        try:
            video, facts = _look(entry.source, terms)
            store.keep_given(job, entry.source, video, {"content": content, **facts})
        except InputError as error:
            reason = one_line(error)
    if reason is not None:
        store.keep_failure(job, reason, seconds=None, memory_mb=None)
    return reason is None


def _job(name: str, item: PromptItem, content: str, terms: Terms) -> Job:
    """A job whose hash covers everything that decides the record, or the scores of the video."""
    subject = item.subject
    pictures = [file_digest(path) for path in (*subject.references, *subject.masks)]
    known = {
        "video": content,
        "item": item_content(item),
        "pictures": pictures,
        "terms": [terms.num_frames, terms.fps],
    }
    return Job("sample", name, subject.id, item.id, digest_of(known))


def _look(source: Path, terms: Terms) -> tuple[Video, dict[str, Any]]:
    """The decoded video and what is worth keeping of it.

    Raises:
        InputError: it cannot be read, holds one frame, or another number than is asked for.
    """
    from vbbench.media.video import probe, read_video

    header = probe(source)
    video = read_video(source, fps=terms.fps)
    count, height, width, _ = video.frames.shape
    if count == 1:
        raise InputError(f"{source} holds one frame: a picture, not a video.")
    if terms.num_frames not in (None, count):
        raise InputError(f"{source} holds {count} frames; {terms.num_frames} are asked for.")
    facts = {
        "codec": header.codec,
        "lossless": header.lossless,
        "frames": count,
        "height": height,
        "width": width,
        "fps": video.fps,
    }
    return video, {**facts, "rate": "assumed" if source.is_dir() else "of the file"}


def done_records(store: RunStore, name: str) -> list[Record]:
    """Records of the given videos that could be read."""
    return [
        record
        for record in store.jobs.values()
        if record["model"] == name and record["status"] == "done"
    ]


def shared(records: Sequence[Record], terms: Terms, suite: PromptSuite | None) -> Shared:
    """What the videos have in common. Held to a suite, only its own rate counts as one.

    Args:
        suite: whose runs the numbers may be compared with; None where it was made for these videos.
    """
    facts = [record["facts"] for record in records]
    lossless = all(fact["lossless"] for fact in facts)
    counts = {fact["frames"] for fact in facts}
    num_frames = terms.num_frames or (counts.pop() if len(counts) == 1 else None)
    rates = [fact["fps"] for fact in facts]
    wanted = suite.fps if suite else min(rates, default=None)
    same = wanted is not None and all(_is_close(rate, wanted) for rate in rates)
    return Shared(num_frames, wanted if same else None, "lossless" if lossless else "lossy")


def remarks(records: Sequence[Record], terms: Terms, suite: PromptSuite | None) -> list[str]:
    """What the user should know of the videos before comparing numbers."""
    facts = [record["facts"] for record in records]
    lossy = [fact["codec"] for fact in facts if not fact["lossless"]]
    told = []
    if lossy:
        told.append(
            f"lossy are {len(lossy)} of {len(facts)} videos ({', '.join(sorted(set(lossy)))})"
        )
    if suite:
        other = [fact["fps"] for fact in facts if not _is_close(fact["fps"], suite.fps)]
        if other:
            told.append(
                f"another rate than {suite.fps} frames a second have {len(other)} of {len(facts)} ({_few(other)})"
            )
        if terms.num_frames != suite.num_frames:
            told.append(f"they have {terms.num_frames} frames, the suite's {suite.num_frames}")
        told = (
            [f"not comparable with runs of the suite {suite.name}: {'; '.join(told)}."]
            if told
            else []
        )
    else:
        common = shared(records, terms, suite)
        for what, key, value in (
            ("numbers of frames", "frames", common.num_frames),
            ("rates", "fps", common.fps),
        ):
            if value is None and facts:
                told.append(f"they have different {what} ({_few([fact[key] for fact in facts])})")
        told = [f"comparable only with videos of their kind: {'; '.join(told)}."] if told else []
    assumed = sum(fact["rate"] == "assumed" for fact in facts)
    if assumed:
        why = "" if terms.fps else ", and motion depends on it: see --fps"
        told.append(
            f"folders of pictures have no rate; {terms.fps or 1:g} a second was taken for {assumed} of {len(facts)} videos{why}."
        )
    return told


def _is_close(rate: float, wanted: float) -> bool:
    return abs(rate - wanted) <= CLOSE * wanted


def _few(numbers: Sequence[float]) -> str:
    counts = Counter(f"{number:g}" for number in numbers)
    shown = [number for number, _ in counts.most_common(4)]
    return ", ".join([*sorted(shown, key=float), *(["..."] if len(counts) > 4 else [])])
