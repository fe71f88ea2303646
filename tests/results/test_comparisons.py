"""Families of comparisons: Holm's correction against by hand, false alarms by simulation, effect
sizes, ranks."""

from __future__ import annotations

import time
from itertools import combinations

import numpy as np
import pytest
from scipy import stats
from statsmodels.stats.multitest import multipletests

from vbbench.results import comparisons
from vbbench.results.clustered import clustered_means
from vbbench.results.comparisons import all_pairs, compare, hedges_g, holm, rank_groups
from vbbench.results.statistics import paired_difference


def individuals(count: int, clips: int = 1) -> dict[str, str]:
    return {f"i{number}": f"dog-{number % count}" for number in range(count * clips)}


def scores(
    cluster_of: dict[str, str], models: int, seed: int = 0, shift: float = 0.0
) -> dict[str, dict[str, float]]:
    """Normal values; model number m is better by m times the shift."""
    rng = np.random.default_rng(seed)
    return {
        f"m{m}": {item: float(rng.normal(m * shift, 1)) for item in cluster_of}
        for m in range(models)
    }


def test_holm_by_hand() -> None:
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.2]) == [0.2]
    assert holm([]) == []


@pytest.mark.parametrize("count", [1, 2, 6, 190])
def test_holm_is_statsmodels(count: int) -> None:
    rng = np.random.default_rng(count)
    for p_values in (
        rng.uniform(0, 0.1, count),
        rng.integers(0, 5, count) / 100,
        rng.beta(0.2, 5, count),
    ):
        assert holm(list(p_values)) == pytest.approx(
            list(multipletests(p_values, method="holm")[1]), abs=1e-15
        )


def test_a_family_is_its_pairs_corrected() -> None:
    cluster_of = individuals(12, 2)
    values = scores(cluster_of, 5, shift=0.4)
    found = compare(values, cluster_of, all_pairs(list(values)))
    assert list(found) == list(combinations(values, 2))
    for (a, b), comparison in found.items():
        assert comparison.difference == paired_difference(values[a], values[b], cluster_of)
    assert [c.corrected for c in found.values()] == pytest.approx(
        holm([c.p for c in found.values()])
    )
    told, alone = (
        sum(c.sign != 0 for c in found.values()),
        sum(c.difference.sign != 0 for c in found.values()),
    )
    assert 0 < told < alone


def test_pairs_with_other_items_are_taken_over_what_both_have(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(comparisons, "PAIRS_AT_ONCE", 2)
    cluster_of = individuals(9, 2)
    values = scores(cluster_of, 4)
    del values["m1"]["i0"], values["m2"]["i3"], values["m2"]["i12"]
    found = compare(values, cluster_of, all_pairs(list(values), "m2"))
    assert list(found)[:3] == [("m2", "m0"), ("m2", "m1"), ("m2", "m3")]
    for (a, b), comparison in found.items():
        assert comparison.difference == paired_difference(values[a], values[b], cluster_of)
    assert [c.difference.items for c in found.values()] == [16, 15, 16, 17, 18, 17]
    assert found["m2", "m0"].difference.clusters == 8


def test_twenty_models_of_which_jobs_failed_are_quick() -> None:
    """190 pairs, 1,000 items of 250 individuals, 1 % of the clips lost, so that hardly two pairs
    share their items; a second at most."""
    cluster_of = individuals(250, 4)
    values = scores(cluster_of, 20, shift=0.01)
    rng = np.random.default_rng(3)
    for own in values.values():
        for item in rng.choice(list(cluster_of), 10, replace=False):
            del own[item]
    compare(values, cluster_of, [("m0", "m1")])  # the draws are made aside
    start = time.process_time()
    found = compare(values, cluster_of, all_pairs(list(values)))
    assert time.process_time() - start < 1.0
    assert found["m3", "m17"].difference == paired_difference(
        values["m3"], values["m17"], cluster_of
    )


def test_pairs_without_enough_individuals_do_not_count_in_the_family() -> None:
    cluster_of = individuals(9)
    values = scores(cluster_of, 3, shift=1.0)
    values["short"] = dict.fromkeys(list(cluster_of)[:4], 0.5)
    values["empty"] = {}
    found = compare(values, cluster_of, all_pairs(list(values)))
    assert (
        found["m0", "short"].p
        is found["m0", "short"].corrected
        is found["m0", "short"].effect
        is None
    )
    assert found["m0", "short"].difference.items == 4
    assert found["m0", "empty"].difference.mean is None
    assert (found["m0", "empty"].sign, found["m0", "short"].sign) == (0, 0)
    full = compare(
        {name: values[name] for name in ("m0", "m1", "m2")},
        cluster_of,
        all_pairs(["m0", "m1", "m2"]),
    )
    assert {pair: found[pair] for pair in full} == full


@pytest.mark.parametrize("skewed", [False, True])
@pytest.mark.parametrize(("count", "most"), [(9, 0.075), (45, 0.065)])
def test_at_most_5_percent_of_families_tell_equals_apart(
    count: int, most: float, skewed: bool
) -> None:
    """Four models that are equal on average, 400 times, each skewed in its own way or normal.
    Holm's correction tells any pair apart where the smallest p value is at most 5 % / 6. Chance
    alone takes 5 % to 6.5 % in one case of 20."""
    rng = np.random.default_rng(7)
    shape = np.array([8, 2, 20, 4])[:, None, None]
    scale = np.array([1, -0.3, 2, -0.6])[:, None, None]
    draws = (
        rng.beta(1, shape, (4, count, 400)) - 1 / (1 + shape)
        if skewed
        else rng.normal(size=(4, count, 400))
    )
    draws *= scale * shape
    smallest = np.ones(400)
    students = np.ones(400)
    for a, b in combinations(range(4), 2):
        difference = draws[a] - draws[b]
        p = np.concatenate(
            [
                clustered_means(part, np.ones(count)).p_values()
                for part in np.split(difference, 20, axis=1)
            ]
        )
        smallest = np.minimum(smallest, p)
        students = np.minimum(students, stats.ttest_1samp(difference, 0).pvalue)
    assert (smallest <= 0.05 / 6).mean() <= most
    assert (
        not skewed or count > 9 or (students <= 0.05 / 6).mean() > most
    )  # what Student's alone would do


def test_hedges_g_has_no_bias() -> None:
    """10,000 samples of 6 normal differences whose true effect is 0.8; without the correction it
    would be 0.95."""
    draws = np.random.default_rng(0).normal(0.8, 1, (10_000, 6))
    pairs = zip(draws.mean(axis=1), draws.std(axis=1, ddof=1), strict=True)
    assert np.mean([hedges_g(mean, spread, 6) for mean, spread in pairs]) == pytest.approx(
        0.8, abs=0.015
    )
    assert (draws.mean(axis=1) / draws.std(axis=1, ddof=1)).mean() > 0.93


def test_hedges_factor_is_the_well_known_approximation() -> None:
    for values in (5, 9, 45, 1000):
        assert hedges_g(1.0, 1.0, values) == pytest.approx(1 - 3 / (4 * (values - 1) - 1), rel=3e-3)


def test_effects_are_in_standard_deviations_of_individuals() -> None:
    cluster_of = individuals(9, 2)
    values = scores(cluster_of, 2)
    found = compare(values, cluster_of, [("m0", "m1")])["m0", "m1"]
    by_dog = [
        np.mean(
            [
                values["m0"][item] - values["m1"][item]
                for item, dog in cluster_of.items()
                if dog == f"dog-{n}"
            ]
        )
        for n in range(9)
    ]
    assert found.effect == pytest.approx(hedges_g(np.mean(by_dog), np.std(by_dog, ddof=1), 9))
    assert found.p >= stats.ttest_1samp(by_dog, 0).pvalue - 1e-12


def test_differences_that_do_not_vary_have_no_effect_size_and_are_told_apart() -> None:
    cluster_of = individuals(6)
    values = {
        "a": dict.fromkeys(cluster_of, 1.0),
        "b": dict.fromkeys(cluster_of, 0.5),
        "c": dict.fromkeys(cluster_of, 0.5),
    }
    found = compare(values, cluster_of, all_pairs(["a", "b", "c"]))
    assert [(c.sign, c.effect, c.corrected) for c in found.values()] == [
        (1, None, 0.0),
        (1, None, 0.0),
        (0, None, 1.0),
    ]


def ranked(higher_is_better: bool, count: int = 8) -> dict[str, int | None]:
    cluster_of = individuals(count)
    noise = np.random.default_rng(4).normal(0, 0.1, count)
    values = {
        "clear": dict.fromkeys(cluster_of, 2.0),
        "twin": dict(zip(cluster_of, 1.0 + noise, strict=True)),
        "other twin": dict(zip(cluster_of, 1.0 - noise, strict=True)),
        "last": dict.fromkeys(cluster_of, 0.0),
    }
    return rank_groups(
        compare(values, cluster_of, all_pairs(list(values))), higher_is_better=higher_is_better
    )


def test_models_that_nothing_tells_apart_share_a_rank() -> None:
    assert ranked(True) == {"clear": 1, "twin": 2, "other twin": 2, "last": 4}
    assert ranked(False) == {"clear": 4, "twin": 2, "other twin": 2, "last": 1}


def test_too_few_individuals_have_no_rank() -> None:
    assert set(ranked(True, count=4).values()) == {None}


def test_a_single_model_has_no_rank() -> None:
    assert rank_groups({}, higher_is_better=True) == {}
