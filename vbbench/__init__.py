"""vbbench: evaluation and benchmarking of image-prompted video generation.

    import vbbench

    run = vbbench.run("videobooth,baselines", suite="mini", prompts_per_subject=1)
    run.table, run.scores, run.failures
    vbbench.load_run("runs/mini").compare("videobooth", "elite")
    vbbench.score(videos=["a.mp4"], texts=["a dog on the beach"], images=["dog.png"]).table
    vbbench.check_gate("runs/mini", against="scores.json").verdicts

Importing this costs next to nothing: what a function needs is imported when it is called.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from vbbench.core.version import __version__

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence
    from pathlib import Path

    import numpy as np
    from PIL.Image import Image

    from vbbench.attention import injection_attention
    from vbbench.results.run import GateCheck, Run
    from vbbench.types import PromptItem, PromptSuite, Video

__all__ = [
    "PromptItem",
    "Run",
    "Video",
    "__version__",
    "check_gate",
    "injection_attention",
    "load_run",
    "run",
    "score",
]

_LAZY = {
    "PromptItem": "vbbench.types",
    "Run": "vbbench.results.run",
    "Video": "vbbench.types",
    "injection_attention": "vbbench.attention",
}


def __getattr__(name: str) -> Any:
    if name not in _LAZY:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(importlib.import_module(_LAZY[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})


def run(
    models: str | Path | Sequence[str | Path] = "videobooth,baselines",
    *,
    suite: str | Path | PromptSuite = "mini",
    out: Path | str | None = None,
    scale: str | None = None,
    prompts_per_subject: int | None = None,
    references: bool = True,
    steps: int | None = None,
    guidance: float | None = None,
    scheduler: str | None = None,
    batch_size: int | None = None,
    dtype: str | None = None,
    offload: bool = False,
    metrics: str | Sequence[str] | None = None,
    clip: str | None = None,
    dino: str | None = None,
    precision: str = "float32",
    random_weights: bool = False,
    scoring_batch: int | None = None,
    cache: bool = True,
    device: str = "auto",
    threads: int | None = None,
    progress: bool = True,
) -> Run:
    """Sample and score models on a suite: what ``vbbench run`` does, without the pages.

    Call it again to go on after an interruption; only what is missing, has failed, or was made by
    other code is done. A video that fails is a row of ``failures``, not an error.

    Args:
        models: names, groups and recipe folders, in one text with commas or as a list.
        suite: a bundled suite's name, or a suite's folder.
        out: the run folder; None for ``runs/<suite>``.
        scale: ``mini`` or ``sd14``; None for the suite's.
        prompts_per_subject: only the first so many prompts of each individual; None for all.
        references: whether the reference rows (real video, still image ...) are added.
        steps, guidance, scheduler, batch_size: in the place of the recipes' own.
        dtype, offload: of the networks: ``float32``, ``float16`` or ``bfloat16``; whether each
            part of a model is on the GPU only while it works.
        metrics: names of metrics; None for the suite's.
        clip, dino, precision, random_weights: of the scoring encoders.
        scoring_batch: frames that a scoring encoder sees at once.
        cache: whether embeddings are kept in the user's cache folder.
        device: ``auto``, ``cpu`` or ``cuda``.
        threads: CPU threads; None for the run folder's own, else the scale's.
        progress: whether stages and notes are shown, on stderr or in the notebook.
    Returns:
        The run as it stands now, earlier calls into the same folder included.
    Raises:
        UsageError: a wrong name, or options that do not go together.
        SuiteError, RecipeError, WeightsError: a suite, recipe or weights that cannot be used.
        RunFolderError: the run folder is another suite's, damaged, or open in another process.
        KeyboardInterrupt: as it comes; all finished jobs are kept.
    """
    from dataclasses import replace
    from pathlib import Path

    from vbbench.results.run import Run
    from vbbench.runner.api import RunRequest, model_list, prepare, python_call, run_prepared
    from vbbench.runner.progress import Silent, make_progress
    from vbbench.runner.scoring import ScoringRequest, metric_names

    request = RunRequest(
        models=model_list(models),
        suite=suite,
        out=None if out is None else Path(out),
        scale=scale,
        prompts_per_subject=prompts_per_subject,
        references=references,
        steps=steps,
        guidance=guidance,
        scheduler=scheduler,
        dtype=dtype,
        offload=offload,
        batch_size=batch_size,
        scoring=ScoringRequest(
            metric_names(metrics), clip, dino, precision, random_weights, scoring_batch, cache
        ),
        device=device,
        threads=threads,
        fresh_process=False,
    )
    request = replace(request, command=python_call(request))
    with (
        make_progress() if progress else Silent() as observer,
        prepare(request, observer.say) as prepared,
    ):
        run_prepared(prepared, observer)
    return Run(prepared.root)


def score(
    videos: Sequence[Path | str | Video | np.ndarray],
    texts: Sequence[str],
    images: Sequence[Path | str | Image],
    *,
    subjects: Sequence[str] | None = None,
    name: str = "videos",
    scale: str = "mini",
    metrics: str | Sequence[str] | None = None,
    frames: int | None = None,
    fps: float | None = None,
    clip: str | None = None,
    dino: str | None = None,
    precision: str = "float32",
    random_weights: bool = False,
    scoring_batch: int | None = None,
    cache: bool = True,
    device: str = "auto",
    threads: int | None = None,
    out: Path | str | None = None,
    progress: bool = True,
) -> Run:
    """Score videos that are there already, whoever made them.

    A video that cannot be read is a row of ``failures`` with its reason, not an error.

    Args:
        videos: one a row: paths (a file, or a folder of pictures), `Video`s, or arrays uint8
            (T, H, W, 3), RGB, 0..255, T >= 2.
        texts: the text prompts.
        images: the image prompts: paths or PIL images, cut out on white.
        subjects: names of the individuals, over which the statistics are made; None: equal image
            prompts show one individual.
        name: of the row in the table: letters, digits, ``.``, ``_`` and ``-``.
        scale: ``mini`` (encoders of the miniature world) or ``sd14``.
        metrics: names, in one text with commas or as a list; None for CLIP-Text, CLIP-Image, DINO,
            temporal consistency and motion.
        frames: that each video must have; None for any.
        fps: frames a second of arrays and of folders of pictures; None for 1.
        clip, dino, precision, random_weights, scoring_batch, cache, device, threads: as in `run`.
        out: the run folder; None for a temporary one that goes with the returned object.
        progress: whether stages and notes are shown, on stderr or in the notebook.
    Returns:
        A run of one model; ``scores`` has a row for each video and metric, in the order given.
    Raises:
        UsageError: no video, lists of different lengths, or a wrong name.
        InputError: an image that is neither a path nor a PIL image.
        WeightsError: an encoder's weights cannot be had.
        RunFolderError: ``out`` holds something else, or is open in another process.
    """
    from pathlib import Path
    from tempfile import TemporaryDirectory

    from vbbench.results.run import Run
    from vbbench.runner.progress import Silent, make_progress
    from vbbench.runner.score_videos import (
        ScoreRequest,
        given_rows,
        prepare_score,
        score_prepared,
        scored_folder,
    )
    from vbbench.runner.scoring import ScoringRequest, metric_names

    with (
        TemporaryDirectory(prefix="vbbench-") as work,
        scored_folder(None if out is None else Path(out)) as root,
        make_progress() if progress else Silent() as observer,
    ):
        given = given_rows(videos, texts, images, Path(work), subjects=subjects, fps=fps)
        request = ScoreRequest(
            given=given,
            name=name,
            out=root,
            scale=scale,
            num_frames=frames,
            fps=fps,
            scoring=ScoringRequest(
                metric_names(metrics), clip, dino, precision, random_weights, scoring_batch, cache
            ),
            device=device,
            threads=threads,
            command=f"vbbench.score(...)  # {len(given.rows)} videos",
        )
        with prepare_score(request) as prepared:
            score_prepared(prepared, observer)
        return Run(root, temporary=out is None)


def load_run(folder: Path | str) -> Run:
    """Read a run folder, whoever made it.

    Raises:
        RunFolderError: it is none, or damaged; the sentence names the file.
    """
    from vbbench.results.run import Run

    return Run(folder)


def check_gate(
    run: Run | Path | str,
    against: Path | str | None = None,
    *,
    models: Collection[str] | str | None = None,
    items: Collection[str] | str | None = None,
    tolerances: Path | str | None = None,
) -> GateCheck:
    """Hold a run against recorded scores: what ``vbbench gate`` does, without the pages.

    Args:
        run: a run, or a run folder.
        against: the file of recorded scores; None for those that vbbench ships for the suite.
        models, items: names, in one text with commas or as a list; None for all.
        tolerances: a file of tolerances; None for vbbench's own.
    Returns:
        ``verdicts``, a DataFrame with a row for each model and metric; ``ok``; ``exit_code``.
    Raises:
        RunFolderError, InputError: a file is missing or damaged.
        UsageError: a name was never recorded.
        IncompleteError: nothing can be compared.
    """
    from vbbench.results.run import check_gate

    return check_gate(run, against, models=models, items=items, tolerances=tolerances)
