"""Pages of items and models in a real Chromium: found, paged through, played and stepped, by mouse
and by keyboard alone."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.report.conftest import weird_run
from tests.results.synthetic import FRAMES, build
from vbbench.report.figures import figures
from vbbench.report.leaderboard import write_report

pytestmark = pytest.mark.browser

SHOWN_FRAMES = """
return [...document.querySelectorAll('.clip')].filter(clip => clip.firstElementChild.complete).map(clip => {
  const picture = clip.firstElementChild.getBoundingClientRect(), hole = clip.getBoundingClientRect();
  return Math.round((hole.left - picture.left) / hole.width);
});
"""
TAB, ENTER, SPACE = "\ue004", "\ue007", " "


@pytest.fixture(scope="module")
def index(tmp_path_factory: pytest.TempPathFactory) -> Any:
    folder = tmp_path_factory.mktemp("items")
    run = weird_run()
    run.items[1].text = "a dog " + "and " * 500 + "a cat"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(figures, "write_figures", lambda *_: [])
        yield write_report([build(folder / "run", run)], folder / "report")


def wait_for(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < deadline, "nothing happened for 10 seconds"
        time.sleep(0.05)


def frames(page: Any) -> set[int]:
    return set(page.execute_script(SHOWN_FRAMES))


def open_item(page: Any, index: Path, number: int) -> Any:
    page.get((index.parent / "items" / f"{number}.html").as_uri())
    wait_for(
        lambda: page.execute_script(
            "return [...document.images].every((image) => image.complete && image.naturalWidth > 0)"
        )
    )
    return page.find_element("tag name", "body")


def test_an_item_is_opened_and_paged_through(page: Any, index: Path) -> None:
    page.find_element("css selector", "#item-1 .number").click()
    assert page.title == "Item 1 · tiny 1.0 · vbbench"
    assert page.find_elements("css selector", "a[rel=prev]") == []
    page.find_element("css selector", "a[rel=next]").click()
    assert page.find_element("tag name", "h1").text == "Item 2 of 8"
    page.find_element("tag name", "body").send_keys("n")
    wait_for(lambda: page.title.startswith("Item 3 "))
    page.find_element("tag name", "body").send_keys("p")
    wait_for(lambda: page.title.startswith("Item 2 "))
    page.find_element("link text", "Text to video").click()
    assert page.find_element("tag name", "h1").text == "Text to video"


def test_clips_play_step_and_change_speed_by_keys(page: Any, index: Path) -> None:
    body = open_item(page, index, 1)
    assert page.find_element("id", "play").text == "Pause"
    body.send_keys(SPACE)
    assert page.find_element("id", "play").text == "Play"
    (start,) = frames(page)
    for key, by in (("..", 2), (",", 1), (",,,", -2)):
        body.send_keys(key)
        assert frames(page) == {(start + by) % FRAMES}
    body.send_keys("[[[")
    assert page.find_element("id", "speed").get_property("value") == "0.25"
    body.send_keys("]" * 9)
    assert page.find_element("id", "speed").get_property("value") == "2"
    body = open_item(page, index, 3)
    assert page.find_element("id", "speed").get_property("value") == "2"  # kept from page to page
    body.send_keys("[[")
    page.execute_script("localStorage.clear()")


def test_speed_is_how_often_the_frame_changes(page: Any, index: Path) -> None:
    open_item(page, index, 1)
    count = """
      const [speed, done] = arguments, field = document.getElementById('speed'), text = document.getElementById('frame-text');
      field.value = speed; field.dispatchEvent(new Event('change'));
      let changes = 0;
      new MutationObserver(() => { changes += 1; }).observe(text, {childList: true, characterData: true, subtree: true});
      setTimeout(() => done(changes), 1500);
    """
    slow, fast = (page.execute_async_script(count, speed) for speed in ("0.25", "2"))
    page.execute_script("localStorage.clear()")
    assert 1 <= slow <= 6  # 3 at 8 frames a second
    assert fast >= 3 * slow


def test_the_keyboard_alone_goes_from_the_table_to_a_playing_item(page: Any, index: Path) -> None:
    def until(selector: str) -> Any:
        for _ in range(120):
            page.switch_to.active_element.send_keys(TAB)
            if page.execute_script("return document.activeElement.matches(arguments[0])", selector):
                outline = page.execute_script(
                    "return getComputedStyle(document.activeElement).outlineStyle"
                )
                assert outline != "none"
                return page.switch_to.active_element
        raise AssertionError(f"{selector} cannot be reached by Tab")

    until("a[href='items.html']").send_keys(ENTER)
    wait_for(lambda: page.title.startswith("Items"))
    until("th[data-key=mean] button").send_keys(ENTER)
    assert (
        page.find_element("css selector", "th[data-key=mean]").get_attribute("aria-sort")
        == "descending"
    )
    until("#items tbody a").send_keys(ENTER)
    wait_for(
        lambda: page.title.startswith("Item 2 ")
    )  # the mean of two models of three, as the list says
    play = until("#play")
    play.send_keys(SPACE)
    assert play.text == "Play"
    play.send_keys(SPACE)
    assert play.text == "Pause"
    until("#frame").send_keys("\ue011\ue014")  # Home alone does nothing at the first frame
    assert play.text == "Play"


def test_the_list_finds_words_beyond_what_it_shows(page: Any, index: Path) -> None:
    page.get(index.with_name("items.html").as_uri())
    assert "a cat" not in page.find_element("css selector", "[data-number='2']").text
    page.find_element("id", "filter-text").send_keys("cat dog")
    assert page.find_element("id", "filter-status").text == "1 of 8 items"
    shown = "return [...document.querySelectorAll('#items tbody tr:not([hidden])')].map((row) => row.dataset.number)"
    assert page.execute_script(shown) == ["2"]
    assert page.execute_script("return location.hash") == "#?text=cat+dog"


def test_a_model_shows_its_best_median_and_worst(page: Any, index: Path) -> None:
    page.find_element("link text", "VideoBooth").click()
    picks = page.find_elements("css selector", ".picks")
    assert len(picks) == 3
    told = [
        [pick.find_element("tag name", tag).text for tag in ("h4", "a")]
        for pick in picks[0].find_elements("tag name", "li")
    ]
    assert told == [["Best 0.670", "Item 8"], ["Median 0.640", "Item 5"], ["Worst 0.600", "Item 1"]]
    page.execute_script("document.querySelector('#picks').scrollIntoView()")
    wait_for(lambda: len(frames(page)) == 1)
    assert "not run yet" in page.find_element("id", "failures").text


@pytest.mark.parametrize(
    "name", ["index.html", "items.html", "items/1.html", "items/2.html", "models/videobooth.html"]
)
@pytest.mark.parametrize("width", [360, 800])
def test_no_page_scrolls_sideways_or_jumps(
    browser: Any, index: Path, name: str, width: int
) -> None:
    browser.execute_cdp_cmd(
        "Emulation.setDeviceMetricsOverride",
        {"width": width, "height": 800, "deviceScaleFactor": 1, "mobile": width < 600},
    )
    try:
        browser.get((index.parent / name).as_uri())
        assert browser.execute_script("return document.documentElement.scrollWidth <= innerWidth")
        moved = """
          const done = arguments[0];
          let sum = 0;
          new PerformanceObserver((list) => { for (const entry of list.getEntries()) if (!entry.hadRecentInput) sum += entry.value; })
            .observe({type: 'layout-shift', buffered: true});
          setTimeout(() => done(sum), 400);
        """
        assert browser.execute_async_script(moved) < 0.01
        small = """
          return [...document.querySelectorAll('button, select, [type=search], label:has([type=radio], [type=checkbox]), [type=range]')]
            .map((each) => [each.id || each.textContent, each.getBoundingClientRect()])
            .filter(([, box]) => box.width > 1 && (box.width < 24 || box.height < 24)).map(([name]) => name);
        """
        assert browser.execute_script(small) == []
    finally:
        browser.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})


def test_pages_are_silent(browser: Any, index: Path) -> None:
    browser.get_log("browser")
    for path in [
        index.with_name("items.html"),
        *sorted((index.parent / "models").iterdir()),
        index.parent / "items" / "4.html",
    ]:
        browser.get(path.as_uri())
        time.sleep(0.1)
    assert browser.get_log("browser") == []
