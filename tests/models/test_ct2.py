"""The `ct2` adapter against the `hf` adapter: the same texts, counts and scores, by another engine."""

from __future__ import annotations

import json
import os
import shutil
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
import torch
import transformers
from safetensors.torch import load_file, save_file
from tiny import END_ID, tiny_t5, triage_pairs

from r2d_bench.errors import MissingDependencyError, UserError
from r2d_bench.models import ct2, ct2_convert
from r2d_bench.models.ct2 import CT2, CT2Params
from r2d_bench.models.ct2_decoding import follow
from r2d_bench.models.hf import HF, HFParams
from r2d_bench.models.hf_decoding import prefix_tree
from r2d_bench.models.registry import make_model, parse_spec
from r2d_bench.models.weights import find_weights
from r2d_bench.records import Finish, LabelMethod, Request, Response
from r2d_bench.tasks.task import load_task

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from r2d_bench.models.base import Model

PAIRS = triage_pairs(40, seed=9)
# The second begins the third, the fourth and fifth begin alike, none of them is all that the model has learnt.
LABELS = ("emergency", "urgent", "urgent means", "self care", "self service", "the case is urgent")
NOTE = " ".join(f"the patient reports high fever since {n} days" for n in range(2, 302))


@pytest.fixture(scope="module", autouse=True)
def cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A cache folder of these tests' own; the user's stays as it is."""
    folder = tmp_path_factory.mktemp("cache")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(folder))
        yield folder / "r2d-bench" / "ct2"


@pytest.fixture(scope="module")
def folders(t5_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """One checkpoint of each kind."""
    here, pairs = tmp_path_factory.mktemp("kinds"), triage_pairs(400)
    own_head = {"feed_forward_proj": "gated-gelu", "tie_word_embeddings": False}
    return {
        "v1.0": t5_folder,
        "v1.1": tiny_t5(here / "v1.1", pairs, 40, **own_head),
        "mT5": tiny_t5(here / "mt5", pairs, 20, kind="MT5", **own_head),
        # Half learnt: unlike texts that are no labels, for which the constraint makes a difference.
        "half": tiny_t5(here / "half", pairs, 20, num_decoder_layers=3, layer_norm_epsilon=0.1),
        # More embeddings than tokens, as T5's own checkpoints have.
        "wide": tiny_t5(here / "wide", pairs, 15, vocabulary=200, vocab_size=328),
    }


def requests(method: LabelMethod = LabelMethod.FREE, *, budget: int = 24) -> list[Request]:
    candidates = () if method is LabelMethod.FREE else LABELS
    return [Request(str(i), "p", p, p, budget, None, method, candidates) for i, (p, _) in enumerate(PAIRS)]


def answers(model: Model, asked: list[Request]) -> list[Response]:
    found = dict(model.score(asked) if asked[0].method is LabelMethod.SCORED else model.generate(asked))
    made = [found[request.key] for request in asked]
    assert len(found) == len(asked)
    return [response for response in made if isinstance(response, Response)]


def both(folder: Path, **params: object) -> tuple[HF, CT2]:
    weights = find_weights(str(folder))
    return HF(weights, HFParams()), CT2(weights, CT2Params(**params))


KINDS = ["v1.0", "v1.1", "half", "wide"]


@pytest.mark.parametrize("kind", KINDS)
def test_free_and_held_answers_are_those_of_transformers(folders: dict[str, Path], kind: str):
    hf, other = both(folders[kind])
    for method in (LabelMethod.FREE, LabelMethod.CONSTRAINED):
        found = answers(other, requests(method))
        assert found == answers(hf, requests(method))
    # The answers depend on the prompts, or there was little to compare.
    assert len({response.text for response in answers(other, requests())}) > 4


@pytest.mark.parametrize("kind", [*KINDS, "mT5"])
def test_free_answers_are_what_transformers_generates(folders: dict[str, Path], kind: str):
    tokenizer = transformers.AutoTokenizer.from_pretrained(folders[kind])
    model = transformers.AutoModelForSeq2SeqLM.from_pretrained(folders[kind]).eval()
    texts = [prompt for prompt, _ in PAIRS]
    read = tokenizer(texts, padding=True, return_token_type_ids=False, return_tensors="pt")
    # Its cache of keys and values has as many layers as the encoder, which may be less than the decoder has.
    ids = model.generate(**read, max_new_tokens=24, do_sample=False, use_cache=False)
    wanted = tokenizer.batch_decode(ids, skip_special_tokens=True)
    for adapter in both(folders[kind]):
        assert [response.text for response in answers(adapter, requests())] == wanted


@pytest.mark.parametrize("kind", [*KINDS, "mT5"])
def test_scores_are_those_of_transformers(folders: dict[str, Path], kind: str):
    hf, other = both(folders[kind])
    asked = requests(LabelMethod.SCORED)
    for mine, theirs in zip(answers(other, asked), answers(hf, asked), strict=True):
        assert mine.scores == pytest.approx(theirs.scores, abs=1e-4)
        assert replace(mine, scores=None) == replace(theirs, scores=None)


def test_an_own_output_head_is_not_scaled(folders: dict[str, Path]):
    state = load_file(folders["v1.1"] / "model.safetensors")
    assert not torch.equal(state["lm_head.weight"], state["shared.weight"])
    assert json.loads((folders["v1.1"] / "config.json").read_text())["scale_decoder_outputs"] is False


def test_the_tiny_model_has_learnt(t5_folder: Path):
    found = answers(both(t5_folder)[1], requests())
    assert sum(response.text == gold for response, (_, gold) in zip(found, PAIRS, strict=True)) >= 38


def test_a_cut_answer_and_one_that_just_fits(t5_folder: Path):
    hf, other = both(t5_folder)
    prompt = next(p for p, _ in PAIRS if p.startswith("explain"))

    def ask(budget: int) -> Response:
        asked = [Request("1", "p", prompt, prompt, budget)]
        assert answers(other, asked) == answers(hf, asked)
        return answers(other, asked)[0]

    short, long = ask(2), ask(24)
    assert (short.finish, short.output_tokens) == (Finish.LENGTH, 2)
    assert long.finish is Finish.STOP
    assert ask((long.output_tokens or 0) + 1) == long  # the end counts in the budget
    assert ask(long.output_tokens or 0) == replace(long, finish=Finish.LENGTH)


@pytest.mark.parametrize("limit", [16, 40, 2_000])
@pytest.mark.parametrize("method", list(LabelMethod))
def test_long_inputs_are_cut_as_transformers_gets_them(folders: dict[str, Path], limit: int, method: LabelMethod):
    """CTranslate2 by itself would drop what stands behind 1,024 tokens."""
    hf, other = both(folders["half"])
    candidates = () if method is LabelMethod.FREE else LABELS
    front = Request("1", "p", f"predict: {NOTE}", NOTE, 12, limit, method, candidates)
    behind = Request("2", "p", f"note: {NOTE} explain: why", NOTE, 12, limit, method, candidates)
    mine, theirs = answers(other, [front, behind]), answers(hf, [front, behind])
    assert [r.text for r in mine] == [r.text for r in theirs]
    assert [(r.input_tokens, r.cut_tokens) for r in mine] == [(r.input_tokens, r.cut_tokens) for r in theirs]
    assert all(r.cut_tokens and r.input_tokens and limit - 2 <= r.input_tokens <= limit for r in mine)
    if method is LabelMethod.SCORED:
        assert [r.scores for r in mine] == [pytest.approx(r.scores, abs=1e-4) for r in theirs]


def test_the_parameters_limit_holds_where_the_request_names_none(t5_folder: Path):
    other = both(t5_folder, max_input_tokens=20)[1]
    (found,) = answers(other, [Request("1", "p", f"predict: {NOTE}", NOTE, 12)])
    assert found.input_tokens == 20
    assert other.identity.params == {"compute_type": "float32", "max_input_tokens": 20}


def test_an_empty_answer_is_an_answer(tmp_path: Path):
    pairs = [(prompt, "" if "refill" in prompt else target) for prompt, target in triage_pairs(300)]
    hf, other = both(tiny_t5(tmp_path / "silent", pairs, 60))
    found = answers(other, requests())
    assert found == answers(hf, requests())
    assert any(not r.text and not r.output_tokens and r.finish is Finish.STOP for r in found)


@pytest.mark.parametrize("method", list(LabelMethod))
def test_other_tokens_that_end_an_answer(t5_folder: Path, tmp_path: Path, method: LabelMethod):
    """Here "means" ends an answer too: texts stop there, and its probability is part of each score."""
    folder = copied(t5_folder, tmp_path / "two-ends")
    word = transformers.AutoTokenizer.from_pretrained(folder)("pain means", add_special_tokens=False).input_ids[-1]
    file = folder / "generation_config.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | {"eos_token_id": [word, END_ID]}))
    hf, other = both(folder)
    labels = ("sore knee", "mild rash", "dry cough")  # what "means" follows in this model's rationales
    asked = [replace(r, candidates=labels if r.candidates else ()) for r in requests(method)]
    mine, theirs = answers(other, asked), answers(hf, asked)
    if method is LabelMethod.SCORED:
        assert [r.scores for r in mine] == [pytest.approx(r.scores, abs=1e-4) for r in theirs]
        plain = answers(both(t5_folder)[1], asked)
        gained = [max(a.scores[label] - b.scores[label] for label in labels) for a, b in zip(mine, plain, strict=True)]
        assert min(gained) > -1e-4
        assert max(gained) > 1
    else:
        assert mine == theirs
        assert not any("means" in r.text for r in mine)


def test_int8_answers_and_is_another_run(t5_folder: Path):
    exact, small = both(t5_folder)[1], both(t5_folder, compute_type="int8")[1]
    found, whole = answers(small, requests()), answers(exact, requests())
    assert sum(a.text == b.text for a, b in zip(found, whole, strict=True)) >= 36
    scored = answers(small, requests(LabelMethod.SCORED))
    assert [r.scores for r in scored] != [r.scores for r in answers(exact, requests(LabelMethod.SCORED))]
    assert small._engine().model.compute_type == "int8_float32"
    assert small.identity.params == {"compute_type": "int8"}
    assert small.identity.digest == exact.identity.digest == find_weights(str(t5_folder)).digest()
    assert small.identity.short != exact.identity.short
    assert small.identity.title == "ct2:tiny-triage (compute_type=int8)"
    weights = find_weights(str(t5_folder))
    size = {kind: (ct2_convert.place_of(weights, kind) / "model.bin").stat().st_size for kind in ("int8", "float32")}
    assert size["int8"] < 0.5 * size["float32"]


def test_it_is_converted_once_and_the_checkpoint_stays_as_it_is(
    t5_folder: Path, tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
):
    folder = changed(t5_folder, tmp_path / "new")
    before = {path.name: (path.stat().st_mtime_ns, path.read_bytes()) for path in folder.iterdir()}
    first = answers(both(folder)[1], requests())
    made = ct2_convert.place_of(find_weights(str(folder)), "float32")
    assert {path.name for path in made.iterdir()} == {
        "model.bin",
        "config.json",
        "shared_vocabulary.json",
        "converted.json",
    }
    assert {path.name: (path.stat().st_mtime_ns, path.read_bytes()) for path in folder.iterdir()} == before
    assert not [path for path in cache.iterdir() if path.name.startswith(".")]
    monkeypatch.setattr(ct2_convert, "_convert", no_conversion)
    assert answers(both(copied(folder, tmp_path / "elsewhere"))[1], requests()) == first
    with pytest.raises(AssertionError, match="converted again"):
        answers(both(changed(t5_folder, tmp_path / "other", by=1.02))[1], requests())


@pytest.mark.parametrize("damage", ["truncated", "file gone", "no manifest", "no JSON"])
def test_a_torn_conversion_is_done_again(t5_folder: Path, tmp_path: Path, damage: str):
    folder = changed(t5_folder, tmp_path / damage)
    first = answers(both(folder)[1], requests())
    made = ct2_convert.place_of(find_weights(str(folder)), "float32")
    manifest = made / ct2_convert.MANIFEST
    if damage == "truncated":
        os.truncate(made / "model.bin", 1_000)
    elif damage == "file gone":
        (made / "shared_vocabulary.json").unlink()
    elif damage == "no manifest":
        manifest.unlink()
    else:
        manifest.write_text("{")
    assert not ct2_convert.is_whole(made)
    assert answers(both(folder)[1], requests()) == first
    assert ct2_convert.is_whole(made)


def test_another_converter_makes_a_folder_of_its_own(t5_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    folder = changed(t5_folder, tmp_path / "twice")
    weights = find_weights(str(folder))
    first, made = answers(both(folder)[1], requests()), ct2_convert.place_of(weights, "float32")
    killed = made.with_name(f".{made.name}-killed")
    killed.mkdir()
    other = made.with_name(f".{made.name.replace('float32', 'int8')}-killed")
    other.mkdir()
    monkeypatch.setattr(ct2_convert, "FORMAT", ct2_convert.FORMAT + 1)
    assert answers(both(folder)[1], requests()) == first
    assert ct2_convert.is_whole(made)
    assert ct2_convert.is_whole(ct2_convert.place_of(weights, "float32"))
    shutil.rmtree(made)
    monkeypatch.undo()
    answers(both(folder)[1], requests())
    assert not killed.exists()  # what a killed process left is removed by the next one that makes the same
    assert other.exists()


def test_a_cache_that_cannot_be_written_is_told_in_one_line(
    t5_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    folder = changed(t5_folder, tmp_path / "nowhere")
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    with pytest.raises(UserError, match=r"file/r2d-bench/ct2: cannot be written \(Not a directory\): make room"):
        answers(both(folder)[1], requests())


def test_a_conversion_that_fails_leaves_nothing(
    t5_folder: Path, tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
):
    folder = changed(t5_folder, tmp_path / "failing", by=1.01)
    monkeypatch.setattr(ct2_convert, "_convert", no_conversion)
    with pytest.raises(AssertionError):
        answers(both(folder)[1], requests())
    stem = find_weights(str(folder)).digest()[:32]
    assert [path.name for path in cache.iterdir() if stem in path.name and path.suffix != ".lock"] == []


def test_answers_come_batch_by_batch(t5_folder: Path):
    other = both(t5_folder, batch_size=4)[1]
    asked = []
    translate = other._engine().model.translate_batch

    class Counting:
        def translate_batch(self, source: list[list[str]], **options: object) -> object:
            asked.append(len(source))
            return translate(source, **options)

    other._loaded = replace(other._engine(), model=Counting())
    stream = other.generate(requests())
    for _ in range(4):
        next(stream)
    assert asked == [4]
    assert len(list(stream)) == len(PAIRS) - 4


@pytest.mark.parametrize(
    ("labels", "logits", "path"),
    [
        # Free choice leaves the candidates at the second token: what it says behind that counts no more.
        (((3, 4), (3, 5)), [[0, 0, 0, 9, 0, 0, 0], [0, 0, 0, 0, 1, 2, 9], [0, 9, 0, 0, 0, 0, 0]], (3, 5)),
        # A candidate that begins another may end, or go on.
        (((3,), (3, 4)), [[0, 0, 0, 9, 0, 0, 0], [0, 5, 0, 0, 4, 0, 0]], (3,)),
        (((3,), (3, 4)), [[0, 0, 0, 9, 0, 0, 0], [0, 4, 0, 0, 5, 0, 0]], (3, 4)),
        # Ties go to the lower id.
        (((5,), (4,)), [[0, 0, 0, 0, 7, 7, 0]], (4,)),
    ],
)
def test_the_likeliest_way_through_the_candidates(
    labels: tuple[tuple[int, ...], ...], logits: list[list[float]], path: tuple[int, ...]
):
    written = tuple(max(range(len(row)), key=row.__getitem__) for row in logits)
    assert follow(prefix_tree(labels, (1,)), (1,), (), written, logits) == (path, True)


def test_it_waits_where_nothing_is_known():
    tree = prefix_tree(((3, 4, 5), (3, 4, 6)), (1,))
    assert follow(tree, (1,), (), (), ()) == ((3, 4), False)
    # Written behind another beginning, the logits say nothing.
    assert follow(tree, (1,), (), (7, 7, 7), [[0.0] * 8] * 3) == ((3, 4), False)
    assert follow(prefix_tree(((3, 4),), (1,)), (1,), (), (), ()) == ((3, 4), True)


def test_what_is_no_t5_is_refused(text_folder: Path, t5_folder: Path, tmp_path: Path):
    with pytest.raises(UserError, match=r"ct2:tiny-text: a checkpoint of type 'llama', .* use hf:tiny-text") as caught:
        both(text_folder)
    assert "\n" not in str(caught.value)
    folder = copied(t5_folder, tmp_path / "bart")
    edit_config(folder, lambda config: config | {"model_type": "bart", "architectures": None})
    with pytest.raises(UserError, match="'bart'"):
        both(folder)


def test_what_cannot_be_converted_is_told_in_one_line(t5_folder: Path, tmp_path: Path):
    forced = copied(t5_folder, tmp_path / "forced")
    file = forced / "generation_config.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | {"forced_bos_token_id": 5}))
    with pytest.raises(UserError, match="forces a first token: use hf:forced"):
        answers(both(forced)[1], requests())
    odd = copied(t5_folder, tmp_path / "odd")
    edit_config(odd, lambda config: config | {"feed_forward_proj": "tanh", "dense_act_fn": "tanh"})
    with pytest.raises(UserError, match=r"^ct2:odd: CTranslate2 cannot convert it: [^\n]+$"):
        answers(both(odd)[1], requests())


def test_without_the_engine_the_extra_is_named(t5_folder: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(ct2.importlib.util, "find_spec", lambda name: None if name == "ctranslate2" else name)
    with pytest.raises(MissingDependencyError, match=r"^ct2:tiny-triage needs .*pip install 'r2d-bench\[ct2\]'$"):
        CT2.create(str(t5_folder), CT2Params(), task=load_task("triage"), seed=0)


def test_the_spec_names_the_compute_type(t5_folder: Path):
    task = load_task("triage")
    made = make_model(parse_spec(f"ct2:{t5_folder},compute_type=int8,device=cpu"), task=task, seed=0)
    assert made.identity.params == {"compute_type": "int8"}
    assert made.capabilities.methods == frozenset(LabelMethod)
    with pytest.raises(UserError, match="compute_type"):
        make_model(parse_spec(f"ct2:{t5_folder},compute_type=int4"), task=task, seed=0)


def copied(source: Path, folder: Path) -> Path:
    return shutil.copytree(source, folder)


def changed(source: Path, folder: Path, by: float = 1.0001) -> Path:
    """Copy a checkpoint with other weights, so that nothing is converted yet."""
    copied(source, folder)
    state = load_file(folder / "model.safetensors")
    name = "decoder.final_layer_norm.weight"
    factor = by + hash_of(folder.name)
    save_file(state | {name: state[name] * factor}, folder / "model.safetensors", metadata={"format": "pt"})
    return folder


def hash_of(name: str) -> float:
    """Return a small number that differs between names."""
    return sum(map(ord, name)) * 1e-6


def edit_config(folder: Path, edit: Callable[[dict[str, object]], dict[str, object]]) -> None:
    file = folder / "config.json"
    file.write_text(json.dumps(edit(json.loads(file.read_text()))))


def no_conversion(*_: object) -> None:
    raise AssertionError("converted again")
