"""How long Chromium takes with a report: first paint, sorting, filtering, and how much its layout
jumps. Milliseconds by its own clock."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

SWITCHES = "--headless=new --no-sandbox --disable-gpu --disable-dev-shm-usage --no-first-run --window-size=1280,1000"
_PAINTED = """
const done = arguments[arguments.length - 1], look = () => {
  const paint = performance.getEntriesByName("first-contentful-paint")[0];
  const load = performance.getEntriesByType("navigation")[0].loadEventEnd;
  if (paint && load) done([paint.startTime, load]); else setTimeout(look, 20);
};
look();
"""
# From the act until the frame after it has been painted, and whatever it waits for is there.
_ACT = """
const done = arguments[arguments.length - 1], start = performance.now();
const act = new Function(arguments[0]), ready = new Function(`return ${arguments[1]}`);
act();
const look = () => requestAnimationFrame(() => ready() ? requestAnimationFrame(() => done(performance.now() - start)) : look());
look();
"""
_JUMPS = """
const done = arguments[arguments.length - 1];
let sum = 0;
new PerformanceObserver(list => list.getEntries().forEach(entry => { if (!entry.hadRecentInput) sum += entry.value; }))
  .observe({type: "layout-shift", buffered: true});
const step = () => {
  const before = scrollY;
  scrollBy(0, innerHeight);
  if (scrollY > before) setTimeout(step, 60); else setTimeout(() => done(sum), 200);
};
setTimeout(step, 200);
"""
_SORT = "document.querySelectorAll('{} thead th button')[{}].click()"
_CHOOSE = "const field = document.getElementById('filter-class'); field.selectedIndex = {}; field.dispatchEvent(new Event('change'))"
_TYPE = "const field = document.getElementById('filter-text'); field.value = '{}'; field.dispatchEvent(new Event('input'))"
_WATCH = """
window.told = false;
new MutationObserver(() => { window.told = true; }).observe(document.getElementById("filter-status"), {childList: true});
"""


@contextmanager
def headless_chromium() -> Iterator[Any]:
    """A browser with a profile of its own."""
    from selenium import webdriver

    options = webdriver.ChromeOptions()
    options.binary_location = shutil.which("chromium") or shutil.which("google-chrome")
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        for switch in (*SWITCHES.split(), f"--user-data-dir={profile}"):
            options.add_argument(switch)
        driver = webdriver.Chrome(options, webdriver.ChromeService(shutil.which("chromedriver")))
        try:
            yield driver
        finally:
            driver.quit()


def opened(browser: Any, page: Path) -> dict[str, float]:
    """Open a page; first contentful paint and end of loading, since the navigation began."""
    browser.get("about:blank")
    browser.get(page.resolve().as_uri())
    browser.set_script_timeout(60)
    paint, load = browser.execute_async_script(_PAINTED)
    return {"first_paint_ms": paint, "loaded_ms": load}


def taken(browser: Any, act: str, ready: str = "true") -> float:
    """Run a statement; time until what it brought about is painted."""
    return browser.execute_async_script(_ACT, act, ready)


def filtered(browser: Any, act: str) -> float:
    """The same for a filter, whose status is to say what it chose."""
    browser.execute_script(_WATCH)
    return taken(browser, act, "window.told")


def browser_timings(browser: Any, index: Path, repeats: int = 3) -> dict[str, tuple[float, float]]:
    """Of the table page, the list of items, an item and a model: the best and the worst of some
    repeats. A busy machine moves the worst."""
    rounds = [_round(browser, index) for _ in range(repeats)]
    return {
        name: (min(each[name] for each in rounds), max(each[name] for each in rounds))
        for name in rounds[0]
    }


def _round(browser: Any, index: Path) -> dict[str, float]:
    found: dict[str, float] = {}
    for name, table, page in (
        ("table", "#board", index),
        ("items", "#items", index.with_name("items.html")),
    ):
        found |= {f"{name}_{key}": value for key, value in opened(browser, page).items()}
        found[f"{name}_sort_ms"] = max(
            taken(browser, _SORT.format(table, head)) for head in (1, 2, 2, 0)
        )
        found[f"{name}_filter_first_ms"] = filtered(browser, _CHOOSE.format(1))
        found[f"{name}_filter_class_ms"] = filtered(browser, _CHOOSE.format(2))
        found[f"{name}_filter_text_ms"] = filtered(browser, _TYPE.format("snow"))
        found[f"{name}_layout_shift"] = browser.execute_async_script(_JUMPS)
    for name in ("items", "models"):
        page = min((index.parent / name).glob("*.html"))
        found |= {f"one_of_{name}_{key}": value for key, value in opened(browser, page).items()}
        found[f"one_of_{name}_layout_shift"] = browser.execute_async_script(_JUMPS)
    return found
