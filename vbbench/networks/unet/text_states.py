"""A text as the video UNet reads it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class TextStates:
    """Text states with the keys and values that the UNet's layers make of them: once a clip, not
    once a step.

    Attributes:
        states_BSD: text states; B videos, S tokens.
        keys_values: a pair (B, S, N, D) for each text attention, in the order in which the
            network's layers read them.
    """

    states_BSD: Tensor
    keys_values: tuple[tuple[Tensor, Tensor], ...]

    def __len__(self) -> int:
        return len(self.states_BSD)

    def for_videos(self, count: int) -> TextStates:
        """One text for ``count`` videos, without a copy."""
        k_v = (
            (k.expand(count, -1, -1, -1), v.expand(count, -1, -1, -1)) for k, v in self.keys_values
        )
        return TextStates(self.states_BSD.expand(count, -1, -1), tuple(k_v))

    @classmethod
    def of_several(cls, texts: Sequence[TextStates]) -> TextStates:
        """Texts of several batches as those of one."""
        layers = zip(*(text.keys_values for text in texts), strict=True)
        k_v = (
            (torch.cat([k for k, _ in layer]), torch.cat([v for _, v in layer])) for layer in layers
        )
        return cls(torch.cat([text.states_BSD for text in texts]), tuple(k_v))
