"""One case of a step at work: its network, and its variants side by side."""

from __future__ import annotations

import statistics
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor

from vbbench.errors import IncompleteError, one_line
from vbbench.profiling import step_facts as about
from vbbench.profiling.costs import count_operations
from vbbench.profiling.finite import worst
from vbbench.profiling.measure import Clock, Meter, Timing
from vbbench.profiling.memory import free_bytes, peak_in_fresh_process, peak_of
from vbbench.profiling.options import Options
from vbbench.profiling.record import Ceiling, Gap, Row
from vbbench.profiling.released import Removals, StepInputs
from vbbench.profiling.step_cases import Case, build_inputs, build_network
from vbbench.profiling.step_parts import seconds_own, seconds_released
from vbbench.profiling.step_ways import (
    APPROXIMATE,
    LAST_RUNG,
    PRODUCTION,
    RELEASED,
    RUNG,
    SAMPLED,
    WAYS,
    RungStep,
    SampledStep,
    Step,
    StepWay,
)
from vbbench.profiling.system_time import SystemTime
from vbbench.profiling.targets import CHOSEN, SYSTEM_SHARE

PART = "step"
DIFFERENCE, STEPS_DIFFERENCE = "difference", "difference_several_steps"
"""Facts: largest difference to the released formulation over its largest value, of a prediction and
of the latents of some steps."""
ALONE, TOTAL = "ratio_alone", "ratio_released"
"""Facts: times as fast as the rung before, and as the released formulation."""
SECONDS_BY_KIND, FLOPS_BY_KIND, FLOPS_DONE, BYTES_MOVED = (
    "seconds_by_kind",
    "flops_by_kind",
    "flops_done",
    "bytes_moved",
)
WORDS = "words"
OUT_OF_MEMORY = (torch.OutOfMemoryError, MemoryError)
ATTRIBUTED = 3
"""Steps whose parts are timed; the median of each counts."""


@dataclass
class Running:
    """A way that is being measured, under a condition or none: what it runs, and what came out
    last."""

    way: StepWay
    step: Step
    inputs: StepInputs
    case: str
    needs: str
    out: Tensor | None = None
    timing: Timing | None = None
    system_time: SystemTime = field(default_factory=SystemTime)

    def __call__(self) -> None:
        """A step."""
        self.system_time.during(self._run)

    def _run(self) -> None:
        self.out = self.step(self.inputs)


class Bench:
    """One case in one type.

    Args:
        case: the network's and the clip's size.
        dtype: name of the element type.
        ways: what to compare; the released formulation first.
        options: device, threads, quick.
        clock: see `vbbench.profiling.measure.clock_for`.
    """

    def __init__(
        self, case: Case, dtype: str, ways: Sequence[StepWay], options: Options, clock: Clock
    ) -> None:
        self.case, self.dtype = case, dtype
        self.gaps: list[Gap] = []
        self._options, self._clock = options, clock
        self._tell("weights")
        self._unet = build_network(case, options.device, getattr(torch, dtype))
        self._inputs = build_inputs(case, options.device, getattr(torch, dtype))
        self._running = list(self._set_up(ways))
        self._wide: dict[str, Tensor | None] = {}
        self._thorough = case.scale == "small" or options.device == "cuda"

    def measure(self, rounds: int, ceilings: Sequence[Ceiling]) -> list[Row]:
        """A row a variant.

        Args:
            rounds: 0: the first call is the figure.
            ceilings: of the device.
        """
        self._time(rounds)
        least = about.least(self.case, self.dtype, ceilings)
        steps = self._several_steps()
        rows = []
        for one in self._running:
            self._tell(f"{one.way.name}: what else there is to say")
            facts = self._facts(one) | steps.get(one.way.name, {})
            rows.append(
                self._row(
                    one,
                    least,
                    facts | (self._parts(one) if rounds and not self._options.quick else {}),
                )
            )
        return rows

    def _set_up(self, ways: Sequence[StepWay]) -> Iterator[Running]:
        """Every way; and the released formulation once more for each condition, with its inputs."""
        told = set()
        for way in ways:
            case = self.case.words + (f"; {way.needs}" if way.needs else "")
            inputs = way.inputs(self._inputs)
            if case not in told:
                told.add(case)
                yield Running(WAYS[0], WAYS[0].make(self._unet, inputs), inputs, case, way.needs)
            if way.name != RELEASED:
                yield Running(way, way.make(self._unet, inputs), inputs, case, way.needs)

    def _time(self, rounds: int) -> None:
        """First calls, of which a failing one is a gap (a compiler's or a kernel's refusal), then
        rounds."""
        first: dict[int, float] = {}
        for place, one in enumerate(self._running):
            self._tell(f"{one.way.name}: first step")
            try:
                with warnings.catch_warnings():
                    warnings.simplefilter("ignore")
                    first[place] = self._clock(one)
            except _failures(one.way) as error:
                if one.way.section == RUNG and not isinstance(error, OUT_OF_MEMORY):
                    raise
                self._gap(one, one_line(error)[:300])
        lost = {
            one.case
            for place, one in enumerate(self._running)
            if one.way.name == RELEASED and place not in first
        }
        for place in [place for place in first if self._running[place].case in lost]:
            self._gap(
                self._running[place],
                "the released formulation, which it is held against, does not fit into memory",
            )
            del first[place]
        running = {place: self._running[place] for place in first}
        self._running = list(running.values())
        for place, one in running.items():
            one.timing = Timing((first[place],), first[place])
        if rounds:
            self._tell(f"{rounds} rounds")
            meter = Meter({str(place): one for place, one in running.items()}, self._clock)
            meter.run(rounds)
            for name, timing in meter.timings().items():
                running[int(name)].timing = replace(timing, first_seconds=first[int(name)])

    def _released(self, one: Running) -> Running:
        """What a way is held against."""
        return next(
            other for other in self._running if (other.case, other.way.name) == (one.case, RELEASED)
        )

    def _rung_above(self, one: Running) -> Running | None:
        """The rung that this one removes one thing more than; None if that was not measured."""
        names = [way.name for way in WAYS if way.section == RUNG]
        place = (
            names.index(one.way.name) if one.way.section == RUNG and one.way.name in names else 0
        )
        return next(
            (
                each
                for each in self._running
                if place and (each.case, each.way.name) == (one.case, names[place - 1])
            ),
            None,
        )

    def _facts(self, one: Running) -> dict[str, Any]:
        theirs = self._released(one)
        assert one.timing is not None
        assert theirs.timing is not None
        assert one.out is not None
        assert theirs.out is not None
        facts: dict[str, Any] = {
            WORDS: one.way.words,
            "section": one.way.section,
            "needs": one.needs,
            "scale": self.case.scale,
        }
        facts |= {
            "frames": self.case.frames,
            "latent": self.case.latent,
            CHOSEN: one.way.name == PRODUCTION,
        }
        facts[TOTAL] = theirs.timing.median / one.timing.median
        facts[DIFFERENCE] = about.largest_difference(one.out, theirs.out)
        if one.way.removals is not None and (
            one.way.name in (RELEASED, LAST_RUNG) or not self._options.quick
        ):
            facts[FLOPS_DONE], facts[FLOPS_BY_KIND] = about.flops_of(self.case, one.way.removals)
        if self._options.device == "cpu":
            facts[SYSTEM_SHARE] = one.system_time.share
        above = self._rung_above(one)
        if above is not None and above.timing is not None:
            facts[ALONE] = above.timing.median / one.timing.median
        return facts

    def _several_steps(self) -> dict[str, dict[str, float]]:
        """Way -> how far its latents get from the released formulation's, in float32."""
        cheap = self._options.device == "cuda" or not self._options.quick
        if not cheap or not self._thorough or self.dtype != "float32":
            return {}
        ours = [one for one in self._running if one.way.section == SAMPLED]
        expected = about.several_steps(self._running[0].step, self._inputs) if ours else []
        found = {}
        for one in ours:
            self._tell(f"{one.way.name}: several steps")
            try:
                latents = about.several_steps(one.step, self._inputs)
            except _failures(one.way) as error:
                self._gap(one, one_line(error)[:300], "several steps of ")
                continue
            found[one.way.name] = {
                STEPS_DIFFERENCE: worst(map(about.largest_difference, latents, expected))
            }
        return found

    def _parts(self, one: Running) -> dict[str, Any]:
        """Seconds of each kind of layer and bytes moved, of the released formulation, its last rung
        and what the models run."""
        if one.needs or one.way.name not in (RELEASED, LAST_RUNG, PRODUCTION):
            return {}
        each = [self._parts_once(one) for _ in range(ATTRIBUTED)]
        seconds = {kind: statistics.median(found[kind] for found in each) for kind in each[0]}
        return {
            SECONDS_BY_KIND: seconds,
            BYTES_MOVED: count_operations(lambda: one.step(one.inputs)).bytes,
        }

    def _parts_once(self, one: Running) -> dict[str, float]:
        if isinstance(one.step, SampledStep):
            return seconds_own(one.step.network, one.step, one.inputs, self._options.device)
        network = one.step.network if isinstance(one.step, RungStep) else self._unet
        return seconds_released(
            network, one.inputs, self._options.device, one.way.removals or Removals()
        )

    def _error(self, one: Running) -> float | None:
        """Against float64; where that takes minutes, it is not measured."""
        if not self._thorough or one.way.section == APPROXIMATE or one.out is None:
            return None
        key = "" if one.inputs is self._inputs else one.case
        if key not in self._wide:
            self._wide[key] = self._in_float64(one)
        expected = self._wide[key]
        return None if expected is None else about.largest_difference(one.out, expected)

    def _in_float64(self, one: Running) -> Tensor | None:
        """None, and a gap, where memory does not suffice."""
        if self._options.device == "cuda":
            torch.cuda.empty_cache()  # what PyTorch keeps for later is free
        needed, free = about.checking_bytes(self.case), free_bytes(self._options.device)
        reason = f"the formulation would take {needed / 1e9:.1f} GB in float64, and {free / 1e9:.1f} GB may be taken"
        if needed <= free:
            try:
                return about.in_float64(self._unet, one.inputs)
            except OUT_OF_MEMORY as error:
                reason = one_line(error)[:300]
        self.gaps.append(Gap(PART, one.case, "errors against float64", self.dtype, reason))
        return None

    def _memory(self, one: Running) -> float | None:
        """On a CPU a fresh process each, so only of what matters most."""
        if self._options.device == "cuda":
            return peak_of(one, "cuda")
        weighed = one.way.name in (RELEASED, LAST_RUNG, PRODUCTION) and not one.needs
        if not weighed or not self._thorough or self._options.quick:
            return None
        arguments = about.preparation(one.way.name, self.case, self.dtype)
        try:
            return peak_in_fresh_process(
                f"{about.__name__}:{about.prepared.__name__}",
                arguments,
                threads=self._options.threads,
            )
        except IncompleteError as error:
            self._gap(one, one_line(error)[:300], "memory of ")
            return None

    def _row(self, one: Running, least: about.Least, facts: dict[str, Any]) -> Row:
        timing = one.timing
        assert timing is not None
        whole = not one.needs and one.way.exact
        return Row(
            part=PART,
            case=one.case,
            variant=one.way.name,
            exact=one.way.exact,
            device=self._options.device,
            dtype=self.dtype,
            grad=False,
            median_seconds=timing.median,
            min_seconds=timing.minimum,
            spread=timing.spread,
            rounds=len(timing.seconds),
            first_seconds=timing.first_seconds,
            peak_memory_mb=self._memory(one),
            flops=least.flops if whole else None,
            bytes=least.bytes if whole else None,
            roofline=least.seconds / timing.median if whole and least.seconds is not None else None,
            error=self._error(one),
            facts=facts,
        )

    def _gap(self, one: Running, reason: str, what: str = "") -> None:
        self.gaps.append(Gap(PART, one.case, f"{what}{one.way.name}", self.dtype, reason))

    def _tell(self, words: str) -> None:
        self._options.tell(f"{self.case.words}, {self.dtype}: {words}")


def _failures(way: StepWay) -> tuple[type[Exception], ...]:
    """What is a way's own gap; a compiler's limits are plain exceptions."""
    return (Exception,) if way.compiled else (RuntimeError, ValueError, MemoryError, ImportError)
