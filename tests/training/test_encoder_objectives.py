"""The scoring encoders' objectives and the conditioning image encoder's: deterministic, they learn,
and what they export can be loaded."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
import pytest
import torch

from vbbench.core.weights_file import load_weights, save_weights
from vbbench.data.world import MARKINGS, individual, rendering
from vbbench.data.world import pictures as data_module
from vbbench.data.world.names import MASK_BASE, MASK_DETAIL, MASK_MARKING
from vbbench.data.world.pictures import Counts, TrainingData, Variant
from vbbench.metrics.encoders import encoders
from vbbench.metrics.encoders.configs import encoder_config
from vbbench.metrics.encoders.segmenter import DETAIL, FIRST_MARKING, SEGMENTS
from vbbench.metrics.encoders.setting import Setting
from vbbench.training.objectives import augment, clip, dino, image_encoder, segmenter

OBJECTIVES = {
    "clip": clip.Clip,
    "dino": dino.Dino,
    "segmenter": segmenter.Segmenter,
    "image-encoder": image_encoder.ImageEncoderObjective,
}
SMALL = {
    clip: {"STILLS": 12, "CLIP_FRAMES": 6, "PROMPTS": 6},
    dino: {"CLIPS": 8, "STILLS": 4, "PROMPTS": 2},
    segmenter: {"BATCH": 8},
    image_encoder: {"SUBJECTS": 4},
}


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TrainingData]:
    """A few individuals of every class."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(
            data_module.VARIANTS,
            "tiny",
            Variant(Counts(2, 2, 1, 2), Counts(2, 2, 1, 1, first_index=3), seed=5),
        )
        folder, _ = rendering.prepare(tmp_path_factory.mktemp("data"), "tiny", processes=1)
        yield TrainingData(folder, "tiny")


@pytest.fixture
def make(data: TrainingData, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], object]:
    for module, sizes in SMALL.items():
        for name, value in sizes.items():
            monkeypatch.setattr(module, name, value)

    def build(name: str) -> object:
        torch.manual_seed(0)
        return OBJECTIVES[name](data, seed=0, device="cpu")

    return build


@pytest.mark.parametrize("name", OBJECTIVES)
def test_a_batch_is_a_function_of_its_seed(make: Callable, name: str) -> None:
    objective = make(name)
    objective.module.eval()  # running statistics are the only state
    with torch.no_grad():
        first, again, other = (float(objective.loss(0, seed)[0]) for seed in (1, 1, 2))
    assert first == again
    assert first != other


@pytest.mark.parametrize("name", OBJECTIVES)
def test_some_steps_on_one_batch_lower_its_loss(make: Callable, name: str) -> None:
    objective = make(name)
    optimizer = torch.optim.AdamW(
        [p for p in objective.module.parameters() if p.requires_grad], lr=2e-3
    )
    losses = []
    for step in range(8):
        loss, parts = objective.loss(step, seed=3)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        if hasattr(objective, "after_step"):
            objective.after_step(step)
        losses.append(float(loss.detach()))
        assert all(np.isfinite(float(value)) for value in parts.values())
    assert losses[-1] < losses[0]


@pytest.mark.parametrize("name", ["clip", "dino", "segmenter"])
def test_all_that_is_trained_has_a_gradient(make: Callable, name: str) -> None:
    objective = make(name)
    objective.loss(0, seed=1)[0].backward()
    without = [
        n for n, p in objective.module.named_parameters() if p.requires_grad and p.grad is None
    ]
    assert without == []


@pytest.mark.parametrize("name", OBJECTIVES)
def test_validation_gives_finite_figures(make: Callable, name: str) -> None:
    objective = make(name)
    with torch.no_grad():
        figures = objective.validate(objective.module.eval())
    assert figures
    assert all(np.isfinite(value) for value in figures.values())
    for share in (
        "pairs",
        "top1",
        "class",
        "scene",
        "iou",
        "iou_marking",
        "val_class",
        "val_found_in_class",
    ):
        assert 0.0 <= figures.get(share, 0.0) <= 1.0


@pytest.mark.parametrize("name", ["clip", "dino", "segmenter"])
def test_what_is_exported_is_the_encoder_metrics_load(make: Callable, name: str, tmp_path) -> None:
    objective = make(name)
    tensors, config = objective.export(objective.module.eval())
    save_weights(tmp_path / "x.safetensors", tensors, {"config": config})
    encoder = encoders.from_weights(
        encoder_config(name, Setting()), *load_weights(tmp_path / "x.safetensors")
    )
    frames = objective.data.val.stills.frames[:3]
    if name == "segmenter":
        assert encoder.segments(frames).shape == (3, 64, 64)
        return
    with torch.no_grad():
        expected = objective._embed(objective.module, frames)
    torch.testing.assert_close(
        encoder.embed_frames(frames), expected, atol=0.02, rtol=0.02
    )  # float16 in between


def test_the_teacher_follows_slowly_and_is_not_trained(make: Callable) -> None:
    objective = make("dino")
    student, teacher = (
        dict(objective.module[who].named_parameters()) for who in ("student", "teacher")
    )
    assert not any(p.requires_grad for p in teacher.values())
    with torch.no_grad():
        student["vit.cls_token"].add_(1.0)
    before = teacher["vit.cls_token"].clone()
    objective.after_step(0)
    moved = (teacher["vit.cls_token"] - before).abs().mean()
    assert float(moved) == pytest.approx(1 - dino.MOMENTUM, rel=0.2)


def test_dino_is_told_no_names(make: Callable) -> None:
    """Its pairs are the same when nobody knows which picture shows whom."""
    objective = make("dino")
    split = objective.data.train
    known = objective._pairs(split, np.random.default_rng(1))
    for pictures in (split.stills, split.clips, split.prompts):
        object.__setattr__(pictures, "subject", np.full(len(pictures), -1))
    try:
        unknown = objective._pairs(split, np.random.default_rng(1))
    finally:
        for kind in ("stills", "clips", "prompts"):
            del split.__dict__[kind]  # opened anew when next asked for
    assert all(np.array_equal(a, b) for a, b in zip(known, unknown, strict=True))


def test_contrastive_loss_counts_equal_captions_as_pairs() -> None:
    image = torch.eye(3)
    same = torch.tensor([[True, True, False], [True, True, False], [False, False, True]])
    shared = torch.stack([image[0] + image[1], image[0] + image[1], image[2]])
    as_pairs = clip.contrastive_loss(image, shared, same, torch.tensor(20.0))
    as_rivals = clip.contrastive_loss(
        image, shared, torch.eye(3, dtype=torch.bool), torch.tensor(20.0)
    )
    reference = -np.log(0.5) * 2 / 3  # each of the two pictures is as near to both captions
    assert float(as_pairs) == pytest.approx(reference, abs=1e-3)
    assert float(as_rivals) == pytest.approx(reference, abs=1e-3)
    wrong = clip.contrastive_loss(image, shared.roll(1, 0), same, torch.tensor(20.0))
    assert float(wrong) > 5


def test_captions_tell_more_or_less() -> None:
    subject, rng = individual("val", "dog", 0), np.random.default_rng(0)
    texts = [clip.draw_caption(subject, 1, 1, rng) for _ in range(300)]
    rich = [text for text in texts if subject.marking in text]
    assert 0.4 < len(rich) / 300 < 0.6
    assert all(subject.secondary_name in text for text in rich)
    assert texts.count("a dog") > 30
    assert any("beach" in text and subject.marking not in text for text in texts)
    assert not any("on the" in clip.draw_caption(subject, -1, -1, rng) for _ in range(50))


def test_segments_name_the_kind_of_marking() -> None:
    masks = np.array([[[0, MASK_BASE, MASK_MARKING, MASK_DETAIL]]] * 2, np.uint8)
    found = segmenter.segments_of(masks, np.array([0, 4]))
    assert found.tolist() == [[[0, 1, FIRST_MARKING, DETAIL]], [[0, 1, FIRST_MARKING + 4, DETAIL]]]
    assert SEGMENTS[FIRST_MARKING + 4] == MARKINGS[4]


def test_intersection_over_union() -> None:
    a, b = np.array([1, 1, 0, 0], bool), np.array([1, 0, 1, 0], bool)
    assert segmenter.intersection_over_union(a, b) == pytest.approx(1 / 3)
    assert segmenter.intersection_over_union(a & False, b & False) == 1.0


class TestAugment:
    """Random changes of pictures."""

    @pytest.fixture
    def pictures(self, data: TrainingData) -> torch.Tensor:
        return augment.to_pictures(data.train.stills.frames[:6])

    def generator(self) -> torch.Generator:
        return torch.Generator().manual_seed(0)

    def test_no_change_asked_for_is_no_change(self, pictures: torch.Tensor) -> None:
        moved, _ = augment.affine(pictures, self.generator())
        torch.testing.assert_close(moved, pictures, atol=1e-2, rtol=0)
        torch.testing.assert_close(
            augment.damage(pictures, self.generator(), noise=9, blocks=9, share=0.0), pictures
        )
        torch.testing.assert_close(
            augment.relight(pictures, self.generator(), brightness=0.0), pictures
        )

    def test_labels_move_with_their_pictures(self) -> None:
        labels = torch.zeros(4, 64, 64, dtype=torch.long)
        labels[:, 10:30, 20:50] = 5
        pictures = labels[:, None].float().expand(-1, 3, -1, -1) * 40
        moved, moved_labels = augment.affine(
            pictures,
            self.generator(),
            zoom=(0.7, 1.3),
            shift=0.1,
            turn=0.2,
            flip=True,
            nearest=labels,
        )
        assert set(moved_labels.unique().tolist()) == {0, 5}
        assert ((moved[:, 0] > 100) == (moved_labels == 5)).float().mean() > 0.98
        assert not torch.equal(moved_labels, labels)

    def test_zoom_grows_the_subject(self) -> None:
        pictures = torch.zeros(8, 3, 64, 64)
        pictures[:, :, 24:40, 24:40] = 255.0
        larger, _ = augment.affine(pictures, self.generator(), zoom=(1.4999, 1.5))
        assert float(larger.sum() / pictures.sum()) == pytest.approx(2.25, rel=0.05)

    def test_blur_keeps_the_light_and_takes_the_detail(self, pictures: torch.Tensor) -> None:
        soft = augment.blur(pictures, self.generator(), 2.0)
        assert soft.shape == pictures.shape
        torch.testing.assert_close(soft.mean(), pictures.mean(), atol=0.5, rtol=0)
        assert soft.diff(dim=-1).abs().mean() < pictures.diff(dim=-1).abs().mean()

    def test_damage_stays_within_the_picture_and_its_share(self, pictures: torch.Tensor) -> None:
        many = pictures.repeat(20, 1, 1, 1)
        damaged = augment.damage(many, self.generator(), noise=20.0, blocks=20.0, share=0.5)
        hit = (damaged != many).flatten(1).any(1).float().mean()
        assert 0.3 < float(hit) < 0.7
        assert float(damaged.min()) >= 0
        assert float(damaged.max()) <= 255

    def test_white_out_keeps_only_subjects(
        self, data: TrainingData, pictures: torch.Tensor
    ) -> None:
        masks = torch.from_numpy(np.array(data.train.stills.masks[:6]))
        keep = torch.tensor([True, False, False, True, False, False])
        cut = augment.white_out(pictures, masks, keep)
        assert torch.equal(cut[keep], pictures[keep])
        assert (cut[1][:, masks[1] == 0] == 255).all()
        assert torch.equal(cut[1][:, masks[1] > 0], pictures[1][:, masks[1] > 0])

    def test_ground_is_borrowed_without_its_subject(self) -> None:
        pictures = torch.full((1, 3, 4, 4), 10.0)
        masks = torch.zeros(1, 4, 4, dtype=torch.uint8)
        pictures[:, :, 1:3, 1:3], masks[:, 1:3, 1:3] = 200.0, 1
        torch.testing.assert_close(
            dino.borrowed_ground(pictures, masks), torch.full((1, 3, 4, 4), 10.0)
        )
