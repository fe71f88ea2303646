"""What can be trained, in which order, and from what.

``train("base")`` makes one weights file, ``train("all")`` every one, from nothing.
"""

from __future__ import annotations

import dataclasses
import functools
import importlib
import os
import platform
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vbbench.core import paths
from vbbench.core.digests import file_digest
from vbbench.core.log import TRAINING
from vbbench.core.names import nearest
from vbbench.core.paths import seeded_name
from vbbench.core.version import __version__
from vbbench.errors import UsageError

if TYPE_CHECKING:
    from torch import Tensor

    from vbbench.training.objective import Objective, Solver
    from vbbench.training.settings import TrainSettings

WORK_VARIABLE = "VBBENCH_WORK"


@dataclass(frozen=True)
class TrainingRecipe:
    """Where an objective is, which data it learns from, and which weights must be there first.

    Attributes:
        entry: ``module:Class`` below ``vbbench.training.objectives``, constructed as ``Class(data,
            seed=, device=)``.
        data: variant of ``data.VARIANTS``: models and scoring encoders learn from different
            individuals.
        needs: recipes whose shipped weights it loads.
        seed_offset: keeps the random streams of recipes apart under one training seed.
        after: recipe whose weights, of the same training seed, it goes on from; its name comes to
            the objective as ``start_from``.
    """

    entry: str
    data: str
    needs: tuple[str, ...]
    seed_offset: int
    after: str | None = None


_ON_THE_BASE = ("codec", "base", "image-encoder")

RECIPES: dict[str, TrainingRecipe] = {
    "codec": TrainingRecipe("codec:Codec", "models", (), 1),
    "base": TrainingRecipe("base:Base", "models", ("codec",), 2),
    "image-encoder": TrainingRecipe("image_encoder:ImageEncoderObjective", "models", (), 3),
    "clip": TrainingRecipe("clip:Clip", "scoring", (), 4),
    "dino": TrainingRecipe("dino:Dino", "scoring", (), 5),
    "segmenter": TrainingRecipe("segmenter:Segmenter", "scoring", (), 6),
    "videobooth-coarse": TrainingRecipe("videobooth:Coarse", "models", _ON_THE_BASE, 7),
    "videobooth": TrainingRecipe(
        "videobooth:Fine", "models", _ON_THE_BASE, 8, after="videobooth-coarse"
    ),
    "videobooth-short-coarse": TrainingRecipe("videobooth:ShortCoarse", "models", _ON_THE_BASE, 7),
    "videobooth-short": TrainingRecipe(
        "videobooth:ShortFine", "models", _ON_THE_BASE, 8, after="videobooth-short-coarse"
    ),
    "videobooth-fine": TrainingRecipe("videobooth:FineOnly", "models", _ON_THE_BASE, 9),
    "videobooth-joint": TrainingRecipe("videobooth:Joint", "models", _ON_THE_BASE, 10),
    "videobooth-clean-prompt": TrainingRecipe(
        "videobooth:CleanPrompt", "models", _ON_THE_BASE, 8, after="videobooth-short-coarse"
    ),
    "elite-global": TrainingRecipe("elite:Global", "models", _ON_THE_BASE, 11),
    "elite": TrainingRecipe("elite:Local", "models", _ON_THE_BASE, 12, after="elite-global"),
}
"""In dependency order, which is the order of ``all``."""

ALL = "all"


def recipe_names() -> tuple[str, ...]:
    """Everything ``train`` accepts."""
    return (*RECIPES, ALL)


def train(
    name: str,
    *,
    scale: str = "mini",
    out: Path | None = None,
    steps: int | None = None,
    seed: int = 0,
    device: str = "cpu",
    workers: int = 1,
    work: Path | None = None,
) -> None:
    """Render the data if needed, train (or go on), and write the weights and their card.

    Args:
        name: one of ``recipe_names()``.
        scale: only ``mini`` can be trained from nothing.
        out: folder the weights are written to, ``paths.weights_dir`` by default. Weights that a
            recipe needs are looked for where ``resources`` finds them; for ``all`` that is made the
            same folder, which must therefore be named like the scale.
        steps: instead of the recipe's own number; may differ from that of the training that is
            resumed (see ``settings.lr_at``).
        seed: of the training; with another than 0 the file is called ``<name>-seed<seed>``.
        device: ``cpu`` or ``cuda``.
        workers: processes that average their parameters, CPU only.
        work: folder of data, checkpoints and curves; default ``$VBBENCH_WORK`` or ``work``.
    Raises:
        UsageError: unknown recipe or scale, unusable device or folder.
        WeightsError: weights that the recipe needs are missing.
    """
    _check(name, scale, device, workers)
    out = Path(out) if out is not None else paths.weights_dir(scale)
    work = work_folder(work)
    if name == ALL and seed:
        raise UsageError(
            "all is trained with seed 0, which is what ships; name the weights that another seed is wanted of."
        )
    if name != ALL:
        return _train_one(name, scale, out, steps, seed, device, workers, work)
    if out.name != scale:
        raise UsageError(
            f"To train all recipes into another folder, give it the name of the scale: {out / scale}."
        )
    with _weights_at(out):
        for each in RECIPES:
            _train_one(each, scale, out, steps, seed, device, workers, work)


def work_folder(work: Path | None) -> Path:
    """Folder of data, checkpoints and curves: the one named, $VBBENCH_WORK, or ``work``."""
    return Path(work or os.environ.get(WORK_VARIABLE) or "work")


def build_objective(name: str, data_folder: Path, seed: int, device: str) -> Objective | Solver:
    """Construct a recipe's objective on rendered data; deterministic in ``seed``, in every
    process."""
    import torch

    from vbbench.data.world.pictures import TrainingData

    recipe = RECIPES[name]
    module, _, attribute = recipe.entry.partition(":")
    cls = getattr(importlib.import_module(f"vbbench.training.objectives.{module}"), attribute)
    torch.manual_seed(_run_seed(name, seed))
    start = {"start_from": seeded_name(recipe.after, seed)} if recipe.after else {}
    return cls(
        TrainingData(data_folder, recipe.data), seed=_run_seed(name, seed), device=device, **start
    )


def _run_seed(name: str, seed: int) -> int:
    return 1000 * seed + RECIPES[name].seed_offset


def _train_one(
    name: str,
    scale: str,
    out: Path,
    steps: int | None,
    seed: int,
    device: str,
    workers: int,
    work: Path,
) -> None:
    """One recipe, from data to weights file."""
    from vbbench.core import progress
    from vbbench.core.weights_file import read_card, save_weights
    from vbbench.data.world import WORLD_VERSION, rendering

    recipe, seeded = RECIPES[name], seeded_name(name, seed)
    earlier = (seeded_name(recipe.after, seed),) if recipe.after else ()
    needs = (*recipe.needs, *earlier)
    made_from = {needed: file_digest(paths.weights_path(needed, scale)) for needed in needs}
    data_folder, made_from["data"] = rendering.prepare(work / "data", recipe.data)
    factory: Callable[[], Any] = functools.partial(build_objective, name, data_folder, seed, device)
    objective = factory()
    if hasattr(objective, "solve"):
        tensors, config, facts = _solve(objective, made_from)
    else:
        folder = work / scale / seeded
        settings = (
            objective.settings
            if steps is None
            else dataclasses.replace(objective.settings, steps=steps)
        )
        settings = for_device(settings, device)
        tensors, config, facts = _fit(
            objective, settings, factory, _run_seed(name, seed), folder, device, workers, made_from
        )
    path = out / f"{seeded}.safetensors"
    steps_before = sum(
        read_card(paths.weights_path(stage, scale)).get("total_steps", 0) for stage in earlier
    )
    facts |= {
        "total_steps": facts["steps"] + steps_before,
        "parameters": sum(t.numel() for t in tensors.values()),
    }
    card = {
        "recipe": name,
        "scale": scale,
        "seed": seed,
        **facts,
        "config": config,
        **environment(device),
        "world": WORLD_VERSION,
    }
    save_weights(path, tensors, card, eight_bit=bool(config.get("differences")))
    TRAINING.info(f"{name}: {path}  {progress.figures(facts['validation'])}")


def for_device(settings: TrainSettings, device: str) -> TrainSettings:
    """The settings, without bfloat16 where the device has no instructions for it; the card records
    which arithmetic it was."""
    from vbbench.models.fitting import multiplies_bfloat16

    return dataclasses.replace(settings, bf16=settings.bf16 and multiplies_bfloat16(device))


def _solve(
    objective: Solver, made_from: dict[str, str]
) -> tuple[dict[str, Tensor], dict[str, Any], dict[str, Any]]:
    """Tensors, configuration and the card's facts of an objective that is computed."""
    started = time.monotonic()
    figures = {key: float(value) for key, value in objective.solve().items()}
    facts = {
        "steps": 0,
        "seconds": round(time.monotonic() - started, 1),
        "loss": None,
        "validation": figures,
        "made_from": made_from,
    }
    return *objective.export(None), facts


def _fit(
    objective: Objective,
    settings: TrainSettings,
    factory: Callable[[], Objective],
    seed: int,
    folder: Path,
    device: str,
    workers: int,
    made_from: dict[str, str],
) -> tuple[dict[str, Tensor], dict[str, Any], dict[str, Any]]:
    """The same of an objective that is trained."""
    import torch

    from vbbench.training.loop import fit

    result = fit(
        objective,
        settings,
        seed=seed,
        work=folder,
        device=device,
        workers=workers,
        factory=factory,
        made_from=made_from,
    )
    facts = {
        "steps": result.steps,
        "seconds": round(result.seconds, 1),
        "loss": result.loss,
        "validation": result.validation,
        "arithmetic": "bfloat16 autocast" if settings.bf16 else "float32",
    }
    with torch.no_grad():
        tensors, config = objective.export(result.module)
    return tensors, config, {**facts, **result.facts}


def environment(device: str) -> dict[str, Any]:
    """What else a weights file was made with."""
    import torch

    from vbbench.core.environment import commit

    return {
        "device": torch.cuda.get_device_name(device)
        if device.startswith("cuda")
        else f"cpu ({platform.machine()})",
        "torch": torch.__version__,
        "vbbench": __version__,
        "commit": commit(),
    }


def _check(name: str, scale: str, device: str, workers: int) -> None:
    if name not in recipe_names():
        raise UsageError(f"there is no training recipe {name!r}: {nearest(name, recipe_names())}")
    if scale != "mini":
        raise UsageError(f"only the scale mini can be trained from nothing, not {scale!r}.")
    if workers < 1:
        raise UsageError("training needs at least one worker.")
    if device != "cpu" and not device.startswith("cuda"):
        raise UsageError(f"there is no device {device!r} to train on; there are cpu and cuda.")
    if device.startswith("cuda"):
        import torch

        if not torch.cuda.is_available():
            raise UsageError("there is no CUDA device here; train on the CPU with --device cpu.")
        if workers > 1:
            raise UsageError("several workers are for the CPU; a CUDA device is trained on by one.")


@contextmanager
def _weights_at(folder: Path) -> Iterator[None]:
    """Let ``resources`` find weights in ``folder`` (named like its scale), in this process and in
    workers it starts."""
    before = os.environ.get(paths.WEIGHTS_VARIABLE)
    os.environ[paths.WEIGHTS_VARIABLE] = str(folder.resolve().parent)
    try:
        yield
    finally:
        if before is None:
            del os.environ[paths.WEIGHTS_VARIABLE]
        else:
            os.environ[paths.WEIGHTS_VARIABLE] = before
