"""axe finds nothing serious in any page, dark or light, wide or narrow."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.report.axe import axe_script, poor_contrast, serious, small_targets, violations
from tests.report.conftest import weird_run
from tests.report.test_page import wait_for
from tests.results.synthetic import build
from vbbench.report.leaderboard import write_report
from vbbench.report.site.site import write_site

pytestmark = pytest.mark.browser
WIDTHS = (360, 1280)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A report with failures, references and a hostile prompt; a site over it."""
    axe_script()  # skips before anything is made
    root = tmp_path_factory.mktemp("axe")
    write_report([build(root / "run", weird_run())], root / "results" / "report")
    write_site(root / "results")
    return root / "results"


@contextmanager
def seen_as(browser: Any, width: int, scheme: str) -> Iterator[None]:
    """The page at a width and in a colour scheme, without motion."""
    features = [
        {"name": "prefers-color-scheme", "value": scheme},
        {"name": "prefers-reduced-motion", "value": "reduce"},
    ]
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": features})
    metrics = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": width < 600}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
    try:
        yield
    finally:
        browser.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})
        browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": []})


def pages(folder: Path) -> dict[str, Path]:
    """One page of each kind."""
    report = folder / "report"
    found = {
        "site": folder / "index.html",
        "table": report / "index.html",
        "items": report / "items.html",
    }
    found["item"] = sorted((report / "items").glob("*.html"))[0]
    found["model"] = sorted((report / "models").glob("*.html"))[0]
    return found


def test_the_checker_sees_faults(browser: Any, tmp_path: Path) -> None:
    """A checker that finds nothing anywhere would please every page."""
    axe_script()
    page = tmp_path / "page.html"
    faults = (
        '<p style="color:light-dark(#bbb, #555)">pale</p><img src="data:,">'
        + '<button style="width:9px;height:9px;padding:0"></button>' * 2
    )
    head = '<meta name="color-scheme" content="light dark"><style>body { background: light-dark(#fff, #111) }</style>'
    page.write_text(
        f"<!doctype html><html><head>{head}</head><body>{faults}</body></html>", "utf-8"
    )
    for scheme in ("light", "dark"):
        with seen_as(browser, 800, scheme):
            browser.get(page.as_uri())
            found = " ".join(serious(violations(browser)))
            assert all(
                rule in found
                for rule in ("color-contrast", "image-alt", "button-name", "html-has-lang")
            ), found
            assert len(small_targets(browser)) == 2
            assert len(poor_contrast(browser)) == 1


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("kind", ["site", "table", "items", "item", "model"])
def test_axe_finds_nothing_serious(browser: Any, folder: Path, kind: str, scheme: str) -> None:
    for width in WIDTHS:
        with seen_as(browser, width, scheme):
            browser.get(pages(folder)[kind].as_uri())
            assert serious(violations(browser)) == [], (width, scheme)
            assert poor_contrast(browser) == [], (width, scheme)


@pytest.mark.parametrize("kind", ["site", "table", "items", "item", "model"])
def test_what_is_clicked_is_large_enough(browser: Any, folder: Path, kind: str) -> None:
    for width in WIDTHS:
        with seen_as(browser, width, "light"):
            browser.get(pages(folder)[kind].as_uri())
            assert small_targets(browser) == [], width


@pytest.mark.parametrize("kind", ["site", "table", "items", "item", "model"])
def test_no_page_scrolls_sideways(browser: Any, folder: Path, kind: str) -> None:
    for width in (360, 800, 1280):
        with seen_as(browser, width, "light"):
            browser.get(pages(folder)[kind].as_uri())
            assert browser.execute_script(
                "return document.documentElement.scrollWidth <= innerWidth"
            ), width


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_what_opens_and_changes_is_accessible_too(browser: Any, folder: Path, scheme: str) -> None:
    """The list of keys, the choice of models, every folded part, values from floor to ceiling, a
    filter."""
    for width in WIDTHS:
        with seen_as(browser, width, scheme):
            browser.get(pages(folder)["table"].as_uri() + "#leaderboard?scale=scaled&class=dog")
            browser.refresh()
            wait_for(lambda: bool(browser.find_element("id", "filter-status").text))
            browser.execute_script(
                "document.querySelectorAll('details').forEach(each => { each.open = true; })"
            )
            assert serious(violations(browser)) == [], (width, scheme)
            assert poor_contrast(browser) == [], (width, scheme)
            browser.find_element("id", "keys-open").click()
            assert serious(violations(browser)) == [], (width, scheme)
            assert poor_contrast(browser) == [], (width, scheme)
