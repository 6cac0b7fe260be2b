"""What a training starts from: a small T5 made for the task, and what every start is given before it trains.

BPE with Metaspace is what works on corpora of a few thousand texts; Unigram and bytes do not.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
import transformers
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers

from r2d_bench.errors import UserError
from r2d_bench.training.seeds import derived_seed

if TYPE_CHECKING:
    from collections.abc import Iterable

    from r2d_bench.training.recipe import Lora, Scratch

PAD, END, UNKNOWN = "<pad>", "</s>", "<unk>"
PAD_ID, END_ID, UNKNOWN_ID = range(3)


def tiny_start(scratch: Scratch, texts: Iterable[str], seed: int) -> tuple[Any, Any]:
    """Return a small T5 with random weights, and a tokenizer trained on the texts.

    Equal texts and seed give equal weights. Dropout is 0: at this size it costs more than it gives.
    """
    if scratch.d_model % scratch.heads:
        raise UserError(f"scratch: d_model {scratch.d_model} cannot be split over {scratch.heads} heads")
    tokenizer = _tokenizer(texts, scratch.vocabulary)
    config = transformers.T5Config(
        vocab_size=len(tokenizer),
        d_model=scratch.d_model,
        d_kv=scratch.d_model // scratch.heads,
        d_ff=scratch.d_ff,
        num_layers=scratch.layers,
        num_decoder_layers=scratch.layers,
        num_heads=scratch.heads,
        dropout_rate=0.0,
        decoder_start_token_id=PAD_ID,
        pad_token_id=PAD_ID,
        eos_token_id=END_ID,
    )
    with torch.random.fork_rng():
        torch.manual_seed(derived_seed(seed, "scratch"))
        return transformers.T5ForConditionalGeneration(config), tokenizer


def _tokenizer(texts: Iterable[str], vocabulary: int) -> Any:  # noqa: ANN401 - transformers is untyped here
    made = Tokenizer(models.BPE(unk_token=UNKNOWN))
    made.pre_tokenizer = pre_tokenizers.Metaspace()
    made.decoder = decoders.Metaspace()
    trainer = trainers.BpeTrainer(vocab_size=vocabulary, special_tokens=[PAD, END, UNKNOWN], show_progress=False)
    made.train_from_iterator(texts, trainer)
    made.post_processor = processors.TemplateProcessing(single=f"$A {END}", special_tokens=[(END, END_ID)])
    return transformers.PreTrainedTokenizerFast(tokenizer_object=made, pad_token=PAD, eos_token=END, unk_token=UNKNOWN)


def make_greedy(model: Any, tokenizer: Any) -> None:  # noqa: ANN401
    """Give the model a generation configuration that is greedy and bare.

    Whatever a checkpoint has of sampling, beams, penalties and forced tokens would leak into its labels.

    Raises:
        UserError: no end, padding or start token is known, or the model has no decoder.
    """
    config = model.config
    if not config.is_encoder_decoder:
        raise UserError(f"base model of type {config.model_type}: it has no decoder: give a model of the T5 family")
    said = model.generation_config
    ends = list(dict.fromkeys([*_ids(said.eos_token_id), *_ids(config.eos_token_id), *_ids(tokenizer.eos_token_id)]))
    pads = [*_ids(tokenizer.pad_token_id), *_ids(config.pad_token_id)]
    starts = [*_ids(said.decoder_start_token_id), *_ids(getattr(config, "decoder_start_token_id", None))]
    for what, found in (("end-of-text", ends), ("padding", pads), ("decoder start", starts)):
        if not found:
            raise UserError(f"base model of type {config.model_type}: it names no {what} token")
    model.generation_config = transformers.GenerationConfig(
        do_sample=False, num_beams=1, eos_token_id=ends, pad_token_id=pads[0], decoder_start_token_id=starts[0]
    )


def _ids(value: int | list[int] | None) -> list[int]:
    if value is None:
        return []
    return list(value) if isinstance(value, list | tuple) else [value]


def set_dropout(model: Any, dropout: float) -> None:  # noqa: ANN401
    """Set every dropout of the model (T5 keeps that of its attention as a number)."""
    for module in model.modules():
        if isinstance(module, torch.nn.Dropout):
            module.p = dropout
        elif isinstance(getattr(module, "dropout", None), float):
            module.dropout = dropout
    model.config.dropout_rate = dropout


def with_lora(model: Any, lora: Lora, seed: int) -> Any:  # noqa: ANN401
    """Return the model with low-rank adapters in place of all weights; one that has them stays as it is."""
    import peft  # noqa: PLC0415 - an optional engine

    if isinstance(model, peft.PeftModel):
        return model
    config = peft.LoraConfig(
        task_type="SEQ_2_SEQ_LM",
        r=lora.r,
        lora_alpha=lora.alpha,
        lora_dropout=lora.dropout,
        target_modules=list(lora.target_modules),
    )
    with torch.random.fork_rng():
        torch.manual_seed(derived_seed(seed, "lora"))
        return peft.get_peft_model(model, config)
