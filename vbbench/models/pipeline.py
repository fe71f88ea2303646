"""Any pipeline of diffusers as a model: the recipe names its class and its weights, and maps an
item to the arguments of its call."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from vbbench.core.names import nearest
from vbbench.errors import InputError, PrerequisiteError, RecipeError, WeightsError, reason_of
from vbbench.networks.precision import dtype_of
from vbbench.networks.weights.pretrained import Source, check_safe, fetch, local_folder, sources
from vbbench.types import PromptItem, SamplingParams, Video

# From a prompt item to the arguments of a pipeline's call, as a recipe maps them.
#
# A text that is one placeholder becomes its value, of its own type; placeholders inside of a longer
# text become words. Everything else
# is a constant. Lists and tables are gone through.

Value = Callable[[PromptItem, SamplingParams], Any]
_HOLE = re.compile(r"\{(\w+)\}")


def _image(item: PromptItem, params: SamplingParams) -> Any:
    """The image prompt as a PIL picture, square and on white."""
    from PIL import Image

    from vbbench.media.video import load_image_prompt

    return Image.fromarray(load_image_prompt(item.image, params.size)[0])


def _generator(item: PromptItem, params: SamplingParams) -> Any:
    """On the CPU, so that every device draws the same noise."""
    import torch

    return torch.Generator("cpu").manual_seed(item.seed)


WORDS: Mapping[str, Value] = {
    "text": lambda item, params: item.text,
    "subject_word": lambda item, params: item.subject_word,
    "class": lambda item, params: item.subject.class_name,
    "num_frames": lambda item, params: params.num_frames,
    "size": lambda item, params: params.size,
    "fps": lambda item, params: params.fps,
    "steps": lambda item, params: params.num_inference_steps,
    "guidance": lambda item, params: params.guidance_scale,
}
OBJECTS: Mapping[str, Value] = {
    "image": _image,
    "generator": _generator,
}  # cannot stand inside of a longer text
PLACEHOLDERS: Mapping[str, Value] = {**WORDS, **OBJECTS}


def check_arguments(pipeline: Any, arguments: Any, where: str) -> None:
    """Does nothing if a pipeline's call can be made with such arguments.

    Args:
        pipeline: the class.
        arguments: as the recipe has them; ``where`` is their table, for the message.
    Raises:
        RecipeError: an argument or placeholder that is not known, one that is missing, or a
            pipeline that takes no generator.
    """
    parameters = dict(list(inspect.signature(pipeline.__call__).parameters.items())[1:])
    named = {name for name, each in parameters.items() if each.kind is not each.VAR_KEYWORD}
    if "generator" not in named:
        raise RecipeError(
            f"{pipeline.__name__} takes no generator, so that its noise cannot come from an item's seed; write a class around it."
        )
    for name in arguments:
        if name not in named and len(named) == len(parameters):
            raise RecipeError(
                f"{where}: {pipeline.__name__} takes no argument {name!r}: {nearest(name, named)}"
            )
    required = {name for name in named if parameters[name].default is inspect.Parameter.empty}
    if missing := sorted(required - set(arguments)):
        raise RecipeError(f"{where}: {pipeline.__name__} needs the argument {missing[0]!r}.")
    for text in _texts(arguments):
        for name in _HOLE.findall(text):
            if name not in PLACEHOLDERS:
                raise RecipeError(
                    f"{where} has the unknown placeholder {{{name}}}: {nearest(name, PLACEHOLDERS)}"
                )
            if name in OBJECTS and text != f"{{{name}}}":
                raise RecipeError(
                    f"{where}: {{{name}}} is no text and must stand alone, not in {text!r}."
                )


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping | list):
        for inner in value.values() if isinstance(value, Mapping) else value:
            yield from _texts(inner)


def filled(value: Any, item: PromptItem, params: SamplingParams) -> Any:
    """Arguments with what an item and the sampling parameters say in the place of placeholders.

    Raises:
        InputError: the image prompt cannot be read.
    """
    if isinstance(value, Mapping):
        return {key: filled(inner, item, params) for key, inner in value.items()}
    if isinstance(value, list):
        return [filled(inner, item, params) for inner in value]
    if not isinstance(value, str):
        return value
    alone = _HOLE.fullmatch(value)
    if alone:
        return PLACEHOLDERS[alone[1]](item, params)
    return _HOLE.sub(lambda hole: str(WORDS[hole[1]](item, params)), value)


# Whatever a pipeline gives back, made into frames: uint8 (T, H, W, 3), RGB.

FIELDS = ("frames", "images", "videos")
_SLACK = 0.01  # by which floats may leave 0..1: rounding, not another range


def frames_of(output: Any) -> np.ndarray:
    """The one video in a pipeline's output.

    Args:
        output: an object with ``frames``, ``images`` or ``videos``, or a tuple that begins with
            them: lists of PIL pictures, numpy arrays (channels last) or torch tensors (channels
            first), with or without a leading axis of one video; floats within 0..1 or uint8.
    Returns:
        uint8 (T, H, W, 3).
    Raises:
        InputError: none of these, several videos, numbers that are not finite or of another range
            (latents).
    """
    found = next((getattr(output, name) for name in FIELDS if hasattr(output, name)), None)
    if found is None and isinstance(output, tuple | list) and output:
        found = output[0]
    if found is None:
        raise InputError(
            f"the pipeline gave a {type(output).__name__}, in which there are no {', '.join(FIELDS[:-1])} or {FIELDS[-1]}."
        )
    if isinstance(found, list | tuple):
        return _of_list(list(found))
    return _of_array(found)


def _of_list(found: list[Any]) -> np.ndarray:
    if not found:
        raise InputError("the pipeline gave no frame.")
    if isinstance(found[0], list | tuple) or getattr(found[0], "ndim", 0) >= 4:
        if len(found) > 1:
            raise InputError(f"the pipeline gave {len(found)} videos for one item.")
        return (
            _of_list(list(found[0])) if isinstance(found[0], list | tuple) else _of_array(found[0])
        )
    frames = [_frame(frame) for frame in found]
    if len({frame.shape for frame in frames}) > 1:
        raise InputError("the pipeline gave frames that are not all of one size.")
    return np.stack(frames)


def _frame(frame: Any) -> np.ndarray:
    if isinstance(frame, Image.Image):
        return np.asarray(frame.convert("RGB"), dtype=np.uint8)
    return _of_array(frame[None] if getattr(frame, "ndim", 0) == 3 else frame)[0]


def _of_array(found: Any) -> np.ndarray:
    if not isinstance(found, np.ndarray | torch.Tensor) or found.ndim not in (4, 5):
        kind = (
            f"an array of {found.ndim} axes"
            if isinstance(found, np.ndarray | torch.Tensor)
            else f"a {type(found).__name__}"
        )
        raise InputError(f"the pipeline gave {kind} where frames are wanted.")
    if found.ndim == 5:
        if len(found) != 1:
            raise InputError(f"the pipeline gave {len(found)} videos for one item.")
        found = found[0]
    first = isinstance(found, torch.Tensor)
    pixels = (
        found.detach().float().cpu().numpy()
        if first and found.is_floating_point()
        else np.asarray(found)
    )
    # tensors have their channels before the picture, arrays behind it; the other order only where
    # that one cannot be
    axes = (1, 3, 0) if first else (3, 1, 0)
    axis = next((axis for axis in axes if pixels.shape[axis] == 3), None)
    if axis is None:
        raise InputError(
            f"the pipeline gave an array of shape {tuple(pixels.shape)}, in which no axis holds three colours."
        )
    return to_uint8(np.moveaxis(pixels, axis, -1))


def to_uint8(pixels: np.ndarray) -> np.ndarray:
    """Floats within 0..1, or uint8 as they are, to uint8.

    Raises:
        InputError: not finite, another range or another type.
    """
    if pixels.dtype == np.uint8:
        return np.ascontiguousarray(pixels)
    if not np.issubdtype(pixels.dtype, np.floating):
        raise InputError(f"the pipeline gave pixels of {pixels.dtype}; floats or uint8 are read.")
    if not np.isfinite(pixels).all():
        raise InputError("the pipeline gave numbers that are not finite.")
    if pixels.min() < -_SLACK or pixels.max() > 1 + _SLACK:
        raise InputError(
            f"the pipeline gave numbers from {pixels.min():.2f} to {pixels.max():.2f}, not pixels within 0..1 (latents?)."
        )
    return np.ascontiguousarray(np.clip(np.round(pixels * 255), 0, 255).astype(np.uint8))


def taken(
    frames_THWC: np.ndarray, num_frames: int, size: int, *, frames: str, resize: bool
) -> np.ndarray:
    """A video that is longer or larger than asked for, as the recipe wants it; others are left as
    they are.

    Args:
        frames: ``all``, ``first`` (the first ``num_frames``) or ``evenly`` (spread over the whole,
            first and last included).
        resize: the middle square, resized to ``size`` by Pillow's Lanczos filter.
    """
    from vbbench.media.video import resize_frames

    count, height, width, _ = frames_THWC.shape
    if frames == "first":
        frames_THWC = frames_THWC[:num_frames]
    elif frames == "evenly" and count > num_frames:
        frames_THWC = frames_THWC[np.linspace(0, count - 1, num_frames).round().astype(int)]
    if not resize or (height, width) == (size, size):
        return frames_THWC
    side = min(height, width)
    top, left = (height - side) // 2, (width - side) // 2
    return resize_frames(
        np.ascontiguousarray(frames_THWC[:, top : top + side, left : left + side]),
        size,
        resample="lanczos",
    )


PIPELINE = "pipeline"
OWN_SCHEDULER = "own"
OUTPUT_KEYS = {"frames": ("all", "first", "evenly"), "resize": (False, True)}


class DiffusersPipeline:
    """Calls a pipeline once an item, with noise from the item's seed alone.

    Args:
        settings: one scale's table of recipe.toml. ``pipeline`` names the class;
            ``pretrained.pipeline`` its weights and ``pretrained.<component>`` those of components
            that lie elsewhere (see `vbbench.networks.weights.pretrained`); ``arguments`` maps the
            call's arguments to constants and to placeholders such as ``{text}`` (see
            `vbbench.models.pipeline`); ``sampling.scheduler`` is ``own`` or a class of diffusers;
            ``dtype`` is a word of `vbbench.networks.precision`; ``output`` says what becomes of
            videos that are longer or larger than asked for.
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
        """One video an item, each from a call of its own; see
        ``vbbench.models.base.VideoModel``."""
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
        raise PrerequisiteError(
            f"the pipeline {name} needs packages that are not installed: {', '.join(cls._backends)}."
        )
    if not issubclass(cls, diffusers.DiffusionPipeline) or cls._load_connected_pipes:
        raise RecipeError(
            f"the pipeline {name} in {where} is put together of others at run time; name one that stands alone."
        )
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
            raise RecipeError(
                f"output in {where} has the unknown key {key!r}: {nearest(key, OUTPUT_KEYS)}"
            )
        if value not in OUTPUT_KEYS[key]:
            raise RecipeError(
                f"{key} of output in {where} must be one of {', '.join(map(repr, OUTPUT_KEYS[key]))}, not {value!r}."
            )
    return {"frames": given.get("frames", "all"), "resize": given.get("resize", False)}


def _load(cls: Any, settings: Mapping[str, Any], folder: Path, dtype: torch.dtype) -> Any:
    named = sources(settings)
    main = named.pop(PIPELINE, None)
    if main is None:
        raise RecipeError(
            f"[scales.{settings['scale']}.pretrained.{PIPELINE}] is missing: it says where the pipeline's weights are."
        )
    components = {
        part: _component(source, cls, settings, folder, dtype) for part, source in named.items()
    }
    place = (
        fetch(main, cls) if main.folder is None else local_folder(main, settings["scale"], folder)
    )
    check_safe(place)
    return _read(cls, place, main, dtype, **components)


def _component(
    source: Source, pipeline: Any, settings: Mapping[str, Any], folder: Path, dtype: torch.dtype
) -> Any:
    import diffusers
    import transformers

    where = f"[scales.{settings['scale']}.pretrained.{source.part}]"
    parts = [name for name in inspect.signature(pipeline.__init__).parameters if name != "self"]
    if source.part not in parts:
        raise RecipeError(
            f"{where}: {pipeline.__name__} has no component {source.part!r}: {nearest(source.part, parts)}"
        )
    if source.class_name is None:
        raise RecipeError(
            f"{where} must name the component's class, of diffusers or of transformers."
        )
    cls = getattr(diffusers, source.class_name, None) or getattr(
        transformers, source.class_name, None
    )
    if not hasattr(cls, "from_pretrained"):
        raise RecipeError(
            f"{where}: neither diffusers nor transformers has a component {source.class_name!r}."
        )
    place = (
        fetch(source, None)
        if source.folder is None
        else local_folder(source, settings["scale"], folder)
    )
    return _read(cls, place / source.subfolder, source, dtype).to(dtype)


def _read(cls: Any, place: Path, source: Source, dtype: torch.dtype, **options: Any) -> Any:
    """Safetensors only, nothing from the network, and no code that lies beside the weights."""
    if dtype is not torch.float32:  # which is what diffusers reads into by itself
        options["torch_dtype"] = dtype
    try:
        return cls.from_pretrained(
            str(place),
            use_safetensors=True,
            local_files_only=True,
            trust_remote_code=False,
            **options,
        )
    except (
        Exception
    ) as error:  # every class has errors of its own for files that are missing or do not fit
        reason = reason_of(error)
        raise WeightsError(
            f"the weights of the {source.part} in {place} cannot be loaded as {cls.__name__} (safetensors only): {reason}."
        ) from error
