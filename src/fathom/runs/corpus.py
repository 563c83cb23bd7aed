"""Running text for language models: from files to tokens on disk, windows and splits."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any

import numpy as np
from transformers import PreTrainedTokenizerBase

from fathom.data.corpus.build import CorpusRequest, open_or_build_corpus
from fathom.data.corpus.encoding import FastEncoder
from fathom.data.corpus.mixture import JoinedWindows
from fathom.data.corpus.repeats import repeated_share
from fathom.data.corpus.store import CorpusStore
from fathom.data.corpus.windows import Spans, all_spans
from fathom.data.load import Splits
from fathom.data.section import DataSection
from fathom.data.sequences import Sequences
from fathom.errors import ConfigError, DataError
from fathom.log import format_bytes
from fathom.recipe import Recipe
from fathom.runs.held_out import hold_out, refuse_repeated
from fathom.runs.mixing import mix
from fathom.runs.prepared import PreparedData, check_head, check_strategy, longest
from fathom.runs.windows import FramedWindows, PairWindows, SinglePieces, WindowExamples, apart, together
from fathom.tasks.language_model import OpenLanguageTask
from fathom.tasks.masked_lm import OpenMaskedLm

DEFAULT_WINDOW = 512
"""Tokens of a window where neither the recipe nor a shorter model says."""
EVALUATION_SEED = 0
"""Of the pairs of passages a model is scored on: the same for every run, so that runs can be compared."""
SENTENCE_ENDS = (".", "!", "?", "。", "！", "？", "…", ";", "；", "\n", "Ċ")


def prepare_corpus(recipe: Recipe, tokenizer: PreTrainedTokenizerBase) -> PreparedData:
    """Encode a corpus (or map what an earlier run encoded) and lay windows over it.

    Raises:
        DataError: A source is missing, wrong, empty, or too small to be split; or a split repeats the training text.
        ConfigError: A source of the mixture would never be read, the window is longer than the model has positions, or
            the task knows no `pack_documents: false`.
    """
    task = _open_task(recipe, tokenizer)
    section = recipe.data
    _check_packing(section, task)
    weights = {section.train: 1.0, **section.mixture}
    corpora = {source: encode_corpus(section, task, source) for source in weights}
    digests = {"train": hashlib.sha256("".join(store.key for store in corpora.values()).encode()).hexdigest()}
    spans, notes = hold_out(section, corpora)
    laid = _lay_windows(recipe, task, corpora, spans)
    for name, path in (("validation", section.validation), ("test", section.test)):
        if path is not None:
            store = encode_corpus(section, task, path)
            digests[name] = store.key
            laid[name] = {path: _windows(section, task, path, store, all_spans(store))}
            learnt = [(corpora[source], spans["train"][source]) for source in corpora]
            notes += refuse_repeated(section, name, path, repeated_share(learnt, (store, all_spans(store))))
    sampler, told = mix(weights, laid["train"], recipe)
    notes = [note for source, store in corpora.items() for note in describe(source, store)] + notes + told
    stores = {name: _join(list(parts.values())) for name, parts in laid.items()}
    notes += [f"{name}: {len(found):,} windows, {found.num_tokens:,} tokens" for name, found in stores.items()]
    examples: dict[str, Any] = {
        name: WindowExamples(stores[name], task, {source: len(found) for source, found in parts.items()})
        for name, parts in laid.items()
    }
    loaded = Splits(examples["train"], examples.get("validation", []), examples.get("test", []), tuple(notes), digests)
    return PreparedData(loaded, tokenizer, task, stores, sampler)


def _open_task(recipe: Recipe, tokenizer: PreTrainedTokenizerBase) -> OpenLanguageTask:
    length = longest(recipe, tokenizer)
    if recipe.data.max_length is None:
        length = min(length, DEFAULT_WINDOW)
    task = recipe.task.open([], tokenizer, length)
    assert isinstance(task, OpenLanguageTask)
    check_head(recipe, tokenizer, task)
    check_strategy(recipe, tokenizer, task)
    return task


def _lay_windows(
    recipe: Recipe,
    task: OpenLanguageTask,
    corpora: Mapping[str, CorpusStore],
    spans: Mapping[str, Mapping[str, Spans]],
) -> dict[str, dict[str, Sequences]]:
    """Lay windows over every source and over what is held out of it."""
    section, seed = recipe.data, recipe.training.seed
    laid: dict[str, dict[str, Sequences]] = {"train": {}}
    for source, store in corpora.items():
        if source in spans["validation"]:
            held = spans["validation"][source]
            laid.setdefault("validation", {})[source] = _windows(section, task, source, store, held)
        laid["train"][source] = _windows(section, task, source, store, spans["train"][source], seed=seed)
    return laid


def corpus_split(section: DataSection, task: OpenLanguageTask) -> tuple[tuple[Sequences, WindowExamples], list[str]]:
    """Return the text of `section.train` as a split to score, and what was noticed; nothing is held out.

    Raises:
        DataError: The source is missing, wrong or empty.
        ConfigError: The task knows no `pack_documents: false`.
    """
    _check_packing(section, task)
    store = encode_corpus(section, task, section.train)
    windows = _windows(section, task, section.train, store, all_spans(store))
    return (windows, WindowExamples(windows, task, {section.train: len(windows)})), describe(section.train, store)


def encode_corpus(section: DataSection, task: OpenLanguageTask, source: str) -> CorpusStore:
    """Return the token store of one source."""
    backend: Any = task.tokenizer
    written = backend.backend_tokenizer.to_str()
    vocabulary = max(task.tokenizer.get_vocab().values()) + 1
    request = CorpusRequest(
        sources=(source,),
        section=section,
        tokenizer=hashlib.sha256(written.encode()).hexdigest(),
        vocabulary_size=vocabulary,
        end_of_document=task.end_of_document,
        filters=section.filters,
    )
    return open_or_build_corpus(request, FastEncoder(written))


def describe(source: str, store: CorpusStore) -> list[str]:
    """Say what a source held and what its filters left out."""
    facts = store.facts
    notes = [
        f"{source}: {facts['documents_read']:,} documents, {facts['characters']:,} characters "
        f"({format_bytes(facts['bytes'])}), {store.num_tokens:,} tokens"
    ]
    removed = {kind: count for kind, count in facts["removed"].items() if count}
    if removed:
        notes.append(f"{source}: left out: " + ", ".join(f"{kind} {count:,}" for kind, count in removed.items()))
    return notes


def _check_packing(section: DataSection, task: OpenLanguageTask) -> None:
    """Refuse `pack_documents: false`, before anything is encoded, where windows hold one document each anyway."""
    if section.pack_documents or (task.joins_documents and not _reads_pairs(task)):
        return
    how = "pairs of passages" if _reads_pairs(task) else "each document by itself"
    raise ConfigError(
        f"{task.kind} reads {how}: there is no stream of documents to cut",
        where="data.pack_documents",
        mend="leave it out",
    )


def _reads_pairs(task: OpenLanguageTask) -> bool:
    return isinstance(task, OpenMaskedLm) and task.part.sentence_objective != "none"


def _windows(
    section: DataSection,
    task: OpenLanguageTask,
    source: str,
    store: CorpusStore,
    spans: Spans,
    *,
    seed: int = EVALUATION_SEED,
) -> FramedWindows:
    """Lay windows over a split as its task reads them; `seed` chooses pairs of passages, where it reads pairs."""
    before, after = (np.asarray(side, dtype=np.int32) for side in task.frame)
    room = task.max_length - len(before) - len(after)
    found: FramedWindows
    if isinstance(task, OpenMaskedLm) and _reads_pairs(task):
        vocabulary = task.tokenizer.get_vocab()
        ends = np.array([vocabulary[end] for end in SENTENCE_ENDS if end in vocabulary], dtype=np.int64)
        swapped = task.part.sentence_objective == "sentence-order"
        found = PairWindows(store, apart(spans, room - len(after)), before, after, swapped, ends, seed)
    elif task.joins_documents:
        plan = together(spans, task.max_length, len(before) + len(after), pack=section.pack_documents)
        found = FramedWindows(store, plan, before, after)
    else:
        found = SinglePieces(store, apart(spans, room), before, after)
    if not len(found):
        raise DataError("the text is too short for one window", where=source, mend="give more text")
    return found


def _join(parts: list[Sequences]) -> Sequences:
    return parts[0] if len(parts) == 1 else JoinedWindows(tuple(parts))
