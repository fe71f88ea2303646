"""The released VideoBooth's denoising step, written by ourselves over this project's modules and
weights: the yardstick of a step."""

from vbbench.profiling.released.attention import Text
from vbbench.profiling.released.network import KeptText, StepInputs, guided_step, keep_text, predict
from vbbench.profiling.released.removals import LADDER, Removals, all_removals, ladder
from vbbench.profiling.released.streams import KINDS, Way

__all__ = [
    "KINDS",
    "LADDER",
    "KeptText",
    "Removals",
    "StepInputs",
    "Text",
    "Way",
    "all_removals",
    "guided_step",
    "keep_text",
    "ladder",
    "predict",
]
