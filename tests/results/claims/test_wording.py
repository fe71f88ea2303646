"""Each verdict in a sentence."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from tests.results.claims.synthetic import make_run, names_of, strengths
from vbbench.results.claims import wording
from vbbench.results.claims.evaluate import Finding, Result, evaluate
from vbbench.results.claims.paper_claims import CLAIMS
from vbbench.results.formatting import MINUS
from vbbench.results.statistics import Estimate

BY_NAME = {claim.name: claim for claim in CLAIMS}


def result(name: str, *findings: Finding, beside: tuple[Finding, ...] = ()) -> Result:
    return Result(BY_NAME[name], findings, beside)


def finding(
    metric: str, low: float, mean: float, high: float, seeds: int = 3, **more: object
) -> Finding:
    return Finding(metric, Estimate(mean, low, high, 180, 45), 1, seeds=tuple(range(seeds)), **more)


def test_reproduced() -> None:
    found = result(
        "coarse-to-fine-over-coarse",
        finding("dino", 0.012, 0.031, 0.050),
        finding("clip-image", 0.004, 0.020, 0.041),
        beside=(finding("true-identity", 0.01, 0.02, 0.03),),
    )
    assert wording.sentence(found) == (
        "Coarse-to-fine keeps the subject better than coarse only: DINO +0.031 (+0.012 to +0.050), CLIP-Image +0.020 (+0.004 to +0.041) "
        "over 45 individuals and 3 trainings: reproduced. True identity, what the miniature world itself knows, agrees: +0.020 (+0.010 to "
        "+0.030)."
    )
    assert wording.notes(found) == [
        "The paper: DINO 69.74 against 64.96, CLIP-Image 76.16 against 75.44."
    ]


def test_one_training() -> None:
    found = result(
        "fine-over-coarse",
        finding("dino", 0.1, 0.2, 0.3, 1),
        finding("clip-image", 0.1, 0.2, 0.3, 1),
    )
    assert wording.sentence(found).endswith(
        "over 45 individuals and 1 training: reproduced (one training, not established)."
    )
    assert wording.notes(found)[-1] == (
        "A claim about training wants at least 3 trainings of each model and has 1: `vbbench train NAME --seed 1` makes another, which is "
        "measured as NAME@1."
    )


def test_mixed_verdicts_say_what_they_are_due_to() -> None:
    found = result(
        "fine-over-coarse", finding("dino", 0.1, 0.2, 0.3), finding("clip-image", -0.1, 0.0, 0.1)
    )
    assert wording.sentence(found).endswith(
        ": undecided, as by DINO alone it is reproduced; the interval of CLIP-Image holds zero."
    )
    found = result(
        "fine-over-coarse", finding("dino", -0.3, -0.2, -0.1), finding("clip-image", -0.1, 0.0, 0.1)
    )
    assert wording.sentence(found).endswith(
        ": not reproduced, as by DINO it is the other way round; the interval of CLIP-Image holds zero."
    )


def test_margin_and_share_name_their_line() -> None:
    found = result(
        "text-alignment-kept",
        Finding("clip-text", Estimate(-0.008, -0.02, 0.004, 180, 45), 1, -0.01, (0,)),
    )
    assert wording.sentence(found).endswith(
        f": undecided (one training, not established), as the interval of CLIP-Text holds {MINUS}0.010."
    )
    share = Finding("dino", Estimate(0.42, 0.3, 0.61, 180, 45), -1, 0.5, (0, 1, 2))
    assert (
        ": DINO 42 % (30 % to 61 %) over 45 individuals and 3 trainings: undecided, as the interval of DINO holds 50 %."
        in (wording.sentence(result("joint-leaves-coarse-untaught", share)))
    )
    nothing = Finding(
        "dino",
        Estimate(None, None, None, 180, 45),
        -1,
        0.5,
        (0, 1, 2),
        lack="the coarse encoder learned nothing",
    )
    assert wording.sentence(result("joint-leaves-coarse-untaught", nothing)).endswith(
        "DINO without a number over 45 individuals and 3 trainings: undecided, as DINO: the coarse encoder learned nothing."
    )


def test_seconds() -> None:
    cost = Finding("first-clip", Estimate(-82.04, -86.0, -78.0, 180, 45), -1)
    assert (
        f"First clip {MINUS}82.0 s ({MINUS}86.0 s to {MINUS}78.0 s) over 45 individuals: reproduced."
        in (wording.sentence(result("dreambooth-costs-more", cost)))
    )


def test_not_measured_tells_the_command() -> None:
    models = names_of()
    del models["elite"]
    run = make_run(strengths(), models)
    results = evaluate(run)
    found = next(each for each in results if each.claim.name == "videobooth-over-elite")
    assert (
        wording.sentence(found)
        == "VideoBooth keeps the subject better than ELITE: not measured, no scores of elite."
    )
    assert wording.how_to_measure(run, results) == (
        "4 claims of 17 are not measured (no scores of elite): `vbbench run --suite tiny --models elite --out runs/more` measures them; "
        "then name runs/more as well."
    )
    assert wording.how_to_measure(make_run(strengths()), evaluate(make_run(strengths()))) == ""
    run = make_run(strengths(), metrics=("dino", "clip-image"))
    assert wording.how_to_measure(run, evaluate(run)) == (
        "1 claim of 17 is not measured (CLIP-Text was not measured): `vbbench run --suite tiny --models videobooth,elite --metrics "
        "dino,clip-image,true-identity,clip-text --out runs/more` measures it; then name runs/more as well."
    )


@pytest.mark.parametrize(
    ("seeds", "says"),
    [
        (
            3,
            "Of 17 claims: 17 reproduced. 7 of these verdicts from one training alone, not established.",
        ),
        (
            1,
            "Of 17 claims: 17 reproduced. 14 of these verdicts from one training alone, not established.",
        ),
    ],
)
def test_counts(seeds: int, says: str) -> None:
    assert wording.counts(evaluate(make_run(strengths(), names_of(seeds)))) == says


def test_lost_items_of_models_that_no_claim_needs_are_not_told() -> None:
    base = strengths()
    models = {**names_of(1), "somebody": ("somebody", None)}
    failed = {
        ("elite", "i1"): "no memory",
        ("elite", "i2"): "no memory",
        ("somebody", "i1"): "unknown",
    }
    run = make_run(
        lambda *about: (
            "zero"
            if about[0] == "videobooth" and about[3] == 4
            else base(about[0], "elite", *about[2:])
        ),
        models,
        failed=failed,
    )
    told = wording.lost_items(run, evaluate(run))
    assert "elite, video: 2 items: no memory" in told
    assert "videobooth, dino: 1 item: zero" in told
    assert not any("somebody" in text for text in told)
    notes = wording.notes(
        next(each for each in evaluate(run) if each.claim.name == "videobooth-over-elite")
    )
    assert "Items without a value, left out of every model: videobooth 1; elite 2." in notes


@pytest.mark.parametrize(
    ("manifests", "says"),
    [
        (({"environment": {"cpu": "a"}}, {"environment": {"cpu": "a", "device": "cpu"}}), ""),
        (
            ({"environment": {"cpu": "a"}}, {"environment": {"cpu": "b"}}),
            "different machines, whose seconds do not compare: a, cpu; b, cpu.",
        ),
        (({"environment": {"cpu": "a", "device": "cuda"}}, {}), "a, cuda; unknown, cpu."),
    ],
)
def test_machines(manifests: tuple[Mapping[str, object], ...], says: str) -> None:
    found = wording.machines(make_run(strengths(), names_of(1), manifests=manifests))
    assert found.endswith(says)
    assert bool(found) == bool(says)
