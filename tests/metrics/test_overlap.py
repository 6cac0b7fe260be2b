import random
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sacrebleu.metrics import BLEU, CHRF

from r2d_bench.metrics import overlap
from r2d_bench.metrics.base import Columns
from r2d_bench.records import LabelStatus

WORDS = ["chest", "pain", "acute", "fever", "(no)", "3.5", "of", "the", "ESI-2", "naïve"]


def columns(
    hypotheses: list[str | None],
    references: list[list[str]],
    groups: list[str] | None = None,
    no_rationale: str | None = None,
) -> Columns:
    n = len(hypotheses)
    return Columns(
        ids=[f"e{i}" for i in range(n)],
        labels=["a"],
        gold=["a"] * n,
        predicted=["a"] * n,
        statuses=[LabelStatus.PARSED] * n,
        label_texts=["a"] * n,
        hypotheses=hypotheses,
        references=references,
        groups=groups,
        input_cut=[False] * n,
        output_cut=[False] * n,
        no_rationale=no_rationale,
    )


def corpus(n: int, most_references: int, seed: int, shortest: int = 0):
    rng = random.Random(seed)

    def text(least: int) -> str:
        return " ".join(rng.choices(WORDS, k=rng.randint(least, 14)))

    return [text(shortest) for _ in range(n)], [
        [text(1) for _ in range(rng.randint(1, most_references))] for _ in range(n)
    ]


def streams(references: list[list[str]]):
    most = max(map(len, references))
    return [[texts[i] if i < len(texts) else None for texts in references] for i in range(most)]


@pytest.mark.parametrize(("n", "most"), [(1, 1), (5, 1), (40, 3), (1200, 2)])
def test_values_and_signatures_are_sacrebleus_own(n: int, most: int):
    hypotheses, references = corpus(n, most, seed=n)
    family = overlap.compute(columns(hypotheses, references), resamples=20)
    for name, metric in (("bleu", BLEU()), ("chrf", CHRF())):
        own = metric.corpus_score(hypotheses, streams(references)).score
        assert family.estimates[name].value == own
        assert family.signatures[name] == str(metric.get_signature())
        assert family.estimates[name].n == n


def test_sentence_scores_are_sacrebleus_own():
    hypotheses, references = corpus(150, 3, seed=2)
    hypotheses[:3] = ["", "chest", references[2][0]]
    found = overlap.compute(columns(hypotheses, references), resamples=20).per_example
    for name, metric in (("bleu", BLEU(effective_order=True)), ("chrf", CHRF())):
        own = [metric.sentence_score(h, r).score for h, r in zip(hypotheses, references, strict=True)]
        assert found[name] == pytest.approx(own, abs=1e-9)


@pytest.mark.parametrize(("metric", "formula"), [(BLEU(), overlap.bleu), (CHRF(), overlap.chrf)])
def test_formulas_agree_with_sacrebleu_on_subsets(metric: BLEU | CHRF, formula: Callable):
    # Few sentences, so that orders without a match, without an n-gram and without any match all occur.
    hypotheses, references = corpus(60, 2, seed=9)
    stats = overlap.sentence_statistics(metric, hypotheses, references)
    rng = np.random.default_rng(0)
    picks = [rng.integers(0, 60, size=rng.integers(1, 4)) for _ in range(200)]
    found = formula(np.stack([stats[pick].sum(axis=0) for pick in picks]))
    own = [
        metric.corpus_score([hypotheses[i] for i in pick], streams([references[i] for i in pick])).score
        for pick in picks
    ]
    assert found == pytest.approx(own, abs=1e-9)
    assert (found == 0).any()


def test_intervals_are_bca_and_close_to_sacrebleus_bootstrap():
    hypotheses, references = corpus(400, 1, seed=4, shortest=6)
    noisy = [r[0] if i % 3 else h for i, (h, r) in enumerate(zip(hypotheses, references, strict=True))]
    found = overlap.compute(columns(noisy, references)).estimates
    for name, metric in (("bleu", BLEU()), ("chrf", CHRF())):
        own = metric.corpus_score(noisy, streams(references), n_bootstrap=1000)
        assert found[name].method == "bca"
        half = (found[name].high - found[name].low) / 2
        assert half == pytest.approx(own._ci, rel=0.15)


def test_clusters_widen_the_interval():
    hypotheses, references = corpus(80, 1, seed=6, shortest=6)
    mixed = [r[0] if i % 2 else h for i, (h, r) in enumerate(zip(hypotheses, references, strict=True))] * 9
    groups = [f"g{i % 80}" for i in range(720)]
    alone = overlap.compute(columns(mixed, references * 9)).estimates
    grouped = overlap.compute(columns(mixed, references * 9, groups)).estimates
    for name in ("bleu", "chrf"):
        ratio = (grouped[name].high - grouped[name].low) / (alone[name].high - alone[name].low)
        assert ratio == pytest.approx(3, rel=0.15)


def test_what_cannot_be_compared_is_unscored_and_empty_text_is_scored():
    hypotheses = ["chest pain and fever today", None, "fever", ""]
    references = [["chest pain and fever today"], ["x"], [" ", ""], ["acute pain"]]
    family = overlap.compute(columns(hypotheses, references))
    for estimate in family.estimates.values():
        assert (estimate.n, estimate.unscored) == (2, 2)
    np.testing.assert_allclose(family.per_example["bleu"], [100, np.nan, np.nan, 0])
    np.testing.assert_allclose(family.per_example["chrf"], [100, np.nan, np.nan, 0])


@pytest.mark.parametrize(
    ("hypotheses", "references", "no_rationale", "reason"),
    [
        (["a", "b"], [[], [""]], None, "no gold rationale"),
        ([None, None], [["a"], ["b"]], None, "no rationale to score"),
        ([None, None], [["a"], ["b"]], "labels only", "labels only"),
        ([], [], None, "no gold rationale"),
    ],
)
def test_nothing_to_score_has_a_reason(
    hypotheses: list[str | None], references: list[list[str]], no_rationale: str | None, reason: str
):
    family = overlap.compute(columns(hypotheses, references, no_rationale=no_rationale))
    for estimate in family.estimates.values():
        assert (estimate.value, estimate.reason, estimate.unscored) == (None, reason, len(hypotheses))


def test_one_item_has_a_value_without_interval():
    found = overlap.compute(columns(["chest pain"], [["chest pain today"]])).estimates["chrf"]
    assert 0 < found.value < 100
    assert found.low is None
    assert found.reason == "no interval: fewer than two independent units"


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.none() | st.text(max_size=20), st.lists(st.text(max_size=20), max_size=3)), max_size=6))
def test_every_estimate_is_finite_or_has_a_reason(items: list[tuple]):
    family = overlap.compute(columns([h for h, _ in items], [r for _, r in items]), resamples=30)
    assert set(family.estimates) == {"bleu", "chrf"}
    for estimate in family.estimates.values():
        if estimate.value is None or estimate.low is None:
            assert estimate.reason
        else:
            assert np.isfinite([estimate.value, estimate.low, estimate.high]).all()
            assert 0 <= estimate.low <= estimate.high <= 100 + 1e-9
    for values in family.per_example.values():
        assert len(values) == len(items)
        assert not np.isinf(values).any()
