"""What should I choose? Strategies side by side with `fathom compare`, and the page that is derived from the result.

Every strategy at its own default learning rate, on a few thousand labelled examples with MiniLM: intents of the
helpdesk, and names in wnut17. `python -m benchmarks.choosing` measures and writes `docs/concepts/choosing.md`;
`--only` measures one of the data sets, `--page` only writes the page. An interrupted comparison goes on where it was.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

from benchmarks.processor import processor_name
from benchmarks.rounds import (
    Figures,
    default_work,
    environment,
    fathom_command,
    read_result,
    revision,
    run_process,
    versions,
    write_result,
)
from benchmarks.settings import THREADS
from benchmarks.sources import REPOSITORY, fathom_data_section, find_source, prepare
from benchmarks.tables import table

NAME = "choosing"
PAGE = REPOSITORY / "docs" / "concepts" / "choosing.md"
STRATEGIES = ("full", "layerwise", "top-layers", "lora", "dora", "adapter", "bitfit", "norms", "ia3", "head")
SEEDS = (1, 2, 3)
WITHIN = {"a point": 0.01, "three points": 0.03}
"""Scores that differ by no more are alike for the advice."""
COSTS = {"train_seconds": "least time", "peak_memory_bytes": "least memory", "artifact_bytes": "smallest model"}


def sections(work: Path) -> dict[str, Figures]:
    """Return what the recipe of each data set says of data and task."""
    prepare(find_source("wnut17"), work)
    names = fathom_data_section(find_source("wnut17"), work)
    intents = {split: f"helpdesk:intents/{split}@en" for split in ("validation", "test")}
    return {
        "helpdesk intents": {
            "data": {"train": "helpdesk:intents/train@en#1500", **intents},
            "task": "text-classification",
        },
        "wnut17 names": {"data": {**names, "train": f"{names['train']}#1500"}, "task": "token-classification"},
    }


def measure(name: str, section: Figures, arguments: argparse.Namespace) -> Any:
    folder = arguments.work / "choosing" / name.replace(" ", "-")
    folder.mkdir(parents=True, exist_ok=True)
    training = {"epochs": arguments.epochs, "threads": arguments.threads, "verify_reload": False}
    recipe = {"model": "minilm", **section, "training": {**training, "evaluate_before": False}}
    path = folder / "recipe.yaml"
    path.write_text(json.dumps(recipe), encoding="utf-8")
    edits = [f"tuning=[{','.join(STRATEGIES)}]", f"training.seed=[{','.join(map(str, arguments.seeds))}]"]
    cache = arguments.work / "fathom-cache"
    command = [*fathom_command(), "compare", str(path), *edits, "--output", str(folder / "compared")]
    command += ["--together", "never"]  # the memory of a trial is its own
    run_process(command, environment(arguments.threads, FATHOM_CACHE=str(cache)))
    return json.loads((folder / "compared" / "comparison.json").read_text(encoding="utf-8"))


def render(result: Figures) -> str:
    """Return the page."""
    parts = [
        "# What should I choose?\n",
        "Written by `python -m benchmarks.choosing` from `benchmarks/results/choosing.json`; do not edit. MiniLM "
        f"({result['processor']}, {result['threads']} thread{'s' * (result['threads'] > 1)}), "
        f"{result['epochs']:g} epochs, 1,500 labelled examples, every strategy at its own default learning rate; "
        "times were taken beside other work. "
        "Two data sets and one small model: measure on yours with "
        "`fathom compare recipe.yaml tuning=[full,lora,top-layers] training.seed=[1,2,3]`.\n",
    ]
    parts.append(_on_all(result["data"]))
    for name, compared in result["data"].items():
        seeds = len(compared["trials"]) // len(compared["groups"])
        parts += [f"## {name}, {seeds} seeds\n", _rows(compared), "", _advice(compared), ""]
    return "\n".join(parts)


def _rows(compared: Figures) -> str:
    rows = []
    for group in compared["groups"]:
        figures = group["figures"]
        deviation = "" if group["deviation"] is None else f" ± {group['deviation']:.3f}"
        rows.append(
            [
                group["settings"]["tuning"],
                f"{group['score']:.3f}{deviation}",
                "-" if group["p_value"] is None else f"{group['p_value']:.3f}",
                f"{figures['trainable']:,.0f}",
                f"{figures['train_seconds']:.0f}",
                f"{figures['peak_memory_bytes'] / 2**20:,.0f}",
                f"{figures['artifact_bytes'] / 1e6:,.1f}",
            ]
        )
    header = [f"tuning, {compared['split']} {compared['metric']}", "score", "chance of luck", "trainable"]
    return table([*header, "training, s", "peak MiB", "model, MB"], rows)


def _advice(compared: Figures) -> str:
    """Say which strategy is best, and which of those alike is cheapest, by every cost."""
    best = compared["groups"][0]
    lines = [f"- Best score: `{best['settings']['tuning']}`, {best['score']:.3f}."]
    for words, margin in WITHIN.items():
        found = []
        for cost, told in COSTS.items():
            least = min(_alike(compared, margin), key=lambda group: group["figures"][cost])
            share = least["figures"][cost] / best["figures"][cost]
            if least is not best:
                found.append(f"{told}: `{least['settings']['tuning']}`, {share:.0%} of what the best took")
        lines.append(f"- Within {words} of it, {'; '.join(found) or 'nothing takes less'}.")
    return "\n".join(lines)


def _alike(compared: Figures, margin: float) -> list[Figures]:
    best = compared["groups"][0]["score"]
    return [group for group in compared["groups"] if best - group["score"] <= margin]


def _on_all(data: Figures) -> str:
    """Say which strategies come near the best on every data set."""
    margin = max(WITHIN.values())
    near = [{group["settings"]["tuning"] for group in _alike(compared, margin)} for compared in data.values()]
    named = ", ".join(f"`{name}`" for name in STRATEGIES if all(name in found for found in near))
    return f"Within three points of the best on every data set: {named or 'none'}.\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--epochs", type=float, default=3.0)
    parser.add_argument("--seeds", type=lambda text: [int(item) for item in text.split(",")], default=list(SEEDS))
    parser.add_argument("--threads", type=int, default=THREADS)
    parser.add_argument("--only", choices=("helpdesk intents", "wnut17 names"))
    parser.add_argument("--page", action="store_true")
    parser.add_argument("--work", type=Path, default=default_work())
    arguments = parser.parse_args()
    if not arguments.page:
        wanted = sections(arguments.work)
        found = dict(read_result(NAME).get("data", {}))
        for name in [arguments.only] if arguments.only else wanted:
            found[name] = measure(name, wanted[name], arguments)
            result = {
                "versions": versions(), "revision": revision(), "epochs": arguments.epochs,
                "threads": arguments.threads, "processor": processor_name(), "data": found,
            }  # fmt: skip
            write_result(NAME, result)
    PAGE.write_text(render(read_result(NAME)), encoding="utf-8")


if __name__ == "__main__":
    main()
