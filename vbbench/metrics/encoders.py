"""The networks that look at frames. Each is loaded once a process, whoever asks.

Shape suffixes: B batch, T frames, H/W pixels, D embedding, S segments.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import cache, partial
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor, nn

from vbbench import resources
from vbbench.errors import UsageError, WeightsError
from vbbench.metrics.configs import EncoderConfig, encoder_config
from vbbench.metrics.segmenter import NUM_SEGMENTS, UNet, decode
from vbbench.metrics.tokenizer import WordTokenizer
from vbbench.video import resize_frames
from vbbench.weights_io import load_weights

BATCH = 64


class FrameEncoder(Protocol):
    """What a metric may ask of an encoder."""

    config: EncoderConfig

    def embed_frames(self, frames_THWC: np.ndarray) -> Tensor:
        """uint8 RGB frames of any size to (T, D) float32 on the CPU, not normalised."""
        ...

    def embed_text(self, texts: Sequence[str]) -> Tensor:
        """Texts to (B, D) float32 on the CPU, not normalised.

        Raises:
            UsageError: the encoder reads no text.
            InputError: a text it cannot read.
        """
        ...


def preprocess(frames_THWC: np.ndarray, config: EncoderConfig) -> Tensor:
    """Frames as the encoder wants them: `resize_and_crop`, normalised; float32 (T, 3, crop, crop)."""
    return normalise(torch.from_numpy(resize_and_crop(frames_THWC, config)), config)


def resize_and_crop(frames_THWC: np.ndarray, config: EncoderConfig) -> np.ndarray:
    """Frames resized by the short side and cropped in the middle: uint8 (T, crop, crop, 3)."""
    height, width = frames_THWC.shape[1:3]
    short = min(height, width)
    if short != config.resize:
        size = (round(height * config.resize / short), round(width * config.resize / short))
        frames_THWC = resize_frames(frames_THWC, size)
    top, left = ((side - config.crop) // 2 for side in frames_THWC.shape[1:3])
    # a copy where the frames are read-only (memory maps, broadcasts), which torch will not take
    return np.require(frames_THWC[:, top : top + config.crop, left : left + config.crop], requirements="CW")


def normalise(pixels_BHWC: Tensor, config: EncoderConfig) -> Tensor:
    """uint8 or float 0..255 (B, H, W, 3) to float32 (B, 3, H, W) with the encoder's mean and std taken out."""
    mean, std = (torch.tensor(v, device=pixels_BHWC.device) for v in (config.mean, config.std))
    return ((pixels_BHWC.float() / 255 - mean) / std).permute(0, 3, 1, 2).contiguous(memory_format=torch.channels_last)


class ConvStem(nn.Module):
    """Strided convolutions in the place of a timm ViT's patch projection (Xiao et al. 2021), for `embed_layer`."""

    def __init__(
        self, img_size: int, patch_size: int, in_chans: int, embed_dim: int, widths: Sequence[int] = (), bias: bool = True, **_: Any
    ) -> None:
        super().__init__()
        if patch_size != 2 ** (len(widths) + 1):
            raise ValueError(f"{len(widths)} widths make patches of {2 ** (len(widths) + 1)}, not of {patch_size}")
        self.patch_size = (patch_size, patch_size)
        self.grid_size = (img_size // patch_size,) * 2
        self.num_patches = self.grid_size[0] ** 2
        layers: list[nn.Module] = []
        for channels_in, channels_out in zip((in_chans, *widths[:-1]), widths, strict=True):
            layers += [nn.Conv2d(channels_in, channels_out, 3, 2, 1, bias=False), nn.BatchNorm2d(channels_out), nn.GELU()]
        self.net = nn.Sequential(*layers, nn.Conv2d(widths[-1], embed_dim, 3, 2, 1, bias=bias))

    def forward(self, pictures_B3HW: Tensor) -> Tensor:
        """(B, patches, D)."""
        return self.net(pictures_B3HW).flatten(2).transpose(1, 2)


def build_clip(arch: Mapping[str, Any], vocab_size: int) -> nn.Module:
    """open_clip's CLIP in the given sizes, untrained."""
    from open_clip.model import CLIP, CLIPTextCfg, CLIPVisionCfg

    vision, text = CLIPVisionCfg(**arch["vision_cfg"]), CLIPTextCfg(**arch["text_cfg"], vocab_size=vocab_size)
    return CLIP(arch["embed_dim"], vision, text).to(memory_format=torch.channels_last)


def build_dino(arch: Mapping[str, Any]) -> nn.Module:
    """timm's VisionTransformer in the given sizes, untrained; its output is the class token after the last norm."""
    from timm.models.vision_transformer import VisionTransformer

    sizes = dict(arch)
    stem = partial(ConvStem, widths=tuple(sizes.pop("stem_widths")))
    model = VisionTransformer(**sizes, embed_layer=stem).to(memory_format=torch.channels_last)
    for block in model.blocks:
        block.attn.fused_attn = False  # plain softmax is twice as fast on the CPU at 17 tokens, above all backwards
    return model


class _Encoder:
    """What the three have in common: a network in eval mode, batches, and no text."""

    def __init__(self, config: EncoderConfig, network: nn.Module, device: str) -> None:
        self.config = config
        self.device = device
        self.network = network.to(device).eval().requires_grad_(False)

    def embed_frames(self, frames_THWC: np.ndarray) -> Tensor:
        return self._batched(self._embed, frames_THWC)

    def embed_text(self, texts: Sequence[str]) -> Tensor:
        raise UsageError(f"the encoder {self.config.title} reads no text.")

    def _embed(self, pictures_B3HW: Tensor) -> Tensor:
        return self.network(pictures_B3HW)

    @torch.inference_mode()
    def _batched(self, function: Callable[[Tensor], Tensor], frames_THWC: np.ndarray) -> Tensor:
        parts = [
            function(preprocess(frames_THWC[start : start + BATCH], self.config).to(self.device)).cpu()
            for start in range(0, len(frames_THWC), BATCH)
        ]
        return torch.cat(parts).float()


class ClipEncoder(_Encoder):
    """CLIP: frames and texts in one space."""

    def __init__(self, config: EncoderConfig, network: nn.Module, device: str, tokenizer: WordTokenizer) -> None:
        super().__init__(config, network, device)
        self.tokenizer = tokenizer

    def _embed(self, pictures_B3HW: Tensor) -> Tensor:
        return self.network.encode_image(pictures_B3HW)

    @torch.inference_mode()
    def embed_text(self, texts: Sequence[str]) -> Tensor:
        """Texts to (B, D) float32 on the CPU; raises InputError for words that were never seen."""
        tokens_BL = torch.tensor([self.tokenizer(text) for text in texts], dtype=torch.long, device=self.device)
        return self.network.encode_text(tokens_BL).float().cpu()


class DinoEncoder(_Encoder):
    """DINO: the class token of a self-distilled vision transformer."""


class SegmentEncoder(_Encoder):
    """The segmenter. Its embedding of a frame is the share of the frame each segment takes."""

    def crop(self, frames_THWC: np.ndarray) -> np.ndarray:
        """The pixels the segments are of, uint8 (T, crop, crop, 3)."""
        return resize_and_crop(frames_THWC, self.config)

    def segments(self, frames_THWC: np.ndarray) -> np.ndarray:
        """The most probable segment of each pixel, (T, crop, crop) uint8, values of `vbbench.metrics.segmenter`."""
        return self._batched(lambda x: decode(self.network(x)), frames_THWC).to(torch.uint8).numpy()

    def _embed(self, pictures_B3HW: Tensor) -> Tensor:
        found = nn.functional.one_hot(decode(self.network(pictures_B3HW)), NUM_SEGMENTS)
        return found.float().mean(dim=(1, 2))


@cache
def get_encoder(name: str, scale: str = "mini", device: str = "cpu") -> FrameEncoder:
    """The encoder of that name, its weights loaded and verified; the same object at every call.

    Raises:
        UsageError: no such encoder or scale.
        WeightsError: weights missing, damaged, or of another shape.
    """
    config = encoder_config(name, scale)
    if scale != "mini":
        raise WeightsError(f"the weights of {config.title} cannot be loaded yet: only the miniature encoders come with this version.")
    path = resources.weights_path(config.weights, scale)
    tensors, card = load_weights(path)
    return from_weights(config, tensors, card, device)


def from_weights(config: EncoderConfig, tensors: Mapping[str, Tensor], card: Mapping[str, Any], device: str = "cpu") -> FrameEncoder:
    """An encoder from tensors and the card that came with them; the architecture and the words are the card's.

    Raises:
        WeightsError: the tensors do not fit the architecture.
    """
    known: Mapping[str, Any] = card.get("config", {})
    try:
        arch = known["arch"]
        if config.kind == "clip":
            tokenizer = WordTokenizer(known["words"], arch["text_cfg"]["context_length"])
            return ClipEncoder(config, _filled(build_clip(arch, tokenizer.vocab_size), tensors), device, tokenizer)
        if config.kind == "dino":
            return DinoEncoder(config, _filled(build_dino(arch), tensors), device)
        return SegmentEncoder(config, _filled(UNet(arch["widths"]), tensors), device)
    except (KeyError, TypeError, RuntimeError, ValueError) as error:
        raise WeightsError(f"the weights {config.weights!r} do not fit their encoder: {str(error).splitlines()[0]}.") from None


def _filled(network: nn.Module, tensors: Mapping[str, Tensor]) -> nn.Module:
    network.load_state_dict(dict(tensors))
    return network
