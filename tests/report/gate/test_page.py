"""The gate's page in a real Chromium, opened from disk."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import pytest

from tests.report.test_page import wait_for
from tests.results.gate.conftest import Case, out
from tests.results.synthetic import FRAMES

pytestmark = pytest.mark.browser

SHOWN = """
return [...document.querySelectorAll('#moved-2 .clip')].map(clip => {
  const picture = clip.firstElementChild.getBoundingClientRect(), hole = clip.getBoundingClientRect();
  return Math.round((hole.left - picture.left) / hole.width);
});
"""


@pytest.fixture(scope="module")
def index(case: Case, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return out(tmp_path_factory.mktemp("page"), case)


def to_cards(page: Any) -> None:
    page.execute_script("document.querySelector('#moved-2').scrollIntoView()")
    loaded = "return [...document.querySelectorAll('#moved-2 img')].every(image => image.complete && image.naturalWidth > 0)"
    wait_for(lambda: page.execute_script(loaded))


def test_the_verdict_stands_first_and_what_fails_above_what_is_the_same(page: Any) -> None:
    assert page.find_element("tag name", "h1").text.endswith("Drifted and slower")
    first = page.find_element("css selector", "table.gate tbody tr")
    assert first.text.split("\n")[0] == "VideoBooth"
    assert "drifted" in first.get_attribute("class")
    folded = page.find_element("css selector", "details.folded")
    assert folded.get_attribute("open") is None
    assert not folded.find_element("tag name", "table").is_displayed()


def test_the_keyboard_unfolds_the_rows_that_are_the_same(page: Any) -> None:
    summary = page.find_element("tag name", "summary")
    summary.send_keys("\ue007")
    rows = page.find_elements("css selector", "details.folded tbody tr")
    assert rows
    assert all(row.is_displayed() for row in rows)


def test_old_and_new_video_play_in_step_and_can_be_stepped_through(page: Any) -> None:
    to_cards(page)
    seen: set[int] = set()

    def all_frames_seen() -> bool:
        old, new = page.execute_script(SHOWN)
        assert old == new
        seen.add(old)
        return len(seen) == FRAMES

    wait_for(all_frames_seen)
    page.find_element(
        "id", "play"
    ).click()  # first: Home on the first frame changes nothing, so that it would not pause
    page.find_element("id", "frame").send_keys("\ue011")  # Home
    assert page.execute_script(SHOWN) == [0, 0]
    page.find_element("id", "forth").click()
    assert page.execute_script(SHOWN) == [1, 1]
    time.sleep(0.3)
    assert page.execute_script(SHOWN) == [1, 1]


@pytest.mark.parametrize("width", [360, 800, 1280])
def test_the_page_never_scrolls_sideways(page: Any, index: Path, width: int) -> None:
    metrics = {"width": width, "height": 800, "deviceScaleFactor": 1, "mobile": width < 600}
    page.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
    try:
        page.get(index.as_uri())
        page.find_element("tag name", "summary").click()
        assert page.execute_script("return document.documentElement.scrollWidth <= innerWidth")
    finally:
        page.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})


def test_dark_and_light_differ(page: Any) -> None:
    def paper(theme: str) -> str:
        page.execute_cdp_cmd(
            "Emulation.setEmulatedMedia",
            {"features": [{"name": "prefers-color-scheme", "value": theme}]},
        )
        return page.execute_script("return getComputedStyle(document.body).backgroundColor")

    try:
        assert paper("dark") != paper("light")
    finally:
        page.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": []})


def test_no_error_no_request_and_nothing_broken_into(browser: Any, index: Path) -> None:
    for log in ("browser", "performance"):
        browser.get_log(log)
    browser.get(index.as_uri())
    to_cards(browser)
    assert browser.title == "Gate: drifted and slower · tiny 1.0 · vbbench"
    assert browser.get_log("browser") == []
    events = [json.loads(entry["message"])["message"] for entry in browser.get_log("performance")]
    asked = [
        event["params"]["request"]["url"]
        for event in events
        if event["method"] == "Network.requestWillBeSent"
    ]
    assert any(url.endswith(".webp") for url in asked)
    assert all(url.startswith(("file:", "data:", "chrome:")) for url in asked), asked
