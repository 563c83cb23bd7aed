"""Pretraining on a GPU: tokens per second and model FLOPs utilisation of Fathom beside the Trainer.

`python -m benchmarks.gpu.pretraining` runs GPT-2 124M, a 1.1B Llama and BERT-base from random weights, and LoRA of rank
8 on a Llama of 8B's shape beside PEFT (one window of 4,096 tokens a step), alternating, each run a fresh process;
utilisation is the share of the machine's own best bf16 product, measured here. `--tiny` runs every row with small
widths and two steps, on a CPU too: it shows that the script works, and no figure from it counts. The bars: 50% and 55%
of the best product, and 600,000 tokens a second for BERT-base; LoRA has none of its own.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks.compare_pretraining import run_peer
from benchmarks.compare_training import Plan
from benchmarks.pretraining import ROWS, Row, model_folder
from benchmarks.rounds import Figures, default_work, read_result, revision, rotated, summarize, versions, write_result
from benchmarks.settings import THREADS

GPU_ROWS = tuple(name for name, row in ROWS.items() if row.needs_gpu and not name.startswith("tiny-"))
PEERS = ("tuned", "fathom")
UTILISATION = {"gpu-gpt2-124m": 0.50, "gpu-llama-1b": 0.55}
TOKENS_PER_S = {"gpu-bert-base": 600_000}
PROBE_SIZE = 8192


def best_product() -> float:
    """Return the FLOP/s of a large bf16 product on the GPU; of a small one on a CPU."""
    import time

    import torch

    cuda = torch.cuda.is_available()
    size = PROBE_SIZE if cuda else 1024
    left = torch.randn(size, size, dtype=torch.bfloat16, device="cuda" if cuda else "cpu")
    best = 0.0
    for _ in range(20):
        began = time.perf_counter()
        for _ in range(5):
            left @ left
        if cuda:
            torch.cuda.synchronize()
        best = max(best, 5 * 2 * size**3 / (time.perf_counter() - began))
    return best


def training_flops_per_token(row: Row, work: Path) -> float:
    """Return 6 for each weight that multiplies every token (4 if frozen), 12 * width * window for a block's attention.

    The vocabulary head counts for the labelled positions only; a causal model sees half of the window.
    """
    import torch
    from transformers import AutoConfig, AutoModel

    config = AutoConfig.from_pretrained(model_folder(row, work))
    with torch.device("meta"):
        body = AutoModel.from_config(config)
    tables = sum(module.weight.numel() for module in body.modules() if isinstance(module, torch.nn.Embedding))
    weights = sum(parameter.numel() for parameter in body.parameters()) - tables
    causal = row.objective == "causal-lm"
    attention = 12 * config.hidden_size * row.window * config.num_hidden_layers * (0.5 if causal else 1.0)
    head = 6 * config.hidden_size * config.vocab_size * (1.0 if causal else 0.15)
    if row.lora_rank:  # no gradient of the frozen weights; the updates' own products are left out
        return float(4 * weights + attention + head * 4 / 6)
    return float(6 * weights + attention + head)


def measure(row: Row, plan: Plan, peak: float) -> Figures:
    result = read_result(row.name)
    settings: dict[str, Any] = {"steps": row.steps, "batch_size": row.batch_size, "window": row.window}
    if result.get("settings") != settings or result.get("versions") != versions():
        result = {"settings": settings, "versions": versions(), "rounds": []}
    while len(result["rounds"]) < plan.rounds:
        turn = len(result["rounds"])
        found = {peer: run_peer(peer, row, turn + 1, row.steps, plan) for peer in rotated(PEERS, turn)}
        result["rounds"].append({"revision": revision(), "peers": found})
        write_result(row.name, result)
    flops = training_flops_per_token(row, plan.work)
    speed = {peer: [turn["peers"][peer]["real_tokens_per_s"] for turn in result["rounds"]] for peer in PEERS}
    result["summary"] = {
        "best_product_flops_per_s": peak,
        "training_flops_per_token": flops,
        "real_tokens_per_s": {peer: summarize(values) for peer, values in speed.items()},
        "peak_memory_bytes": {
            peer: summarize([turn["peers"][peer]["peak_memory_bytes"] for turn in result["rounds"]]) for peer in PEERS
        },
        "utilisation": {peer: flops * median(values) / peak for peer, values in speed.items()},
        "needed_utilisation": UTILISATION.get(row.name),
        "needed_tokens_per_s": TOKENS_PER_S.get(row.name),
    }
    write_result(row.name, result)
    return result


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", default=",".join(GPU_ROWS))
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=THREADS)
    parser.add_argument("--tiny", action="store_true")
    parser.add_argument("--work", type=Path, default=default_work())
    arguments = parser.parse_args()
    import torch

    if not arguments.tiny and not torch.cuda.is_available():
        raise SystemExit("no GPU here; --tiny tries the script on a CPU")
    plan = Plan(arguments.work, 1 if arguments.tiny else arguments.rounds, arguments.threads)
    plan.work.mkdir(parents=True, exist_ok=True)
    peak = best_product()
    for name in arguments.rows.split(","):
        row = ROWS[f"tiny-{name}" if arguments.tiny else name]
        print(json.dumps(measure(row, plan, peak)["summary"], indent=2))


if __name__ == "__main__":
    main()
