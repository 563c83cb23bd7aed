"""A tokenizer that is not the model's: refused before anything is encoded, never an index out of range."""

from __future__ import annotations

import copy
from pathlib import Path

import pytest
from transformers import GPT2Config, GPT2LMHeadModel

from fathom import train
from fathom.errors import ModelError
from fathom.recipe import Recipe, load_recipe
from fathom.serving.generate.generator import Generator
from tokenizers_for_tests import tokenizer_of

TALK = '{"prompt": "hello there", "response": "good day to you"}\n'


def saved(folder: Path, rows: int, *added: str) -> Path:
    tokenizer = copy.deepcopy(tokenizer_of("bpe"))
    tokenizer.add_tokens(list(added))
    tokenizer.save_pretrained(folder)
    config = GPT2Config(vocab_size=rows, n_embd=16, n_layer=1, n_head=2, n_positions=64)
    GPT2LMHeadModel(config).save_pretrained(folder)
    return folder


def recipe_of(folder: Path, place: Path, task: str, text: str) -> Recipe:
    data = place / ("talk.jsonl" if task == "chat" else "text.txt")
    data.write_text(text, encoding="utf-8")
    recipe = place / "recipe.yaml"
    recipe.write_text(
        f"model: {folder}\ndata: {{train: {data}, validation_fraction: 0, max_length: 32}}\ntask: {task}\n"
        f"training: {{max_steps: 1, batch_size: 2, threads: 1, precision: fp32}}\noutput: {place / 'run'}\n",
        encoding="utf-8",
    )
    return load_recipe(str(recipe))


@pytest.mark.parametrize(("task", "text"), [("causal-lm", "some words of text\n" * 20), ("chat", TALK * 8)])
def test_training_with_a_larger_vocabulary_is_refused(task: str, text: str, tmp_path: Path) -> None:
    folder = saved(tmp_path / "model", len(tokenizer_of("bpe")) // 2)
    with pytest.raises(ModelError, match=r"the tokenizer does not match the model: .* have no row"):
        train(recipe_of(folder, tmp_path, task, text))
    assert not (tmp_path / "run" / "model").exists()


def test_a_token_that_was_added_without_a_row_is_refused_where_a_text_has_it(tmp_path: Path) -> None:
    folder = saved(tmp_path / "model", len(tokenizer_of("bpe")), "<picture>")
    train(recipe_of(folder, tmp_path, "causal-lm", "some words of text\n" * 20))
    (tmp_path / "again").mkdir()
    with pytest.raises(ModelError, match="'<picture>' is"):
        train(recipe_of(folder, tmp_path / "again", "causal-lm", "some words of a <picture>\n" * 20))


def test_a_generator_with_a_larger_vocabulary_is_refused(tmp_path: Path) -> None:
    folder = saved(tmp_path / "model", len(tokenizer_of("bpe")) // 2)
    with pytest.raises(ModelError, match="have no row"):
        Generator.load(folder)
