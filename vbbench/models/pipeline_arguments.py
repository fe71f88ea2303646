"""From a prompt item to the arguments of a pipeline's call, as a recipe maps them.

A text that is one placeholder becomes its value, of its own type; placeholders inside of a longer text become words. Everything else
is a constant. Lists and tables are gone through.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from vbbench.errors import RecipeError
from vbbench.recipes import nearest
from vbbench.types import PromptItem, SamplingParams

Value = Callable[[PromptItem, SamplingParams], Any]
_HOLE = re.compile(r"\{(\w+)\}")


def _image(item: PromptItem, params: SamplingParams) -> Any:
    """The image prompt as a PIL picture, square and on white."""
    from PIL import Image

    from vbbench.video import load_image_prompt

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
OBJECTS: Mapping[str, Value] = {"image": _image, "generator": _generator}  # cannot stand inside of a longer text
PLACEHOLDERS: Mapping[str, Value] = {**WORDS, **OBJECTS}


def check_arguments(pipeline: Any, arguments: Any, where: str) -> None:
    """Does nothing if a pipeline's call can be made with such arguments.

    Args:
        pipeline: the class.
        arguments: as the recipe has them; ``where`` is their table, for the message.
    Raises:
        RecipeError: an argument or placeholder that is not known, one that is missing, or a pipeline that takes no generator.
    """
    parameters = dict(list(inspect.signature(pipeline.__call__).parameters.items())[1:])
    named = {name for name, each in parameters.items() if each.kind is not each.VAR_KEYWORD}
    if "generator" not in named:
        raise RecipeError(
            f"{pipeline.__name__} takes no generator, so that its noise cannot come from an item's seed; write a class around it."
        )
    for name in arguments:
        if name not in named and len(named) == len(parameters):
            raise RecipeError(f"{where}: {pipeline.__name__} takes no argument {name!r}: {nearest(name, named)}")
    required = {name for name in named if parameters[name].default is inspect.Parameter.empty}
    if missing := sorted(required - set(arguments)):
        raise RecipeError(f"{where}: {pipeline.__name__} needs the argument {missing[0]!r}.")
    for text in _texts(arguments):
        for name in _HOLE.findall(text):
            if name not in PLACEHOLDERS:
                raise RecipeError(f"{where} has the unknown placeholder {{{name}}}: {nearest(name, PLACEHOLDERS)}")
            if name in OBJECTS and text != f"{{{name}}}":
                raise RecipeError(f"{where}: {{{name}}} is no text and must stand alone, not in {text!r}.")


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
