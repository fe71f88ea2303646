"""From file names to an outcome: what the command line, pytest and scripts share."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

from vbbench.core.names import names_in, nearest
from vbbench.core.paths import baselines_dir
from vbbench.errors import UsageError
from vbbench.results.gate.compare import Outcome, compare
from vbbench.results.gate.scores import Recording, read_recording
from vbbench.results.gate.tolerances import BUNDLED, Tolerances, read_tolerances
from vbbench.results.run_data import RunData
from vbbench.results.run_folder import load_run


@dataclass(frozen=True)
class Held:
    """An outcome, and everything that it came from."""

    outcome: Outcome
    run: RunData
    recording: Recording
    tolerances: Tolerances
    against: Path


def bundled_scores(suite: str) -> Path:
    """Where the recorded scores of a bundled suite lie."""
    return baselines_dir() / "scores" / f"{suite}.json"


def hold(
    run: Path | str,
    against: Path | str | None = None,
    *,
    models: Collection[str] | str | None = None,
    items: Collection[str] | str | None = None,
    tolerances: Path | str | None = None,
) -> Held:
    """Read the files and compare.

    Args:
        against: the recorded scores; by default those that vbbench ships for the run's suite.
        models, items: names, or one text with commas; all by default.
    Raises:
        VBBenchError: a file is missing or damaged, a name was never recorded, or nothing can be
            compared.
    """
    data = load_run(run)
    path = Path(against) if against else bundled_scores(data.suite.name)
    recording = read_recording(path)
    chosen = {"models": chosen_names(models), "items": chosen_names(items)}
    for what, known in (("models", recording.models), ("items", recording.subject_of)):
        for name in chosen[what] or ():
            if name not in known:  # a name with a slip in it must not be a row that nobody misses
                raise UsageError(
                    f"{path} has no scores of the {what[:-1]} {name!r}: {nearest(name, known)}"
                )
    limits = read_tolerances(Path(tolerances or BUNDLED))
    return Held(compare(data, recording, limits, **chosen), data, recording, limits, path)


def chosen_names(names: Collection[str] | str | None) -> list[str] | None:
    """A list of names from one with commas."""
    if isinstance(names, str):
        return names_in(names)
    return None if names is None else list(names)
