"""A metric spec in words: as rows for pages, and as prose for a paper's appendix. Reads the spec
alone."""

from __future__ import annotations

import math
from collections.abc import Iterable
from textwrap import fill

from vbbench.metrics.meaning import title_of as title
from vbbench.metrics.spec import is_untrained
from vbbench.types import MetricSpec

_ROWS = {
    "formula": "Formula",
    "encoder": "Encoder",
    "patch_size": "Patch",
    "encoder_digest": "Weights",
    "precision": "Precision",
    "resize": "Resize",
    "interpolation": "Interpolation",
    "crop": "Crop",
    "normalisation": "Normalisation",
    "decoder": "Decoder",
    "storage": "Storage",
    "num_frames": "Frames a video",
    "fps": "Rate",
    "frames": "Frames read",
    "pairs": "Pairs",
    "averaging": "Averaging",
    "references": "References",
    "reference_mask": "Mask of references",
    "frame_mask": "Mask of frames",
    "prompt": "Text read",
    "factor": "Factor",
    "clamp": "Clamping",
    "failures": "Failures",
}
WIDTH = 100


def untrained_note(specs: Iterable[MetricSpec]) -> str:
    """The warning that belongs to numbers of encoders with random weights; empty where there are
    none."""
    names = [
        spec.title or title(spec.name)
        for spec in specs
        if is_untrained({"encoder_digest": spec.encoder_digest})
    ]
    return (
        f"Measured by untrained encoders with random weights: {', '.join(names)}. These numbers mean nothing."
        if names
        else ""
    )


def rows(spec: MetricSpec) -> list[tuple[str, str]]:
    """A metric spec as (what, words) pairs in reading order; what does not apply is left out."""
    told = [
        (words, _value(spec, name))
        for name, words in _ROWS.items()
        if getattr(spec, name) is not None or name in ("num_frames", "fps")
    ]
    unit = f"{spec.unit}, {_bounds(spec)}; {better(spec)}"
    return [
        ("Text prompt", "read" if spec.reads_text else "not read"),
        *told,
        ("Unit", unit),
        ("Version", spec.version),
    ]


def better(spec: MetricSpec) -> str:
    """``higher is better``, ``lower is better``, or that neither is."""
    if spec.sign == 0:
        return "neither more nor less is better"
    return "higher is better" if spec.sign > 0 else "lower is better"


def _value(spec: MetricSpec, name: str) -> str:
    value = getattr(spec, name)
    if name == "num_frames":
        return "as many as a video has" if value is None else f"{value}"
    if name == "fps":
        return "as each video has it" if value is None else f"{value:g} frames a second"
    if name == "patch_size":
        return f"{value} pixels"
    return f"{value:g}" if isinstance(value, float) else str(value)


def _bounds(spec: MetricSpec) -> str:
    low, high = (f"{bound:g}" if math.isfinite(bound) else "no bound" for bound in spec.bounds)
    return f"from {low} to {high}"


def explain(spec: MetricSpec) -> str:
    """The protocol as paragraphs of prose, every field of the spec in them, lines of at most
    `WIDTH` characters."""
    paragraphs = [
        f"{spec.title} (vbbench metric {spec.name!r}, version {spec.version}, spec {spec.id}).",
        _what(spec),
        _pixels(spec),
        _encoder(spec),
        _pooling(spec),
    ]
    return "\n\n".join(
        fill(text, WIDTH, break_long_words=False, break_on_hyphens=False)
        for text in paragraphs
        if text
    )


def _what(spec: MetricSpec) -> str:
    told = [f"Each value is {spec.formula}."]
    if spec.references:
        told.append(f"References: {spec.references}.")
    for what, mask in (("references", spec.reference_mask), ("frames", spec.frame_mask)):
        if mask:
            told.append(f"Mask of the {what}: {mask}.")
    told.append(f"Text: {spec.prompt}." if spec.prompt else "The text prompt is not read.")
    return " ".join(told)


def _pixels(spec: MetricSpec) -> str:
    count = f"{spec.num_frames} frames" if spec.num_frames is not None else "any number of frames"
    rate = f"{spec.fps:g} frames a second" if spec.fps is not None else "any rate"
    steps = [
        step for step in (spec.resize, spec.interpolation, spec.crop, spec.normalisation) if step
    ]
    stored = (
        "stored without loss"
        if spec.storage == "lossless"
        else "stored by a codec that loses detail"
    )
    told = f"Videos have {count} at {rate}, {stored}; they are decoded by {spec.decoder}. Frames read: {spec.frames}."
    return f"{told} Preprocessing: {', '.join(steps)}." if steps else told


def _encoder(spec: MetricSpec) -> str:
    if spec.encoder is None:
        return "There is no encoder."
    patch = f" with patches of {spec.patch_size} pixels" if spec.patch_size else ""
    return f"Encoder: {spec.encoder}{patch}, in {spec.precision}; weights (SHA-256): {spec.encoder_digest}."


def _pooling(spec: MetricSpec) -> str:
    pairs = f"Pairs: {spec.pairs}. " if spec.pairs else ""
    factor = (
        "no factor is applied"
        if spec.factor == 1
        else f"the number is multiplied by {spec.factor:g}"
    )
    clamp = "nothing is clamped" if spec.clamp == "none" else f"clamped: {spec.clamp}"
    return (
        f"{pairs}Averaging: {spec.averaging}; {factor}, {clamp}. Failures: {spec.failures}. "
        f"Unit: {spec.unit}, {_bounds(spec)}; {better(spec)}."
    )
