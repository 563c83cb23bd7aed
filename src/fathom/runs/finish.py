"""The end of a run: final scores, the model folder, the proof that it is the trained model, the report."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import save

from fathom import files
from fathom.data.batch import collate_rows, model_inputs
from fathom.data.draw import EVALUATION, Draw
from fathom.data.hidden import digest_tokens
from fathom.data.section import READING
from fathom.data.store import TokenStore
from fathom.device import process_age_seconds
from fathom.log import get_console
from fathom.model.four_bit import num_parameters
from fathom.model.ledger import Ledger
from fathom.model.reload import ReloadProcess, answer_of, verify_reload
from fathom.model.save import save_model
from fathom.recipe import Recipe, recipe_digest
from fathom.runs.environment import environment
from fathom.runs.forecast import Forecast
from fathom.runs.frozen_prefix import FrozenPrefix
from fathom.runs.preflight import cut_note
from fathom.runs.prepare import PreparedModel
from fathom.runs.prepared import PreparedData, examples_digest
from fathom.runs.report import write_report
from fathom.runs.result import write_metrics
from fathom.runs.scoring import Scorer, score
from fathom.runs.shared import Shared
from fathom.runs.windows import WindowExamples
from fathom.training.clock import Clock
from fathom.training.loop import LoopState, Plan
from fathom.training.scores import plain_scores

COUNTS = "examples.safetensors"
"""What each example of a split added to the sums behind the main score, by split: float64 [N, 2] or [N, 3]."""
WRITTEN = "written-{split}.jsonl"
"""What the model wrote for the examples of a split, with their sources and references."""
MODEL = "model"
COMPARED_SEQUENCES = 8
COMPARED_OVER_VOCABULARY = (2, 64)
"""Sequences and tokens of each, where every token has logits over a vocabulary: a quarter of a gigabyte at 256,000
words for both answers together, where whole windows would take more memory than training did."""


@dataclass(frozen=True)
class Outcome:
    """What the loop left."""

    folder: Path
    state: LoopState
    clock: Clock
    peak_bytes: int
    """Of the process, up to the end of the loop."""
    expected: Forecast
    skipped_steps: int = 0
    """Left out because their loss or gradient was bad."""
    model_step: int | None = None
    """After which the weights are that are saved; None for the last."""
    frozen: FrozenPrefix | None = None
    """What came from the cache of frozen blocks."""
    shared: Shared = field(default_factory=Shared)
    """What it shared with other runs of the process."""


def finish(recipe: Recipe, data: PreparedData, prepared: PreparedModel, outcome: Outcome) -> dict[str, Any]:
    """Score, save and verify the trained model; returns what `metrics.json` holds.

    Final scores are computed in float32, as `fathom evaluate` and any other user of the saved weights would.

    Raises:
        ArtifactError: The saved folder, loaded by transformers alone, answers differently.
    """
    work = prepared.work
    work.parameters.release()
    work.compute.remove()
    work.packed.dropout, work.packed.stream_dtype = None, None
    if outcome.frozen is not None:
        outcome.frozen.prefix.remove()
    model = work.model.eval()
    parameters = _parameters(model, outcome.expected.ledger)
    recipe.tuning.fold(model)
    if work.vocabulary is not None:
        work.vocabulary.release()
    settings = recipe.training
    scorer = Scorer(model, work.packed, data.task, settings.eval_batch_size, work.vocabulary)
    scores, digests = _score_splits(scorer, data, outcome.folder)
    metrics = {
        "recipe_digest": recipe_digest(recipe),
        "task": recipe.task.kind,
        "tuning": recipe.tuning.kind,
        "main_metric": data.task.main_metric,
        "steps": outcome.state.step,
        "skipped_steps": outcome.skipped_steps,
        "best_step": outcome.state.best_step,
        "model_step": outcome.state.step if outcome.model_step is None else outcome.model_step,
        "stopped_early": outcome.state.stopped_early,
        "before": outcome.state.before,
        **scores,
        "examples": digests,
        "parameters": parameters,
        **({} if outcome.frozen is None else {"frozen_cache": outcome.frozen.facts}),
        "forecast": outcome.expected.to_json(),
        **({} if outcome.shared.together == 1 else {"together": outcome.shared.together}),
        "measured": _measured(outcome, parameters["trainable"]),
        "timing": _timing(outcome, Plan.of(settings, work.num_sequences).steps_per_epoch),
    }
    if outcome.shared.together == 1 and outcome.shared.earlier == 0:  # a new process is what forecasts are made for
        outcome.expected.remember(outcome.clock, outcome.peak_bytes)
    folder = outcome.folder
    work.packed.remove()
    if work.vocabulary is not None:
        work.vocabulary.remove()
    _save(recipe, data, prepared, (folder / MODEL, metrics))
    metrics["measured"] |= outcome.expected.judge_disk(folder)
    if recipe.training.verify_reload:
        metrics["reload_difference"] = _verify(data, prepared, folder / MODEL, outcome.shared.fresh)
    files.write_json(folder / "environment.json", environment())
    write_report(folder, recipe, data, metrics)
    return write_metrics(folder, finite(metrics))  # last: a run with this file is finished


def _score_splits(scorer: Scorer, data: PreparedData, folder: Path) -> tuple[dict[str, Any], dict[str, str]]:
    """Score every split, and keep what each example added to its main score, for comparisons.

    The digests are of the examples of each split that is kept: results are paired where they are equal.
    """
    scores: dict[str, Any] = {}
    digests: dict[str, str] = {}
    kept: dict[str, torch.Tensor] = {}
    for name in ("validation", "test"):
        split = data.split(name)
        if split is None:
            continue
        counts: list[tuple[float, ...]] = []
        written: list[dict[str, Any]] = []
        most = data.task.generated_examples if name == "validation" else None
        chosen = replace(scorer, generated=most)
        scores[name] = score(chosen, split, counts, written)
        if name == "validation" and data.task.settle(scores[name]):
            counts.clear()
            scores[name] = score(chosen, split, counts)
        cut = split[0].num_truncated if isinstance(split[0], TokenStore) else 0
        if cut:
            scores[name]["num_truncated"] = cut
            get_console().info(f"{name}: {cut_note(cut, len(split[1]), data.task)}")
        if written:
            lines = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in written)
            files.write_atomic(folder / WRITTEN.format(split=name), lines)
        if counts:
            kept[name] = torch.tensor(counts, dtype=torch.float64)
            # of a corpus the windows are the examples, and they are the tokenizer's
            windows = isinstance(split[1], WindowExamples)
            digests[name] = digest_tokens(split[0], ("input_ids",)) if windows else examples_digest(split[1])
    if kept:
        files.write_atomic(folder / COUNTS, save(kept))
    return scores, digests


def finite(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return JSON with null in the place of NaN and infinity, which JSON does not have."""
    result: dict[str, Any] = {}
    for name, value in values.items():
        if isinstance(value, Mapping):
            result[name] = finite(value)
        else:
            result[name] = None if isinstance(value, float) and not math.isfinite(value) else value
    return result


def _parameters(model: torch.nn.Module, ledger: Ledger) -> dict[str, Any]:
    """Count the parameters, and by the ledger those that began to learn at each depth in each component."""
    total = num_parameters(model)
    trainable = sum(parameter.numel() for parameter in model.parameters() if parameter.requires_grad)
    rows = [row for row in ledger.rows if row.trainable]
    places = [{"depth": row.depth, "component": row.component, "trainable": row.trainable} for row in rows]
    return {"total": total, "trainable": trainable, "num_blocks": ledger.num_blocks, "places": places}


def _measured(outcome: Outcome, trainable: int) -> dict[str, Any]:
    """Judge the forecast; the steps of a run that shares its passes are not those that were forecast."""
    found = outcome.expected.judge(outcome.peak_bytes, trainable, outcome.clock)
    if outcome.shared.together > 1:
        found.pop("step_seconds_error", None)
    return found


def _timing(outcome: Outcome, steps_per_epoch: int) -> dict[str, float]:
    clock, began = outcome.clock, outcome.shared.began_seconds
    once = 0.0 if outcome.frozen is None else float(outcome.frozen.facts["computed_seconds"])
    seconds = clock.train_seconds + once  # what was computed before the first step is training too
    timing = {
        "train_seconds": seconds,
        "evaluate_seconds": clock.evaluate_seconds,
        "save_seconds": clock.save_seconds,
        "total_seconds": process_age_seconds() - began,
        "real_tokens": clock.tokens,
        "real_tokens_per_s": clock.tokens / seconds if clock.tokens else 0.0,
        "peak_memory_bytes": outcome.peak_bytes,
    }
    if clock.steps:
        timing["seconds_per_epoch"] = clock.train_seconds / clock.steps * steps_per_epoch
    if clock.seconds_to_first_step is not None:
        timing["seconds_to_first_step"] = clock.seconds_to_first_step - began
    return timing


def _save(recipe: Recipe, data: PreparedData, prepared: PreparedModel, place: tuple[Path, dict[str, Any]]) -> None:
    folder, metrics = place
    task = data.task
    judged = {name: finite(plain_scores(metrics[name])) for name in ("before", "validation", "test") if name in metrics}
    info = {
        "task": {"kind": task.kind, **task.state()},
        "base_model": recipe.model.label,
        "auto_class": task.auto_class,
        "max_length": task.max_length,
        "recipe_digest": metrics["recipe_digest"],
        "data_digests": dict(data.splits.digests),
        "data": recipe.data.model_dump(mode="json", include=set(READING)),
        "metrics": judged,
        **({"generation": dict(task.generation)} if task.generation else {}),
        "lineage": [
            {"step": "train", "base_model": recipe.model.label, "tuning": recipe.tuning.kind, "steps": metrics["steps"]}
        ],
    }
    beside = task.files(prepared.work.packed.model.config)
    save_model(prepared.model, data.tokenizer, folder, info, replace=True, beside=beside)


def _verify(data: PreparedData, prepared: PreparedModel, folder: Path, fresh: ReloadProcess | None) -> float:
    """Compare the saved folder, loaded by transformers alone in a fresh process, with the model in memory."""
    inputs = _compared_inputs(data, prepared)
    with torch.inference_mode():
        device = next(prepared.model.parameters()).device
        output = prepared.model(**{name: value.to(device) for name, value in inputs.items()})
    difference = verify_reload(folder, data.task.auto_class, inputs, answer_of(output).cpu(), fresh=fresh)
    get_console().info(f"the saved model, loaded by transformers alone, gives the same logits (to {difference:.0e})")
    return difference


def _compared_inputs(data: PreparedData, prepared: PreparedModel) -> dict[str, torch.Tensor]:
    store = data.stores["validation" if "validation" in data.stores else "train"]
    sequences, tokens = COMPARED_OVER_VOCABULARY if data.task.vocabulary else (COMPARED_SEQUENCES, None)
    rows = list(range(min(sequences, len(store))))
    if "input_ids" not in store[0]:
        return model_inputs(data.task.make_batch([store[row] for row in rows], Draw(0, EVALUATION, np.array(rows))))
    inputs = model_inputs(collate_rows(store, rows, data.tokenizer.pad_token_id or 0))
    # padding is on the right; an example of several texts may be longer than the model's positions
    longest = min(tokens or data.task.max_length, data.task.max_length)
    inputs = {name: value[:, :longest] for name, value in inputs.items()}
    if prepared.work.packed.model.config.is_encoder_decoder:
        inputs["decoder_input_ids"] = inputs["input_ids"].clone()  # any tokens do: both models get the same
    return inputs
