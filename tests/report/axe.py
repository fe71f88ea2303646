"""Runs axe, the accessibility checker, in a page. Its script comes with the package
axe-core-python, of the test extra."""

from __future__ import annotations

from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

TAGS = ("wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "best-practice")
SERIOUS = ("serious", "critical")
_RUN = """
const done = arguments[arguments.length - 1];
axe.run(document, {runOnly: {type: "tag", values: arguments[0]}, resultTypes: ["violations"]})
  .then(found => done(found.violations), error => done(String(error)));
"""
_TARGETS = """
const targets = [...document.querySelectorAll("a[href], button, input, select, summary, [role=button]")].map(each => {
  const box = each.getBoundingClientRect(), style = getComputedStyle(each);
  return {each, box, x: box.left + box.width / 2, y: box.top + box.height / 2, small: box.width < 24 || box.height < 24,
    inText: style.display === "inline" && each.tagName === "A"};
}).filter(({each, box}) => box.width > 1 && box.height > 1 && box.right > 0 && !each.closest(".hidden") &&
  each.checkVisibility({visibilityProperty: true, opacityProperty: true}));
const outside = (low, high, at) => Math.max(low - at, at - high, 0);
const near = (one, other) =>
  Math.hypot(outside(other.box.left, other.box.right, one.x), outside(other.box.top, other.box.bottom, one.y)) < 12 ||
  other.small && Math.hypot(one.x - other.x, one.y - other.y) < 24;
return targets.filter(one => one.small && !one.inText && targets.some(other => other !== one && near(one, other)))
  .map(({each, box}) => `${each.outerHTML.slice(0, 90)} ${Math.round(box.width)} x ${Math.round(box.height)}`).slice(0, 20);
"""
_CONTRAST = """
const context = Object.assign(document.createElement("canvas"), {width: 1, height: 1}).getContext("2d", {willReadFrequently: true});
const rgba = colour => {
  context.clearRect(0, 0, 1, 1);
  context.fillStyle = colour;
  context.fillRect(0, 0, 1, 1);
  const [r, g, b, a] = context.getImageData(0, 0, 1, 1).data;
  return [r, g, b, a / 255];
};
const over = (front, back) => front.slice(0, 3).map((part, place) => part * front[3] + back[place] * (1 - front[3]));
const light = colour => colour.map(part => part / 255).map(part => part <= 0.03928 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4)
  .reduce((sum, part, place) => sum + part * [0.2126, 0.7152, 0.0722][place], 0);
const found = new Map();
const texts = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
while (texts.nextNode()) {
  const each = texts.currentNode.parentElement, style = getComputedStyle(each), box = each.getBoundingClientRect();
  if (!texts.currentNode.data.trim() || box.width < 2 || box.right < 0 || each.closest(".hidden, svg, option, [disabled]")) continue;
  if (!each.checkVisibility({visibilityProperty: true, opacityProperty: true})) continue;
  const chain = [];
  for (let place = each; place; place = place.parentElement) chain.unshift(place);
  let back = rgba("Canvas").slice(0, 3), opacity = 1;
  for (const place of chain) {
    back = over(rgba(getComputedStyle(place).backgroundColor), back);
    opacity *= getComputedStyle(place).opacity;
  }
  const [r, g, b, a] = rgba(style.color), front = over([r, g, b, a * opacity], back);
  const [high, low] = [light(front), light(back)].sort((x, y) => y - x), ratio = (high + 0.05) / (low + 0.05);
  const size = parseFloat(style.fontSize), large = size >= 24 || size >= 18.66 && style.fontWeight >= 700;
  if (ratio < (large ? 3 : 4.5) - 0.02) found.set(`${ratio.toFixed(2)} ${style.color} ${each.outerHTML.slice(0, 120)}`, 1);
}
return [...found.keys()].slice(0, 20);
"""


@cache
def axe_script() -> str:
    """axe's own script; the test is skipped where the package is missing."""
    found = find_spec("axe_core_python")
    if found is None or not found.submodule_search_locations:
        pytest.skip("the package axe-core-python is not installed")
    return (Path(found.submodule_search_locations[0]) / "axe.min.js").read_text("utf-8")


def violations(browser: Any) -> list[str]:
    """What axe finds wrong in the page that is open, a line an element: ``serious color-contrast:
    .x <b ...> reason``."""
    browser.execute_script(axe_script())
    browser.set_script_timeout(120)
    found = browser.execute_async_script(_RUN, list(TAGS))
    assert not isinstance(found, str), found
    return [
        f"{rule['impact']} {rule['id']}: {' '.join(map(str, node['target']))} {node['html'][:160]} {node.get('failureSummary', '')[:300]}"
        for rule in found
        for node in rule["nodes"]
    ]


def serious(found: list[str]) -> list[str]:
    """Those that axe calls serious or critical."""
    return [line for line in found if line.startswith(SERIOUS)]


def small_targets(browser: Any) -> list[str]:
    """What is to be clicked, outside of running text, smaller than the 24 pixels of WCAG 2.2
    (2.5.8), and too near to another target: a circle of 24 pixels around its middle touches that or
    its circle. axe's script does not know the rule."""
    return browser.execute_script(_TARGETS)


def poor_contrast(browser: Any) -> list[str]:
    """Texts below WCAG's contrast of 4.5 (3 for large ones) against the colours behind them, up to
    twenty.

    axe's script cannot read colours that are mixed, and passes over what scrolls; this reads every
    colour as Chromium paints it. It knows nothing of pictures and gradients.
    """
    return browser.execute_script(_CONTRAST)
