"""The paper's segmenter with tiny untrained networks of the same classes: what it finds means
nothing, the plumbing is held."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from vbbench.data.videos import grounded_sam
from vbbench.data.videos.segmenters import make_segmenter
from vbbench.errors import UsageError, WeightsError

WORDS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", ".", "?", "dog", "cat"]


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    import torch
    import transformers as t

    torch.manual_seed(0)
    root = tmp_path_factory.mktemp("weights")
    detector, sam = root / "detector", root / "sam"
    (detector).mkdir()
    (root / "vocab.txt").write_text("\n".join(WORDS))
    backbone = t.SwinConfig(
        image_size=64,
        window_size=2,
        embed_dim=8,
        depths=[1, 1, 1, 1],
        num_heads=[1, 1, 2, 2],
        out_features=["stage2", "stage3", "stage4"],
    )
    text = t.BertConfig(
        vocab_size=len(WORDS),
        hidden_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=16,
    )
    config = t.GroundingDinoConfig(
        backbone_config=backbone, text_config=text, d_model=32, encoder_layers=1, decoder_layers=2, encoder_ffn_dim=16, decoder_ffn_dim=16,
        encoder_attention_heads=2, decoder_attention_heads=2, num_queries=10, num_feature_levels=4, max_text_len=32,
    )  # fmt: skip
    t.GroundingDinoForObjectDetection(config).save_pretrained(detector)
    images = t.GroundingDinoImageProcessor(size={"shortest_edge": 64, "longest_edge": 96})
    t.GroundingDinoProcessor(images, t.BertTokenizer(str(root / "vocab.txt"))).save_pretrained(
        detector
    )
    vision = {
        "hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "image_size": 64, "patch_size": 16, "output_channels": 16,
        "global_attn_indexes": [0], "num_pos_feats": 8, "window_size": 2, "mlp_dim": 16,
    }  # fmt: skip
    prompt = {"hidden_size": 16, "image_size": 64, "patch_size": 16, "mask_input_channels": 4}
    mask = {
        "hidden_size": 16,
        "num_hidden_layers": 1,
        "num_attention_heads": 2,
        "mlp_dim": 16,
        "iou_head_hidden_dim": 16,
    }
    t.SamModel(
        t.SamConfig(vision_config=vision, prompt_encoder_config=prompt, mask_decoder_config=mask)
    ).save_pretrained(sam)
    sides = {
        "size": {"longest_edge": 64},
        "pad_size": {"height": 64, "width": 64},
        "mask_size": {"longest_edge": 16},
    }
    t.SamProcessor(
        t.SamImageProcessor(**{**sides, "mask_pad_size": {"height": 16, "width": 16}})
    ).save_pretrained(sam)
    return root


def test_boxes_and_masks_are_of_the_frame(weights: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(grounded_sam, "BOX_THRESHOLD", 0.0)
    monkeypatch.setattr(grounded_sam, "TEXT_THRESHOLD", 0.0)
    options = {"detector": str(weights / "detector"), "sam": str(weights / "sam")}
    segmenter = make_segmenter("grounded-sam", options)
    frame = np.random.default_rng(0).integers(0, 256, (1, 40, 72, 3), dtype=np.uint8)
    found = segmenter.find(frame, "dog")
    assert found
    assert [one.score for one in found] == sorted((one.score for one in found), reverse=True)
    for one in found:
        x1, y1, x2, y2 = one.box
        assert one.mask_HW.shape == (40, 72)
        assert one.mask_HW.dtype == bool
        assert 0 <= x1 < x2 <= 72
        assert 0 <= y1 < y2 <= 40
        assert one.label == "dog"
    again = make_segmenter("grounded-sam", options)
    assert again.settings() == segmenter.settings()
    assert all(
        np.array_equal(a.mask_HW, b.mask_HW) and a.box == b.box
        for a, b in zip(found, again.find(frame, "dog"), strict=True)
    )


def test_nothing_is_found_below_the_threshold(
    weights: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(grounded_sam, "BOX_THRESHOLD", 1.0)
    segmenter = make_segmenter(
        "grounded-sam", {"detector": str(weights / "detector"), "sam": str(weights / "sam")}
    )
    assert segmenter.find(np.zeros((1, 40, 72, 3), np.uint8), "dog") == []


def test_nearly_equal_boxes_count_once() -> None:
    boxes = np.array([[0, 0, 10, 10], [0, 0, 10, 9], [20, 0, 30, 10]], float)
    assert grounded_sam.apart(boxes, np.array([0.5, 0.9, 0.4])) == [1, 2]


def test_weights_must_be_named_and_be_there(
    weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("VBBENCH_OFFLINE", "1")
    with pytest.raises(UsageError, match=r"needs --detector.*grounding-dino-base@"):
        make_segmenter("grounded-sam", {})
    with pytest.raises(WeightsError, match="neither a folder nor owner/name@commit"):
        make_segmenter(
            "grounded-sam", {"detector": "IDEA-Research/grounding-dino-base", "sam": "x"}
        )
    with pytest.raises(WeightsError, match="VBBENCH_OFFLINE is set"):
        make_segmenter("grounded-sam", {"detector": f"nobody/nothing@{'0' * 40}", "sam": "x"})
    with pytest.raises(
        WeightsError, match="cannot be loaded as AutoModelForZeroShotObjectDetection"
    ):
        make_segmenter("grounded-sam", {"detector": str(tmp_path), "sam": str(weights / "sam")})
    with pytest.raises(
        UsageError, match="there is no segmenter 'grounded-sma': did you mean 'grounded-sam'"
    ):
        make_segmenter("grounded-sma", {})
