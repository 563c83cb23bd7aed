"""What frozen blocks save: a head on features computed once, and trials that share a cache."""

from __future__ import annotations

from benchmarks.rounds import read_result
from benchmarks.tables import span, table

TRIALS = {
    "trials-top-2": "top 2 blocks, four rates by two seeds",
    "trials-lora": "LoRA, four ranks by two seeds",
}


def render_head() -> str:
    """Return the table of training only the head; empty where it is not measured."""
    result = read_result("head-only")
    if "summary" not in result:
        return ""
    summary = result["summary"]
    titles = {"default": "features, scikit-learn", "tuned": "the same, bf16 and sorted", "fathom": "Fathom, 10 epochs"}
    rows = [
        [title, span(summary["train_seconds"][peer], 1), f"{summary['accuracy'][peer]['median']:.4f}"]
        for peer, title in titles.items()
    ]
    ratios = ", ".join(f"{key.replace('_', ' ')} {span(value)}" for key, value in summary["ratios"].items())
    return (
        f"Only the head of MiniLM learns, banking77; imports not counted; {len(result['rounds'])} rounds. "
        f"Times as fast: {ratios} (needed {summary['needed']:g}: {summary['verdict']}).\n\n"
        + table(["", "training, s", "accuracy on dev"], rows)
    )


def render_trials() -> str:
    """Return the table of eight trials beside eight Trainer runs; empty where none is measured."""
    rows = []
    for name, told in TRIALS.items():
        result = read_result(name)
        if "summary" not in result:
            continue
        summary = result["summary"]
        rows.append(
            [
                told,
                *(span(summary["seconds"][peer], 0) for peer in ("tuned", "fathom")),
                *(f"{summary['mean_f1'][peer]:.4f}" for peer in ("tuned", "fathom")),
                span(summary["ratios"]["faster_than_tuned"]),
                f"{summary['needed']:g}: {summary['verdict']}",
                str(len(result["rounds"])),
            ]
        )
    if not rows:
        return ""
    header = [
        "eight trials, wnut17",
        "Trainer tuned, s",
        "fathom compare, s",
        "mean F1",
        "mean F1",
        "times",
        "needed",
        "rounds",
    ]
    told = (
        "Whole processes, start and scoring included; frozen blocks are computed once for all eight. The LoRA trials "
        "are not of equal quality (the Trainer's found no entity with one of the two seeds, which is not explained), "
        "so their ratio is of speed alone."
    )
    return f"{told}\n\n{table(header, rows)}"
