"""Challenge sets, styles of rationales, mix and costs: what `task.yaml` may say, and what the rows must keep."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from full_task import COST, make_full_task, row, rows

from r2d_bench.errors import UserError
from r2d_bench.models.baseline import Baseline
from r2d_bench.records import ChallengeKind
from r2d_bench.tasks.task import load_task

if TYPE_CHECKING:
    from pathlib import Path

    from r2d_bench.records import Json


def changed(ident: str, **values: Json) -> list[dict[str, Json]]:
    return [one | values if one["id"] == ident else one for one in rows()]


def test_a_task_that_declares_everything(tmp_path: Path):
    task = make_full_task(tmp_path / "small")
    assert [e.id for e in task.examples()] == [f"t{k}" for k in range(6)]
    assert [(e.id, e.pair) for e in task.challenge("pairs")] == [("p1", "t0"), ("p2", "t5")]
    assert task.spec.challenges["thin"].kind is ChallengeKind.INSUFFICIENT
    assert task.spec.label.mix == {"NOW": 0.2, "TODAY": 0.3, "HOME": 0.5}
    assert task.spec.label.cost_matrix == ((0, 4, 10), (1, 0, 2), (2, 1, 0))
    with pytest.raises(UserError, match=r"has no challenge set 'pair'.*did you mean 'pairs'"):
        task.challenge("pair")


def test_rows_outside_of_challenge_sets_have_no_pair(tmp_path: Path):
    task = make_full_task(tmp_path / "small", changed("t1", pair="anything"))
    assert {e.pair for e in task.examples()} == {None}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (changed("p1", pair=None), "challenges.pairs: example p1 has no pair"),
        (changed("p1", pair="t9"), "the pair of example p1, 't9', is no evaluated example"),
        (changed("p1", pair="f0"), "'f0', is no evaluated example"),
        (changed("p1", label="NOW"), "examples p1 and t0 of a minimal pair have the same label"),
        (changed("s1", label="HOME"), "examples s1 and t0 should have the same label"),
        (changed("s1", id="t3"), "the id 't3' stands in split test too"),
        (changed("s1", id="p1"), "the id 'p1' stands in split pairs too"),
        (changed("e1", acceptable=[]), "challenges.edge: example e1 has no acceptable labels"),
        (changed("e1", pair="t9"), "the pair of example e1, 't9'"),
        (rows()[:-2], "challenges.thin: the data have no split 'thin'"),
    ],
)
def test_rows_that_do_not_keep_what_their_set_says(tmp_path: Path, content: list[dict[str, Json]], message: str):
    with pytest.raises(UserError) as error:
        make_full_task(tmp_path / "small", content).splits()
    assert message in str(error.value)


def test_an_id_may_stand_in_the_training_split_too(tmp_path: Path):
    content = [*rows(), row("p1", "NOW", "train")]
    assert make_full_task(tmp_path / "small", content).challenge("pairs")


ONE = {"split": "pairs", "kind": "minimal_pair"}


@pytest.mark.parametrize(
    ("parts", "message"),
    [
        ({"fields": {"pair": None}}, "challenges.pairs: a set of kind minimal_pair needs fields.pair"),
        ({"fields": {"acceptable": None}}, "challenges.edge: a set of kind edge needs fields.acceptable"),
        ({"challenges": {"pairs": {"split": "test", "kind": "edge"}}}, "split 'test' is the evaluated one"),
        ({"challenges": {"pairs": {"split": "train", "kind": "edge"}}}, "split 'train' is for training"),
        ({"challenges": {"again": ONE}}, "challenges.again: split 'pairs' is that of challenges.pairs"),
        ({"challenges": {"a b": {"split": "x", "kind": "edge"}}}, "challenges.a b: the name should be a word"),
        ({"challenges": {"pairs": {"split": "pairs", "kind": "minimal"}}}, "Input should be 'minimal_pair'"),
        ({"label": {"space": "open", "values": [], "mix": {}, "cost": {}}}, "edge needs a fixed set of labels"),
        ({"label": {"mix": {"NOW": "0.5", "HOME": "0.4"}}}, "the shares add up to 0.9, not to 1 (or 100)"),
        ({"label": {"mix": {"NOW": "2", "HOME": "-1"}}}, "greater than or equal to 0"),
        ({"label": {"mix": {"NOW": "0.5", "HONE": "0.5"}}}, "mix: 'HONE' is not among the values (did you mean 'HOME'"),
        ({"label": {"cost": COST | {"NOW": {"HOME": "1"}}}}, "what does it cost to take NOW for TODAY?"),
        ({"label": {"cost": {"NOW": COST["NOW"]}}}, "what does it cost to take TODAY for NOW?"),
        ({"fields": {"references": "{{ edited }}"}}, "rationale.styles stand for fields.references"),
        ({"rationale": {"style": "edit"}}, "style: 'edit' is not among the styles (did you mean 'edited'?)"),
        ({"rationale": {"style": None}}, "say which one is taken by default (nurse, edited)"),
        ({"rationale": {"styles": {"nurse": "nurse"}, "style": "nurse"}}, "'nurse' names no column"),
    ],
)
def test_cards_that_do_not_fit(tmp_path: Path, parts: dict[str, Any], message: str):
    with pytest.raises(UserError) as error:
        make_full_task(tmp_path / "small", **parts)
    assert message in str(error.value)


@pytest.mark.parametrize("mix", [{"NOW": "0.25", "HOME": "0.75"}, {"NOW": "25", "HOME": "75"}])
def test_a_mix_in_shares_or_per_cent(tmp_path: Path, mix: dict[str, str]):
    task = make_full_task(tmp_path / "small", label={"mix": mix})
    assert task.spec.label.mix == {"NOW": 0.25, "HOME": 0.75}


def test_the_style_decides_references_and_not_the_digest(tmp_path: Path):
    default = make_full_task(tmp_path / "small")
    nurse = load_task(str(tmp_path / "small"), style="nurse")
    assert (default.style, nurse.style) == ("edited", "nurse")
    assert default.examples()[0].references == ("because of t0 it is so",)
    assert nurse.examples()[0].references == ("t0 terse words here",)
    assert default.in_style("nurse").examples() == nurse.examples()
    assert default.in_style(None) is default
    assert default.digest() == nurse.digest()
    other = make_full_task(tmp_path / "other" / "small", changed("t0", nurse="other words"))
    assert other.digest() != default.digest()  # though the default style's words are the same


def test_a_known_digest_holds_in_every_style(tmp_path: Path):
    digest = make_full_task(tmp_path / "small").digest()
    make_full_task(tmp_path / "small", splits={"test": {"rows": "6", "digest": digest}})
    for style in ("nurse", "edited", None):
        assert len(load_task(str(tmp_path / "small"), style=style).examples()) == 6


def test_unknown_styles(tmp_path: Path):
    make_full_task(tmp_path / "small")
    with pytest.raises(UserError, match=r"has no rationale style 'nurses' .did you mean 'nurse'"):
        load_task(str(tmp_path / "small"), style="nurses")
    with pytest.raises(UserError, match=r"task pubmedqa has no rationale style 'nurse' .it declares none"):
        load_task("pubmedqa", style="nurse")


def test_only_a_baseline_that_shows_rationales_hangs_on_the_style(tmp_path: Path):
    task = make_full_task(tmp_path / "small")
    digests = {}
    for name in ("majority", "stratified", "tfidf"):
        models = []
        for style in ("nurse", "edited"):
            styled = task.in_style(style)
            model = Baseline(name, styled, 0)
            model.fit(styled.examples("train"), [])
            models.append(model.identity.digest)
        digests[name] = len(set(models))
    assert digests == {"majority": 1, "stratified": 1, "tfidf": 2}
