from __future__ import annotations

import json
import random
from typing import TYPE_CHECKING, Any

import pytest
from scipy.stats import spearmanr
from sklearn.metrics import cohen_kappa_score

from r2d_bench.errors import UserError
from r2d_bench.judging.agreement import Rated, ceilings, figures, table
from r2d_bench.judging.own_ratings import compare
from r2d_bench.judging.ratings import Rating, read_ratings
from r2d_bench.judging.verdict import Verdict

if TYPE_CHECKING:
    from pathlib import Path

LEVELS = (1.0, 3.0, 5.0)
NUMBERS = (1, 2, 3, 4, 5)


def rated(n: int, seed: int = 0) -> list[Rated]:
    rng = random.Random(seed)
    made = []
    for k in range(n):
        level = rng.choice(LEVELS)
        own = level if rng.random() < 0.6 else rng.choice(LEVELS)
        ratings = {name: level if rng.random() < 0.8 else rng.choice(LEVELS) for name in "abc"}
        made.append(Rated(f"q{k // 3}", own, own, level, level, ratings))
    return made


def test_figures_are_those_of_other_packages() -> None:
    items = rated(120)
    found = figures(items, LEVELS)
    own, people = [one.judge_level for one in items], [one.level for one in items]
    assert found["kappa"].value == pytest.approx(cohen_kappa_score(own, people, weights="quadratic"))
    single = [cohen_kappa_score(own, [one.ratings[r] for one in items], weights="quadratic") for r in "abc"]
    assert found["kappa_raters"].value == pytest.approx(sum(single) / 3)
    assert found["spearman"].value == pytest.approx(spearmanr(own, people).statistic)
    assert found["bias"].value == pytest.approx(sum(a - b for a, b in zip(own, people, strict=True)) / 120)
    for estimate in found.values():
        assert estimate.low is not None
        assert estimate.high is not None
        assert estimate.low < (estimate.value or 0) < estimate.high
        assert estimate.n == 120


def test_alpha_of_two_raters_by_hand() -> None:
    # Pairs (1,1), (1,3), (3,3), (5,5): ratings 1 1 1 3 3 3 5 5. Ordinal distances, from how many ratings lie between:
    # 1–3: (3/2 + 3/2)² = 9; 3–5: (3/2 + 2/2)² = 6.25; 1–5: (3/2 + 3 + 2/2)² = 30.25.
    # Disagreement seen: one pair 1–3 of four items = 2 · 9 = 18. Expected: 2 · (3·3·9 + 3·2·6.25 + 3·2·30.25) = 600.
    items = [Rated(str(k), a, a, b, b, {"x": b}) for k, (a, b) in enumerate([(1, 1), (1, 3), (3, 3), (5, 5)])]
    assert figures(items, LEVELS)["alpha"].value == pytest.approx(1 - 7 * 18 / 600)


def test_people_among_themselves_leave_single_ratings_out() -> None:
    items = rated(90)
    ratings = [dict(one.ratings) for one in items]
    ratings[0] = {"a": 1.0}
    found = ceilings(ratings, [one.cluster for one in items], LEVELS)
    whole = ratings[1:]
    pairs = [
        cohen_kappa_score([r[a] for r in whole], [r[b] for r in whole], weights="quadratic")
        for a, b in (("a", "b"), ("a", "c"), ("b", "c"))
    ]
    assert found["ceiling"].value == pytest.approx(sum(pairs) / 3)
    assert found["ceiling"].n == 89


def test_nothing_to_compare_is_a_reason_and_never_a_number() -> None:
    none = figures([], LEVELS, unscored=3)
    assert all(estimate.value is None and estimate.unscored == 3 for estimate in none.values())
    constant = [Rated(str(k), 3.0, 3.0, 3.0, 3.0, {"x": 3.0}) for k in range(12)]
    found = figures(constant, LEVELS)
    assert found["kappa"].value is None
    assert found["spearman"].value is None
    assert found["bias"].value == 0
    assert ceilings([{"x": 3.0}], ["q"], LEVELS)["ceiling"].value is None
    json.dumps([estimate.as_json() for estimate in found.values()], allow_nan=False)


def test_the_table_counts_people_by_judge() -> None:
    items = [Rated("q", 5, 5.0, 1, 1.0, {}), Rated("q", 3, 3.0, 1, 1.0, {}), Rated("q", 5, 5.0, 5, 5.0, {})]
    assert table(items, LEVELS) == [[0, 1, 1], [0, 0, 0], [0, 0, 1]]


# A team's own ratings


def ratings_of(scores: dict[str, dict[str, float]], criterion: str = "clarity") -> list[Rating]:
    return [Rating(example, rater, criterion, score) for example, one in scores.items() for rater, score in one.items()]


def verdicts_of(scores: dict[str, float | None]) -> list[Verdict]:
    return [Verdict(example, {"clarity": score}) for example, score in scores.items()]


def test_verdicts_beside_each_rater_and_all() -> None:
    rng = random.Random(1)
    people = {f"t{k}": {"ann": float(rng.choice(NUMBERS)), "ben": float(rng.choice(NUMBERS))} for k in range(60)}
    judge: dict[str, float | None] = {example: one["ann"] for example, one in people.items()}  # Ann's echo
    judge["t0"] = None
    verdicts = [*verdicts_of(judge), Verdict("t1", {"clarity": 1.0}, repeat=2)]
    clusters = {example: example for example in people}
    found = compare(ratings_of(people), verdicts, NUMBERS, clusters)["clarity"]
    assert found["raters"] == ["ann", "ben"]
    assert found["single"]["ann"]["kappa"]["value"] == 1
    assert found["single"]["ben"]["kappa"]["value"] < 0.5
    assert found["single"]["ann"]["bias"]["value"] == 0
    assert found["unscored"] == {"cannot_assess": 1}
    assert found["consensus"]["kappa"]["n"] == 59
    assert found["consensus"]["ceiling"]["value"] == pytest.approx(
        cohen_kappa_score(
            [one["ann"] for one in people.values()], [one["ben"] for one in people.values()], weights="quadratic"
        )
    )


def test_a_rated_example_without_verdict_is_counted_and_an_unknown_one_told() -> None:
    people = {"t0": {"ann": 3.0}, "t1": {"ann": 4.0}}
    verdicts = [Verdict("t0", unscored="parse")]
    found = compare(ratings_of(people), verdicts, NUMBERS, {"t0": "t0", "t1": "t1"})["clarity"]
    assert found["unscored"] == {"parse": 1, "not judged": 1}
    assert found["consensus"]["kappa"]["value"] is None
    with pytest.raises(UserError, match="no example 't1'"):
        compare(ratings_of(people), verdicts, NUMBERS, {"t0": "t0"})


GOOD: dict[str, Any] = {"example_id": "t0", "rater": "ann", "criterion": "clarity", "score": "4"}


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"criterion": "clarty"}, r"line 3: unknown criterion 'clarty' \(did you mean 'clarity'"),
        ({"score": "6"}, "line 3: score '6' should be a number from 1 to 5"),
        ({"score": "good"}, "line 3: score 'good'"),
        ({"score": "nan"}, "line 3: score 'nan'"),
        ({"rater": " "}, "line 3: rater is empty"),
        ({"example_id": "t0"}, "line 3: ann's clarity of t0 stands twice"),
    ],
)
def test_a_wrong_rating_is_told_with_its_line(tmp_path: Path, change: dict[str, str], said: str) -> None:
    rows = [GOOD, GOOD | {"example_id": "t1"} | change]
    path = tmp_path / "ratings.csv"
    lines = [",".join(GOOD), *(",".join(row.values()) for row in rows)]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    with pytest.raises(UserError, match=said):
        read_ratings(path, ["clarity"], 1, 5)


def test_a_wrong_column_is_told_with_the_nearest(tmp_path: Path) -> None:
    path = tmp_path / "ratings.csv"
    path.write_text("example,rater,criterion,score\nt0,ann,clarity,4\n", encoding="utf-8")
    with pytest.raises(UserError, match=r"'example_id' is missing.*did you mean 'example'"):
        read_ratings(path, ["clarity"], 1, 5)


def test_csv_and_json_lines_give_the_same_ratings(tmp_path: Path) -> None:
    rows = [GOOD, GOOD | {"rater": "ben", "score": "2.5"}]
    table_file, lines = tmp_path / "ratings.csv", tmp_path / "ratings.jsonl"
    table_file.write_text("\n".join([",".join(GOOD), *(",".join(row.values()) for row in rows)]), encoding="utf-8")
    objects = [row | {"score": float(row["score"])} for row in rows]
    lines.write_text("".join(json.dumps(row) + "\n" for row in objects), encoding="utf-8")
    found = read_ratings(table_file, ["clarity"], 1, 5)
    assert found == read_ratings(lines, ["clarity"], 1, 5)
    assert found[1] == Rating("t0", "ben", "clarity", 2.5)
