"""Results, report, runner and command line go by kind, direction and role: no metric and no
reference row is known by its name."""

from __future__ import annotations

import ast
from pathlib import Path

import vbbench
from vbbench.metrics.meaning import BUNDLED, KINDS
from vbbench.models.recipes import ROLES

PACKAGE = Path(vbbench.__file__).parent
ROOMS = ("runner", "results", "report", "cli")
REFERENCES = ("real-video", "other-individual", "still-image", "shuffled-frames")
NAMES = {*BUNDLED, *REFERENCES} - {*KINDS, *ROLES}
# This list only shrinks.
ALLOWED = {
    "report/validity/files.py": "which six curves are drawn, and in which colours",
    "results/claims/paper_claims.py": "what the paper claims, of the paper's metrics",
    "runner/scoring.py": "the role of an encoder, which is called as the metric is",
    "runner/video_manifest.py": "the metrics of a suite that is made of a manifest",
}


def files_with_names() -> set[str]:
    found = set()
    for room in ROOMS:
        for path in (PACKAGE / room).rglob("*.py"):
            for node in ast.walk(ast.parse(path.read_text("utf-8"))):
                if isinstance(node, ast.Constant) and node.value in NAMES:
                    found.add(path.relative_to(PACKAGE).as_posix())
    return found


def test_no_metric_and_no_row_is_known_by_name() -> None:
    assert files_with_names() == set(ALLOWED)
