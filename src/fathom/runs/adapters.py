"""Predicting with several adapters over one base: every adapter's answer side by side, or one answer of a mixture."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from fathom.errors import ModelError
from fathom.runs.generate import generate_file, read_prompts
from fathom.runs.predict import STANDARD_INPUT, Inputs, check_output, how_to_read, predict, read_inputs, write_rows
from fathom.serving.adapters import Adapters, Choice
from fathom.serving.generate.generator import Generator
from fathom.serving.predictor import Predictor

Rows = list[dict[str, Any]]


@dataclass(frozen=True)
class Asked:
    """How inputs are read, and what is told of each answer."""

    read: Mapping[str, Any] | None = None
    """Keys of a recipe's `data:`, where the file differs from the training files."""
    probabilities: bool = True
    """Keep the probability of every label."""
    batch_size: int | None = None
    """Sequences at once; 64, or 16 for models that write."""
    writing: Mapping[str, Any] = field(default_factory=dict)
    """Options of generation, for models that write."""


def predict_each(
    adapters: Adapters,
    inputs: Inputs,
    asked: Asked,
    *,
    weights: Sequence[float] | None = None,
    output: str | Path | None = None,
) -> Rows:
    """Answer inputs with every adapter, or with all of them mixed.

    Args:
        adapters: Of tasks that read the same kind of input.
        inputs: See `runs.predict.predict`.
        asked: How they are read.
        weights: One for each adapter: their weighted sum answers, once. Left out, each answers.
        output: Write the rows here too, as `.jsonl` or `.csv`; the file appears complete or not at all.

    Returns:
        For each input, in order, a row of each adapter with its name as `adapter`; or a row of the mixture.

    Raises:
        ModelError: Some of the adapters write and some do not, they read different things, or they cannot be mixed.
        DataError: An input is missing or wrong, with file and line.
    """
    check_output(output, inputs)
    choices: list[Choice] = [*adapters.names]
    if weights is not None:
        if len(weights) != len(adapters.names):
            raise ModelError(
                f"{len(adapters.names)} adapters and {len(weights)} weights", where="weights", mend="give one for each"
            )
        choices = [dict(zip(adapters.names, weights, strict=True))]
    answers = _write if adapters.writes else _predict
    rows = answers(adapters, choices, inputs, asked)
    if weights is not None:
        rows = [{name: value for name, value in row.items() if name != "adapter"} for row in rows]
    if output is not None:
        write_rows(rows, output)
    return rows


def _predict(adapters: Adapters, choices: Sequence[Choice], inputs: Inputs, asked: Asked) -> Rows:
    predictors = [adapters.predictor(choice) for choice in choices]
    first = predictors[0]
    _require_one([predictor.form for predictor in predictors])
    if str(inputs) == STANDARD_INPUT:  # it can be read once only
        inputs = read_inputs(inputs, first.form, how_to_read(first.info, asked.read))

    def answer(predictor: Predictor) -> Rows:
        told: dict[str, Any] = {"probabilities": asked.probabilities, "read": asked.read}
        return predict(predictor, inputs, batch_size=asked.batch_size or 64, **told)

    return _side_by_side(choices, [answer(predictor) for predictor in predictors])


def _write(adapters: Adapters, choices: Sequence[Choice], inputs: Inputs, asked: Asked) -> Rows:
    generators = [adapters.generator(choice) for choice in choices]
    _require_one([str(generator.info.get("task", {}).get("kind")) for generator in generators])
    prompts = read_prompts(inputs, generators[0].info, asked.read)

    def answer(generator: Generator) -> Rows:
        return generate_file(generator, prompts, asked.writing, batch_size=asked.batch_size or 16)

    return _side_by_side(choices, [answer(generator) for generator in generators], len(prompts))


def _require_one(kinds: Sequence[str]) -> None:
    if len({*kinds}) > 1:
        raise ModelError(
            f"these adapters read different things: {', '.join(dict.fromkeys(kinds))}",
            where="adapters",
            mend="predict with those of one kind at a time",
        )


def _side_by_side(choices: Sequence[Choice], answers: Sequence[Rows], num_inputs: int | None = None) -> Rows:
    """Return the rows of all adapters, those of one input together."""
    each = len(answers[0]) // num_inputs if num_inputs else 1
    rows: Rows = []
    for first in range(0, len(answers[0]), each):
        for choice, found in zip(choices, answers, strict=True):
            rows += [{"adapter": choice, **row} for row in found[first : first + each]]
    return rows
