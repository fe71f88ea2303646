"""What a profile is asked for: the same for all of them. Standard library only, for the command
line."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from vbbench.errors import UsageError

DTYPES = ("float32", "bfloat16", "float16")
TARGET_THREADS = 1
"""CPU threads that the targets are for."""


def _silent(_: str) -> None:
    pass


@dataclass(frozen=True)
class Options:
    """What to measure.

    Attributes:
        device: ``cpu`` or ``cuda``.
        threads: CPU threads.
        quick: only what the targets need, within their time.
        backward: forward and backward, with gradients, instead of forward without.
        dtypes: names in `DTYPES`; None: the profile's own.
        backends: names; None: all there are.
        frames: numbers of frames; None: the profile's own.
        sizes: pixels; None: the profile's own.
        further: what a single profile has beyond that.
        tell: is called with a line now and then, to show that something goes on.
    """

    device: str = "cpu"
    threads: int = TARGET_THREADS
    quick: bool = False
    backward: bool = False
    dtypes: tuple[str, ...] | None = None
    backends: tuple[str, ...] | None = None
    frames: tuple[int, ...] | None = None
    sizes: tuple[int, ...] | None = None
    further: Mapping[str, Any] = field(default_factory=dict)
    tell: Callable[[str], None] = _silent

    @property
    def narrowed(self) -> bool:
        """Whether less than all was asked for, so that a target may lack its figures."""
        return any(
            chosen is not None
            for chosen in (
                self.dtypes,
                self.backends,
                self.frames,
                self.sizes,
                self.further.get("ways"),
            )
        )


def command(part: str, options: Options) -> str:
    """The command line that measures this again."""
    words = ["vbbench", "profile", part, "--device", options.device]
    words += ["--threads", str(options.threads)] if options.threads != TARGET_THREADS else []
    words += [f"--{name}" for name in ("quick", "backward") if getattr(options, name)]
    lists = {
        "dtype": options.dtypes,
        "backends": options.backends,
        "frames": options.frames,
        "sizes": options.sizes,
    }
    for name, values in lists.items():
        words += [f"--{name}", ",".join(map(str, values))] if values else []
    return " ".join(words)


def refuse_unknown_names(what: str, names: Iterable[str] | None, known: Collection[str]) -> None:
    """Does nothing if all names are known; ``what`` has a place for one: ``way {!r} to compute a
    step``.

    Raises:
        UsageError: for the first that is not.
    """
    from vbbench.core.names import nearest

    for name in names or ():
        if name not in known:
            raise UsageError(f"there is no {what.format(name)}: {nearest(name, known)}")
