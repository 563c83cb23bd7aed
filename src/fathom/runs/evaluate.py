"""Scoring a saved model on labelled data: the `evaluate` verb."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import Any

from transformers import PreTrainedModel

from fathom.config import apply_reading_edits, validate
from fathom.data.example import Example
from fathom.data.load import load_examples
from fathom.data.section import DataSection
from fathom.data.store import TokenStore
from fathom.errors import ConfigError, DataError
from fathom.log import get_console
from fathom.model.vocabulary import VocabularyHead
from fathom.runs.corpus import corpus_split
from fathom.runs.media import find_unfit, refuse_unfit
from fathom.runs.predict import refuse_passed_over
from fathom.runs.preflight import cut_note
from fathom.runs.prepare import encode_split
from fathom.runs.prepared import check_rows
from fathom.runs.published_task import open_predictor, set_window
from fathom.runs.reference import attach_saved
from fathom.runs.scoring import Scorer, score
from fathom.serving.predictor import Predictor
from fathom.tasks.base import OpenTask
from fathom.tasks.chat import OpenChat
from fathom.tasks.language_model import OpenLanguageTask


def evaluate(
    model: str, data: str, edits: Iterable[str] = (), *, batch_size: int = 64, generate: int | None = None
) -> dict[str, Any]:
    """Score a saved model on a labelled file, with the labels, thresholds and lengths it was saved with.

    The file is read as the training files were (columns, delimiter, tag scheme ...), unless an edit says otherwise. A
    language model is scored on running text, window by window (`data.max_length` sets their length). So is one that was
    published without `fathom.json`: a decoder, or an encoder with the head of its pretraining.

    Args:
        model: Model folder, or the folder of a run; of a published language model, its folder or hub name.
        data: File, hub name or `helpdesk:...`, as in a recipe.
        edits: Changes to how the file is read, such as `columns.label=topic`.
        batch_size: Sequences per forward pass; changes no score.
        generate: How many answers a model that writes is asked for, a seeded sample; 0 for none. Left out, all, of a
            chat model only where it was trained with `task.generated_examples`.

    Returns:
        `loss` and every metric of the model's task, `num_examples`, and `num_truncated` where there are examples that
        the model did not read to the end.

    Raises:
        DataError: The file is wrong, unlabelled, or has a label the model does not know; names it.
        ConfigError: An edit names a key or a column that the model's task does not read; or answers are asked of a
            model that writes nothing.
        ArtifactError: The model folder is damaged.
    """
    predictor = open_predictor(model)
    _check_writes(predictor.task, generate)
    saved = predictor.info.get("data", {})
    edits = [*edits]
    refuse_passed_over(apply_reading_edits({}, edits, DataSection), predictor)
    section = validate(DataSection, apply_reading_edits({**saved, "train": data}, edits, DataSection), "data")
    task = predictor.task
    assert predictor.packed is not None  # packing is on unless asked otherwise
    vocabulary = predictor.vocabulary or (VocabularyHead(predictor.model) if task.vocabulary else None)
    scorer = Scorer(predictor.model, predictor.packed, task, batch_size, vocabulary, generated=generate)
    if predictor.form == "corpus":
        assert isinstance(task, OpenLanguageTask)
        set_window(predictor, section.max_length)
        windows, notes = corpus_split(section, task)
        for note in notes:
            get_console().info(note)
        if isinstance(predictor.model, PreTrainedModel):  # one that was published may lack rows of added tokens
            check_rows(task.tokenizer, predictor.model, [windows[0]])
        return {"num_examples": len(windows[0]), **score(scorer, windows)}
    split, cut = _labelled(section, predictor)
    split = (attach_saved(predictor, split[0]), split[1])
    if isinstance(task, OpenChat) and generate:
        part = task.part.model_copy(update={"generated_examples": generate})
        scorer = replace(scorer, task=part.open(split[1], task.tokenizer, task.max_length))
    told = {"num_truncated": cut} if cut else {}
    return {"num_examples": len(split[1]), **told, **score(scorer, split)}


def _check_writes(task: OpenTask, generate: int | None) -> None:
    if generate and not (task.writing_metrics or isinstance(task, OpenChat)):
        raise ConfigError(f"a model of {task.kind} writes no answers", where="generate", mend="leave it out")


def _labelled(section: DataSection, predictor: Predictor) -> tuple[tuple[TokenStore, list[Example]], int]:
    """Return the file of `section.train` as a split to score, and how many of its texts are cut."""
    examples, notes = load_examples(section.train, predictor.form, section)
    examples, unfit = find_unfit(predictor.task, examples)
    for note in (*notes, *refuse_unfit(unfit, skip=section.on_error == "skip")):
        get_console().info(note)
    if not examples:
        raise DataError("no examples", where=section.train, mend="give a file with at least one labelled row")
    store = encode_split(predictor.task, examples)
    cut = store.num_truncated
    if cut:
        get_console().info(cut_note(cut, len(examples), predictor.task))
    return (store, examples), cut
