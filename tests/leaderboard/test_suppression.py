"""What a reader can reconstruct of a private task from all that `results.json` says of it."""

from __future__ import annotations

import itertools
import json
from typing import TYPE_CHECKING

import numpy as np
import pytest
from boards import board, make_run, write_predictions, write_task
from hypothesis import given, settings
from hypothesis import strategies as st

from r2d_bench.leaderboard.confusion_cells import SMALL, is_small, outcomes, small_sums
from r2d_bench.leaderboard.document import ChallengeFigures, Gap, Part, Row, Slice
from r2d_bench.leaderboard.parts import Figure
from r2d_bench.leaderboard.results import collect
from r2d_bench.leaderboard.slice_cells import safe_slices
from r2d_bench.leaderboard.suppression import FINE, WITHHELD, has_small_cells, safe_challenges, safe_figures
from r2d_bench.metrics import confusion as formulas
from r2d_bench.metrics import labels, triage
from r2d_bench.metrics.base import Columns
from r2d_bench.metrics.registry import METRICS
from r2d_bench.records import LabelStatus, missing
from r2d_bench.tasks.spec import Labels
from r2d_bench.tasks.task import load_task

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    Counts = NDArray[np.int64]

LEVELS = ("now", "today", "week", "never")
matrices = st.integers(2, 3).flatmap(
    lambda k: st.lists(
        st.one_of(st.integers(0, 12), st.integers(0, 40)), min_size=k * (k + 1), max_size=k * (k + 1)
    ).map(lambda cells: np.array(cells, dtype=np.int64).reshape(k, k + 1))
)


def scored(counts: Counts, label: Labels) -> Row:
    """A run whose confusion matrix this is; its figures are those of the real families, all other keys stay unset."""
    names = label.values
    pairs = [
        (gold, (*names, None)[said])
        for (gold_place, said), count in np.ndenumerate(counts)
        for gold in [names[gold_place]] * int(count)
    ]
    n = len(pairs)
    columns = Columns(
        ids=[str(k) for k in range(n)],
        labels=names,
        gold=[gold for gold, _ in pairs],
        predicted=[said for _, said in pairs],
        statuses=[LabelStatus.EMPTY if said is None else LabelStatus.PARSED for _, said in pairs],
        label_texts=[said for _, said in pairs],
        hypotheses=[None] * n,
        references=[()] * n,
        groups=None,
        input_cut=[False] * n,
        output_cut=[False] * n,
        ordinal=label.space == "ordinal",
    )
    families = labels.compute(columns, resamples=20), triage.compute(columns, critical=label.critical, resamples=20)
    found = {name: estimate for family in families for name, estimate in family.estimates.items()}
    metrics = {name: Figure(**found.get(name, missing("not computed")).as_json()) for name in METRICS}
    confusion = {"labels": list(names), "counts": counts.tolist()}
    return Row.model_construct(metrics=metrics, answered=n, confusion=confusion)


def label_of(k: int, *, ordinal: bool) -> Labels:
    return Labels(space="ordinal" if ordinal else "closed", values=LEVELS[:k], critical=LEVELS[:1] if ordinal else ())


class Reader:
    """Somebody who knows every published figure of a run, and asks which matrices fit.

    Args:
        figures: what is published.
        label: the labels.
    """

    def __init__(self, figures: dict[str, Figure], label: Labels) -> None:
        self._figures = figures
        places = [label.values.index(value) for value in label.critical]
        self._masks = outcomes(len(label.values), ordinal=label.space == "ordinal", critical=places)

    def fits(self, counts: Counts) -> NDArray[np.bool_]:
        """Which of many matrices, shape (M, K, K + 1), give the published figures."""
        n = counts.sum(axis=(1, 2))
        fits = (counts >= 0).all(axis=(1, 2)) & (n == self._figures["accuracy"].n)
        for name, mask in self._masks.items():
            figure = self._figures[name.partition(" ")[0]]
            whole = n if f"{name} of" not in self._masks else counts[:, self._masks[f"{name} of"]].sum(axis=1)
            if figure.value is not None and name.endswith(" of"):
                fits &= counts[:, mask].sum(axis=1) == figure.n
            elif figure.value is not None:
                share = counts[:, mask].sum(axis=1) / np.maximum(whole, 1)
                fits &= np.abs(share - figure.value) < 0.00051
        for name in ("macro_f1", "weighted_f1", "micro_f1", "balanced_accuracy", "mcc"):
            figure = self._figures[name]
            if figure.value is not None:
                off = 0.00501 if name == "macro_f1" and figure.low is None else 0.00051
                fits &= np.abs(getattr(formulas, name)(sums(counts)) - figure.value) < off
        return np.asarray(fits)


def sums(counts: Counts) -> NDArray[np.float64]:
    k = counts.shape[1]
    hits = counts[:, np.arange(k), np.arange(k)]
    return np.concatenate([counts.sum(axis=2), counts[:, :, :k].sum(axis=1), hits], axis=1).astype(np.float64)


def every_matrix(n: int, k: int) -> Counts:
    """All matrices of n items."""
    cells = k * (k + 1)
    found = [
        np.diff([-1, *bars, n + cells - 1]) - 1 for bars in itertools.combinations(range(n + cells - 1), cells - 1)
    ]
    return np.array(found, dtype=np.int64).reshape(-1, k, k + 1)


def neighbours(counts: Counts) -> Iterator[Counts]:
    """All matrices that differ by moves of up to three items within a row, and of one between rows."""
    k, width = counts.shape
    moves = []
    for start, end in itertools.permutations(range(k * width), 2):
        move = np.zeros(k * width, np.int64)
        move[start], move[end] = -1, 1
        moves.append(move.reshape(k, width))
    yield np.array([counts])
    within = np.array([move for move in moves if not move.sum(axis=1).any()])
    yield counts + np.array(moves)
    yield (counts + within[:, None] + within[None]).reshape(-1, k, width)
    yield (counts + np.array(moves)[:, None] + within[None]).reshape(-1, k, width)


def determined(counts: Counts, others: Sequence[Counts] | Iterator[Counts], reader: Reader) -> list[int]:
    """Return the small cells, rows and columns that have one value in all matrices that fit."""
    fitting = np.concatenate([part[reader.fits(part)] for part in others])
    assert (fitting == counts).all(axis=(1, 2)).any()  # the true one is among them: nothing false is published
    return [
        int(counts[mask].sum())
        for mask in small_sums(counts)
        if (fitting[:, mask].sum(axis=1) == counts[mask].sum()).all()
    ]


def is_told_by_accuracy(counts: Counts, label: Labels) -> bool:
    """Whether accuracy and n alone leave a small cell a single value: hardly anything is wrong, or right."""
    reader = Reader({name: Figure(value=None) for name in METRICS} | {"accuracy": accuracy(counts)}, label)
    return bool(determined(counts, neighbours(counts), reader))


def accuracy(counts: Counts) -> Figure:
    return Figure(value=round(float(np.trace(counts) / counts.sum()), 3), n=int(counts.sum()))


@settings(max_examples=60, deadline=None)
@given(matrices.filter(lambda counts: counts.sum() >= SMALL), st.booleans())
def test_no_small_cell_can_be_had_from_the_published_figures(counts: Counts, ordinal: bool):
    label = label_of(len(counts), ordinal=ordinal)
    if is_told_by_accuracy(counts, label):
        return
    figures = safe_figures(scored(counts, label), label)
    assert determined(counts, neighbours(counts), Reader(figures, label)) == []


@pytest.mark.parametrize("ordinal", [False, True])
def test_no_small_cell_of_a_small_set_fits_one_matrix_alone(ordinal: bool):
    """Brute force: of all matrices of so many items, which fit?"""
    rng, n, label = np.random.default_rng(5), 16, label_of(2, ordinal=ordinal)
    everything = every_matrix(n, 2)
    looked_at = 0
    for counts in everything[rng.choice(len(everything), 60, replace=False)]:
        if not is_told_by_accuracy(counts, label):
            figures = safe_figures(scored(counts, label), label)
            assert determined(counts, [everything], Reader(figures, label)) == []
            looked_at += 1
    assert looked_at > 20


def test_without_suppression_the_matrix_is_told():
    """The reader of these tests is no fool: of the figures as they were scored, one matrix fits."""
    counts = np.array([[25, 3, 0], [4, 31, 2]])
    label = label_of(2, ordinal=True)
    row = scored(counts, label)
    assert determined(counts, neighbours(counts), Reader(row.metrics, label)) != []
    assert determined(counts, neighbours(counts), Reader(safe_figures(row, label), label)) == []


def test_large_cells_are_no_reason_to_withhold_anything():
    counts = np.array([[40, 12, 0], [15, 60, 20]])
    label = label_of(2, ordinal=False)
    row = scored(counts, label)
    assert not has_small_cells(row)
    figures = safe_figures(row, label)
    assert all(
        figures[name].value == pytest.approx(row.metrics[name].value, abs=0.0006) for name in ("macro_f1", "mcc")
    )
    assert figures["macro_f1"].low is not None


@pytest.mark.parametrize(
    ("counts", "gone", "kept"),
    [
        # Four critical items: their figure goes, the others' rest would tell them.
        ([[2, 2, 0], [20, 76, 0]], {"critical_miss", "under_triage"}, {"accuracy", "unparsed"}),
        ([[40, 20, 0], [30, 60, 3]], {"unparsed", "under_triage", "over_triage", "micro_f1"}, {"accuracy"}),
        ([[40, 20, 0], [30, 60, 12]], set(), {"accuracy", "unparsed", "under_triage", "critical_miss", *FINE[:4]}),
    ],
)
def test_which_figures_go(counts: list[list[int]], gone: set[str], kept: set[str]):
    label = label_of(2, ordinal=True)
    figures = safe_figures(scored(np.array(counts), label), label)
    for name in gone:
        assert (figures[name].value, figures[name].n, figures[name].reason) == (None, 0, WITHHELD)
    assert all(figures[name].value is not None for name in kept)


def test_means_do_not_count_what_they_leave_out():
    row = scored(np.array([[40, 20, 0], [30, 60, 12]]), label_of(2, ordinal=False))
    row.metrics["chrf"] = Figure(value=31.23456, low=1.0, high=2.0, n=159, unscored=3)
    row.metrics["bleu"] = Figure(value=31.0, n=150, unscored=12)
    figures = safe_figures(row, label_of(2, ordinal=False))
    assert (figures["chrf"].n, figures["chrf"].unscored) == (150, 0)
    assert (figures["bleu"].n, figures["bleu"].unscored) == (150, 12)
    assert len(str(figures["chrf"].value)) < len("31.23456")


# Slices


def sliced(sizes: Sequence[int], unscored: Sequence[int] = ()) -> Slice:
    parts = [
        Part(
            value=f"v{k}",
            n=n,
            unscored=lost,
            accuracy=Figure(value=0.5, n=n, unscored=lost),
            macro_f1=Figure(value=0.4, n=n, unscored=lost),
        )
        for k, (n, lost) in enumerate(zip(sizes, unscored or [0] * len(sizes), strict=True))
    ]
    return Slice(values=tuple(parts), gap=Gap(value=None, best=None, worst=None))


def grouped_sizes(codes: NDArray[np.int64]) -> list[int]:
    return [int(count) for count in np.bincount(codes)]


def told_sums(sizes: Sequence[int]) -> set[int]:
    found = {0}
    for n in sizes:
        found |= {n + other for other in found}
    return found


@settings(max_examples=150, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 2)), min_size=20, max_size=60))
def test_nested_slices_do_not_tell_sizes_of_small_parts(items: list[tuple[int, int]]):
    """Clinics in regions: a region's size less those of its shown clinics is that of the hidden ones."""
    region = np.array([outer for outer, _ in items])
    clinic = np.array([outer * 3 + inner for outer, inner in items])
    shown = safe_slices({"region": sliced(grouped_sizes(region)), "clinic": sliced(grouped_sizes(clinic))})
    sizes = {name: [part.n for part in one.values] for name, one in shown.items()}
    for place, n in enumerate(sizes["region"]):
        inside = [(int((clinic == c).sum()), sizes["clinic"][c]) for c in sorted(set(clinic[region == place]))]
        hidden = sum(size for size, told in inside if told is None)
        if n is not None:
            assert not is_small(hidden), (sizes, place)
    for one in shown.values():
        hidden = len(items) - sum(part.n or 0 for part in one.values)
        assert not is_small(hidden)  # what is left of the whole


def test_a_slice_alone_keeps_its_large_parts():
    (found,) = safe_slices({"ward": sliced([3, 8, 20, 40])}).values()
    assert [part.n for part in found.values] == [None, None, 20, 40]
    nested = safe_slices({"ward": sliced([4, 10, 10, 40]), "house": sliced([14, 50])})
    assert [part.n for part in nested["ward"].values] == [None] * 4  # 14 less 10 would be the four
    assert [part.n for part in nested["house"].values] == [14, 50]


def test_few_unanswered_items_of_a_part_are_withheld():
    (found,) = safe_slices({"ward": sliced([30, 40], [2, 11])}).values()
    assert [part.unscored for part in found.values] == [None, None]
    assert [part.accuracy.unscored for part in found.values] == [0, 0]
    assert all(part.macro_f1.value is None for part in found.values)
    (found,) = safe_slices({"ward": sliced([30, 40], [0, 11])}).values()
    assert [part.unscored for part in found.values] == [0, 11]


# Challenge sets


def challenge(flips: int, n: int) -> ChallengeFigures:
    figure = Figure(value=flips / n, low=0.0, high=1.0, n=n, method="wilson")
    return ChallengeFigures(title="t", kind="invariance", n=n, answered=n, metrics={"invariance_flips": figure})


def test_one_set_is_not_what_the_others_leave():
    found = safe_challenges({"a": challenge(4, 40), "b": challenge(15, 40)})
    assert [one.metrics["invariance_flips"].value for one in found.values()] == [None, None]
    assert [one.n for one in found.values()] == [40, 40]
    found = safe_challenges({"a": challenge(0, 6), "b": challenge(15, 40)})
    assert [one.n for one in found.values()] == [None, None]


# The whole way


def test_results_of_a_private_task_hold_no_small_cell(tmp_path: Path):
    """From rows to `results.json`: no number there says how many the four urgent items are, or what became of them."""
    golds = ["yes"] * 4 + ["no"] * 56
    rows = [{"id": f"p{n}", "text": f"note {n}", "gold": gold, "why": "so"} for n, gold in enumerate(golds)]
    said = [{"id": f"p{n}", "label": "yes" if n % 3 == 0 else "no", "rationale": "so"} for n in range(60)]
    write_task(tmp_path / "few", "private", rows)
    write_predictions(tmp_path / "said.jsonl", said)
    make_run(load_task(str(tmp_path / "few")), f"replay:{tmp_path / 'said.jsonl'}", tmp_path / "runs")
    document = collect(board(), tmp_path / "runs", [tmp_path / "few"]).as_json()
    (row,) = document["tables"][0]["rows"]
    assert row["metrics"]["accuracy"]["value"] == round(40 / 60, 3)  # with 2 of 4 and 38 of 56
    counts = np.array([[2, 2, 0], [18, 38, 0]])
    figures = {name: Figure(**figure) for name, figure in row["metrics"].items()}
    assert determined(counts, neighbours(counts), Reader(figures, label_of(2, ordinal=False))) == []
    assert not [name for name in FINE if figures[name].value is not None]
    assert "(4)" not in json.dumps(row)


def test_differences_of_models_are_no_finer_than_their_figures(tmp_path: Path):
    rows = [{"id": f"p{n}", "text": f"note {n}", "gold": "yes" if n % 4 else "no", "why": "so"} for n in range(120)]
    write_task(tmp_path / "few", "private", rows)
    for every in (6, 8, 10):
        said = [
            {"id": row["id"], "label": row["gold"] if n % every else "no", "rationale": "so"}
            for n, row in enumerate(rows)
        ]
        write_predictions(tmp_path / f"every{every}.jsonl", said)
        make_run(load_task(str(tmp_path / "few")), f"replay:{tmp_path / f'every{every}.jsonl'}", tmp_path / "runs")
    (table,) = collect(board(columns=("macro_f1",)), tmp_path / "runs", [tmp_path / "few"]).tables
    assert table.primary == "macro_f1"
    assert len(table.duels) == 3
    # Some have small cells and some have none: a fine difference to the latter would make the former's figures fine.
    assert {row.metrics["macro_f1"].low is None for row in table.rows} == {True, False}
    differences = [one.to_leader for one in table.ranking.standings if one.to_leader is not None]
    told = [end for duel in table.duels for end in (duel.difference, duel.low, duel.high)]
    told += [end for one in differences for end in (one.value, one.low, one.high)]
    assert told == [None if end is None else round(end, 2) for end in told]
    assert all(duel.labels is None for duel in table.duels)
