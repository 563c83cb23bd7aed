"""Masked and prefix language models: what their options may say, and vocabularies with holes."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from tokenizers import Tokenizer, models, pre_tokenizers, processors
from transformers import PreTrainedTokenizerFast

from fathom.config import validate
from fathom.data.batch import collate
from fathom.data.draw import Draw
from fathom.errors import ConfigError
from fathom.tasks.masked_lm import MaskedLm
from fathom.tasks.prefix_lm import PrefixLm

IDS = {"[PAD]": 0, "[CLS]": 2, "[SEP]": 3, "[MASK]": 5, "[UNK]": 6, "un": 9, "##able": 10, "word": 14, "last": 31}


def tokenizer_with_holes() -> PreTrainedTokenizerFast:
    raw = Tokenizer(models.WordLevel(IDS, unk_token="[UNK]"))
    raw.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    raw.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", IDS["[CLS]"]), ("[SEP]", IDS["[SEP]"])]
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=raw, pad_token="[PAD]", cls_token="[CLS]", sep_token="[SEP]", mask_token="[MASK]",
        unk_token="[UNK]",
    )  # fmt: skip


@pytest.mark.parametrize("masking", ["token", "whole-word", "span"])
def test_a_vocabulary_with_holes_is_masked_by_words_it_has(masking: str) -> None:
    tokenizer = tokenizer_with_holes()
    assert len(tokenizer) < max(IDS.values())
    part: Any = MaskedLm(masking=masking, mask_probability=0.9, mask_share=0.0, random_share=1.0)
    task = part.open([], tokenizer, 64)
    ids = np.array([9, 10, 14, 31, 31, 14, 9, 10], np.int32)
    batch = task.corrupt(collate([{"input_ids": ids}] * 20, 0), Draw(0, 1, np.arange(20)))
    replaced = batch["input_ids"][batch["labels"] != -100]
    assert set(replaced.tolist()) <= {9, 10, 14, 31}
    assert len(replaced) > 80


def test_shares_of_the_same_tokens_do_not_exceed_one() -> None:
    with pytest.raises(ConfigError, match="must not exceed 1"):
        validate(MaskedLm, {"mask_share": 0.8, "random_share": 0.3})
    validate(MaskedLm, {"mask_share": 0.9, "random_share": 0.1})


def test_a_prefix_range_runs_upwards() -> None:
    with pytest.raises(ConfigError, match="swap them"):
        validate(PrefixLm, {"shortest_prefix": 0.6, "longest_prefix": 0.4})
    validate(PrefixLm, {"shortest_prefix": 0.5, "longest_prefix": 0.5})
