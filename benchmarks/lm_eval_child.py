"""The peer's side of `lm_eval_peer.py`, run by the Python that has lm_eval; knows nothing of r2d_bench.

The only argument is JSON: `folder`, `device`, `dtype`, `batch_size`, `threads`. The model is loaded, then one line of
JSON with versions goes out. Each line that comes in is a batch of work: `kind` ("labels" or "texts"), `items` (each a
chat, as role and content, and candidate labels) and `new_tokens`. Each line that goes out is its answer: `answers`
(scores by label, or a text, in order), `seconds` and `cpu_seconds`. Rendering the chat and tokenising are in the time.
"""

from __future__ import annotations

import json
import os
import sys
import time
from importlib.metadata import version
from typing import Any

import torch
from lm_eval.api.instance import Instance  # type: ignore[import-not-found]
from lm_eval.models.huggingface import HFLM  # type: ignore[import-not-found]

PACKAGES = ("lm_eval", "torch", "transformers")


class Peer(HFLM):  # type: ignore[misc]
    """lm-eval's model, with our boundary between prompt and label.

    lm-eval moves white space at the end of a prompt to the label, here the newline with which the chat template hands
    over to the model: each score would hold one token more, the same for all labels.
    """

    def _encode_pair(self, context: str, continuation: str) -> tuple[list[int], list[int]]:
        whole, prompt = self.tok_encode(context + continuation), self.tok_encode(context)
        return prompt, whole[len(prompt) :]


def chats(peer: Peer, items: list[dict[str, Any]]) -> list[str]:
    """Render the prompts by lm-eval's own call of the chat template."""
    return [peer.apply_chat_template(item["chat"]) for item in items]


def labels(peer: Peer, items: list[dict[str, Any]]) -> list[dict[str, float]]:
    """Return ln P(label, end of turn | prompt) of each label."""
    end = peer.tok_decode([peer.eot_token_id], skip_special_tokens=False)
    asked = [
        Instance("loglikelihood", {}, (chat, label + end), i)
        for item, chat in zip(items, chats(peer, items), strict=True)
        for i, label in enumerate(item["candidates"])
    ]
    scores = iter(peer.loglikelihood(asked, disable_tqdm=True))
    return [{label: next(scores)[0] for label in item["candidates"]} for item in items]


def texts(peer: Peer, items: list[dict[str, Any]], new_tokens: int) -> list[str]:
    """Return greedy texts."""
    how = {"until": [], "max_gen_toks": new_tokens, "do_sample": False}
    asked = [Instance("generate_until", {}, (chat, how), 0) for chat in chats(peer, items)]
    said: list[str] = peer.generate_until(asked, disable_tqdm=True)
    return said


def main() -> None:
    # What libraries print must not come between the lines of JSON.
    out = os.fdopen(os.dup(sys.stdout.fileno()), "w", encoding="utf-8")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    given = json.loads(sys.argv[1])
    torch.set_num_threads(given["threads"])
    peer = Peer(given["folder"], device=given["device"], dtype=given["dtype"], batch_size=given["batch_size"])
    print(json.dumps({package: version(package) for package in PACKAGES}), file=out, flush=True)
    for line in sys.stdin:
        work = json.loads(line)
        clock, processor = time.perf_counter(), time.process_time()
        scored, items = work["kind"] == "labels", work["items"]
        answers = labels(peer, items) if scored else texts(peer, items, work["new_tokens"])
        took = {"seconds": time.perf_counter() - clock, "cpu_seconds": time.process_time() - processor}
        print(json.dumps({"answers": answers, **took}), file=out, flush=True)


if __name__ == "__main__":
    main()
