"""Which parameters each strategy trains, and that it touches no other."""

from __future__ import annotations

from typing import Any

import pytest
import torch
import transformers
from torch import nn

from fathom import catalog
from fathom.config import validate
from fathom.errors import ConfigError, ModelError
from fathom.model.anatomy import find_anatomy
from fathom.tuning.adapted import trained_heads
from fathom.tuning.base import Tuning

SMALL = {"hidden_size": 16, "num_hidden_layers": 3, "num_attention_heads": 2, "intermediate_size": 32, "vocab_size": 50}
DECODER = {**SMALL, "num_key_value_heads": 1, "pad_token_id": 0, "max_position_embeddings": 32}
GPT2 = {"n_embd": 16, "n_layer": 3, "n_head": 2, "vocab_size": 50, "n_positions": 32, "pad_token_id": 0}
CONFIGS: dict[str, tuple[str, dict[str, Any]]] = {
    "bert": ("BertConfig", SMALL),
    "roberta": ("RobertaConfig", SMALL),
    "distilbert": ("DistilBertConfig", {"dim": 16, "n_layers": 3, "n_heads": 2, "hidden_dim": 32, "vocab_size": 50}),
    "gpt2": ("GPT2Config", GPT2),
    "llama": ("LlamaConfig", DECODER),
    "qwen3": ("Qwen3Config", {**DECODER, "head_dim": 8}),
    "modernbert": ("ModernBertConfig", {**SMALL, "pad_token_id": 0, "global_attn_every_n_layers": 2}),
}
WITHOUT_BIASES = {"llama", "qwen3", "modernbert"}
STRATEGIES: dict[str, dict[str, Any]] = {
    "full": {},
    "head": {},
    "top-layers": {"layers": 1},
    "bitfit": {},
    "lora": {"rank": 2, "alpha": 4},
}


def make_model(family: str, task: str = "SequenceClassification") -> nn.Module:
    config_class, options = CONFIGS[family]
    auto = vars(transformers.models.auto.modeling_auto)[f"AutoModelFor{task}"]
    torch.manual_seed(0)
    made: nn.Module = auto.from_config(getattr(transformers, config_class)(**options, num_labels=3))
    return made


def make_tuning(kind: str, **options: Any) -> Tuning:
    return validate(catalog.load("tuning", kind), {"kind": kind, **options})


def trainable(model: nn.Module) -> set[str]:
    return {name for name, tensor in model.named_parameters() if tensor.requires_grad}


@pytest.fixture(params=sorted(CONFIGS))
def family(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def test_full_trains_everything_or_all_but_the_embeddings(family: str) -> None:
    model = make_model(family)
    anatomy = find_anatomy(model)
    make_tuning("full").apply(model, anatomy)
    everything = {name for name, _ in model.named_parameters()}
    assert trainable(model) == everything
    make_tuning("full", freeze_embeddings=True).apply(model, anatomy)
    frozen = everything - trainable(model)
    assert frozen == {name for name in everything if anatomy.component_of(name)[1] == "embeddings"}
    assert frozen


def test_head_trains_the_head_only(family: str) -> None:
    model = make_model(family)
    anatomy = find_anatomy(model)
    make_tuning("head").apply(model, anatomy)
    expected = {name for name, _ in model.named_parameters() if anatomy.component_of(name)[1] == "head"}
    assert trainable(model) == expected
    assert all(anatomy.component_of(name)[0] is None for name in expected)


def test_the_head_of_bert_is_pooler_and_classifier() -> None:
    model = make_model("bert")
    make_tuning("head").apply(model, find_anatomy(model))
    assert {name.rpartition(".")[0] for name in trainable(model)} == {"bert.pooler.dense", "classifier"}


@pytest.mark.parametrize("embeddings", ["frozen", "trained"])
def test_top_layers_trains_the_top_blocks(family: str, embeddings: str) -> None:
    model = make_model(family)
    anatomy = find_anatomy(model)
    make_tuning("top-layers", layers=2, embeddings=embeddings).apply(model, anatomy)
    for name, tensor in model.named_parameters():
        depth, component = anatomy.component_of(name)
        wanted = (depth is not None and depth >= 1) or component in {"head", "final"}
        assert tensor.requires_grad == (wanted or (component == "embeddings" and embeddings == "trained")), name


def test_top_layers_refuses_more_blocks_than_there_are() -> None:
    model = make_model("bert")
    with pytest.raises(ModelError, match="4 layers are to learn, and the encoder has 3 blocks"):
        make_tuning("top-layers", layers=4).apply(model, find_anatomy(model))
    with pytest.raises(ConfigError):
        make_tuning("top-layers", layers=0)


def test_bitfit_trains_biases_and_head(family: str) -> None:
    model = make_model(family)
    anatomy = find_anatomy(model)
    if family in WITHOUT_BIASES:
        with pytest.raises(ModelError, match="have none"):
            make_tuning("bitfit").apply(model, anatomy)
        return
    make_tuning("bitfit").apply(model, anatomy)
    for name, tensor in model.named_parameters():
        depth, component = anatomy.component_of(name)
        wanted = name.endswith(".bias") and (depth is not None or component == "final")
        assert tensor.requires_grad == (wanted or component == "head"), name


def test_lora_wraps_every_projection_of_the_blocks_and_saves_the_head(family: str) -> None:
    model = make_model(family)
    anatomy = find_anatomy(model)
    projections = {path for block in anatomy.blocks for path in (*block.attention, *block.feed_forward)}
    wrapped = make_tuning("lora", rank=2).apply(model, anatomy)
    learning = trainable(wrapped)
    adapted = {name.removeprefix("base_model.model.").partition(".lora_")[0] for name in learning if ".lora_" in name}
    assert adapted == projections
    rest = {name for name in learning if ".lora_" not in name}
    heads = {name for name, _ in make_model(family).named_parameters() if anatomy.component_of(name)[1] == "head"}
    saved = {name.removeprefix("base_model.model.").replace(".modules_to_save.default", "") for name in rest}
    assert saved == heads


@pytest.mark.parametrize(
    ("targets", "expected"),
    [
        ("attention", {"query", "key", "value", "dense"}),
        ("feed-forward", {"dense"}),
        (["query", "value"], {"query", "value"}),
        (["attention.output.dense"], {"dense"}),
    ],
)
def test_lora_targets(targets: Any, expected: set[str]) -> None:
    model = make_model("bert")
    anatomy = find_anatomy(model)
    paths = make_tuning("lora", targets=targets).target_paths(anatomy)  # type: ignore[attr-defined]
    assert {path.rpartition(".")[2] for path in paths} == expected
    assert len(paths) == len(set(paths))


def test_lora_refuses_an_unknown_target() -> None:
    model = make_model("bert")
    with pytest.raises(ModelError, match=r"no projection of the blocks is called 'q_proj'(.|\n)*attention.self.query"):
        make_tuning("lora", targets=["q_proj"]).apply(model, find_anatomy(model))


def test_lora_bias_trains_biases_too() -> None:
    model = make_model("bert")
    learning = trainable(make_tuning("lora", bias="all").apply(model, find_anatomy(model)))
    assert any(name.endswith("LayerNorm.bias") for name in learning)


def test_a_head_tied_to_the_embeddings_stays_trainable() -> None:
    torch.manual_seed(0)
    model = transformers.GPT2LMHeadModel(transformers.GPT2Config(**GPT2))
    for kind in ("head", "full"):
        options = {"freeze_embeddings": True} if kind == "full" else {}
        make_tuning(kind, **options).apply(model, find_anatomy(model))
        assert model.lm_head.weight.requires_grad


@pytest.mark.parametrize("task", ["SequenceClassification", "TokenClassification"])
@pytest.mark.parametrize("kind", sorted(STRATEGIES))
def test_two_steps_change_what_learns_and_nothing_else(family: str, kind: str, task: str) -> None:
    if kind == "bitfit" and family in WITHOUT_BIASES:
        pytest.skip("the family has no biases")
    model = make_model(family, task)
    tuned = make_tuning(kind, **STRATEGIES[kind]).apply(model, find_anatomy(model)).train()
    before = {name: tensor.detach().clone() for name, tensor in tuned.named_parameters()}
    learning = trainable(tuned)
    optimizer = torch.optim.AdamW([tensor for tensor in tuned.parameters() if tensor.requires_grad], lr=1e-2)
    torch.manual_seed(0)
    ids = torch.randint(1, 50, (4, 7))
    labels = torch.randint(0, 3, (4,) if task == "SequenceClassification" else (4, 7))
    for _ in range(2):
        tuned(input_ids=ids, attention_mask=torch.ones_like(ids), labels=labels).loss.backward()
        optimizer.step()
        optimizer.zero_grad()
    for name, tensor in tuned.named_parameters():
        if name not in learning:
            assert torch.equal(tensor, before[name]), f"{name} is frozen and changed"
    moved = {name for name, tensor in tuned.named_parameters() if not torch.equal(tensor, before[name])}
    assert {name for name in learning if "head" in name or "classifier" in name or "score" in name} <= moved
    if kind == "lora":
        assert all(name in moved for name in learning if ".lora_B." in name)


@pytest.mark.parametrize("kind", sorted(STRATEGIES))
def test_every_strategy_has_its_learning_rate(kind: str) -> None:
    assert 0 < make_tuning(kind).default_learning_rate < 0.1
    assert make_tuning(kind).learning_rate is None
    assert make_tuning(kind).saves_adapter == (kind == "lora")


def test_peft_is_imported_only_when_lora_is_applied() -> None:
    import subprocess
    import sys

    code = "import sys; from fathom import catalog; catalog.load('tuning', 'lora')(); assert 'peft' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_the_head_of_lora_learns_faster_than_its_matrices(family: str) -> None:
    tuning = make_tuning("lora", head_scale=7)
    model = make_model(family)
    wrapped = tuning.apply(model, find_anatomy(model))
    scales = tuning.learning_rate_scales(wrapped, find_anatomy(wrapped))
    assert set(scales) == {name for name in trainable(wrapped) if ".lora_" not in name}
    assert set(scales.values()) == {7.0}
    assert make_tuning("full").learning_rate_scales(model, find_anatomy(model)) == {}


HEADS_FOR_WORDS = {
    "bert": {"cls.predictions.transform"},
    "roberta": {"lm_head.dense", "lm_head.layer_norm"},
    "distilbert": {"vocab_transform", "vocab_layer_norm"},
    "modernbert": {"head"},
    "gpt2": set(),
}


@pytest.mark.parametrize("family", HEADS_FOR_WORDS)
def test_of_a_head_for_words_all_but_the_map_onto_the_vocabulary_learns(family: str) -> None:
    """It may be new: a sentence encoder comes without one."""
    model = make_model(family, "CausalLM" if family == "gpt2" else "MaskedLM")
    assert set(trained_heads(model, find_anatomy(model))) == HEADS_FOR_WORDS[family]
    tuned = make_tuning("lora", rank=2).apply(model, find_anatomy(model))
    learning = {name.replace(".modules_to_save.default", "") for name in trainable(tuned)}
    for head in HEADS_FOR_WORDS[family]:
        assert any(f".{head}." in name for name in learning), head
    table = model.get_output_embeddings().weight
    assert not table.requires_grad


def test_the_second_objective_of_a_head_for_words_learns() -> None:
    model = make_model("bert", "PreTraining")
    heads = {"bert.pooler", "cls.predictions.transform", "cls.seq_relationship"}
    assert set(trained_heads(model, find_anatomy(model))) == heads
