"""Predicting with a saved model: texts, a file or standard input in; rows, JSONL or CSV out."""

from __future__ import annotations

import csv
import io
import json
import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fathom import files
from fathom.config import validate
from fathom.data.encodings import decode
from fathom.data.example import FILE_KEYS, Example
from fathom.data.load import SUFFIXES, load_examples
from fathom.data.readers.base import Form
from fathom.data.readers.honoured import passed_over
from fathom.data.section import InputSection
from fathom.errors import ConfigError, DataError
from fathom.locks import require_writable
from fathom.log import get_console
from fathom.runs.questions import read_questions

if TYPE_CHECKING:
    from fathom.serving.adapters import Adapters
    from fathom.serving.predictor import Predictor

OUTPUT_SUFFIXES = (".jsonl", ".csv")
VECTOR_SUFFIXES = (".npy", ".safetensors")
"""Of vectors alone, a row for each input: a NumPy array, or a tensor called `embeddings`."""
STANDARD_INPUT = "-"
_INPUT_KEYS = ("text", "text_pair", "words", "head", "tail", "question", "image", "sound")
_ENTITIES = (f"{role}{part}" for role in ("head", "tail") for part in ("", "_start", "_end", "_type"))
INPUT_ROLES = frozenset(
    {"text", "text_pair", "tokens", "context", "question", "image", "sound", "user", "item", "timestamp", "items"}
    | {"source", "messages", "role", "content", "knowledge", "calls", "prompt", "input", "system"}
    | {*_ENTITIES}
)
"""Roles of columns that a prediction needs."""
READ_ALIKE = ("header", "delimiter", "quoting", "word_join")
"""What besides columns holds for files like those of the training."""

Inputs = str | Path | Iterable[str | Mapping[str, Any]]
"""Texts (or mappings with `text` and `text_pair`), the path of a file, or `-`."""


def predict(
    model: str | Path | Predictor | Adapters,
    inputs: Inputs,
    *,
    output: str | Path | None = None,
    probabilities: bool = True,
    read: Mapping[str, Any] | None = None,
    batch_size: int = 64,
) -> list[dict[str, Any]]:
    """Predict with a saved model.

    Args:
        model: A model folder or run, a published encoder that fills masks, a `Predictor`; of `Adapters` each answers.
        inputs: A list of texts (or of mappings with `text` and `text_pair`; for question answering see
            `read_questions`; for reranking two texts are a query and a document); or the path of a file: `.txt` with a
            text per line, or CSV, TSV, JSON, JSONL, Parquet, CoNLL as for training, labels not needed; or `-` for
            lines of standard input.
        output: Write the rows here too, as `.jsonl` or `.csv`; the file appears complete or not at all.
        probabilities: Keep the probability of every label, and every candidate answer.
        read: How the file is read, where that differs from the training files: keys of a recipe's `data:`, such as
            `{"delimiter": ";", "columns": {"text": "body"}}`.
        batch_size: Sequences per forward pass.

    Returns:
        A row for each input, in order: the input's `text`, and the prediction; of a model that writes, see
        `runs.generate.generate_file`; of judged answers, `runs.answers.judge_answers`; of several adapters,
        `runs.adapters.predict_each`.

    Raises:
        DataError: An input is missing or wrong, with file and line.
        ModelError: `model` is no model folder; ArtifactError: a file of it is damaged.
        ConfigError: `output` or `read` is wrong.
    """
    check_output(output, inputs, vectors=True)
    from fathom.runs.adapters import Asked, predict_each
    from fathom.runs.answers import holds_answers, judge_answers
    from fathom.serving.adapters import Adapters
    from fathom.serving.generate.open import generates
    from fathom.serving.predictor import Predictor

    inputs = inputs if isinstance(inputs, str | Path) else list(inputs)
    if isinstance(model, Adapters):
        return predict_each(model, inputs, Asked(read, probabilities, batch_size), output=output)
    if holds_answers(model, inputs, read):
        return judge_answers(model, inputs, output=output, read=read, batch_size=batch_size)
    if not isinstance(model, Predictor) and generates(model):
        from fathom.runs.generate import generate_file, read_prompts
        from fathom.serving.generate.generator import Generator

        generator = Generator.load(model)
        prompts = read_prompts(inputs, generator.info, read)
        return generate_file(generator, prompts, {}, output=output, batch_size=min(batch_size, 16))
    predictor = model if isinstance(model, Predictor) else _open(model)
    _check_asked(predictor, output, read)
    given = _one_of_two(inputs) if predictor.task.reads_two_texts else inputs
    examples = read_inputs(given, predictor.form, how_to_read(predictor.info, read))
    rows = _answer(predictor, examples, probabilities, batch_size)
    if output is not None:
        write_rows(rows, output)
    return rows


def _open(model: str | Path) -> Predictor:
    from fathom.runs.published_task import open_predictor

    return open_predictor(str(model))


def _answer(
    predictor: Predictor, examples: Sequence[Mapping[str, Any]], probabilities: bool, batch_size: int
) -> list[dict[str, Any]]:
    from fathom.runs.preflight import cut_note
    from fathom.serving.predictor import as_example

    for number, example in enumerate(examples, 1):
        predictor.task.check_input(as_example(example, number, predictor.form))
    rows: list[dict[str, Any]] = []
    with get_console().progress(len(examples), "predict") as progress:
        for example, prediction in zip(examples, predictor.predict(examples, batch_size), strict=True):
            rows.append(_row(example, prediction, probabilities))
            progress.update(len(rows))
    cut = sum(1 for row in rows if row.get("truncated"))
    if cut:
        get_console().info(f"{cut_note(cut, len(rows), predictor.task)} (marked truncated)")
    return rows


def read_inputs(inputs: Inputs, form: Form, read: Mapping[str, Any] | None = None) -> list[Mapping[str, Any]]:
    """Return inputs as mappings a predictor takes, each with `where` it is from.

    Args:
        inputs: See `predict`.
        form: What the task takes.
        read: How a file is read: keys of `InputSection`.

    Raises:
        DataError: The file is missing, empty or wrong; names the line.
        ConfigError: `read` has an unknown key or a wrong value.
    """
    if form in FILE_KEYS:
        named = _files(inputs, form)
        if named is not None:
            return named
        assert isinstance(inputs, str | Path)
    if form == "questions" and (not isinstance(inputs, str | Path) or _has_lines(inputs)):
        return read_questions(_read_lines(inputs) if isinstance(inputs, str | Path) else inputs)
    if not isinstance(inputs, str | Path):
        return [given if isinstance(given, Mapping) else _of_text(given, number) for number, given in _numbered(inputs)]
    path = Path(inputs)
    if _has_lines(path):
        return _read_lines(path)
    section = validate(InputSection, {**(read or {}), "train": str(path)}, where="read")
    examples, notes = load_examples(str(path), form, section)
    for note in notes:
        get_console().info(f"{path}: {note}")
    if not examples:
        raise DataError("the file has no rows", where=str(path), mend="give a file with rows")
    return [{key: example[key] for key in (*_INPUT_KEYS, "where") if key in example} for example in examples]


def _files(inputs: Inputs, form: Form) -> list[Mapping[str, Any]] | None:
    """Return files that are named one by one; None for a folder or a table of them."""
    key = FILE_KEYS[form]
    if not isinstance(inputs, str | Path):
        given = list(inputs)
        if len(given) == 1 and isinstance(given[0], str) and Path(given[0]).is_dir():
            return [{key: example[key], "where": example[key]} for example in _of_folder(given[0], form)]
        return [one if isinstance(one, Mapping) else {key: str(one)} for one in given]
    if str(inputs) == STANDARD_INPUT:
        lines = sys.stdin.buffer.read().decode("utf-8", "surrogateescape").splitlines()
        return [{key: line} for line in lines if line.strip()]
    if Path(inputs).is_dir() or Path(inputs).suffix.lower() in SUFFIXES:
        return None
    return [{key: str(inputs)}]


def _of_folder(folder: str, form: Form) -> list[Example]:
    examples, notes = load_examples(folder, form, InputSection(train=folder))
    for note in notes:
        get_console().info(f"{folder}: {note}")
    return examples


def _has_lines(inputs: str | Path) -> bool:
    """Whether a path is read line by line: standard input, or a file of no known format."""
    path = Path(inputs)
    return str(inputs) == STANDARD_INPUT or (path.is_file() and path.suffix.lower() not in SUFFIXES)


def _read_lines(inputs: str | Path) -> list[Mapping[str, Any]]:
    if str(inputs) == STANDARD_INPUT:
        return _lines(sys.stdin.buffer.read(), "standard input")
    try:
        data = Path(inputs).read_bytes()
    except OSError as error:
        mend = "check its permissions"
        raise DataError(f"the file cannot be read: {error.strerror}", where=str(inputs), mend=mend) from None
    return _lines(data, str(inputs))


def how_to_read(info: Mapping[str, Any], read: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """Return how a file of inputs is read: as the training files were, unless `read` says otherwise.

    Args:
        info: `fathom.json` of the model; empty for a plain Hugging Face folder.
        read: Keys of a recipe's `data:`.
    """
    saved = info.get("data", {})
    found = {key: saved[key] for key in READ_ALIKE if saved.get(key) is not None}
    columns = {role: column for role, column in saved.get("columns", {}).items() if role in INPUT_ROLES}
    return {**found, "columns": columns, **(read or {})}


def refuse_passed_over(read: Mapping[str, Any], predictor: Predictor) -> None:
    """Refuse what a user says of reading a file that the model's task would pass over.

    Args:
        read: Keys of a recipe's `data:` that the user wrote.
        predictor: The model.

    Raises:
        ConfigError: Names the keys.
    """
    found = passed_over(read, predictor.form)
    if found:
        kind = predictor.task.kind
        raise ConfigError(f"{kind} does not read {', '.join(found)}", where="read", mend="leave it out")


def write_rows(rows: Sequence[Mapping[str, Any]], output: str | Path) -> None:
    """Write predictions as `.jsonl` or `.csv`, or their vectors alone, complete or not at all.

    In CSV a list is a cell of JSON, and each label's probability is a column of its own.
    """
    suffix = Path(output).suffix.lower()
    if suffix in VECTOR_SUFFIXES:
        files.write_atomic(output, _as_vectors(rows, suffix))
    else:
        files.write_atomic(output, _as_csv(rows) if suffix == ".csv" else _as_json_lines(rows))


def check_output(output: str | Path | None, inputs: Inputs, *, vectors: bool = False) -> None:
    """Check that a file of predictions may be written; `vectors` allows files of vectors too.

    Raises:
        ConfigError: Its name ends neither in `.jsonl` nor in `.csv`, it is a folder, or the input itself.
        InputError: Nothing can be written to its folder.
    """
    if output is None:
        return
    path = Path(output)
    if path.suffix.lower() not in (*OUTPUT_SUFFIXES, *(VECTOR_SUFFIXES if vectors else ())):
        raise ConfigError(f"'{path.name}' is neither .jsonl nor .csv", where="output", mend="name the file so")
    if path.is_dir():
        raise ConfigError("this is a folder", where=str(output), mend="name a file in it")
    if isinstance(inputs, str | Path) and Path(inputs).exists() and path.resolve() == Path(inputs).resolve():
        raise ConfigError("the output would take the place of the input", where=str(output), mend="choose another name")
    require_writable(path.absolute().parent)


def _check_asked(predictor: Predictor, output: str | Path | None, read: Mapping[str, Any] | None) -> None:
    refuse_passed_over(read or {}, predictor)
    if output is None or Path(output).suffix.lower() not in VECTOR_SUFFIXES or predictor.form == "pairs":
        return
    mend = "name it .jsonl or .csv"
    raise ConfigError(f"a model for {predictor.task.kind} gives no vectors", where=str(output), mend=mend)


def _one_of_two(inputs: Inputs) -> Inputs:
    """Two texts by themselves are one input of a task that reads two."""
    if isinstance(inputs, str | Path):
        return inputs
    given = list(inputs)
    if len(given) == 2 and all(isinstance(one, str) for one in given):
        return [{"text": str(given[0]), "text_pair": str(given[1]), "where": "input 1"}]
    return given


def _numbered(inputs: Iterable[Any]) -> Iterable[tuple[int, Any]]:
    return enumerate(inputs, start=1)


def _of_text(given: Any, number: int) -> Mapping[str, Any]:
    if not isinstance(given, str):
        raise DataError(f"{type(given).__name__} is no text", where=f"input {number}", mend="give texts")
    return {"text": given, "where": f"input {number}"}


def _lines(data: bytes, name: str) -> list[Mapping[str, Any]]:
    """One text per line; an empty line is an empty text, so that rows and lines keep step."""
    decoded = decode(data, name)
    for note in decoded.notes:
        get_console().info(f"{name}: {note}")
    lines = decoded.text.replace("\r\n", "\n").split("\n")
    if lines[-1] == "":
        lines.pop()
    if not lines:
        raise DataError("nothing to predict: no line of text", where=name, mend="give a text in each line")
    for number, line in enumerate(lines, start=1):
        if "\x00" in line:
            raise DataError("a NUL character", where=f"{name}:{number}", mend="give a file of text")
    return [{"text": line, "where": f"{name}:{number}"} for number, line in enumerate(lines, start=1)]


def _row(given: Mapping[str, Any], prediction: Mapping[str, Any], probabilities: bool) -> dict[str, Any]:
    left_out = ["logits", "relevances", "others", "rank"]  # what scores are made of
    left_out += [] if probabilities else ["probabilities", "n_best"]
    shown = {key: value for key, value in prediction.items() if key not in left_out}
    if "embedding" in shown:
        # nine digits say a float32 exactly
        shown["embedding"] = [float(f"{number:.9g}") for number in shown["embedding"]]
    if "tags" in shown and "words" in given:
        shown["words"] = [list(span) for span in given["words"]]
    if "question" in given:
        return {"question": given["question"], "context": given.get("text", given.get("context")), **shown}
    return {**{key: given[key] for key in ("text", "text_pair", "image", "sound") if key in given}, **shown}


def _as_json_lines(rows: Sequence[Mapping[str, Any]]) -> str:
    return "".join(json.dumps(row, ensure_ascii=False, allow_nan=False) + "\n" for row in rows)


def _as_vectors(rows: Sequence[Mapping[str, Any]], suffix: str) -> bytes:
    """Return the vectors of all rows as a file, float32 `[rows, D]`."""
    import numpy as np
    from safetensors.numpy import save

    vectors_ND = np.array([row["embedding"] for row in rows], dtype=np.float32)
    if suffix == ".safetensors":
        return save({"embeddings": vectors_ND})
    stream = io.BytesIO()
    np.save(stream, vectors_ND)
    return stream.getvalue()


def _as_csv(rows: Sequence[Mapping[str, Any]]) -> str:
    flat = [_flat(row) for row in rows]
    names = list(dict.fromkeys(name for row in flat for name in row))
    stream = io.StringIO()
    writer = csv.DictWriter(stream, names, restval="", lineterminator="\n")
    writer.writeheader()
    writer.writerows(flat)
    return stream.getvalue()


def _flat(row: Mapping[str, Any]) -> dict[str, Any]:
    cells: dict[str, Any] = {}
    for name, value in row.items():
        if name == "probabilities":
            cells |= {f"probability {label}": number for label, number in value.items()}
        elif isinstance(value, list | dict):
            cells[name] = json.dumps(value, ensure_ascii=False)
        else:
            cells[name] = value
    return cells
