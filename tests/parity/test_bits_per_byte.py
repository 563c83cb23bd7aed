"""Bits per byte: the loss of the predicted tokens, in bits, over the bytes of those tokens and of no others."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import GPT2Config, GPT2LMHeadModel, PreTrainedTokenizerFast

from fathom.data.store import from_features
from fathom.model.packing import pack_model
from fathom.model.vocabulary import VocabularyHead
from fathom.runs.scoring import Scorer, score
from fathom.runs.windows import WindowExamples
from fathom.tasks.causal_lm import CausalLm
from fathom.tasks.masked_lm import MaskedLm
from fathom.tokenization.text_bytes import TextBytes
from languages_for_tests import make_tokenizer

TEXTS = ["春眠不觉晓，处处闻啼鸟。", "the end of été 😀, and the end.", "a", "夜来风雨声 the rain"]
END = "<|end|>"


def byte_level() -> PreTrainedTokenizerFast:
    raw = Tokenizer(models.BPE())
    raw.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    raw.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=300, show_progress=False, initial_alphabet=pre_tokenizers.ByteLevel.alphabet(), special_tokens=[END]
    )
    raw.train_from_iterator(TEXTS, trainer)
    return PreTrainedTokenizerFast(tokenizer_object=raw, eos_token=END, pad_token=END)


def pieces_of(tokenizer: Any) -> list[list[int]]:
    """Pieces of documents, cut anywhere: also inside characters."""
    ids = [index for text in TEXTS for index in [*tokenizer(text)["input_ids"], tokenizer.eos_token_id]]
    return [ids[:7], ids[7:12], ids[12:30], ids[30:]]


def test_bits_are_those_of_the_predicted_tokens_and_so_are_bytes() -> None:
    tokenizer = byte_level()
    pieces = pieces_of(tokenizer)
    rows = [pieces[:2], pieces[2:3], pieces[3:]]
    store = from_features(
        [
            {
                "input_ids": np.concatenate(row).astype(np.int32),
                "segment": np.repeat(np.arange(len(row), dtype=np.int32), [len(piece) for piece in row]),
                "example": np.asarray(index),
            }
            for index, row in enumerate(rows)
        ]
    )
    torch.manual_seed(0)
    model = GPT2LMHeadModel(
        GPT2Config(vocab_size=len(tokenizer), n_embd=16, n_layer=1, n_head=2, n_positions=96)
    ).eval()
    nats, predicted = 0.0, 0
    alphabet = {letter: byte for byte, letter in _bytes_to_letters().items()}
    for piece in pieces:
        logits = model(input_ids=torch.tensor([piece])).logits[0, :-1]
        nats += torch.nn.functional.cross_entropy(logits, torch.tensor(piece[1:]), reduction="sum").item()
        for token in tokenizer.convert_ids_to_tokens(piece[1:]):
            predicted += 0 if token == END else len(bytes(alphabet[letter] for letter in token))
    task: Any = CausalLm().open([], tokenizer, 96)
    scorer = Scorer(model, pack_model(model), task, 2, VocabularyHead(model))
    found = score(scorer, (store, WindowExamples(store, task, {"text": len(store)})))
    assert found["bits_per_byte"] == pytest.approx(nats / math.log(2) / predicted, rel=1e-5)


def _bytes_to_letters() -> dict[int, str]:
    """GPT-2's alphabet: printable bytes are themselves, the others letters from 256 on."""
    kept = [*range(33, 127), *range(161, 173), *range(174, 256)]
    rest = [byte for byte in range(256) if byte not in kept]
    return {byte: chr(byte) for byte in kept} | {byte: chr(256 + index) for index, byte in enumerate(rest)}


def test_bytes_of_a_whole_text_are_its_own() -> None:
    tokenizer = byte_level()
    counter = TextBytes(tokenizer)
    for text in TEXTS:
        assert counter.count(np.array([*tokenizer(text)["input_ids"], tokenizer.eos_token_id])) == len(text.encode())


def test_a_space_before_a_predicted_word_is_predicted_with_it() -> None:
    tokenizer = make_tokenizer()  # words apart by spaces, no bytes: it is decoded
    assert TextBytes(tokenizer).after_first(np.array(tokenizer("w1 w22 w3")["input_ids"][1:])) == len(" w22 w3")


def test_bytes_are_counted_once_and_only_where_they_are_used(monkeypatch: pytest.MonkeyPatch) -> None:
    tokenizer = make_tokenizer()
    store = from_features([{"input_ids": np.arange(20, 30, dtype=np.int32), "example": np.asarray(0)}])
    counted: list[int] = []
    count = TextBytes.count
    monkeypatch.setattr(TextBytes, "count", lambda self, ids: counted.append(len(ids)) or count(self, ids))
    causal: Any = CausalLm().open([], tokenizer, 48)
    examples = WindowExamples(store, causal, {"text": 1})
    assert examples[0] == examples[0] == {"where": "text, window 0", "source": "text", "bytes": examples[0]["bytes"]}
    assert counted == [10, 1]
    masked: Any = MaskedLm().open([], tokenizer, 48)
    assert "bytes" not in WindowExamples(store, masked, {"text": 1})[0]
    assert counted == [10, 1]
