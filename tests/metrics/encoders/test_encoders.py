"""Encoders: their outputs against other implementations, that one is loaded once, precision,
batches, and what damaged weights say."""

from __future__ import annotations

import numpy as np
import open_clip
import pytest
import torch
from PIL import Image

from tests.metrics import foreign
from vbbench.core.weights_file import load_weights, save_weights
from vbbench.errors import InputError, UsageError, WeightsError
from vbbench.metrics.encoders import encoders
from vbbench.metrics.encoders.configs import (
    CLIP_MEAN,
    CLIP_STD,
    ENCODERS,
    EncoderConfig,
    encoder_config,
)
from vbbench.metrics.encoders.encoders import BpeTokenizer, seeded
from vbbench.metrics.encoders.segmenter import DETAIL, FIRST_MARKING, NUM_SEGMENTS, decode
from vbbench.metrics.encoders.setting import Setting

NOISE = np.random.default_rng(0).integers(0, 256, (5, 64, 64, 3), dtype=np.uint8)
WIDE = np.random.default_rng(1).integers(0, 256, (3, 97, 131, 3), dtype=np.uint8)
TEXTS = ("a dog", "a photo of a café, on the beach")
RANDOM = Setting("sd14", weights="random")


def chosen(role: str, name: str, precision: str = "float32") -> Setting:
    return Setting("sd14", ((role, name),), precision, "random")


class TestAgainstTransformers:
    """Frames and texts through our encoder, and through transformers' own network on the same
    weights. Absolute, to 1e-4."""

    def test_small_clip(self) -> None:
        vision = {"image_size": 32, "layers": 2, "width": 64, "head_width": 16, "patch_size": 8}
        text = {"context_length": 12, "width": 48, "heads": 3, "layers": 2}
        arch = {"embed_dim": 40, "quick_gelu": True, "vision_cfg": vision, "text_cfg": text}
        network = foreign.shaken(seeded(lambda: encoders.build_clip(arch, 30)), 0.1)
        config = EncoderConfig("clip", "x", "x", 32, 32, CLIP_MEAN, CLIP_STD, arch)
        tokens = [[28, 5, 9, 29] + [0] * 8, [28, *range(1, 11), 29]]
        encoder = encoders.ClipEncoder(config, network, "cpu", lambda text: tokens[int(text)])
        shared = {"hidden_act": "quick_gelu", "num_hidden_layers": 2}
        sizes = {
            "vision_config": shared
            | {
                "hidden_size": 64,
                "intermediate_size": 256,
                "num_attention_heads": 4,
                "image_size": 32,
                "patch_size": 8,
            },
            "text_config": shared
            | {
                "hidden_size": 48,
                "intermediate_size": 192,
                "num_attention_heads": 3,
                "vocab_size": 30,
            }
            | {"max_position_embeddings": 12, "bos_token_id": 28, "eos_token_id": 29},
        }
        other = foreign.clip(network.state_dict(), sizes, 40)
        pictures = torch.stack(
            [
                open_clip.image_transform(32, is_train=False)(Image.fromarray(frame))
                for frame in WIDE
            ]
        )
        with torch.no_grad():
            torch.testing.assert_close(
                encoder.embed_frames(WIDE),
                foreign.features(other.get_image_features(pictures)),
                atol=1e-4,
                rtol=0,
            )
            expected = foreign.features(other.get_text_features(torch.tensor(tokens)))
        torch.testing.assert_close(encoder.embed_text(["0", "1"]), expected, atol=1e-4, rtol=0)

    @pytest.mark.parametrize(
        ("name", "sizes"),
        [
            (
                "clip-vit-b-32",
                {"vision_config": {}, "text_config": {}},
            ),  # transformers' defaults are ViT-B/32's
            pytest.param(
                "clip-vit-l-14",
                {
                    "vision_config": {
                        "hidden_size": 1024,
                        "intermediate_size": 4096,
                        "num_hidden_layers": 24,
                        "num_attention_heads": 16,
                        "patch_size": 14,
                    },
                    "text_config": {
                        "hidden_size": 768,
                        "intermediate_size": 3072,
                        "num_attention_heads": 12,
                    },
                },
                marks=pytest.mark.slow,
            ),
        ],
    )
    def test_full_size_clip(self, name: str, sizes: dict) -> None:
        config = encoder_config("clip", chosen("clip", name))
        tokenizer = BpeTokenizer(config.arch["open_clip"])
        network = foreign.shaken(
            seeded(lambda: encoders.build_clip(config.arch, tokenizer.vocab_size))
        )
        encoder, own = encoders.ClipEncoder(config, network, "cpu", tokenizer), network.state_dict()
        other = foreign.clip(own, sizes, own["text_projection"].shape[1])
        pictures = torch.stack(
            [
                open_clip.image_transform(224, is_train=False)(Image.fromarray(frame))
                for frame in WIDE[:2]
            ]
        )
        tokens = open_clip.tokenize(list(TEXTS))
        with torch.no_grad():
            frames, texts = (
                foreign.features(f)
                for f in (other.get_image_features(pictures), other.get_text_features(tokens))
            )
        torch.testing.assert_close(encoder.embed_frames(WIDE[:2]), frames, atol=1e-4, rtol=0)
        torch.testing.assert_close(encoder.embed_text(TEXTS), texts, atol=1e-4, rtol=0)

    @pytest.mark.parametrize(
        ("name", "patch_size"), [("dino-vit-s-16", 16), ("dinov2-vit-s-14", 14)]
    )
    def test_full_size_dino(self, name: str, patch_size: int) -> None:
        config = encoder_config("dino", chosen("dino", name))
        network = foreign.shaken(seeded(lambda: encoders.build_dino(config.arch)))
        encoder = encoders.DinoEncoder(config, network, "cpu")
        second = name.startswith("dinov2")
        other = foreign.vit(
            network.state_dict(), depth=12, width=384, heads=6, patch_size=patch_size, second=second
        )
        with torch.no_grad():
            expected = other(pixel_values=encoders.preprocess(WIDE, config)).last_hidden_state[:, 0]
        torch.testing.assert_close(encoder.embed_frames(WIDE), expected, atol=1e-4, rtol=0)


class TestConfigurations:
    """Which encoder plays which role."""

    def test_usual_ones_and_variants(self) -> None:
        assert encoder_config("clip", Setting()).name == "clip"
        assert encoder_config("clip", Setting("sd14")).name == "clip-vit-b-32"
        assert encoder_config("dino", Setting("sd14")).name == "dino-vit-s-16"
        assert encoder_config("clip", chosen("clip", "clip-vit-l-14")).patch_size == 14
        assert encoder_config("dino", chosen("clip", "clip-vit-l-14")).name == "dino-vit-s-16"

    @pytest.mark.parametrize(
        ("role", "setting", "told"),
        [
            ("clipp", Setting(), "Did you mean 'clip'"),
            ("clip", Setting("huge"), "mini, sd14"),
            ("segmenter", Setting("sd14"), "no encoder 'segmenter' at scale sd14"),
            (
                "clip",
                Setting(variants=(("clip", "clip-vit-l-14"),)),
                "no clip encoder 'clip-vit-l-14' at scale mini",
            ),
            ("clip", chosen("clip", "clip-vit-l14"), "Did you mean 'clip-vit-l-14'"),
            ("clip", chosen("dinno", "x"), "Did you mean 'dino'"),
        ],
    )
    def test_wrong_names_are_answered_with_the_nearest(
        self, role: str, setting: Setting, told: str
    ) -> None:
        with pytest.raises(UsageError, match=told):
            encoders.get_encoder(role, setting)

    def test_names_are_unique_and_roles_their_own(self) -> None:
        for roles in ENCODERS.values():
            names = [config.name for configs in roles.values() for config in configs]
            assert len(set(names)) == len(names)
            assert all(
                config.kind == role and config.crop <= config.resize
                for role, configs in roles.items()
                for config in configs
            )

    def test_preprocessing_is_the_weights_own(self) -> None:
        """Mean, deviation and filter as open_clip's and timm's tables carry them; the sizes are
        ours."""
        import timm

        for config in ENCODERS["sd14"]["clip"]:
            table = open_clip.get_pretrained_cfg(config.arch["open_clip"], "openai")
            assert (config.mean, config.std, config.resample) == (
                table["mean"],
                table["std"],
                table["interpolation"],
            )
            vision = open_clip.get_model_config(config.arch["open_clip"])["vision_cfg"]
            assert (vision["image_size"], vision["patch_size"]) == (config.crop, config.patch_size)
        for config in ENCODERS["sd14"]["dino"]:
            table = timm.get_pretrained_cfg(config.arch["timm"])
            assert (config.mean, config.std, config.resample) == (
                table.mean,
                table.std,
                table.interpolation,
            )
            assert (
                encoders.build_dino(config.arch).patch_embed.patch_size == (config.patch_size,) * 2
            )


class TestRandomWeights:
    """Real architectures without their weights."""

    def test_they_are_the_same_every_time_and_touch_nobodys_numbers(self) -> None:
        encoders.forget_encoders()
        torch.manual_seed(7)
        first, drawn = encoders.get_encoder("dino", RANDOM).embed_frames(WIDE), torch.rand(3)
        encoders.forget_encoders()
        torch.manual_seed(7)
        torch.testing.assert_close(torch.rand(3), drawn)
        assert torch.equal(encoders.get_encoder("dino", RANDOM).embed_frames(WIDE), first)

    @pytest.mark.parametrize("role", ["clip", "dino", "segmenter"])
    def test_the_miniature_needs_no_file(
        self, role: str, tmp_path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("VBBENCH_WEIGHTS", str(tmp_path))
        assert len(encoders.get_encoder(role, Setting(weights="random")).embed_frames(NOISE)) == 5

    @pytest.mark.parametrize("name", ["dino-vit-s-16", "dinov2-vit-s-14"])
    def test_they_tell_pictures_apart(self, name: str) -> None:
        embedded = encoders.get_encoder("dino", chosen("dino", name)).embed_frames(WIDE)
        assert torch.cosine_similarity(embedded[0], embedded[1], dim=0) < 0.99

    def test_absent_weights_score_nothing(self) -> None:
        with pytest.raises(WeightsError, match="left out on purpose"):
            encoders.get_encoder("clip", Setting("sd14", weights="absent"))


class TestPrecision:
    """Weights and arithmetic in another precision, on the CPU."""

    # of the largest value: bfloat16 keeps 8 bits, float16 11
    @pytest.mark.parametrize(("precision", "noise"), [("bfloat16", 3e-2), ("float16", 3e-3)])
    @pytest.mark.parametrize("role", ["clip", "dino"])
    def test_miniature(self, untrained, role: str, precision: str, noise: float) -> None:
        full, short = (
            encoders.get_encoder(role),
            encoders.get_encoder(role, Setting(precision=precision)),
        )
        assert next(short.network.parameters()).dtype == getattr(torch, precision)
        got, expected = short.embed_frames(NOISE), full.embed_frames(NOISE)
        assert got.dtype == torch.float32
        assert 0 < (got - expected).abs().max() < noise * expected.abs().max()

    @pytest.mark.parametrize(("precision", "noise"), [("bfloat16", 3e-2), ("float16", 3e-3)])
    def test_real_size(self, precision: str, noise: float) -> None:
        full, short = (
            encoders.get_encoder("dino", chosen("dino", "dino-vit-s-16", p))
            for p in ("float32", precision)
        )
        expected = full.embed_frames(WIDE)
        assert 0 < (short.embed_frames(WIDE) - expected).abs().max() < noise * expected.abs().max()

    @pytest.mark.parametrize("precision", ["bfloat16", "float16"])
    def test_texts_and_segments(self, untrained, precision: str) -> None:
        assert (
            encoders.get_encoder("clip", Setting(precision=precision)).embed_text(["a dog"]).dtype
            == torch.float32
        )
        assert (
            encoders.get_encoder("segmenter", Setting(precision=precision)).segments(NOISE).dtype
            == np.uint8
        )

    @pytest.mark.skipif(torch.cuda.is_available(), reason="there is a CUDA device")
    def test_a_device_that_is_not_there(self) -> None:
        with pytest.raises(UsageError, match="no CUDA device"):
            encoders.get_encoder("clip", Setting(), "cuda")

    def test_a_device_that_is_no_word(self) -> None:
        with pytest.raises(UsageError, match="'gpu'"):
            encoders.get_encoder("clip", Setting(), "gpu")


@pytest.mark.gpu
@pytest.mark.parametrize("role", ["clip", "dino"])
def test_cuda_agrees_with_the_cpu(role: str) -> None:
    expected = encoders.get_encoder(role, RANDOM).embed_frames(WIDE)
    torch.testing.assert_close(
        encoders.get_encoder(role, RANDOM, "cuda").embed_frames(WIDE),
        expected,
        atol=1e-4,
        rtol=1e-4,
    )


@pytest.mark.parametrize(
    ("name", "width"), [("clip", 128), ("dino", 128), ("segmenter", NUM_SEGMENTS)]
)
def test_embeddings_do_not_depend_on_their_neighbours(untrained, name: str, width: int) -> None:
    encoder = encoders.get_encoder(name)
    together = encoder.embed_frames(NOISE)
    apart = torch.cat([encoder.embed_frames(frame[None]) for frame in NOISE])
    assert together.shape == (5, width)
    assert together.dtype == torch.float32
    torch.testing.assert_close(together, apart, atol=1e-5, rtol=1e-5)


def test_frames_of_many_videos_go_in_one_batch() -> None:
    encoder = encoders.get_encoder("dino", RANDOM)
    prepared = np.concatenate([encoder.prepared(WIDE), encoder.prepared(NOISE)])
    assert prepared.shape == (8, 224, 224, 3)
    apart = torch.cat([encoder.embed_frames(WIDE), encoder.embed_frames(NOISE)])
    torch.testing.assert_close(encoder.embed_pictures(prepared), apart, atol=1e-5, rtol=1e-5)


def test_floats_are_embedded_as_the_bytes_they_stand_for(untrained) -> None:
    encoder = encoders.get_encoder("clip")
    torch.testing.assert_close(
        encoder.embed_frames(NOISE / np.float32(255)), encoder.embed_frames(NOISE)
    )


def test_an_encoder_is_loaded_once(untrained, monkeypatch: pytest.MonkeyPatch) -> None:
    loads = []
    monkeypatch.setattr(
        encoders, "load_weights", lambda path: loads.append(path) or load_weights(path)
    )
    usual = encoders.get_encoder("dino")
    assert (
        encoders.get_encoder(
            "dino", Setting("mini", (("dino", "dino"),), num_frames=8, fps=4), "cpu"
        )
        is usual
    )
    assert encoders.get_encoder("dino", Setting(precision="bfloat16")) is not usual
    assert len(loads) == 2


def test_only_clip_reads_text(untrained) -> None:
    assert encoders.get_encoder("clip").embed_text(["a dog", "a red dog on the beach"]).shape == (
        2,
        128,
    )
    with pytest.raises(InputError, match="'zebra'"):
        encoders.get_encoder("clip").embed_text(["a zebra"])
    with pytest.raises(UsageError, match="reads no text"):
        encoders.get_encoder("dino").embed_text(["a dog"])


def test_texts_of_the_real_clip_are_read_whole_or_not_at_all() -> None:
    tokenizer = BpeTokenizer("ViT-B-32-quickgelu")
    assert tokenizer("a dog")[:5] == [49406, 320, 1929, 49407, 0]
    assert len(tokenizer("dog " * 75)) == 77
    with pytest.raises(InputError, match="76 tokens, and CLIP reads at most 75"):
        tokenizer("dog " * 76)
    with pytest.raises(InputError, match="holds no word"):
        tokenizer(" \n")
    with pytest.raises(InputError, match="begins or ends a text"):
        tokenizer("a dog <end_of_text> on the beach")


def test_weights_that_do_not_fit_are_named(untrained) -> None:
    tensors, card = load_weights(untrained / "dino.safetensors")
    config = encoder_config("dino", Setting())
    norms = sum("norm" in key for key in tensors)
    for broken, told in (
        ({}, f"{len(tensors)} missing: cls_token, pos_embed,.* ..."),
        (
            {k: v for k, v in tensors.items() if "norm" not in k},
            f"{norms} missing: blocks.0.norm1.weight",
        ),
        ({**tensors, "extra": tensors["cls_token"]}, "1 unexpected: extra"),
        (
            {**tensors, "cls_token": tensors["cls_token"][..., :7]},
            r"1 of another shape: cls_token \(1 x 1 x 7, not 1 x 1 x 128\)",
        ),
    ):
        with pytest.raises(WeightsError, match=f"'dino' do not fit their encoder: .*{told}"):
            encoders.from_weights(config, broken, card)
    with pytest.raises(WeightsError, match="do not fit"):
        encoders.from_weights(config, tensors, {})


def test_missing_and_damaged_weights_are_told(
    tmp_path, untrained, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("VBBENCH_WEIGHTS", str(tmp_path))
    with pytest.raises(WeightsError, match="vbbench train clip"):
        encoders.get_encoder("clip")
    tensors, card = load_weights(untrained / "clip.safetensors")
    path = tmp_path / "mini" / "clip.safetensors"
    save_weights(path, tensors, card)
    path.write_bytes(path.read_bytes()[:-8] + b"damaged!")
    with pytest.raises(WeightsError, match="damaged"):
        encoders.get_encoder("clip")


def test_a_marking_of_doubtful_kind_is_still_a_marking() -> None:
    logits = torch.full((1, NUM_SEGMENTS, 1, 3), -9.0)
    logits[0, 1, 0, 0] = 3.0  # surely base
    logits[0, 1, 0, 1] = (
        1.0  # base is the likeliest of all segments, but the kinds together are likelier
    )
    logits[0, FIRST_MARKING : FIRST_MARKING + 3, 0, 1] = torch.tensor([0.5, 0.7, 0.6])
    logits[0, DETAIL, 0, 2] = 2.0
    assert decode(logits).tolist() == [[[1, FIRST_MARKING + 1, DETAIL]]]
