"""Fixtures that several folders share, and what decides which marked tests run."""

from __future__ import annotations

import os
import re
import shutil
import sys
from collections.abc import Callable, Iterator
from importlib import metadata
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import pytest
from PIL import Image

import vbbench
from vbbench.data import suite
from vbbench.data.suites import load_suite
from vbbench.media.video import write_video_lossless
from vbbench.types import PromptSuite, Video

RECIPES = Path(__file__).parent / "files" / "recipes"
SUITE_SETTINGS = {
    "name": "tiny",
    "version": "1",
    "description": "Three coloured squares.",
    "scale": "mini",
    "num_frames": 3,
    "size": 16,
    "fps": 4,
    "seed": 7,
    "metrics": [],
}
COLOURS = {"cat-0": (200, 40, 40), "dog-0": (40, 200, 40), "dog-1": (40, 40, 200)}


SWITCHES = (
    "--headless=new --no-sandbox --disable-gpu --disable-dev-shm-usage --disable-quic --no-first-run --disable-background-networking "
    "--disable-component-update --disable-sync --window-size=1280,1000"
)

# What --fast leaves out: files that train, fit, render, compile, or start processes and browsers. They take five sixths of the suite's
# seconds with a fifth of its tests; what is left holds tests of every room and suits a try of other versions. It is a list of
# files and not of measured tests, so that no test comes and goes with the machine; a new file runs until it is named here.
HEAVY = (
    "attention/test_triton.py",
    "baselines/test_contract_sd14.py",
    "baselines/test_dreambooth_video.py",
    "baselines/test_textual_inversion.py",
    "cli/test_run.py",
    "cli/test_sampling_options.py",
    "cli/test_tune.py",
    "data/videos/test_build.py",
    "data/videos/test_dreambooth_run.py",
    "cli/test_pytest_plugin.py",
    "metrics/validation/test_validity.py",
    "models/test_command.py",
    "models/test_memory.py",
    "networks/test_precision.py",
    "models/test_sampling_sd14.py",
    "networks/videobooth/test_speed.py",
    "profiling/test_clip.py",
    "profiling/test_memory.py",
    "profiling/test_released_step.py",
    "profiling/test_step.py",
    "profiling/test_training.py",
    "results/claims/test_crossed.py",
    "report/test_axe.py",
    "results/test_comparisons.py",
    "report/test_figures.py",
    "report/test_hostile.py",
    "report/test_identity_cost.py",
    "report/test_large.py",
    "report/test_leaderboard.py",
    "report/test_page_items.py",
    "report/test_page_view.py",
    "report/test_place.py",
    "report/test_rebuilt.py",
    "runner/test_interruption.py",
    "runner/test_plan.py",
    "training/real/test_cache.py",
    "training/real/test_objective.py",
    "training/real/test_train.py",
    "training/test_interruption.py",
    "training/test_local_sgd.py",
    "data/test_rendered_suite.py",
)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--fast",
        action="store_true",
        help="leave out the files of HEAVY, for a look at other versions of what is installed",
    )
    parser.addoption("--slow", action="store_true", help="run tests marked slow too")
    parser.addoption("--network", action="store_true", help="run tests marked network too")


def pytest_configure() -> None:
    if (
        os.environ.get("VBBENCH_TEST_INSTALLED")
        and "site-packages" not in Path(vbbench.__file__).parts
    ):
        pytest.exit(
            f"the installed vbbench was to be tested, but {vbbench.__file__} was imported",
            returncode=4,
        )


def pytest_report_header() -> list[str]:
    return [
        f"vbbench {vbbench.__version__} from {Path(vbbench.__file__).parent}",
        f"with {', '.join(_installed_versions())}",
    ]


def _installed_versions() -> list[str]:
    """Names and versions of what ``pyproject.toml`` asks for, extras included, so that a log tells what was tried."""
    try:
        lines = metadata.requires("vbbench") or []
    except metadata.PackageNotFoundError:  # from a checkout, without being installed
        return ["what is on the path"]
    names = sorted({re.match(r"[\w.-]+", line)[0] for line in lines} - {"vbbench"})
    return [
        f"{name} {metadata.version(name)}"
        for name in names
        if next(metadata.distributions(name=name), None)
    ]


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    if not config.getoption("--fast"):
        return None
    here = Path(__file__).parent
    gone = [name for name in HEAVY if not (here / name).exists()]
    if gone:
        raise pytest.UsageError(
            f"HEAVY in tests/conftest.py names what is not there: {', '.join(gone)}."
        )
    return True if collection_path in {here / name for name in HEAVY} else None


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    skips = _skips(
        config,
        {
            marker
            for item in items
            for marker in ("gpu", "browser")
            if item.get_closest_marker(marker)
        },
    )
    for item in items:
        for marker, reason in skips.items():
            if item.get_closest_marker(marker):
                item.add_marker(pytest.mark.skip(reason=reason))


def _skips(config: pytest.Config, used: set[str]) -> dict[str, str]:
    """Marker -> why its tests are skipped here."""
    skips = {
        marker: f"needs --{marker}"
        for marker in ("slow", "network")
        if not config.getoption(f"--{marker}")
    }
    if "gpu" in used:
        import torch

        if not torch.cuda.is_available():
            skips["gpu"] = "there is no NVIDIA GPU here"
    if "browser" in used and not (
        _program("chromium", "google-chrome") and _program("chromedriver")
    ):
        skips["browser"] = "Chromium or its driver is not installed"
    return skips


def _program(*names: str) -> str | None:
    return next(filter(None, map(shutil.which, names)), None)


@pytest.fixture(scope="session", autouse=True)
def own_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Tests neither read nor fill the user's cache."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("VBBENCH_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """A headless Chromium that reaches no network and writes down what it does."""
    webdriver = pytest.importorskip("selenium.webdriver", reason="selenium is not installed")
    options = webdriver.ChromeOptions()
    options.binary_location = shutil.which("chromium") or shutil.which("google-chrome")
    for switch in (*SWITCHES.split(), f"--user-data-dir={tmp_path_factory.mktemp('profile')}"):
        options.add_argument(switch)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    driver = webdriver.Chrome(options, webdriver.ChromeService(shutil.which("chromedriver")))
    yield driver
    driver.quit()


@pytest.fixture
def page(browser: Any, index: Path) -> Any:
    """The page that the test module's own fixture ``index`` wrote, opened from disk."""
    browser.get(index.as_uri())
    return browser


@pytest.fixture
def make_suite(tmp_path: Path) -> Callable[..., PromptSuite]:
    """Writes a suite of three subjects of one colour each, two items a subject, and reads it
    back."""

    def make(folder: str = "suite", **settings: object) -> PromptSuite:
        root = tmp_path / folder
        subjects, items = [], []
        for name, colour in COLOURS.items():
            image = np.full((16, 16, 3), 255, np.uint8)
            image[4:12, 4:12] = colour
            (root / "images").mkdir(parents=True, exist_ok=True)
            Image.fromarray(image).save(root / "images" / f"{name}.png")
            clip = Video(np.broadcast_to(np.array(colour, np.uint8), (3, 16, 16, 3)).copy(), fps=4)
            write_video_lossless(root / "fit" / f"{name}.mkv", clip)
            class_name = name.split("-")[0]
            row = {"id": name, "class": class_name, "image": f"images/{name}.png"}
            subjects.append({**row, "clips": [f"fit/{name}.mkv"], "captions": [f"a {class_name}"]})
            for place in ("beach", "road"):
                text = f"a {class_name} on the {place}"
                items.append(
                    {
                        **row,
                        "id": f"{name}-{place}",
                        "subject": name,
                        "text": text,
                        "subject_word": class_name,
                        "scene": place,
                    }
                )
        suite.write(root, {**SUITE_SETTINGS, **settings}, subjects, items)
        return load_suite(root)

    return make


@pytest.fixture
def tiny_suite(make_suite: Callable[..., PromptSuite]) -> PromptSuite:
    return make_suite()


@pytest.fixture
def recipe_folder(tmp_path: Path) -> Callable[[str], Path]:
    """Copies a recipe of the tests, so that a test may change it."""
    return lambda name: Path(shutil.copytree(RECIPES / name, tmp_path / "recipes" / name))


@pytest.fixture
def subprocess_environment() -> dict[str, str]:
    """An environment in which another Python finds the very vbbench that is tested."""
    return {
        **os.environ,
        "PYTHONPATH": str(Path(vbbench.__file__).parent.parent),
        "OMP_NUM_THREADS": "1",
        "PYTHONDONTWRITEBYTECODE": "1",
    }


class Package(Protocol):
    """Installs a package that names folders by an entry point."""

    def __call__(self, group: str, *folders: Path, code: str = "") -> None: ...


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Package:
    """Puts a package on sys.path, with metadata as an installer writes them; `code` stands in its
    function before the folders are returned."""
    count = 0

    def install(group: str, *folders: Path, code: str = "") -> None:
        nonlocal count
        count += 1
        name = f"their_package_{count}"
        site = tmp_path / name
        about = site / f"{name}-1.0.dist-info"
        about.mkdir(parents=True)
        (about / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
        (about / "entry_points.txt").write_text(f"[{group}]\n{name} = {name}:folders\n")
        paths = [str(folder) for folder in folders]
        (site / f"{name}.py").write_text(
            f"def folders():\n    {code or 'pass'}\n    return {paths!r}\n"
        )
        monkeypatch.syspath_prepend(site)
        # of an earlier test
        monkeypatch.delitem(sys.modules, name, raising=False)

    return install
