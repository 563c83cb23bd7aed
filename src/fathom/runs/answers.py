"""Judging answers with a saved model of preferences: what it finds of each, and which it prefers."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fathom.config import validate
from fathom.data.conversation import ANSWERS
from fathom.data.example import Example
from fathom.data.load import SUFFIXES, load_examples
from fathom.data.readers.base import Request
from fathom.data.readers.collect import collect
from fathom.data.readers.columns import find_columns
from fathom.data.readers.problems import Problems
from fathom.data.section import DataSection
from fathom.errors import DataError
from fathom.log import get_console
from fathom.runs.guess_preference import answers_in
from fathom.runs.guess_table import Source

if TYPE_CHECKING:
    from fathom.runs.predict import Inputs
    from fathom.serving.predictor import Predictor


def holds_answers(model: str | Path | Predictor, inputs: Inputs, read: Mapping[str, Any] | None = None) -> bool:
    """Whether a model of preferences is given answers to judge, not prompts to answer.

    Args:
        model: A model folder, the folder of a run, or a `Predictor` already loaded, which answers no prompts.
        inputs: See `runs.predict.predict`.
        read: How a file is read, where that differs from the training files: keys of a recipe's `data:`.
    """
    from fathom.serving.generate.open import saved_info
    from fathom.serving.predictor import Predictor

    if isinstance(model, Predictor):
        return model.form == "preference"
    info = saved_info(model)
    if info.get("task", {}).get("kind") != "preference":
        return False
    if not isinstance(inputs, str | Path):
        return any(isinstance(item, Mapping) and set(ANSWERS) & item.keys() for item in list(inputs)[:1])
    path = Path(str(inputs).partition("#")[0])
    if path.suffix.lower() not in SUFFIXES or not path.is_file():
        return False
    mapped = {**info.get("data", {}), **(read or {})}.get("columns", {})
    return bool(set(ANSWERS) & mapped.keys()) or answers_in(Source(str(path))) is not None


def judge_answers(
    model: str | Path | Predictor,
    inputs: Inputs,
    *,
    output: str | Path | None = None,
    read: Mapping[str, Any] | None = None,
    batch_size: int = 64,
) -> list[dict[str, Any]]:
    """Judge pairs of answers, or single ones.

    Args:
        model: A model folder, the folder of a run, or a `Predictor` already loaded.
        inputs: The path of a file as for training, or mappings with `prompt` (a text, or turns) and `chosen` and
            `rejected`, or `completion`; verdicts are not needed.
        output: Write the rows here too, as `.jsonl` or `.csv`; the file appears complete or not at all.
        read: How a file is read, where that differs from the training files: keys of a recipe's `data:`.
        batch_size: Sequences per forward pass.

    Returns:
        A row for each input, in order: `prompt` (its last turn), the answers, and what `decode` of the task says.

    Raises:
        DataError: An input is missing or wrong, with file and line.
    """
    from fathom.model.vocabulary import VocabularyHead
    from fathom.runs.predict import write_rows
    from fathom.runs.prepare import encode_split
    from fathom.runs.reference import attach_saved
    from fathom.runs.scoring import Scorer, predict_split
    from fathom.serving.predictor import Predictor

    predictor = model if isinstance(model, Predictor) else Predictor.load(model)
    examples = _read(inputs, predictor.info.get("data", {}), read)
    store = attach_saved(predictor, encode_split(predictor.task, examples))
    assert predictor.packed is not None  # packing is on unless asked otherwise
    head = VocabularyHead(predictor.model)
    scorer = Scorer(predictor.model, predictor.packed, predictor.task, batch_size, head)
    rows: list[dict[str, Any]] = []
    try:
        with get_console().progress(len(examples), "predict") as progress:
            for example, prediction in predict_split(scorer, (store, examples)):
                answers = {name: example[name] for name in ANSWERS if name in example}
                found = {name: value for name, value in prediction.items() if name != "sums"}
                rows.append({"prompt": example["messages"][-1]["content"], **answers, **found})
                progress.update(len(rows))
    finally:
        head.remove()
    if output is not None:
        write_rows(rows, output)
    return rows


def _read(inputs: Inputs, saved: Mapping[str, Any], read: Mapping[str, Any] | None) -> list[Example]:
    asked = dict(read or {})
    if isinstance(inputs, str | Path):
        section = validate(DataSection, {**saved, "train": str(inputs), **asked}, where="predict")
        examples, notes = load_examples(str(inputs), "preference", section)
        for note in notes:
            get_console().info(f"{inputs}: {note}")
        return examples
    given = [dict(item) for item in inputs if isinstance(item, Mapping)]
    if not given:
        raise DataError("no answers to judge", where="inputs", mend="give mappings with prompt, chosen and rejected")
    section = validate(DataSection, {"train": "inputs", **asked}, where="predict")
    request = Request("preference", section, Problems("input"))
    names = list(dict.fromkeys(str(key) for item in given for key in item))
    layout = find_columns(names, request)
    rows = [(number, [item.get(name) for name in names]) for number, item in enumerate(given, 1)]
    return collect(rows, len(rows), layout, request)[0]
