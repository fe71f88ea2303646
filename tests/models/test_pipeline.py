"""Pipelines of diffusers as models: tiny random ones, from a recipe to a row of scores; and
everything that a recipe can get wrong."""

from __future__ import annotations

import inspect
import json
import pickle
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from tests.models import tiny_pipelines
from tests.runner.test_execute import Runner
from vbbench.core import paths
from vbbench.errors import InputError, PrerequisiteError, RecipeError, VBBenchError, WeightsError
from vbbench.metrics.encoders.setting import Setting
from vbbench.models.base import VideoModel
from vbbench.models.pipeline import (
    PLACEHOLDERS,
    DiffusersPipeline,
    check_arguments,
    filled,
    frames_of,
    taken,
)
from vbbench.models.recipes import build_model, load_recipe
from vbbench.networks.weights import pretrained
from vbbench.results.aggregate import failures, load_run
from vbbench.runner.hashing import weights_digests
from vbbench.runner.scoring import MetricScorer
from vbbench.types import PromptItem, PromptSuite, SamplingParams, Video

PARAMS = SamplingParams(
    num_frames=3, size=16, fps=4, num_inference_steps=2, guidance_scale=2.0, scheduler="own"
)
SVD, T2V = "StableVideoDiffusionPipeline", "TextToVideoSDPipeline"
COMMON = {
    "num_frames": "{num_frames}",
    "height": "{size}",
    "width": "{size}",
    "num_inference_steps": "{steps}",
}
ARGUMENTS = {
    T2V: {
        "prompt": "a film of {text}",
        "negative_prompt": "blurry",
        "guidance_scale": "{guidance}",
        **COMMON,
    },
    SVD: {"image": "{image}", "motion_bucket_id": 100, **COMMON},
}
COMMIT = "0123456789abcdef0123456789abcdef01234567"


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Folders of tiny pipelines, written once. Never changed: a test that damages one copies it."""
    root = tmp_path_factory.mktemp("pipelines")
    return {
        T2V: tiny_pipelines.text_to_video(root / "t2v"),
        SVD: tiny_pipelines.image_to_video(root / "svd"),
    }


@pytest.fixture
def settings(weights: dict[str, Path]) -> Callable[..., dict[str, Any]]:
    """A scale's table for a tiny pipeline, changed by keywords."""

    def make(pipeline: str = T2V, **changes: Any) -> dict[str, Any]:
        table = {
            "scale": "mini",
            "pipeline": pipeline,
            "pretrained": {"pipeline": {"folder": str(weights[pipeline])}},
            "arguments": ARGUMENTS[pipeline],
            "sampling": {"num_inference_steps": 2, "guidance_scale": 2.0, "scheduler": "own"},
        }
        return {**table, **changes}

    return make


def made(settings: dict[str, Any], folder: Path = Path()) -> DiffusersPipeline:
    return DiffusersPipeline(settings, device="cpu", folder=folder)


def write_recipe(folder: Path, settings: dict[str, Any]) -> Path:
    """A recipe folder of such settings."""

    def lines(table: dict[str, Any], name: str) -> list[str]:
        plain = [
            f"{key} = {json.dumps(value)}"
            for key, value in table.items()
            if not isinstance(value, dict) and key != "scale"
        ]
        inner = [
            line
            for key, value in table.items()
            if isinstance(value, dict)
            for line in lines(value, f"{name}.{key}")
        ]
        return [f"[{name}]", *plain, *inner]

    head = [
        'name = "tiny-pipeline"',
        'title = "Tiny pipeline"',
        'entry = "vbbench.models.pipeline:DiffusersPipeline"',
    ]
    folder.mkdir(exist_ok=True)
    (folder / "recipe.toml").write_text("\n".join([*head, *lines(settings, "scales.mini")]))
    return folder


@pytest.mark.parametrize("pipeline", [T2V, SVD])
class TestAnyPipeline:
    def test_ends_in_a_row_of_scores(
        self,
        pipeline: str,
        settings: Callable[..., dict[str, Any]],
        tiny_suite: PromptSuite,
        tmp_path: Path,
    ) -> None:
        folder = write_recipe(tmp_path / "recipe", settings(pipeline))
        runner = Runner(tiny_suite, tmp_path / "run")
        summary, missing = runner.run(folder, scorer=MetricScorer(["motion"], Setting(), "cpu"))
        assert (summary.done, summary.complete, missing) == (6, True, 6)
        values = load_run(runner.root).values("tiny-pipeline", "motion")
        assert len(values) == 6
        assert all(value > 0 for value in values.values())
        assert runner.run(folder, scorer=MetricScorer(["motion"], Setting(), "cpu"))[1] == 0

    def test_protocol_is_kept(self, pipeline: str, settings: Callable[..., dict[str, Any]]) -> None:
        model = made(settings(pipeline))
        assert isinstance(model, VideoModel)
        for method in ("__init__", "generate"):
            wanted, found = (
                inspect.signature(getattr(cls, method)).parameters.values()
                for cls in (VideoModel, DiffusersPipeline)
            )
            assert [(each.name, each.kind) for each in found] == [
                (each.name, each.kind) for each in wanted
            ]

    def test_items_give_the_same_videos_in_any_company_and_whatever_was_drawn_before(
        self, pipeline: str, settings: Callable[..., dict[str, Any]], tiny_suite: PromptSuite
    ) -> None:
        items = tiny_suite.items[:2]
        torch.manual_seed(1)
        together = made(settings(pipeline)).generate(items, PARAMS)
        state = torch.manual_seed(2).get_state()
        model = made(settings(pipeline))
        state = torch.get_rng_state()
        alone = [model.generate([item], PARAMS)[0] for item in reversed(items)][::-1]
        assert torch.equal(torch.get_rng_state(), state)
        for one, other in zip(together, alone, strict=True):
            assert one.fps == PARAMS.fps
            assert one.frames.shape == (3, 16, 16, 3)
            np.testing.assert_array_equal(one.frames, other.frames)
        assert not np.array_equal(together[0].frames, together[1].frames)


def test_video_is_the_pipelines_own(
    settings: Callable[..., dict[str, Any]], weights: dict[str, Path], tiny_suite: PromptSuite
) -> None:
    """Against the pipeline itself, called as its documentation says."""
    from diffusers import StableVideoDiffusionPipeline, TextToVideoSDPipeline

    item = tiny_suite.items[0]
    for name, cls in ((T2V, TextToVideoSDPipeline), (SVD, StableVideoDiffusionPipeline)):
        pipeline = cls.from_pretrained(weights[name])
        shape = {
            "num_frames": 3,
            "height": 16,
            "width": 16,
            "num_inference_steps": 2,
            "generator": torch.Generator().manual_seed(item.seed),
        }
        if name == T2V:
            frames = pipeline(
                f"a film of {item.text}",
                negative_prompt="blurry",
                guidance_scale=2.0,
                output_type="np",
                **shape,
            ).frames[0]
        else:
            frames = pipeline(
                Image.open(item.image).convert("RGB"),
                motion_bucket_id=100,
                output_type="np",
                **shape,
            ).frames[0]
        (video,) = made(settings(name)).generate([item], PARAMS)
        np.testing.assert_array_equal(
            video.frames, np.round(np.asarray(frames) * 255).astype(np.uint8)
        )


def test_what_is_mapped_decides_the_video(
    settings: Callable[..., dict[str, Any]], tiny_suite: PromptSuite
) -> None:
    item, other = tiny_suite.items[0], tiny_suite.items[2]
    reads, sees = made(settings(T2V)), made(settings(SVD))

    def frames(
        model: DiffusersPipeline, item: PromptItem, params: SamplingParams = PARAMS
    ) -> np.ndarray:
        return model.generate([item], params)[0].frames

    assert not np.array_equal(frames(reads, item), frames(reads, replace(item, text="zzz")))
    assert not np.array_equal(frames(reads, item), frames(reads, replace(item, seed=item.seed + 1)))
    np.testing.assert_array_equal(
        frames(reads, item), frames(reads, replace(item, subject=other.subject))
    )
    np.testing.assert_array_equal(frames(sees, item), frames(sees, replace(item, text="zzz")))
    assert not np.array_equal(
        frames(sees, item), frames(sees, replace(item, subject=other.subject))
    )


def test_scheduler_may_be_another(
    settings: Callable[..., dict[str, Any]], tiny_suite: PromptSuite
) -> None:
    own, other = (
        made(settings(sampling={"scheduler": name}))
        for name in ("own", "EulerAncestralDiscreteScheduler")
    )
    assert type(other.pipeline.scheduler).__name__ == "EulerAncestralDiscreteScheduler"
    one, two = (model.generate(tiny_suite.items[:1], PARAMS)[0].frames for model in (own, other))
    assert not np.array_equal(one, two)


def test_components_may_lie_elsewhere(
    settings: Callable[..., dict[str, Any]], weights: dict[str, Path], tmp_path: Path
) -> None:
    from diffusers import AutoencoderKL

    other = AutoencoderKL.from_pretrained(weights[T2V] / "vae")
    with torch.no_grad():
        other.decoder.conv_out.bias.fill_(7)
    other.save_pretrained(tmp_path / "other" / "vae")
    table = settings()
    part = {"folder": "other", "subfolder": "vae", "class": "AutoencoderKL"}
    table["pretrained"] = {**table["pretrained"], "vae": part}
    model = made(table, tmp_path)
    assert model.pipeline.vae.decoder.conv_out.bias.detach().tolist() == [7, 7, 7]
    digests = pretrained.pretrained_digests(table, tmp_path)
    assert sorted(digests) == ["pipeline", "vae"]


def test_longer_and_larger_videos_are_told_or_taken_as_the_recipe_says(
    settings: Callable[..., dict[str, Any]], tiny_suite: PromptSuite
) -> None:
    larger = {**ARGUMENTS[T2V], "num_frames": 5, "height": 24, "width": 32}
    items = tiny_suite.items[:1]
    with pytest.raises(
        InputError,
        match=r"gave 5 frames of 32 x 24 pixels, 3 of 16 x 16 are asked for: map num_frames",
    ):
        made(settings(arguments=larger)).generate(items, PARAMS)
    (video,) = made(
        settings(arguments=larger, output={"frames": "evenly", "resize": True})
    ).generate(items, PARAMS)
    assert video.frames.shape == (3, 16, 16, 3)


WRONG = [
    (
        {"pipeline": "TextToVideoSDPipelin"},
        f"must name a pipeline of diffusers .*, not 'TextToVideoSDPipelin': did you mean '{T2V}'",
    ),
    ({"pipeline": None}, "pipeline in .* must name a pipeline of diffusers"),
    ({"pipeline": "DiffusionPipeline"}, "DiffusionPipeline takes no generator"),
    (
        {"arguments": {**ARGUMENTS[T2V], "promt": "x"}},
        f"{T2V} takes no argument 'promt': did you mean 'prompt'",
    ),
    ({"arguments": {"prompt": "{texts}"}}, r"unknown placeholder \{texts\}: did you mean 'text'"),
    ({"arguments": {"prompt": ["{wrd}"]}}, r"unknown placeholder \{wrd\}"),
    ({"arguments": {"prompt": "see {image}"}}, r"\{image\} is no text and must stand alone"),
    ({"sampling": {}}, r"sampling\] must say scheduler = 'own'"),
    ({"sampling": {"scheduler": "DDIMSchedular"}}, "not 'DDIMSchedular': did you mean"),
    ({"dtype": "int8"}, "dtype in .* must be one of float32, float16, bfloat16, not 'int8'"),
    ({"output": {"frame": "first"}}, "unknown key 'frame': did you mean 'frames'"),
    (
        {"output": {"frames": "last"}},
        "frames of output in .* must be one of 'all', 'first', 'evenly', not 'last'",
    ),
    ({"pretrained": {}}, r"\[scales.mini.pretrained.pipeline\] is missing"),
    ({"pretrained": {"pipeline": "x"}}, "pretrained must hold tables"),
    ({"pretrained": {"pipeline": {"foldr": "x"}}}, "unknown key 'foldr': did you mean 'folder'"),
    (
        {"pretrained": {"pipeline": {"folder": "x", "repository": "a/b"}}},
        "must name a folder or a repository of the hub, one of the two",
    ),
    (
        {"pretrained": {"pipeline": {"repository": "a/b", "revision": "main"}}},
        "needs revision = the 40 hex digits of a commit of a/b",
    ),
    ({"pretrained": {"pipeline": {"repository": "a", "revision": COMMIT}}}, "must be 'owner/name'"),
    (
        {"pretrained": {"pipeline": {"folder": "x"}, "vea": {"folder": "x"}}},
        "has no component 'vea': did you mean 'vae'",
    ),
    (
        {"pretrained": {"pipeline": {"folder": "x"}, "vae": {"folder": "x"}}},
        "must name the component's class",
    ),
    (
        {"pretrained": {"pipeline": {"folder": "x"}, "vae": {"folder": "x", "class": "Nope"}}},
        "has a component 'Nope'",
    ),
]


@pytest.mark.parametrize(("changes", "message"), WRONG, ids=range(len(WRONG)))
def test_wrong_recipes_are_told(
    settings: Callable[..., dict[str, Any]], changes: dict[str, Any], message: str
) -> None:
    with pytest.raises(RecipeError, match=message) as told:
        made({**settings(), **changes})
    assert len(str(told.value).splitlines()) == 1


def test_arguments_that_are_missing_are_told() -> None:
    from diffusers import StableVideoDiffusionPipeline

    with pytest.raises(
        RecipeError, match=r"StableVideoDiffusionPipeline needs the argument 'image'\."
    ):
        check_arguments(StableVideoDiffusionPipeline, {"height": 8}, "[here]")


def test_a_pipeline_without_a_generator_is_refused() -> None:
    class Unseeded:
        def __call__(self, prompt: str) -> None: ...

    with pytest.raises(RecipeError, match="Unseeded takes no generator"):
        check_arguments(Unseeded, {"prompt": "x"}, "[here]")


def test_packages_that_are_missing_are_told(
    settings: Callable[..., dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    import diffusers

    class Dummy:
        _backends = ("torch", "scipy")

    monkeypatch.setattr(diffusers, T2V, Dummy)
    with pytest.raises(
        PrerequisiteError, match="needs packages that are not installed: torch, scipy"
    ):
        made(settings())


def test_placeholders_become_values(tiny_suite: PromptSuite) -> None:
    item = tiny_suite.items[0]
    values = filled({name: f"{{{name}}}" for name in PLACEHOLDERS}, item, PARAMS)
    image, generator = values.pop("image"), values.pop("generator")
    assert values == {
        "text": item.text,
        "subject_word": item.subject_word,
        "class": item.subject.class_name,
        "num_frames": 3,
        "size": 16,
        "fps": 4,
        "steps": 2,
        "guidance": 2.0,
    }
    np.testing.assert_array_equal(np.asarray(image), np.asarray(Image.open(item.image)))
    expected = torch.rand(3, generator=torch.Generator().manual_seed(item.seed))
    assert torch.equal(torch.rand(3, generator=generator), expected)
    mixed = filled({"a": ["{text} at {size}", 3, True], "b": {"c": "{fps}"}}, item, PARAMS)
    assert mixed == {"a": [f"{item.text} at 16", 3, True], "b": {"c": 4}}


FRAMES = np.random.default_rng(0).integers(0, 256, (4, 6, 5, 3), dtype=np.uint8)
FLOATS = FRAMES.astype(np.float32) / 255
CHANNELS_FIRST = torch.from_numpy(FLOATS).permute(0, 3, 1, 2)
PICTURES = [Image.fromarray(frame) for frame in FRAMES]


@pytest.mark.parametrize(
    "given",
    [
        [PICTURES],
        PICTURES,
        FLOATS[None],
        FLOATS,
        FRAMES,
        [FLOATS],
        list(FLOATS),
        CHANNELS_FIRST[None],
        CHANNELS_FIRST,
        [CHANNELS_FIRST],
        list(CHANNELS_FIRST),
        torch.from_numpy(FLOATS),
        CHANNELS_FIRST.permute(1, 0, 2, 3),
        torch.from_numpy(FRAMES).permute(0, 3, 1, 2)[None],
        CHANNELS_FIRST.double(),
    ],
    ids=range(15),
)
@pytest.mark.parametrize("field", ["frames", "images", "videos", None])
def test_output_in_any_form_is_read(given: Any, field: str | None) -> None:
    output = (given, None) if field is None else SimpleNamespace(**{field: given})
    found = frames_of(output)
    assert found.dtype == np.uint8
    np.testing.assert_array_equal(found, FRAMES)


@pytest.mark.parametrize(
    ("output", "message"),
    [
        (
            SimpleNamespace(sound=1),
            "gave a SimpleNamespace, in which there are no frames, images or videos",
        ),
        (SimpleNamespace(frames=[]), "gave no frame"),
        (SimpleNamespace(frames=[PICTURES, PICTURES]), "gave 2 videos for one item"),
        (SimpleNamespace(frames=np.stack([FLOATS, FLOATS])), "gave 2 videos for one item"),
        (
            SimpleNamespace(frames=FLOATS * 2 - 1),
            r"numbers from -1\.00 to 1\.00, not pixels within 0\.\.1 \(latents\?\)",
        ),
        (SimpleNamespace(frames=FLOATS * np.nan), "not finite"),
        (SimpleNamespace(frames=FRAMES.astype(np.int64)), "pixels of int64"),
        (
            SimpleNamespace(frames=FLOATS[..., :2]),
            r"shape \(4, 6, 5, 2\), in which no axis holds three colours",
        ),
        (SimpleNamespace(frames=FLOATS[0, 0]), "an array of 2 axes"),
        (SimpleNamespace(frames="video.mp4"), "a str where frames are wanted"),
        (SimpleNamespace(frames=[PICTURES[0], PICTURES[0].resize((3, 3))]), "not all of one size"),
    ],
)
def test_output_that_is_no_video_is_told(output: Any, message: str) -> None:
    with pytest.raises(InputError, match=message):
        frames_of(output)


def test_videos_are_cut_and_resized_only_where_asked() -> None:
    frames = np.arange(9, dtype=np.uint8)[:, None, None, None] * np.ones((9, 8, 12, 3), np.uint8)
    assert taken(frames, 3, 4, frames="all", resize=False) is frames
    assert taken(frames, 3, 4, frames="first", resize=False)[:, 0, 0, 0].tolist() == [0, 1, 2]
    assert taken(frames, 3, 4, frames="evenly", resize=False)[:, 0, 0, 0].tolist() == [0, 4, 8]
    assert taken(frames, 12, 4, frames="evenly", resize=False).shape[0] == 9
    marked = np.zeros((1, 8, 12, 3), np.uint8)
    marked[:, :, :2] = 255  # outside of the middle square
    assert taken(marked, 1, 4, frames="all", resize=True).max() == 0


def test_a_folders_content_is_what_it_is(
    settings: Callable[..., dict[str, Any]], weights: dict[str, Path], tmp_path: Path
) -> None:
    copy = Path(shutil.copytree(weights[T2V], tmp_path / "mini" / "copy"))
    recipe = write_recipe(
        tmp_path / "recipe", settings(pretrained={"pipeline": {"folder": str(copy)}})
    )
    first = weights_digests(load_recipe(recipe), "mini")
    assert first == weights_digests(
        load_recipe(write_recipe(tmp_path / "other", settings())), "mini"
    )
    config = copy / "scheduler" / "scheduler_config.json"
    config.write_text(config.read_text().replace("0.02", "0.03"))
    assert weights_digests(load_recipe(recipe), "mini") != first
    (copy / "text_encoder").rename(tmp_path / "text_encoder")
    (copy / "text_encoder").symlink_to(tmp_path / "text_encoder")
    with pytest.raises(WeightsError, match="is a link to a folder"):
        weights_digests(load_recipe(recipe), "mini")


def test_folders_lie_beside_the_recipe_or_among_the_weights(
    settings: Callable[..., dict[str, Any]],
    weights: dict[str, Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv(paths.WEIGHTS_VARIABLE, str(tmp_path))
    table = settings(pretrained={"pipeline": {"folder": "t2v"}})
    with pytest.raises(
        WeightsError,
        match=r"are not there: put them into .*recipe/t2v or .*mini/t2v \(VBBENCH_WEIGHTS names",
    ):
        pretrained.pretrained_digests(table, tmp_path / "recipe")
    shutil.copytree(weights[T2V], tmp_path / "mini" / "t2v")
    assert made(table, tmp_path / "recipe").pipeline


class Bomb:
    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[Any, ...]:
        return (Path.touch, (self.mark,))


def test_pickles_and_code_are_not_run(
    settings: Callable[..., dict[str, Any]], weights: dict[str, Path], tmp_path: Path
) -> None:
    copy, mark = Path(shutil.copytree(weights[T2V], tmp_path / "copy")), tmp_path / "mark"
    table = settings(pretrained={"pipeline": {"folder": str(copy)}})
    for part, name in (("unet", "diffusion_pytorch_model"), ("text_encoder", "pytorch_model")):
        tensors = next((copy / part).glob("*.safetensors"))
        kept = tensors.rename(tmp_path / "kept")
        (copy / part / f"{name}.bin").write_bytes(pickle.dumps(Bomb(mark)))
        with pytest.raises(
            WeightsError, match=r"cannot be loaded as TextToVideoSDPipeline \(safetensors only\)"
        ):
            made(table)
        (copy / part / f"{name}.bin").unlink()
        kept.rename(tensors)
    assert made(table)
    code = f"from pathlib import Path\nPath({str(mark)!r}).touch()\n"
    for name in ("unet/diffusers.py", "None.py", "pipeline.py"):
        (copy / name).write_text(code)
        with pytest.raises(WeightsError, match="brings code of its own"):
            made(table)
        (copy / name).unlink()
    index = copy / "model_index.json"
    known = json.loads(index.read_text())
    for changes, message in (
        (
            {"unet": ["os", "system"]},
            "the part unet in .* is of 'os'; only classes of diffusers and transformers",
        ),
        ({"_class_name": ["mine", "Mine"]}, "names no pipeline of diffusers"),
    ):
        index.write_text(json.dumps({**known, **changes}))
        with pytest.raises(WeightsError, match=message):
            made(table)
    index.write_text("{")
    with pytest.raises(WeightsError, match="cannot be read"):
        made(table)
    index.unlink()
    with pytest.raises(WeightsError, match=r"holds no pipeline: it has no model_index\.json"):
        made(table)
    assert not mark.exists()


def test_a_damaged_file_is_a_row_with_a_reason(
    settings: Callable[..., dict[str, Any]],
    weights: dict[str, Path],
    tiny_suite: PromptSuite,
    tmp_path: Path,
) -> None:
    copy = Path(shutil.copytree(weights[T2V], tmp_path / "copy"))
    (copy / "vae" / "diffusion_pytorch_model.safetensors").write_bytes(b"no tensors")
    folder = write_recipe(
        tmp_path / "recipe", settings(pretrained={"pipeline": {"folder": str(copy)}})
    )
    runner = Runner(tiny_suite, tmp_path / "run")
    assert runner.run(folder, scorer=MetricScorer(["motion"], Setting(), "cpu"))[0].failed == 6
    (failure,) = failures(load_run(runner.root))
    assert "cannot be loaded as TextToVideoSDPipeline" in failure.reason


class TestHub:
    TABLE: dict[str, Any] = {"pipeline": {"repository": "owner/model", "revision": COMMIT}}  # noqa: RUF012 (not changed)

    @pytest.fixture(autouse=True)
    def _empty(self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
        """An empty cache, and nobody to ask."""
        from huggingface_hub import constants

        for name in paths.OFFLINE_VARIABLES:
            monkeypatch.delenv(name, raising=False)
        monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))

    def test_offline_says_what_to_put_where_before_anything_is_run(
        self,
        settings: Callable[..., dict[str, Any]],
        monkeypatch: pytest.MonkeyPatch,
        tmp_path: Path,
    ) -> None:
        table = settings(pretrained=self.TABLE)
        told = pretrained.pretrained_digests(table, tmp_path)
        assert told == {"pipeline": f"owner/model@{COMMIT}"}  # may still be downloaded
        monkeypatch.setenv("VBBENCH_OFFLINE", "1")
        monkeypatch.setattr(pretrained, "_ask", lambda source: pytest.fail("the network was asked"))
        monkeypatch.setattr(pretrained, "cached_file", lambda source, file: None)
        wanted = "put owner/model at commit 0123456789ab into the hub's cache.* because VBBENCH_OFFLINE is set"
        with pytest.raises(WeightsError, match=wanted):
            weights_digests(load_recipe(write_recipe(tmp_path / "recipe", table)), "mini")
        with pytest.raises(WeightsError, match=wanted):
            made(table)

    def test_nobody_who_answers_is_a_sentence(
        self, settings: Callable[..., dict[str, Any]], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def refuse(source: object) -> None:
            raise ConnectionError("no route to the hub\nat all")

        monkeypatch.setattr(pretrained, "_ask", refuse)
        with pytest.raises(
            WeightsError,
            match="are not at hand: put .*; downloading them failed: no route to the hub",
        ) as told:
            made(settings(pretrained=self.TABLE))
        assert isinstance(told.value, VBBenchError)

    def test_what_lies_in_the_cache_is_loaded_without_a_network(
        self,
        settings: Callable[..., dict[str, Any]],
        weights: dict[str, Path],
        monkeypatch: pytest.MonkeyPatch,
        tiny_suite: PromptSuite,
    ) -> None:
        from diffusers import TextToVideoSDPipeline

        asked: list[tuple[str, dict[str, Any]]] = []

        def download(repository: str, **options: Any) -> str:
            asked.append((repository, options))
            return str(weights[T2V])

        monkeypatch.setenv("VBBENCH_OFFLINE", "1")
        monkeypatch.setattr(TextToVideoSDPipeline, "download", download)
        (here,) = made(settings(pretrained=self.TABLE)).generate(tiny_suite.items[:1], PARAMS)
        assert asked == [
            ("owner/model", {"revision": COMMIT, "use_safetensors": True, "local_files_only": True})
        ]
        there: Video = made(settings()).generate(tiny_suite.items[:1], PARAMS)[0]
        np.testing.assert_array_equal(here.frames, there.frames)


def test_build_goes_through_the_recipe(
    settings: Callable[..., dict[str, Any]], tmp_path: Path
) -> None:
    recipe = load_recipe(write_recipe(tmp_path / "recipe", settings()))
    assert not recipe.fitted
    assert isinstance(build_model(recipe, "mini", "cpu"), DiffusersPipeline)


def test_numbers_may_be_halves(
    settings: Callable[..., dict[str, Any]], tiny_suite: PromptSuite
) -> None:
    model = made(settings(dtype="bfloat16"))
    assert {
        model.pipeline.unet.dtype,
        model.pipeline.vae.dtype,
        model.pipeline.text_encoder.dtype,
    } == {torch.bfloat16}
    assert model.generate(tiny_suite.items[:1], PARAMS)[0].frames.std() > 0
