"""Texts from elsewhere do no harm in any page of a report: nothing runs, nothing is asked for,
nothing hangs over, all can be read."""

from __future__ import annotations

import json
import xml.etree.ElementTree as ET
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from tests.report.hostile import ATTACK, MODELS, PICTURE, SCRIPT, WORDS, hostile_run
from tests.report.test_axe import seen_as
from tests.report.test_page import wait_for
from tests.results.synthetic import build
from vbbench.report.leaderboard import write_report

HARM = """
const marked = [...document.querySelectorAll("*")].flatMap(each => [...each.attributes].map(({name, value}) => [each, name, value]));
return {
  broken: window.broken ?? null,
  handlers: marked.filter(([, name]) => name.startsWith("on")).map(([each]) => each.outerHTML.slice(0, 200)),
  links: marked.filter(([, name, value]) => ["href", "src", "action"].includes(name) && /^\\s*(javascript|https?|\\/\\/)/i.test(value))
    .map(([each]) => each.outerHTML.slice(0, 200)),
  strange: [...document.querySelectorAll("img:not([src$='.webp']), iframe, object, embed, base, form[action]")]
    .concat([...document.querySelectorAll("script:not([src]):not([type])")])
    .map(each => each.outerHTML.slice(0, 200)),
  wide: document.documentElement.scrollWidth > innerWidth && [...document.querySelectorAll("body *")]
    .filter(each => each.getBoundingClientRect().right > innerWidth + 1 && !each.closest(".scroll, .hidden, .clip"))
    .map(each => each.outerHTML.slice(0, 160)).slice(0, 5),
  polluted: Object.keys(Object.prototype).length > 0 || ({}).broken !== undefined,
};
"""
HARMLESS = {
    "broken": None,
    "handlers": [],
    "links": [],
    "strange": [],
    "wide": False,
    "polluted": False,
}
ADDRESS = f"#leaderboard?class={quote(SCRIPT)}&text={quote(PICTURE)}&sort=__proto__&order=constructor&scale={quote(PICTURE)}&hide=__proto__"


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("hostile")
    return write_report([build(folder / "run", hostile_run())], folder / "report").parent


def pages(report: Path) -> list[Path]:
    return [path for path in sorted(report.rglob("*.html")) if "media" not in path.parts]


def test_every_file_lies_inside_under_a_plain_name(report: Path) -> None:
    assert not (report.parent / "outside.html").exists()
    names = [path.relative_to(report).as_posix() for path in report.rglob("*") if path.is_file()]
    assert all(name.isascii() and not set(name) & set(" \"'<>&#%?\\:*|") for name in names), names
    assert all(len(Path(name).name) < 120 for name in names)
    assert len([name for name in names if name.startswith("models/")]) == len(MODELS)


def test_figures_are_sound_xml_without_scripts(report: Path) -> None:
    drawings = sorted(report.rglob("*.svg"))
    assert drawings
    for path in drawings:
        for element in ET.parse(path).iter():
            assert not str(element.tag).endswith("script"), path
            assert not any(name.lower().startswith("on") for name in element.attrib), path


def test_json_and_scripts_hold_the_texts_as_they_are(report: Path) -> None:
    text = (report / "scores.js").read_text("utf-8")
    assert not set("<>&\u2028\u2029") & set(text)
    scores = json.loads(text[text.index("{") : text.rindex("}") + 1])
    assert scores["texts"] == list(WORDS.values())
    assert scores["models"] == list(MODELS)
    record = json.loads((report / "leaderboard.json").read_text("utf-8"))
    assert {row["model"] for row in record["leaderboard"]} == set(MODELS)


def test_no_text_breaks_out_of_the_markup(report: Path) -> None:
    for path in pages(report):
        html = path.read_text("utf-8")
        assert f"<script>{ATTACK}" not in html, path
        assert PICTURE not in html, path


@pytest.mark.browser
@pytest.mark.parametrize("width", [360, 1280])
def test_no_page_is_harmed(browser: Any, report: Path, width: int) -> None:
    with seen_as(browser, width, "light"):
        for log in ("browser", "performance"):
            browser.get_log(log)
        for path in pages(report):
            browser.get(path.as_uri())
            assert browser.execute_script(HARM) == HARMLESS, path.name
        assert_silent(browser)


@pytest.mark.browser
def test_filters_sorting_and_addresses_are_not_fooled(browser: Any, report: Path) -> None:
    for log in ("browser", "performance"):
        browser.get_log(log)
    status = 'return document.getElementById("filter-status").textContent'
    for name in ("index.html", "items.html"):
        browser.get((report / name).as_uri())
        act(
            browser,
            "document.querySelectorAll('thead th button').forEach(button => button.click())",
        )
        for choice in range(5):
            choose = f"const field = document.getElementById('filter-class'); field.selectedIndex = {choice};"
            act(browser, f"{choose} field.dispatchEvent(new Event('change'))")
            count = browser.execute_script(
                "return document.getElementById('filter-class').selectedOptions[0].textContent.match(/\\d+/g).at(-1)"
            )
            wait_for(
                lambda count=count, choice=choice: (
                    choice == 0 or browser.execute_script(status).startswith(f"{count} of")
                )
            )
        act(browser, "document.getElementById('filter-clear').click()")
        type_into(browser, SCRIPT)
        wait_for(lambda: browser.execute_script(status).startswith("1 of"))
        browser.get((report / name).as_uri() + ADDRESS)
        browser.refresh()  # the same page with another address would not be read anew
        wait_for(lambda: bool(browser.execute_script(status)))
        assert browser.execute_script(HARM) == HARMLESS
    assert_silent(browser)


@pytest.mark.browser
def test_texts_are_shown_as_they_were_written(browser: Any, report: Path) -> None:
    for number, (kind, text) in enumerate(WORDS.items(), start=1):
        browser.get((report / "items" / f"{number}.html").as_uri())
        shown = browser.execute_script("return document.querySelector('.prompt').textContent")
        assert shown.split() == text.split(), kind


def act(browser: Any, script: str) -> None:
    browser.execute_script(script)
    assert browser.execute_script(HARM) == HARMLESS, script


def type_into(browser: Any, text: str) -> None:
    script = "const field = document.getElementById('filter-text'); field.value = arguments[0]; field.dispatchEvent(new Event('input'))"
    browser.execute_script(script, text)


def assert_silent(browser: Any) -> None:
    """Nothing in the console, and nothing asked for but files of the disk."""
    assert browser.get_log("browser") == []
    events = [json.loads(entry["message"])["message"] for entry in browser.get_log("performance")]
    asked = [
        event["params"]["request"]["url"]
        for event in events
        if event["method"] == "Network.requestWillBeSent"
    ]
    assert all(url.startswith(("file:", "data:", "about:", "chrome:")) for url in asked), asked


@pytest.mark.browser
def test_what_runs_is_noticed(browser: Any, tmp_path: Path) -> None:
    """The test of the test: a page that is broken into looks so."""
    page = tmp_path / "page.html"
    page.write_text(f"<!doctype html><p>{SCRIPT}{PICTURE}", "utf-8")
    browser.get(page.as_uri())
    wait_for(lambda: (browser.execute_script(HARM)["broken"] or 0) >= 2)
    found = browser.execute_script(HARM)
    assert found["handlers"]
    assert found["strange"]
