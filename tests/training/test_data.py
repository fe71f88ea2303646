"""The rendered world: what it holds, that it is the world's, and that it is rendered once."""

from __future__ import annotations

import pickle

import numpy as np
import pytest

from vbbench.data import world
from vbbench.data.world import pictures as data_module
from vbbench.data.world import rendering
from vbbench.data.world.pictures import VARIANTS, Counts, Split, TrainingData, Variant

TINY = Variant(Counts(2, 3, 1, 2), Counts(1, 1, 1, 1, first_index=3), seed=5)


@pytest.fixture(scope="module")
def rendered(tmp_path_factory: pytest.TempPathFactory):
    """Work folder, data folder and digest of a tiny variant."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(data_module.VARIANTS, "tiny", TINY)
        work = tmp_path_factory.mktemp("data")
        yield work, *rendering.prepare(work, "tiny", processes=1)


@pytest.fixture
def tiny(rendered: tuple) -> TrainingData:
    return TrainingData(rendered[1], "tiny")


def test_everything_is_there_in_the_stated_shapes(tiny: TrainingData) -> None:
    assert tiny.train.num_subjects == 18
    assert tiny.train.stills.frames.shape == (54, 64, 64, 3)
    assert tiny.train.clips.masks.shape == (18, 8, 64, 64)
    assert tiny.train.prompts.frames.dtype == np.uint8
    assert len(tiny.val.prompts) == 9
    assert (tiny.train.prompts.scene == -1).all()


@pytest.mark.parametrize("split", ["train", "val"])
def test_rows_show_what_their_records_say(tiny: TrainingData, split: str) -> None:
    part: Split = getattr(tiny, split)
    for row in (0, len(part.stills) - 1):
        pictures = part.stills
        clip, masks = world.render_clip(
            part.individual(pictures.subject[row]),
            world.SCENES[pictures.scene[row]],
            world.MOTIONS[pictures.motion[row]],
            int(pictures.seed[row]),
        )
        np.testing.assert_array_equal(pictures.frames[row], clip[pictures.frame[row]])
        np.testing.assert_array_equal(pictures.masks[row], masks[pictures.frame[row]])
    prompt, _ = world.render_image_prompt(
        part.individual(part.prompts.subject[1]), int(part.prompts.seed[1])
    )
    np.testing.assert_array_equal(part.prompts.frames[1], prompt)


def test_rows_of_belong_to_their_subjects(tiny: TrainingData) -> None:
    subjects = np.array([0, 5, 5, 17])
    rows = tiny.train.rows_of("stills", subjects, np.random.default_rng(0))
    np.testing.assert_array_equal(tiny.train.stills.subject[rows], subjects)


def test_captions_name_class_and_scene(tiny: TrainingData) -> None:
    clips = tiny.train.clips
    for row, text in enumerate(tiny.train.captions(clips, np.arange(18), np.random.default_rng(0))):
        assert world.CLASSES[tiny.train.class_index[clips.subject[row]]] in text.split()
        assert world.caption("x", world.SCENES[clips.scene[row]], None).removeprefix("a x") in text
        assert set(text.split()) <= set(world.VOCABULARY)


def test_second_asking_renders_nothing(rendered: tuple, monkeypatch: pytest.MonkeyPatch) -> None:
    work, folder, digest = rendered
    monkeypatch.setattr(rendering, "_render", None)
    assert rendering.prepare(work, "tiny") == (folder, digest)
    assert [path.name for path in work.iterdir()] == [folder.name]


def test_another_world_is_rendered_anew(rendered: tuple, monkeypatch: pytest.MonkeyPatch) -> None:
    real = world.render_image_prompts
    monkeypatch.setattr(
        world,
        "render_image_prompts",
        lambda people, seeds: (real(people, seeds)[0] // 2, real(people, seeds)[1]),
    )
    assert rendering.data_digest("tiny") != rendered[2]


def test_other_processes_get_the_data_by_name(tiny: TrainingData) -> None:
    tiny.train.stills  # noqa: B018  (opened arrays do not travel)
    assert len(pickle.dumps(tiny)) < 1000


@pytest.mark.parametrize("split", ["train", "val"])
def test_models_and_scoring_encoders_see_other_individuals_and_all_exist(split: str) -> None:
    ranges = []
    for variant in VARIANTS.values():
        counts: Counts = getattr(variant, split)
        ranges.append(set(range(counts.first_index, counts.first_index + counts.individuals)))
        assert max(ranges[-1]) < min(world.split_size(split, name) for name in world.CLASSES)
    assert not ranges[0] & ranges[1]
