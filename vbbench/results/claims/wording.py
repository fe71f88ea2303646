"""Claims in words: each verdict explained in a sentence, and what else must be known to read it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from vbbench.results import formatting
from vbbench.results.aggregate import failures
from vbbench.results.claims.evaluate import (
    ENOUGH_TRAININGS,
    NOT_MEASURED,
    NOT_REPRODUCED,
    REPRODUCED,
    UNDECIDED,
    Finding,
    Result,
)
from vbbench.results.claims.paper_claims import FIRST_CLIP, SHARE, Claim
from vbbench.results.run_data import RunData

ONE_TRAINING = "one training, not established"
RULE = (
    "Reproduced: the whole 95 % interval lies on the side of the claim; not reproduced: all of it on the other side; undecided: neither. "
    "A claim must be reproduced by every metric that the paper measures it with: if one is not measured, not reproduced or undecided, so "
    "is the claim, in this order. Each interval is for itself; claims.json holds the p values, also corrected by Holm for all of them."
)
INTERVALS = (
    "Intervals are over individuals, and where there are several trainings over these too: another individual or another training "
    "could have been drawn. With a single training the interval is over individuals alone, and what it says is not established."
)
BESIDE = {REPRODUCED: "agrees", NOT_REPRODUCED: "says the opposite", UNDECIDED: "cannot tell"}


def title(metric: str) -> str:
    """A metric's name for people."""
    return "First clip" if metric == FIRST_CLIP else formatting.metric_title(metric)


def amount(claim: Claim, finding: Finding) -> str:
    """``+0.031 (+0.012 to +0.050)``: the difference, or the share learned, with its interval; a
    dash where there is none."""
    estimate = finding.estimate
    if estimate is None or estimate.mean is None:
        return formatting.NOTHING
    numbers = (estimate.mean, estimate.low, estimate.high)
    if claim.kind == SHARE:
        told = [
            formatting.NOTHING if number is None else f"{formatting.number(100 * number, 0)} %"
            for number in numbers
        ]
    elif finding.metric == FIRST_CLIP:
        told = [formatting.number(number, 1, signed=True) + " s" for number in numbers]
    else:
        decimals = 3 if abs(estimate.mean) < 10 else 1
        told = [formatting.number(number, decimals, signed=True) for number in numbers]
    return (
        told[0]
        if estimate.low is None or estimate.high is None
        else f"{told[0]} ({told[1]} to {told[2]})"
    )


def verdict(result: Result) -> str:
    """The verdict, and that it rests on one training where it does."""
    return f"{result.verdict} ({ONE_TRAINING})" if result.one_training else result.verdict


def sentence(result: Result) -> str:
    """``Coarse-to-fine keeps the subject better than coarse only: DINO +0.031 (+0.012 to +0.050)
    over 45 individuals and 3 trainings: reproduced.``"""
    measured = [finding for finding in result.findings if finding.estimate is not None]
    if not measured:
        return f"{result.claim.says}: not measured, {result.findings[0].lack}."
    told = ", ".join(
        f"{title(finding.metric)} {_amount_or_lack(result.claim, finding)}" for finding in measured
    )
    return f"{result.claim.says}: {told} {_samples(measured)}: {verdict(result)}{_why(result)}.{_beside(result)}"


def notes(result: Result) -> list[str]:
    """What else must be known to read a result, as sentences."""
    told = [result.claim.note] if result.claim.note else []
    told += [f"The paper: {_published(result.claim)}."] if result.claim.published else []
    if result.claim.kind == SHARE and result.verdict != NOT_MEASURED:
        told.append("The interval is of the ratio, after Fieller.")
    measured = [
        finding for finding in (*result.findings, *result.beside) if finding.estimate is not None
    ]
    lost = {model: left for finding in measured for model, left in (finding.lost or {}).items()}
    if lost:
        told.append(
            f"Items without a value, left out of every model: {_listed(f'{model} {left}' for model, left in lost.items())}."
        )
    if unused := dict.fromkeys(model for finding in measured for model in finding.unused):
        told.append(
            f"Left out, as another model lacks a training of that number: {formatting.listed(unused)}."
        )
    fewest = min((len(finding.seeds) for finding in measured), default=ENOUGH_TRAININGS)
    if result.claim.of_training and fewest < ENOUGH_TRAININGS:
        told.append(
            f"A claim about training wants at least {ENOUGH_TRAININGS} trainings of each model and has {fewest}: "
            "`vbbench train NAME --seed 1` makes another, which is measured as NAME@1."
        )
    if any(finding.metric == FIRST_CLIP for finding in measured):
        told.append(
            "First clip: seconds of fitting to the subject, if any, and of sampling one clip, on the machine of the run."
        )
    return told


def machines(run: RunData) -> str:
    """A warning where seconds are not of one machine; empty where they are, as far as is known."""
    environments = [manifest.get("environment", {}) for manifest in run.manifests]
    known = list(
        dict.fromkeys(
            f"{about.get('cpu', 'unknown')}, {about.get('device', 'cpu')}" for about in environments
        )
    )
    return (
        f"The runs are from different machines, whose seconds do not compare: {_listed(known)}."
        if len(known) > 1
        else ""
    )


def counts(results: Sequence[Result]) -> str:
    """``Of 16 claims 9 are reproduced, 1 not reproduced, 4 undecided and 2 not measured.``"""
    told = []
    for kind in (REPRODUCED, NOT_REPRODUCED, UNDECIDED, NOT_MEASURED):
        number = sum(result.verdict == kind for result in results)
        told += [f"{number} {kind}"] if number else []
    text = f"Of {formatting.count(len(results), 'claim')}: {formatting.listed(told)}."
    single = sum(
        result.verdict in (REPRODUCED, NOT_REPRODUCED) and not result.established
        for result in results
    )
    return (
        f"{text} {single} of these verdicts from one training alone, not established."
        if single
        else text
    )


def scores_from(run: RunData) -> str:
    """Which scores these are: suite, individuals, items, digest, specs."""
    suite, individuals = run.suite, len(set(run.subject_of.values()))
    part = formatting.restriction(run.prompts_per_subject)
    specs = ", ".join(f"{spec.title} {spec.id}" for spec in run.metrics)
    return (
        f"Suite {suite.name} {suite.version} ({suite.digest[:12]}), scale {suite.scale}: {formatting.count(individuals, 'individual')}, "
        f"{formatting.count(len(run.items), 'item')}{part and f', {part}'}. Metric specs: {specs}."
    )


def lost_items(run: RunData, results: Sequence[Result]) -> list[str]:
    """Every reason why items of a model that a claim needs have no value, with their number."""
    recipes = {recipe for result in results for recipe in result.claim.arms}
    of_claims = {model.name for model in run.models if model.recipe in recipes}
    metrics = {
        "video",
        *(metric for result in results for metric in (*result.claim.metrics, *result.claim.beside)),
    }
    return [
        f"{failure.model}, {failure.what}: {formatting.count(len(failure.items), 'item')}: {failure.reason}"
        for failure in failures(run)
        if failure.model in of_claims and failure.what in metrics
    ]


def how_to_measure(run: RunData, results: Sequence[Result]) -> str:
    """What is not measured and the command that measures it; empty where nothing is lacking."""
    lacking = [result for result in results if result.verdict == NOT_MEASURED]
    if not lacking:
        return ""
    recipes = list(dict.fromkeys(recipe for result in lacking for recipe in result.missing))
    unmeasured = [
        finding for result in lacking for finding in result.findings if finding.estimate is None
    ]
    told = [f"no scores of {formatting.listed(recipes)}"] if recipes else []
    told += dict.fromkeys(
        finding.lack for finding in unmeasured if not finding.lack.startswith("no scores of")
    )
    metrics = dict.fromkeys(
        m for r in results for m in (*r.claim.metrics, *r.claim.beside) if m != FIRST_CLIP
    )
    models = ",".join(
        recipes or dict.fromkeys(recipe for result in lacking for recipe in result.claim.arms)
    )
    all_measured = metrics.keys() <= {spec.name for spec in run.metrics}
    options = f"--suite {run.suite.name} --models {models}" + (
        "" if all_measured else f" --metrics {','.join(metrics)}"
    )
    many = len(lacking) > 1
    return (
        f"{formatting.count(len(lacking), 'claim')} of {len(results)} {'are' if many else 'is'} not measured ({_listed(told)}): "
        f"`vbbench run {options} --out runs/more` measures {'them' if many else 'it'}; then name runs/more as well."
    )


def _amount_or_lack(claim: Claim, finding: Finding) -> str:
    return (
        amount(claim, finding)
        if finding.estimate and finding.estimate.mean is not None
        else "without a number"
    )


def _samples(findings: Sequence[Finding]) -> str:
    individuals = sorted({finding.estimate.clusters for finding in findings if finding.estimate})
    trainings = sorted({len(finding.seeds) for finding in findings} - {0})
    over = formatting.listed(map(str, individuals)) + (
        " individual" if individuals == [1] else " individuals"
    )
    if not trainings:
        return f"over {over}"
    return f"over {over} and {formatting.listed(map(str, trainings))}" + (
        " training" if trainings == [1] else " trainings"
    )


def _why(result: Result) -> str:
    """Which metrics the verdict is due to, and how, where that does not go without saying."""
    told = []
    for finding in result.findings:
        name = title(finding.metric)
        if finding.verdict == NOT_MEASURED:
            told.append(f"{name}: {finding.lack}")
        elif finding.verdict == UNDECIDED:
            line = "zero" if finding.null == 0 else _line(result.claim, finding)
            told.append(
                f"{name}: {finding.lack}"
                if finding.lack
                else f"the interval of {name} holds {line}"
            )
        elif finding.verdict == NOT_REPRODUCED:
            told.append(f"by {name} it is the other way round")
        elif len(result.findings) > 1 and result.verdict != REPRODUCED:
            told.append(f"by {name} alone it is reproduced")
    return f", as {'; '.join(told)}" if told else ""


def _line(claim: Claim, finding: Finding) -> str:
    return (
        f"{formatting.number(100 * finding.null, 0)} %"
        if claim.kind == SHARE
        else formatting.number(finding.null, 3, signed=True)
    )


def _beside(result: Result) -> str:
    told = [
        f" {title(finding.metric)}, what the miniature world itself knows, {BESIDE[finding.verdict]}: {amount(result.claim, finding)}."
        for finding in result.beside
        if finding.estimate is not None and finding.estimate.mean is not None
    ]
    return "".join(told)


def _published(claim: Claim) -> str:
    table = claim.published or {}
    return ", ".join(
        f"{title(metric)} {table[claim.better][metric]:.2f} against {table[claim.worse][metric]:.2f}"
        for metric in claim.metrics
    )


def _listed(texts: Iterable[str]) -> str:
    return "; ".join(texts)
