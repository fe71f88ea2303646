"""The page in a real Chromium, opened from disk: sorting, playing, keyboard, phone width, and
silence on the network."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.report.conftest import weird_run
from tests.results.synthetic import FRAMES, build
from vbbench.report.leaderboard import write_report

pytestmark = pytest.mark.browser

SHOWN_FRAMES = """
return [...document.querySelectorAll('#item-1 .clip')].map(clip => {
  const picture = clip.firstElementChild.getBoundingClientRect(), hole = clip.getBoundingClientRect();
  return Math.round((hole.left - picture.left) / hole.width);
});
"""


@pytest.fixture(scope="module")
def index(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("page")
    return write_report([build(folder / "run", weird_run())], folder / "report")


def rows(page: Any, column: int) -> list[str]:
    """First line of a column's cells in the competitors' rows, from top to bottom."""
    script = "return [...document.querySelectorAll('#board .models tr')].map(row => row.cells[arguments[0]].innerText.split('\\n')[0].trim())"
    return page.execute_script(script, column)


def head(page: Any, title: str) -> Any:
    return page.find_element(
        "xpath", f"//table[@id='board']//th[button[starts-with(normalize-space(), '{title}')]]"
    )


def wait_for(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < deadline, "nothing happened for 10 seconds"
        time.sleep(0.05)


def to_videos(page: Any) -> None:
    """Scrolls to the first item and waits for its clips."""
    page.execute_script("document.querySelector('#item-1').scrollIntoView()")
    loaded = "return [...document.querySelectorAll('#item-1 img')].every(image => image.complete && image.naturalWidth > 0)"
    wait_for(lambda: page.execute_script(loaded))


def test_a_click_sorts_and_shows_the_ranks_of_that_metric(page: Any) -> None:
    assert rows(page, 1) == ["VideoBooth", "Textual Inversion", "Text to video"]
    assert head(page, "DINO").get_attribute("aria-sort") == "descending"
    head(page, "CLIP-Text").find_element("tag name", "button").click()
    assert rows(page, 1) == ["Text to video", "Textual Inversion", "VideoBooth"]
    assert rows(page, 0) == ["1", "2", "3"]
    assert page.find_element("id", "ranked-by").text == "CLIP-Text"
    assert head(page, "CLIP-Text").get_attribute("aria-sort") == "descending"
    assert head(page, "DINO").get_attribute("aria-sort") == "none"
    assert (
        page.find_element("id", "sorted")
        .get_property("textContent")
        .startswith("Sorted by CLIP-Text")
    )
    references = page.find_elements("css selector", "#board .references tr:not(.divider)")
    assert len(references) == 4


def test_the_keyboard_sorts_and_rows_without_a_value_stay_last(page: Any) -> None:
    button = head(page, "Fit").find_element("tag name", "button")
    for key in ("\ue007", " "):  # Enter: ascending; space: descending
        button.send_keys(key)
        assert rows(page, 1)[0] == "Textual Inversion"
    assert head(page, "Fit").get_attribute("aria-sort") == "descending"
    head(page, "Model").find_element("tag name", "button").send_keys("\ue007")
    assert rows(page, 1) == ["Text to video", "Textual Inversion", "VideoBooth"]


def test_videos_play_in_step_and_stop(page: Any) -> None:
    to_videos(page)
    seen: set[int] = set()

    def all_frames_seen() -> bool:
        frames = page.execute_script(SHOWN_FRAMES)
        assert len(frames) == 7
        assert len(set(frames)) == 1
        seen.add(frames[0])
        return len(seen) == FRAMES

    wait_for(all_frames_seen)
    play = page.find_element("id", "play")
    play.click()
    assert play.text == "Play"
    before = page.execute_script(SHOWN_FRAMES)
    time.sleep(0.4)
    assert page.execute_script(SHOWN_FRAMES) == before


def test_frames_can_be_stepped_through_by_keyboard(page: Any) -> None:
    to_videos(page)
    if page.find_element("id", "play").text != "Play":
        page.find_element("id", "play").click()  # at frame 1 already, Home alone would not stop it
    slider = page.find_element("id", "frame")
    slider.send_keys("\ue011")  # Home
    assert set(page.execute_script(SHOWN_FRAMES)) == {0}
    slider.send_keys("\ue014")  # right
    assert set(page.execute_script(SHOWN_FRAMES)) == {1}
    page.find_element("id", "back").click()
    page.find_element("id", "back").click()
    assert set(page.execute_script(SHOWN_FRAMES)) == {FRAMES - 1}
    assert page.find_element("id", "frame-text").text == f"{FRAMES} / {FRAMES}"
    assert page.find_element("id", "play").text == "Play"


def test_nothing_moves_by_itself_where_less_motion_is_wanted(page: Any, index: Path) -> None:
    page.execute_cdp_cmd(
        "Emulation.setEmulatedMedia",
        {"features": [{"name": "prefers-reduced-motion", "value": "reduce"}]},
    )
    try:
        page.get(index.as_uri())
        assert page.find_element("id", "play").get_property("textContent") == "Play"
    finally:
        page.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": []})


def test_the_theme_can_be_chosen_and_is_kept(page: Any, index: Path) -> None:
    paper = "return getComputedStyle(document.body).backgroundColor"
    button = page.find_element("id", "theme")
    button.click()
    light = page.execute_script(paper)
    button.click()
    assert button.text == "Theme: dark"
    assert page.execute_script(paper) != light
    page.get(index.as_uri())
    assert page.find_element("id", "theme").text == "Theme: dark"
    page.execute_script("localStorage.clear()")


@pytest.mark.parametrize("width", [360, 800, 1280])
def test_the_page_never_scrolls_sideways(page: Any, index: Path, width: int) -> None:
    page.execute_cdp_cmd(
        "Emulation.setDeviceMetricsOverride",
        {"width": width, "height": 800, "deviceScaleFactor": 1, "mobile": width < 600},
    )
    try:
        page.get(index.as_uri())
        assert page.execute_script("return document.documentElement.scrollWidth <= innerWidth")
    finally:
        page.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})


def test_no_error_no_request_and_nothing_broken_into(browser: Any, index: Path) -> None:
    for log in ("browser", "performance"):
        browser.get_log(log)
    browser.get(index.as_uri())
    to_videos(browser)
    assert browser.title == "tiny 1.0 · vbbench"
    assert browser.get_log("browser") == []
    events = [json.loads(entry["message"])["message"] for entry in browser.get_log("performance")]
    asked = [
        event["params"]["request"]["url"]
        for event in events
        if event["method"] == "Network.requestWillBeSent"
    ]
    assert any(url.endswith(".webp") for url in asked)
    assert all(url.startswith(("file:", "data:", "chrome:")) for url in asked), asked
