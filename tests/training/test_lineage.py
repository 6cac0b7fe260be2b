"""What makes two trainings the same one, and what a lineage tells of figures."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from full_task import make_full_task, row
from training_parts import keyword_task, tiny_recipe

from r2d_bench.errors import UserError
from r2d_bench.training.lineage import (
    LearntBase,
    LearntSplit,
    Lineage,
    from_json,
    lineage_of,
    marks,
    read_lineage,
    write_lineage,
)

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from r2d_bench.records import Json
    from r2d_bench.tasks.task import Task

BASE = LearntBase(name="small-t5", digest="ab" * 32)


@pytest.fixture
def task(tmp_path: Path) -> Task:
    return keyword_task(tmp_path, train=12, validation=6)


def of(task: Task, method: str = "r2d", seed: int = 1, base: LearntBase = BASE, **recipe: Any) -> Lineage:  # noqa: ANN401
    return lineage_of(task, tiny_recipe(method, **recipe), base, seed)


def test_it_tells_task_rows_method_recipe_base_and_seed(task: Task):
    lineage = of(task)
    assert (lineage.task, lineage.method, lineage.base, lineage.seed) == ("keywords@1", "r2d", BASE, 1)
    assert lineage.recipe == tiny_recipe("r2d").digest
    assert lineage.splits == {
        "train": LearntSplit(role="train", rows=12, digest=task.digest("train")),
        "validation": LearntSplit(role="validation", rows=6, digest=task.digest("validation")),
    }
    assert lineage.styles == {"explain": None, "decide": None}
    assert {"torch", "transformers", "r2d-bench"} <= set(lineage.versions)
    assert lineage.training_data == "keywords@1: train (12 examples)"


def test_what_decides_on_the_weights_decides_on_the_digest(task: Task, tmp_path: Path):
    same = of(task)
    assert of(task, title="another title", trackers=["tensorboard"]).digest == same.digest
    assert same.model_copy(update={"versions": {}, "parameters": 7, "examples": {}}).digest == same.digest
    others = [
        of(task, seed=2),
        of(task, "r2d_c"),
        of(task, stages={"decide": {"steps": 7}}),
        of(task, base=LearntBase(name="small-t5", digest="cd" * 32)),
        of(task, base=LearntBase(name="tiny", digest=None)),
        of(keyword_task(tmp_path / "more", train=13, validation=6)),
        of(keyword_task(tmp_path / "validated", train=12, validation=7)),
        of(keyword_task(tmp_path / "next", train=12, validation=6, version="2")),
    ]
    assert len({lineage.digest for lineage in [same, *others]}) == len(others) + 1


def test_trainings_that_differ_in_the_second_stage_share_the_first(task: Task):
    one = of(task)
    assert one.parent is not None
    assert of(task, stages={"decide": {"steps": 7}}).parent == one.parent
    assert of(task, "r2d_c").parent == one.parent
    assert of(task, stages={"explain": {"steps": 7}}).parent != one.parent
    assert of(task, seed=2).parent != one.parent
    assert of(task, "sft").parent is None
    assert of(task, "dss").parent is None


def test_all_but_the_seed(task: Task):
    assert of(task, seed=1).but_for_the_seed == of(task, seed=2).but_for_the_seed
    assert of(task).but_for_the_seed != of(task, "dss").but_for_the_seed


def test_styles_of_rationales_stand_in_it(tmp_path: Path):
    content = [row(f"f{k}", "NOW", "train") for k in range(3)] + [row("t1", "NOW")]
    challenges = {"pairs": None, "same": None, "edge": None, "thin": None}
    task = make_full_task(tmp_path / "small", content, challenges=challenges)
    named = of(task, stages={"explain": {"rationale_style": "nurse"}})
    assert named.styles == {"explain": "nurse", "decide": "edited"}
    assert named.training_data == (
        "small@1: train (3 examples); rationales of stage explain: nurse; rationales of stage decide: edited"
    )
    assert from_json(json.loads(json.dumps(named.as_json(), sort_keys=True)), "").training_data == named.training_data
    assert named.digest != of(task).digest
    assert named.parent != of(task).parent
    assert of(task, stages={"decide": {"rationale_style": "nurse"}}).parent == of(task).parent
    assert of(task, "sft").styles == {"decide": None}, "labels alone are the same in every style"
    assert of(task.in_style("nurse")).digest == of(task).digest, "the style of scoring is not that of training"
    with pytest.raises(UserError, match="has no rationale style 'nursing' \\(did you mean 'nurse'"):
        of(task, stages={"explain": {"rationale_style": "nursing"}})


def test_it_is_written_and_read_back(task: Task, tmp_path: Path):
    lineage = of(task).model_copy(update={"parameters": 7, "examples": {"decide": 12}})
    write_lineage(tmp_path, lineage)
    assert read_lineage(tmp_path) == lineage
    assert json.loads((tmp_path / "lineage.json").read_text())["digest"] == lineage.digest
    assert read_lineage(tmp_path / "nowhere") is None


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"seed": 3}, "its digest does not fit its content"),
        ({"sed": 3}, "unknown key 'sed'"),
        ({"method": "magic"}, "method"),
    ],
)
def test_an_edited_one_is_refused(task: Task, change: Mapping[str, Json], message: str):
    with pytest.raises(UserError, match=f"there: .*{message}"):
        from_json(of(task).as_json() | dict(change), "there")


def test_a_file_of_another_program_is_none(tmp_path: Path):
    (tmp_path / "lineage.json").write_text('{"parents": ["a", "b"]}')
    assert read_lineage(tmp_path) is None


def test_marks():
    splits = {
        "train": LearntSplit(role="train", rows=2, digest="0" * 16),
        "validation": LearntSplit(role="validation", rows=2, digest="1" * 16),
    }
    made = Lineage(task="small@1", splits=splits, styles={}, method="sft", recipe="r", base=BASE, seed=1)
    own = ["trained on this task's training split"]
    assert marks(made, "small@1", "test", "2" * 16) == (own, [])
    assert marks(made, "small@2", "test", "2" * 16) == (own, [])
    assert marks(made, "other@1", "test", "2" * 16) == ([], [])
    assert marks(made, "other@1", "test", "0" * 16) == (
        [], ["trained on the very rows that it is evaluated on (small@1, split train)"],
    )  # fmt: skip
    assert marks(made, "small@1", "validation", "1" * 16) == (
        own, ["chosen on the very rows that it is evaluated on (small@1, split validation)"],
    )  # fmt: skip
    assert marks(made, "small@2", "train", "2" * 16) == (
        own, ["trained on split train of small@1, the split that it is evaluated on, with other rows"],
    )  # fmt: skip
