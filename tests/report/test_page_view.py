"""What is shown of the table is chosen on the page and kept in its address: sorting, filters,
scale, matrix; back and forward work."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import scipy.stats

from tests.results.synthetic import MODELS, FakeRun, Item, build, spec
from vbbench.report.figures import figures
from vbbench.report.leaderboard import write_report
from vbbench.results.statistics import student_quantiles

pytestmark = pytest.mark.browser

STRENGTH = {
    "videobooth": 0.6,
    "text-to-video": 0.3,
    "textual-inversion": 0.45,
    "real-video": 0.9,
    "other-individual": 0.2,
}
CLASSES = ("cat", "dog & <b>co</b>")


def value(model: str, item: str, metric: str) -> float:
    """Dogs turn the order of the models round."""
    number = int(item[1:])
    strength = (
        STRENGTH[model]
        if number < 8 or model in ("real-video", "other-individual")
        else 0.5 - STRENGTH[model] / 2
    )
    return round(strength + number % 8 / 100 + (0.03 if metric == "clip-text" else 0), 4)


@pytest.fixture(scope="module")
def index(tmp_path_factory: pytest.TempPathFactory) -> Any:
    folder = tmp_path_factory.mktemp("view")
    every = [
        Item(
            f"i{n}",
            f"{'cat' if n < 8 else 'dog'}-{n % 8}",
            f"text {n} by the sea",
            "text",
            CLASSES[n // 8],
        )
        for n in range(16)
    ]
    models = {name: MODELS[name] for name in STRENGTH}
    run = FakeRun(
        every,
        value,
        models=models,
        metrics=(spec("clip-text"), spec("dino"), spec("distance", higher_is_better=False)),
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            figures, "write_figures", lambda *_: []
        )  # they take their time, and are not looked at here
        yield write_report([build(folder / "run", run, videos=False)], folder / "report")


def wait_for(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < deadline, "nothing happened for 10 seconds"
        time.sleep(0.05)


def models_of(page: Any) -> list[str]:
    return page.execute_script(
        "return [...document.querySelectorAll('#board .models tr:not([hidden])')].map(row => row.dataset.model)"
    )


def cell(page: Any, model: str, column: int) -> str:
    return (
        page.find_element("css selector", f"#board tr[data-model='{model}']")
        .find_elements("css selector", "td, th")[column]
        .text
    )


def address(page: Any) -> str:
    return page.execute_script("return location.hash")


def status(page: Any) -> str:
    return page.find_element("id", "filter-status").text


def choose(page: Any, id: str, text: str) -> None:
    page.execute_script(
        "const [id, text] = arguments; const choice = document.getElementById(id);"
        "choice.selectedIndex = [...choice.options].findIndex((each) => each.text.startsWith(text));"
        "choice.dispatchEvent(new Event('change', {bubbles: true}));",
        id,
        text,
    )


def open_at(page: Any, index: Path, hash: str) -> None:
    page.get("about:blank")
    page.get(index.as_uri() + hash)


def test_sorting_is_kept_in_the_address_and_back_undoes_it(page: Any, index: Path) -> None:
    head = page.find_element("css selector", "th[data-key=model] button")
    assert address(page) == ""
    head.click()
    assert address(page) == "#?sort=model"
    head.click()
    assert address(page) == "#?sort=model&order=descending"
    assert models_of(page) == ["videobooth", "textual-inversion", "text-to-video"]
    page.back()
    assert models_of(page) == ["text-to-video", "textual-inversion", "videobooth"]
    page.back()
    assert address(page) == ""
    assert models_of(page) == ["videobooth", "textual-inversion", "text-to-video"]
    page.forward()
    assert (
        page.find_element("css selector", "th[data-key=model]").get_attribute("aria-sort")
        == "ascending"
    )


def test_a_class_shows_its_own_means_and_clearing_brings_all_back(page: Any, index: Path) -> None:
    before = [cell(page, "videobooth", column) for column in range(6)]
    assert page.find_elements("css selector", "script[src='scores.js']") == []
    choose(page, "filter-class", CLASSES[1])
    wait_for(lambda: status(page).startswith("8 of 16 items, of 8 individuals"))
    assert models_of(page) == ["text-to-video", "textual-inversion", "videobooth"]
    assert cell(page, "videobooth", 2).split("\n")[0] == "0.235"  # 0.2 + 28 / 800
    assert cell(page, "videobooth", 0) == "\N{EN DASH}"
    low, high = map(float, cell(page, "videobooth", 2).split("\n")[-1].split(" to "))
    half = (
        student_quantiles(7)[6] * 0.024495 / 8**0.5
    )  # the standard deviation of 0.00, 0.01 ... 0.07
    assert (low, high) == (
        pytest.approx(0.235 - half, abs=0.0006),
        pytest.approx(0.235 + half, abs=0.0006),
    )
    assert "class=dog" in address(page)
    page.find_element("id", "filter-clear").click()
    assert [cell(page, "videobooth", column) for column in range(6)] == before
    assert (address(page), status(page)) == ("", "")


@pytest.mark.parametrize("sizes", [(2, 2, 2, 2), (20, 1, 1, 1, 1), (5, 3, 1, 2, 4, 4)])
def test_filtered_intervals_are_over_individuals_also_where_they_have_unequal_many_clips(
    page: Any, index: Path, sizes: tuple[int, ...]
) -> None:
    """Held against the same estimate by numpy and scipy: a ratio of sums over individuals, with
    Kish's number of them."""
    rng = np.random.default_rng(len(sizes))
    subjects = np.repeat(np.arange(len(sizes)), sizes)
    values = np.round(
        rng.normal(0.5, 0.1, len(sizes))[subjects] + rng.normal(0, 0.02, len(subjects)), 4
    )
    record = {"decimals": 4, "subjectOf": subjects.tolist()}
    given = [
        [round(float(value) * 10**4) for value in values],
        list(range(len(values))),
        record,
        {"bounds": [-1, 1]},
    ]
    data = {"t": student_quantiles(10), "fewest": 2}
    found = page.execute_script("return estimate(...arguments[0])", [*given, data])
    counts = np.array(sizes)
    mean = values.mean()
    residuals = np.bincount(subjects, values) - mean * counts
    groups = len(sizes)
    error = np.sqrt((residuals**2).sum() * groups / (groups - 1)) / counts.sum()
    freedom = max(1, int(np.floor(counts.sum() ** 2 / (counts**2).sum() - 1 + 1e-9)))
    half = scipy.stats.t.ppf(0.975, freedom) * error
    assert found["mean"] == pytest.approx(mean, abs=1e-9)
    assert found["low"] == pytest.approx(max(-1, mean - half), rel=1e-4)
    assert found["high"] == pytest.approx(min(1, mean + half), rel=1e-4)


def test_words_of_a_prompt_choose_items_and_one_step_back_undoes_the_typing(
    page: Any, index: Path
) -> None:
    page.find_element("id", "filter-text").send_keys("SEA text 1 i1")
    wait_for(lambda: status(page).startswith("7 of 16 items"))  # 1 and 10 to 15
    page.find_element("link text", "See these items").click()
    assert (
        page.execute_script(
            "return document.querySelectorAll('#items tbody tr:not([hidden])').length"
        )
        == 7
    )
    page.back()
    wait_for(lambda: status(page).startswith("7 of 16 items"))
    assert page.find_element("id", "filter-text").get_property("value") == "SEA text 1 i1"
    page.back()
    wait_for(lambda: status(page) == "")
    assert page.find_element("id", "filter-text").get_property("value") == ""
    page.find_element("id", "filter-text").send_keys("nowhere")
    wait_for(lambda: status(page) == "0 of 16 items, of 0 individuals.")
    assert cell(page, "videobooth", 2) == "—"


def test_values_stand_from_floor_to_ceiling_for_parts_too(page: Any, index: Path) -> None:
    page.execute_script("document.getElementById('scale-scaled').click()")
    assert address(page) == "#?scale=scaled"
    assert cell(page, "videobooth", 2).split("\n")[0] == f"{((0.6 + 0.2) / 2 - 0.2) / 0.7:.2f}"
    assert cell(page, "real-video", 2).split("\n")[0] == "1.00"
    choose(page, "filter-class", "cat")
    wait_for(lambda: status(page).startswith("8 of 16"))
    assert cell(page, "videobooth", 2).split("\n")[0] == f"{0.4 / 0.7:.2f}"
    assert cell(page, "other-individual", 2).split("\n")[0] == "0.00"


def test_models_can_be_left_out_everywhere(page: Any, index: Path) -> None:
    page.find_element("css selector", "#filter-models summary").click()
    page.find_element("css selector", "#filter-models [value=text-to-video]").click()
    assert address(page) == "#?hide=text-to-video"
    assert models_of(page) == ["videobooth", "textual-inversion"]
    hidden = "return [...document.querySelectorAll('main [data-model=text-to-video]')].every((each) => each.hidden && !each.offsetWidth)"
    assert page.execute_script(hidden)
    assert "text-to-video" in page.execute_script(
        "return [...document.querySelectorAll('#costs tr[hidden]')].map((row) => row.dataset.model)"
    )
    assert page.find_element("id", "models-shown").text == "4 of 5"
    page.switch_to.active_element.send_keys("\ue00c")  # Escape
    assert page.find_element("id", "filter-models").get_attribute("open") is None
    assert page.switch_to.active_element.tag_name == "summary"


def test_the_matrix_shows_the_chosen_metric(page: Any, index: Path) -> None:
    pair = "return document.querySelector('#matrix tr[data-model=videobooth] td[data-model=text-to-video]').innerText"
    before = page.execute_script(pair)
    choose(page, "matrix-metric", "Distance")
    assert address(page) == "#differences?matrix=distance"
    assert page.find_element("id", "matrix-name").get_property("textContent").startswith("Distance")
    other = page.execute_script(
        "return document.querySelector('#matrix tr[data-model=text-to-video] td[data-model=videobooth]').innerText"
    )
    assert page.execute_script(pair).strip()[1:] == other.strip()[1:]
    page.back()
    assert page.execute_script(pair) == before


def test_a_copied_address_opens_the_same_view(page: Any, index: Path) -> None:
    open_at(
        page,
        index,
        "#differences?sort=clip-text&order=ascending&class=cat&text=sea&scale=scaled&matrix=distance&hide=videobooth",
    )
    wait_for(lambda: status(page).startswith("8 of 16"))
    assert models_of(page) == ["text-to-video", "textual-inversion"]
    assert page.find_element("id", "ranked-by").get_property("textContent") == "CLIP-Text"
    assert page.find_element("id", "scale-scaled").is_selected()
    assert page.execute_script("return scrollY") > 200
    assert page.find_element("id", "matrix-metric").get_property("value") == "distance"


def test_links_within_the_page_keep_the_view(page: Any, index: Path) -> None:
    open_at(page, index, "#?sort=model")
    page.find_element("link text", "Protocol").click()
    wait_for(lambda: address(page) == "#protocol?sort=model")
    assert models_of(page)[0] == "text-to-video"
    page.back()
    wait_for(lambda: address(page) == "#?sort=model")
    assert models_of(page)[0] == "text-to-video"


@pytest.mark.parametrize(
    "hash",
    [
        "#?sort=nothing&order=sideways&class=%3Cimg%20src=x%20onerror=alert(1)%3E&scale=<&matrix=__proto__&hide=constructor",
        "#?sort=%E0%A4%A&text=%",
        "#<script>?a?b?c",
        "#?" + "text=" + "x" * 5000,
    ],
)
def test_an_address_of_nonsense_does_no_harm(browser: Any, index: Path, hash: str) -> None:
    browser.get_log("browser")
    open_at(browser, index, hash)
    time.sleep(0.3)
    assert len(models_of(browser)) == 3
    assert browser.get_log("browser") == []
    assert browser.find_elements("css selector", "img[src=x]") == []


def test_scores_that_are_not_there_are_told(page: Any, index: Path) -> None:
    file = index.with_name("scores.js")
    text = file.read_text("utf-8")
    file.unlink()
    try:
        choose(page, "filter-class", "cat")
        wait_for(lambda: "could not be read" in status(page))
        assert models_of(page) == ["videobooth", "textual-inversion", "text-to-video"]
    finally:
        file.write_text(text, "utf-8")


def test_keys_switch_the_scale_and_find_the_field(page: Any, index: Path) -> None:
    body = page.find_element("tag name", "body")
    body.send_keys("v")
    assert page.find_element("id", "board").get_attribute("data-scale") == "scaled"
    body.send_keys("/")
    field = page.switch_to.active_element
    assert field.get_attribute("id") == "filter-text"
    field.send_keys("v?/")
    assert field.get_property("value") == "v?/"
    assert page.find_element("id", "board").get_attribute("data-scale") == "scaled"


def test_keys_are_told_and_can_be_switched_off(page: Any, index: Path) -> None:
    body = page.find_element("tag name", "body")
    body.send_keys("?")
    dialog = page.find_element("id", "keys")
    assert dialog.is_displayed()
    assert "one frame back, one frame on" in dialog.text
    page.find_element("id", "keys-on").click()
    page.switch_to.active_element.send_keys("\ue00c")
    wait_for(lambda: not dialog.is_displayed())
    body.send_keys("v")
    assert page.find_element("id", "board").get_attribute("data-scale") == "raw"
    page.get(index.as_uri())
    assert not page.find_element("id", "keys-on").is_selected()
    page.execute_script("localStorage.clear()")


def test_the_filters_ask_the_network_for_nothing(browser: Any, index: Path) -> None:
    for log in ("browser", "performance"):
        browser.get_log(log)
    open_at(browser, index, "#?class=cat")
    wait_for(lambda: status(browser).startswith("8 of 16"))
    events = [json.loads(entry["message"])["message"] for entry in browser.get_log("performance")]
    asked = [
        event["params"]["request"]["url"]
        for event in events
        if event["method"] == "Network.requestWillBeSent"
    ]
    assert any(url.endswith("scores.js") for url in asked)
    assert all(url.startswith(("file:", "data:", "about:", "chrome:")) for url in asked), asked
    assert browser.get_log("browser") == []
