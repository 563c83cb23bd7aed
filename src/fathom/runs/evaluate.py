"""Scoring a saved model on labelled data: the `evaluate` verb."""

from __future__ import annotations

from typing import Any

from fathom.data.load import load_examples
from fathom.data.section import DataSection
from fathom.errors import DataError
from fathom.log import get_console
from fathom.runs.prepare import encode_split
from fathom.runs.scoring import Scorer, score
from fathom.serving.predictor import Predictor


def evaluate(model: str, data: str, *, batch_size: int = 64, section: DataSection | None = None) -> dict[str, Any]:
    """Score a saved model on a labelled file, with the labels, thresholds and lengths it was saved with.

    Args:
        model: Model folder, or the folder of a run.
        data: File, hub name or `helpdesk:...`, as in a recipe.
        batch_size: Sequences per forward pass; changes no score.
        section: How to read the file; told from the file where left out.

    Returns:
        `loss` and every metric of the model's task, `num_examples`.

    Raises:
        DataError: The file is wrong, unlabelled, or has a label the model does not know; names it.
        ArtifactError: The model folder is damaged.
    """
    predictor = Predictor.load(model)
    examples, notes = load_examples(data, predictor.form, section)
    for note in notes:
        get_console().info(note)
    if not examples:
        raise DataError("no examples", where=data, mend="give a file with at least one labelled row")
    split = (encode_split(predictor.task, examples), examples)
    assert predictor.packed is not None  # packing is on unless asked otherwise
    scorer = Scorer(predictor.model, predictor.packed, predictor.task, batch_size)
    return {"num_examples": len(examples), **score(scorer, split)}
