"""Sizes and options of the video UNet."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class UNetConfig:
    """Sizes and options of a `VideoUNet`; the defaults are the released network's.

    Attributes:
        in_channels: latent channels in.
        out_channels: latent channels out.
        block_out_channels: channels of each level; every level but the last halves the resolution.
        layers_per_block: resnets a level on the way down (one more on the way up).
        attention_levels: whether each level has transformers, from the top; mirrored on the way up.
        num_heads: attention heads, one number or one a level.
        cross_attention_dim: width of the text states.
        norm_num_groups: groups of every group normalisation.
        norm_eps: epsilon of the resnets' normalisations.
        feed_forward_mult: inner width of the feed-forward layers, in channels.
        watermark_widths: channels of the watermark-removal blocks' levels; None: no such blocks.
        injection: with the image prompt's key and value projections.
        time_scale_shift: the time embedding scales and shifts after norm2, instead of being added
            before it.
        pooled_text: the mean text state is projected and added to the time embedding.
        frame_codes: size of a learned table of frame indices added to the time embedding (0: none);
            with ``pooled_text`` a second table multiplies the projected text, so that text can
            decide a direction in time.
        spatial_codes: (H, W) of the latents: a learned code is added at the top of each level;
            None: none.
        temporal_codes: size of a learned table of frame positions at the temporal attentions' input
            (0: none).
        zero_init: the last layer of each residual branch starts at zero, for training from scratch.
        skip_sd: 0, or for networks that predict the clean latent on the cosine schedule of 1,000
            steps: the output is a sum of the noised sample and of what the layers give, weighted by
            the noise level (`vbbench.networks.unet.preconditioning`); standard deviation of what is
            not known of a latent of unit variance when it is hardly noised.
    """

    in_channels: int = 4
    out_channels: int = 4
    block_out_channels: tuple[int, ...] = (320, 640, 1280, 1280)
    layers_per_block: int = 2
    attention_levels: tuple[bool, ...] = (True, True, True, False)
    num_heads: int | tuple[int, ...] = 8
    cross_attention_dim: int = 768
    norm_num_groups: int = 32
    norm_eps: float = 1e-5
    feed_forward_mult: int = 4
    watermark_widths: tuple[int, ...] | None = (320, 640, 640)
    injection: bool = False
    time_scale_shift: bool = False
    pooled_text: bool = False
    frame_codes: int = 0
    spatial_codes: tuple[int, int] | None = None
    temporal_codes: int = 0
    zero_init: bool = False
    skip_sd: float = 0.0

    def heads(self, level: int) -> int:
        """Attention heads of a level."""
        return self.num_heads if isinstance(self.num_heads, int) else self.num_heads[level]

    @property
    def emb_dim(self) -> int:
        """Width of the time embedding."""
        return 4 * self.block_out_channels[0]
