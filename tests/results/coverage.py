"""How often intervals hold the true mean, counted where it is known: ``python -m
tests.results.coverage`` prints the whole table.

`PROMISED` are shapes that scores and their differences have, or nearly: near a bound, heavy tails,
clips of one individual alike, individuals with different numbers of clips. `BEYOND` are shapes of
which no method is known to make good intervals from few values.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats

from vbbench.results.clustered import RESAMPLES, SEED, ClusteredMeans, _resamples, clustered_means

METHODS = ("vbbench", "studentised", "student", "expanded")
AT_ONCE = 32

Rng = np.random.Generator
Ends = tuple[np.ndarray, np.ndarray]


@dataclass(frozen=True)
class Shape:
    """What individuals are like.

    Attributes:
        draw: (rng, (individuals, replications)) -> the individuals' true means.
        truth: the mean of these.
        clips: individual number -> number of clips.
        noise: (rng, means, counts) -> what the means of so many clips deviate from the individuals'
            by; None for not at all.
    """

    draw: Callable[[Rng, tuple[int, int]], np.ndarray]
    truth: float
    clips: Callable[[np.ndarray], np.ndarray] = np.ones_like
    noise: Callable[[Rng, np.ndarray, np.ndarray], np.ndarray] | None = None

    def sums_and_counts(
        self, rng: Rng, individuals: int, replications: int
    ) -> tuple[np.ndarray, np.ndarray]:
        """Sums of clips (individuals, replications), numbers of clips (individuals,)."""
        counts_G = self.clips(np.arange(individuals)).astype(float)
        means_GR = self.draw(rng, (individuals, replications))
        if self.noise is not None:
            means_GR = means_GR + self.noise(rng, means_GR, counts_G[:, None])
        return means_GR * counts_G[:, None], counts_G


def _normal_clips(rng: Rng, means: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """Clips of one individual correlate by 0.5 where the individuals' means have a variance of
    1."""
    return rng.normal(0, 1, means.shape) / np.sqrt(counts)


def _bounded_clips(rng: Rng, means: np.ndarray, counts: np.ndarray) -> np.ndarray:
    clips = rng.beta(20 * means, 20 * (1 - means), (int(counts[0, 0]), *means.shape))
    return clips.mean(axis=0) - means


def _two(number: np.ndarray) -> np.ndarray:
    return np.full_like(number, 2)


def _one_to_six(number: np.ndarray) -> np.ndarray:
    return number % 6 + 1


PROMISED: Mapping[str, Shape] = {
    "normal": Shape(lambda rng, size: rng.normal(0, 1, size), 0.0),
    "cosines, 2 Beta(6, 3) - 1": Shape(lambda rng, size: 2 * rng.beta(6, 3, size) - 1, 1 / 3),
    "near a bound, 1 - Beta(1, 8)": Shape(lambda rng, size: 1 - rng.beta(1, 8, size), 8 / 9),
    "at a bound, 1 - Beta(0.5, 5)": Shape(lambda rng, size: 1 - rng.beta(0.5, 5, size), 10 / 11),
    "heavy tails, t with 3": Shape(lambda rng, size: rng.standard_t(3, size), 0.0),
    "difference of skewed": Shape(
        lambda rng, size: rng.beta(1, 8, size) - rng.normal(1 / 9, 0.05, size), 0.0
    ),
    "2 clips each": Shape(lambda rng, size: rng.normal(0, 1, size), 0.0, _two, _normal_clips),
    "2 clips each, Beta(8, 2)": Shape(
        lambda rng, size: rng.beta(8, 2, size), 0.8, _two, _bounded_clips
    ),
    "1 to 6 clips each": Shape(
        lambda rng, size: rng.normal(0, 1, size), 0.0, _one_to_six, _normal_clips
    ),
    "1 to 6 clips each, skewed": Shape(
        lambda rng, size: rng.exponential(1, size) - 1, 0.0, _one_to_six, _normal_clips
    ),
    "12 clips or 1": Shape(
        lambda rng, size: rng.normal(0, 1, size),
        0.0,
        lambda n: np.where(n % 5 == 0, 12, 1),
        _normal_clips,
    ),
}
BEYOND: Mapping[str, Shape] = {
    "lognormal": Shape(lambda rng, size: rng.lognormal(0, 1, size), float(np.exp(0.5))),
    "one in five is 1, the rest 0": Shape(
        lambda rng, size: (rng.random(size) < 0.2).astype(float), 0.2
    ),
}


def coverage(
    shape: Shape,
    individuals: int,
    replications: int,
    methods: Sequence[str] = METHODS,
    seed: int = 1,
) -> dict[str, float]:
    """Method -> share of replications whose 95 % interval holds the truth.

    ``vbbench`` is the report's own; ``studentised`` and ``student`` are its two parts alone (the
    one is the other where the resamples are not sound); ``expanded`` is the expanded percentile
    interval of Hesterberg 2015, which the report had before.
    """
    hits = dict.fromkeys(methods, 0)
    for sums_GR, counts_G in _batches(shape, individuals, replications, seed):
        found = clustered_means(sums_GR, counts_G)
        for method in methods:
            low_R, high_R = _INTERVALS[method](found, sums_GR, counts_G)
            hits[method] += int(((low_R <= shape.truth) & (shape.truth <= high_R)).sum())
    return {method: count / replications for method, count in hits.items()}


def _batches(
    shape: Shape, individuals: int, replications: int, seed: int
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    rng = np.random.default_rng(seed)
    for start in range(0, replications, AT_ONCE):
        yield shape.sums_and_counts(rng, individuals, min(AT_ONCE, replications - start))


def _student(found: ClusteredMeans, sums_GR: np.ndarray, counts_G: np.ndarray) -> Ends:
    t = stats.t.ppf(0.975, found.clusters - 1)
    return found.mean_P - t * found.error_P, found.mean_P + t * found.error_P


def _studentised(found: ClusteredMeans, sums_GR: np.ndarray, counts_G: np.ndarray) -> Ends:
    low_R, high_R = np.quantile(found.t_PB, [0.025, 0.975], axis=1)
    alone = found.mean_P - high_R * found.error_P, found.mean_P - low_R * found.error_P
    return tuple(np.where(found.sound_P, alone, _student(found, sums_GR, counts_G)))


def _expanded(found: ClusteredMeans, sums_GR: np.ndarray, counts_G: np.ndarray) -> Ends:
    draws_BG = _resamples(found.clusters, RESAMPLES, SEED)
    means_BR = (draws_BG @ sums_GR) / (draws_BG @ counts_G)[:, None]
    # cut on each side so that the interval is as long as Student's
    tail = stats.norm.cdf(
        -np.sqrt(found.clusters / (found.clusters - 1)) * stats.t.ppf(0.975, found.clusters - 1)
    )
    return tuple(np.quantile(means_BR, [tail, 1 - tail], axis=0))


_INTERVALS: Mapping[str, Callable[[ClusteredMeans, np.ndarray, np.ndarray], Ends]] = {
    "vbbench": lambda found, sums_GR, counts_G: found.interval(),
    "studentised": _studentised,
    "student": _student,
    "expanded": _expanded,
}


def main(replications: int, individuals: tuple[int, ...] = (5, 9, 20, 45)) -> None:
    """Print the table in Markdown, in %."""
    print(
        "| individuals | shape | " + " | ".join(METHODS) + " |\n|---:|---|" + "---:|" * len(METHODS)
    )
    for number in individuals:
        for name, shape in (PROMISED | BEYOND).items():
            found = coverage(shape, number, replications)
            print(
                f"| {number} | {name} | "
                + " | ".join(f"{100 * found[method]:.1f}" for method in METHODS)
                + " |",
                flush=True,
            )


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 4000)
