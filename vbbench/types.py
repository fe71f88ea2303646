"""The records that travel between the parts of the program. Standard library only, so that
importing them is free."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    import torch


@dataclass(frozen=True)
class Subject:
    """One individual: the thing to keep.

    Attributes:
        id: unique inside its suite, e.g. ``dog-0003``.
        class_name: e.g. ``dog``; also the word by which text prompts call it.
        image: the image prompt of the subject (cut out on white, square).
        clips: videos of the subject a model may be *fitted* on, of one frame where there are only
            photographs; never the videos it is scored against.
        captions: one text per clip.
        references: further pictures of the subject that metrics hold a video against, beside
            ``image``.
        masks: where the subject is in ``image`` and in each of ``references``, in that order (white
            on black); empty where unknown.
        world: how the miniature world draws it (``{"split": ..., "class": ..., "index": ...}``),
            None for real subjects.
    """

    id: str
    class_name: str
    image: Path
    clips: tuple[Path, ...] = ()
    captions: tuple[str, ...] = ()
    references: tuple[Path, ...] = ()
    masks: tuple[Path, ...] = ()
    world: Mapping[str, Any] | None = None


@dataclass(frozen=True)
class PromptItem:
    """An image prompt, a text prompt, the subject word in it, and a seed.

    Attributes:
        id: unique inside its suite; never parsed for meaning.
        subject: whom the image prompt shows.
        text: the text prompt; contains ``subject_word``.
        subject_word: the word of the text that the image prompt's embeddings replace.
        seed: the item's own seed; the video's noise comes from (suite seed, item id) through it.
        image_seed: seed of the image prompt's noise, from (suite seed, image digest).
        scene, motion: what the text asks for, where the suite knows it.
        reference_video: a real video of the subject doing what the text says, where there is one.
        other_video: the same of another individual of the class.
    """

    id: str
    subject: Subject
    text: str
    subject_word: str
    seed: int
    image_seed: int
    scene: str | None = None
    motion: str | None = None
    reference_video: Path | None = None
    other_video: Path | None = None

    @property
    def image(self) -> Path:
        """The image prompt's file."""
        return self.subject.image


@dataclass(frozen=True)
class PromptSuite:
    """A named, versioned, hashed list of prompt items with the settings it is run at.

    ``digest`` is the SHA-256 over suite.toml, items.jsonl and every file they name.
    """

    name: str
    version: str
    digest: str
    scale: str
    num_frames: int
    size: int
    fps: int
    seed: int
    metrics: tuple[str, ...]
    items: tuple[PromptItem, ...]
    root: Path
    description: str = ""

    @property
    def subjects(self) -> tuple[Subject, ...]:
        """The suite's subjects, each once, in the order of the items."""
        return tuple({item.subject.id: item.subject for item in self.items}.values())


@dataclass(frozen=True)
class SamplingParams:
    """Everything besides recipe, weights and item that decides a video."""

    num_frames: int
    size: int
    fps: int
    num_inference_steps: int
    guidance_scale: float
    scheduler: str
    batch_size: int = 1


@dataclass(frozen=True)
class Video:
    """Decoded video: uint8 frames (T, H, W, 3), RGB, 0..255, and frames a second, which need not be
    whole (29.97)."""

    frames: np.ndarray
    fps: float


@dataclass(frozen=True)
class Adapter:
    """What fitting a model to one subject leaves behind: named tensors and plain facts (steps,
    final loss ...)."""

    subject_id: str
    tensors: Mapping[str, torch.Tensor]
    facts: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Recipe:
    """The file that describes a model (``recipe.toml``), read and checked.

    Attributes:
        name: how the model is called on the command line.
        folder: where recipe.toml lies.
        entry: ``module:Class`` of an importable module, or ``file.py:Class`` inside the folder; the
            class that runs ``command``, if any.
        groups: names of groups it belongs to (``baselines``, ``references`` ...).
        fitted: whether it must first be fitted to a subject.
        title, description, citation: words for people.
        scales: settings per scale; ``settings["weights"]`` maps a part's name to the weights' name,
            ``settings["own"]`` lists the parts that the method's own training made (the others it
            shares).
        digest: SHA-256 over every file of the folder.
        card: the method card: what it ``sees``, ``tunes``, ``stores`` and ``costs``, a sentence
            each.
        training_seed: which of several trainings of its own weights; None where it has none.
        command: the words of a program that makes the videos in the place of a class; empty where a
            class does.
        needs: fields of a prompt item that are optional in a suite, and without which it can make
            nothing.
        role: what a reference row shows: ``ceiling``, ``floor``, ``copy``, ``shuffled`` or
            ``flicker``; empty for competitors. Part of no digest.
    """

    name: str
    folder: Path
    entry: str
    groups: tuple[str, ...]
    fitted: bool
    title: str
    description: str
    citation: str
    scales: Mapping[str, Mapping[str, Any]]
    digest: str
    card: Mapping[str, str] = field(default_factory=dict)
    training_seed: int | None = None
    command: tuple[str, ...] = ()
    needs: tuple[str, ...] = ()
    role: str = ""


@dataclass(frozen=True)
class Job:
    """One unit of work of a plan. ``hash`` covers recipe, source, weights, item and parameters."""

    kind: str  # "fit" or "sample"
    model: str
    subject_id: str
    item_id: str | None
    hash: str
    needs: str | None = None  # hash of the fit job a sample job waits for


@dataclass(frozen=True)
class MetricSpec:
    """Everything that makes a metric's number comparable; two numbers may stand side by side only
    under one ``id``.

    None means that a field does not apply (no encoder, no text ...), or, for ``num_frames`` and
    ``fps``, that videos may differ.

    Attributes:
        name, version: of the metric; the version goes up with every change of its formula.
        formula: from what is read to one number, in words.
        encoder, patch_size, encoder_digest, precision: the network behind the numbers: library and
            architecture, side of a patch in pixels, SHA-256 of its weights, type of its weights and
            arithmetic.
        resize, interpolation, crop, normalisation: what happens to a frame before it is read.
        decoder: who turns the file into pixels.
        storage: ``lossless`` or ``lossy``: whether a codec threw detail away before scoring.
        num_frames, fps: of every video.
        frames, pairs: which frames are read; which of their pairs.
        averaging: how values of frames become a model's number.
        references: which pictures of the subject a frame is held against.
        reference_mask, frame_mask: what is cut out of them first.
        prompt: which text is read.
        factor, clamp: what the number is multiplied by, and where it is cut off.
        failures: what becomes of videos without a number.
        unit, higher_is_better, bounds: how to read the number.
        reads_text: whether the text prompt is part of it.
        id: first hex digits of the SHA-256 over all of the above.
        kind, title, direction: what the number is about, its name for people, and whether
            ``higher``, ``lower`` or ``none`` is better (see `vbbench.metrics.meaning`). They stand
            beside the spec: they are no part of its id, and two specs are equal without them.
    """

    name: str
    version: str
    formula: str
    encoder: str | None
    patch_size: int | None
    encoder_digest: str | None
    precision: str | None
    resize: str | None
    interpolation: str | None
    crop: str | None
    normalisation: str | None
    decoder: str
    storage: str
    num_frames: int | None
    fps: float | None
    frames: str
    pairs: str | None
    averaging: str
    references: str | None
    reference_mask: str | None
    frame_mask: str | None
    prompt: str | None
    factor: float
    clamp: str
    failures: str
    unit: str
    higher_is_better: bool
    bounds: tuple[float, float]
    reads_text: bool
    id: str
    kind: str = field(default="quality", compare=False)
    title: str = field(default="", compare=False)
    direction: str = field(default="higher", compare=False)

    @property
    def sign(self) -> int:
        """+1 where higher is better, -1 where lower is, 0 where the metric has no direction."""
        if self.direction == "none":
            return 0
        return 1 if self.higher_is_better else -1


@dataclass(frozen=True)
class Score:
    """A metric's value for one video, or the reason why there is none."""

    model: str
    item_id: str
    metric: str
    spec_id: str
    value: float | None
    reason: str | None = None
    per_frame: tuple[float, ...] | None = None
