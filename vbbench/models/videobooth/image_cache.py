"""What image prompts leave behind at each step, kept over all prompts of one image."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable

from vbbench.models.videobooth.fine import ImagePromptStates

MEGABYTE = 1 << 20


class ImagePromptCache:
    """Keys and values of image prompts within a budget of memory.

    When there is no room, other images' go first, the oldest before the younger, but none of the current batch's. If that needs more
    than the budget, the steps that fit are kept: to drop its first steps for its last would leave nothing for the next prompt, which
    begins at the first. For one thread.

    Args:
        megabytes: the budget; 0: nothing is kept.

    Attributes:
        hits: how often something was there.
        misses: how often it was not.
    """

    def __init__(self, megabytes: float) -> None:
        self._budget, self._used = megabytes * MEGABYTE, 0
        self._images: dict[Hashable, dict[Hashable, ImagePromptStates]] = {}
        self._current: frozenset[Hashable] = frozenset()
        self.hits = self.misses = 0

    @property
    def num_bytes(self) -> int:
        """Memory in use."""
        return self._used

    def begin(self, images: Iterable[Hashable]) -> None:
        """A batch of these images begins: none of them makes room for another."""
        self._current = frozenset(images)

    def get(self, image: Hashable, step: Hashable, compute: Callable[[], ImagePromptStates]) -> ImagePromptStates:
        """The states of an image prompt at a step, computed if they are not there.

        Args:
            image: tells image prompts apart, with everything that their states depend on besides the step.
            step: tells steps apart.
            compute: makes the states.
        """
        kept = self._images.get(image, {}).get(step)
        if kept is not None:
            self.hits += 1
            return kept
        self.misses += 1
        states = compute()
        self._keep(image, step, states)
        return states

    def _keep(self, image: Hashable, step: Hashable, states: ImagePromptStates) -> None:
        if states.num_bytes > self._budget:
            return
        for other in [key for key in self._images if key != image and key not in self._current]:
            if self._used + states.num_bytes <= self._budget:
                break
            self._used -= sum(one.num_bytes for one in self._images.pop(other).values())
        if self._used + states.num_bytes <= self._budget:
            self._images.setdefault(image, {})[step] = states
            self._used += states.num_bytes
