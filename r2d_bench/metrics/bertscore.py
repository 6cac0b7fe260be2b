"""BERTScore of rationales (Zhang et al. 2020) by the `bert-score` package, with an encoder that is handed in.

No idf, no baseline rescaling. The scale depends on the encoder: figures compare only under one signature.
"""

from __future__ import annotations

from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from r2d_bench.errors import UserError
from r2d_bench.metrics.base import About, Family, Metric
from r2d_bench.metrics.embeddings import Embeddings
from r2d_bench.metrics.figures import all_missing, cluster_codes, means, scorable_texts, spread
from r2d_bench.quiet import quiet

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from r2d_bench.metrics.base import Columns
    from r2d_bench.statistics.bootstrap import Floats

MAX_TOKENS = 512  # a tokenizer may name no limit; positions of the usual encoders end here
_CHUNK = 2000  # items at once: the embeddings of all texts of a call are held
_NOT_INSTALLED = "bert-score is not installed: pip install 'r2d-bench[bertscore]'"


def _metric(name: str, title: str, text: str) -> Metric:
    return Metric(name, title, About.RATIONALE, low=-1.0, help=text)


METRICS: tuple[Metric, ...] = (
    _metric("bertscore_f1", "BERTScore F1", "Mean F1 of token similarities; compare only under one signature."),
    _metric("bertscore_p", "BERTScore P", "Mean similarity of the rationale's tokens to the gold rationale's."),
    _metric("bertscore_r", "BERTScore R", "Mean similarity of the gold rationale's tokens to the rationale's."),
)


@dataclass(frozen=True, slots=True)
class Encoder:
    """Which encoder BERTScore uses.

    Attributes:
        path_or_id: a local folder, or an id on the hub.
        public_id: the name under which figures are published; never a local path.
        num_layers: the layer whose output is used; None takes bert-score's own choice for `public_id`.
        batch_size: texts per forward pass.
        device: None takes a GPU where there is one.
    """

    path_or_id: str
    public_id: str
    num_layers: int | None = None
    batch_size: int = 64
    device: str | None = None


class EncoderUnavailableError(Exception):
    """The encoder cannot be had here; the message is the reason that stands in the estimates."""


@dataclass(slots=True)
class BertScorer:
    """An encoder that loads on first use and serves any number of runs after that."""

    encoder: Encoder
    _checked: _Checked | None = field(default=None, init=False, repr=False)
    _loaded: Any = field(default=None, init=False, repr=False)
    _embeddings: Embeddings | None = field(default=None, init=False, repr=False)
    _unavailable: str | None = field(default=None, init=False, repr=False)

    @property
    def signature(self) -> str:
        """bert-score's hash with the public id in place of a path. Loads the encoder."""
        layers = self._scorer().num_layers  # first: it says what is missing
        from bert_score.utils import get_hash

        return str(
            get_hash(
                self.encoder.public_id,
                layers,
                idf=False,
                rescale_with_baseline=False,
                use_custom_baseline=False,
                use_fast_tokenizer=False,
            )
        )

    def score(self, hypotheses: Sequence[str], references: Sequence[Sequence[str]]) -> tuple[Floats, int]:
        """Score texts against their references, the best reference counting for each of P, R and F1.

        Args:
            hypotheses: N texts; a blank one scores 0 without the model, which cannot read it.
            references: one or more texts, none of them blank, for each.

        Returns:
            P, R, F1, shape (N, 3), and how many of all texts were cut to the encoder's length.

        Raises:
            EncoderUnavailableError: the package or the encoder is missing.
            UserError: the encoder does not fit bert-score.
        """
        scores = np.zeros((len(hypotheses), 3))
        hypotheses = [_encodable(text) for text in hypotheses]
        references = [[_encodable(text) for text in texts] for texts in references]
        rows = [row for row, text in enumerate(hypotheses) if text.strip()]
        if not rows:
            return scores, 0
        scorer = self._scorer()
        if self._embeddings is None:
            self._embeddings = Embeddings(scorer, self.encoder.batch_size)
        for start in range(0, len(rows), _CHUNK):
            chunk = rows[start : start + _CHUNK]
            scores[chunk] = self._embeddings.score(
                [hypotheses[row] for row in chunk], [references[row] for row in chunk]
            )
        # A text that the tokenizer reads as nothing (control characters) has no similarity to anything.
        scores = np.where(np.isfinite(scores), scores, 0.0)
        seen = {hypotheses[row] for row in rows}.union(*(references[row] for row in rows))
        return scores, _count_long(scorer._tokenizer, seen)  # noqa: SLF001

    def check(self) -> None:
        """Find out whether the encoder fits, without its weights; one that cannot be had here is left for `score`.

        Raises:
            UserError: the encoder does not fit bert-score.
        """
        with suppress(EncoderUnavailableError):
            self._look()

    def _look(self) -> _Checked:
        if self._unavailable is not None:  # found out once: the next run does not wait for the hub again
            raise EncoderUnavailableError(self._unavailable)
        if self._checked is None:
            with self._finding():
                self._checked = _look(self.encoder)
        return self._checked

    def _scorer(self) -> Any:  # noqa: ANN401  # the package has no types
        if self._loaded is None:
            found = self._look()
            with self._finding():
                self._loaded = _load(self.encoder, found)
        return self._loaded

    @contextmanager
    def _finding(self) -> Iterator[None]:
        try:
            with _finding(self.encoder):
                yield
        except EncoderUnavailableError as error:
            self._unavailable = str(error)
            raise


def compute(
    columns: Columns,
    encoder: Encoder | BertScorer,
    *,
    seed: int = 0,
    level: float = 0.95,
    resamples: int = 2000,
) -> Family:
    """Compute mean BERTScore F1, precision and recall with BCa intervals over items, or over clusters.

    Items without a rationale or without a gold rationale are unscored; an empty rationale scores 0. Where the
    package or the encoder is missing all is unscored, with the reason.

    Args:
        columns: rationales beside their golds.
        encoder: the encoder, or a scorer that has perhaps loaded it (use one for several runs).
        seed: seed of the bootstrap.
        level: coverage of the intervals.
        resamples: number of resamples.

    Raises:
        UserError: the encoder does not fit bert-score, or a group id is missing.
    """
    scorer = encoder if isinstance(encoder, BertScorer) else BertScorer(encoder)
    names = [metric.name for metric in METRICS]
    scored, hypotheses, references, reason = scorable_texts(columns)
    if not hypotheses:
        return Family(all_missing(names, reason, unscored=len(columns)))
    try:
        signature = scorer.signature
        scores, cut = scorer.score(hypotheses, references)
    except EncoderUnavailableError as error:
        return Family(all_missing(names, str(error), unscored=len(columns)))
    f1_first = scores[:, [2, 0, 1]]
    found = means(
        f1_first,
        cluster_codes(columns, scored),
        unscored=len(columns) - len(hypotheses),
        level=level,
        seed=seed,
        resamples=resamples,
        warnings=(f"{cut} texts were cut to the encoder's length",) if cut else (),
    )
    return Family(
        dict(zip(names, found, strict=True)),
        {"bertscore_f1": spread(f1_first[:, 0], scored)},
        dict.fromkeys(names, signature),
    )


@contextmanager
def _finding(encoder: Encoder) -> Iterator[None]:
    """Say in a line what keeps an encoder from being used.

    Raises:
        EncoderUnavailableError: the package is missing, or the weights cannot be had.
        UserError: the encoder does not fit.
    """
    if encoder.path_or_id.startswith("scibert"):
        raise UserError(f"encoder {encoder.public_id}: bert-score would fetch this name by wget: use allenai/scibert_…")
    try:
        with quiet():
            yield
    except ImportError:
        raise EncoderUnavailableError(_NOT_INSTALLED) from None
    except ValueError:
        raise UserError(
            f"encoder {encoder.public_id}: bert-score does not support its architecture: use another encoder"
        ) from None
    except OSError:
        raise EncoderUnavailableError(
            f"encoder '{encoder.public_id}' is not on this machine and could not be fetched: "
            "give the folder of a local copy instead of its name"
        ) from None


@dataclass(frozen=True, slots=True)
class _Checked:
    """What is known of an encoder before its weights are loaded."""

    source: str
    config: Any
    layers: int


def _look(encoder: Encoder) -> _Checked:
    """Read an encoder's configuration.

    Raises:
        UserError: bert-score would load it wrongly or not at all.
    """
    from bert_score import utils
    from transformers import AutoConfig

    # An absolute path is never mistaken for a short name.
    source = str(Path(encoder.path_or_id).resolve()) if Path(encoder.path_or_id).is_dir() else encoder.path_or_id
    _check_reach(source)
    config = AutoConfig.from_pretrained(source)
    layers = encoder.num_layers or utils.model2layers.get(encoder.public_id)
    return _Checked(source, config, _fitting(encoder, source, config, layers))


def _load(encoder: Encoder, found: _Checked) -> Any:  # noqa: ANN401  # the package has no types
    """Load the encoder through bert-score, around the places where it goes wrong."""
    from bert_score import BERTScorer

    how = {"num_layers": found.layers, "batch_size": encoder.batch_size, "device": encoder.device}
    scorer = BERTScorer(model_type=found.source, **how)
    scorer._model.float()  # noqa: SLF001 - transformers 5 keeps the precision of the file, which the signature hides
    scorer._tokenizer = _tokenizer(found.source, found.config)  # noqa: SLF001
    return scorer


def _check_reach(source: str) -> None:
    """Find out within seconds that the hub is out of reach; loading would try again and again first.

    Raises:
        OSError: the name is neither a folder nor cached, and the hub does not know it or does not answer.
    """
    from huggingface_hub import HfApi, errors, try_to_load_from_cache

    if Path(source).is_dir():
        return
    try:
        if not isinstance(try_to_load_from_cache(source, "config.json"), str):
            HfApi().model_info(source, timeout=10)
    except (ValueError, errors.HTTPError, errors.OfflineModeIsEnabled) as error:
        raise OSError(str(error)) from error


def _fitting(encoder: Encoder, source: str, config: Any, layers: int | None) -> int:  # noqa: ANN401
    """Return the layer to use; refuse what bert-score would load wrongly or not at all."""
    where = f"encoder {encoder.public_id}"
    # The letters "t5" anywhere in the path make bert-score pick T5's model class: silently wrong numbers.
    if "t5" in source and "t5" not in config.model_type:
        raise UserError(f"{where}: its path contains 't5', so that bert-score takes it for a T5 model: move or link it")
    if layers is None:
        raise UserError(f"{where}: bert-score does not know which layer to use: give num_layers")
    depth = getattr(config, "num_hidden_layers", layers)
    if not 1 <= layers <= depth:
        raise UserError(f"{where}: it has {depth} layers: num_layers={layers} must lie between 1 and {depth}")
    return layers


def _tokenizer(source: str, config: Any) -> Any:  # noqa: ANN401
    """Return the tokenizer as bert-score means it, which transformers 5 no longer gives it.

    A missing length limit overflows the fast tokenizers. RoBERTa and GPT-2 must read the first word with a
    space before it; bert-score asks for that per call, where it is ignored since.
    """
    from transformers import AutoTokenizer, GPT2Tokenizer, RobertaTokenizer

    tokenizer = AutoTokenizer.from_pretrained(source)
    if isinstance(tokenizer, GPT2Tokenizer | RobertaTokenizer):
        tokenizer = AutoTokenizer.from_pretrained(source, add_prefix_space=True)
    positions = getattr(config, "max_position_embeddings", None) or MAX_TOKENS
    tokenizer.model_max_length = min(tokenizer.model_max_length, MAX_TOKENS, positions)
    return tokenizer


def _encodable(text: str) -> str:
    """Replace lone surrogates, which JSON may carry and the fast tokenizers refuse."""
    return text.encode("utf-8", "replace").decode("utf-8")


def _count_long(tokenizer: Any, texts: set[str]) -> int:  # noqa: ANN401
    """Return how many texts have more tokens than the encoder reads."""
    limit = tokenizer.model_max_length
    # A token holds at least one byte, so that short texts need no look.
    suspects = [text for text in texts if len(text.encode("utf-8")) > limit - 2]
    return sum(len(ids) > limit for ids in tokenizer(suspects, verbose=False)["input_ids"]) if suspects else 0
