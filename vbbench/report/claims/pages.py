"""The claims written down: claims.json for programs, claims.md for a README, claims.html for
people."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from vbbench.report.export import markdown_cell
from vbbench.report.pages import copy_assets, environment
from vbbench.results import formatting
from vbbench.results.claims import wording
from vbbench.results.claims.analysis import ClaimResults
from vbbench.results.claims.evaluate import REPRODUCED, UNDECIDED, Finding, Result
from vbbench.results.claims.paper_claims import SHARE
from vbbench.results.clustered import CONFIDENCE, RESAMPLES, SEED

# The claims for programs: everything that the page tells, and the p values.

DECIMALS = 6


def claims_record(found: ClaimResults) -> dict[str, Any]:
    """Everything on the page, and the p values."""
    run = found.run
    return {
        "suite": asdict(run.suite),
        "statistics": {
            "interval": CONFIDENCE,
            "resamples": RESAMPLES,
            "seed": SEED,
            "rule": wording.RULE,
            "intervals": wording.INTERVALS,
        },
        "metrics": {spec.name: spec.id for spec in run.metrics},
        "models": {
            model.name: {
                "recipe": model.recipe,
                "training_seed": model.training_seed,
                "digest": model.digest,
                "weights": dict(model.weights),
            }
            for model in run.models
        },
        "claims": [_claim_record(result) for result in found.results],
        "lost": list(found.lost),
        "runs": [
            {key: manifest.get(key) for key in ("vbbench", "commit", "created", "environment")}
            for manifest in run.manifests
        ],
    }


def _claim_record(result: Result) -> dict[str, Any]:
    claim = result.claim
    return {
        "name": claim.name,
        "says": claim.says,
        "source": claim.source,
        "kind": claim.kind,
        "better": claim.better,
        "worse": claim.worse,
        "floor": claim.floor,
        "verdict": result.verdict,
        "established": result.established,
        "sentence": wording.sentence(result),
        "notes": wording.notes(result),
        "findings": [_finding_record(finding) for finding in result.findings],
        "beside": [_finding_record(finding) for finding in result.beside],
    }


def _finding_record(finding: Finding) -> dict[str, Any]:
    estimate = finding.estimate
    return {
        "metric": finding.metric,
        "verdict": finding.verdict,
        "estimate": None if estimate is None else _rounded(estimate.mean),
        "low": None if estimate is None else _rounded(estimate.low),
        "high": None if estimate is None else _rounded(estimate.high),
        "null": finding.null,
        "claimed": "above" if finding.direction > 0 else "below",
        "p": _rounded(finding.p),
        "corrected": _rounded(finding.corrected),
        "items": 0 if estimate is None else estimate.items,
        "individuals": 0 if estimate is None else estimate.clusters,
        "training_seeds": list(finding.seeds),
        "without_value": dict(finding.lost or {}),
        "unused": list(finding.unused),
        "lack": finding.lack or None,
    }


def _rounded(value: float | None) -> float | None:
    return None if value is None else float(round(value, DECIMALS)) + 0.0  # no negative zero


ASSETS = ("report.css", "report.js")
KINDS = {REPRODUCED: "better", "not reproduced": "worse", UNDECIDED: "same"}


@dataclass(frozen=True)
class Line:
    """A metric of a claim as it is shown; `low`, `middle`, `high`, `line` are places on the axis,
    in %, `line` being where the claim begins to be true."""

    metric: str
    amount: str
    decides: bool
    kind: str
    verdict: str
    trainings: str
    individuals: str
    low: float | None
    middle: float | None
    high: float | None
    line: float | None


def write_claims(found: ClaimResults, folder: Path) -> Path:
    """Write claims.json, claims.md and claims.html; the same scores give the same bytes.

    Returns:
        The path of claims.html.
    """
    folder.mkdir(parents=True, exist_ok=True)
    record = json.dumps(claims_record(found), indent=2, ensure_ascii=False, allow_nan=False)
    (folder / "claims.json").write_text(f"{record}\n", "utf-8")
    (folder / "claims.md").write_text(_markdown(found), "utf-8")
    template = environment("vbbench.report").get_template("claims.html.jinja")
    html = template.render(**_context(found))
    (folder / "claims.html").write_text(html, "utf-8")
    copy_assets(folder, "vbbench.report", ASSETS)
    return folder / "claims.html"


def lines_of(result: Result, reaches: dict[str, float] | None = None) -> list[Line]:
    """A claim's metrics as they are shown, those that decide first; one line for all where none was
    measured.

    Args:
        reaches: axis -> half its length, in the metric's unit; no places without them.
    """
    if all(finding.estimate is None for finding in result.findings):
        names = ", ".join(wording.title(finding.metric) for finding in result.findings)
        return [replace(_line(result, result.findings[0], True, {}), metric=names)]
    findings = [(finding, True) for finding in result.findings]
    findings += [(finding, False) for finding in result.beside if finding.estimate is not None]
    return [_line(result, finding, decides, reaches or {}) for finding, decides in findings]


def _line(result: Result, finding: Finding, decides: bool, reaches: dict[str, float]) -> Line:
    estimate = finding.estimate
    reach = reaches.get(_axis(result, finding))
    numbers = (
        (None, None, None) if estimate is None else (estimate.low, estimate.mean, estimate.high)
    )
    low, middle, high, line = (
        None
        if number is None or reach is None
        else round(50 + 50 * min(1.0, max(-1.0, number / reach)), 1)
        for number in (*numbers, finding.null)
    )
    return Line(
        metric=wording.title(finding.metric),
        amount=wording.amount(result.claim, finding),
        decides=decides,
        kind=KINDS.get(finding.verdict, "unknown"),
        verdict=finding.verdict
        if decides
        else wording.BESIDE.get(finding.verdict, finding.verdict),
        trainings=str(len(finding.seeds) or "") if estimate else "",
        individuals=str(estimate.clusters) if estimate else "",
        low=low,
        middle=middle,
        high=high,
        line=line,
    )


def _axis(result: Result, finding: Finding) -> str:
    return SHARE if result.claim.kind == SHARE else finding.metric


def _reaches(results: Sequence[Result]) -> dict[str, float]:
    """Axis -> half its length, so that every interval of its metric finds room."""
    reaches: dict[str, float] = {}
    for result in results:
        for finding in (*result.findings, *result.beside):
            if finding.estimate is not None:
                ends = (
                    finding.estimate.low,
                    finding.estimate.mean,
                    finding.estimate.high,
                    finding.null,
                )
                longest = max(abs(end) for end in ends if end is not None)
                # a share from next to nothing may reach far; beyond twice the whole the axis says
                # no more
                longest = min(longest, 2.0) if result.claim.kind == SHARE else longest
                axis = _axis(result, finding)
                reaches[axis] = max(reaches.get(axis, 0.0), 1.05 * longest)
    return {axis: reach for axis, reach in reaches.items() if reach > 0}


def _context(found: ClaimResults) -> dict[str, Any]:
    reaches = _reaches(found.results)
    return {
        "run": found.run,
        "words": formatting,
        "wording": wording,
        "individuals": found.individuals,
        "untrained": found.untrained,
        "results": [
            (result, lines_of(result, reaches), KINDS.get(result.verdict, "unknown"))
            for result in found.results
        ],
        "counts": found.counts,
        "lack": found.lack,
        "lost": found.lost,
        "machines": found.machines,
        "runs": [_run_words(manifest) for manifest in found.run.manifests],
    }


def _run_words(manifest: Any) -> str:
    told = [f"vbbench {manifest['vbbench']}"] if manifest.get("vbbench") else []
    told += [f"commit {str(manifest['commit'])[:12]}"] if manifest.get("commit") else []
    told += [str(manifest["created"])] if manifest.get("created") else []
    told += [str(cpu)] if (cpu := manifest.get("environment", {}).get("cpu")) else []
    return ", ".join(told)


def _markdown(found: ClaimResults) -> str:
    lines = ["# The paper's claims", "", found.counts, ""]
    if found.untrained:
        lines += [f"**{markdown_cell(found.untrained)}**", ""]
    lines += [
        "| Claim | Metric | Difference (95 % interval) | Trainings | Individuals | Verdict |",
        "|---|---|---:|---:|---:|---|",
    ]
    for result in found.results:
        for place, line in enumerate(lines_of(result)):
            name = (
                f"{result.claim.name}<br>{markdown_cell(result.claim.source)}" if place == 0 else ""
            )
            cells = (
                line.metric,
                line.amount,
                line.trainings,
                line.individuals,
                verdict_cell(result, line, place),
            )
            lines.append("| " + " | ".join([name, *map(markdown_cell, cells)]) + " |")
    lines += ["", "In sentences:", ""]
    lines += [
        markdown_cell(f"- {' '.join([wording.sentence(result), *wording.notes(result)])}")
        for result in found.results
    ]
    if found.lost:
        lines += ["", "No value for:", "", *(f"- {markdown_cell(text)}" for text in found.lost)]
    if found.lack:
        lines += ["", markdown_cell(found.lack)]
    if found.machines:
        lines += ["", markdown_cell(found.machines)]
    lines += [
        "",
        wording.RULE,
        "",
        wording.INTERVALS,
        "",
        markdown_cell(found.scores_from),
        "",
    ]
    return "\n".join(lines)


def verdict_cell(result: Result, line: Line, place: int) -> str:
    """What stands under "verdict" in a table: the claim's own in its first line, and of metrics
    beside, whether they agree."""
    if place == 0:
        return wording.verdict(result)
    return line.verdict if not line.decides else ""
