"""A metric as a folder: read, checked, built; and by entry points."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.conftest import Package
from vbbench.cli.new import write_template
from vbbench.errors import RecipeError, UsageError
from vbbench.metrics import (
    ENTRY_POINT_GROUP,
    METRICS,
    check_metric_name,
    get_metric,
    metric_name,
    metric_names,
)
from vbbench.metrics.encoders.setting import Setting
from vbbench.metrics.folder import load_metric_folder
from vbbench.runner.scoring import MetricScorer


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write_template(tmp_path / "my-metric", "metric")
    return tmp_path / "my-metric"


def change(folder: Path, name: str, old: str, new: str) -> Path:
    path = folder / name
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))
    return folder


def test_a_folder_is_a_metric(folder: Path) -> None:
    assert metric_name(str(folder)) == "my-metric"
    spec = get_metric(str(folder)).spec
    assert (spec.name, spec.kind, spec.title, spec.direction) == (
        "my-metric",
        "quality",
        "My metric",
        "higher",
    )
    assert not list(folder.rglob("__pycache__"))


def test_settings_are_arguments_of_the_class(folder: Path) -> None:
    change(folder, "metric.py", "def __init__(self, setting)", "def __init__(self, setting, top)")
    change(folder, "metric.py", "bounds=(0, 1)", "bounds=(0, top)")
    with pytest.raises(RecipeError, match="cannot be built: TypeError.*'top'"):
        get_metric(str(folder))
    (folder / "metric.toml").write_text((folder / "metric.toml").read_text() + "settings.top = 7\n")
    assert get_metric(str(folder)).spec.bounds == (0, 7)


@pytest.mark.parametrize(
    ("name", "old", "new", "message"),
    [
        ("metric.toml", "kind =", "knd =", "unknown key 'knd': did you mean 'kind'"),
        ("metric.toml", '"quality"', '"beauty"', "no kind 'beauty' in .*: subject, text"),
        ("metric.toml", '"higher"', '"up"', "no direction 'up' in .*: higher, lower, none"),
        ("metric.toml", '"higher"', '"lower"', "contradicts itself.*higher_is_better = True"),
        ("metric.toml", 'title = "My metric"', "", "lacks title"),
        ("metric.toml", '"My metric"', "3", "title in .* must be a str"),
        ("metric.toml", '"my-metric"', '"My metric"', "must be of a-z"),
        ("metric.toml", '"my-metric"', '"dino"', "called 'dino', as a bundled one"),
        ("metric.toml", '"my-metric"', '"another"', "has a spec called 'my-metric'"),
        ("metric.toml", "metric.py:MyMetric", "metric.py", "must be 'file.py:Class'"),
        ("metric.toml", "metric.py:", "../metric.py:", "does not lie in its folder"),
        ("metric.toml", ":MyMetric", ":MyMetrik", "no class MyMetrik in metric.py"),
        ("metric.py", "import numpy", "import no_such_module", "cannot be imported: Module"),
    ],
)
def test_what_is_wrong_is_told(folder: Path, name: str, old: str, new: str, message: str) -> None:
    with pytest.raises(RecipeError, match=message):
        get_metric(str(change(folder, name, old, new)))


def test_a_folder_without_a_metric(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match=r"is not a metric: it has no metric\.toml"):
        load_metric_folder(tmp_path)


def test_two_metrics_of_one_name(folder: Path, tmp_path: Path) -> None:
    twin = shutil.copytree(folder, tmp_path / "twin")
    with pytest.raises(UsageError, match="two metrics are called 'my-metric'"):
        MetricScorer([str(folder), str(twin)], Setting(), "cpu")


def test_packages_add_metrics_by_entry_points(folder: Path, package: Package) -> None:
    package(ENTRY_POINT_GROUP, folder)
    assert metric_names() == [*METRICS, "my-metric"]
    assert get_metric("my-metric").spec.title == "My metric"
    with pytest.raises(UsageError, match="no metric 'my-metrik'. Did you mean 'my-metric'"):
        check_metric_name("my-metrik")


def test_a_broken_package_is_one_warning(
    folder: Path, package: Package, caplog: pytest.LogCaptureFixture
) -> None:
    package(ENTRY_POINT_GROUP, change(folder, "metric.toml", "kind =", "knd ="))
    for _ in range(2):
        assert metric_names() == list(METRICS)
    assert len(caplog.messages) == 1
    assert "unknown key 'knd'" in caplog.text
    assert get_metric("motion").spec.name == "motion"


def test_other_code_is_not_served_from_the_cache(folder: Path) -> None:
    from vbbench.metrics.analysis import Encoders

    encoders = Encoders(Setting())
    before = encoders.key_of(get_metric(str(folder)))  # type: ignore[arg-type]
    change(folder, "metric.py", "/ 255", "/ 256")
    assert encoders.key_of(get_metric(str(folder))) != before  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "line", ["raise RuntimeError('boo')", "raise SystemExit(5)", "self.spec = None\n        return"]
)
def test_a_class_that_cannot_be_built_is_a_sentence(folder: Path, line: str) -> None:
    head = "def __init__(self, setting):"
    change(folder, "metric.py", head, f"{head}\n        {line}")
    with pytest.raises(RecipeError, match="cannot be built|needs a MetricSpec"):
        get_metric(str(folder))


def test_a_file_that_ends_the_program_is_a_sentence(folder: Path) -> None:
    path = folder / "metric.py"
    path.write_text(f"raise SystemExit(5)\n{path.read_text()}")
    with pytest.raises(RecipeError, match="cannot be imported: SystemExit: 5"):
        get_metric(str(folder))
