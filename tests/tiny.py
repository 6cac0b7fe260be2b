"""Tiny models that really learn, trained in seconds on a CPU, for tests that need a checkpoint.

The builders are deterministic: equal texts and steps give equal weights on one machine.
"""

from __future__ import annotations

import random
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from pathlib import Path

    import torch

    Loss = Callable[[Sequence[tuple[str, str]]], torch.Tensor]

PAD, END, UNKNOWN, START, TURN = "<pad>", "</s>", "<unk>", "<s>", "<turn>"
PAD_ID, END_ID, UNKNOWN_ID, START_ID, TURN_ID = range(5)
CHAT_TEMPLATE = (
    "{{ bos_token }}{% for message in messages %}{{ message.role }}:<turn>{{ message.content }}</s>{% endfor %}"
    "{% if add_generation_prompt %}assistant:<turn>{% endif %}"
)
COMPLAINTS = {
    "emergency": ("chest pain", "no pulse", "stroke", "blue lips"),
    "urgent": ("high fever", "deep cut", "broken arm", "bad asthma"),
    "routine": ("mild rash", "sore knee", "refill", "dry cough"),
}


def triage_pairs(n: int, seed: int = 0) -> list[tuple[str, str]]:
    """Return (prompt, target) pairs of a keyword task, half labels (`predict:`), half rationales (`explain:`)."""
    rng = random.Random(seed)
    pairs = []
    for i in range(n):
        label = rng.choice(list(COMPLAINTS))
        sign = rng.choice(COMPLAINTS[label])
        note = f"the patient is {rng.randint(20, 90)} years old and reports {sign} since {rng.randint(2, 9)} days"
        target = label if i % 2 == 0 else f"{sign} means that the case is {label}"
        pairs.append((f"{'predict' if i % 2 == 0 else 'explain'}: {note}", target))
    return pairs


def tiny_t5(
    folder: Path,
    pairs: Sequence[tuple[str, str]],
    steps: int = 100,
    *,
    vocabulary: int = 400,
    kind: str = "T5",
    **settings: object,
) -> Path:
    """Train a T5 (d_model 128, 2 + 2 layers) on `pairs` of (prompt, target) and save it in `folder`.

    Args:
        folder: where the checkpoint goes.
        pairs: (prompt, target).
        steps: optimiser steps of 32 pairs.
        vocabulary: size of the tokenizer.
        kind: `T5` or `MT5`.
        settings: of its configuration. With `tie_word_embeddings=False` the output head is the model's own.
    """
    import torch
    import transformers

    tokenizer = _tokenizer((text for pair in pairs for text in pair), vocabulary, start=False)
    shape = {"d_model": 128, "d_kv": 32, "d_ff": 256, "num_layers": 2, "num_decoder_layers": 2, "num_heads": 4}
    special = {"decoder_start_token_id": PAD_ID, "pad_token_id": PAD_ID, "eos_token_id": END_ID}
    usual = {"vocab_size": len(tokenizer), "dropout_rate": 0.0, **shape, **special}
    config = getattr(transformers, f"{kind}Config")(**usual | settings)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = getattr(transformers, f"{kind}ForConditionalGeneration")(config)
        if settings.get("tie_word_embeddings") is False:  # transformers ties them all the same
            model.lm_head.weight = torch.nn.Parameter(torch.randn_like(model.lm_head.weight) * config.d_model**-0.5)

    _train(model, _seq2seq_loss(model, tokenizer), pairs, steps)
    return _save(folder, model, tokenizer)


def tiny_causal(
    folder: Path,
    pairs: Sequence[tuple[str, str]],
    steps: int = 100,
    *,
    chat: bool = True,
    vocabulary: int = 400,
    positions: int = 512,
) -> Path:
    """Train a Llama (hidden 128, 2 layers) to answer `pairs` and save it in `folder`.

    Args:
        folder: where the checkpoint goes.
        pairs: (question, answer).
        steps: optimiser steps of 32 pairs.
        chat: train and save it with a chat template; otherwise question, space and answer follow each other.
        vocabulary: size of the tokenizer.
        positions: `max_position_embeddings`.
    """
    import torch
    import transformers

    texts = [text for pair in pairs for text in pair]
    tokenizer = _tokenizer([*texts, "user: assistant: system:"], vocabulary, start=True)
    if chat:
        tokenizer.chat_template = CHAT_TEMPLATE
    config = transformers.LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=128,
        intermediate_size=256,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=positions,
        bos_token_id=START_ID,
        eos_token_id=END_ID,
        pad_token_id=PAD_ID,
        tie_word_embeddings=True,
    )
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = transformers.LlamaForCausalLM(config)

    _train(model, _causal_loss(model, tokenizer), pairs, steps)
    return _save(folder, model, tokenizer)


def tiny_lora(
    folder: Path,
    base: Path,
    pairs: Sequence[tuple[str, str]],
    steps: int = 60,
    *,
    tokenizer: bool = True,
    **lora: object,
) -> Path:
    """Train a LoRA adapter on a tiny checkpoint and save it in `folder`, as peft does.

    Args:
        folder: where the adapter goes.
        base: a folder of `tiny_t5` or `tiny_causal`; `adapter_config.json` names it as it is given here.
        pairs: (prompt, target).
        steps: optimiser steps of 32 pairs.
        tokenizer: save the tokenizer beside the adapter.
        lora: settings of `peft.LoraConfig`.
    """
    import peft
    import torch
    import transformers

    words = transformers.AutoTokenizer.from_pretrained(base)
    seq2seq = transformers.AutoConfig.from_pretrained(base).is_encoder_decoder
    auto = transformers.AutoModelForSeq2SeqLM if seq2seq else transformers.AutoModelForCausalLM
    settings = {
        "task_type": "SEQ_2_SEQ_LM" if seq2seq else "CAUSAL_LM",
        "target_modules": ["q", "v", "wo"] if seq2seq else ["q_proj", "v_proj", "down_proj"],
        "r": 8,
        "lora_alpha": 32,
    }
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = peft.get_peft_model(auto.from_pretrained(base), peft.LoraConfig(**settings | lora))
    _train(model, (_seq2seq_loss if seq2seq else _causal_loss)(model, words), pairs, steps)
    return _save(folder, model, words if tokenizer else None)


def _seq2seq_loss(model: Any, tokenizer: Any) -> Loss:  # noqa: ANN401
    def loss(chosen: Sequence[tuple[str, str]]) -> torch.Tensor:
        read = tokenizer([prompt for prompt, _ in chosen], padding=True, return_tensors="pt")
        labels = tokenizer([target for _, target in chosen], padding=True, return_tensors="pt").input_ids
        labels = labels.masked_fill(labels == PAD_ID, -100)
        return model(input_ids=read.input_ids, attention_mask=read.attention_mask, labels=labels).loss

    return loss


def _causal_loss(model: Any, tokenizer: Any) -> Loss:  # noqa: ANN401
    """Loss of the answers; a tokenizer with a chat template is asked in a chat."""
    import torch

    chat = bool(tokenizer.chat_template)

    def row(question: str, answer: str) -> tuple[list[int], int]:
        if chat:
            turn = [{"role": "user", "content": question}]
            question = tokenizer.apply_chat_template(turn, tokenize=False, add_generation_prompt=True)
        asked = tokenizer(question, add_special_tokens=not chat).input_ids
        return [*asked, *tokenizer(answer, add_special_tokens=False).input_ids, END_ID], len(asked)

    def loss(chosen: Sequence[tuple[str, str]]) -> torch.Tensor:
        rows = [row(*pair) for pair in chosen]
        longest = max(len(ids) for ids, _ in rows)
        ids = torch.tensor([ids + [PAD_ID] * (longest - len(ids)) for ids, _ in rows])
        place = torch.arange(longest)
        inside = torch.stack([(place >= asked) & (place < len(ids)) for ids, asked in rows])
        return model(input_ids=ids, labels=ids.masked_fill(~inside, -100)).loss

    return loss


def _tokenizer(texts: Iterable[str], vocabulary: int, *, start: bool) -> Any:  # noqa: ANN401
    """Train BPE with Metaspace on `texts`; an encoder-decoder's texts end in `</s>`, a causal one's start in `<s>`."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers
    from transformers import PreTrainedTokenizerFast

    made = Tokenizer(models.BPE(unk_token=UNKNOWN))
    made.pre_tokenizer = pre_tokenizers.Metaspace()
    made.decoder = decoders.Metaspace()
    special = [PAD, END, UNKNOWN, START, TURN]
    trainer = trainers.BpeTrainer(vocab_size=vocabulary, special_tokens=special, show_progress=False)
    made.train_from_iterator(list(texts), trainer)
    single = f"{START} $A" if start else f"$A {END}"
    names = [(START, START_ID)] if start else [(END, END_ID)]
    made.post_processor = processors.TemplateProcessing(single=single, special_tokens=names)
    return PreTrainedTokenizerFast(
        tokenizer_object=made, pad_token=PAD, eos_token=END, unk_token=UNKNOWN, bos_token=START if start else None
    )


def _train(model: Any, loss: Loss, pairs: Sequence[tuple[str, str]], steps: int) -> None:  # noqa: ANN401
    """AdamW at 2e-3 with one cycle, gradients clipped at 1.0, 32 pairs a step."""
    import torch

    # Two threads gain nothing on matrices this small, and wait for each other on a busy machine.
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    optimiser = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=2e-3)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, max_lr=2e-3, total_steps=steps)
    rng = random.Random(0)
    model.train()
    for _ in range(steps):
        value = loss(rng.sample(list(pairs), min(32, len(pairs))))
        optimiser.zero_grad()
        value.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimiser.step()
        schedule.step()
    torch.set_num_threads(threads)
    model.eval()


def _save(folder: Path, model: Any, tokenizer: Any | None) -> Path:  # noqa: ANN401
    model.save_pretrained(folder)
    if tokenizer is not None:
        tokenizer.save_pretrained(folder)
    return folder
