"""How often intervals over individuals and trainings hold the true mean: ``python -m
tests.results.claims.coverage`` prints the table."""

from __future__ import annotations

import sys

import numpy as np
from scipy import stats

from vbbench.results.statistics import CrossedMean, crossed_mean

TRAININGS = (2, 3, 5)
SPREADS = (0.0, 0.1, 0.2, 0.5, 1.0)


def samples(
    individuals: int,
    trainings: int,
    spread: float,
    noise: float,
    replications: int,
    *,
    clips: int = 1,
    skewed: bool = False,
):
    """(I, S) arrays with true mean 0: individuals vary by 1, trainings by `spread`, cells by
    `noise`, and clips of a cell by 1."""
    rng = np.random.default_rng(
        [individuals, trainings, round(1000 * spread), round(1000 * noise), clips]
    )
    for _ in range(replications):
        own_I1 = (
            (rng.exponential(1, (individuals, 1)) - 1)
            if skewed
            else rng.normal(0, 1, (individuals, 1))
        )
        cells_IS = (
            own_I1
            + rng.normal(0, 1, trainings) * spread
            + rng.normal(0, noise, (individuals, trainings))
        )
        yield np.repeat(cells_IS, clips, axis=0) + (
            rng.normal(0, 1, (individuals * clips, trainings)) if clips > 1 else 0.0
        )


def coverage(
    individuals: int,
    trainings: int,
    spread: float,
    replications: int,
    *,
    noise: float = 0.5,
    clips: int = 1,
    skewed: bool = False,
) -> float:
    """Share of samples whose 95 % interval holds the true mean."""
    names = [str(number) for number in range(individuals) for _ in range(clips)]
    hits = 0
    for values_IS in samples(
        individuals, trainings, spread, noise, replications, clips=clips, skewed=skewed
    ):
        low, high = crossed_mean(values_IS, names).interval()
        hits += low <= 0 <= high
    return hits / replications


def satterthwaite(values_IS: np.ndarray) -> tuple[float, float]:
    """The textbook's interval for a two-way random-effects mean of single cells, its variance not
    below either factor's own."""
    items, trainings = values_IS.shape
    mean, of_item, of_training = values_IS.mean(), values_IS.mean(axis=1), values_IS.mean(axis=0)
    rest = values_IS - of_item[:, None] - of_training + mean
    squares = np.array(
        [
            trainings * of_item.var(ddof=1),
            items * of_training.var(ddof=1),
            (rest**2).sum() / ((items - 1) * (trainings - 1)),
        ]
    )
    freedoms = np.array([items - 1, trainings - 1, (items - 1) * (trainings - 1)])
    total = squares[0] + squares[1] - squares[2]
    freedom = max(1.0, total**2 / (squares**2 / freedoms).sum())
    side = stats.t.ppf(0.975, freedom) * np.sqrt(
        max(total, squares[0], squares[1]) / values_IS.size
    )
    return mean - side, mean + side


def satterthwaite_coverage(
    individuals: int, trainings: int, spread: float, replications: int
) -> float:
    """The same share with the textbook's interval."""
    ends = [
        satterthwaite(values_IS)
        for values_IS in samples(individuals, trainings, spread, 0.5, replications)
    ]
    return float(np.mean([low <= 0 <= high for low, high in ends]))


def main(replications: int, individuals: int = 45) -> None:
    """Print the table in Markdown, in %."""
    print(
        "| trainings | "
        + " | ".join(f"{spread:g}" for spread in SPREADS)
        + " |\n|---:|"
        + "---:|" * len(SPREADS)
    )
    for trainings in TRAININGS:
        shares = [coverage(individuals, trainings, spread, replications) for spread in SPREADS]
        print(
            f"| {trainings} | " + " | ".join(f"{100 * share:.1f}" for share in shares) + " |",
            flush=True,
        )


__all__ = ["CrossedMean", "coverage", "satterthwaite", "satterthwaite_coverage"]

if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 4000)
