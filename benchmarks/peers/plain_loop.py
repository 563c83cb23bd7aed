"""A plain PyTorch training loop of a causal language model, the way nanoGPT writes it, in fp32.

A memory-mapped file of token ids, random windows of it as batches, AdamW (fused, betas 0.9 and 0.99, decay on matrices
only), a warmup and a cosine to a tenth of the rate, gradients clipped to 1, no dropout, transformers' GPT-2 with the
attention of torch. Nothing is compiled, as nanoGPT's advice for processors has it. What is timed is the loop: no
evaluation, no checkpoint.
"""

from __future__ import annotations

import argparse
import json
import math
import time
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.peers.process import peak_resident_bytes

BETAS = (0.9, 0.99)
WARMUP_SHARE = 0.1
LAST_SHARE = 0.1


def read_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--row", required=True)
    parser.add_argument("--steps", type=int, required=True)
    parser.add_argument("--batch-size", type=int, required=True)
    parser.add_argument("--lr", type=float, required=True)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    return parser.parse_args()


def rate_at(step: int, steps: int, peak: float) -> float:
    """Return the learning rate of a step counted from 0: linear warmup, then a cosine to a tenth."""
    warmup = max(1, round(WARMUP_SHARE * steps))
    if step < warmup:
        return peak * (step + 1) / warmup
    share = (step - warmup) / max(1, steps - warmup)
    return peak * (LAST_SHARE + (1 - LAST_SHARE) * 0.5 * (1 + math.cos(math.pi * share)))


def token_file(text: Path, tokenizer: Any, work: Path) -> Path:
    """Write the ids of a text once, as 16-bit numbers."""
    path = work / f"{text.stem}.bin"
    if not path.is_file():
        ids = tokenizer(text.read_text(encoding="utf-8"), add_special_tokens=False, verbose=False)["input_ids"]
        np.array(ids, dtype=np.uint16).tofile(path)
    return path


def main() -> None:
    arguments = read_arguments()
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    from benchmarks.pretraining import ROWS, corpus, model_folder, score

    torch.set_num_threads(arguments.threads)
    torch.manual_seed(arguments.seed)
    row = ROWS[arguments.row]
    folder = model_folder(row, arguments.work)
    model: Any = AutoModelForCausalLM.from_pretrained(
        folder, attn_pdrop=0.0, embd_pdrop=0.0, resid_pdrop=0.0, attn_implementation="sdpa"
    ).train()
    model.config.use_cache = False
    tokenizer = AutoTokenizer.from_pretrained(folder)
    data = np.memmap(token_file(corpus(arguments.work)["train"], tokenizer, arguments.work), dtype=np.uint16, mode="r")
    matrices = [parameter for parameter in model.parameters() if parameter.dim() >= 2]
    rest = [parameter for parameter in model.parameters() if parameter.dim() < 2]
    optimizer = torch.optim.AdamW(
        [{"params": matrices, "weight_decay": row.weight_decay}, {"params": rest, "weight_decay": 0.0}],
        lr=arguments.lr, betas=BETAS, fused=True,
    )  # fmt: skip
    began = time.perf_counter()
    for step in range(arguments.steps):
        for group in optimizer.param_groups:
            group["lr"] = rate_at(step, arguments.steps, arguments.lr)
        starts = torch.randint(len(data) - row.window - 1, (arguments.batch_size,)).tolist()
        inputs = torch.stack([torch.from_numpy(data[i : i + row.window].astype(np.int64)) for i in starts])
        labels = torch.stack([torch.from_numpy(data[i + 1 : i + 1 + row.window].astype(np.int64)) for i in starts])
        logits = model(input_ids=inputs).logits
        loss = torch.nn.functional.cross_entropy(logits.flatten(0, 1), labels.flatten())
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
    seconds = time.perf_counter() - began
    tokens = arguments.steps * arguments.batch_size * row.window
    result = {
        "peer": "plain-loop",
        "train_seconds": seconds,
        "real_tokens": tokens,
        "real_tokens_per_s": tokens / seconds,
        "peak_memory_bytes": peak_resident_bytes(),
        "validation_loss": score(model, row, arguments.work),
        "steps": arguments.steps,
        "batch_size": arguments.batch_size,
        "seed": arguments.seed,
    }
    arguments.out.write_text(json.dumps(result), encoding="utf-8")


if __name__ == "__main__":
    main()
