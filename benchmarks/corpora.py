"""Corpora of any size, made by sampling lines of the shared data; the same for every side of a comparison."""

from __future__ import annotations

import json
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.sources import require

VOCABULARY = 32_000
PASSAGES = ("tinyshakespeare/input.txt", "gsm8k/train.head2000.jsonl", "cmrc2018/cmrc2018_dev.json")


@cache
def lines() -> tuple[str, ...]:
    """Return English and Chinese lines: Shakespeare, school problems with solutions, Chinese encyclopedia passages."""
    shakespeare, gsm8k, cmrc = map(require, PASSAGES)
    found = [line for line in shakespeare.read_text(encoding="utf-8").split("\n") if line]
    for record in map(json.loads, gsm8k.read_text(encoding="utf-8").splitlines()):
        found += [*record["question"].split("\n"), *record["answer"].split("\n")]
    for text in _contexts(json.loads(cmrc.read_text(encoding="utf-8"))):
        found += [f"{sentence}。" for sentence in text.split("。") if sentence]
    return tuple(found)


def documents(num_bytes: int, seed: int = 0) -> Iterator[str]:
    """Yield about `num_bytes` of documents; the number of their lines is log-normal around 12."""
    random = np.random.default_rng(seed)
    source = lines()
    written = 0
    while written < num_bytes:
        sizes = np.maximum(1, random.lognormal(2.5, 1.0, 256)).astype(int)
        starts = random.integers(0, len(source), 256)
        for size, start in zip(sizes.tolist(), starts.tolist(), strict=True):
            # Runs of lines keep the words' neighbours; a number sets documents from the same lines apart.
            text = f"{random.integers(1 << 31)}\n" + "\n".join(source[start : start + size])
            written += len(text.encode()) + 1
            yield text
            if written >= num_bytes:
                return


def write_json_lines(path: Path, num_bytes: int) -> Path:
    """Write documents as JSON lines, unless the file is there."""
    if not path.is_file():
        path.parent.mkdir(parents=True, exist_ok=True)
        partial = path.with_suffix(".partial")
        with partial.open("w", encoding="utf-8") as stream:
            for text in documents(num_bytes):
                stream.write(json.dumps({"text": text}, ensure_ascii=False) + "\n")
        partial.replace(path)
    return path


def write_text(path: Path, num_bytes: int) -> Path:
    """Write documents as one text file, unless the file is there."""
    if not path.is_file():
        path.parent.mkdir(parents=True, exist_ok=True)
        partial = path.with_suffix(".partial")
        with partial.open("w", encoding="utf-8") as stream:
            for text in documents(num_bytes):
                stream.write(text + "\n\n")
        partial.replace(path)
    return path


def make_tokenizer(folder: Path, kind: str) -> Path:
    """Train a tokenizer of the `tokenizers` library on a sample and save it for transformers, unless it is there.

    `bpe` is GPT-2's kind (byte-level), `wordpiece` BERT's without special tokens.
    """
    from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    if (folder / "tokenizer.json").is_file():
        return folder
    trainer: Any
    if kind == "bpe":
        tokenizer = Tokenizer(models.BPE())
        tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
        tokenizer.decoder = decoders.ByteLevel()
        trainer = trainers.BpeTrainer(
            vocab_size=VOCABULARY, show_progress=False, initial_alphabet=pre_tokenizers.ByteLevel.alphabet()
        )
    else:
        tokenizer = Tokenizer(models.WordPiece(unk_token="[UNK]"))
        tokenizer.normalizer = normalizers.BertNormalizer()
        tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
        trainer = trainers.WordPieceTrainer(vocab_size=VOCABULARY, show_progress=False, special_tokens=["[UNK]"])
    tokenizer.train_from_iterator(documents(8 << 20, seed=1), trainer)
    PreTrainedTokenizerFast(tokenizer_object=tokenizer, model_max_length=1 << 30).save_pretrained(folder)
    return folder


def _contexts(value: Any) -> Iterator[str]:
    """Find every passage, wherever the file keeps it."""
    if isinstance(value, dict):
        for key, inner in value.items():
            if key in {"context", "context_text"} and isinstance(inner, str):
                yield inner
            else:
                yield from _contexts(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _contexts(inner)
