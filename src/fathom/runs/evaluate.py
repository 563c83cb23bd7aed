"""Scoring a saved model on labelled data: the `evaluate` verb."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from fathom.config import apply_edits, validate
from fathom.data.load import load_examples
from fathom.data.section import DataSection
from fathom.errors import DataError
from fathom.log import get_console
from fathom.runs.prepare import encode_split
from fathom.runs.scoring import Scorer, score
from fathom.serving.predictor import Predictor


def evaluate(model: str, data: str, edits: Iterable[str] = (), *, batch_size: int = 64) -> dict[str, Any]:
    """Score a saved model on a labelled file, with the labels, thresholds and lengths it was saved with.

    The file is read as the training files were (columns, delimiter, tag scheme ...), unless an edit says otherwise.

    Args:
        model: Model folder, or the folder of a run.
        data: File, hub name or `helpdesk:...`, as in a recipe.
        edits: Changes to how the file is read, such as `columns.label=topic`.
        batch_size: Sequences per forward pass; changes no score.

    Returns:
        `loss` and every metric of the model's task, `num_examples`, and `num_truncated` where there are examples that
        the model did not read to the end.

    Raises:
        DataError: The file is wrong, unlabelled, or has a label the model does not know; names it.
        ArtifactError: The model folder is damaged.
    """
    predictor = Predictor.load(model)
    saved = predictor.info.get("data", {})
    section = validate(DataSection, apply_edits({**saved, "train": data}, edits, DataSection), "data")
    examples, notes = load_examples(data, predictor.form, section)
    for note in notes:
        get_console().info(note)
    if not examples:
        raise DataError("no examples", where=data, mend="give a file with at least one labelled row")
    split = (encode_split(predictor.task, examples), examples)
    cut = split[0].num_truncated
    if cut:
        get_console().info(
            f"{cut:,} of {len(examples):,} texts are longer than {predictor.task.max_length} tokens and were not read "
            "to their end"
        )
    assert predictor.packed is not None  # packing is on unless asked otherwise
    scorer = Scorer(predictor.model, predictor.packed, predictor.task, batch_size)
    told = {"num_truncated": cut} if cut else {}
    return {"num_examples": len(examples), **told, **score(scorer, split)}
