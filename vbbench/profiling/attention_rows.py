"""From a case of injection attention to its rows: what can run is timed side by side, what cannot
is told as a gap."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence

import torch

from vbbench.attention import choose_backend
from vbbench.errors import IncompleteError, one_line
from vbbench.profiling import attention_bench as bench
from vbbench.profiling.attention_bench import Errors
from vbbench.profiling.attention_cases import PART, SIZE, Case
from vbbench.profiling.ceilings import floor_seconds
from vbbench.profiling.costs import Operations, least_bytes, needed_flops
from vbbench.profiling.measure import Clock, Meter, Timing
from vbbench.profiling.memory import free_bytes, peak_in_fresh_process, peak_of
from vbbench.profiling.options import Options
from vbbench.profiling.record import Ceiling, Gap, Row
from vbbench.profiling.targets import CHOSEN, SYSTEM_SHARE

SAMPLE_SECONDS = 0.004
QUICK_VARIANTS = ("released", "concat")


class Bench:
    """One case in one type, with all variants that can do it.

    Args:
        case: what is computed.
        dtype: name of the element type.
        backends: whom to try.
        options: device, threads, gradients; a quick one tries only `QUICK_VARIANTS` and the
            dispatched backend.
        clock: see `vbbench.profiling.measure.clock_for`.
    """

    def __init__(
        self, case: Case, dtype: str, backends: Sequence[str], options: Options, clock: Clock
    ) -> None:
        self.case = case
        self.work = bench.Work(case.shape, options.device, dtype, options.backward)
        self.gaps: list[Gap] = []
        self.chosen = self._chosen()
        self._options, self._clock = options, clock
        self._meter: Meter | None = None
        self._memory: dict[str, float] = {}
        self._errors: dict[str, float | None] = {}
        self._runners: dict[str, bench.Runner] = {}
        tried = bench.variants_for(
            [name for name in backends if not options.quick or self._needed(name)], options.device
        )
        counted = {name: bench.operations(name, self.work) for name in tried if self._takes(name)}
        self._operations = {
            name: found for name, found in counted.items() if self._fits(name, found)
        }
        self.names = list(self._operations)

    def round_seconds(self, names: Collection[str] | None = None) -> float:
        """About what a round of some variants, or of all, takes."""
        return sum(
            timing.median
            for name, timing in self._timed().items()
            if names is None or name in names
        )

    def measure(self, memory: bool, rounds: Callable[[float], int]) -> None:
        """Everything, the clock last.

        Args:
            memory: whether to measure it.
            rounds: how many, of about how long one takes in seconds.
        """
        quick = self._options.quick  # then the targets' figures alone
        if memory:
            for name in [
                name for name in self.names if not quick or name in ("released", self.chosen)
            ]:
                self._attempt(name, self._weigh)
        errors = Errors(self.work) if self.names else None
        for name in [name for name in self.names if not quick or name == self.chosen]:
            if not self._attempt(
                name, lambda name: self._errors.update({name: errors.of(name) if errors else None})
            ):
                self.names.remove(name)
        if self.names:
            inputs = bench.rotating_inputs(self.work)
            self._meter = meter = Meter({}, self._clock, sample_seconds=SAMPLE_SECONDS)
            self._runners = {name: bench.Runner(name, inputs) for name in self.names}
            self.names = [
                name
                for name in self.names
                if self._attempt(name, lambda name: meter.add(name, self._runners[name]))
            ]
        if self.names and self._meter is not None:
            self._meter.run(1)
            if (more := rounds(self.round_seconds()) - 1) > 0:
                self._meter.run(more)

    def again(self, names: Collection[str]) -> None:
        """A further round of some variants."""
        if self._meter is not None:
            self._meter.run(1, names)

    def release(self) -> None:
        """Let go of the inputs."""
        for runner in self._runners.values():
            runner.release()

    def rows(self, ceilings: Sequence[Ceiling]) -> list[Row]:
        """A row a variant."""
        return [self._row(name, ceilings) for name in self._timed()]

    def _timed(self) -> dict[str, Timing]:
        return self._meter.timings() if self._meter is not None else {}

    def _row(self, name: str, ceilings: Sequence[Ceiling]) -> Row:
        work, shape = self.work, self.case.shape
        timing = self._timed()[name]
        flops, moved = (
            needed_flops(shape, work.grad),
            least_bytes(shape, work.torch_dtype.itemsize, work.grad),
        )
        floor = floor_seconds(ceilings, work.dtype, flops, moved)
        counted = self._operations[name]
        return Row(
            part=PART,
            case=self.case.name,
            variant=name,
            exact=True,
            device=work.device,
            dtype=work.dtype,
            grad=work.grad,
            median_seconds=timing.median,
            min_seconds=timing.minimum,
            spread=timing.spread,
            rounds=len(timing.seconds),
            first_seconds=timing.first_seconds,
            peak_memory_mb=self._memory.get(name),
            flops=flops,
            bytes=moved,
            roofline=None if floor is None else floor / timing.median,
            error=self._errors.get(name),
            facts={
                "tokens": shape.tokens,
                "head_dim": shape.head_dim,
                "heads": shape.heads,
                "frames": shape.frames,
                "scale": self.case.scale,
                "layers": {str(size): count for size, count in self.case.layers.items()},
                "sweeps": list(self.case.sweeps),
                "roofline": SIZE in self.case.layers or self.case.scale == "mini",
                CHOSEN: name == self.chosen,
                SYSTEM_SHARE: self._runners[name].system_share if work.device == "cpu" else None,
                "flops_done": None if counted is None else counted.flops,
                "bytes_moved": None if counted is None else counted.bytes,
            },
        )

    def _chosen(self) -> str:
        shape = self.case.shape
        query = torch.empty(
            1,
            shape.frames,
            shape.tokens,
            shape.heads,
            shape.head_dim,
            device=self.work.device,
            dtype=self.work.torch_dtype,
        )
        return choose_backend(query.requires_grad_(self.work.grad), self.work.grad)

    def _needed(self, name: str) -> bool:
        return name in QUICK_VARIANTS or name == self.chosen

    def _gap(self, name: str, reason: str) -> None:
        self.gaps.append(Gap(PART, self.case.name, name, self.work.dtype, reason))

    def _takes(self, name: str) -> bool:
        if (reason := bench.refusal(name, self.work)) is not None:
            self._gap(name, reason)
        return reason is None

    def _fits(self, name: str, counted: Operations | None) -> bool:
        """Not what would swap, or be killed: one of its operations alone touches more than there
        is."""
        if counted is None or counted.largest <= (free := free_bytes(self.work.device)):
            return True
        self._gap(
            name,
            f"it holds {counted.largest / 1e9:.0f} GB at once, and {free / 1e9:.0f} GB may be taken here",
        )
        return False

    def _weigh(self, name: str) -> None:
        if self.work.device == "cuda":
            inputs = bench.make_inputs(self.work)
            bench.call(name, inputs)  # what a first call keeps for ever is not the call's
            self._memory[name] = peak_of(lambda: bench.call(name, inputs), "cuda")
            return
        target = f"{bench.__name__}:{bench.prepared.__name__}"
        self._memory[name] = peak_in_fresh_process(
            target, bench.preparation(name, self.work), threads=self._options.threads
        )

    def _attempt(self, name: str, step: Callable[[str], None]) -> bool:
        """Whatever a kernel says is its gap, and does not end the profile."""
        try:
            step(name)
        except (
            RuntimeError,
            ValueError,
            MemoryError,
            ImportError,
            NotImplementedError,
            IncompleteError,
        ) as error:
            self._gap(name, one_line(error)[:300])
            return False
        return True
