"""The studentised bootstrap over individuals that every interval and p value of a report comes
from.

G individuals (the clusters), P series of numbers that are resampled alike, B resamples.

Two clips of one individual are not two independent observations, so individuals are drawn, not
clips: a mean over clips is a ratio, the sum of the individuals' sums over the sum of their counts.
The same numbers in give the same intervals out: the resamples depend on nothing but `SEED` and the
number of individuals, which also makes rows of one table comparable (they are resampled alike).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from scipy import stats

CONFIDENCE = 0.95
RESAMPLES = 10_000
SEED = 0
DECIMALS = 12
"""What differs below that is the order of additions, and must not tell models apart."""
THIN = 0.1
"""A resample whose standard error is below this share of the sample's drew nearly one value alone:
what it says of t is noise."""
THIN_SHARE = 0.025
"""With more such resamples than this they would set the ends of a 95 % interval; the bootstrap is
then left out."""


@dataclass(frozen=True)
class ClusteredMeans:
    """Means of P series over the same clusters, and how far off they may be.

    Attributes:
        mean_P: sum over clusters / number of values.
        error_P: their standard errors (linearised ratio of sums, G - 1 in the denominator); 0 where
            nothing varies.
        clusters: G.
        freedom: effective number of clusters - 1, at least 1; G - 1 where all clusters have as many
            values. One number where all series share their counts, else one a series.
        t_PB: (mean of a resample - mean) / standard error of the resample; 0 in the series that
            `sound_P` leaves out.
        sound_P: whether the resamples can be trusted: not where the values are so few, or so alike,
            that more than `THIN_SHARE` of the resamples have next to no spread.
    """

    mean_P: np.ndarray
    error_P: np.ndarray
    clusters: int
    freedom: float | np.ndarray
    t_PB: np.ndarray
    sound_P: np.ndarray

    @property
    def spreads(self) -> np.ndarray:
        """Standard deviation between individuals: the standard error times the root of their
        number."""
        return self.error_P * np.sqrt(self.clusters)

    def interval(self, confidence: float = CONFIDENCE) -> tuple[np.ndarray, np.ndarray]:
        """Ends of the two-sided interval of each mean: the studentised bootstrap's, but on neither
        side nearer than Student's.

        Each alone is too narrow somewhere: Student's where values are skewed, as cosines near their
        bound are; the bootstrap's where tails are heavy. `tests/report/coverage.py` counts both.
        Where `sound_P` is false it is Student's alone; where nothing varies it has no width.
        """
        student = stats.t.ppf((1 + confidence) / 2, self.freedom)
        beyond = int(RESAMPLES * (1 - confidence) / 2 + 1e-9)
        sorted_PB = np.partition(self.t_PB, [beyond, RESAMPLES - 1 - beyond], axis=1)
        upper_P = np.maximum(sorted_PB[:, -1 - beyond], student)
        lower_P = np.minimum(sorted_PB[:, beyond], -student)
        return tidy(self.mean_P - upper_P * self.error_P), tidy(
            self.mean_P - lower_P * self.error_P
        )

    def p_above(self, null: float = 0.0) -> np.ndarray:
        """p value of each mean against "it is `null` or less": the larger of Student's and of the
        share of resamples as extreme.

        Both ends of an interval lie where this and `p_below` reach half of what it leaves out, so
        the two never contradict each other.
        """
        t_P = self._distance(null)
        share_P = np.count_nonzero(self.t_PB >= t_P[:, None] - 1e-9, axis=1) / RESAMPLES
        return np.maximum(stats.t.sf(t_P, self.freedom), np.where(self.sound_P, share_P, 0.0))

    def p_below(self, null: float = 0.0) -> np.ndarray:
        """The same against "it is `null` or more"."""
        t_P = self._distance(null)
        share_P = np.count_nonzero(self.t_PB <= t_P[:, None] + 1e-9, axis=1) / RESAMPLES
        return np.maximum(stats.t.cdf(t_P, self.freedom), np.where(self.sound_P, share_P, 0.0))

    def p_values(self, null: float = 0.0) -> np.ndarray:
        """Two-sided p value of each mean against `null`: 0 where nothing varies and the mean is
        another, 1 where it is the same."""
        return np.minimum(1.0, 2 * np.minimum(self.p_above(null), self.p_below(null)))

    def _distance(self, null: float) -> np.ndarray:
        """From `null` to each mean, in standard errors."""
        away_P = tidy(self.mean_P - null)
        with np.errstate(divide="ignore", invalid="ignore"):
            return np.where(
                self.error_P > 0,
                away_P / self.error_P,
                np.where(away_P == 0, 0.0, np.sign(away_P) * np.inf),
            )


def clustered_means(sums_GP: np.ndarray, counts_G: np.ndarray) -> ClusteredMeans:
    """Means of P series over G clusters.

    Args:
        sums_GP: sums of the values of each cluster, finite.
        counts_G: numbers of values of each cluster, 1 or more; at least 2 clusters. (G, P) where
            they differ between the series.
    Returns:
        The means; 10,000 resamples of P = 16 series take about 15 MB while they are made, so
        families of series come in parts.
    Raises:
        ValueError: fewer than 2 clusters.
    Source:
        Hall 1988, "Theoretical Comparison of Bootstrap Confidence Intervals" (percentile-t); Field
        and Welsh 2007, "Bootstrapping Clustered Data" (whole clusters are drawn); Cameron, Gelbach
        and Miller 2008, "Bootstrap-Based Improvements for Inference with Clustered Errors" (t of
        each draw, few clusters); Cochran 1977, "Sampling Techniques", chapter 6 (standard error of
        a ratio); Kish 1965, "Survey Sampling" (effective number of unequal parts). That degrees of
        freedom follow an effective number of clusters is after Carter, Schnepel and Steigerwald
        2017, whose number is another; how well Kish's does is counted, not proved.
    """
    mean_P, error_P, rest_GP = ratio_of_sums(sums_GP, counts_G)
    effective = counts_G.sum(axis=0) ** 2 / np.square(counts_G).sum(axis=0) - 1
    freedom = np.maximum(1.0, effective) if counts_G.ndim > 1 else max(1.0, float(effective))
    t_PB, sound_P = _studentised(rest_GP, counts_G, error_P)
    return ClusteredMeans(tidy(mean_P), error_P, len(counts_G), freedom, t_PB, sound_P)


def ratio_of_sums(
    sums_GP: np.ndarray, counts_G: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Means and standard errors without resampling; arguments and errors as those of
    `clustered_means`.

    Returns:
        mean_P; error_P; rest_GP, the sums less the mean times the counts, which add up to 0 over
        the clusters.
    """
    clusters = len(counts_G)
    if clusters < 2:
        raise ValueError(f"{clusters} clusters say nothing of what varies between them")
    total = counts_G.sum(axis=0)
    mean_P = sums_GP.sum(axis=0) / total
    rest_GP = sums_GP - mean_P * counts_G.reshape(clusters, -1)
    error_P = np.sqrt(clusters / (clusters - 1) * np.square(rest_GP).sum(axis=0)) / total
    error_P[error_P < 10.0**-DECIMALS] = 0.0
    return mean_P, error_P, rest_GP


def _studentised(
    rest_GP: np.ndarray, counts_G: np.ndarray, error_P: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """t of every resample and series, and which series' are sound; from what is left of the sums,
    so that nothing cancels below."""
    clusters = len(counts_G)
    counts_GC = counts_G.reshape(clusters, -1)  # C is 1 where all series share their counts, else P
    moments_GK = np.column_stack(
        [counts_GC, counts_GC**2, rest_GP, rest_GP**2, rest_GP * counts_GC]
    )
    drawn_KB = moments_GK.T @ _resamples(clusters, RESAMPLES, SEED).T.astype(np.float64)
    total_CB, squares_CB = np.split(drawn_KB[: 2 * counts_GC.shape[1]], 2)
    rest_PB, rest_squared_PB, product_PB = np.split(drawn_KB[2 * counts_GC.shape[1] :], 3)
    shift_PB = rest_PB / total_CB
    variance_PB = rest_squared_PB - 2 * shift_PB * product_PB + shift_PB**2 * squares_CB
    errors_PB = np.sqrt(np.maximum(variance_PB, 0.0) * (clusters / (clusters - 1))) / total_CB
    thin_P = np.count_nonzero(errors_PB < THIN * error_P[:, None], axis=1) / RESAMPLES
    sound_P = (error_P > 0) & (thin_P <= THIN_SHARE)
    smallest_P = np.where(
        sound_P, error_P * 1e-6, 1.0
    )  # a resample of one cluster alone: far out, but a number
    return np.where(
        sound_P[:, None], shift_PB / np.maximum(errors_PB, smallest_P[:, None]), 0.0
    ), sound_P


def by_cluster(values: np.ndarray, clusters: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
    """Sum and number of the values of each cluster, in the order in which clusters first appear.

    Args:
        values: one or more series side by side, (N,) or (N, P).
        clusters: the N names.
    Returns:
        Sums (G,) or (G, P); counts (G,).
    """
    where = numbered(clusters)
    counts = np.bincount(where).astype(np.float64)
    sums = np.zeros((len(counts), *values.shape[1:]))
    np.add.at(sums, where, values)
    return sums, counts


def numbered(clusters: Sequence[str]) -> np.ndarray:
    """Each name's number, in the order in which names first appear."""
    index = {name: i for i, name in enumerate(dict.fromkeys(clusters))}
    return np.array([index[name] for name in clusters], dtype=np.intp)


@lru_cache(maxsize=32)
def _resamples(clusters: int, resamples: int, seed: int) -> np.ndarray:
    """(resamples, clusters): how often each cluster is drawn in each resample; as small as it can
    be kept, for it takes long to make.

    Where jobs failed, pairs of models share more or fewer individuals, and each number of
    individuals has draws of its own.
    """
    draws = np.random.default_rng(seed).multinomial(
        clusters, np.full(clusters, 1 / clusters), size=resamples
    )
    return draws.astype(np.min_scalar_type(draws.max()))


def tidy(values: np.ndarray) -> np.ndarray:
    """Rounded to `DECIMALS`; no negative zero."""
    return np.round(values, DECIMALS) + 0.0
