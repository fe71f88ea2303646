"""What a stage learns from real clips: to predict the noise of a clip, from its caption and the
image prompt of its first frame.

VideoBooth, section 3: the image prompt as words (coarse), and as injected keys and values (fine),
noised to the clip's own timestep. B clips, C latent channels, T frames, h/w latent cells, L tokens,
D width.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn

from vbbench.models.fitting import denoising_loss
from vbbench.networks.sampling.diffusion import add_noise, video_noise
from vbbench.networks.unet.unet import ImagePromptInput
from vbbench.networks.videobooth import VideoBoothNetwork
from vbbench.training.objectives.stage import EMBEDDING_PENALTY
from vbbench.training.real.frozen import FrozenParts
from vbbench.training.real.loader import LoadedSample
from vbbench.training.real.settings import RealSettings

LEVELS = (250, 500, 850)
"""Timesteps of validation."""


@dataclass(frozen=True)
class Batch:
    """Clips, those with text and image prompt first.

    Attributes:
        latents_BCThw: clean.
        noise_BCThw: of the clips.
        timesteps_B: one a clip.
        texts, words: of the first so many clips; the others are without.
        states: hidden states of their image prompts, one (N, 1 + P, D) a level; empty where no
            image prompt is read as words.
        prompts_NC1hw: their image prompts' latents, clean; None without a fine path.
        prompt_noise_NC1hw: and noise.
    """

    latents_BCThw: Tensor
    noise_BCThw: Tensor
    timesteps_B: Tensor
    texts: tuple[str, ...]
    words: tuple[str, ...]
    states: tuple[Tensor, ...]
    prompts_NC1hw: Tensor | None
    prompt_noise_NC1hw: Tensor | None


class RealStage:
    """A stage of VideoBooth on real clips.

    Args:
        name: of the weights it makes.
        network: on its device; what its stage trains gets gradients, the rest stays frozen.
        frozen: what is computed of clips and image prompts by networks that do not change.
        settings: of the loop.
        null_text: of clips whose text is dropped, and of the image prompt's own pass; the released
            code's is "None".

    Attributes:
        held_out: clips that it is validated on; none by default.
    """

    rest_is_constant = True

    def __init__(
        self,
        name: str,
        network: VideoBoothNetwork,
        frozen: FrozenParts,
        settings: RealSettings,
        null_text: str = "None",
    ) -> None:
        self.name, self.module, self.settings = name, network, settings
        self.frozen, self._null_text = frozen, null_text
        self.held_out: Sequence[LoadedSample] = ()
        for _, parameter in network.trained():
            parameter.requires_grad_(True)
        network.base.unet.recompute_blocks(settings.recompute)
        self._alphas = network.base.config.diffusion.alphas_cumprod().to(network.base.device)
        self._null_state: Tensor | None = None

    @torch.no_grad()
    def batch(self, samples: Sequence[LoadedSample], *, timestep: int | None = None) -> Batch:
        """What loaded clips become for the network, every draw from each clip's own seed.

        Args:
            timestep: of all clips instead of one drawn for each.
        """
        ordered = [
            *(one for one in samples if not one.dropped),
            *(one for one in samples if one.dropped),
        ]
        asked = [one for one in samples if not one.dropped]
        latents = torch.cat([self.frozen.clip_latents(one) for one in ordered])
        draws = [self._draws(one, latents.shape[1:], timestep) for one in ordered]
        prompts = (
            torch.cat([self.frozen.prompt_latents(one) for one in asked])
            if asked and self.module.injects
            else None
        )
        device = self.module.base.device
        return Batch(
            latents_BCThw=latents,
            noise_BCThw=torch.cat([noise for _, noise, _ in draws]).to(device),
            timesteps_B=torch.tensor([step for step, _, _ in draws], device=device),
            texts=tuple(one.text for one in asked),
            words=tuple(one.subject_word for one in asked),
            states=self._states(asked) if self.module.mapper is not None else (),
            prompts_NC1hw=prompts,
            prompt_noise_NC1hw=torch.cat([noise for _, _, noise in draws[: len(asked)]]).to(device)
            if prompts is not None
            else None,
        )

    def _draws(
        self, sample: LoadedSample, shape_CThw: Sequence[int], timestep: int | None
    ) -> tuple[int, Tensor, Tensor]:
        """Timestep, noise of the clip and noise of the image prompt, in this order from the clip's
        seed, on the CPU."""
        generator = torch.Generator().manual_seed(sample.seed)
        drawn = int(torch.randint(len(self._alphas), (), generator=generator))
        shape = (1, *shape_CThw)
        noise = video_noise(shape, self.module.base.config.diffusion.shared_noise, generator)
        return (
            drawn if timestep is None else timestep,
            noise,
            torch.randn((*shape[:2], 1, *shape[3:]), generator=generator),
        )

    def _states(self, asked: Sequence[LoadedSample]) -> tuple[Tensor, ...]:
        levels = [self.frozen.prompt_states(one) for one in asked]
        return tuple(torch.cat(level) for level in zip(*levels, strict=True))

    def loss_of(self, network: VideoBoothNetwork, batch: Batch) -> tuple[Tensor, Tensor]:
        """The loss, a mean over clips, and the denoising part of it alone (detached).

        Each clip's loss depends on nobody else in the batch, so that a mean over any division into
        batches is the same.
        """
        error, small = self._denoise(network, batch)
        return error + EMBEDDING_PENALTY * small, error.detach()

    def _denoise(self, network: VideoBoothNetwork, batch: Batch) -> tuple[Tensor, Tensor]:
        """Mean squared error of the predicted noise, and the mean absolute value of the mapped
        embeddings (0 of clips without)."""
        clips, asked = len(batch.latents_BCThw), len(batch.texts)
        null = self._null(network)
        text, small = null.expand(clips, -1, -1), null.new_zeros(())
        if asked:
            embeddings = network.mapper(batch.states) if network.mapper is not None else None
            text = torch.cat(
                [network.encode_text(batch.texts, batch.words, embeddings), text[asked:]]
            )
            if embeddings is not None:
                small = embeddings.float().abs().mean() * (asked / clips)
        alpha_bar = self._alphas[batch.timesteps_B]
        noisy = add_noise(batch.latents_BCThw, batch.noise_BCThw, alpha_bar)
        prediction = network.base.unet(
            noisy,
            batch.timesteps_B,
            text,
            image_prompt=self._image_prompt(network, batch, alpha_bar, null),
        )
        # processes add up gradients of all that is trained, also of what this batch did not reach
        if not asked:
            prediction = prediction + sum(
                parameter.sum() * 0.0 for _, parameter in network.trained()
            )
        kind = network.base.config.diffusion.prediction_type
        return denoising_loss(
            prediction, batch.latents_BCThw, batch.noise_BCThw, alpha_bar, kind
        ), small

    @staticmethod
    def _image_prompt(
        network: VideoBoothNetwork, batch: Batch, alpha_bar: Tensor, null: Tensor
    ) -> ImagePromptInput | None:
        if batch.prompts_NC1hw is None or batch.prompt_noise_NC1hw is None:
            return None
        asked = len(batch.texts)
        text = null.expand(asked, -1, -1)
        if not network.noises_image_prompt:
            return ImagePromptInput(
                batch.prompts_NC1hw, torch.zeros_like(batch.timesteps_B[:asked]), text
            )
        return ImagePromptInput(
            add_noise(batch.prompts_NC1hw, batch.prompt_noise_NC1hw, alpha_bar[:asked]),
            batch.timesteps_B[:asked],
            text,
        )

    @torch.no_grad()
    def _null(self, network: VideoBoothNetwork) -> Tensor:
        """Text states (1, L, D) of no text, encoded once: the text encoder does not change."""
        if self._null_state is None:
            with torch.autocast(network.base.device.type, enabled=False):
                self._null_state = network.base.encode_text([self._null_text])
        return self._null_state

    def export(self, module: nn.Module) -> tuple[dict[str, Tensor], dict[str, Any]]:
        """Everything that this stage and those before it trained, whole (not as differences to the
        base)."""
        assert isinstance(module, VideoBoothNetwork)
        return {name: parameter.detach() for name, parameter in module.trained()}, {
            "stage": module.stage,
            "noises_image_prompt": module.noises_image_prompt,
        }

    def validate(self, module: nn.Module) -> Mapping[str, float]:
        """Loss on held-out clips at fixed timesteps, and how much worse it is with the image prompt
        of the next clip."""
        assert isinstance(module, VideoBoothNetwork)
        figures = {}
        for level in LEVELS if self.held_out else ():
            right, wrong = (self._held_out_error(module, level, shift) for shift in (0, 1))
            figures[f"loss_{level}"] = right
            if len(self.held_out) > 1:
                figures[f"loss_{level}_wrong_minus_right"] = wrong - right
        return figures

    def _held_out_error(self, module: VideoBoothNetwork, level: int, shift: int) -> float:
        """Mean over the held-out clips, each with the image prompt of the one ``shift`` places
        on."""
        count, errors = len(self.held_out), []
        for place, sample in enumerate(self.held_out):
            other = self.held_out[(place + shift) % count]
            swapped = replace(
                sample, image_prompt=other.image_prompt, prompt_key=other.prompt_key, dropped=False
            )
            errors.append(float(self._denoise(module, self.batch([swapped], timestep=level))[0]))
        return sum(errors) / count
