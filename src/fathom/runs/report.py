"""`report.md` of a run: what was trained, what it scores, what it took."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from fathom import files
from fathom.log import format_bytes, format_duration
from fathom.recipe import Recipe
from fathom.runs.prepared import PreparedData
from fathom.tracking.jsonl import METRICS
from fathom.training.diagnostics import gradient_findings


def write_report(folder: Path, recipe: Recipe, data: PreparedData, metrics: Mapping[str, Any]) -> None:
    """Write `report.md` into a run folder."""
    findings: list[str] = []
    if recipe.training.log_gradients != "none":
        lines = (folder / METRICS).read_text(encoding="utf-8").splitlines()
        findings = gradient_findings(json.loads(line) for line in lines)
    files.write_atomic(folder / "report.md", render_report(recipe, data, metrics, findings))


def render_report(recipe: Recipe, data: PreparedData, metrics: Mapping[str, Any], findings: Sequence[str] = ()) -> str:
    """Return the report as Markdown; `findings` are what the logged gradients say."""
    timing, parameters = metrics["timing"], metrics["parameters"]
    share = parameters["trainable"] / parameters["total"]
    lines = [
        f"# {recipe.name}",
        "",
        f"{recipe.task.kind} with {recipe.model.label}, tuning {recipe.tuning.kind}: "
        f"{parameters['trainable']:,} of {parameters['total']:,} parameters trained ({share:.1%}), "
        f"{metrics['steps']:,} steps, {len(data.splits.train):,} training examples."
        f"{_skipped(metrics)}{_other_weights(metrics, recipe)}",
        "",
        *score_table({name: metrics[name] for name in ("before", "validation", "test") if metrics.get(name)}),
        "",
        f"Training took {format_duration(timing['train_seconds'])} "
        f"({timing['real_tokens_per_s']:,.0f} real tokens/s), evaluation "
        f"{format_duration(timing['evaluate_seconds'])}; peak memory {format_bytes(timing['peak_memory_bytes'])}.",
    ]
    final = metrics.get("test") or metrics.get("validation") or {}
    for key in ("per_class", "per_type"):
        if key in final:
            lines += ["", *class_table(final[key])]
    lines += source_table(metrics)
    if findings:
        lines += ["", "## Gradients", "", *(f"- {finding}" for finding in findings)]
    if data.splits.notes:
        lines += ["", "## Data", "", *(f"- {note}" for note in data.splits.notes)]
    return "\n".join(lines) + "\n"


def score_table(splits: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """Return a Markdown table of scores by split."""
    names = list(dict.fromkeys(name for scores in splits.values() for name in scores))
    plain = [name for name in names if all(not isinstance(scores.get(name), Mapping) for scores in splits.values())]
    rows = [f"| score | {' | '.join(splits)} |", f"|---|{'---:|' * len(splits)}"]
    for name in plain:
        cells = [_cell(scores.get(name)) for scores in splits.values()]
        rows.append(f"| {name} | {' | '.join(cells)} |")
    return rows


def class_table(classes: Mapping[str, Mapping[str, float]]) -> list[str]:
    """Return a Markdown table with a line for each class."""
    rows = ["| class | precision | recall | F1 | support |", "|---|---:|---:|---:|---:|"]
    for name, scores in classes.items():
        cells = " | ".join(f"{scores[key]:.3f}" for key in ("precision", "recall", "f1"))
        rows.append(f"| {name} | {cells} | {int(scores['support']):,} |")
    return rows


def source_table(metrics: Mapping[str, Any]) -> list[str]:
    """Return a section on the held-out text of each source, before and after; nothing where there is one source."""
    after = (metrics.get("validation") or {}).get("per_source")
    if not after:
        return []
    before = (metrics.get("before") or {}).get("per_source", {})
    rows = ["", "## Sources", "", "Loss on held-out text of each source; where it rose, the model forgot.", ""]
    rows += ["| source | before | after | change |", "|---|---:|---:|---:|"]
    for source, scores in after.items():
        was, now = before.get(source, {}).get("loss"), scores["loss"]
        change = "" if was is None else f"{now - was:+.4f}"
        rows.append(f"| {source} | {_cell(was)} | {_cell(now)} | {change} |")
    return rows


def _skipped(metrics: Mapping[str, Any]) -> str:
    """Return a sentence on the steps that were left out; nothing where all were made."""
    left_out = metrics.get("skipped_steps", 0)
    if not left_out:
        return ""
    steps = "1 step was" if left_out == 1 else f"{left_out:,} steps were"
    return f" {steps} left out for a bad loss or gradient; `metrics.jsonl` says which."


def _other_weights(metrics: Mapping[str, Any], recipe: Recipe) -> str:
    """Return a sentence where the best weights were to be saved and others were."""
    best, saved = metrics["best_step"], metrics["model_step"]
    if best is None or best == saved or not recipe.training.load_best_model_at_end:
        return ""
    return f" The best weights (step {best:,}) were damaged on disk; those of step {saved:,} are saved."


def _cell(value: Any) -> str:
    return f"{value:.4f}" if isinstance(value, float) else "" if value is None else str(value)
