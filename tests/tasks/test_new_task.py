"""A table and choices become the text of a card that says the same."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from r2d_bench.documents import check
from r2d_bench.errors import UserError
from r2d_bench.records import Example
from r2d_bench.tasks.new import Choices, NewTask, column_template, divide, guess, labels_in, new_task, quoted
from r2d_bench.tasks.sources import Row
from r2d_bench.tasks.spec import TaskSpec
from r2d_bench.templates import mapped

CHOICES = Choices(
    name="mine", title="Mine", file="notes.csv", input="note", label="label", values=("yes", "no"), split="all-test"
)


def table(*labels: str, **more: str) -> list[Row]:
    return [
        Row({"note": f"note {k}", "label": label} | more, "notes.csv", f"line {k + 2}")
        for k, label in enumerate(labels)
    ]


def spec_of(made: NewTask) -> TaskSpec:
    return check(TaskSpec, yaml.load(made.card, Loader=yaml.BaseLoader), "card")  # noqa: S506 - builds only text


@pytest.mark.parametrize(
    ("columns", "roles"),
    [
        (
            ["id", "note", "disposition", "rationale"],
            {"id": "id", "input": "note", "label": "disposition", "rationale": "rationale"},
        ),
        (
            ["MRN", "Chief complaint", "Triage level", "Reason for triage"],
            {"group": "MRN", "input": "Chief complaint", "label": "Triage level", "rationale": "Reason for triage"},
        ),
        (
            ["PatientId", "Text", "acuity", "split"],
            {"group": "PatientId", "input": "Text", "label": "acuity", "split": "split"},
        ),
        (["patient_id", "id", "x"], {"id": "id", "group": "patient_id"}),
        (["video", "notebook"], {}),
    ],
)
def test_roles_are_guessed_from_names(columns: list[str], roles: dict[str, str]):
    assert guess(columns) == roles


@pytest.mark.parametrize(
    ("cells", "labels"),
    [
        (["b", "a", "b", "c"], ["b", "a", "c"]),
        (["10", "9", "1", "10"], ["1", "9", "10"]),
        (["ED now", "ed_now ", "ED now", "home"], ["ED now", "home"]),
        (["yes", "", "None", "None", " "], ["None", "yes"]),
    ],
)
def test_labels_in_a_column(cells: list[str], labels: list[str]):
    assert labels_in(table(*cells), "label") == labels


AWKWARD = ["yes", "No", "None", "NA", "01", "1.0", "~", "null", "a: b", "# x", 'it\'s "so"', "ä\u2028b", "[x]", "tab\t"]


@pytest.mark.parametrize("text", AWKWARD)
def test_any_reader_of_yaml_takes_a_quoted_text_for_that_text(text: str):
    assert yaml.safe_load(f"key: {quoted(text)} # remark") == {"key": text}


@given(st.text(st.characters(exclude_categories=["Cs"]), min_size=1))
def test_a_template_gives_its_column_whatever_it_is_called(column: str):
    if column == "row":
        return
    row = {column: "its value", "other": "x"} if column != "other" else {column: "its value"}
    assert mapped(column_template(column), "here")(row) == "its value"
    assert yaml.safe_load(quoted(column_template(column))) == column_template(column)


def test_the_card_says_what_was_chosen():
    rows = table("no", "yes", "no", why="w", pat="p", nr="1")
    rows = [row._replace(values=row.values | {"nr": str(n)}) for n, row in enumerate(rows)]
    choices = replace(CHOICES, rationale="why", group="pat", id="nr", space="ordinal", title='My "notes": #1')
    made = new_task(choices, rows)
    spec = spec_of(made)
    assert made.rows is None
    assert (spec.full_name, spec.title, spec.visibility, spec.licence) == (
        "mine@1",
        'My "notes": #1',
        "private",
        "internal",
    )
    assert (spec.label.space, spec.label.values) == ("ordinal", ("yes", "no"))
    assert (spec.source.files, spec.source.split) == ({"test": "notes.csv"}, None)
    assert spec.fields.model_dump(exclude_none=True) == {
        "id": "{{ nr }}",
        "input": "{{ note }}",
        "gold": "{{ label }}",
        "references": "{{ why }}",
        "group": "{{ pat }}",
    }
    assert spec.splits["test"].rows == 3
    assert spec.baselines == (), "a baseline needs a training split"


def test_a_column_may_hold_the_split():
    rows = [
        row._replace(values=row.values | {"fold": name})
        for row, name in zip(table("yes", "no"), ("train", "test"), strict=True)
    ]
    spec = spec_of(new_task(replace(CHOICES, split="fold"), rows))
    assert (spec.source.files, spec.source.split) == ({"all": "notes.csv"}, "{{ fold }}")
    assert {name: split.rows for name, split in spec.splits.items()} == {"train": 1, "test": 1}
    with pytest.raises(UserError, match=r"--split label: no row has the value 'test', .*\(found: no, yes\)"):
        new_task(replace(CHOICES, split="label"), rows)


def test_rows_are_divided_and_the_card_says_how():
    made = new_task(replace(CHOICES, split="auto", seed=7), table(*["yes", "no"] * 50, split="mine already"))
    spec = spec_of(made)
    assert made.rows is not None
    assert made.rows[0]["split"] == "mine already", "a column of the user's own is left alone"
    assert Counter(row["r2d_split"] for row in made.rows) == {"train": 60, "validation": 20, "test": 20}
    assert Counter(row["label"] for row in made.rows if row["r2d_split"] == "test") == {"yes": 10, "no": 10}
    assert (spec.source.files, spec.source.split) == ({"all": "data.jsonl"}, "{{ r2d_split }}")
    assert "seed 7" in made.card
    assert {name: split.rows for name, split in spec.splits.items()} == {"train": 60, "validation": 20, "test": 20}
    assert all(split.digest for split in spec.splits.values())


def example(n: int, gold: str, group: str | None = None) -> Example:
    return Example(id=str(n), split="all", input="x", gold=gold, group=group)


GOLDS = st.lists(st.sampled_from(["a", "b", "c"]), min_size=30, max_size=120)


@given(golds=GOLDS, seed=st.integers(0, 5))
def test_labels_are_divided_in_proportion(golds: list[str], seed: int):
    examples = [example(n, gold) for n, gold in enumerate(golds)]
    splits = divide(examples, seed)
    assert splits == divide(examples, seed)
    for label, total in Counter(golds).items():
        got = Counter(split for split, gold in zip(splits, golds, strict=True) if gold == label)
        for split, share in (("train", 0.6), ("validation", 0.2), ("test", 0.2)):
            assert abs(got[split] - share * total) < 1.0


@given(more=st.lists(st.integers(0, 20), max_size=100), seed=st.integers(0, 5))
def test_groups_stay_whole(more: list[int], seed: int):
    groups = [*range(10), *more]
    splits = divide([example(n, "ab"[n % 2], str(group)) for n, group in enumerate(groups)], seed)
    assert all(len({s for s, g in zip(splits, groups, strict=True) if g == group}) == 1 for group in groups)
    assert set(splits) == {"train", "validation", "test"}


def test_the_seed_changes_the_division():
    examples = [example(n, "ab"[n % 2]) for n in range(40)]
    assert divide(examples, 0) != divide(examples, 1)


@pytest.mark.parametrize(
    ("changes", "rows", "message"),
    [
        ({}, table("yes", "maybe"), "notes.csv line 3: the label 'maybe' is not in the label set"),
        ({}, table("yes", ""), "notes.csv line 3: gold is empty"),
        ({"values": ("yes", "YES")}, table("yes"), "'YES' names two labels"),
        ({"id": "label"}, table("yes", "yes"), "notes.csv line 3: the id 'yes' stands twice"),
        ({"group": "ward"}, table("yes", ward=""), "notes.csv line 2: group is empty"),
        ({"split": "auto"}, table("yes", "no"), "2 rows are too few for train, validation and test"),
        ({"split": "auto", "group": "ward"}, table(*["yes", "no"] * 9, ward="w"), "1 groups are too few"),
        ({"input": "empty"}, table("yes", empty=" "), "notes.csv line 2: input is empty"),
    ],
)
def test_what_does_not_fit_is_told_with_the_line_of_the_user_s_file(
    changes: dict[str, Any], rows: list[Row], message: str
):
    with pytest.raises(UserError) as error:
        new_task(replace(CHOICES, **changes), rows)
    assert message in str(error.value)


def test_an_open_label_space_has_no_set():
    spec = spec_of(new_task(replace(CHOICES, space="open", values=()), table("rest", "tea")))
    assert (spec.label.space, spec.label.values, spec.metrics.primary) == ("open", (), "accuracy")
