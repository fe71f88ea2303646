"""Does a plan: fits, samples, scores. One process; everything it learns goes to the store at
once."""

from __future__ import annotations

import random
import time
import traceback
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from vbbench.core.environment import PeakMemory
from vbbench.core.threads import torch_threads
from vbbench.errors import InputError, VBBenchError, one_line
from vbbench.models.recipes import build_model
from vbbench.runner.plan import ModelPlan, Plan, fit_seed, missing_jobs
from vbbench.runner.progress import Progress, Silent
from vbbench.runner.scoring import Scorer, count_failures, score_run, videos_to_score
from vbbench.runner.store import RunStore, job_key
from vbbench.types import Job, PromptItem, SamplingParams, Video


@dataclass(frozen=True)
class Summary:
    """How a run ended: videos of the plan's models that are there, that failed, and that lack a
    score."""

    done: int
    failed: int
    unscored: int

    @property
    def complete(self) -> bool:
        """Whether every item has a video and every video every score."""
        return not self.failed and not self.unscored


def execute(
    plan: Plan,
    store: RunStore,
    scorer: Scorer,
    *,
    device: str,
    threads: int | None = None,
    progress: Progress | None = None,
    missing: Collection[Job] | None = None,
) -> Summary:
    """Do what is missing of a plan, then score what is not scored. Never stops at a failed job;
    records it.

    Args:
        threads: CPU threads that torch may use; None leaves them as they are.
        missing: the plan's jobs that have no result, where that is known already.
    Returns:
        How the run stands now, earlier invocations included.
    Raises:
        KeyboardInterrupt: as it comes; all finished jobs are kept.
    """
    progress = progress or Silent()
    with torch_threads(threads):
        left = set(missing_jobs(plan, store) if missing is None else missing)
        for model_plan in plan.models:
            jobs = [job for job in model_plan.jobs if job in left]
            if jobs:
                _ModelRunner(plan, model_plan, store, device, progress).run(jobs)
        to_score = videos_to_score(store, scorer.specs)
        if to_score:
            progress.stage("scoring", len(to_score))
            score_run(store, plan.suite, scorer, lambda _: progress.advance())
    store.tidy(scorer.specs)
    return Summary(
        **count_failures(
            store,
            scorer.specs,
            (model.name for model in plan.models),
            {job.item_id for job in plan.jobs},
        )
    )


class _ModelRunner:
    """The missing jobs of one model."""

    def __init__(
        self, plan: Plan, model_plan: ModelPlan, store: RunStore, device: str, progress: Progress
    ) -> None:
        self._plan, self._model_plan, self._store, self._progress = (
            plan,
            model_plan,
            store,
            progress,
        )
        self._device = device
        self._items = {item.id: item for item in plan.suite.items}
        self._subjects = {subject.id: subject for subject in plan.suite.subjects}
        self._memory = PeakMemory(device)
        self._model: Any = None

    def run(self, jobs: Sequence[Job]) -> None:
        """Fits, then samples; a model that cannot be built fails all of them."""
        fits, samples = (
            [job for job in jobs if job.kind == "fit"],
            {job for job in jobs if job.kind == "sample"},
        )
        name = self._model_plan.name
        started = time.perf_counter()
        try:
            self._model = build_model(self._model_plan.recipe, self._plan.scale, self._device)
        except (Exception, SystemExit) as error:
            self._progress.stage(name, len(jobs))
            for job in jobs:
                self._fail(job, error, started)
            return
        if fits:
            self._progress.stage(f"{name}: fit", len(fits))
            for job in fits:
                self._fit(job)
        if samples:
            self._progress.stage(f"{name}: sample" if fits else name, len(samples))
            for batch in self._model_plan.batches:
                if samples.intersection(batch):
                    self._sample(batch, samples)

    def _fit(self, job: Job) -> None:
        started = self._begin(job)
        try:
            adapter = self._model.fit(
                self._subjects[job.subject_id], seed=fit_seed(self._plan.suite, job.subject_id)
            )
            self._store.keep_adapter(
                job, adapter, seconds=time.perf_counter() - started, memory_mb=self._peak_memory()
            )
        except (Exception, SystemExit) as error:
            self._fail(job, error, started)
        else:
            self._progress.advance()

    def _sample(self, batch: Sequence[Job], wanted: set[Job]) -> None:
        """The whole batch, as the plan has it, so that what is drawn does not depend on what was
        done before.

        If it fails, each wanted item is tried alone: one bad item must not take others with it.
        """
        started = self._begin(batch[0])
        chosen = [job for job in batch if job in wanted]
        try:
            videos = dict(zip(batch, self._generate(batch), strict=True))
        except (Exception, SystemExit) as error:
            if len(batch) == 1:
                self._fail(batch[0], error, started)
            else:
                for job in chosen:
                    self._sample([job], wanted)
            return
        seconds, memory = (time.perf_counter() - started) / len(batch), self._peak_memory()
        for job in chosen:
            self._store.keep_video(job, videos[job], {}, seconds=seconds, memory_mb=memory)
            self._progress.advance()

    def _generate(self, batch: Sequence[Job]) -> list[Video]:
        params = self._model_plan.params
        items: list[PromptItem] = [
            self._items[job.item_id] for job in batch if job.item_id is not None
        ]
        if not self._model_plan.recipe.fitted:
            return check_videos(self._model.generate(items, params), len(items), params)
        fit = next(job for job in self._model_plan.fits if job.subject_id == batch[0].subject_id)
        if not self._store.is_done(fit):
            record = self._store.jobs.get(job_key(fit))
            raise InputError(
                f"the fit to {fit.subject_id} failed: {record['reason'] if record else 'it was not done'}"
            )
        return check_videos(
            self._model.generate(items, params, self._store.load_adapter(fit)), len(items), params
        )

    def _begin(self, job: Job) -> float:
        """Start a job: forget the memory peak, and set the global generators, in case a model draws
        from them."""
        seed = int(job.hash[:8], 16)
        random.seed(seed)
        np.random.seed(seed)
        import torch

        torch.manual_seed(seed)
        self._memory.reset()
        return time.perf_counter()

    def _peak_memory(self) -> float:
        """In MB: of this process, or of the program that does the work of a model in its place."""
        return getattr(self._model, "process_memory_mb", None) or self._memory.megabytes()

    def _fail(self, job: Job, error: BaseException, started: float) -> None:
        details = (
            error.details
            if isinstance(error, VBBenchError)
            else "".join(traceback.format_exception(error))
        )
        seconds, memory = time.perf_counter() - started, self._peak_memory()
        self._store.keep_failure(
            job, one_line(error), seconds=seconds, memory_mb=memory, details=details
        )
        self._progress.advance(failed=True)


def check_videos(videos: Any, count: int, params: SamplingParams) -> list[Video]:
    """What a model gave back, once it is known to be what was asked for.

    Raises:
        ValueError: the wrong number of videos, frames or pixels, or another type.
    """
    if not isinstance(videos, list | tuple) or len(videos) != count:
        found = len(videos) if isinstance(videos, list | tuple) else type(videos).__name__
        raise ValueError(f"the model gave {found} videos for {count} items")
    wanted = (params.num_frames, params.size, params.size, 3)
    for video in videos:
        frames = getattr(video, "frames", None)
        if not isinstance(frames, np.ndarray) or frames.dtype != np.uint8 or frames.shape != wanted:
            kind = (
                f"{frames.dtype} {frames.shape}"
                if isinstance(frames, np.ndarray)
                else type(frames).__name__
            )
            raise ValueError(f"the model gave frames of {kind} where uint8 {wanted} was asked for")
    return list(videos)
