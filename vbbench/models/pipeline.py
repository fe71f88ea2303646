"""Any pipeline of diffusers as a model: the recipe names its class and its weights, and maps an item to the arguments of its call."""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from vbbench.errors import InputError, PrerequisiteError, RecipeError, WeightsError
from vbbench.models.pipeline_arguments import check_arguments, filled
from vbbench.models.pipeline_output import frames_of, taken
from vbbench.models.precision import dtype_of
from vbbench.models.pretrained import Source, check_safe, fetch, local_folder, sources
from vbbench.recipes import nearest
from vbbench.types import PromptItem, SamplingParams, Video

PIPELINE = "pipeline"
OWN_SCHEDULER = "own"
OUTPUT_KEYS = {"frames": ("all", "first", "evenly"), "resize": (False, True)}


class DiffusersPipeline:
    """Calls a pipeline once an item, with noise from the item's seed alone.

    Args:
        settings: one scale's table of recipe.toml. ``pipeline`` names the class; ``pretrained.pipeline`` its weights and
            ``pretrained.<component>`` those of components that lie elsewhere (see `vbbench.models.pretrained`); ``arguments`` maps
            the call's arguments to constants and to placeholders such as ``{text}`` (see `vbbench.models.pipeline_arguments`);
            ``sampling.scheduler`` is ``own`` or a class of diffusers; ``dtype`` is a word of `vbbench.models.precision`; ``output`` says
            what becomes of videos that are longer or larger than asked for.
    Raises:
        RecipeError: a table or a name in it that cannot be understood.
        WeightsError: weights that are not there, or not safe to load.
    """

    def __init__(self, settings: Mapping[str, Any], *, device: str, folder: Path) -> None:
        self.settings = settings
        self._where = f"[scales.{settings['scale']}]"
        self._output = _output_settings(settings, self._where)
        cls = _pipeline_class(settings.get("pipeline"), self._where)
        self._arguments = {"generator": "{generator}", **settings.get("arguments", {})}
        check_arguments(cls, self._arguments, f"[scales.{settings['scale']}.arguments]")
        self._scheduler(settings.get("sampling", {}).get("scheduler"))
        self.pipeline = _load(cls, settings, folder, dtype_of(settings))
        self._set_scheduler(settings["sampling"]["scheduler"])
        self.pipeline.to(device)
        self.pipeline.set_progress_bar_config(disable=True)

    def generate(self, items: Sequence[PromptItem], params: SamplingParams) -> list[Video]:
        """One video an item, each from a call of its own; see ``vbbench.models.base.VideoModel``."""
        return [self._one(item, params) for item in items]

    @torch.inference_mode()
    def _one(self, item: PromptItem, params: SamplingParams) -> Video:
        arguments = filled(self._arguments, item, params)
        devices = [torch.cuda.current_device()] if self.pipeline.device.type == "cuda" else []
        with torch.random.fork_rng(devices):
            torch.manual_seed(item.seed % 2**63)  # for what a pipeline draws without its generator
            frames = frames_of(self.pipeline(**arguments))
        frames = taken(frames, params.num_frames, params.size, **self._output)
        count, height, width, _ = frames.shape
        if (count, height, width) != (params.num_frames, params.size, params.size):
            raise InputError(
                f"the pipeline gave {count} frames of {width} x {height} pixels, {params.num_frames} of {params.size} x {params.size} are "
                f"asked for: map num_frames, height and width in [scales.{self.settings['scale']}.arguments], or say in "
                f"[scales.{self.settings['scale']}.output] what to make of them."
            )
        return Video(frames, params.fps)

    def _scheduler(self, name: Any) -> Any:
        """The class of a scheduler; None for the pipeline's own."""
        import diffusers

        if name == OWN_SCHEDULER:
            return None
        known = [each for each in dir(diffusers) if each.endswith("Scheduler")]
        if name not in known:
            found = "" if name is None else f", not {name!r}: {nearest(str(name), known)}"
            raise RecipeError(
                f"[scales.{self.settings['scale']}.sampling] must say scheduler = {OWN_SCHEDULER!r} (the pipeline's) or name one of "
                f"diffusers{found or '.'}"
            )
        return getattr(diffusers, name)

    def _set_scheduler(self, name: str) -> None:
        cls = self._scheduler(name)
        if cls is not None:
            self.pipeline.scheduler = cls.from_config(self.pipeline.scheduler.config)


def _pipeline_class(name: Any, where: str) -> Any:
    import diffusers

    known = [each for each in dir(diffusers) if each.endswith("Pipeline")]
    cls = getattr(diffusers, name, None) if name in known else None
    if not inspect.isclass(cls):
        raise RecipeError(
            f"pipeline in {where} must name a pipeline of diffusers {diffusers.__version__}, not {name!r}: {_near(name, known)}"
        )
    if hasattr(cls, "_backends"):  # diffusers' stand-in for a class whose packages are missing
        raise PrerequisiteError(f"the pipeline {name} needs packages that are not installed: {', '.join(cls._backends)}.")
    if not issubclass(cls, diffusers.DiffusionPipeline) or cls._load_connected_pipes:
        raise RecipeError(f"the pipeline {name} in {where} is put together of others at run time; name one that stands alone.")
    return cls


def _near(name: Any, known: Sequence[str]) -> str:
    """Hundreds of names would be no help."""
    hint = nearest(str(name), known)
    return hint if hint.startswith("did you") else "nothing there is called like that."


def _output_settings(settings: Mapping[str, Any], where: str) -> dict[str, Any]:
    given = settings.get("output", {})
    if not isinstance(given, Mapping):
        raise RecipeError(f"output in {where} must be a table, not {given!r}.")
    for key, value in given.items():
        if key not in OUTPUT_KEYS:
            raise RecipeError(f"output in {where} has the unknown key {key!r}: {nearest(key, OUTPUT_KEYS)}")
        if value not in OUTPUT_KEYS[key]:
            raise RecipeError(f"{key} of output in {where} must be one of {', '.join(map(repr, OUTPUT_KEYS[key]))}, not {value!r}.")
    return {"frames": given.get("frames", "all"), "resize": given.get("resize", False)}


def _load(cls: Any, settings: Mapping[str, Any], folder: Path, dtype: torch.dtype) -> Any:
    named = sources(settings)
    main = named.pop(PIPELINE, None)
    if main is None:
        raise RecipeError(f"[scales.{settings['scale']}.pretrained.{PIPELINE}] is missing: it says where the pipeline's weights are.")
    components = {part: _component(source, cls, settings, folder, dtype) for part, source in named.items()}
    place = fetch(main, cls) if main.folder is None else local_folder(main, settings["scale"], folder)
    check_safe(place)
    return _read(cls, place, main, dtype, **components)


def _component(source: Source, pipeline: Any, settings: Mapping[str, Any], folder: Path, dtype: torch.dtype) -> Any:
    import diffusers
    import transformers

    where = f"[scales.{settings['scale']}.pretrained.{source.part}]"
    parts = [name for name in inspect.signature(pipeline.__init__).parameters if name != "self"]
    if source.part not in parts:
        raise RecipeError(f"{where}: {pipeline.__name__} has no component {source.part!r}: {nearest(source.part, parts)}")
    if source.class_name is None:
        raise RecipeError(f"{where} must name the component's class, of diffusers or of transformers.")
    cls = getattr(diffusers, source.class_name, None) or getattr(transformers, source.class_name, None)
    if not hasattr(cls, "from_pretrained"):
        raise RecipeError(f"{where}: neither diffusers nor transformers has a component {source.class_name!r}.")
    place = fetch(source, None) if source.folder is None else local_folder(source, settings["scale"], folder)
    return _read(cls, place / source.subfolder, source, dtype).to(dtype)


def _read(cls: Any, place: Path, source: Source, dtype: torch.dtype, **options: Any) -> Any:
    """Safetensors only, nothing from the network, and no code that lies beside the weights."""
    if dtype is not torch.float32:  # which is what diffusers reads into by itself
        options["torch_dtype"] = dtype
    try:
        return cls.from_pretrained(str(place), use_safetensors=True, local_files_only=True, trust_remote_code=False, **options)
    except Exception as error:  # every class has errors of its own for files that are missing or do not fit
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0].rstrip(".")
        raise WeightsError(
            f"the weights of the {source.part} in {place} cannot be loaded as {cls.__name__} (safetensors only): {reason}."
        ) from error
