"""The corpus store holds the ids that transformers gives each document alone."""

from __future__ import annotations

import json

import numpy as np
import pytest
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast

from fathom.data.corpus import build, pieces
from fathom.data.corpus.build import CorpusRequest, open_or_build_corpus
from fathom.data.corpus.encoding import FastEncoder
from fathom.data.section import DataSection

WORDS = [
    *"春眠不觉晓处闻啼鸟",
    *["the", "of", "and", "to", "a", "in", "that", "it", "is", "was", "don't", "3.14", "(so)", "été", "😀", "end."],
]


def texts(count, seed=0):
    random = np.random.default_rng(seed)
    return [
        "".join(random.choice(WORDS) + random.choice([" ", "  ", "\n", "\n\n", "\t", "\n "]) for _ in range(size))
        for size in random.integers(1, 120, count)
    ]


def byte_level():
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    return tokenizer, trainers.BpeTrainer(
        vocab_size=500, show_progress=False, initial_alphabet=pre_tokenizers.ByteLevel.alphabet()
    )


def word_piece():
    tokenizer = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer()
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    return tokenizer, trainers.WordPieceTrainer(vocab_size=300, show_progress=False, special_tokens=["[UNK]"])


def unigram():
    tokenizer = Tokenizer(models.Unigram())
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    return tokenizer, trainers.UnigramTrainer(
        vocab_size=200, show_progress=False, unk_token="<unk>", special_tokens=["<unk>"]
    )


def trained(make):
    tokenizer, trainer = make()
    tokenizer.train_from_iterator(texts(200), trainer)
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer)


@pytest.mark.parametrize("make", [byte_level, word_piece, unigram])
def test_ids_are_those_of_each_document_alone(make, tmp_path, monkeypatch):
    monkeypatch.setenv("FATHOM_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(build, "BATCH_CHARACTERS", 3000)
    tokenizer = trained(make)
    documents = texts(150, seed=1)
    corpus = tmp_path / "corpus.jsonl"
    corpus.write_text("".join(json.dumps({"text": text}) + "\n" for text in documents), encoding="utf-8")
    request = CorpusRequest((str(corpus),), DataSection(train=str(corpus)), "t", len(tokenizer), shard_tokens=4000)
    store = open_or_build_corpus(request, FastEncoder(tokenizer.backend_tokenizer.to_str()))
    assert store.num_documents == len(documents)
    for index, text in enumerate(documents):
        assert store.document(index).tolist() == tokenizer(text, add_special_tokens=False)["input_ids"]


@pytest.mark.parametrize("make", [byte_level, word_piece])
def test_pieces_of_a_long_document_have_the_ids_of_the_whole(make, tmp_path, monkeypatch):
    monkeypatch.setenv("FATHOM_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(pieces, "PIECE_CHARACTERS", 400)
    tokenizer = trained(make)
    whole = "".join(texts(60, seed=2))
    corpus = tmp_path / "corpus.txt"
    corpus.write_text(whole, encoding="utf-8")
    request = CorpusRequest((str(corpus),), DataSection(train=str(corpus)), "t", len(tokenizer), shard_tokens=2000)
    store = open_or_build_corpus(request, FastEncoder(tokenizer.backend_tokenizer.to_str()))
    assert store.num_documents == 1
    assert store.document(0).tolist() == tokenizer(whole, add_special_tokens=False)["input_ids"]
