"""Reading golden files, and the released weights in them as our classes."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from vbbench.errors import WeightsError
from vbbench.networks import checkpoint
from vbbench.networks.sampling.speed import Speed, apply_speed
from vbbench.networks.unet.coarse import Mapper
from vbbench.networks.unet.unet import VideoUNet


@dataclass(frozen=True)
class Golden:
    """One file: its tensors, and its metadata parsed from JSON."""

    name: str
    tensors: dict[str, Tensor]
    metadata: dict[str, Any]

    def __getitem__(self, key: str) -> Tensor:
        return self.tensors[key]

    def get(self, key: str) -> Tensor | None:
        return self.tensors.get(key)

    def rounded(self, dtype: torch.dtype) -> Golden:
        """With inputs (``in.*``) in another dtype, if they are floating."""
        chosen = {
            key
            for key, value in self.tensors.items()
            if key.startswith("in.") and value.is_floating_point()
        }
        cast = {
            key: value.to(dtype) if key in chosen else value for key, value in self.tensors.items()
        }
        return replace(self, tensors=cast)

    def weights(self) -> dict[str, Tensor]:
        """The tensors called ``w.*``, without that."""
        return {
            key.removeprefix("w."): value
            for key, value in self.tensors.items()
            if key.startswith("w.")
        }


def read_golden(path: Path) -> Golden:
    """Read a file.

    Raises:
        WeightsError: there is none, or it is damaged.
    """
    if not path.is_file():
        raise WeightsError(f"{path.name} is needed and not there")
    try:
        with safe_open(path, "pt") as file:
            tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118 (not a dict)
            metadata = {key: json.loads(value) for key, value in (file.metadata() or {}).items()}
    except (SafetensorError, ValueError) as error:
        raise WeightsError(f"{path.name} cannot be read: {error}") from error
    return Golden(path.stem, tensors, metadata)


class Released:
    """The released weights of a folder, as our classes in ``dtype``; each built when first asked
    for.

    ``backend`` computes their injection attention.
    """

    def __init__(
        self, folder: Path, backend: str | None = None, dtype: torch.dtype = torch.float32
    ) -> None:
        self.folder, self.backend, self.dtype = folder, backend, dtype
        self._unets: dict[str, VideoUNet] = {}

    @cached_property
    def _unet(self) -> Golden:
        return read_golden(self.folder / "weights_A_unet.safetensors")

    @cached_property
    def _mapper(self) -> Golden:
        return read_golden(self.folder / "weights_A_mapper.safetensors")

    def unet(self, stage: checkpoint.Stage) -> VideoUNet:
        """The UNet at a stage of training."""
        if stage not in self._unets:
            config = checkpoint.config_from_diffusers(
                self._unet.metadata["config"],
                watermark_removal="watermark_zero_out.weight" in self._unet.tensors,
                injection=stage == "fine",
            )
            unet = VideoUNet(config)
            state = checkpoint.unet_from_released(self._unet.tensors, self._mapper.tensors, stage)
            checkpoint.load_strictly(unet, state, source=f"{self._unet.name}, stage {stage}")
            self._unets[stage] = apply_speed(
                unet.eval().to(self.dtype), Speed(attention=self.backend or "")
            )
        return self._unets[stage]

    @cached_property
    def clip_text(self) -> Any:
        """The small CLIP text model."""
        from transformers import CLIPTextConfig, CLIPTextModel

        golden = read_golden(self.folder / "weights_clip_text_small.safetensors")
        model = CLIPTextModel(CLIPTextConfig(**golden.metadata["config"]))
        checkpoint.load_strictly(
            model, checkpoint.clip_text_from_released(golden.tensors), source=golden.name
        )
        return model.eval().to(self.dtype)


def build_mapper(golden: Golden) -> Mapper:
    """The mapper whose weights lie in a case file."""
    state = checkpoint.mapper_from_released(golden.weights())
    sizes = golden.metadata
    levels = sum(key.startswith("in.emb_") for key in golden.tensors)
    mapper = Mapper(levels, sizes["input_dim"], sizes["hidden"], sizes["output_dim"])
    checkpoint.load_strictly(mapper, state, source=golden.name)
    return mapper.eval()
