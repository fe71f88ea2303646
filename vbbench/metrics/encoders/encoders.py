"""The networks that look at frames. Each is loaded once a process, whoever asks.

Shape suffixes: B batch, T frames, H/W pixels, D embedding, S segments.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from functools import cache, partial
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor, nn

from vbbench.core.weights_file import load_weights
from vbbench.data.world import VOCABULARY
from vbbench.errors import InputError, UsageError, WeightsError
from vbbench.metrics.encoders.configs import EncoderConfig, encoder_config
from vbbench.metrics.encoders.pictures import normalise, preprocess, resize_and_crop
from vbbench.metrics.encoders.segmenter import NUM_SEGMENTS, UNet, decode
from vbbench.metrics.encoders.setting import Setting
from vbbench.metrics.encoders.tokenizer import WordTokenizer
from vbbench.metrics.encoders.weights import load_tensors, locate

# The encoders' architectures, untrained: the miniature's sizes and the real ones in the same
# libraries' classes.
#
# Shape suffixes: B batch, H/W pixels, D embedding.

SEED = 0
_SHOWN = 3


class ConvStem(nn.Module):
    """Strided convolutions in the place of a timm ViT's patch projection (Xiao et al. 2021), for
    `embed_layer`."""

    def __init__(
        self,
        img_size: int,
        patch_size: int,
        in_chans: int,
        embed_dim: int,
        widths: Sequence[int] = (),
        bias: bool = True,
        **_: Any,
    ) -> None:
        super().__init__()
        if patch_size != 2 ** (len(widths) + 1):
            raise ValueError(
                f"{len(widths)} widths make patches of {2 ** (len(widths) + 1)}, not of {patch_size}"
            )
        self.patch_size = (patch_size, patch_size)
        self.grid_size = (img_size // patch_size,) * 2
        self.num_patches = self.grid_size[0] ** 2
        layers: list[nn.Module] = []
        for channels_in, channels_out in zip((in_chans, *widths[:-1]), widths, strict=True):
            layers += [
                nn.Conv2d(channels_in, channels_out, 3, 2, 1, bias=False),
                nn.BatchNorm2d(channels_out),
                nn.GELU(),
            ]
        self.net = nn.Sequential(*layers, nn.Conv2d(widths[-1], embed_dim, 3, 2, 1, bias=bias))

    def forward(self, pictures_B3HW: Tensor) -> Tensor:
        """(B, patches, D)."""
        return self.net(pictures_B3HW).flatten(2).transpose(1, 2)


def build_clip(arch: Mapping[str, Any], vocab_size: int) -> nn.Module:
    """open_clip's CLIP, untrained, in the sizes of ``arch``, or in those that open_clip has under
    the name ``arch["open_clip"]``."""
    import open_clip
    from open_clip.model import CLIP, CLIPTextCfg, CLIPVisionCfg

    # not open_clip.create_model: it logs a warning whenever no weights are asked for
    sizes = open_clip.get_model_config(arch["open_clip"]) if "open_clip" in arch else arch
    vision, text = (
        CLIPVisionCfg(**sizes["vision_cfg"]),
        CLIPTextCfg(**{**sizes["text_cfg"], "vocab_size": vocab_size}),
    )
    return CLIP(sizes["embed_dim"], vision, text, quick_gelu=sizes.get("quick_gelu", False)).to(
        memory_format=torch.channels_last
    )


def build_dino(arch: Mapping[str, Any]) -> nn.Module:
    """timm's VisionTransformer, untrained; its output is the class token after the last norm.

    Args:
        arch: sizes of the miniature, or ``timm``: name of a timm model, with the options it is made
            with.
    """
    if "timm" in arch:
        import timm

        options = {key: value for key, value in arch.items() if key not in ("timm", "trained_size")}
        return timm.create_model(arch["timm"], pretrained=False, num_classes=0, **options).to(
            memory_format=torch.channels_last
        )
    from timm.models.vision_transformer import VisionTransformer

    sizes = dict(arch)
    stem = partial(ConvStem, widths=tuple(sizes.pop("stem_widths")))
    model = VisionTransformer(**sizes, embed_layer=stem).to(memory_format=torch.channels_last)
    for block in model.blocks:
        attention: Any = block.attn
        # plain softmax is twice as fast on the CPU at 17 tokens, above all backwards
        attention.fused_attn = False
    return model


def seeded(build: Callable[[], nn.Module]) -> nn.Module:
    """The network that ``build`` makes from the fixed seed; nobody else's random numbers change."""
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(SEED)  # the CPU's alone, where networks are made
        return build()


def fill(network: nn.Module, tensors: Mapping[str, Tensor], name: str) -> nn.Module:
    """The network with published or trained tensors in it, every one of them used.

    Args:
        name: of the weights, for the message.
    Raises:
        WeightsError: tensors are missing, unexpected or of another shape; the first few of each are
            named.
    """
    own = network.state_dict()
    both = [key for key in own if key in tensors]
    wrong = {
        "missing": [key for key in own if key not in tensors],
        "unexpected": [key for key in tensors if key not in own],
        "of another shape": [
            f"{key} ({_shape(tensors[key])}, not {_shape(own[key])})"
            for key in both
            if own[key].shape != tensors[key].shape
        ],
    }
    if any(wrong.values()):
        told = "; ".join(
            f"{len(keys)} {what}: {_first(keys)}" for what, keys in wrong.items() if keys
        )
        raise WeightsError(f"the weights {name!r} do not fit their encoder: {told}.")
    network.load_state_dict(dict(tensors))
    return network


def adapted(
    network: nn.Module, tensors: Mapping[str, Tensor], arch: Mapping[str, Any]
) -> dict[str, Tensor]:
    """Published tensors as the network wants them, where it is known in what the files differ.

    CLIP's scale is a number in one file and a row of one in another. DINOv2 comes with the mask
    token of its training, and with position codes for ``arch["trained_size"]``, which are resampled
    as timm does it (bicubic, antialiased).
    """
    tensors = dict(tensors)
    if "logit_scale" in tensors and tensors["logit_scale"].numel() == 1:
        tensors["logit_scale"] = tensors["logit_scale"].reshape(())
    if "trained_size" in arch:
        from timm.layers import resample_abs_pos_embed

        tensors.pop("mask_token", None)
        patches: Any = network.patch_embed
        side = arch["trained_size"] // patches.patch_size[0]
        if "pos_embed" in tensors and tensors["pos_embed"].shape[1:-1] == (side * side + 1,):
            tensors["pos_embed"] = resample_abs_pos_embed(
                tensors["pos_embed"], list(patches.grid_size), [side, side]
            )
    return tensors


def _first(keys: Sequence[str]) -> str:
    return ", ".join(keys[:_SHOWN]) + (" ..." if len(keys) > _SHOWN else "")


def _shape(tensor: Tensor) -> str:
    return " x ".join(map(str, tensor.shape)) or "a number"


# Texts to tokens for the real CLIP.


class BpeTokenizer:
    """open_clip's own tokenizer of a model (its vocabulary is part of the library), refusing what
    does not fit.

    Args:
        architecture: open_clip's name of the model.
    """

    def __init__(self, architecture: str) -> None:
        import open_clip

        self._tokenizer = open_clip.get_tokenizer(architecture)
        self.context_length = int(self._tokenizer.context_length)
        self.vocab_size = int(self._tokenizer.vocab_size)

    def __call__(self, text: str) -> list[int]:
        """``context_length`` token numbers.

        Raises:
            InputError: an empty text, or more tokens than fit; reading only the first would answer
                another text than was asked.
        """
        if not text.strip():
            raise InputError(f"the text {text!r} holds no word.")
        tokens, most = self._tokenizer.encode(text), self.context_length - 2
        if len(tokens) > most:
            raise InputError(
                f"the text has {len(tokens)} tokens, and CLIP reads at most {most}: {text[:60]!r} ..."
            )
        if set(tokens) & set(self._tokenizer.all_special_ids):
            raise InputError(
                f"the text {text!r} holds a mark by which CLIP's tokenizer begins or ends a text."
            )
        return self._tokenizer([text])[0].tolist()


__all__ = [
    "BATCH",
    "ClipEncoder",
    "ConvStem",
    "DinoEncoder",
    "FrameEncoder",
    "SegmentEncoder",
    "build_clip",
    "build_dino",
    "from_weights",
    "get_encoder",
    "normalise",
    "preprocess",
    "resize_and_crop",
]

BATCH = 64


class FrameEncoder(Protocol):
    """What a metric may ask of an encoder."""

    config: EncoderConfig

    def embed_frames(self, frames_THWC: np.ndarray) -> Tensor:
        """RGB frames of any size (uint8, or floating 0..1) to (T, D) float32 on the CPU, not
        normalised; `BATCH` at a time."""
        ...

    def prepared(self, frames_THWC: np.ndarray) -> np.ndarray:
        """Frames resized and cropped as this encoder wants them: (T, crop, crop, 3), uint8 from
        uint8."""
        ...

    def embed_pictures(self, pixels_BHWC: np.ndarray) -> Tensor:
        """`prepared` frames, of one video or of many, to (B, D) float32 on the CPU, in one
        batch."""
        ...

    def embed_text(self, texts: Sequence[str]) -> Tensor:
        """Texts to (B, D) float32 on the CPU, not normalised.

        Raises:
            UsageError: the encoder reads no text.
            InputError: a text it cannot read.
        """
        ...


class _Encoder:
    """What the three have in common: a network in eval mode, batches, and no text."""

    def __init__(
        self, config: EncoderConfig, network: nn.Module, device: str, precision: str = "float32"
    ) -> None:
        self.config = config
        self.device = device
        self.dtype: torch.dtype = getattr(torch, precision)
        self.network = network.to(device, self.dtype).eval().requires_grad_(False)

    def embed_frames(self, frames_THWC: np.ndarray) -> Tensor:
        return torch.cat(
            [self.embed_pictures(self.prepared(frames)) for frames in _batches(frames_THWC)]
        )

    def prepared(self, frames_THWC: np.ndarray) -> np.ndarray:
        return resize_and_crop(frames_THWC, self.config)

    def embed_pictures(self, pixels_BHWC: np.ndarray) -> Tensor:
        return self._run(self._embed, pixels_BHWC)

    def embed_text(self, texts: Sequence[str]) -> Tensor:
        raise UsageError(f"the encoder {self.config.title} reads no text.")

    def _embed(self, pictures_B3HW: Tensor) -> Tensor:
        return self.network(pictures_B3HW)

    def _run(self, function: Callable[[Tensor], Tensor], pixels_BHWC: np.ndarray) -> Tensor:
        with torch.inference_mode(), self._exact():
            pixels = torch.from_numpy(np.require(pixels_BHWC, requirements=("C", "W"))).to(
                self.device
            )
            return function(normalise(pixels, self.config).to(self.dtype)).float().cpu()

    def _exact(self) -> AbstractContextManager[None]:
        """On CUDA, convolutions of float32 would otherwise be computed in TF32, and by whichever
        kernel is fastest today."""
        if torch.device(self.device).type != "cuda":
            return nullcontext()
        return torch.backends.cudnn.flags(enabled=True, deterministic=True, allow_tf32=False)


class ClipEncoder(_Encoder):
    """CLIP: frames and texts in one space."""

    network: Any
    """open_clip's CLIP, which has no types."""

    def __init__(
        self,
        config: EncoderConfig,
        network: nn.Module,
        device: str,
        tokenizer: Callable[[str], list[int]],
        precision: str = "float32",
    ) -> None:
        super().__init__(config, network, device, precision)
        self.tokenizer = tokenizer

    def _embed(self, pictures_B3HW: Tensor) -> Tensor:
        return self.network.encode_image(pictures_B3HW)

    def embed_text(self, texts: Sequence[str]) -> Tensor:
        """Texts to (B, D) float32 on the CPU; raises InputError for a text that is empty, too long,
        or of words never seen."""
        tokens_BL = torch.tensor([self.tokenizer(text) for text in texts], dtype=torch.long)
        with torch.inference_mode():
            return torch.cat(
                [
                    self.network.encode_text(part.to(self.device)).float().cpu()
                    for part in tokens_BL.split(BATCH)
                ]
            )


class DinoEncoder(_Encoder):
    """DINO: the class token of a self-distilled vision transformer."""


class SegmentEncoder(_Encoder):
    """The segmenter. Its embedding of a frame is the share of the frame each segment takes."""

    def segments(self, frames_THWC: np.ndarray) -> np.ndarray:
        """The most probable segment of each pixel, (T, crop, crop) uint8, values of
        `vbbench.metrics.encoders.segmenter`."""
        found = [
            self._run(lambda x: decode(self.network(x)), self.prepared(frames))
            for frames in _batches(frames_THWC)
        ]
        return torch.cat(found).to(torch.uint8).numpy()

    def _embed(self, pictures_B3HW: Tensor) -> Tensor:
        found = nn.functional.one_hot(decode(self.network(pictures_B3HW)), NUM_SEGMENTS)
        return found.float().mean(dim=(1, 2))


def get_encoder(role: str, setting: Setting = Setting(), device: str = "cpu") -> FrameEncoder:  # noqa: B008 (frozen)
    """The encoder that plays a role in a setting, its weights loaded and verified; the same object
    at every call.

    Args:
        role: ``clip``, ``dino`` or ``segmenter``.
        setting: its scale, variants, precision and weights are read.
        device: ``cpu`` or ``cuda``.
    Raises:
        UsageError: no such encoder, scale or device.
        WeightsError: weights missing, damaged, or of another shape.
    """
    chosen = ((role, encoder_config(role, setting).name),)
    return _loaded(role, Setting(setting.scale, chosen, setting.precision, setting.weights), device)


@cache
def _loaded(role: str, setting: Setting, device: str) -> FrameEncoder:
    config = encoder_config(role, setting)
    _check_device(device)
    known: Mapping[str, Any] = {"arch": config.arch, "words": VOCABULARY}
    if setting.weights == "absent":
        raise WeightsError(
            f"the weights of {config.name} were left out on purpose (absent), and nothing can be scored without them."
        )
    if setting.weights == "random":
        return _assembled(config, None, known, device, setting.precision)
    if setting.scale == "mini":
        return from_weights(
            config, *load_weights(locate(config, "mini")), device, setting.precision
        )
    return _assembled(config, load_tensors(config, setting.scale), known, device, setting.precision)


def forget_encoders() -> None:
    """Load every encoder anew when it is next asked for: whoever moves the weights within a process
    must say so."""
    _loaded.cache_clear()


def from_weights(
    config: EncoderConfig,
    tensors: Mapping[str, Tensor],
    card: Mapping[str, Any],
    device: str = "cpu",
    precision: str = "float32",
) -> FrameEncoder:
    """A miniature encoder from tensors and the card that came with them; the architecture and the
    words are the card's.

    Raises:
        WeightsError: the tensors do not fit the architecture.
    """
    try:
        return _assembled(config, tensors, card.get("config", {}), device, precision)
    except (KeyError, TypeError, RuntimeError, ValueError) as error:
        raise WeightsError(
            f"the weights {config.name!r} do not fit their encoder: {str(error).splitlines()[0]}."
        ) from None


def _assembled(
    config: EncoderConfig,
    tensors: Mapping[str, Tensor] | None,
    known: Mapping[str, Any],
    device: str,
    precision: str,
) -> FrameEncoder:
    """Network, tensors (None: random ones from the fixed seed) and tokenizer put together."""
    arch = known["arch"]

    def filled(build: Callable[[], nn.Module]) -> nn.Module:
        network = seeded(build)
        if tensors is None:
            return network
        return fill(
            network, adapted(network, tensors, arch) if config.sources else tensors, config.name
        )

    if config.kind == "clip":
        real = "open_clip" in arch
        tokenizer = (
            BpeTokenizer(arch["open_clip"])
            if real
            else WordTokenizer(known["words"], arch["text_cfg"]["context_length"])
        )
        return ClipEncoder(
            config,
            filled(lambda: build_clip(arch, tokenizer.vocab_size)),
            device,
            tokenizer,
            precision,
        )
    if config.kind == "dino":
        return DinoEncoder(config, filled(lambda: build_dino(arch)), device, precision)
    return SegmentEncoder(config, filled(lambda: UNet(arch["widths"])), device, precision)


def _batches(frames_THWC: np.ndarray) -> list[np.ndarray]:
    return [frames_THWC[start : start + BATCH] for start in range(0, len(frames_THWC), BATCH)]


def _check_device(device: str) -> None:
    if device.partition(":")[0] not in ("cpu", "cuda"):
        raise UsageError(f"there is no device {device!r}; there are cpu and cuda.")
    if device.startswith("cuda") and not torch.cuda.is_available():
        raise UsageError("there is no CUDA device here; use the device cpu.")


def picture_embedder(scale: str) -> Callable[[np.ndarray], np.ndarray]:
    """What embeds one picture by the DINO scoring encoder of a scale, uint8 (H, W, 3) to (D,).

    Args:
        scale: ``mini`` or ``sd14``.
    Raises:
        WeightsError: the encoder's weights cannot be had.
    """
    encoder = get_encoder("dino", Setting(scale))
    return lambda picture_HW3: encoder.embed_frames(picture_HW3[None])[0].float().numpy()
