"""Write a recipe for a data file: task, columns and settings guessed, nothing asked."""

from __future__ import annotations

import re
import shlex
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from fathom.config import apply_reading_edits, validate, write_yaml
from fathom.data.conversation import text_of
from fathom.data.example import FILE_KEYS, Example
from fathom.data.load import load_examples
from fathom.data.readers.delimited import DELIMITER_NAMES
from fathom.data.section import DataSection
from fathom.errors import ConfigError, DataError
from fathom.files import write_atomic
from fathom.log import get_console
from fathom.runs.data import DEFAULT_TASKS
from fathom.runs.guess import Guess, guess_data
from fathom.runs.guess_files import model_for, split_folders

DEFAULT_MODEL = "minilm"
CHAT_MODEL = "runs/gpt/model"
"""Stands for a decoder: the built-in model is an encoder and cannot answer."""
WRITER_MODEL = "runs/t5/model"
"""Stands for an encoder-decoder."""
ANSWERING_MODEL = "runs/chat/model"
"""Stands for a model that answers already, whose answers are to become better."""
STAND_INS = {"chat": CHAT_MODEL, "preference": ANSWERING_MODEL, "writing": WRITER_MODEL}
ITEM_MODEL = {"kind": "new", "architecture": "gpt2", "depth": 2, "width": 64, "heads": 2, "tokenizer": "items"}
"""Of items there is no pretrained model: each data set has its own."""
ITEM_EPOCHS = 30
"""A new model wants more passes than a pretrained one."""
VALIDATION_NAMES = ("validation", "valid", "val", "dev", "eval")
TEST_NAMES = ("test",)
_HAN = re.compile(r"[\u3400-\u9fff]")


def init(data: str, output: str | Path | None = None, edits: Sequence[str] = ()) -> Path:
    """Read a data file, guess what it is for, write a recipe and say what was guessed and what to run next.

    Args:
        data: A file, or any path a recipe takes under `data.train`.
        output: The recipe to write; left out, the data's name with `.yaml` in the working folder.
        edits: What is known of the data (`data.encoding=big5`, `data.` may be left out); the recipe says it too.

    Returns:
        The recipe's path.

    Raises:
        DataError: The file is missing, damaged, or has no text with labels.
        ConfigError: The recipe exists already, or an edit is wrong.
    """
    name = _run_name(data)
    path = Path(output) if output is not None else Path(f"{name}.yaml")
    if path.exists():
        raise ConfigError("this file exists", where=str(path), mend="remove it, or write elsewhere with --output")
    stated = _stated(data, edits)
    splits = split_folders(data)
    guess = guess_data(splits["train"], stated)
    remarks = _remarks(guess)
    raw = _raw_recipe(splits["train"], guess)
    if guess.form in FILE_KEYS:
        raw["model"], remark = model_for(guess.form, guess.examples)
        if guess.form != "speech":
            raw["task"] = {"kind": raw["task"], "augmentation": "standard"}
        raw["data"] |= splits
        remarks.append(remark)
    if guess.form == "interactions":
        raw["model"] = ITEM_MODEL
        raw["training"] |= {"epochs": ITEM_EPOCHS, "batch_size": 128 if len(guess.examples) >= 1000 else 32}
    if "validation" in splits or guess.form == "interactions":  # there the last items of each user are the splits
        raw["data"].pop("validation_fraction", None)
    command = shlex.join([data, *edits])
    comments = [f"# Written by `fathom init {command}`. Everything here was guessed: look it over."]
    comments += [f"# {remark}" for remark in remarks]
    write_atomic(path, "\n".join(comments) + "\n" + write_yaml(raw))
    console = get_console()
    for line in (*guess.notes, *remarks):
        console.info(line)
    console.info(f"wrote {path}; look it over with: fathom data check {shlex.quote(str(path))}")
    return path


def _stated(data: str, edits: Sequence[str]) -> dict[str, Any]:
    """What edits say of the data, as the section writes it."""
    raw = apply_reading_edits({"train": data}, edits, DataSection)
    said: dict[str, Any] = validate(DataSection, raw, "data").model_dump(mode="json", exclude_unset=True)
    del said["train"]
    if "delimiter" in said:
        said["delimiter"] = DELIMITER_NAMES.get(said["delimiter"], said["delimiter"])
    return said


def _raw_recipe(data: str, guess: Guess) -> dict[str, Any]:
    section: dict[str, Any] = {"train": data, **_siblings(data, guess), **guess.options}
    if "validation" not in section:
        section.setdefault("validation_fraction", 0.1)
    task: Any = "reranking" if guess.problem == "relevance" else DEFAULT_TASKS[guess.form]
    if guess.form == "writing":
        task = guess.problem
    if guess.problem in {"multi-label", "regression"}:
        task = {"kind": task, "problem": guess.problem}
    num_examples = len(guess.examples)
    return {
        "model": STAND_INS.get(guess.form, DEFAULT_MODEL),
        "data": section,
        "task": task,
        "tuning": "full",
        "training": {"epochs": _epochs(num_examples), "batch_size": 32 if num_examples >= 1000 else 16, "seed": 7},
    }


def _epochs(num_examples: int) -> int:
    """Fewer examples need more passes: a head on new labels wants a few hundred steps."""
    steps = ((20_000, 3), (5_000, 4), (1_000, 6), (300, 10))
    return next((epochs for least, epochs in steps if num_examples >= least), 15)


def _siblings(data: str, guess: Guess) -> dict[str, str]:
    """Validation and test files that lie beside a file called like `train.csv`, if they are labelled alike."""
    path = Path(data)
    if not path.is_file() or not re.search("train", path.name, re.IGNORECASE):
        return {}
    found: dict[str, str] = {}
    for split, names in (("validation", VALIDATION_NAMES), ("test", TEST_NAMES)):
        for name in names:
            sibling = path.with_name(re.sub("train", name, path.name, flags=re.IGNORECASE))
            if split not in found and sibling.is_file() and _is_labelled(str(sibling), guess):
                found[split] = str(sibling)
    return found


def _is_labelled(path: str, guess: Guess) -> bool:
    try:
        examples, _ = load_examples(path, guess.form, DataSection(train=path, **guess.options))
    except DataError:
        return False
    known = {"label", "tags", "messages", "text_pair", "references", "answers", "transcript"}
    return any(known & example.keys() for example in examples)


def _remarks(guess: Guess) -> list[str]:
    kinds = {
        "single-label": "one label for each text",
        "multi-label": "any number of labels for each text",
        "regression": "a number for each text",
        "tokens": "spans in text",
        "relations": "a relation for two entities of a text",
        "answers": "a question on a passage, and its answers",
        "conversations": "the turns of a conversation",
        "comparisons": "a prompt with answers that are compared or judged",
        "pairs": "texts that belong together",
        "relevance": "queries, documents and how relevant each is",
        "translation": "a source and its translation",
        "summarization": "a source and what sums it up",
        "files": "one label for each file",
        "interactions": "what users chose, one after another; each user's last items are asked",
        "transcripts": "sounds, and what is spoken in them",
    }
    remarks = [f"{len(guess.examples):,} examples: {kinds[guess.problem]}"]
    if guess.form == "chat":
        remarks.append(f"'{CHAT_MODEL}' stands for your own decoder: a model you pretrained, or one of the hub")
    if guess.form == "preference":
        remarks.append(
            f"'{ANSWERING_MODEL}' stands for your own model: one that answers already, and shall do so better"
        )
    if guess.form == "writing":
        remarks.append(f"'{WRITER_MODEL}' stands for your own model: an encoder-decoder (T5, BART ...) or a decoder")
    counts = _label_counts(guess.examples)
    if guess.problem != "regression" and counts:
        (most, top), (least, bottom) = counts.most_common(1)[0], counts.most_common()[-1]
        remarks.append(f"{len(counts)} labels, from '{most}' ({top:,}) to '{least}' ({bottom:,})")
        if top > 20 * bottom and guess.form in ("text", "relation"):
            remarks.append("the rare labels may want more weight: task.class_weights=balanced")
    if guess.form in FILE_KEYS:
        return remarks
    sample = "".join(text_of(example) for example in guess.examples[:1000])
    if sample and guess.form not in STAND_INS and len(_HAN.findall(sample)) > 0.2 * len(sample):
        remarks.append(
            f"the text is Chinese, of which '{DEFAULT_MODEL}' knows little; where the hub can be reached take "
            "model=google-bert/bert-base-chinese"
        )
    return remarks


def _label_counts(examples: list[Example]) -> Counter[str]:
    counts: Counter[str] = Counter()
    for example in examples:
        label = example.get("label")
        if isinstance(label, list):
            counts.update(label)
        elif label is not None:
            counts[str(label)] += 1
        counts.update(tag[2:] for tag in example.get("tags", ()) if tag.startswith("B-"))
    return counts


def _run_name(data: str) -> str:
    """A name for the recipe: the file's, or its folder's where the file is only called train."""
    path = Path(data.partition("#")[0])
    name = path.stem
    if name.lower() in {"train", "training", "data"} and path.parent.name:
        name = path.parent.name
    return re.sub(r"[^\w.-]+", "-", name).strip("-") or "recipe"
