"""Masks are filled as transformers' own pipeline fills them: the same candidates, equally likely."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, processors, trainers
from transformers import PreTrainedTokenizerFast, pipeline

import fathom
from fathom.errors import ModelError
from fathom.tasks.mask_filling import fill
from languages_for_tests import SIZE, make_model, make_tokenizer

TEXTS = ["w1 [MASK] w3", "[MASK]", "w5 w6 [MASK] w8 [MASK] w9 [MASK]", "un [MASK]  北 京 [MASK] w2"]
SENTENCES = ["the cat sat on the mat", "a dog sat under a tree", "the tree fell on the dog"]


def save_byte_level(folder: Path) -> PreTrainedTokenizerFast:
    """Save a RoBERTa whose mask takes the space before it."""
    backend = Tokenizer(models.BPE())
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    backend.decoder = decoders.ByteLevel()
    special = ["<s>", "<pad>", "</s>", "<unk>"]
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=320, special_tokens=special, initial_alphabet=alphabet, show_progress=False
    )
    backend.train_from_iterator(SENTENCES * 20, trainer)
    backend.add_special_tokens([AddedToken("<mask>", lstrip=True, special=True)])
    ends = [(token, backend.token_to_id(token)) for token in ("<s>", "</s>")]
    backend.post_processor = processors.TemplateProcessing(single="<s> $A </s>", special_tokens=ends)
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=backend, bos_token="<s>", eos_token="</s>", cls_token="<s>", sep_token="</s>",
        pad_token="<pad>", unk_token="<unk>", mask_token=AddedToken("<mask>", lstrip=True, special=True),
    )  # fmt: skip
    tokenizer.save_pretrained(folder)
    torch.manual_seed(0)
    config = transformers.RobertaConfig(
        vocab_size=len(tokenizer), hidden_size=32, num_hidden_layers=2, num_attention_heads=4, intermediate_size=48,
        max_position_embeddings=64, pad_token_id=tokenizer.pad_token_id, initializer_range=0.5,
    )  # fmt: skip
    transformers.RobertaForMaskedLM(config).save_pretrained(folder)
    return tokenizer


def compare(folder: Path, texts: list[str], top_k: int = 5) -> list[dict[str, Any]]:
    """Compare with the pipeline, text by text; returns our rows."""
    theirs = pipeline("fill-mask", model=str(folder), top_k=top_k)
    rows = fathom.predict(str(folder), texts)
    for text, row in zip(texts, rows, strict=True):
        found: Any = theirs(text)
        wanted = found if isinstance(found[0], list) else [found]  # of a single mask it gives the candidates alone
        assert len(row["masks"]) == len(wanted)
        for mask, expected in zip(row["masks"], wanted, strict=True):
            said = [(one["token"], one["token_str"]) for one in mask["candidates"]]
            assert said == [(one["token"], one["token_str"]) for one in expected]
            scores = [one["score"] for one in mask["candidates"]]
            assert scores == pytest.approx([one["score"] for one in expected], abs=1e-5)
    return rows


@pytest.mark.parametrize("name", ["bert", "distilbert", "modernbert", "bert-pretraining"])
def test_candidates_are_those_of_the_pipeline(name: str, tmp_path: Path) -> None:
    assert len(make_tokenizer()) == SIZE
    make_model(name).save_pretrained(tmp_path)
    make_tokenizer().save_pretrained(tmp_path)
    compare(tmp_path, TEXTS)


def test_of_byte_level_tokens_too_and_words_keep_their_spaces(tmp_path: Path) -> None:
    tokenizer = save_byte_level(tmp_path)
    texts = ["the <mask> sat on the mat", "<mask> dog", "a<mask> tree <mask>"]
    for text, row in zip(texts, compare(tmp_path, texts), strict=True):
        assert all("<mask>" in text[mask["start"] : mask["end"]] for mask in row["masks"])
    cat, tail = (tokenizer.convert_tokens_to_ids(token) for token in ("\u0120the", "at"))
    spans = [tuple(span) for span in tokenizer("a <mask> b<mask>", return_offsets_mapping=True)["offset_mapping"]]
    masks = [span for span in spans if "<mask>" in "a <mask> b<mask>"[slice(*span)]]
    assert fill("a <mask> b<mask>", masks, [cat, cat], tokenizer) == "a the b the"
    assert fill("a <mask> b<mask>", masks, [tail, tail], tokenizer) == "aat bat"
    tokenizer.add_tokens("##")
    hashes = tokenizer.convert_tokens_to_ids("##")
    assert fill("a <mask>", masks[:1], [hashes], tokenizer) == "a##"


def test_what_is_written_round_a_mask_stays() -> None:
    tokenizer = make_tokenizer()
    ids = {token: tokenizer.convert_tokens_to_ids(token) for token in ("w1", "##able", "京")}
    assert fill("Odd  WORD, [MASK]!", [(11, 17)], [ids["w1"]], tokenizer) == "Odd  WORD, w1!"
    assert fill("un [MASK] x", [(3, 9)], [ids["##able"]], tokenizer) == "unable x"
    assert fill("北[MASK]", [(1, 7)], [ids["京"]], tokenizer) == "北京"


def test_a_token_without_a_row_is_named_where_a_text_has_it(tmp_path: Path) -> None:
    """Published tables lack rows of added tokens; torch would say 'index out of range'."""
    make_model("bert").save_pretrained(tmp_path)
    tokenizer = make_tokenizer()
    tokenizer.add_tokens("<picture>")
    tokenizer.save_pretrained(tmp_path)
    assert fathom.predict(str(tmp_path), ["w1 [MASK]"])[0]["masks"]
    with pytest.raises(ModelError, match=r"have no row(.|\n)*<picture>"):
        fathom.predict(str(tmp_path), ["w1 [MASK] <picture>"])
