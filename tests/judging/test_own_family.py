from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
from run_parts import Counting, Quiet, carry_out, make_task, rows

from r2d_bench.errors import UserError
from r2d_bench.judging.ask import JudgeOptions, judge_run, plan_judging
from r2d_bench.judging.own_family import own_family
from r2d_bench.judging.rubric import load_rubric
from r2d_bench.judging.setup import make_setup
from r2d_bench.models.base import Capabilities, Identity
from r2d_bench.records import Response
from r2d_bench.runs.budget import Budget

if TYPE_CHECKING:
    from pathlib import Path

    from r2d_bench.records import Request

N = 20


class Named(Counting):
    """A model with a name, whose rationales say it; as a judge it gives its own kin 5 and others 3."""

    def __init__(self, name: str) -> None:
        super().__init__(self._say)
        self._name = name

    @property
    def identity(self) -> Identity:
        return Identity("api", self._name)

    @property
    def capabilities(self) -> Capabilities:
        return Capabilities(default_protocol="r2d")

    def _say(self, request: Request) -> Response:
        if request.stage.startswith("judge"):
            score = 5 if "by qwen" in str(request.prompt) else 3
            return Response(json.dumps({"explanation": "", "scores": {"label_support": score}}))
        return Response("yes" if request.stage == "predict" else f"it was written by {self._name}")


def test_a_judge_that_favours_its_kin_is_seen(tmp_path: Path) -> None:
    task, judge, rubric = make_task(tmp_path, rows(N)), Named("qwen-judge"), load_rubric("label_support")
    runs = []
    for name in ("qwen-small", "llama-small", "gemma-small", "nameless"):
        store, _ = carry_out(task, Named(name), tmp_path / "runs")
        judge_run(plan_judging(store, task, rubric, judge, JudgeOptions()), Budget(), Quiet())
        runs.append(store.folder)
    found = own_family(make_setup(rubric, judge), runs)
    assert found["shift"]["value"] == 2
    assert found["shift"]["n"] == N
    assert found["verdict"] == "fails"
    assert found["unscored"] == {"family not known": 1}
    others = own_family(make_setup(rubric, judge), runs[1:3])
    assert others["shift"]["value"] is None
    assert others["verdict"] == "not measured"


def test_a_run_that_this_judge_has_not_seen_is_told(tmp_path: Path) -> None:
    task, rubric = make_task(tmp_path, rows(4)), load_rubric("label_support")
    store, _ = carry_out(task, Named("qwen-small"), tmp_path / "runs")
    with pytest.raises(UserError, match="was not judged by label_support--api--qwen-judge"):
        own_family(make_setup(rubric, Named("qwen-judge")), [store.folder])
