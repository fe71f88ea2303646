"""Verdicts of the gate over runs whose changes are known."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tests.results.synthetic import METRICS, FakeRun, build, items, spec
from vbbench.errors import IncompleteError
from vbbench.results.gate.compare import Kind, Outcome, compare
from vbbench.results.gate.scores import Recording, recording_of
from vbbench.results.gate.tolerances import Tolerance, Tolerances
from vbbench.results.run_data import RunData
from vbbench.results.run_folder import load_run

TOLERANCES = Tolerances(
    {"default": Tolerance(0.01, "for a test")}, Tolerance(1.5, "x"), Tolerance(1.2, "x")
)
MODELS = {"videobooth": ("VideoBooth", ()), "text-to-video": ("Text to video", ())}
Change = Callable[[str, str, str], float]
RNG = np.random.default_rng(5)
DRAWN = RNG.normal(size=45)
SPREAD = {f"i{number}": float(value) for number, value in enumerate(DRAWN - DRAWN.mean())}


@pytest.fixture
def make(tmp_path: Path) -> Callable[..., RunData]:
    """A run of 45 individuals whose values are 0.5 plus a change."""
    count = 0

    def run(change: Change = lambda *_: 0.0, individuals: int = 45, **known: object) -> RunData:
        nonlocal count
        count += 1

        def value(model: str, item: str, metric: str) -> float:
            return 0.5 + 0.001 * int(item[1:]) + change(model, item, metric)

        return load_run(
            build(
                tmp_path / f"run{count}",
                FakeRun(items(individuals), value, **{"models": MODELS, **known}),
                videos=False,
            )
        )

    return run


def recorded(run: RunData, *reruns: RunData) -> Recording:
    return recording_of(run, {"who": "a test", "why": "to compare with"}, reruns)


def kinds(outcome: Outcome, model: str = "videobooth") -> dict[str, Kind]:
    return {
        verdict.metric: verdict.kind
        for verdict in outcome.verdicts
        if verdict.model == model and verdict.metric not in ("seconds", "memory")
    }


def only(metric: str, change: Callable[[str], float]) -> Change:
    """A change of one metric of VideoBooth."""
    return lambda model, item, name: (
        change(item) if (model, name) == ("videobooth", metric) else 0.0
    )


def test_the_same_numbers_pass(make) -> None:
    outcome = compare(make(), recorded(make()), TOLERANCES)
    assert set(kinds(outcome).values()) == {Kind.SAME}
    assert outcome.exit_code == 0


@pytest.mark.parametrize(
    ("change", "kind", "code"),
    [
        (lambda item: -0.05 + 0.01 * SPREAD[item], Kind.DRIFTED, 1),  # worse, clearly
        (lambda item: 0.05 + 0.01 * SPREAD[item], Kind.BETTER, 0),
        (
            lambda item: 0.001 * SPREAD[item],
            Kind.SAME,
            0,
        ),  # items move, the mean does not, and that is shown
        (
            lambda item: -0.002 + 0.001 * SPREAD[item],
            Kind.SAME,
            0,
        ),  # clear of zero, but shown to be within the tolerance
        (
            lambda item: 0.3 * SPREAD[item],
            Kind.DRIFTED,
            1,
        ),  # every item is another, though the mean is the same: no pass
    ],
)
def test_verdicts_follow_from_paired_items(
    make, change: Callable[[str], float], kind: Kind, code: int
) -> None:
    outcome = compare(make(only("dino", change)), recorded(make()), TOLERANCES)
    assert kinds(outcome)["dino"] is kind
    assert {metric: k for metric, k in kinds(outcome).items() if metric != "dino"} == dict.fromkeys(
        ["clip-text", "temporal-consistency"], Kind.SAME
    )
    assert outcome.exit_code == code


def test_a_change_within_measured_noise_passes_and_beyond_it_does_not(make) -> None:
    """With three individuals nothing else can show that a change does not matter."""
    shaken = make(only("dino", lambda item: -0.002), individuals=3)
    strict = recorded(make(individuals=3))
    tolerant = recorded(make(individuals=3), make(only("dino", lambda item: 0.001), individuals=3))
    assert tolerant.noise["dino"].largest == pytest.approx(0.001)
    assert tolerant.noise["clip-text"].largest == 0
    assert kinds(compare(shaken, tolerant, TOLERANCES))["dino"] is Kind.SAME
    assert kinds(compare(shaken, strict, TOLERANCES))["dino"] is Kind.DRIFTED
    assert (
        kinds(
            compare(make(only("dino", lambda item: -0.005), individuals=3), tolerant, TOLERANCES)
        )["dino"]
        is Kind.DRIFTED
    )


def test_noise_with_an_outlier_hides_no_fall_of_the_mean(make) -> None:
    """One item of the rerun was far off; that all items fall by five tolerances is seen all the
    same."""
    outlier = make(only("dino", lambda item: 0.2 if item == "i7" else 0.0))
    assert (
        kinds(
            compare(make(only("dino", lambda item: -0.05)), recorded(make(), outlier), TOLERANCES)
        )["dino"]
        is Kind.DRIFTED
    )


def test_a_reference_row_cannot_improve(make) -> None:
    models = {"real-video": ("Real video", ("references",))}
    higher = make(lambda *_: 0.05, models=models)
    outcome = compare(higher, recorded(make(models=models)), TOLERANCES)
    assert set(kinds(outcome, "real-video").values()) == {Kind.DRIFTED}


def test_the_items_that_moved_most_are_named_first(make) -> None:
    hurt = {"i7": -0.4, "i3": -0.2, "i9": -0.3}
    outcome = compare(
        make(only("dino", lambda item: hurt.get(item, -0.05))), recorded(make()), TOLERANCES
    )
    (row,) = (verdict for verdict in outcome.verdicts if verdict.kind is Kind.DRIFTED)
    assert [moved.item for moved in row.moved[:3]] == ["i7", "i9", "i3"]
    assert row.moved[0].new - row.moved[0].old == pytest.approx(-0.4)


def test_where_lower_is_better_up_is_drift(make) -> None:
    metrics = (spec("dino", higher_is_better=False),)
    outcome = compare(
        make(only("dino", lambda item: 0.05), metrics=metrics),
        recorded(make(metrics=metrics)),
        TOLERANCES,
    )
    assert kinds(outcome) == {"dino": Kind.DRIFTED}


def test_motion_is_never_better(make) -> None:
    metrics = (spec("motion"),)
    outcome = compare(
        make(only("motion", lambda item: 0.05), metrics=metrics),
        recorded(make(metrics=metrics)),
        TOLERANCES,
    )
    assert kinds(outcome) == {"motion": Kind.DRIFTED}


def test_too_few_individuals_pass_only_without_a_change(make) -> None:
    few = recorded(make(individuals=3))
    assert compare(make(individuals=3), few, TOLERANCES).exit_code == 0
    outcome = compare(make(only("dino", lambda item: -0.002), individuals=3), few, TOLERANCES)
    assert kinds(outcome)["dino"] is Kind.DRIFTED
    assert outcome.exit_code == 1


def test_noise_that_could_hide_a_change_is_no_pass(make) -> None:
    """Reruns that differ by 0.2 an item cannot show that a mean of 45 has not moved by 0.01."""
    noisy = make(only("dino", lambda item: 0.2 * SPREAD[item]))
    outcome = compare(
        make(only("dino", lambda item: -0.2 * SPREAD[item])), recorded(make(), noisy), TOLERANCES
    )
    assert kinds(outcome)["dino"] is Kind.NOT_MEASURED
    assert outcome.exit_code == 3


@pytest.mark.parametrize(
    ("changed", "kind", "words"),
    [
        (
            {"models": {"text-to-video": ("Text to video", ())}},
            Kind.NOT_MEASURED,
            "videobooth is not in the run",
        ),
        ({"metrics": METRICS[:2]}, Kind.NOT_MEASURED, "the run has no temporal-consistency"),
        (
            {"failed": {("videobooth", "i4"): "out of memory"}},
            Kind.NOT_MEASURED,
            "1 of 45 items .* i4: out of memory",
        ),
        ({"missing": frozenset({("videobooth", "i4")})}, Kind.NOT_MEASURED, "i4: not run yet"),
        (
            {"metrics": (*METRICS[:2], spec("temporal-consistency", version="2"))},
            Kind.NOT_COMPARABLE,
            "they differ in version",
        ),
    ],
)
def test_what_is_missing_never_passes(
    make, changed: dict[str, object], kind: Kind, words: str
) -> None:
    outcome = compare(make(**changed), recorded(make()), TOLERANCES)
    assert outcome.exit_code == 3
    found = [
        verdict.sentence for verdict in outcome.verdicts if verdict.kind is kind and verdict.counts
    ]
    assert found
    assert all(re.search(words, sentence) for sentence in found)


def test_items_that_never_had_a_number_are_not_asked_for(make) -> None:
    failed = {"failed": {("videobooth", "i4"): "out of memory"}}
    assert compare(make(), recorded(make(**failed)), TOLERANCES).exit_code == 0


def test_only_the_chosen_models_and_items_are_compared(make) -> None:
    run = make(
        models={"videobooth": ("VideoBooth", ())},
        missing=frozenset(("videobooth", f"i{n}") for n in range(9, 45)),
    )
    chosen = [f"i{number}" for number in range(9)]
    outcome = compare(run, recorded(make()), TOLERANCES, models=["videobooth"], items=chosen)
    assert outcome.exit_code == 0
    assert outcome.verdicts[0].change.items == 9


@pytest.mark.parametrize(
    "suite",
    [
        {"name": "tiny", "version": "2.0", "digest": "d1" * 32},
        {"name": "tiny", "version": "1.0", "digest": "d2" * 32},
    ],
)
def test_another_suite_is_refused(make, suite: dict[str, str]) -> None:
    with pytest.raises(IncompleteError, match="cannot be compared") as error:
        compare(make(suite=suite), recorded(make()), TOLERANCES)
    assert error.value.exit_code == 3


def test_an_empty_run_and_nothing_recorded_are_refused(make) -> None:
    everything = frozenset((model, f"i{number}") for model in MODELS for number in range(45))
    with pytest.raises(IncompleteError, match="empty"):
        compare(make(missing=everything), recorded(make()), TOLERANCES)
    with pytest.raises(IncompleteError, match="ever been recorded"):
        compare(make(), recorded(make()), TOLERANCES, models=["elite"])


@pytest.mark.parametrize(
    ("factor", "machine", "kind"),
    [
        (1.0, "a", Kind.SAME),
        (2.0, "a", Kind.SLOWER),
        (0.5, "a", Kind.BETTER),
        (2.0, "b", Kind.NOT_COMPARABLE),
    ],
)
def test_speed_is_held_against_the_same_machine_only(
    make, factor: float, machine: str, kind: Kind
) -> None:
    run = make()
    before = recorded(_on(run, "a", slowness=1.2))
    slower = _on(
        run, machine, slowness=2.4, factor=2 * factor
    )  # the whole machine is twice as slow: that is no news
    outcome = compare(slower, before, TOLERANCES)
    rows = {verdict.kind for verdict in outcome.verdicts if verdict.metric == "seconds"}
    assert rows == {kind}
    assert outcome.exit_code == (1 if kind is Kind.SLOWER else 0)


@pytest.mark.parametrize(
    ("resident", "peak", "kind"),
    [
        (300.0, 900.0, Kind.SAME),
        (600.0, 1200.0, Kind.SAME),
        (300.0, 1200.0, Kind.DRIFTED),
        (None, 900.0, Kind.NOT_COMPARABLE),
    ],
)
def test_memory_is_what_the_jobs_took(
    make, resident: float | None, peak: float, kind: Kind
) -> None:
    """A process that was larger before its first job is no news."""
    run = make()
    before = recorded(_on(run, "a", slowness=1.0, resident=300.0, peak=900.0))
    outcome = compare(_on(run, "a", slowness=1.0, resident=resident, peak=peak), before, TOLERANCES)
    assert {verdict.kind for verdict in outcome.verdicts if verdict.metric == "memory"} == {kind}
    assert outcome.exit_code == (1 if kind is Kind.DRIFTED else 0)


def _on(
    run: RunData,
    machine: str,
    *,
    slowness: float,
    factor: float = 1.0,
    resident: float | None = 300.0,
    peak: float = 900.0,
) -> RunData:
    environment = {
        "cpu": machine,
        "device": "cpu",
        "threads": 1,
        "slowness": slowness,
        "resident_mb": resident,
    }
    manifest = {**run.manifests[0], "environment": environment}
    clips = {
        key: replace(clip, seconds=(clip.seconds or 1.0) * factor, peak_memory_mb=peak)
        for key, clip in run.clips.items()
    }
    return replace(run, clips=clips, manifests=(manifest,))


def test_no_false_alarm_and_no_miss_in_a_thousand_simulated_reruns(make) -> None:
    """Noise as measured between reruns raises an alarm in at most 1 %, a shift of five tolerances
    is seen every time."""
    rng = np.random.default_rng(0)
    base = make()
    sd = 3e-4
    reruns = [_shaken(base, rng, sd) for _ in range(10)]
    recording = recorded(base, *reruns)
    alarms = sum(
        compare(_shaken(base, rng, sd), recording, TOLERANCES, models=["videobooth"]).exit_code != 0
        for _ in range(1000)
    )
    assert alarms <= 10
    assert all(
        compare(_shaken(base, rng, sd, shift=-0.05), recording, TOLERANCES).exit_code == 1
        for _ in range(20)
    )


def _shaken(run: RunData, rng: np.random.Generator, sd: float, shift: float = 0.0) -> RunData:
    results = {
        key: replace(result, value=result.value + shift + sd * rng.normal())
        for key, result in run.results.items()
    }
    return replace(run, results=results)
