"""Everything that was found about the paper's claims, computed once: what page, files and terminal
show."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from vbbench.results import formatting
from vbbench.results.claims import wording
from vbbench.results.claims.evaluate import Result, evaluate
from vbbench.results.claims.paper_claims import CLAIMS, Claim
from vbbench.results.run_data import RunData


@dataclass(frozen=True)
class ClaimResults:
    """The claims held against the scores of a run. Texts are empty where there is nothing to say.

    Attributes:
        results: one a claim.
        individuals: number of subjects.
        counts: how many claims have which verdict, as a sentence.
        lack: what is not measured, and the command that measures it.
        lost: one text a reason why items have no value.
        machines: warning that seconds are of several machines.
        scores_from: which scores these are.
        untrained: note on metrics whose encoders are not trained.
    """

    run: RunData
    results: tuple[Result, ...]
    individuals: int
    counts: str
    lack: str
    lost: tuple[str, ...]
    machines: str
    scores_from: str
    untrained: str


def analyse_claims(run: RunData, claims: Sequence[Claim] = CLAIMS) -> ClaimResults:
    """Hold every claim against the scores of a run."""
    results = evaluate(run, claims)
    return ClaimResults(
        run=run,
        results=tuple(results),
        individuals=len(set(run.subject_of.values())),
        counts=wording.counts(results),
        lack=wording.how_to_measure(run, results),
        lost=tuple(wording.lost_items(run, results)),
        machines=wording.machines(run),
        scores_from=wording.scores_from(run),
        untrained=formatting.untrained_note(run.metrics),
    )
