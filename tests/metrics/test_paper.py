import json
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from nltk.translate.bleu_score import SmoothingFunction, sentence_bleu
from sklearn import metrics as sk
from transformers import RobertaConfig, RobertaModel

from r2d_bench.errors import UserError
from r2d_bench.metrics import labels, paper
from r2d_bench.metrics.base import Columns
from r2d_bench.metrics.bertscore import BertScorer, Encoder
from r2d_bench.records import LabelStatus


def columns(
    gold: list[str | None],
    texts: list[str | None],
    *,
    hypotheses: list[str | None] | None = None,
    references: list[list[str]] | None = None,
    groups: list[str] | None = None,
    statuses: list[LabelStatus | None] | None = None,
    **more: object,
) -> Columns:
    n = len(gold)
    known = set(gold)
    return Columns(
        ids=[f"e{i}" for i in range(n)],
        labels=sorted(k for k in known if k is not None),
        gold=gold,
        predicted=[text if text in known else None for text in texts],
        statuses=statuses or [LabelStatus.PARSED] * n,
        label_texts=texts,
        hypotheses=hypotheses or [None] * n,
        references=references or [[]] * n,
        groups=groups,
        input_cut=[False] * n,
        output_cut=[False] * n,
        **more,
    )


@pytest.mark.parametrize(("classes", "low", "high"), [(2, 0.38, 0.40), (3, 0.48, 0.50), (6, 0.65, 0.67)])
def test_three_stray_strings_shrink_the_papers_macro_f1_and_not_ours(classes: int, low: float, high: float):
    gold = [["None", "NA", "1", "yes", "no", "maybe"][i % classes] for i in range(100)]
    texts = [f"stray {i}" if i < 3 else g for i, g in enumerate(gold)]
    data = columns(gold, texts)
    found = paper.compute(data).estimates["paper_macro_f1"]
    assert low < found.value < high
    assert found.value == pytest.approx(sk.f1_score(gold, texts, average="macro", zero_division=0))
    assert labels.compute(data).estimates["macro_f1"].value >= 0.98


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("grouped", [False, True])
def test_label_figures_are_scikit_learns_on_strings(seed: int, grouped: bool):
    rng = np.random.default_rng(seed)
    gold = rng.choice(["yes", "no", "NA"], size=80).tolist()
    texts = rng.choice(["yes", "no", "NA", "Yes", "no.", ""], size=80).tolist()
    groups = [f"g{i // 2}" for i in range(80)] if grouped else None
    found = paper.compute(columns(gold, texts, groups=groups)).estimates
    assert found["paper_accuracy"].value == pytest.approx(sk.accuracy_score(gold, texts))
    macro = found["paper_macro_f1"]
    assert macro.value == pytest.approx(sk.f1_score(gold, texts, average="macro", zero_division=0))
    assert macro.low < macro.high
    assert macro.method in {"bca", "percentile"}


def test_items_without_answer_or_gold_are_unscored():
    data = columns(["a", None, "b"], ["a", "a", None], statuses=[LabelStatus.PARSED, LabelStatus.PARSED, None])
    family = paper.compute(data)
    assert (family.estimates["paper_accuracy"].n, family.estimates["paper_accuracy"].unscored) == (1, 2)
    none = paper.compute(columns(["a"], [None], statuses=[None], no_label="rationale only")).estimates
    assert none["paper_macro_f1"].reason == "rationale only"


def test_too_many_different_strings_have_a_value_without_interval():
    gold = ["a", "b"] * 3000
    texts = [f"junk {i}" for i in range(6000)]
    found = paper.compute(columns(gold, texts)).estimates["paper_macro_f1"]
    assert (found.value, found.low) == (0, None)
    assert found.reason == "no interval: 6002 different strings"


@pytest.fixture
def nltk_data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """An empty NLTK data folder; NLTK keeps a loaded tokenizer, which is dropped before and after."""
    import nltk
    from nltk.tokenize import _get_punkt_tokenizer

    monkeypatch.setattr(nltk.data, "path", [str(tmp_path)])
    _get_punkt_tokenizer.cache_clear()
    yield tmp_path
    _get_punkt_tokenizer.cache_clear()


@pytest.fixture
def punkt(nltk_data: Path):
    """NLTK's real tokenizer with a sentence splitter that has learnt nothing."""
    folder = nltk_data / "tokenizers" / "punkt_tab" / "english"
    folder.mkdir(parents=True)
    for name in ("collocations.tab", "sent_starters.txt", "abbrev_types.txt", "ortho_context.tab"):
        (folder / name).write_text("")


@pytest.mark.usefixtures("punkt")
def test_bleu_is_nltks_sentence_mean():
    hypotheses = ["Chest pain, acute and severe.", "No fever at all", "", None, "pain"]
    references = [
        ["Acute chest pain, severe.", "unused"],
        ["there was NO fever at all"],
        ["x"],
        ["x"],
        ["pain"],
    ]
    family = paper.compute(columns(["a"] * 5, ["a"] * 5, hypotheses=hypotheses, references=references))
    pairs = [
        (
            ["chest", "pain", ",", "acute", "and", "severe", "."],
            ["acute", "chest", "pain", ",", "severe", "."],
        ),
        (["no", "fever", "at", "all"], ["there", "was", "no", "fever", "at", "all"]),
        ([], ["x"]),
        (["pain"], ["pain"]),
    ]
    smooth = SmoothingFunction().method4
    expected = [sentence_bleu([gold], text, smoothing_function=smooth) for text, gold in pairs]
    estimate = family.estimates["paper_bleu"]
    assert estimate.value == pytest.approx(np.mean(expected))
    assert (estimate.n, estimate.unscored) == (4, 1)
    np.testing.assert_allclose(family.per_example["paper_bleu"], [*expected[:3], np.nan, expected[3]])


@pytest.mark.usefixtures("nltk_data")
def test_bleu_without_nltk_or_its_data_is_unscored_with_a_hint(monkeypatch: pytest.MonkeyPatch):
    data = columns(["a"], ["a"], hypotheses=["x y"], references=[["x y"]])
    found = paper.compute(data).estimates["paper_bleu"]
    assert (found.value, found.reason) == (
        None,
        "NLTK's punkt_tab is missing: python -m nltk.downloader punkt_tab",
    )
    monkeypatch.setitem(sys.modules, "nltk", None)
    found = paper.compute(data).estimates["paper_bleu"]
    assert found.reason == "nltk is not installed: pip install 'r2d-bench[paper]'"


@pytest.fixture(scope="module")
def tiny_roberta(tmp_path_factory: pytest.TempPathFactory):
    """The architecture of the paper encoder, not its weights: 18 tiny random layers, a byte vocabulary."""
    from transformers import RobertaTokenizer
    from transformers.convert_slow_tokenizer import bytes_to_unicode

    folder = tmp_path_factory.mktemp("roberta")
    pieces = ["<s>", "<pad>", "</s>", "<unk>", "<mask>", *bytes_to_unicode().values()]
    (folder / "vocab.json").write_text(json.dumps({piece: i for i, piece in enumerate(pieces)}))
    (folder / "merges.txt").write_text("#version: 0.2\n")
    torch.manual_seed(0)
    config = RobertaConfig(
        vocab_size=len(pieces),
        hidden_size=16,
        num_hidden_layers=18,
        num_attention_heads=2,
        intermediate_size=16,
        max_position_embeddings=514,
    )
    RobertaModel(config).save_pretrained(folder)
    tokenizer = RobertaTokenizer(vocab=str(folder / "vocab.json"), merges=str(folder / "merges.txt"))
    tokenizer.save_pretrained(folder)
    return str(folder)


def test_bertscore_of_the_paper_encoder(tiny_roberta: str):
    encoder = Encoder(tiny_roberta, "roberta-large", device="cpu")
    data = columns(["a"] * 3, ["a"] * 3, hypotheses=["ab cd", "x", ""], references=[["ab cd"], ["yy z"], ["a"]])
    family = paper.compute(data, encoder, resamples=50)
    assert family.signatures["paper_bertscore_f1"].startswith("roberta-large_L17_no-idf")
    values = family.per_example["paper_bertscore_f1"]
    assert values[0] == pytest.approx(1, abs=1e-5)
    assert values[2] == 0
    assert family.estimates["paper_bertscore_r"].value is not None


def test_the_first_word_is_read_with_a_space_before_it(tiny_roberta: str):
    # Without, the same word at the start and inside of a text would be two different tokens.
    scorer = BertScorer(Encoder(tiny_roberta, "roberta-large", num_layers=17, device="cpu"))
    tokenizer = scorer._scorer()._tokenizer
    assert tokenizer.convert_ids_to_tokens(tokenizer.encode("ab", add_special_tokens=False)) == [
        "Ġ",
        "a",
        "b",
    ]


def test_bertscore_needs_the_papers_encoder():
    data = columns(["a"], ["a"], hypotheses=["x"], references=[["x"]])
    reason = paper.compute(data).estimates["paper_bertscore_f1"].reason
    assert "needs the encoder roberta-large" in reason
    for encoder in (Encoder("x", "other", num_layers=17), Encoder("x", "roberta-large", num_layers=18)):
        with pytest.raises(UserError, match="paper encoder"):
            paper.compute(data, encoder)


@settings(max_examples=60, deadline=None)
@given(
    st.lists(
        st.tuples(
            st.sampled_from(["a", "b", None]),
            st.sampled_from(["a", "b", "A", "", None]),
            st.sampled_from([LabelStatus.PARSED, None]),
        ),
        max_size=15,
    )
)
def test_every_estimate_is_finite_or_has_a_reason(items: list[tuple]):
    gold, texts, statuses = ([row[i] for row in items] for i in range(3))
    found = paper.compute(columns(gold, texts, statuses=statuses), resamples=40).estimates
    assert set(found) == {metric.name for metric in paper.METRICS}
    for estimate in found.values():
        if estimate.value is None or estimate.low is None:
            assert estimate.reason
        else:
            assert np.isfinite([estimate.value, estimate.low, estimate.high]).all()
