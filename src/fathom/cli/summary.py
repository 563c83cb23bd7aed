"""What `fathom train` prints when a run is finished, or left before its end."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from fathom.cli.tables import table_text
from fathom.log import format_bytes, format_duration

SPLITS = ("before", "validation", "test")
COLUMNS = ("precision", "recall", "f1", "support")
TEXT = "'a text'"
GIVEN = {
    "question-answering": "QUESTION PASSAGE",
    "reranking": "QUERY DOCUMENT",
    "relation-extraction": "'<e1>Ann</e1> lives in <e2>Rome</e2>'",
    "recommendation": "'ITEM ITEM ITEM'",
    "image-classification": "IMAGE",
    "audio-classification": "SOUND",
    "masked-lm": None,
}
"""What `fathom predict` is given, of tasks that take something else than a text; None of those that answer nothing."""
TABLES = ("per_class", "per_type")


def run_text(folder: Path, metrics: Mapping[str, Any]) -> str:
    """Return scores before and after, the table of classes, what the run took, where the model is, what comes next."""
    splits = {name: metrics[name] for name in SPLITS if metrics.get(name)}
    final: Mapping[str, Any] = splits.get("test") or splits.get("validation") or {}
    blocks = [_scores(splits, str(metrics.get("main_metric", "")))]
    blocks += [_classes(final[key]) for key in TABLES if final.get(key)]
    blocks.append(_sources(metrics))
    blocks.append(_effort(metrics))
    model = shlex.quote(str(folder / "model"))
    blocks.append(f"model   {folder / 'model'}\nreport  {folder / 'report.md'}")
    given = GIVEN.get(str(metrics.get("task")), TEXT)
    following = [] if given is None else [f"fathom predict {model} {given}"]
    blocks.append("next    " + "\n        ".join([*following, f"fathom evaluate {model} FILE"]))
    return "\n\n".join(filter(None, blocks))


def paused_text(folder: Path, paused: Mapping[str, Any]) -> str:
    """Return where a run stands that was left before its end."""
    score = "" if paused["score"] is None else f", {paused['score']:.4f} on validation"
    steps = f"step {paused['step']:,} of {paused['total_steps']:,}"
    return f"time is up at {steps}{score}; the same command goes on\nrun     {folder}"


def _scores(splits: Mapping[str, Mapping[str, Any]], main: str) -> str:
    names = dict.fromkeys(
        key for scores in splits.values() for key, value in scores.items() if not isinstance(value, Mapping)
    )
    ordered = sorted(names, key=lambda name: (name != main, name != "loss"))
    rows = [[name, *(_number(scores.get(name)) for scores in splits.values())] for name in ordered]
    return table_text(["score", *splits], rows) if rows else ""


def _classes(classes: Mapping[str, Mapping[str, Any]]) -> str:
    found = dict.fromkeys(column for row in classes.values() for column in row)
    columns = sorted(found, key=lambda column: COLUMNS.index(column) if column in COLUMNS else len(COLUMNS))
    rows = [[name, *(_number(row.get(column)) for column in columns)] for name, row in classes.items()]
    return table_text(["class", *columns], rows)


def _sources(metrics: Mapping[str, Any]) -> str:
    """Loss on the held-out text of each source: where it rose, the model forgot."""
    after = (metrics.get("validation") or {}).get("per_source")
    if not after:
        return ""
    before = (metrics.get("before") or {}).get("per_source", {})
    rows = []
    for source, scores in after.items():
        was, now = before.get(source, {}).get("loss"), scores["loss"]
        rows.append([source, _number(was), _number(now), "" if was is None else f"{now - was:+.4f}"])
    return table_text(["source", "loss before", "loss after", "change"], rows)


def _effort(metrics: Mapping[str, Any]) -> str:
    timing, parameters = metrics.get("timing", {}), metrics.get("parameters", {})
    skipped = f" ({metrics['skipped_steps']:,} left out)" if metrics.get("skipped_steps") else ""
    parts = [f"{metrics['steps']:,} steps{skipped}"] if "steps" in metrics else []
    if parameters:
        parts.append(f"{parameters['trainable']:,} of {parameters['total']:,} parameters learned")
    if "train_seconds" in timing:
        parts.append(f"{format_duration(timing['train_seconds'])} of training")
        parts.append(f"{timing['real_tokens_per_s']:,.0f} real tokens/s")
        parts.append(f"peak memory {format_bytes(timing['peak_memory_bytes'])}")
    return ", ".join(parts)


def _number(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.4f}"
    return "" if value is None else f"{value}"
