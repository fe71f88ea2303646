"""Plans: jobs, batches, hashes, parameters."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch

import vbbench
from vbbench.core.weights_file import save_weights
from vbbench.errors import RecipeError, UsageError, WeightsError
from vbbench.models.recipes import load_recipe
from vbbench.models.registry import all_recipes, resolve_models
from vbbench.runner import hashing
from vbbench.runner.plan import RunConfig, build, sampling_params
from vbbench.types import PromptSuite

Folder = Callable[[str], Path]


def hashes(suite: PromptSuite, *folders: Path, **sampling: object) -> list[str]:
    return [
        job.hash
        for job in build(RunConfig(tuple(map(load_recipe, folders)), "mini", sampling), suite).jobs
    ]


def test_fits_come_first_and_samples_wait_for_them(
    tiny_suite: PromptSuite, recipe_folder: Folder
) -> None:
    plan = build(RunConfig((load_recipe(recipe_folder("tinted")),), "mini"), tiny_suite)
    assert [(job.kind, job.subject_id, job.item_id) for job in plan.jobs[:3]] == [
        ("fit", s, None) for s in ("cat-0", "dog-0", "dog-1")
    ]
    fits = {job.subject_id: job.hash for job in plan.jobs[:3]}
    assert all(job.needs == fits[job.subject_id] for job in plan.jobs[3:])
    assert len(set(hashes(tiny_suite, plan.models[0].recipe.folder))) == 9


def test_batches_of_a_fitted_model_hold_one_subject(
    tiny_suite: PromptSuite, recipe_folder: Folder
) -> None:
    folder = recipe_folder("tinted")
    text = (folder / "recipe.toml").read_text()
    (folder / "recipe.toml").write_text(text + "\n[scales.mini.sampling]\nbatch_size = 5\n")
    (model,) = build(RunConfig((load_recipe(folder),), "mini"), tiny_suite).models
    assert [[job.subject_id for job in batch] for batch in model.batches] == [
        ["cat-0"] * 2,
        ["dog-0"] * 2,
        ["dog-1"] * 2,
    ]


def test_item_hash_covers_text_seed_and_picture(
    tiny_suite: PromptSuite, make_suite: Callable[..., PromptSuite], recipe_folder: Folder
) -> None:
    noise = recipe_folder("noise")
    before = hashes(tiny_suite, noise)
    assert hashes(make_suite("copy"), noise) == before  # where the suite lies does not count
    first, *others = tiny_suite.items
    for item in (
        replace(first, text="a cat by night"),
        replace(first, seed=1),
        replace(first, image_seed=1),
        replace(first, subject_word="a"),
    ):
        changed = hashes(replace(tiny_suite, items=(item, *others)), noise)
        assert [a == b for a, b in zip(before, changed, strict=True)] == [False] + [True] * 5
    shutil.copy(tiny_suite.root / "images" / "dog-0.png", tiny_suite.root / "images" / "cat-0.png")
    assert [a == b for a, b in zip(before, hashes(tiny_suite, noise), strict=True)] == [
        False
    ] * 2 + [True] * 4


def test_data_beside_the_weights_counts_with_what_its_table_names(
    tiny_suite: PromptSuite, recipe_folder: Folder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("VBBENCH_WEIGHTS", str(tmp_path))
    noise = recipe_folder("noise")
    text = (noise / "recipe.toml").read_text()
    (noise / "recipe.toml").write_text(
        text.replace("[scales.mini]", '[scales.mini]\ndata = ["bank/clips.csv"]')
    )
    bank = tmp_path / "mini" / "bank"
    bank.mkdir(parents=True)
    seen = [hashes(tiny_suite, noise)]
    (bank / "clips.csv").write_text("video,caption\na.mkv,a dog\n")
    seen.append(hashes(tiny_suite, noise))
    (bank / "a.mkv").write_bytes(b"1")
    seen.append(hashes(tiny_suite, noise))
    (bank / "a.mkv").write_bytes(b"2")
    seen.append(hashes(tiny_suite, noise))
    assert len({each[0] for each in seen}) == len(seen)


@pytest.mark.parametrize("what", ["masks", "references"])
def test_what_else_a_model_may_read_of_a_subject_counts(
    tiny_suite: PromptSuite, tmp_path: Path, what: str
) -> None:
    subject = tiny_suite.items[0].subject
    contents = [hashing.subject_content(subject)]
    for content in (b"1", b"2"):
        (tmp_path / "picture.png").write_bytes(content)
        contents.append(
            hashing.subject_content(replace(subject, **{what: (tmp_path / "picture.png",)}))
        )
    assert len({hashing.digest_of(each) for each in contents}) == 3


def test_overrides_touch_models_that_sample_only(
    tiny_suite: PromptSuite, recipe_folder: Folder
) -> None:
    noise, tinted = recipe_folder("noise"), recipe_folder("tinted")
    assert hashes(tiny_suite, noise, num_inference_steps=9) != hashes(tiny_suite, noise)
    assert hashes(tiny_suite, tinted, num_inference_steps=9) == hashes(tiny_suite, tinted)


def test_weights_are_part_of_the_hash_and_verified(
    tiny_suite: PromptSuite, recipe_folder: Folder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("VBBENCH_WEIGHTS", str(tmp_path))
    noise = recipe_folder("noise")
    text = (noise / "recipe.toml").read_text()
    (noise / "recipe.toml").write_text(text + '\n[scales.mini.weights]\nunet = "net"\n')
    with pytest.raises(WeightsError, match="'net' of scale mini are not at"):
        hashes(tiny_suite, noise)
    save_weights(tmp_path / "mini" / "net.safetensors", {"w": torch.zeros(3)}, {})
    before = hashes(tiny_suite, noise)
    save_weights(tmp_path / "mini" / "net.safetensors", {"w": torch.ones(3)}, {})
    plain = hashes(tiny_suite, noise)
    assert not set(before) & set(plain)
    save_weights(
        tmp_path / "mini" / "net.safetensors", {"w": torch.ones(3)}, {"config": {"stage": "fine"}}
    )
    assert not set(plain) & set(hashes(tiny_suite, noise))  # the card says what the weights mean
    content = bytearray((tmp_path / "mini" / "net.safetensors").read_bytes())
    content[-1] ^= 1
    (tmp_path / "mini" / "net.safetensors").write_bytes(content)
    with pytest.raises(WeightsError, match="damaged or were changed"):
        hashes(tiny_suite, noise)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (
            "num_inference_step = 3",
            "unknown sampling setting 'num_inference_step': did you mean 'num_inference_steps'",
        ),
        ('guidance_scale = "high"', "guidance_scale of the model 'tinted' must be a float"),
        ("num_inference_steps = 0", "at least one step"),
        ("guidance_scale = nan", "guidance_scale of the model 'tinted' must be a float, not nan"),
        (
            "num_inference_steps = 100000000000000000000",
            "num_inference_steps of the model 'tinted' must be",
        ),
        ("batch_size = true", "batch_size of the model 'tinted' must be a int"),
    ],
)
def test_wrong_sampling_settings_are_told(recipe_folder: Folder, line: str, message: str) -> None:
    folder = recipe_folder("tinted")
    (folder / "recipe.toml").write_text(
        (folder / "recipe.toml").read_text() + f"\n[scales.mini.sampling]\n{line}\n"
    )
    with pytest.raises(RecipeError, match=message):
        sampling_params(load_recipe(folder), "mini", num_frames=3, size=16, fps=4)


def test_unknown_scale_is_told(tiny_suite: PromptSuite, recipe_folder: Folder) -> None:
    with pytest.raises(UsageError, match="'noise' has no scale 'sd14': it has mini"):
        build(RunConfig((load_recipe(recipe_folder("noise")),), "sd14"), tiny_suite)


IMPORTED_BY_A_MODEL = """
import dataclasses, sys
from vbbench.data.suites import load_suite
from vbbench.models.recipes import build_model
from vbbench.models.registry import resolve_models
from vbbench.runner.plan import sampling_params

recipe, suite = resolve_models(sys.argv[1])[0], load_suite("mini")
params = sampling_params(recipe, "mini", num_frames=suite.num_frames, size=suite.size, fps=suite.fps)
before = set(sys.modules)
build_model(recipe, "mini", "cpu").generate([suite.items[0]], dataclasses.replace(params, num_inference_steps=2))
print(*(name for name in set(sys.modules) - before if name.startswith("vbbench.")))
"""


class TestCodeDigest:
    """What counts as a model's code."""

    @pytest.fixture
    def package(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
        """A copy of vbbench's sources that may be changed, hashed in the place of the real ones."""
        copy = tmp_path / "vbbench"
        shutil.copytree(
            Path(vbbench.__file__).parent,
            copy,
            ignore=shutil.ignore_patterns("weights", "_data", "__pycache__"),
        )
        (copy / "models" / "late.py").write_text("LEVEL = 1\n")
        types = (copy / "types.py").read_text("utf-8")
        (copy / "types.py").write_text(
            types + "TABLE = {'x': 'vbbench.named_in_a_table:thing'}\n", "utf-8"
        )
        (copy / "named_in_a_table.py").write_text("def thing():\n    from . import far\n")
        (copy / "far.py").write_text("LEVEL = 1\n")
        (copy / "elsewhere.py").write_text("LEVEL = 1\n")
        monkeypatch.setattr(hashing.paths, "PACKAGE", copy)
        return copy

    @pytest.mark.parametrize(
        ("file", "counts"),
        [
            ("types.py", True),
            ("media/video.py", True),
            ("media/pictures.py", True),
            ("models/base.py", False),
            ("models/late.py", False),
            ("named_in_a_table.py", True),
            ("far.py", True),
            ("elsewhere.py", False),
            ("cli/run.py", False),
            ("runner/store.py", False),
            ("__init__.py", False),
            ("core/version.py", False),
        ],
    )
    def test_changed_line(
        self, package: Path, recipe_folder: Folder, file: str, counts: bool
    ) -> None:
        recipe = load_recipe(recipe_folder("noise"))
        before = hashing.code_digest(recipe)
        assert hashing.code_digest(recipe) == before
        path = package / file
        path.write_text(path.read_text() + "\nADDED = 1\n")
        assert (hashing.code_digest(recipe) != before) == counts

    def test_a_new_file_changes_no_hash(self, package: Path) -> None:
        """Of any bundled model: only what an entry imports counts, not the packages that its
        modules lie in."""
        before = {name: hashing.code_digest(recipe) for name, recipe in all_recipes().items()}
        for room in ("models", "networks", "networks/unet", "attention", "media"):
            (package / room / "new.py").write_text("LEVEL = 1\n")
        assert {
            name: hashing.code_digest(recipe) for name, recipe in all_recipes().items()
        } == before

    @pytest.mark.parametrize("line", ["import vbbench", "from vbbench import injection_attention"])
    def test_what_the_public_face_gives_counts(self, recipe_folder: Folder, line: str) -> None:
        folder = recipe_folder("noise")
        method = folder / "method.py"
        method.write_text(f"{line}\n{method.read_text('utf-8')}", "utf-8")
        counted = set(hashing.code_sources(load_recipe(folder)))
        assert {"vbbench.attention", "vbbench.attention.merge", "vbbench.types"} <= counted

    @pytest.mark.parametrize("name", ["videobooth", "elite", "real-video", "retrieve"])
    def test_all_that_a_model_imports_counts(self, name: str, tmp_path: Path) -> None:
        """What is loaded by building the model and making a video, beyond what choosing it loads,
        is in its hash."""
        program = tmp_path / "program.py"
        program.write_text(IMPORTED_BY_A_MODEL, "utf-8")
        done = subprocess.run(
            [sys.executable, str(program), name],
            capture_output=True,
            text=True,
            check=True,
            timeout=120,
        )
        imported = set(done.stdout.split())
        assert imported <= set(hashing.code_sources(resolve_models(name)[0]))
        assert len(imported) > (1 if name == "real-video" else 20)

    def test_comments_docstrings_layout_and_types_do_not_count(
        self, package: Path, recipe_folder: Folder
    ) -> None:
        recipe = load_recipe(recipe_folder("noise"))
        (package / "far.py").write_text(
            'def f(x):\n    """Old."""\n    return (x +\n            1)\n'
        )
        before = hashing.code_digest(recipe)
        typed = '"""New."""\nfrom typing import TYPE_CHECKING\n'
        (package / "far.py").write_text('"""A module."""\n\n\ndef f(x):  # why\n    return x + 1\n')
        assert hashing.code_digest(recipe) == before
        (package / "far.py").write_text(typed)
        before = hashing.code_digest(recipe)
        (package / "far.py").write_text(
            typed + "if TYPE_CHECKING:\n    from vbbench import elsewhere\n"
        )
        (package / "elsewhere.py").write_text("LEVEL = 2\n")
        assert hashing.code_digest(recipe) == before

    def test_own_data_files_count_and_readmes_do_not(self, recipe_folder: Folder) -> None:
        folder = recipe_folder("noise")
        before = hashing.code_digest(load_recipe(folder))
        (folder / "README.md").write_text("words")
        assert hashing.code_digest(load_recipe(folder)) == before
        (folder / "table.json").write_text("{}")
        assert hashing.code_digest(load_recipe(folder)) != before

    def test_module_entry_is_followed_through_its_package(
        self, recipe_folder: Folder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        package = tmp_path / "lib" / "their_package"
        package.mkdir(parents=True)
        (package / "__init__.py").touch()
        (package / "model.py").write_text(
            "from their_package.parts import PART\nclass Model: pass\n"
        )
        (package / "parts.py").write_text("PART = 1\n")
        monkeypatch.syspath_prepend(str(tmp_path / "lib"))
        folder = recipe_folder("noise")
        text = (folder / "recipe.toml").read_text()
        (folder / "recipe.toml").write_text(
            text.replace("method.py:Noise", "their_package.model:Model")
        )
        before = hashing.code_digest(load_recipe(folder))
        (package / "parts.py").write_text("PART = 2\n")
        assert hashing.code_digest(load_recipe(folder)) != before
        (folder / "recipe.toml").write_text(
            text.replace("method.py:Noise", "missing_package.model:Model")
        )
        with pytest.raises(
            RecipeError, match=r"needs the module 'missing_package\.model', which is not installed"
        ):
            hashing.code_digest(load_recipe(folder))


def test_a_restricted_plan_holds_the_same_jobs_of_the_first_items_of_each_subject(
    tiny_suite: PromptSuite, recipe_folder: Folder
) -> None:
    recipes = (load_recipe(recipe_folder("noise")), load_recipe(recipe_folder("tinted")))
    whole, first = (
        build(RunConfig(recipes, "mini", prompts_per_subject=count), tiny_suite)
        for count in (None, 1)
    )
    assert [job.item_id for job in first.models[0].samples] == [
        "cat-0-beach",
        "dog-0-beach",
        "dog-1-beach",
    ]
    assert first.models[1].fits == whole.models[1].fits
    assert set(first.jobs) < set(
        whole.jobs
    )  # hashes too: what is done is kept by a run that goes on with more
    assert (first.suite, first.prompts_per_subject) == (tiny_suite, 1)
    more_than_there_are = build(RunConfig(recipes, "mini", prompts_per_subject=2), tiny_suite)
    assert (more_than_there_are.jobs, more_than_there_are.prompts_per_subject) == (whole.jobs, None)
