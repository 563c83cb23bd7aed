"""Translation and summarization: what is read, what is said, and what counts."""

from __future__ import annotations

import numpy as np
import pytest
from transformers import DataCollatorForSeq2Seq, GPT2Config, T5Config

from fathom.data.draw import Draw
from fathom.errors import ConfigError
from fathom.tasks.summarization import Summarization
from fathom.tasks.text_units import guess_units
from fathom.tasks.translation import Translation
from writing_for_tests import pair_tokenizer

EXAMPLES = [
    {"text": "one two three four five", "references": ["uno due", "due"], "where": "a:1"},
    {"text": "six", "references": ["sei sette otto"], "where": "a:2"},
]
DRAW = Draw(0, 0, np.arange(2))


def open_task(part=None, max_length=16, decoder=False):
    part = part or Translation(max_target_length=6)
    config = GPT2Config() if decoder else T5Config()
    return part.suited(config).open(EXAMPLES, pair_tokenizer(ends=not decoder), max_length)


def texts(task, ids):
    return [task.tokenizer.decode(row, skip_special_tokens=False) for row in ids]


def test_source_and_target_are_what_transformers_collator_makes():
    task = open_task()
    batch = task.make_batch(task.encode(EXAMPLES), DRAW)
    tokenizer = task.tokenizer
    rows = [
        {**tokenizer(example["text"]), "labels": tokenizer(text_target=example["references"][0])["input_ids"]}
        for example in EXAMPLES
    ]
    wanted = DataCollatorForSeq2Seq(tokenizer)(rows)
    for name in ("input_ids", "attention_mask", "labels"):
        assert (batch[name] == wanted[name]).all(), name


def test_long_sides_are_cut_before_their_end_and_counted():
    task = open_task(Translation(max_target_length=3), max_length=5)
    features = task.encode(EXAMPLES)
    batch = task.make_batch(features, DRAW)
    assert texts(task, batch["input_ids"])[0] == "one two three four </s>"
    assert texts(task, batch["labels"].clamp(min=0))[1] == "sei sette </s>"
    assert [int(item["truncated"]) for item in features] == [1, 0]
    assert [int(item["target_truncated"]) for item in features] == [0, 1]


def test_a_prompt_frames_the_source_and_stays_whole():
    task = open_task(Translation(prompt="translate : {source} :", max_target_length=6), max_length=7)
    source = task.make_batch(task.encode(EXAMPLES), DRAW)["input_ids"]
    assert texts(task, source)[0] == "translate : one two three : </s>"


def test_a_decoder_learns_the_target_alone_and_keeps_room_for_it():
    task = open_task(Translation(prompt="{source} :", max_target_length=4), max_length=8, decoder=True)
    features = task.encode(EXAMPLES)
    assert texts(task, [features[0]["input_ids"]])[0] == "one two three : uno due </s>"
    batch = task.make_batch(features, DRAW)
    at = batch["labels"][0] >= 0
    # labels stand where they are predicted, the end of the text among them
    assert texts(task, [batch["labels"][0][at]]) == ["uno due </s>"]
    assert int(at.nonzero()[0, 0]) == 3
    assert task.auto_class == "AutoModelForCausalLM"
    assert task.read(["one two"])[0] == ([*features[0]["input_ids"][:2].tolist(), 5], False)


def test_the_task_is_opened_again_as_it_was():
    for decoder in (False, True):
        task = open_task(decoder=decoder)
        again = Translation().reopen(task.state(), task.tokenizer)
        assert type(again) is type(task)
        assert again.cache_key() == task.cache_key()
        assert again.writing_metrics == task.writing_metrics


def test_what_cannot_be_honoured_is_refused():
    with pytest.raises(ValueError, match="where the source stands"):
        Translation(prompt="translate")
    with pytest.raises(ValueError, match="length_penalty is for beam search"):
        Translation(length_penalty=0.6)
    with pytest.raises(ConfigError, match="encoder-decoder"):
        Translation(architecture="encoder-decoder").suited(GPT2Config())
    with pytest.raises(ConfigError, match="64 positions"):
        Translation(max_target_length=100).suited(GPT2Config(n_positions=64))
    with pytest.raises(ConfigError, match="leaves no room for a source"):
        open_task(Translation(max_target_length=20), max_length=21, decoder=True)


def test_metrics_compare_what_the_targets_are_made_of():
    assert open_task().writing_metrics["bleu"] == {"units": "english"}
    assert open_task(Summarization()).main_metric == "rouge_l"
    assert open_task(Translation(generated_examples=0)).main_metric == "loss"
    for text, units in (
        ("The cat is here.", "english"),
        ("Der Käse ist für Öl", "words"),
        ("Привет", "words"),
        ("我们 use AI", "chinese"),
        ("これは ペン です", "characters"),
    ):
        assert guess_units([text]) == units
