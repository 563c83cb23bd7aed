"""Prompts over the words of `languages_for_tests`, and what transformers alone says to them, in float64."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from copy import deepcopy
from typing import Any

import torch
from torch import Tensor

from fathom import catalog
from fathom.tasks.prompt_classification import OpenPrompt
from languages_for_tests import make_tokenizer

VERBALIZER = {"a": "w3", "b": "w4 w5", "c": ["w6", "w4 w8 w9"]}
"""Words of one, two and three tokens; two that begin alike; a label with two words."""
TEXTS = ("w10 w11 w12", "w13", "w14 w15 w16 w17 w18 w19", "w20 w21")
LABELS = ("a", "b", "c", "b")
EXAMPLES = [{"text": text, "label": label, "where": "t:1"} for text, label in zip(TEXTS, LABELS, strict=True)]


def open_prompt(objective: str, max_length: int = 48, **options: Any) -> OpenPrompt:
    """Open a prompt, masked or causal."""
    template = "{text} w1 {mask} w2" if objective == "masked" else "{text} w1 {mask}"
    chosen = {"template": template, "verbalizer": VERBALIZER, "objective": objective, **options}
    part = catalog.load("task", "prompt-classification")(**chosen)
    examples = [example for example in EXAMPLES if example["label"] in chosen["verbalizer"]]
    opened: OpenPrompt = part.open(examples, make_tokenizer(), max_length)
    return opened


def in_float64(model: Any) -> Any:
    """Return a copy of a model that computes in float64, without dropout."""
    return deepcopy(model).double().eval()


def label_scores(
    model: Any, text: str, verbalizer: Mapping[str, Any], *, masked: bool, mean: bool = False
) -> dict[str, Tensor]:
    """Return the score of each label by the formula, from one unpadded sequence for each word."""
    tokenizer = make_tokenizer()
    found = {}
    for label, words in verbalizer.items():
        own = [words] if isinstance(words, str) else words
        scores = [_word_score(model, tokenizer, text, word, masked=masked, mean=mean) for word in own]
        found[label] = torch.stack(scores).mean()
    return found


def _word_score(model: Any, tokenizer: Any, text: str, word: str, *, masked: bool, mean: bool) -> Tensor:
    ids: Sequence[int] = tokenizer(word, add_special_tokens=False)["input_ids"]
    if masked:
        hidden = " ".join([tokenizer.mask_token] * len(ids))
        given = tokenizer(f"{text} w1 {hidden} w2", return_tensors="pt")["input_ids"]
        places = (given[0] == tokenizer.mask_token_id).nonzero()[:, 0]
    else:  # what the tokenizer puts before a text, and nothing after it
        prompt = tokenizer(f"{text} w1 {word}")["input_ids"][:-1]
        given = torch.tensor([prompt])
        places = torch.arange(len(prompt) - len(ids) - 1, len(prompt) - 1)
    log_p = model(input_ids=given).logits[0, places].log_softmax(-1)
    picked = log_p[torch.arange(len(ids)), torch.tensor(ids)]
    return picked.mean() if mean else picked.sum()
