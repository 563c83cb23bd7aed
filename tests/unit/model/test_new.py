"""A new model in a recipe: what is read, what is refused, and the config that comes of it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from fathom.config import validate
from fathom.device import Machine
from fathom.errors import ConfigError, ModelError
from fathom.model.architectures import ARCHITECTURES, Vocabulary
from fathom.model.families import most_positions
from fathom.model.new import NewModel, build_config, vocabulary_of
from fathom.model.section import Pretrained
from fathom.recipe import Recipe, dump_recipe, load_recipe, resolve
from tokenizers_for_tests import tokenizer_of

MACHINE = Machine("Linux", "any", 4, 2**34, bf16_native=True, bf16_kernel="amx", device="cpu", gpu=None)
WORDS = Vocabulary(300, pad=0, start=2, end=3, separator=3)
TEXT = [name for name, family in ARCHITECTURES.items() if family.reads_text]


def new(architecture: str, **options: Any) -> NewModel:
    return validate(NewModel, {"architecture": architecture, "depth": 2, **options}, "model")


@pytest.fixture
def recipe_file(tmp_path: Path) -> Path:
    path = tmp_path / "mine.yaml"
    path.write_text(
        "model: {kind: new, architecture: gpt2, depth: 4, tokenizer: minilm}\n"
        "data: {train: a.csv}\ntask: text-classification\n",
        encoding="utf-8",
    )
    return path


def test_a_recipe_takes_a_new_model_and_writes_it_out_again(recipe_file: Path, tmp_path: Path) -> None:
    recipe = load_recipe(recipe_file, ["model.depth=8"])
    assert isinstance(recipe.model, NewModel)
    assert (recipe.model.label, recipe.model.tokenizer_source) == ("new:gpt2 depth 8", "minilm")
    resolved = resolve(recipe, MACHINE)
    assert resolve(resolved, MACHINE) == resolved
    (tmp_path / "recipe.yaml").write_text(dump_recipe(resolved), encoding="utf-8")
    assert load_recipe(tmp_path / "recipe.yaml") == resolved


def test_a_plain_name_and_an_edit_of_it_still_work(recipe_file: Path) -> None:
    assert load_recipe(recipe_file, ["model=minilm"]).model == Pretrained(name="minilm")
    assert load_recipe(recipe_file, ["model=minilm", "model.name=roberta-base"]).model == Pretrained(
        name="roberta-base"
    )
    assert Recipe.model_validate(
        {"model": {"name": "minilm"}, "data": "a.csv", "task": "text-classification"}
    ).model == Pretrained(name="minilm")


def test_the_rate_is_the_familys_unless_one_is_given(recipe_file: Path) -> None:
    assert resolve(load_recipe(recipe_file), MACHINE).training.learning_rate == 1e-3  # 6e-4 at 768; the width is 256
    assert resolve(load_recipe(recipe_file, ["training.lr=2e-3"]), MACHINE).training.learning_rate == 2e-3
    assert resolve(load_recipe(recipe_file, ["tuning.learning_rate=3e-3"]), MACHINE).training.learning_rate == 3e-3
    assert resolve(load_recipe(recipe_file, ["model=minilm"]), MACHINE).training.learning_rate == 2e-4


def test_a_run_without_a_name_is_called_after_the_family_and_the_depth() -> None:
    raw = {"kind": "new", "architecture": "bert", "depth": 6, "tokenizer": "minilm"}
    recipe = Recipe.model_validate({"model": raw, "data": "a.csv", "task": "text-classification"})
    assert resolve(recipe, MACHINE).name == "text-classification-new-bert-depth-6"


@pytest.mark.parametrize(
    ("edits", "words"),
    [
        (["model.architecture=lama"], "model.architecture: no architecture is called 'lama', did you mean 'llama'?"),
        (["model.depth=0"], "model.depth: should be greater than or equal to 1 (got 0)"),
        (["model.depth=97"], "model.depth: should be less than or equal to 96"),
        (["model.dpeth=3"], "model.dpeth: unknown key, did you mean 'depth'?"),
        (["model.width=100", "model.heads=3"], "model: width 100 is not divisible by 3 heads"),
        (["model.tokenizer=null"], "model: a new gpt2 needs the key 'tokenizer'"),
        (["model.tokenizer=null"], "fathom tokenizer train"),
        (["model.image_size=32"], "model: gpt2 reads text and has no image_size"),
        (
            ["tuning=lora"],
            "tuning.kind 'lora' trains an adapter beside frozen weights, and those of model.kind 'new' are random",
        ),
        (["model={kind: old}"], "no model is called 'old'"),
        (["model={architecture: bert}"], "model.architecture: unknown key"),
        (["model={depth: 3}"], "model.name: this key is required"),
    ],
)
def test_mistakes_are_told_in_words(recipe_file: Path, edits: list[str], words: str) -> None:
    with pytest.raises(ConfigError) as caught:
        load_recipe(recipe_file, edits)
    assert words in str(caught.value)


def test_mistakes_of_the_model_are_told_with_those_of_the_rest(recipe_file: Path) -> None:
    with pytest.raises(ConfigError, match="3 mistakes"):
        load_recipe(recipe_file, ["model.depth=0", "model.architecture=lama", "training.epoch=3"])


def test_hugging_faces_names_are_taken() -> None:
    written = {"num_hidden_layers": 3, "hidden_size": 96, "num_attention_heads": 4, "intermediate_size": 100}
    sizes = validate(NewModel, {"architecture": "Modern-BERT", **written}, "m").sizes()
    assert (sizes.depth, sizes.width, sizes.heads, sizes.feed_forward) == (3, 96, 4, 100)


@pytest.mark.parametrize("architecture", TEXT)
def test_the_config_has_the_sizes_and_the_tokenizers_tokens(architecture: str) -> None:
    config = build_config(new(architecture), WORDS)
    assert config.model_type == architecture
    assert (config.vocab_size, config.hidden_size, config.num_hidden_layers) == (
        300,
        64 if architecture == "modernbert" else 128,
        2,
    )
    assert (config.pad_token_id, config.bos_token_id, config.eos_token_id) == (0, 2, 3)
    assert most_positions(config) == new(architecture).sizes().positions


def test_sizes_that_only_some_families_have() -> None:
    llama = build_config(new("llama", depth=4, key_value_heads=2, positions=64), WORDS)
    assert (llama.num_key_value_heads, llama.head_dim, llama.max_position_embeddings) == (2, 64, 64)
    assert llama.tie_word_embeddings
    assert not build_config(new("llama", depth=64), WORDS).tie_word_embeddings
    assert not build_config(new("llama", tie_embeddings=False), WORDS).tie_word_embeddings
    qwen3 = build_config(new("qwen3", heads=6, head_width=32), WORDS)
    assert (qwen3.num_attention_heads, qwen3.head_dim, qwen3.num_key_value_heads) == (6, 32, 3)
    roberta = build_config(new("roberta", positions=100), Vocabulary(300, pad=1, start=0, end=2))
    assert roberta.max_position_embeddings == 102  # two rows before the first position, as published
    t5 = build_config(new("t5"), WORDS)
    assert (t5.num_layers, t5.num_decoder_layers, t5.decoder_start_token_id) == (2, 2, 0)
    bart = build_config(new("bart"), WORDS)
    assert (bart.encoder_layers, bart.decoder_layers, bart.decoder_start_token_id) == (2, 2, 3)
    vit = build_config(new("vit", image_size=32, patch_size=8), None)
    assert (vit.image_size, vit.patch_size, vit.hidden_size) == (32, 8, 128)


def test_dropout_reaches_every_rate_of_the_config() -> None:
    config = build_config(new("gpt2", dropout=0.0), WORDS)
    assert (config.resid_pdrop, config.embd_pdrop, config.attn_pdrop) == (0.0, 0.0, 0.0)
    assert build_config(new("bert"), WORDS).hidden_dropout_prob == 0.1  # the paper's


def test_rows_of_the_embedding_table() -> None:
    assert build_config(new("bert"), WORDS).vocab_size == 300
    assert build_config(new("bert", pad_to_multiple_of=64), WORDS).vocab_size == 320
    assert build_config(new("bert", vocab_size=500), WORDS).vocab_size == 500
    with pytest.raises(ModelError, match="has 300 tokens and vocabulary_size leaves room for 200"):
        build_config(new("bert", vocab_size=200), WORDS)


def test_a_vocabulary_is_read_from_a_tokenizer() -> None:
    tokenizer = tokenizer_of("bpe")
    found = vocabulary_of(tokenizer)
    assert found.size == len(tokenizer)
    assert (found.pad, found.start, found.end) == (0, 2, 3)
    minilm = vocabulary_of(tokenizer_of("minilm"))
    assert (minilm.size, minilm.pad, minilm.start, minilm.end) == (30522, 0, 101, 102)


def test_tokenizers_that_lack_what_a_family_needs_are_refused() -> None:
    for architecture in ("roberta", "t5", "bart"):
        with pytest.raises(ModelError, match="the tokenizer has no padding token"):
            build_config(new(architecture), Vocabulary(300, end=3))
    with pytest.raises(ModelError, match="the tokenizer has no vocabulary"):
        build_config(new("bert"), Vocabulary(0))
    with pytest.raises(ModelError, match="roberta counts positions from its padding id"):
        build_config(new("roberta"), Vocabulary(9000, pad=8999, end=3))
    with pytest.raises(ConfigError, match="a new llama has no tokenizer"):
        _ = new("llama").tokenizer_source
    with pytest.raises(ConfigError, match="vit reads no text and takes no tokenizer"):
        new("vit", tokenizer="minilm")
    with pytest.raises(ConfigError, match="transformers ties the tables of every t5"):
        new("t5", tie_embeddings=False)


def test_the_positions_become_the_tokenizers_limit() -> None:
    tokenizer = tokenizer_of("bpe")
    before = tokenizer.model_max_length
    try:
        new("gpt2", positions=77).adopt(tokenizer)
        assert tokenizer.model_max_length == 77
        Pretrained(name="minilm").adopt(tokenizer)
        new("t5").adopt(tokenizer)
        assert tokenizer.model_max_length == 77
    finally:
        tokenizer.model_max_length = before


def test_weights_depend_on_the_seed_alone() -> None:
    tokenizer = tokenizer_of("bpe")
    model = new("bert", width=16)

    def weights(seed: int) -> torch.Tensor:
        loaded = model.load(tokenizer, "AutoModelForMaskedLM", {}, seed)
        return torch.cat([tensor.detach().flatten() for tensor in loaded.parameters()])

    torch.manual_seed(1)
    state = torch.random.get_rng_state()
    first = weights(5)
    assert torch.equal(torch.random.get_rng_state(), state)
    torch.manual_seed(2)
    assert torch.equal(weights(5), first)
    assert not torch.equal(weights(6), first)
