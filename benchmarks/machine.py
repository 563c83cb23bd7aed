"""The machine's own limits: matrix products at the shapes of the workload and at large squares, and memory bandwidth.

Every comparison runs this first, on the same threads, and states its figures as a share of what is measured here.
`python -m benchmarks.machine --out benchmarks/results/machine.json`
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from benchmarks.processor import processor_flags, processor_name
from benchmarks.settings import THREADS

WIDTHS = {"minilm": 384, "bert-base": 768}
BATCH_TOKENS = 768
"""About the real tokens of a batch of 32 short texts."""


def best_seconds(run: Callable[[], object], budget: float = 0.4, at_least: int = 5) -> float:
    """Return the shortest time of several calls, after one call to warm up."""
    run()
    best, spent, calls = float("inf"), 0.0, 0
    while spent < budget or calls < at_least:
        started = time.perf_counter()
        run()
        seconds = time.perf_counter() - started
        best, spent, calls = min(best, seconds), spent + seconds, calls + 1
    return best


def product_flops_per_s(rows: int, inner: int, columns: int, dtype: torch.dtype, budget: float) -> float:
    """Return FLOP/s of `[rows, inner] @ [inner, columns]`, the best of several, written to a buffer made before."""
    left = torch.randn(rows, inner).to(dtype)
    right = torch.randn(columns, inner).to(dtype).t()
    out = torch.empty(rows, columns, dtype=dtype)
    seconds = best_seconds(lambda: torch.mm(left, right, out=out), budget)
    return 2.0 * rows * inner * columns / seconds


def block_shapes(width: int, tokens: int) -> dict[str, tuple[int, int, int]]:
    """Return the products of one block's training step: forward, input gradient and weight gradient of each kind."""
    inner = 4 * width
    return {
        "up  [T,D]x[D,4D]": (tokens, width, inner),
        "down  [T,4D]x[4D,D]": (tokens, inner, width),
        "attention  [T,D]x[D,D]": (tokens, width, width),
        "weight gradient  [D,T]x[T,4D]": (width, tokens, inner),
        "weight gradient  [D,T]x[T,D]": (width, tokens, width),
    }


MIX = (8.0, 8.0, 8.0, 8.0, 4.0)
"""FLOPs of each shape, in units of 2 T D^2, in one training step of a block: up and down run once forward and once as
the input gradient of the other (4 + 4 each), the four attention projections 4 + 4, their weight gradients 8 and 4."""


def step_mix(rates: dict[str, float]) -> float:
    """Return the FLOP/s of one whole block step at the measured rate of each product (a harmonic mean by FLOPs)."""
    return sum(MIX) / sum(weight / rate for weight, rate in zip(MIX, rates.values(), strict=True))


def probe_products(budget: float, squares: tuple[int, ...]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for label, dtype in (("fp32", torch.float32), ("bf16", torch.bfloat16)):
        square = {str(size): product_flops_per_s(size, size, size, dtype, budget) for size in squares}
        found[label] = {"square": square, "peak": max(square.values())}
        for model, width in WIDTHS.items():
            shapes = block_shapes(width, BATCH_TOKENS)
            rates = {name: product_flops_per_s(*shape, dtype, budget) for name, shape in shapes.items()}
            found[label][model] = {"shapes": rates, "step_mix": step_mix(rates)}
            found[label]["peak"] = max(found[label]["peak"], *rates.values())
    return found


def probe_memory(megabytes: int, budget: float) -> dict[str, float]:
    """Return bytes per second of a large copy (read + write) and of a large sum (read)."""
    source = torch.ones(megabytes * 1024 * 1024 // 4)
    target = torch.empty_like(source)
    size = source.numel() * 4
    return {
        "copy_bytes_per_s": 2 * size / best_seconds(lambda: target.copy_(source), budget),
        "read_bytes_per_s": size / best_seconds(source.sum, budget),
    }


def facts() -> dict[str, Any]:
    """Return what identifies the machine in a result; no host name, no path."""
    return {
        "processor": processor_name(),
        "flags": processor_flags(),
        "cores": os.cpu_count(),
        "memory_bytes": os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"),
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        "torch": torch.__version__,
    }


def probe(threads: int, quick: bool = False) -> dict[str, Any]:
    """Measure everything; about 25 s, or 3 s in the quick form."""
    torch.set_num_threads(threads)
    budget = 0.02 if quick else 0.4
    squares = (512,) if quick else (1024, 2048, 4096)
    return {
        "facts": facts(),
        "threads": threads,
        "batch_tokens": BATCH_TOKENS,
        "flops_per_s": probe_products(budget, squares),
        "memory": probe_memory(32 if quick else 512, budget),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--threads", type=int, default=THREADS)
    parser.add_argument("--quick", action="store_true", help="a smoke test; the figures are too low")
    parser.add_argument("--out", type=Path, default=None, help="write JSON here; left out, print it")
    arguments = parser.parse_args()
    text = json.dumps(probe(arguments.threads, arguments.quick), indent=2)
    if arguments.out:
        arguments.out.write_text(text + "\n", encoding="utf-8")
    else:
        print(text)


if __name__ == "__main__":
    main()
