"""The claims for programs: everything that the page tells, and the p values."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from vbbench.report.claims import wording
from vbbench.report.claims.evaluate import Finding, Result
from vbbench.report.clustered import CONFIDENCE, RESAMPLES, SEED, tidy
from vbbench.report.run_data import RunData

DECIMALS = 6


def claims_record(run: RunData, results: Sequence[Result]) -> dict[str, Any]:
    """Everything on the page, and the p values."""
    return {
        "suite": asdict(run.suite),
        "statistics": {"interval": CONFIDENCE, "resamples": RESAMPLES, "seed": SEED, "rule": wording.RULE, "intervals": wording.INTERVALS},
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
        "claims": [_claim_record(result) for result in results],
        "lost": wording.lost_items(run, results),
        "runs": [{key: manifest.get(key) for key in ("vbbench", "commit", "created", "environment")} for manifest in run.manifests],
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
    return None if value is None else float(tidy(round(value, DECIMALS)))
