"""The list of claims says what the paper says."""

from __future__ import annotations

import re

from vbbench.models.registry import all_recipes
from vbbench.results.claims.paper_claims import (
    CLAIMS,
    FIRST_CLIP,
    IMAGE,
    ORDER,
    SHARE,
    TABLE_1,
    TABLE_2,
)


def test_names_are_slugs_and_differ() -> None:
    names = [claim.name for claim in CLAIMS]
    assert len(set(names)) == len(names)
    assert all(re.fullmatch(r"[a-z]+(-[a-z]+)*", name) for name in names)


def test_published_numbers_are_in_the_order_that_is_claimed() -> None:
    with_numbers = [claim for claim in CLAIMS if claim.published]
    assert {claim.source for claim in with_numbers} == {"Table 1", "Table 2"}
    for claim in with_numbers:
        for metric in claim.metrics:
            assert claim.published[claim.better][metric] > claim.published[claim.worse][metric]


def test_each_table_is_ordered_by_neighbouring_claims() -> None:
    """Textual Inversion < DreamBooth < ELITE < VideoBooth, and coarse < fine < joint < coarse to
    fine."""
    pairs = {(claim.worse, claim.better) for claim in CLAIMS if claim.metrics == IMAGE}
    for table in (TABLE_1, TABLE_2):
        ordered = sorted(table, key=lambda recipe: table[recipe]["dino"])
        assert ordered == sorted(table, key=lambda recipe: table[recipe]["clip-image"])
        assert set(zip(ordered, ordered[1:], strict=False)) <= pairs
        assert {(worse, ordered[-1]) for worse in ordered[:-1]} <= pairs


def test_the_margin_of_text_alignment_is_about_what_the_papers_methods_differ_by() -> None:
    (claim,) = (claim for claim in CLAIMS if claim.name == "text-alignment-kept")
    texts = [row["clip-text"] / 100 for row in TABLE_1.values()]
    assert f"{max(texts) - min(texts):.4f}" in claim.note
    assert max(texts) - min(texts) <= claim.margin < 2 * (max(texts) - min(texts))


def test_every_arm_is_a_recipe_of_the_benchmark() -> None:
    assert {recipe for claim in CLAIMS for recipe in claim.arms} <= set(all_recipes())


def test_a_share_names_its_floor() -> None:
    assert all((claim.kind == SHARE) == (claim.floor is not None) for claim in CLAIMS)
    assert {claim.kind for claim in CLAIMS} == {ORDER, SHARE}
    assert all(claim.beside == () for claim in CLAIMS if claim.metrics == (FIRST_CLIP,))
