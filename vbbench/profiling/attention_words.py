"""How injection attention is measured, in words for the page."""

from __future__ import annotations

from vbbench.profiling.attention_bench import ERROR_TOKENS
from vbbench.profiling.measure import clock_words
from vbbench.profiling.options import Options

YARDSTICK = "reference"
"""The formula itself: for numbers, not for speed; timed only when asked for."""

ON_A_GPU = "what PyTorch allocated at most during a call, less what it held before."
ON_A_CPU = (
    "the peak resident set of a fresh process less its resident set just before the call; by then inputs are made and the code is loaded. "
    "About 1 MB is not resolved."
)
SYSTEM = (
    "System: what the operating system took of the time. Each large tensor is new memory, handed out page by page at every call; a "
    "formulation that stores its scores pays for that, and an allocator that kept memory would spare it."
)


def how(options: Options) -> tuple[str, ...]:
    """A paragraph each."""
    gpu = options.device == "cuda"
    quick = "A quick profile tries what the targets are about alone, and weighs only the cases that have a bound of memory."
    return (
        f"Time: {clock_words(options.device, options.threads)}. Variants run in turn, once a round, every round beginning with another; "
        "what counts is the median of the rounds. The spread is the interquartile range over the median. Calls quicker than a few "
        "milliseconds are repeated within a round.",
        f"Inputs: standard normal numbers, rotating beyond {'twice the L2 cache' if gpu else 'what caches a core has for itself'}; the "
        "image prompt has as many tokens as a frame.",
        f"Memory: {ON_A_GPU if gpu else ON_A_CPU}",
        "Needed operations: the products alone, every key read once (frames 0 and 1 read frame 0, later ones two frames); 4 x head "
        "dimension a query, key and head; with gradients three times that.",
        "Least traffic: inputs read once, outputs written once. Moved: each operation of the formulation reads each of its inputs once "
        "and writes its output once; a fused attention counts as its inputs and outputs.",
        "Share of the roofline: the least time for the needed operations and the least traffic, at the ceilings measured in this run, "
        "over the median. Exponentials are not in it.",
        f"Error: the largest deviation from the formula in float64 over the largest value{_of(options)}. "
        f"The variant computes the whole clip, as it is timed; its first, second, middle and last frame are compared, up to {ERROR_TOKENS} "
        "tokens a frame.",
        f"The formula itself (backend {YARDSTICK}) is what errors are measured against; it is timed only when asked for.",
        *(() if gpu else (SYSTEM,)),
        *((quick,) if options.quick else ()),
    )


def _of(options: Options) -> str:
    return ", of the output and of every gradient that these frames give" if options.backward else ""
