"""A validation's folder: README.md, validity.csv, validity.json and the pictures. Equal numbers give equal bytes; nothing is dated."""

from __future__ import annotations

import csv
import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import vbbench
from vbbench import world
from vbbench.errors import UsageError
from vbbench.metrics.cases import SPLIT
from vbbench.metrics.claims import CLAIMS, TRUTHS
from vbbench.report.statistics import CONFIDENCE, RESAMPLES, SEED, Estimate
from vbbench.report.validity import SMALLEST_EFFECT, Findings, analyse
from vbbench.report.validity_pictures import draw
from vbbench.report.validity_words import TITLE, page, plain_sentence

if TYPE_CHECKING:
    from vbbench.metrics.validity import Validation

README = "README.md"
DECIMALS = 6
COLUMNS = ("metric", "spec", "damage", "unit", "level", "clips", "mean", "change", "low", "high")


def prepare_folder(folder: Path) -> None:
    """Make it where it is missing.

    Raises:
        UsageError: its README.md is somebody else's.
    """
    folder.mkdir(parents=True, exist_ok=True)
    readme = folder / README
    if readme.exists() and not readme.read_text("utf-8", "replace").startswith(TITLE):
        raise UsageError(f"{readme} is not a validation's and would be overwritten: choose another folder.")


def write_validation(folder: Path, validation: Validation) -> Findings:
    """Write everything into a folder, made where missing; what else lies there is left alone.

    Raises:
        UsageError: as `prepare_folder`.
    """
    prepare_folder(folder)
    findings = analyse(validation)
    write_csv(folder / "validity.csv", findings)
    write_json(folder / "validity.json", findings)
    (folder / README).write_text(page(findings), "utf-8")
    draw(folder, findings)
    return findings


def write_csv(path: Path, findings: Findings) -> None:
    """A row a metric, damage and level: mean score; change from the real clips in the metric's better direction, and its interval."""
    specs = {spec.name: spec.id for spec in findings.validation.specs}
    units = {damage.name: damage.unit for damage in findings.validation.damages}
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(COLUMNS)
        for cell in findings.cells.values():
            for at in cell.levels:
                numbers = (_rounded(at.mean), *_ends(at.change).values())
                known = (cell.metric, specs[cell.metric], cell.damage, units[cell.damage], f"{at.level:g}", at.change.items)
                writer.writerow([*known, *("" if number is None else number for number in numbers)])


def write_json(path: Path, findings: Findings) -> None:
    """What was done with what, and what was found; levels stand in validity.csv."""
    done = findings.validation
    record = {
        "vbbench": vbbench.__version__,
        "world": world.WORLD_VERSION,
        "libraries": dict(done.libraries),
        "clips": {"split": SPLIT, "classes": list(done.classes), "per_class": done.per_class, "seed": done.seed},
        "statistics": {"interval": CONFIDENCE, "resamples": RESAMPLES, "seed": SEED, "smallest_effect": SMALLEST_EFFECT},
        "truths": TRUTHS,
        "damages": [
            {"name": damage.name, "title": damage.title, "unit": damage.unit, "levels": list(damage.levels), "harms": sorted(damage.harms)}
            for damage in done.damages
        ],
        "metrics": {spec.name: {"tells": sorted(CLAIMS[spec.name]), "spec": asdict(spec)} for spec in done.specs},
        "absent": dict(done.absent),
        "failures": list(done.failures),
        "found": [
            {
                "metric": cell.metric,
                "damage": cell.damage,
                "expected": cell.expected,
                "verdict": cell.verdict,
                "correlation": _ends(cell.correlation),
                "effect": _rounded(cell.effect),
                "threshold": cell.threshold,
            }
            for cell in findings.cells.values()
        ],
        "true_identity": [
            {
                "metric": row.metric,
                "by_damage": {name: _ends(estimate) for name, estimate in row.by_damage.items()},
                "within": _ends(row.within),
                "across": _rounded(row.across),
            }
            for row in findings.truths
        ],
        "sentences": {spec.name: plain_sentence(findings, spec.name) for spec in done.specs},
    }
    path.write_text(json.dumps(record, indent=1, ensure_ascii=False, allow_nan=False) + "\n", "utf-8")


def _ends(estimate: Estimate) -> dict[str, Any]:
    return {"mean": _rounded(estimate.mean), "low": _rounded(estimate.low), "high": _rounded(estimate.high)}


def _rounded(value: float | None) -> float | None:
    return None if value is None or value != value else round(value, DECIMALS) + 0.0
