"""A run that gives every kind of verdict, with texts that try to break out, and its recording."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from tests.results.synthetic import FakeRun, build, items
from vbbench.results.gate.check import Held
from vbbench.results.gate.compare import Kind, Moved, Outcome, Verdict, compare
from vbbench.results.gate.scores import Recording, recording_of
from vbbench.results.gate.tolerances import Tolerances, read_tolerances
from vbbench.results.run_data import Result, RunData
from vbbench.results.run_folder import load_run

HOSTILE = (
    '<b>a</b> "quoted" & \'single\' 🐕 </script><script>document.title = "broken in"</script> ]]> {{ 7 * 7 }} | [x](javascript:alert(1)) '
    "![](https://example.org/a.png) @everyone \u202eright to left مرحبا " + "long " * 400
)
WHO = 'A "<i>Maintainer</i>" \u202e|\n# heading'
ENVIRONMENT = {"python": "3.11", "torch": "2.14", "device": "cpu", "gpu": None}
FACTS = {
    "who": WHO,
    "why": HOSTILE,
    "when": "2025-01-02T00:00:00+00:00",
    "commit": "0123abc",
    "vbbench": "0.1.0",
    "environment": ENVIRONMENT,
}


@dataclass(frozen=True)
class Case:
    """What `write_outputs` is given."""

    outcome: Outcome
    run: RunData
    recording: Recording
    old: RunData
    tolerances: Tolerances


def scored(run: RunData, change: Callable[[str, int, str], float | str]) -> RunData:
    """The run with each value changed by a number, or replaced by the reason why there is none."""
    results = dict(run.results)
    for (model, item, metric), result in run.results.items():
        by = change(model, int(item[1:]), metric)
        if isinstance(by, str):
            results[model, item, metric] = Result(None, by)
        elif result.value is not None:
            results[model, item, metric] = Result(result.value + by)
    return replace(run, results=results)


def disturbance(model: str, item: int, metric: str) -> float | str:
    """Drifted, better, not measured for lack of a number, not measured for noise; the rest the
    same."""
    if (model, item, metric) == ("real-video", 1, "dino"):
        return f"it could not be read: \x00\x1b[31m {HOSTILE}"
    return {
        ("videobooth", "dino"): -0.05 - item / 1000,
        ("text-to-video", "clip-text"): 0.03 + item / 1000,
        ("textual-inversion", "dino"): 0.2 if item % 2 else -0.2,
    }.get((model, metric), 0.0)


@pytest.fixture(scope="session")
def case(tmp_path_factory: pytest.TempPathFactory) -> Case:
    """Twelve individuals, seven models, three metrics; the old run has lost a video."""
    fake = FakeRun(items(12), lambda model, item, metric: 0.4 + int(item[1:]) / 100)
    fake.items[0].text = HOSTILE
    folder = tmp_path_factory.mktemp("gate")
    old, run = (load_run(build(folder / name, fake)) for name in ("old", "new"))
    next(folder.glob("old/videos/videobooth/11.mkv")).unlink()
    tolerances = read_tolerances()
    recording = recording_of(old, FACTS, [scored(old, lambda *_: 1e-5)])
    run = scored(run, disturbance)
    found = compare(run, recording, tolerances).verdicts
    slower = Verdict(
        "videobooth",
        "seconds",
        Kind.SLOWER,
        "2.00 times what was recorded",
        1.0,
        2.0,
        tolerance=1.5,
    )
    other = Verdict("still-image", "dino", Kind.NOT_COMPARABLE, "recorded by spec a, now b")
    kept = [
        v
        for v in found
        if (v.model, v.metric) not in {("videobooth", "seconds"), ("still-image", "dino")}
    ]
    return Case(Outcome((*kept, slower, other)), run, recording, old, tolerances)


def many(case: Case, rows: int) -> Case:
    """As many drifted rows, each with five moved items."""
    moved = tuple(Moved(f"i{number}", 0.5, 0.4) for number in range(5))
    names = [f"model-{number}" for number in range(rows)]
    verdicts = tuple(
        Verdict(name, "dino", Kind.DRIFTED, HOSTILE, 0.5, 0.4, tolerance=0.01, moved=moved)
        for name in names
    )
    model = case.recording.models["videobooth"]
    clips = {
        (name, item.id): case.run.clips["videobooth", item.id]
        for name in names
        for item in case.run.items
    }
    recording = replace(case.recording, models={name: replace(model, title=name) for name in names})
    return replace(
        case, outcome=Outcome(verdicts), run=replace(case.run, clips=clips), recording=recording
    )


def out(folder: Path, case: Case, *, old: bool = True) -> Path:
    """Write everything; returns the page."""
    from vbbench.report.gate.outputs import write_outputs

    held = Held(case.outcome, case.run, case.recording, case.tolerances, Path("scores/tiny.json"))
    return write_outputs(held, folder, case.old if old else None)
