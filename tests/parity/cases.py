"""One function a kind of golden file: runs our classes on its inputs and pairs each output with the
recorded one."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from copy import deepcopy
from dataclasses import dataclass

import torch
from torch import Tensor

from tests.parity.golden import Golden, Released, build_mapper
from vbbench.networks import checkpoint
from vbbench.networks.sampling.sampling import (
    add_noise,
    ancestral_step,
    diffusion_tables,
    faithful,
    guided,
)
from vbbench.networks.unet import coarse
from vbbench.networks.unet.text_attention import TextAttention
from vbbench.networks.unet.transformer import CrossFrameAttention
from vbbench.networks.unet.unet import ImagePromptInput

Pairs = Iterator[tuple[Tensor, Tensor]]


ROUNDED = {"bfloat16": 1.0, "float16": 0.25}
"""What networks may be evaluated in besides float32, and which part of the bounds for bfloat16 is
allowed there."""
LAYERS, UNETS, GUIDED, LOOP = 2e-2, 0.15, 0.25, 0.1
"""Stated bounds of bfloat16, relative root mean square: a layer or encoder, the UNet, its guided
prediction, a whole sampling loop.

The recorded UNet is narrow, random and ill-conditioned: in float32 it already loses two digits;
float16 loses an eighth of bfloat16.
"""


@dataclass(frozen=True)
class Kind:
    """How files of one kind are compared.

    Attributes:
        run: yields (ours, recorded).
        tolerance: largest difference allowed.
        relative: to the largest recorded value of each pair.
        rounded: root mean square allowed in bfloat16, relative to the recorded value's; None: no
            network is evaluated.
    """

    run: Callable[[Golden, Released], Pairs]
    tolerance: float
    relative: bool = False
    rounded: float | None = LAYERS


# --- attention
# --------------------------------------------------------------------------------------------------------


def _cross_frame(golden: Golden, released: Released) -> Pairs:
    x_BTLC = golden["in.hidden_states"].unflatten(0, (-1, int(golden["in.video_length"])))
    image_BMC = golden["in.exemplar_latent"].unflatten(0, (len(x_BTLC), -1))[:, 0]
    channels, heads = x_BTLC.shape[-1], int(golden["in.heads"])
    names = {
        "to_q": "to_q",
        "to_out.0": "to_out.0",
        "to_k_image": "to_k_exemplar",
        "to_v_image": "to_v_exemplar",
    }
    for suffix, variants in (
        ("", ("original",)),
        ("_new", ("injected_no_exemplar", "injected_with_exemplar")),
    ):
        attention = CrossFrameAttention(channels, heads, injection=True)
        attention.backend = released.backend
        source = {**names, "to_k": f"to_k{suffix}", "to_v": f"to_v{suffix}"}
        _load_renamed(attention, golden, source)
        attention.to(released.dtype)
        for variant in variants:
            image = (
                attention.image_keys_values(image_BMC)
                if variant == "injected_with_exemplar"
                else None
            )
            yield attention(x_BTLC, image).flatten(0, 1), golden[f"out.{variant}"]


def _text_attention(golden: Golden, released: Released) -> Pairs:
    x, text = golden["in.hidden_states"], golden["in.encoder_hidden_states"]
    attention = TextAttention(x.shape[-1], text.shape[-1], int(golden["in.heads"]))
    for suffix, variant in (("", "original"), ("_global", "injected")):
        names = {
            "to_q": "to_q",
            "to_out.0": "to_out.0",
            "to_k": f"to_k{suffix}",
            "to_v": f"to_v{suffix}",
        }
        _load_renamed(attention, golden, names)
        attention.to(released.dtype)
        yield attention(x.unsqueeze(1), text).squeeze(1), golden[f"out.{variant}"]


def _load_renamed(module: torch.nn.Module, golden: Golden, names: dict[str, str]) -> None:
    state = {
        key: golden[f"w.{names[key.rpartition('.')[0]]}.{key.rpartition('.')[2]}"]
        for key in module.state_dict()
    }
    checkpoint.load_strictly(module, state, source=golden.name)


# --- UNet
# -------------------------------------------------------------------------------------------------------------


def _unet(golden: Golden, released: Released) -> Pairs:
    unet = released.unet("text" if golden.name == "unet_stage0_uninjected" else "fine")
    if golden.name == "unet_watermark_zero":
        unet = deepcopy(unet)
        for parameter in unet.watermark_zero_out.parameters():
            torch.nn.init.zeros_(parameter)
    image = golden.get("in.exemplar_latent")
    prompt = None
    if image is not None:
        prompt = ImagePromptInput(
            image, golden["in.exemplar_timestep"], golden.get("in.exemplar_encoder_hidden_states")
        )
    yield (
        unet(
            golden["in.sample"],
            golden["in.timestep"],
            golden["in.encoder_hidden_states"],
            image_prompt=prompt,
        ),
        golden["out.sample"],
    )


def _guidance(golden: Golden, released: Released) -> Pairs:
    image = golden.get("in.exemplar_latent")
    unet = released.unet("fine")
    x, t, text = golden["in.x"][:1], golden["in.t"][:1], golden["in.encoder_hidden_states"]
    prompt = None
    if image is not None:
        prompt = ImagePromptInput(
            image[:1],
            golden["in.exemplar_timestep"][:1],
            golden["in.exemplar_encoder_hidden_states"][:1],
        )
    cond, uncond = unet(x, t, text[:1], image_prompt=prompt), unet(x, t, text[1:])
    yield torch.cat(_both_halves(cond, uncond, float(golden["in.cfg_scale"]))), golden["out.sample"]


def _both_halves(cond: Tensor, uncond: Tensor, scale: float) -> tuple[Tensor, Tensor]:
    """The released code returns the guided prediction twice; their unguided channels are one's and
    the other's."""
    kept = guided(cond, uncond, scale, channels=3)
    return kept, torch.cat([kept[:, :3], uncond[:, 3:]], dim=1)


# --- sampling
# ---------------------------------------------------------------------------------------------------------


def _sampling_loop(golden: Golden, released: Released) -> Pairs:
    scale, steps = golden.metadata["cfg_scale"], int(golden.metadata["respacing"])
    unet, text, half = released.unet("fine"), golden["in.encoder_hidden_states"], released.dtype
    image_text = golden["in.exemplar_encoder_hidden_states"][:1]
    drawn = {"image": golden["noise.exemplar"], "sample": golden["noise.sample"]}
    predictions: list[Tensor] = []
    kept: list[tuple[Tensor, Tensor]] = []

    tables = diffusion_tables(steps)

    def model(sample: Tensor, timestep_B: Tensor, both: bool) -> tuple[Tensor, Tensor]:
        assert both
        index = tables.timesteps.tolist().index(int(timestep_B[0]))
        noisy = add_noise(
            tables,
            golden["in.exemplar_latent_ori"][:1].float(),
            drawn["image"][steps - 1 - index][:1],
            index,
        )
        cond = unet(
            sample.to(half),
            timestep_B,
            text[:1],
            image_prompt=ImagePromptInput(noisy.to(half), timestep_B, image_text),
        )
        predictions.extend((cond.float(), unet(sample.to(half), timestep_B, text[1:]).float()))
        return predictions[-2], predictions[-1]

    final = faithful(
        model,
        golden["in.z"][:1].float(),
        sample_noise=lambda index, _: drawn["sample"][steps - 1 - index][:1],
        steps=steps,
        guidance_scale=scale,
        callback=lambda index, sample, clean: kept.append((sample, clean)),
    )
    yield final, golden["out.final"]
    # The released code carries a second half along that the network never sees: replayed here, to
    # compare every number.
    other = golden["in.z"][1:].float()
    for step, (sample, clean) in enumerate(kept):
        _, eps = _both_halves(*predictions[2 * step : 2 * step + 2], scale)
        other, other_clean = ancestral_step(
            tables, eps, other, steps - 1 - step, drawn["sample"][step][1:]
        )
        yield torch.cat([sample, other]), golden["out.sample_per_step"][step]
        yield torch.cat([clean, other_clean]), golden["out.pred_xstart_per_step"][step]


def _toy_steps(golden: Golden, released: Released) -> Pairs:
    def model(x: Tensor) -> Tensor:
        return 0.9 * torch.tanh(x)

    tables = diffusion_tables(int(golden.metadata["respacing"]))
    x = golden["in.x"]
    for row, index in enumerate(golden["t"].tolist()):
        sample, clean = ancestral_step(tables, model(x), x, index, golden["noise"][row])
        yield sample, golden["out.sample"][row]
        yield clean, golden["out.pred_xstart"][row]
    noise = golden["train.noise"]
    noisy = add_noise(diffusion_tables(), golden["train.x_start"], noise, golden["train.t"])
    yield noisy, golden["train.x_t"]
    error = (noise - model(noisy)).square().flatten(1).mean(1)
    yield error, golden["train.mse"]
    yield error, golden["train.loss"]


def _tables(golden: Golden, released: Released) -> Pairs:
    respacing = golden.metadata["respacing"]
    tables = diffusion_tables(int(respacing) if respacing else None)
    signal = tables.alphas_cumprod
    derived = {
        "timestep_map": tables.timesteps,
        "alphas_cumprod_prev": torch.cat([signal.new_ones(1), signal[:-1]]),
        "sqrt_alphas_cumprod": signal.sqrt(),
        "sqrt_one_minus_alphas_cumprod": (1 - signal).sqrt(),
        "sqrt_recip_alphas_cumprod": (1 / signal).sqrt(),
        "sqrt_recipm1_alphas_cumprod": (1 / signal - 1).sqrt(),
        "posterior_log_variance_clipped": torch.cat(
            [tables.posterior_variance[1:2], tables.posterior_variance[1:]]
        ).log(),
        "fixed_large_variance": tables.variance,
        "fixed_large_log_variance": tables.variance.log(),
    }
    for key, recorded in golden.tensors.items():
        yield derived[key] if key in derived else getattr(tables, key), recorded


# --- coarse stage
# -----------------------------------------------------------------------------------------------------


def _mapper(golden: Golden, released: Released) -> Pairs:
    mapper = build_mapper(golden).to(released.dtype)
    states = [golden[f"in.emb_{level}"] for level in range(len(mapper.mapping))]
    yield mapper(states), golden["out.inj_embedding"]


def _text(golden: Golden, released: Released) -> Pairs:
    model, ids, words = released.clip_text, golden["in.input_ids"], golden.metadata["inj_index"]
    embeddings = golden.get("in.inj_embedding") if words is not None else None
    tokens = model.embeddings.token_embedding(ids)
    starts: list[list[int]] = []
    lengths: list[int] = []
    if embeddings is not None:
        starts, lengths = (
            coarse.find_word(ids, [word[0] for word in words]),
            [len(word) for word in words],
        )
        tokens = coarse.inject_word_embeddings(tokens, embeddings, starts, lengths)
    yield tokens, golden["out.inputs_embeds"]
    states = coarse.encode_text_with_embeddings(model, ids, embeddings, starts, lengths)
    yield states.last_hidden_BLD, golden["out.last_hidden_state"]
    yield states.pooled_BD, golden["out.pooled"]


KINDS: dict[str, Kind] = {
    "sca_": Kind(_cross_frame, 1e-5),
    "cross_attention_": Kind(_text_attention, 1e-5),
    "unet_": Kind(_unet, 1e-4, rounded=UNETS),
    "cfg_": Kind(_guidance, 3e-4, rounded=GUIDED),
    "p_sample_loop_": Kind(_sampling_loop, 1e-4, relative=True, rounded=LOOP),
    "p_sample_toy": Kind(_toy_steps, 1e-5, relative=True, rounded=None),
    "mapper_": Kind(_mapper, 1e-5),
    "text_": Kind(_text, 1e-5),
    "diffusion_tables_": Kind(_tables, 1e-12, rounded=None),
}
"""Start of a file's name -> how it is compared."""
