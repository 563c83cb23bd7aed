"""Prompts: what is asked where, what is refused, texts that are cut, a run from zero shots to a saved model."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import transformers

from fathom import catalog
from fathom.config import validate
from fathom.data.draw import Draw
from fathom.errors import ConfigError, DataError, ModelError
from fathom.recipe import Recipe, load_recipe
from fathom.runs.data import preview
from fathom.runs.evaluate import evaluate
from fathom.runs.predict import predict
from fathom.runs.train import train
from fathom.tasks.prompt_classification import PromptClassification
from fathom.tasks.prompt_template import PromptTemplate, shorten
from fathom.tasks.verbalizer import ask_causal, ask_masked
from languages_for_tests import BERT, SIZE, make_tokenizer
from prompts_for_tests import EXAMPLES, open_prompt
from tokenizers_for_tests import tokenizer_of

MASK = 4


def names(task: Any, ids: Any) -> str:
    return " ".join(task.tokenizer.convert_ids_to_tokens([int(number) for number in ids]))


def encode(objective: str, text: str = "w10 w11", label: str | None = None, **options: Any) -> tuple[Any, Any]:
    task = open_prompt(objective, **options)
    example = {"text": text, "where": "t:1", **({} if label is None else {"label": label})}
    return task, task.encode([example])[0]


def rows(task: Any, feature: Any) -> list[tuple[str, str]]:
    """Tokens of each reading, and the token of the label at each asked place."""
    batch = task.make_batch([feature], Draw(0, 0, np.arange(1)))
    found = []
    for ids, labels, mask in zip(batch["input_ids"], batch["labels"], batch["attention_mask"], strict=True):
        asked = ["." if label < 0 else names(task, [label]) for label in labels[mask.bool()]]
        found.append((names(task, ids[mask.bool()]), " ".join(asked)))
    return found


def test_a_masked_model_gets_a_reading_for_each_length() -> None:
    task, feature = encode("masked", label="b")
    assert rows(task, feature) == [
        ("[CLS] w10 w11 w1 [MASK] w2 [SEP]", ". . . . [MASK] . ."),
        ("[CLS] w10 w11 w1 [MASK] [MASK] w2 [SEP]", ". . . . w4 w5 . ."),
        ("[CLS] w10 w11 w1 [MASK] [MASK] [MASK] w2 [SEP]", ". . . . [MASK] [MASK] [MASK] . ."),
    ]


def test_a_decoder_gets_a_reading_for_each_beginning() -> None:
    task, feature = encode("causal", label="b")
    assert rows(task, feature) == [("[CLS] w10 w11 w1 w4 w8", ". . . w4 w5 w8")], "w4 begins both long words"
    task, feature = encode("causal", verbalizer={"a": "w3 w4", "b": "w5 w6", "c": "w7"}, label="a")
    assert rows(task, feature) == [("[CLS] w10 w11 w1 w3", ". . . w3 w4"), ("[CLS] w10 w11 w1 w5", ". . . . w5")]


def test_words_of_one_token_need_one_reading() -> None:
    for objective in ("masked", "causal"):
        task, feature = encode(objective, verbalizer={"a": "w3", "b": "w4", "c": "w5"})
        assert task.fixed_inputs
        assert "segment" not in feature
        assert (feature["labels"] >= 0).sum() == 1


@pytest.mark.parametrize("seed", range(20))
def test_every_token_of_every_word_is_asked_once_it_can_be(seed: int) -> None:
    """A slot's reading holds, before the slot, exactly what the word says before the token that is asked there."""
    chance = np.random.default_rng(seed)
    words = [[tuple(chance.integers(5, 9, chance.integers(1, 5)).tolist()) for _ in range(2)] for _ in range(4)]
    for masked in (True, False):
        question = ask_masked(words, MASK, "sum") if masked else ask_causal(words, "sum")
        before = {}
        for reading in question.readings:
            for offset, slot in zip(reading.asked, reading.slots, strict=True):
                assert slot not in before
                before[slot] = (reading.fill, offset)
        assert sorted(before) == list(range(question.num_slots))
        place = 0
        for label, own in enumerate(words):
            for word in own:
                for index, token in enumerate(word):
                    fill, offset = before[int(question.slot_K[place])]
                    assert int(question.token_K[place]) == token
                    assert question.share_KC[place].tolist() == [0.5 if c == label else 0.0 for c in range(4)]
                    if masked:
                        assert (fill, offset) == ((MASK,) * len(word), index)
                    else:
                        assert fill[: offset + 1] == word[:index]
                    place += 1
        assert place == len(question.slot_K)


def test_a_text_that_is_too_long_is_cut_and_the_template_stays() -> None:
    task, feature = encode("masked", "w10 w11 w12 w13 w14 w15", max_length=9, verbalizer={"a": "w3", "b": "w4 w5"})
    assert rows(task, feature)[1][0] == "[CLS] w10 w11 w12 w1 [MASK] [MASK] w2 [SEP]"
    assert int(feature["truncated"]) == 1
    task.tokenizer.truncation_side = "left"
    again = task.encode([{"text": "w10 w11 w12 w13 w14 w15", "where": "t"}])[0]
    assert rows(task, again)[1][0] == "[CLS] w13 w14 w15 w1 [MASK] [MASK] w2 [SEP]"
    task, feature = encode("causal", "w10 w11 w12 w13 w14 w15", max_length=6, verbalizer={"a": "w3", "b": "w4"})
    assert rows(task, feature)[0][0] == "[CLS] w10 w11 w12 w13 w1"
    with pytest.raises(ConfigError, match="leaves no room"):
        encode("masked", "w10 w11", max_length=5, verbalizer={"a": "w3", "b": "w4"})


def test_of_two_texts_the_longer_one_is_cut_first() -> None:
    assert shorten([5, 3], 2) == [3, 3]
    assert shorten([3, 8], 4) == [3, 4]
    assert shorten([5, 5], 3) == [4, 3] or shorten([5, 5], 3) == [3, 4]
    assert shorten([5, 5], 10) is None
    task = open_prompt("masked", 11, template="{text} w1 {mask} {text_pair}", verbalizer={"a": "w3", "b": "w4"})
    given = {"text": "w10 w11", "text_pair": "w20 w21 w22 w23 w24 w25 w26", "where": "t"}
    (feature,) = task.encode([given])
    assert names(task, feature["input_ids"]) == "[CLS] w10 w11 w1 [MASK] w20 w21 w22 w23 w24 [SEP]"
    with pytest.raises(DataError, match="the second text is missing"):
        task.encode([{"text": "w10", "where": "t"}])
    with pytest.raises(DataError, match="has a second text"):
        open_prompt("masked").encode([given])


def test_a_mask_in_the_text_is_no_place_of_the_word() -> None:
    task, feature = encode("masked", "w10 [MASK] w11", verbalizer={"a": "w3", "b": "w4"}, label="a")
    assert rows(task, feature) == [("[CLS] w10 [MASK] w11 w1 [MASK] w2 [SEP]", ". . . . . w3 . .")]
    task, feature = encode(
        "masked", "w10 [MASK]", template="w1 {mask} {text}", verbalizer={"a": "w3", "b": "w4"}, label="a"
    )
    assert rows(task, feature) == [("[CLS] w1 [MASK] w10 [MASK] [SEP]", ". . w3 . . .")]


def test_white_space_before_the_word_belongs_to_the_word() -> None:
    tokenizer = tokenizer_of("bpe")
    spaced = PromptTemplate("{text} said {mask}", tokenizer, masked=False)
    assert spaced.word_ids(["May"]) == [tuple(tokenizer(" May", add_special_tokens=False)["input_ids"])]
    joined = PromptTemplate("{text} said:{mask}", tokenizer, masked=False)
    assert joined.word_ids(["May"]) == [tuple(tokenizer("May", add_special_tokens=False)["input_ids"])]
    first = PromptTemplate("{mask} {text}", make_tokenizer(), masked=True)
    assert first.word_ids(["w3 w4"]) == [tuple(make_tokenizer().convert_tokens_to_ids(["w3", "w4"]))]


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"template": "{text} is it"}, "must say once where the label's word belongs: write {mask}"),
        ({"template": "it was {mask}"}, "must say once where the text stands: write {text}"),
        ({"template": "{text} {mask} {mask}"}, "must say once where the label's word belongs"),
        ({"template": "{text} {mask} {txt}"}, "{txt}, did you mean '{text}'?"),
        ({"template": "{text} [MASK] {mask}"}, "the tokenizer's own [MASK]"),
        ({"template": "{text} {mask} w2", "objective": "causal"}, "reads nothing after the word"),
        (
            {"verbalizer": {"a": "w3", "b": "nothing", "c": "w5"}},
            "task.verbalizer.b: 'nothing' is not in the model's voc",
        ),
        ({"verbalizer": {"a": "w3", "b": ["w4", "w3"], "c": "w5"}}, "the labels 'a' and 'b' have the same word"),
        ({"verbalizer": {"a": "w3", "b": ["w4", "w4"], "c": "w5"}}, "the word 'w4' of the label 'b' is twice there"),
        ({"verbalizer": {"a": "w3", "b": "w4"}}, "no word stands for the label 'c' (first in t:1)"),
        ({"verbalizer": {}}, "no word stands for the labels 'a', 'b', 'c'"),
        ({"verbalizer": {"a": []}}, "the label 'a' needs a word"),
        ({"verbalizer": {"a": " "}}, "the label 'a' needs a word"),
    ],
)
def test_what_cannot_be_asked_is_refused_in_words(options: dict[str, Any], said: str) -> None:
    chosen = {"objective": "masked", "template": "{text} {mask}", "verbalizer": {"a": "w3", "b": "w4", "c": "w5"}}
    with pytest.raises(ConfigError) as caught:
        validate(PromptClassification, {**chosen, **options}, "task").open(EXAMPLES, make_tokenizer(), 48)
    assert said in str(caught.value)


def test_data_and_models_that_do_not_fit_are_refused() -> None:
    task = open_prompt("masked")
    with pytest.raises(DataError, match="no word stands for the label 'd'"):
        task.encode([{"text": "w10", "label": "d", "where": "t:9"}])
    with pytest.raises(DataError, match="the row has a list"):
        task.encode([{"text": "w10", "label": ["a"], "where": "t:9"}])
    bare = open_prompt("causal", template="{text}{mask}")
    bare.template._prefix = bare.template._prefix[:0]  # as of a tokenizer that puts nothing before a text
    with pytest.raises(DataError, match="nothing stands before the word"):
        bare.encode([{"text": "", "where": "t"}])
    tokenizer = make_tokenizer()
    tokenizer.mask_token = None
    with pytest.raises(ModelError, match="no mask token"):
        PromptTemplate("{text} {mask}", tokenizer, masked=True)
    part = catalog.load("task", "prompt-classification")
    config = transformers.T5Config()
    with pytest.raises(ConfigError, match="is an encoder-decoder"):
        part().suited(config)
    with pytest.raises(ConfigError, match="the recipe says causal, and bert is masked"):
        part(objective="causal").suited(transformers.BertConfig())
    assert part().suited(transformers.GPT2Config()).objective == "causal"


def test_numbers_and_yaml_words_are_words(tmp_path: Path) -> None:
    (tmp_path / "r.yaml").write_text(
        "model: minilm\ndata: train.csv\ntask: {kind: prompt-classification, verbalizer: {0: no, 1: [yes, 5]}}\n",
        encoding="utf-8",
    )
    task = load_recipe(tmp_path / "r.yaml").task
    assert isinstance(task, PromptClassification)
    assert task.verbalizer == {"0": ("no",), "1": ("yes", "5")}
    again = validate(Recipe, load_recipe(tmp_path / "r.yaml").model_dump(mode="json"))
    assert again.task == task


def make_language_model(folder: Path, family: str) -> Path:
    """Save a tiny language model with its head."""
    torch.manual_seed(0)
    if family == "bert":
        config: Any = transformers.BertConfig(**BERT, max_position_embeddings=64, vocab_size=SIZE, pad_token_id=0)
        model: Any = transformers.BertForMaskedLM(config)
    else:
        config = transformers.GPT2Config(n_embd=32, n_layer=2, n_head=4, n_positions=64, vocab_size=SIZE)
        model = transformers.GPT2LMHeadModel(config)
    model.save_pretrained(folder)
    make_tokenizer().save_pretrained(folder)
    return folder


def write_data(path: Path, count: int, seed: int) -> Path:
    """Texts of random words; the label is told by one of them."""
    chance = np.random.default_rng(seed)
    lines = ["text,label"]
    for index in range(count):
        label = "ab"[index % 2]
        words = [f"w{number}" for number in chance.integers(20, 40, 4)] + ["w10" if label == "a" else "w11"]
        lines.append(f"{' '.join(chance.permutation(words))},{label}")
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


@pytest.mark.parametrize(
    ("family", "template", "verbalizer", "tuning"),
    [
        ("bert", "{text} w1 {mask} w2", "{a: w3, b: w4 w5}", "full"),
        ("gpt2", "{text} w1 {mask}", "{a: w3, b: w4 w5}", "full"),
        ("bert", "{text} w1 {mask} w2", "{a: w3, b: w4}", "top-layers"),
    ],
)
def test_a_run_from_zero_shots_to_answers(
    family: str, template: str, verbalizer: str, tuning: str, tmp_path: Path
) -> None:
    base = make_language_model(tmp_path / "base", family)
    data = write_data(tmp_path / "train.csv", 120, 0)
    text = f"""
model: {base}
data: {{train: {data}, test: {write_data(tmp_path / "test.csv", 40, 1)}, shots: 32, max_length: 32}}
task: {{kind: prompt-classification, template: "{template}", verbalizer: {verbalizer}}}
tuning: {tuning}
training:
  {{epochs: 12, batch_size: 16, learning_rate: 6e-3, threads: 1, precision: fp32, dropout: 0, verify_reload: false,
    eval_steps: 1000}}
output: {tmp_path / "run"}
"""
    (tmp_path / "r.yaml").write_text(text, encoding="utf-8")
    result = train(load_recipe(tmp_path / "r.yaml"))
    metrics = result.metrics
    assert 0 <= metrics["before"]["accuracy"] < 0.9, "zero shots"
    assert metrics["test"]["accuracy"] > 0.9
    assert {"f1_macro", "auc", "per_class", "loss"} <= metrics["test"].keys()
    again = evaluate(str(result.folder), str(tmp_path / "test.csv"))
    assert again["accuracy"] == metrics["test"]["accuracy"]
    assert again["loss"] == pytest.approx(metrics["test"]["loss"], rel=1e-5)
    (row,) = predict(result.folder / "model", ["w20 w11 w30 w31 w32"])
    assert row["label"] == "b"
    assert sum(row["probabilities"].values()) == pytest.approx(1.0)
    shown = preview(str(tmp_path / "r.yaml"))
    told = [token.label for window in shown.windows for token in window if token.label not in (None, "loss")]
    assert told in (["w3"], ["w4", "w5"], ["w4"])
