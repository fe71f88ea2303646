"""A figure as an SVG element that stands in a page: text stays text, colours are the page's, and it is a third as long as the file."""

from __future__ import annotations

import io
import re
from typing import TYPE_CHECKING
from xml.etree import ElementTree

from vbbench.report.figure_style import FITTED, INK, READY, REFERENCE, RULE, SOFT, UNSAID, styled

if TYPE_CHECKING:
    from matplotlib.figure import Figure

COLOURS = {
    INK: "var(--fig-ink, currentColor)",
    SOFT: "var(--fig-soft, currentColor)",
    RULE: "var(--fig-rule, rgb(128 128 128 / 0.28))",
    READY: "var(--fig-1, #2e8fd0)",
    FITTED: "var(--fig-2, #d9642a)",
    REFERENCE: "var(--fig-ref, #85898f)",
}
"""Custom properties that a page may set, light or dark; the fallbacks can be seen on both."""
PIXELS = 4 / 3
"""Of a page, in a point."""
_REFERENCE_TO = re.compile(r"^#(\w+)$|url\(#(\w+)\)")
_LINK = "{http://www.w3.org/1999/xlink}href"


def inline(figure: Figure, stem: str, title: str, alt: str) -> str:
    """The figure as an SVG element.

    Args:
        stem: what begins every id in it, so that figures of one page have no id in common.
        title, alt: what it is, and what it shows.
    """
    file = io.StringIO()
    with styled(**{"svg.fonttype": "none"}):
        figure.savefig(file, format="svg", metadata=dict(UNSAID["svg"]), transparent=True)
    svg = ElementTree.fromstring(file.getvalue())
    _strip(svg)
    _rename(svg, stem)
    width, height = (float(svg.attrib[side].removesuffix("pt")) for side in ("width", "height"))
    labels = {"title": (f"{stem}-title", title), "desc": (f"{stem}-words", alt)}
    svg.attrib = {
        "xmlns": "http://www.w3.org/2000/svg",
        "class": "figure",
        "viewBox": svg.attrib["viewBox"],
        "width": f"{width * PIXELS:.0f}",
        "height": f"{height * PIXELS:.0f}",
        "role": "img",
        "aria-labelledby": " ".join(name for name, _ in labels.values()),
    }
    for place, (tag, (name, text)) in enumerate(labels.items()):
        label = ElementTree.Element(tag, {"id": name})
        label.text = text
        svg.insert(place, label)
    return ElementTree.tostring(svg, encoding="unicode")


def _strip(element: ElementTree.Element) -> None:
    """Without what a page does not need: metadata, a style sheet that would be the whole page's, groups of nothing, space."""
    element.tag = element.tag.rpartition("}")[2]
    kept: list[ElementTree.Element] = []
    for child in element:
        _strip(child)
        if child.tag in ("metadata", "style") or (child.tag in ("g", "defs") and not len(child)):
            continue
        kept += list(child) if child.tag == "g" and not set(child.attrib) - {"id"} else [child]
    element[:] = kept
    element.tail = None
    if element.tag != "text":
        element.text = None
    if _LINK in element.attrib:
        element.attrib["href"] = element.attrib.pop(_LINK)
    element.attrib.update({name: _attribute(name, value) for name, value in element.attrib.items()})
    if element.attrib.get("transform", "").startswith("rotate(0 "):
        del element.attrib["transform"]


def _attribute(name: str, value: str) -> str:
    if name == "style":
        value = re.sub(r"font-family:[^;]*", "font-family: inherit", value)
        return (
            re.sub(r"#[0-9a-f]{6}\b", lambda found: COLOURS.get(found.group(), found.group()), value).replace(": ", ":").replace("; ", ";")
        )
    if name in ("d", "x", "y", "transform"):
        value = re.sub(r"-?\d+\.?\d*(?:e-?\d+)?", lambda found: f"{float(found.group()):.2f}".rstrip("0").rstrip("."), value)
        return " ".join(value.replace("-0 ", "0 ").split())
    return value


def _rename(svg: ElementTree.Element, stem: str) -> None:
    """Ids that are referred to begin with the stem; the others are left out."""
    used = {name for element in svg.iter() for value in element.attrib.values() for name in _referred(value)}
    for element in svg.iter():
        name = element.attrib.pop("id", None)
        for key, value in element.attrib.items():
            for other in _referred(value):
                element.attrib[key] = value.replace(f"#{other}", f"#{stem}-{other}")
        if name in used:
            element.attrib["id"] = f"{stem}-{name}"


def _referred(value: str) -> list[str]:
    """Ids of this drawing that an attribute names."""
    return [name for pair in _REFERENCE_TO.findall(value) for name in pair if name]
