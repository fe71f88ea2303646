"""VideoBooth as a model: an image prompt and a text in, a video out (arXiv 2312.00777, section 3)."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from vbbench.models.codec import to_unit
from vbbench.models.diffusion import DiffusionConfig
from vbbench.models.loading import load_videobooth
from vbbench.models.text_to_video import LatentVideoModel
from vbbench.models.videobooth.network import VideoBoothNetwork
from vbbench.models.videobooth.sampling import Denoiser, noise_to_timestep
from vbbench.models.videobooth.unet import ImagePromptInput
from vbbench.types import PromptItem, SamplingParams
from vbbench.video import load_image_prompt


class VideoBooth(LatentVideoModel):
    """Either stage; ``settings["stage"]`` says which, ``settings["weights"]["videobooth"]`` holds what it trained.

    The corrected sampler: guidance acts on all latent channels, and the image prompt's noise is one draw an image, kept over the
    steps (the released code guides three of four channels and draws anew for each step and frame).
    """

    network: VideoBoothNetwork  # type: ignore[assignment]

    def _load_network(self) -> VideoBoothNetwork:  # type: ignore[override]
        weights = self.settings["weights"]
        names = (weights["base"], weights["image-encoder"], weights["videobooth"])
        return load_videobooth(self.settings["stage"], *names, self.scale, self.device)

    @property
    def _diffusion(self) -> DiffusionConfig:
        return self.network.base.config.diffusion

    def _denoiser(self, items: Sequence[PromptItem], params: SamplingParams) -> Denoiser:
        pixels = to_unit(torch.stack([torch.from_numpy(load_image_prompt(item.image, params.size)[0]) for item in items]).to(self.device))
        conditional = self.network.encode_text(
            [item.text for item in items], [item.subject_word for item in items], self.network.embed_image(pixels)
        )
        unconditional = self._null_text(self.network.base, len(items))
        latents_image = self.codec.encode(pixels[:, None])
        noise_image = torch.cat([self._image_noise(item, latents_image[:1]) for item in items]).to(self.device)
        scheduler, unet, network = self._scheduler(params), self.network.base.unet, self.network

        def denoise(latents: Tensor, timestep_B: Tensor, is_conditional: bool) -> Tensor:
            if not is_conditional:
                return unet(latents, timestep_B, unconditional)
            image = None
            if network.injects and network.noises_image_prompt:
                noisy = noise_to_timestep(scheduler, latents_image, noise_image, timestep_B[0])
                image = ImagePromptInput(noisy, timestep_B, unconditional)
            elif network.injects:
                image = ImagePromptInput(latents_image, torch.zeros_like(timestep_B), unconditional)
            return unet(latents, timestep_B, conditional, image_prompt=image)

        return denoise

    @staticmethod
    def _image_noise(item: PromptItem, like: Tensor) -> Tensor:
        """The image prompt's noise, from the image and the suite alone, so that all prompts of one image share it."""
        return torch.randn(like.shape, generator=torch.Generator().manual_seed(item.image_seed))
