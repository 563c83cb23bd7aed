"""How long a sequence may be: what the recipe says within the model's positions, else what the tokenizer states."""

from __future__ import annotations

from pathlib import Path

import pytest
from transformers import AutoTokenizer, T5Config, T5ForConditionalGeneration

from fathom.errors import ConfigError
from fathom.recipe import Recipe, load_recipe
from fathom.runs.prepared import longest
from runs_for_tests import make_model


def recipe_of(folder: Path, path: Path, *edits: str) -> Recipe:
    path.write_text("text,label\na,b\n", encoding="utf-8")
    recipe = path.with_suffix(".yaml")
    recipe.write_text(
        f"model: {folder}\ndata: {{train: {path}}}\ntask: text-classification\noutput: {path.parent / 'run'}\n",
        encoding="utf-8",
    )
    return load_recipe(str(recipe), edits)


def test_the_recipe_may_go_beyond_what_the_tokenizer_states_up_to_the_positions(tmp_path: Path) -> None:
    base = make_model(tmp_path / "base")
    tokenizer = AutoTokenizer.from_pretrained(base)
    tokenizer.model_max_length = 16  # as a run saves it that read sequences of 16
    assert longest(recipe_of(base, tmp_path / "a.csv"), tokenizer) == 16
    assert longest(recipe_of(base, tmp_path / "a.csv", "data.max_length=64"), tokenizer) == 64
    with pytest.raises(ConfigError, match="the model takes at most 64 tokens") as caught:
        longest(recipe_of(base, tmp_path / "a.csv", "data.max_length=65"), tokenizer)
    assert caught.value.mend == "write 64"


def test_a_model_without_a_table_of_positions_reads_what_the_recipe_says(tmp_path: Path) -> None:
    base = make_model(tmp_path / "base")
    tokenizer = AutoTokenizer.from_pretrained(base)
    config = T5Config(vocab_size=len(tokenizer), d_model=16, d_kv=8, d_ff=32, num_layers=1, num_heads=2)
    T5ForConditionalGeneration(config).save_pretrained(tmp_path / "t5")
    assert longest(recipe_of(tmp_path / "t5", tmp_path / "a.csv"), tokenizer) == 64
    assert longest(recipe_of(tmp_path / "t5", tmp_path / "a.csv", "data.max_length=200"), tokenizer) == 200
