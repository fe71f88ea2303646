"""VideoBooth as a model: an image prompt and a text in, a video out (arXiv 2312.00777, section 3)."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from functools import cache, cached_property, partial
from hashlib import sha256

import torch
from torch import Tensor

from vbbench.errors import RecipeError
from vbbench.models.codec import to_unit
from vbbench.models.denoising import FAITHFUL, scheduler_of
from vbbench.models.loading import load_videobooth
from vbbench.models.network import TextToVideoNetwork
from vbbench.models.text_to_video import LatentVideoModel
from vbbench.models.videobooth.guidance import Denoiser
from vbbench.models.videobooth.guided_unet import ImagePromptAt
from vbbench.models.videobooth.image_cache import ImagePromptCache
from vbbench.models.videobooth.image_noise import ImageNoise, corrected_noising, released_noising
from vbbench.models.videobooth.network import VideoBoothNetwork
from vbbench.models.videobooth.unet import ImagePromptInput, ImagePromptStates, TextStates
from vbbench.types import PromptItem, SamplingParams
from vbbench.video import load_image_prompt

IMAGE_PROMPT_NOISE = ("shared", "per-frame")


class VideoBooth(LatentVideoModel):
    """Either stage; ``settings["stage"]`` says which, ``settings["weights"]["videobooth"]`` holds what it trained.

    The corrected sampler: guidance acts on all latent channels, and the image prompt's noise is one draw an image, kept over the
    steps (the released code guides three of four channels and draws anew for each step and frame). As all of its frames would be the
    same, the image prompt is one frame. ``settings["image_prompt_noise"] = "per-frame"`` makes it as many frames as the video, each
    with a noise of its own, kept over the steps.
    """

    network: VideoBoothNetwork  # type: ignore[assignment]

    def _load_network(self) -> VideoBoothNetwork:  # type: ignore[override]
        weights = self.settings["weights"]
        names = (weights["base"], weights["image-encoder"], weights["videobooth"])
        return load_videobooth(self.settings["stage"], *names, self.scale, self._home, dtype=self.dtype)

    @property
    def _base(self) -> TextToVideoNetwork:
        return self.network.base

    @cached_property
    def _kept(self) -> ImagePromptCache:
        return ImagePromptCache(self.speed.image_cache_mb)

    def _denoiser(self, items: Sequence[PromptItem], params: SamplingParams) -> Denoiser:
        pictures = [load_image_prompt(item.image, params.size)[0] for item in items]
        pixels = to_unit(torch.stack([torch.from_numpy(picture) for picture in pictures]).to(self.device))
        conditional = self.network.encode_text(
            [item.text for item in items], [item.subject_word for item in items], self.network.embed_image(pixels)
        )
        asked = (params.num_frames, params.num_inference_steps if params.scheduler == FAITHFUL else None)
        keys = [(item.image_seed, sha256(picture).hexdigest(), *asked) for item, picture in zip(items, pictures, strict=True)]
        image = self._image_prompts(items, keys, self.codec.encode(pixels[:, None]), params) if self.network.injects else None
        return self._bind(conditional, image=image)

    def _image_prompts(
        self, items: Sequence[PromptItem], keys: Sequence[Hashable], latents: Tensor, params: SamplingParams
    ) -> ImagePromptAt:
        """The items' image prompts at each timestep.

        Each passes through the network alone, whoever else is in the batch, and once for all prompts of one image (of one key).
        """
        unet = self._base.unet
        dtype, null_text = unet.conv_in.weight.dtype, self._null_text()
        redrawn, frames = params.scheduler == FAITHFUL, params.num_frames if self._noise_per_frame(params) else 1
        noising = released_noising(params.num_inference_steps) if redrawn else corrected_noising(scheduler_of(params, self._diffusion))

        @cache
        def null_states() -> TextStates:
            """Once a clip, and not before the UNet's turn has come."""
            return unet.text_states(null_text)

        def compute(row: int, timestep_B: Tensor, noise: ImageNoise) -> ImagePromptStates:
            latent = latents[row : row + 1]
            if not self.network.noises_image_prompt:
                return unet.image_prompt_states(ImagePromptInput(latent.to(dtype), torch.zeros_like(timestep_B[:1]), null_states()))
            noisy = noising(latent.expand(-1, -1, frames, -1, -1), noise.noise().to(self.device), timestep_B[0])
            return unet.image_prompt_states(ImagePromptInput(noisy.to(dtype), timestep_B[:1], null_states()))

        rows = {image: row for row, image in reversed(list(enumerate(keys)))}
        shape = (1, latents.shape[1], frames, *latents.shape[3:])
        noises = {image: ImageNoise(items[row].image_seed, shape, redrawn=redrawn) for image, row in rows.items()}
        self._kept.begin(rows)
        clean: list[ImagePromptStates] = []  # without noise it is the same at every step

        def at(timestep_B: Tensor) -> ImagePromptStates:
            if clean:
                return clean[0]
            step = float(timestep_B[0]) if self.network.noises_image_prompt else None
            found = {}
            for image, row in rows.items():
                noises[image].begin_step()
                found[image] = self._kept.get(image, step, partial(compute, row, timestep_B, noises[image]))
            states = ImagePromptStates.of_several([found[image] for image in keys])
            if step is None:
                clean.append(states)
            return states

        return at

    def _noise_per_frame(self, params: SamplingParams) -> bool:
        noise = self.settings.get("image_prompt_noise", "shared")
        if noise not in IMAGE_PROMPT_NOISE:
            raise RecipeError(f"image_prompt_noise must be {' or '.join(IMAGE_PROMPT_NOISE)}, not {noise!r}.")
        return noise == "per-frame" or params.scheduler == FAITHFUL
