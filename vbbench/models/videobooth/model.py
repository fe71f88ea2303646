"""VideoBooth as a model: an image prompt and a text in, a video out (arXiv 2312.00777, section 3)."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from functools import cached_property, partial
from hashlib import sha256

import torch
from torch import Tensor

from vbbench.errors import RecipeError
from vbbench.models.codec import to_unit
from vbbench.models.loading import load_videobooth
from vbbench.models.network import TextToVideoNetwork
from vbbench.models.text_to_video import LatentVideoModel
from vbbench.models.videobooth.guided_unet import ImagePromptAt
from vbbench.models.videobooth.image_cache import ImagePromptCache
from vbbench.models.videobooth.network import VideoBoothNetwork
from vbbench.models.videobooth.sampling import Denoiser, noise_to_timestep
from vbbench.models.videobooth.unet import ImagePromptInput, ImagePromptStates
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
        return load_videobooth(self.settings["stage"], *names, self.scale, self.device)

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
        keys = [(item.image_seed, sha256(picture).hexdigest(), params.num_frames) for item, picture in zip(items, pictures, strict=True)]
        image = self._image_prompts(items, keys, self.codec.encode(pixels[:, None]), params) if self.network.injects else None
        return self._bind(conditional, image=image)

    def _image_prompts(
        self, items: Sequence[PromptItem], keys: Sequence[Hashable], latents: Tensor, params: SamplingParams
    ) -> ImagePromptAt:
        """The items' image prompts at each timestep.

        Each passes through the network alone, whoever else is in the batch, and once for all prompts of one image (of one key).
        """
        unet, scheduler = self._base.unet, self._scheduler(params)
        per_frame = self._noise_per_frame()
        null_text = unet.text_states(self._null_text())

        def compute(row: int, timestep_B: Tensor) -> ImagePromptStates:
            latent = latents[row : row + 1]
            if not self.network.noises_image_prompt:
                return unet.image_prompt_states(ImagePromptInput(latent, torch.zeros_like(timestep_B[:1]), null_text))
            if per_frame:
                latent = latent.expand(-1, -1, params.num_frames, -1, -1)
            noise = self._image_noise(items[row], latent).to(self.device)
            noisy = noise_to_timestep(scheduler, latent, noise, timestep_B[0])
            return unet.image_prompt_states(ImagePromptInput(noisy, timestep_B[:1], null_text))

        rows = {image: row for row, image in reversed(list(enumerate(keys)))}
        self._kept.begin(rows)
        clean: list[ImagePromptStates] = []  # without noise it is the same at every step

        def at(timestep_B: Tensor) -> ImagePromptStates:
            if clean:
                return clean[0]
            step = float(timestep_B[0]) if self.network.noises_image_prompt else None
            found = {image: self._kept.get(image, step, partial(compute, row, timestep_B)) for image, row in rows.items()}
            states = ImagePromptStates.of_several([found[image] for image in keys])
            if step is None:
                clean.append(states)
            return states

        return at

    def _noise_per_frame(self) -> bool:
        noise = self.settings.get("image_prompt_noise", "shared")
        if noise not in IMAGE_PROMPT_NOISE:
            raise RecipeError(f"image_prompt_noise must be {' or '.join(IMAGE_PROMPT_NOISE)}, not {noise!r}.")
        return noise == "per-frame"

    @staticmethod
    def _image_noise(item: PromptItem, like: Tensor) -> Tensor:
        """The image prompt's noise, from the image and the suite alone, so that all prompts of one image share it."""
        return torch.randn(like.shape, generator=torch.Generator().manual_seed(item.image_seed))
