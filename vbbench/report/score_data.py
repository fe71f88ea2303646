"""Every clip's scores as a plain script, for a page that is opened from disk and may fetch nothing.

``window.vbbenchScores`` holds parallel arrays and whole numbers, so that 20 models x 1,000 items x 6 metrics stay below a megabyte.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from vbbench.results.run_data import RunData

DECIMALS = 5
"""Of the values, which are written as whole numbers of 10**-DECIMALS."""
GLOBAL = "vbbenchScores"
_UNSAFE = {ord(char): f"\\u{ord(char):04x}" for char in "<>&\u2028\u2029"}
"""What could end a script, or a line of it, while inside of a JSON string: these characters appear nowhere else in JSON."""


def write_scores_js(path: Path, run: RunData) -> None:
    """Write a script that sets ``window.vbbenchScores`` and does nothing else; the same run gives the same bytes.

    Its fields:
        version: 1.
        models, metrics: names, as the run lists them.
        ids, texts, classOf, subjectOf: one an item, as the run lists them: its id, its prompt, and which of ``classes`` and ``subjects``
            it is of.
        classes, subjects: names in the order of their first item.
        decimals: a value v stands for v / 10**decimals.
        values: [model][metric][item], null where there is no score.
    """
    path.write_text(f"window.{GLOBAL} = {script_json(score_record(run))};\n", "utf-8")


def score_record(run: RunData) -> dict[str, Any]:
    """What the script holds; see `write_scores_js`."""
    classes, class_of = _indexed(item.class_name for item in run.items)
    subjects, subject_of = _indexed(item.subject_id for item in run.items)
    return {
        "version": 1,
        "models": [model.name for model in run.models],
        "metrics": [spec.name for spec in run.metrics],
        "ids": [item.id for item in run.items],
        "texts": [item.text for item in run.items],
        "classes": classes,
        "classOf": class_of,
        "subjects": subjects,
        "subjectOf": subject_of,
        "decimals": DECIMALS,
        "values": [[_values(run, model.name, spec.name) for spec in run.metrics] for model in run.models],
    }


def script_json(record: Any) -> str:
    """A record as JSON that may stand inside of a script, in a file or in a page: no text in it can end the script or open a comment.

    Raises:
        ValueError: a number that JSON has not (NaN, infinity).
    """
    text = json.dumps(record, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    return text.translate(_UNSAFE)


def _values(run: RunData, model: str, metric: str) -> list[int | None]:
    known = run.values(model, metric)
    return [None if (value := known.get(item.id)) is None else round(value * 10**DECIMALS) for item in run.items]


def _indexed(names: Iterable[str]) -> tuple[list[str], list[int]]:
    """The different names in the order of their first appearance, and each one's number."""
    found = list(names)
    different = list(dict.fromkeys(found))
    number = {name: place for place, name in enumerate(different)}
    return different, [number[name] for name in found]
