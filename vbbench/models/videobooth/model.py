"""VideoBooth as a model: an image prompt and a text in, a video out (arXiv 2312.00777, section
3)."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Sequence
from functools import cache, cached_property, partial
from typing import Any

import torch
from torch import Tensor

from vbbench.core.digests import sha256_of
from vbbench.errors import RecipeError
from vbbench.media.video import load_image_prompt
from vbbench.models.latent_video import LatentVideoModel
from vbbench.networks.codec import to_unit
from vbbench.networks.loading import load_videobooth
from vbbench.networks.network import TextToVideoNetwork
from vbbench.networks.sampling.denoising import FAITHFUL, scheduler_of
from vbbench.networks.sampling.faithful import add_noise, diffusion_tables
from vbbench.networks.sampling.guidance import Denoiser, ImagePromptAt
from vbbench.networks.sampling.sampling import noise_to_timestep
from vbbench.networks.unet.unet import ImagePromptInput, ImagePromptStates, TextStates
from vbbench.networks.videobooth import VideoBoothNetwork
from vbbench.types import PromptItem, SamplingParams

# What image prompts leave behind at each step, kept over all prompts of one image.

MEGABYTE = 1 << 20


class ImagePromptCache:
    """Keys and values of image prompts within a budget of memory.

    When there is no room, other images' go first, the oldest before the younger, but none of the
    current batch's. If that needs more than the budget, the steps that fit are kept: to drop its
    first steps for its last would leave nothing for the next prompt, which begins at the first. For
    one thread.

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

    def get(
        self, image: Hashable, step: Hashable, compute: Callable[[], ImagePromptStates]
    ) -> ImagePromptStates:
        """The states of an image prompt at a step, computed if they are not there.

        Args:
            image: tells image prompts apart, with everything that their states depend on besides
                the step.
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


# How an image prompt is noised beside a video: the corrected way, and the released code's.
#
# Shape suffixes: C channels, T frames, h/w latent cells.

Noising = Callable[[Tensor, Tensor, Tensor], Tensor]
"""(clean latent, noise, timestep) -> the latent as the network expects it at that timestep."""


class ImageNoise:
    """Noise of one image prompt, from its image and its suite alone, so that all prompts of one
    image share it.

    Args:
        seed: of the image (`PromptItem.image_seed`).
        shape_1CThw: of the noise.
        redrawn: each step has a noise of its own, as in the released code; else one draw is kept
            over the steps.
    """

    def __init__(self, seed: int, shape_1CThw: tuple[int, ...], *, redrawn: bool) -> None:
        self._seed, self._shape, self._redrawn = seed, shape_1CThw, redrawn
        self._generator = self._fresh()

    def _fresh(self) -> torch.Generator:
        return torch.Generator().manual_seed(self._seed)

    def begin_step(self) -> None:
        """A step of the sampling begins; each must be told, in order, whether or not its noise is
        wanted."""
        if self._redrawn:
            self._drawn = torch.randn(self._shape, generator=self._generator)

    def noise(self) -> Tensor:
        """This step's noise, (1, C, T, h, w) float32 on the CPU."""
        return self._drawn if self._redrawn else torch.randn(self._shape, generator=self._fresh())


def corrected_noising(scheduler: Any) -> Noising:
    """To the noise level of a scheduler of diffusers."""
    return lambda latent, noise, timestep: noise_to_timestep(scheduler, latent, noise, timestep)


def released_noising(steps: int) -> Noising:
    """To the noise level of the released loop of so many steps, by the same float64 tables as the
    video."""
    tables = diffusion_tables(steps)
    index = {int(timestep): number for number, timestep in enumerate(tables.timesteps)}
    return lambda latent, noise, timestep: add_noise(tables, latent, noise, index[int(timestep)])


IMAGE_PROMPT_NOISE = ("shared", "per-frame")


class VideoBooth(LatentVideoModel):
    """Either stage; ``settings["stage"]`` says which, ``settings["weights"]["videobooth"]`` holds
    what it trained.

    The corrected sampler: guidance acts on all latent channels, and the image prompt's noise is one
    draw an image, kept over the steps (the released code guides three of four channels and draws
    anew for each step and frame). As all of its frames would be the same, the image prompt is one
    frame. ``settings["image_prompt_noise"] = "per-frame"`` makes it as many frames as the video,
    each with a noise of its own, kept over the steps.
    """

    network: VideoBoothNetwork

    def _load_network(self) -> VideoBoothNetwork:
        weights = self.settings["weights"]
        names = (weights["base"], weights["image-encoder"], weights["videobooth"])
        return load_videobooth(
            self.settings["stage"], *names, self.scale, self._home, dtype=self.dtype
        )

    @property
    def base(self) -> TextToVideoNetwork:
        """The text-to-video network inside."""
        return self.network.base

    @cached_property
    def _kept(self) -> ImagePromptCache:
        return ImagePromptCache(self.speed.image_cache_mb)

    def denoiser(self, items: Sequence[PromptItem], params: SamplingParams) -> Denoiser:
        """The network bound to each item's text and image prompt."""
        pictures = [load_image_prompt(item.image, params.size)[0] for item in items]
        pixels = to_unit(
            torch.stack([torch.from_numpy(picture) for picture in pictures]).to(self.device)
        )
        conditional = self.network.encode_text(
            [item.text for item in items],
            [item.subject_word for item in items],
            self.network.embed_image(pixels),
        )
        asked = (
            params.num_frames,
            params.num_inference_steps if params.scheduler == FAITHFUL else None,
        )
        keys = [
            (item.image_seed, sha256_of(picture.tobytes()), *asked)
            for item, picture in zip(items, pictures, strict=True)
        ]
        image = (
            self._image_prompts(items, keys, self.codec.encode(pixels[:, None]), params)
            if self.network.injects
            else None
        )
        return self.bind(conditional, image=image)

    def _image_prompts(
        self,
        items: Sequence[PromptItem],
        keys: Sequence[Hashable],
        latents: Tensor,
        params: SamplingParams,
    ) -> ImagePromptAt:
        """The items' image prompts at each timestep.

        Each passes through the network alone, whoever else is in the batch, and once for all
        prompts of one image (of one key).
        """
        unet = self.base.unet
        dtype, null_text = unet.conv_in.weight.dtype, self.null_text()
        redrawn, frames = (
            params.scheduler == FAITHFUL,
            params.num_frames if self._noise_per_frame(params) else 1,
        )
        noising = (
            released_noising(params.num_inference_steps)
            if redrawn
            else corrected_noising(scheduler_of(params, self.diffusion))
        )

        @cache
        def null_states() -> TextStates:
            """Once a clip, and not before the UNet's turn has come."""
            return unet.text_states(null_text)

        def compute(row: int, timestep_B: Tensor, noise: ImageNoise) -> ImagePromptStates:
            latent = latents[row : row + 1]
            if not self.network.noises_image_prompt:
                return unet.image_prompt_states(
                    ImagePromptInput(
                        latent.to(dtype), torch.zeros_like(timestep_B[:1]), null_states()
                    )
                )
            noisy = noising(
                latent.expand(-1, -1, frames, -1, -1), noise.noise().to(self.device), timestep_B[0]
            )
            return unet.image_prompt_states(
                ImagePromptInput(noisy.to(dtype), timestep_B[:1], null_states())
            )

        rows = {image: row for row, image in reversed(list(enumerate(keys)))}
        shape = (1, latents.shape[1], frames, *latents.shape[3:])
        noises = {
            image: ImageNoise(items[row].image_seed, shape, redrawn=redrawn)
            for image, row in rows.items()
        }
        self._kept.begin(rows)
        clean: list[ImagePromptStates] = []  # without noise it is the same at every step

        def at(timestep_B: Tensor) -> ImagePromptStates:
            if clean:
                return clean[0]
            step = float(timestep_B[0]) if self.network.noises_image_prompt else None
            found = {}
            for image, row in rows.items():
                noises[image].begin_step()
                found[image] = self._kept.get(
                    image, step, partial(compute, row, timestep_B, noises[image])
                )
            states = ImagePromptStates.of_several([found[image] for image in keys])
            if step is None:
                clean.append(states)
            return states

        return at

    def _noise_per_frame(self, params: SamplingParams) -> bool:
        noise = self.settings.get("image_prompt_noise", "shared")
        if noise not in IMAGE_PROMPT_NOISE:
            raise RecipeError(
                f"image_prompt_noise must be {' or '.join(IMAGE_PROMPT_NOISE)}, not {noise!r}."
            )
        return noise == "per-frame" or params.scheduler == FAITHFUL
