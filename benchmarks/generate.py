"""Tokens per second of generation: `model.generate` of transformers and Fathom, in turn, on the same weights.

    python -m benchmarks.generate            # every row, 5 rounds
    python -m benchmarks.generate --quick    # a smoke test; no figure from it counts

Greedy, 128 new tokens, no end token: every sequence has its full length. Batch 1, and batch 16 of prompts of 8 to 256
tokens, which transformers gets padded on the left, with a mask. Small models of seeded random weights, fp32 and, where
the machine has it, bf16. Both sides get token ids, both return token ids. In fp32 the tokens must be the same; in bf16
two orders of the same sums part ways, and the share of equal tokens is reported.

Writes benchmarks/results/generate.json.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from transformers import GPT2Config, GPT2LMHeadModel, LlamaConfig, LlamaForCausalLM, LogitsProcessorList

from benchmarks import machine, rounds
from benchmarks.settings import THREADS
from fathom.device import probe_machine
from fathom.serving.generate.decode import decode
from fathom.serving.generate.engine import Engine, make_engine
from fathom.serving.generate.rows import Row

NEW_TOKENS = 128
VOCABULARY = 16_384
ROUNDS = 5
BATCHES = {"batch 1": 1, "batch 16": 16}

Tokens = list[list[int]]


@dataclass(frozen=True)
class Sizes:
    """Of a run: the real one, or the smoke test."""

    width: int = 512
    depth: int = 8
    new_tokens: int = NEW_TOKENS
    longest: int = 256


QUICK = Sizes(width=64, depth=2, new_tokens=8, longest=32)


def build(family: str, sizes: Sizes) -> Any:
    """Return a small model of seeded random weights."""
    torch.manual_seed(0)
    positions = sizes.longest + sizes.new_tokens
    if family == "gpt2":
        config = GPT2Config(
            n_embd=sizes.width,
            n_layer=sizes.depth,
            n_head=sizes.width // 64,
            n_positions=positions,
            vocab_size=VOCABULARY,
            bos_token_id=None,
            eos_token_id=None,
        )
        return GPT2LMHeadModel(config).eval()
    llama = LlamaConfig(
        hidden_size=sizes.width,
        num_hidden_layers=sizes.depth,
        num_attention_heads=sizes.width // 32,
        num_key_value_heads=sizes.width // 64,
        intermediate_size=sizes.width * 8 // 3,
        max_position_embeddings=positions,
        vocab_size=VOCABULARY,
        bos_token_id=None,
        eos_token_id=None,
    )
    return LlamaForCausalLM(llama).eval()


def make_prompts(batch: int, sizes: Sizes) -> Tokens:
    """Return prompts of 8 to `longest` tokens, evenly spread on a log scale; one of a quarter of the longest alone."""
    draw = np.random.default_rng(batch)
    lengths = np.geomspace(8, sizes.longest, batch).astype(int) if batch > 1 else [sizes.longest // 4]
    return [draw.integers(1, VOCABULARY, length).tolist() for length in draw.permutation(lengths)]


def run_transformers(model: Any, prompts: Tokens, sizes: Sizes) -> Tokens:
    """Generate by `model.generate`."""
    length = max(map(len, prompts))
    ids = torch.tensor([[0] * (length - len(prompt)) + prompt for prompt in prompts])
    mask = torch.tensor([[0] * (length - len(prompt)) + [1] * len(prompt) for prompt in prompts])
    with torch.inference_mode():
        found = model.generate(
            ids, attention_mask=mask, max_new_tokens=sizes.new_tokens, do_sample=False, pad_token_id=0
        )
    tokens: Tokens = found[:, length:].tolist()
    return tokens


def run_fathom(engine: Engine, prompts: Tokens, sizes: Sizes) -> Tokens:
    """Generate by Fathom's loop."""
    rows = [Row(at, 0, prompt, sizes.new_tokens, LogitsProcessorList()) for at, prompt in enumerate(prompts)]
    with torch.inference_mode():
        for _ in decode(engine.start(), prompts, rows, None, frozenset()):
            pass
    return [row.tokens for row in rows]


def measure(sides: dict[str, Callable[[], Tokens]], count: int) -> dict[str, Any]:
    """Run the sides in turn, after one run each to warm up; tokens per second and their ratios."""
    found = {name: run() for name, run in sides.items()}
    num_tokens = sum(len(row) for row in found["fathom"])
    speed: dict[str, list[float]] = {name: [] for name in sides}
    for turn in range(count):
        for name in rounds.rotated(list(sides), turn):
            started = time.perf_counter()
            sides[name]()
            speed[name].append(num_tokens / (time.perf_counter() - started))
    equal = sum(a == b for x, y in zip(*found.values(), strict=True) for a, b in zip(x, y, strict=True))
    return {
        "tokens_per_s": {name: rounds.summarize(values) for name, values in speed.items()},
        "ratio": rounds.paired_ratio(speed["fathom"], speed["transformers"]),
        "share_of_equal_tokens": equal / num_tokens,
        "load_average": rounds.load_average(),
    }


def rows_of(family: str, precision: str, sizes: Sizes, count: int) -> dict[str, Any]:
    """Measure one model in one precision, every batch."""
    plain, own = build(family, sizes), build(family, sizes)
    engine = make_engine(own)
    assert engine.mode == "packed", engine.reason
    if precision == "bf16":
        plain, _ = plain.to(torch.bfloat16), own.to(torch.bfloat16)
    result = {}
    for name, batch in BATCHES.items():
        prompts = make_prompts(batch, sizes)
        row = measure(
            {
                "transformers": lambda prompts=prompts: run_transformers(plain, prompts, sizes),
                "fathom": lambda prompts=prompts: run_fathom(engine, prompts, sizes),
            },
            count,
        )
        if precision == "fp32" and row["share_of_equal_tokens"] < 1:
            raise SystemExit(f"{family} {name}: the tokens differ ({row['share_of_equal_tokens']:.3f} equal)")
        row["prompt_tokens"] = [len(prompt) for prompt in prompts]
        result[f"{family} {precision} {name}"] = row
        speeds = row["tokens_per_s"]
        print(
            f"{family} {precision} {name}: transformers {speeds['transformers']['median']:,.0f}, "
            f"Fathom {speeds['fathom']['median']:,.0f} tokens/s, ratio {row['ratio']['median']:.2f} "
            f"({row['ratio']['min']:.2f}-{row['ratio']['max']:.2f}), equal {row['share_of_equal_tokens']:.3f}",
            flush=True,
        )
    return result


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure, print and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="a smoke test; nothing is written")
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    parser.add_argument("--threads", type=int, default=THREADS)
    parser.add_argument("--families", nargs="+", default=["llama", "gpt2"])
    given = parser.parse_args(arguments)
    torch.set_num_threads(given.threads)
    sizes, count = (QUICK, 1) if given.quick else (Sizes(), given.rounds)
    precisions = ["fp32", *(["bf16"] if probe_machine().bf16_native else [])]
    result: dict[str, Any] = {"rows": {}, "settings": {"versions": rounds.versions(), "threads": given.threads}}
    result["settings"] |= {"new_tokens": sizes.new_tokens, "rounds": count, "revision": rounds.revision()}
    if not given.quick:
        result["machine"] = machine.probe(given.threads)
    for family in given.families:
        for precision in precisions:
            result["rows"] |= rows_of(family, precision, sizes, count)
            if not given.quick:
                rounds.write_result("generate", result)


if __name__ == "__main__":
    main()
