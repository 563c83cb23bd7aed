"""Speedups that Fathom does not take on a CPU, and what they would give: compiled blocks, and batches made ahead.

The steps are those `fathom train` runs (gradient of a batch, clipping, optimizer), in one process. With every block
compiled by `torch.compile` and as it is, steps alternate: `Module.compile` keeps both callables, the weights are the
same. What compiling costs (the first steps, less what such steps take afterwards) is given beside the ratio. Batches
made in another thread could save at most the time that making one takes, so that is measured, as a share of the step.

`python -m benchmarks.not_taken` (some ten minutes; needs a C++ compiler), `--quick` for a smoke test.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from benchmarks.rounds import load_average, paired_ratio, revision, summarize, versions, write_result
from benchmarks.settings import THREADS

os.environ.setdefault("OMP_NUM_THREADS", str(THREADS))  # before torch is imported

from benchmarks.scaling import Bench, Grid, write_corpus

NAME = "not-taken"
WORTH = 1.05
"""Times as fast from which a speedup would be worth its code."""
WARM = 2
RECOMPILE = 200
"""Fathom's operations are compiled for every projection anew; torch would give up after eight."""
SMALL, LARGE = Grid(64, 64, (2,), (512,), 512, 2, 2), Grid(384, 256, (3,), (4096,), 4096, 3, 11)
FAMILIES = {"bert": "masked-lm", "gpt2": "causal-lm", "llama": "causal-lm"}


class Blocks:
    """The blocks of a model, compiled or as they are."""

    def __init__(self, bench: Bench) -> None:
        import torch._dynamo

        torch._dynamo.config.recompile_limit = RECOMPILE
        self.modules = [bench.work.model.get_submodule(block.path) for block in bench.anatomy.blocks]
        for module in self.modules:
            module.compile(dynamic=True)
        self.compiled = [vars(module)["_compiled_call_impl"] for module in self.modules]

    @contextmanager
    def as_they_are(self) -> Iterator[None]:
        self._set([None] * len(self.modules))
        try:
            yield
        finally:
            self._set(self.compiled)

    def _set(self, calls: list[Any]) -> None:
        for module, call in zip(self.modules, calls, strict=True):
            vars(module)["_compiled_call_impl"] = call


def batch_seconds(bench: Bench) -> float:
    """Return what making a batch takes."""
    began = time.perf_counter()
    bench.work.make_batch(bench.rows, bench.step)
    return time.perf_counter() - began


def measure(architecture: str, grid: Grid, folder: Path) -> dict[str, Any]:
    """Time steps both ways in turn, and the batches."""
    bench = Bench(grid, grid.at_depth, grid.at_tokens, folder, architecture, FAMILIES[architecture])
    blocks = Blocks(bench)
    with blocks.as_they_are():
        for _ in range(WARM):
            bench.seconds()
    began = time.perf_counter()
    for _ in range(WARM):
        bench.seconds()
    first = time.perf_counter() - began
    plain, compiled, batches = [], [], []
    for _ in range(grid.rounds):
        with blocks.as_they_are():
            plain.append(bench.seconds())
        compiled.append(bench.seconds())
        batches.append(batch_seconds(bench))
    result = {
        "width": grid.width,
        "depth": grid.at_depth,
        "tokens": grid.at_tokens,
        "precision": bench.precision,
        "seconds_plain": summarize(plain),
        "seconds_compiled": summarize(compiled),
        "seconds_to_compile": first - WARM * summarize(compiled)["median"],
        "compiled_over_plain": paired_ratio(plain, compiled),
        "batch_share": paired_ratio(plain, batches)["median"] ** -1,
    }
    print(
        f"{architecture}: compiled {result['compiled_over_plain']['median']:.3f} times as fast, after "
        f"{result['seconds_to_compile']:.0f} s; making the batch is {result['batch_share']:.2%} of a step",
        flush=True,
    )
    return result


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="small models, to see that it runs; writes nothing")
    arguments = parser.parse_args()
    from benchmarks import machine

    grid = SMALL if arguments.quick else LARGE
    found = {}
    load = load_average()
    for architecture in FAMILIES:
        with tempfile.TemporaryDirectory() as folder:
            write_corpus(Path(folder), grid.at_tokens // grid.length, grid.length)
            found[architecture] = measure(architecture, grid, Path(folder))
    result = {
        "families": found,
        "worth": WORTH,
        "load_average": load,
        "threads": THREADS,
        "machine": machine.facts(),
        "versions": versions(),
        "revision": revision(),
    }
    if not arguments.quick:
        print(write_result(NAME, result))


if __name__ == "__main__":
    main()
