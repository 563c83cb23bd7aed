"""Chat against transformers: ids and mask of apply_chat_template, and the loss of the model itself."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from chats_for_tests import CONVERSATIONS, INST, MARKED, THINKING, chat_tokenizer
from fathom.data.draw import Draw
from fathom.tasks.chat import Chat
from fathom.tokenization.chat import CHATML, PLAIN, ChatTemplate

KINDS = ["byte-level", "bpe", "unigram"]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("source", [MARKED, CHATML, PLAIN, THINKING], ids=["marked", "chatml", "plain", "thinking"])
def test_ids_equal_those_of_apply_chat_template(kind, source):
    tokenizer = chat_tokenizer(kind, source)
    template = ChatTemplate(tokenizer)
    encoded = template.encode([template.render(turns) for turns in CONVERSATIONS])
    for turns, item in zip(CONVERSATIONS, encoded, strict=True):
        reference = tokenizer.apply_chat_template(turns, tokenize=True, return_dict=False)
        assert item.ids.tolist() == reference


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("source", [MARKED, CHATML], ids=["marked", "chatml"])
def test_the_mask_equals_that_of_the_generation_marks(kind, source):
    tokenizer = chat_tokenizer(kind, source)
    for conversation in CONVERSATIONS:
        turns = [{**turn, "content": turn["content"].strip()} for turn in conversation]
        task = Chat().open([], tokenizer, 1000)
        features = task.encode([{"messages": turns, "where": "a:1"}])[0]
        reference = tokenizer.apply_chat_template(turns, return_dict=True, return_assistant_tokens_mask=True)
        assert (features["labels"] >= 0).astype(int).tolist() == reference["assistant_masks"]


def test_marks_and_growing_prefixes_find_the_same_turns():
    template = ChatTemplate(chat_tokenizer(template=MARKED))
    for turns in CONVERSATIONS:
        text = template.render(turns).text
        by_prefix = template._spans_by_prefix(turns, text)
        by_marks = template._spans_by_marks(turns)
        assert [template._trim(text, span) for span in by_prefix] == by_marks


def test_a_strict_template_gives_the_ids_too():
    tokenizer = chat_tokenizer(template=INST)
    template = ChatTemplate(tokenizer)
    item = template.encode([template.render(CONVERSATIONS[0])])[0]
    assert item.ids.tolist() == tokenizer.apply_chat_template(CONVERSATIONS[0], return_dict=False)


def test_the_loss_is_that_of_transformers():
    from transformers import LlamaConfig, LlamaForCausalLM

    tokenizer = chat_tokenizer()
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=256,
    )
    model = LlamaForCausalLM(config).eval()
    task = Chat().open([], tokenizer, 256)
    features = task.encode([{"messages": turns, "where": "a:1"} for turns in CONVERSATIONS])
    batch = task.make_batch(features, Draw(7, 0, np.arange(len(features))))
    longest = max(len(item["labels"]) for item in features)
    labels = torch.full((len(features), longest), -100)
    for row, item in enumerate(features):
        labels[row, : len(item["labels"])] = torch.from_numpy(item["labels"]).long()
    with torch.no_grad():
        output = model(input_ids=batch["input_ids"], attention_mask=batch["attention_mask"], labels=labels)
        ours = task.loss(output.logits, batch).total / task.normalizer(batch)
    assert float(ours) == pytest.approx(float(output.loss), abs=1e-6)
