"""Latents of rendered training data: encoded once, in one order, and read by memory map.

An autoencoder costs a third of a training step of the base, and latents of pictures that do not
change need not be computed in each. The files lie in the data's own folder, by the digest of the
codec's weights, in float16 (a relative error of 0.0005, under a hundredth of what the codec loses),
so a training that goes on reads the very numbers that it read before.

N rows, T frames, C latent channels, h/w latent cells.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from torch import nn

from vbbench.core.digests import sha256_of
from vbbench.core.files import atomic_file
from vbbench.core.progress import Progress
from vbbench.data.world.pictures import Split
from vbbench.networks.codec import PatchCodec, to_unit

ENCODED_AT_ONCE = 64  # frames; fixed, so that every machine's file has the same rounding


class Latents:
    """Latents of one split's stills, clips and image prompts, encoded when first asked for.

    Args:
        split: rendered pictures.
        codec: on the CPU or a GPU.
        device: where the codec is.
    """

    def __init__(self, split: Split, codec: PatchCodec, device: str) -> None:
        self.split, self.codec, self.device = split, codec, device
        self.folder = split.folder / f"latents-{weights_digest(codec)[:12]}"
        self._open: dict[str, np.ndarray] = {}

    def __call__(self, kind: str) -> np.ndarray:
        """float16 (N, C, h, w) of stills and image prompts, (N, T, C, h, w) of clips."""
        if kind not in self._open:
            path = self.folder / f"{self.split.name}-{kind}.npy"
            if not path.is_file():
                self._encode(kind, path)
            self._open[kind] = np.load(path, mmap_mode="r", allow_pickle=False)
        return self._open[kind]

    @torch.inference_mode()
    def _encode(self, kind: str, path: Path) -> None:
        """Write a kind's latents, whole or not at all: nobody reads half of them."""
        frames = getattr(self.split, kind).frames
        flat = frames.reshape(-1, *frames.shape[-3:])
        rows = []
        progress = Progress(f"latents of {self.split.name} {kind}", len(flat), 0)
        for start in range(0, len(flat), ENCODED_AT_ONCE):
            pixels = to_unit(torch.tensor(flat[start : start + ENCODED_AT_ONCE]).to(self.device))
            rows.append(self.codec.encode(pixels[:, None])[:, :, 0].half().cpu().numpy())
            if progress.due():
                progress.update(start)
        progress.close()
        encoded = np.concatenate(rows)
        with atomic_file(path, suffix=".npy") as partial:
            np.save(partial, encoded.reshape(*frames.shape[:-3], *encoded.shape[1:]))


def weights_digest(module: nn.Module) -> str:
    """SHA-256 of a module's tensors and their names."""
    return sha256_of(
        b"".join(
            name.encode() + tensor.detach().cpu().contiguous().numpy().tobytes()
            for name, tensor in sorted(module.state_dict().items())
        )
    )
