"""Step time against depth and against tokens: is it a straight line?

A training step (gradient of a batch, clipping, optimizer) of a causal language model on windows of one length, by the
objects `fathom train` itself runs, at a fixed width: depth 2 to 24, then tokens 1k to 64k a step. Each point is the
median of several steps after two to warm up, in one process on pinned threads; points are taken in turn, so that a
drift of the machine favours none. A line is fitted by least squares and judged by its R2, which forgives small points:
the largest relative error of a point is given beside it.

`python -m benchmarks.scaling` (about 15 minutes), `--quick` for a smoke test; writes `benchmarks/results/scaling.json`
and `docs/figures/scaling.svg`.
"""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks.settings import THREADS

os.environ.setdefault("OMP_NUM_THREADS", str(THREADS))  # before torch is imported

NAME = "scaling"
NEEDED = 0.99
FIGURE = Path(__file__).resolve().parents[1] / "docs" / "figures" / "scaling.svg"


@dataclass(frozen=True)
class Grid:
    """What is measured."""

    width: int
    length: int
    depths: tuple[int, ...]
    tokens: tuple[int, ...]
    at_tokens: int
    """Tokens of a step while the depth changes."""
    at_depth: int
    """Depth while the tokens change."""
    rounds: int


FULL = Grid(256, 256, (2, 4, 6, 8, 12, 16, 20, 24), (1024, 2048, 4096, 8192, 16384, 32768, 65536), 4096, 4, 7)
QUICK = Grid(64, 64, (2, 4, 8), (256, 512, 1024), 256, 2, 3)


class Bench:
    """One model of the grid, ready to step."""

    def __init__(
        self, grid: Grid, depth: int, tokens: int, folder: Path, architecture: str = "gpt2", task: str = "causal-lm"
    ) -> None:
        import numpy as np

        from fathom.device import probe_machine
        from fathom.recipe import Recipe, resolve
        from fathom.runs.prepare import prepare_data, prepare_model
        from fathom.training.optimizers.staged import open_optimizer

        sequences = tokens // grid.length
        raw = {
            "model": {
                "kind": "new", "architecture": architecture, "depth": depth, "width": grid.width,
                "positions": grid.length, "dropout": 0.0, "tokenizer": str(folder),
            },
            "data": {"train": str(folder / "corpus.txt"), "max_length": grid.length, "validation_fraction": 0},
            "task": task,
            "training": {
                "max_steps": 1000, "batch_size": sequences, "threads": THREADS, "evaluate_before": False, "seed": 1
            },
            "output": str(folder / "run"),
        }  # fmt: skip
        machine = probe_machine()
        recipe = resolve(Recipe.model_validate(raw), machine)
        data = prepare_data(recipe)
        prepared = prepare_model(recipe, data, machine)
        self.work, self.anatomy = prepared.work, prepared.anatomy
        self.work.model.train()
        places = {name: prepared.anatomy.component_of(name) for name in self.work.parameters.slots}
        self.optimizer = open_optimizer(recipe.training.optimizer, self.work.parameters, recipe.training, places)
        assert recipe.training.learning_rate is not None
        self.rate = recipe.training.learning_rate
        whole = np.flatnonzero(self.work.store.lengths == grid.length)
        assert len(whole) >= 1, "the corpus has no whole window"
        self.rows = np.resize(whole, sequences)
        self.precision = recipe.training.precision
        self.step = 0

    def seconds(self) -> float:
        from fathom.training.step import compute_gradient

        started = time.perf_counter()
        result = compute_gradient(self.work, self.rows, self.step)
        self.optimizer.step(self.rate, min(1.0, 1.0 / (result.grad_norm + 1e-6)))
        self.step += 1
        return time.perf_counter() - started


def write_corpus(folder: Path, windows: int, length: int) -> None:
    """Write a text of random words and a tokenizer of whole words; a window for every sequence of the largest step."""
    import random

    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    words = [f"w{number}" for number in range(2000)]
    special = {"pad_token": "<pad>", "unk_token": "<unk>", "eos_token": "<eos>", "mask_token": "<mask>"}
    backend = Tokenizer(models.WordLevel({w: i for i, w in enumerate([*special.values(), *words])}, unk_token="<unk>"))
    backend.pre_tokenizer = pre_tokenizers.Whitespace()
    PreTrainedTokenizerFast(tokenizer_object=backend, **special).save_pretrained(folder)
    chance = random.Random(1)
    lines = (" ".join(chance.choices(words, k=length)) for _ in range(windows + 2))
    (folder / "corpus.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")


def measure(points: Sequence[int], make: Callable[[int], Bench], rounds: int) -> list[dict[str, Any]]:
    """Time every point in turn, round by round."""
    benches = [make(point) for point in points]
    for bench in benches:
        for _ in range(2):
            bench.seconds()
    times = [[bench.seconds() for bench in benches] for _ in range(rounds)]
    found = []
    for at, point in enumerate(points):
        seconds = [row[at] for row in times]
        found.append({"at": point, "seconds": median(seconds), "min": min(seconds), "max": max(seconds)})
        print(f"{point:>8,}: {median(seconds):9.4f} s")
    return found


def fit(points: Sequence[dict[str, Any]]) -> dict[str, float]:
    """Fit a line by least squares and judge it."""
    import numpy as np

    at = np.array([point["at"] for point in points], dtype=float)
    seconds = np.array([point["seconds"] for point in points])
    slope, intercept = np.polyfit(at, seconds, 1)
    rest = seconds - (slope * at + intercept)
    spread = float(((seconds - seconds.mean()) ** 2).sum())
    return {
        "slope_seconds": float(slope),
        "intercept_seconds": float(intercept),
        "r2": 1.0 - float((rest**2).sum()) / spread,
        "largest_relative_error": float(np.abs(rest / seconds).max()),
    }


def plot(result: dict[str, Any], path: Path) -> None:
    """Draw both lines over their points."""
    import matplotlib as mpl

    mpl.use("svg")
    mpl.rcParams.update({"svg.hashsalt": "fathom", "svg.fonttype": "none", "font.size": 9})
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(1, 2, figsize=(9, 3.4), constrained_layout=True)
    titles = {
        "depth": f"blocks ({result['at_tokens']:,} tokens a step)",
        "tokens": f"tokens a step ({result['at_depth']} blocks)",
    }
    for axis, (name, title) in zip(axes, titles.items(), strict=True):
        points, line = result[name]["points"], result[name]["fit"]
        at = [point["at"] for point in points]
        axis.plot(at, [line["slope_seconds"] * x + line["intercept_seconds"] for x in at], color="0.6", linewidth=1)
        axis.plot(at, [point["seconds"] for point in points], "o", color="#1f5fa8", markersize=4)
        axis.set(xlabel=title, ylabel="seconds a step", xlim=(0, None), ylim=(0, None))
        axis.set_title(f"R² = {line['r2']:.5f}", loc="left", fontsize=9)
        axis.spines[["top", "right"]].set_visible(False)
    figure.suptitle(
        f"GPT-2 of width {result['width']}, {result['threads']} threads, {result['precision']}", fontsize=10
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, metadata={"Date": None})
    pyplot.close(figure)


def run(grid: Grid, folder: Path) -> dict[str, Any]:
    """Measure the grid and judge both lines."""
    import torch

    from benchmarks import machine, rounds

    torch.set_num_threads(THREADS)
    folder.mkdir(parents=True, exist_ok=True)
    write_corpus(folder, max(*grid.tokens, grid.at_tokens) // grid.length, grid.length)
    load = rounds.load_average()
    print(f"depth, {grid.at_tokens:,} tokens a step")
    first: list[Bench] = []

    def at_depth(depth: int) -> Bench:
        first.append(Bench(grid, depth, grid.at_tokens, folder))
        return first[-1]

    by_depth = measure(grid.depths, at_depth, grid.rounds)
    precision = first[0].precision
    first.clear()
    print(f"tokens a step, {grid.at_depth} blocks")
    by_tokens = measure(grid.tokens, lambda tokens: Bench(grid, grid.at_depth, tokens, folder), grid.rounds)
    result = {
        "width": grid.width,
        "length": grid.length,
        "at_tokens": grid.at_tokens,
        "at_depth": grid.at_depth,
        "threads": THREADS,
        "precision": precision,
        "load_average": load,
        "needed_r2": NEEDED,
        "depth": {"points": by_depth, "fit": fit(by_depth)},
        "tokens": {"points": by_tokens, "fit": fit(by_tokens)},
        "machine": machine.facts(),
        "versions": rounds.versions(),
        "revision": rounds.revision(),
    }
    for name in ("depth", "tokens"):
        line = result[name]["fit"]  # type: ignore[index]
        verdict = "reached" if line["r2"] >= NEEDED else "missed"
        print(f"{name}: R2 {line['r2']:.5f} ({verdict}), largest error {line['largest_relative_error']:.1%}")
    return result


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="a small grid, to see that it runs; writes nothing")
    parser.add_argument("--work", type=Path, default=None, help="folder for the corpus; left out, a temporary one")
    arguments = parser.parse_args()
    from benchmarks import rounds

    folder = arguments.work or rounds.default_work() / ("scaling-quick" if arguments.quick else "scaling")
    result = run(QUICK if arguments.quick else FULL, folder)
    if arguments.quick:
        plot(result, folder / "scaling.svg")
        return
    print(rounds.write_result(NAME, result))
    plot(result, FIGURE)
    print(FIGURE)


if __name__ == "__main__":
    main()
