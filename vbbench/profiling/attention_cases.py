"""Which injection attentions are profiled: the layers of both scales, more and fewer frames,
smaller and larger videos."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace

from vbbench.errors import UsageError
from vbbench.profiling.costs import Shape
from vbbench.profiling.options import Options

PART = "attention"
FRAMES, SIZES = (2, 4, 8, 16), (128, 256, 512)
SIZE, FRAME_COUNT, MINI_FRAMES = 256, 16, 8
"""The real size's pixels and frames; the miniature's frames."""
LATENT = 8
"""Pixels a side that one token of the top level stands for; each level below takes twice as
many."""
LEVELS = ((40, 5), (80, 5), (160, 5), (160, 1))
"""Head dimension and number of attn1 layers of Stable Diffusion 1.4's levels, each of `HEADS`
heads."""
HEADS = 8
MINI = ((64, 32, 3), (16, 32, 5))
"""Tokens, head dimension and heads of the miniature's levels."""
BY_FRAMES, BY_SIZE = "frames", "size"
"""Sweeps, as rows name them."""


@dataclass(frozen=True)
class Case:
    """One injection attention to profile.

    Attributes:
        shape: its sizes; the image prompt has as many tokens as a frame.
        scale: ``sd14`` or ``mini``.
        layers: pixels of a video -> how many such layers a network has at that size.
        sweeps: what it is a point of.
    """

    shape: Shape
    scale: str
    layers: Mapping[int, int] = field(default_factory=dict)
    sweeps: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """Tokens x head dimension, frames."""
        return f"{self.shape.tokens} x {self.shape.head_dim}, {self.shape.frames} frame{'' if self.shape.frames == 1 else 's'}"


def cases_for(options: Options) -> list[Case]:
    """What the options ask for, each case once.

    Raises:
        UsageError: a size whose levels do not come out even, or sweeps in a quick profile.
    """
    if options.quick:
        if options.frames or options.sizes:
            raise UsageError(
                "--quick measures what the targets are for: it takes neither --frames nor --sizes."
            )
        return _size(SIZE)
    swept = options.frames is not None or options.sizes is not None
    found = [] if swept else [*_size(SIZE), *_miniature()]
    if options.frames is not None or not swept:
        found += [_frames(count) for count in options.frames or FRAMES]
    if options.sizes is not None or not swept:
        found += [case for size in options.sizes or SIZES for case in _size(size)]
    return _once(found)


def _size(size: int) -> list[Case]:
    """A layer a level, of a video of so many pixels."""
    smallest = LATENT * 2 ** (len(LEVELS) - 1)
    if size % smallest:
        raise UsageError(
            f"--sizes takes multiples of {smallest} pixels, not {size}: the network halves {len(LEVELS) - 1} times."
        )
    return [
        Case(
            _shape((size // LATENT // 2**level) ** 2, dim, FRAME_COUNT),
            "sd14",
            {size: layers},
            (BY_SIZE,),
        )
        for level, (dim, layers) in enumerate(LEVELS)
    ]


def _frames(count: int) -> Case:
    return Case(_shape((SIZE // LATENT) ** 2, LEVELS[0][0], count), "sd14", sweeps=(BY_FRAMES,))


def _miniature() -> list[Case]:
    return [
        Case(Shape(tokens, dim, heads, MINI_FRAMES, tokens), "mini") for tokens, dim, heads in MINI
    ]


def _shape(tokens: int, dim: int, frames: int) -> Shape:
    return Shape(tokens, dim, HEADS, frames, tokens)


def _once(cases: Iterable[Case]) -> list[Case]:
    """Equal shapes as one case: what is a level of one size may be another level of a smaller
    one."""
    found: dict[Shape, Case] = {}
    for case in cases:
        known = found.setdefault(case.shape, case)
        layers = {
            size: max(count, known.layers.get(size, 0)) for size, count in case.layers.items()
        }
        sweeps = tuple(dict.fromkeys((*known.sweeps, *case.sweeps)))
        found[case.shape] = replace(known, layers={**known.layers, **layers}, sweeps=sweeps)
    return list(found.values())
