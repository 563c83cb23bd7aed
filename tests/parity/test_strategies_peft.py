"""Strategies by recipe are PEFT's: the same trainable set, the same losses and weights, folders that PEFT loads."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import peft
import pytest
import torch
import transformers
from torch import nn

from fathom.model.anatomy import find_anatomy
from fathom.model.bottleneck import Bottleneck
from fathom.model.merge import merge
from fathom.model.packing import pack_model
from fathom.model.reload import verify_reload
from folders_for_tests import make_saved
from strategies_for_tests import OPTIONS, answers, make_batch, make_model, make_tuning, mean_square, train

pytestmark = [
    pytest.mark.filterwarnings("ignore::FutureWarning:transformers"),
    pytest.mark.filterwarnings("ignore:Unsupported layer type"),  # PEFT says so of every norm it tunes
    # PEFT looks AdaLoRA's ranks up as LoRA's, and then again as they are named
    pytest.mark.filterwarnings("ignore:The following rank_pattern keys did not match"),
]

PROJECTIONS = {
    "bert": r".*encoder\.layer\.\d+\..*(query|key|value|dense)",
    "llama": r".*layers\.\d+\..*_proj",
    "gpt2": r".*\.h\.\d+\.(attn|mlp)\.c_\w+",
}
HEADS = {"bert": ["pooler", "classifier"], "llama": ["score"], "gpt2": ["score"]}
NORMS = {"bert": r".*encoder.*LayerNorm", "llama": r".*norm", "gpt2": r".*ln_\w+"}
SCALED = {
    "bert": (r".*layer\.\d+\.(.*(key|value)|output\.dense)", r".*layer\.\d+\.output\.dense"),
    "llama": (r".*(k_proj|v_proj|down_proj)", r".*down_proj"),
    "gpt2": (r".*(c_attn|mlp\.c_proj)", r".*mlp\.c_proj"),
}
STEPS = 8
BEGINS = ("gaussian", "orthogonal", "pissa", "olora")
VARIANTS: dict[str, dict[str, Any]] = {
    **{f"lora:{begin}": {"initialization": begin} for begin in BEGINS},
    "prefix:projection": {"projection": True, "hidden_size": 8},
    "prefix:random": {"initialization": "random"},
    "prefix:zero": {"initialization": "zero"},
    "p-tuning:lstm": {"encoder": "lstm"},
}
"""Options of ours by the name of a case."""


def plain_config(kind: str, family: str) -> peft.PeftConfig:
    """Return what someone who uses PEFT alone would write."""
    common: dict[str, Any] = {"task_type": "SEQ_CLS", "modules_to_save": list(HEADS[family])}
    matrices = {**common, "target_modules": PROJECTIONS[family], "fan_in_fan_out": family == "gpt2"}
    lora = {**matrices, "r": 2, "lora_alpha": 16}
    virtual = {**common, "num_virtual_tokens": 3}
    name, _, variant = kind.partition(":")
    if name == "lora":
        return peft.LoraConfig(**lora, init_lora_weights=variant)
    if name == "ia3":
        targets, inner = SCALED[family]
        return peft.IA3Config(**{**matrices, "target_modules": targets, "feedforward_modules": inner})
    return {
        "dora": lambda: peft.LoraConfig(**lora, use_dora=True),
        "vera": lambda: peft.VeraConfig(**matrices, r=6),
        "norms": lambda: peft.LNTuningConfig(**common, target_modules=NORMS[family]),
        "adalora": lambda: peft.AdaLoraConfig(
            **matrices, target_r=2, init_r=4, lora_alpha=16, total_step=STEPS, tinit=0, tfinal=2
        ),
        "prompt": lambda: peft.PromptTuningConfig(**virtual, prompt_tuning_init="SAMPLE_VOCAB"),
        "p-tuning": lambda: peft.PromptEncoderConfig(
            **virtual, encoder_hidden_size=8, encoder_reparameterization_type=variant.upper() or "MLP"
        ),
        "prefix": lambda: peft.PrefixTuningConfig(
            **virtual,
            encoder_hidden_size=8,
            prefix_projection=variant == "projection",
            init_weights="zero" if variant == "zero" else None,
        ),
    }[name]()


def plain_steps(model: nn.Module, batch: dict[str, torch.Tensor], labels: bool = False) -> list[float]:
    """Train as PEFT's documentation says."""
    optimizer = torch.optim.AdamW([tensor for tensor in model.parameters() if tensor.requires_grad], lr=1e-2)
    losses = []
    for step in range(STEPS):
        output = model.train()(**batch)
        loss = mean_square(output.logits, batch)
        losses.append(float(loss.detach()))
        if labels:  # PEFT adds AdaLoRA's penalty to the model's own loss only
            own = model(**batch, labels=torch.zeros(len(batch["input_ids"]), dtype=torch.long)).loss
            unpenalized = nn.functional.cross_entropy(output.logits, torch.zeros(len(output.logits), dtype=torch.long))
            loss = loss + own - unpenalized
        loss.backward()
        optimizer.step()
        if labels:
            model.base_model.update_and_allocate(step + 1)  # type: ignore[union-attr, operator]
        optimizer.zero_grad()
    return losses


CASES = [
    *[(kind, family) for kind in ("dora", "vera", "ia3", "norms", "adalora") for family in ("bert", "llama", "gpt2")],
    *[(f"lora:{begin}", "bert") for begin in BEGINS],
    ("lora:pissa", "gpt2"),
    *[(kind, family) for kind in ("prompt", "p-tuning", "p-tuning:lstm") for family in ("bert", "gpt2")],
    *[("prefix:random", family) for family in ("bert", "llama", "gpt2")],
    *[(kind, family) for kind in ("prefix:projection", "prefix:zero") for family in ("bert", "llama")],
]


@pytest.mark.parametrize(("kind", "family"), CASES)
def test_training_equals_plain_peft(kind: str, family: str) -> None:
    batch = make_batch(family)
    name = kind.partition(":")[0]
    if name in ("prompt", "p-tuning"):  # with padding PEFT reads a decoder's answer from the wrong position
        batch = {name: tensor[:1] for name, tensor in batch.items()}
    torch.manual_seed(3)
    expected = peft.get_peft_model(model := make_model(family), plain_config(kind, family))
    del model
    tuning = make_tuning(name, **VARIANTS.get(kind, {}))
    model = make_model(family)
    anatomy = find_anatomy(model)
    torch.manual_seed(3)
    make_model(family)  # the same draws from the generator as above
    ours = tuning.apply(model, anatomy)
    trained = {name: tensor for name, tensor in ours.named_parameters() if tensor.requires_grad}
    theirs = {name: tensor for name, tensor in expected.named_parameters() if tensor.requires_grad}
    assert trained.keys() == theirs.keys()
    for path, tensor in trained.items():
        torch.testing.assert_close(tensor, theirs[path], atol=0, rtol=0, msg=path)
    losses = train(ours, tuning, batch, steps=STEPS)
    assert losses == pytest.approx(plain_steps(expected, batch, labels=kind == "adalora"), abs=1e-5)
    for path, tensor in trained.items():
        torch.testing.assert_close(tensor, theirs[path], atol=1e-4, rtol=1e-4, msg=path)


def test_a_prefix_begins_as_it_is_told() -> None:
    def begin(**options: Any) -> Any:
        model = make_model("bert")
        tuned: Any = make_tuning("prefix", **options).apply(model, find_anatomy(model))
        return tuned.prompt_encoder["default"]

    assert begin().embedding.weight.abs().min() > 0
    assert not begin(initialization="zero").embedding.weight.any()
    plain, projected = begin(), begin(projection=True, hidden_size=8)
    assert plain.embedding.weight.shape[1] == 2 * 3 * 16, "keys and values of three blocks"
    assert projected.embedding.weight.shape[1] == 16, "short vectors"
    assert [tuple(one.weight.shape) for one in projected.transform if isinstance(one, nn.Linear)] == [(8, 16), (96, 8)]


SAVED = [
    *[(kind, family) for kind in ("dora", "adalora", "vera", "ia3", "norms") for family in ("bert", "llama", "gpt2")],
    *[(kind, family) for kind in ("prompt", "p-tuning", "p-tuning:lstm") for family in ("bert", "gpt2", "llama")],
    *[(kind, family) for kind in ("prefix", "prefix:projection", "prefix:zero") for family in ("bert", "llama")],
]


@pytest.mark.parametrize(("kind", "family"), SAVED)
def test_plain_peft_loads_what_was_saved(kind: str, family: str, tmp_path: Path) -> None:
    name = kind.partition(":")[0]
    saved = make_saved(tmp_path, name, family=family, **{**OPTIONS.get(name, {}), **VARIANTS.get(kind, {})})
    base = transformers.AutoModelForSequenceClassification.from_pretrained(saved.base, num_labels=3)
    loaded = peft.PeftModel.from_pretrained(base, str(saved.folder)).eval()
    with torch.no_grad():  # one text at a time: with padding PEFT reads a decoder's answer from the wrong position
        rows = [loaded(**_row(saved.inputs, row)).logits for row in range(len(saved.logits))]
    torch.testing.assert_close(torch.cat(rows), saved.logits, atol=1e-5, rtol=1e-5)


def test_adalora_spends_its_budget() -> None:
    model = make_model("bert")
    tuning: Any = make_tuning("adalora", rank=2, initial_rank=4)
    tuned = tuning.apply(model, find_anatomy(model))
    train(tuned, tuning, make_batch("bert"), steps=12)
    values = [tensor for name, tensor in tuned.named_parameters() if "lora_E" in name]
    assert sum(int((tensor != 0).sum()) for tensor in values) == 2 * len(values)
    assert len({int((tensor != 0).sum()) for tensor in values}) > 1, "ranks differ between projections"


def test_adalora_keeps_its_averages_where_the_model_is() -> None:
    tuning: Any = make_tuning("adalora", rank=2, initial_rank=4)
    model = make_model("bert")
    adapted = tuning.apply(model, find_anatomy(model))
    saved = {
        f"{table}/{name}": torch.ones_like(parameter, device="cpu")
        for table in ("exp_avg_ipt", "exp_avg_unc")
        for name, parameter in adapted.base_model.model.named_parameters()
        if "lora_" in name
    }
    tuning.load_state_tensors(adapted.to("meta"), saved)  # stands for a device that is not the processor
    allocator = adapted.base_model.rankallocator
    for table in (allocator.ipt, allocator.exp_avg_ipt, allocator.exp_avg_unc):
        assert len(table) == len(saved) // 2
        assert {value.device.type for value in table.values()} == {"meta"}


def test_adalora_goes_on_exactly_from_its_tensors() -> None:
    batch = make_batch("bert")
    tuning: Any = make_tuning("adalora", rank=2, initial_rank=4)

    def begin() -> Any:
        torch.manual_seed(1)
        model = make_model("bert")
        return tuning.apply(model, find_anatomy(model))

    def step(model: Any, number: int) -> None:
        optimizer = torch.optim.SGD([tensor for tensor in model.parameters() if tensor.requires_grad], lr=0.1)
        (mean_square(model(**batch).logits, batch) + tuning.penalty(model)).backward()
        optimizer.step()
        tuning.after_step(model, number, 12)
        optimizer.zero_grad()

    whole = begin()
    for number in range(1, 13):
        step(whole, number)
    for stop in (3, 9, 11):
        first = begin()
        for number in range(1, stop + 1):
            step(first, number)
        again = begin()
        again.load_state_dict(first.state_dict())
        tuning.load_state_tensors(again, tuning.state_tensors(first))
        for number in range(stop + 1, 13):
            step(again, number)
        for (name, tensor), other in zip(whole.named_parameters(), again.parameters(), strict=True):
            assert torch.equal(tensor, other), f"{name} after a stop at step {stop}"


@pytest.mark.parametrize("kind", ["prompt", "p-tuning"])
@pytest.mark.parametrize("family", ["bert", "roberta", "distilbert", "gpt2", "llama", "qwen3", "modernbert"])
@pytest.mark.parametrize("task", ["text-classification", "token-classification"])
def test_virtual_tokens_run_packed(kind: str, family: str, task: str) -> None:
    batch = make_batch(family)
    model = make_model(family, task)
    tuned: Any = make_tuning(kind).apply(model, find_anatomy(model))
    padded = answers(tuned, batch)
    handle = pack_model(tuned)
    assert handle.packed, handle.reason
    handle.prepare(batch["attention_mask"])
    torch.testing.assert_close(answers(tuned, batch), padded, atol=1e-5, rtol=1e-5)
    handle.remove()
    alone = [answers(tuned, _row(batch, row)) for row in range(len(batch["input_ids"]))]
    torch.testing.assert_close(padded, torch.cat(alone), atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("kind", ["prompt", "p-tuning"])
def test_virtual_tokens_are_as_wide_as_the_embeddings(kind: str) -> None:
    # ELECTRA's are narrower than its blocks, whose width PEFT would take
    sizes = {"hidden_size": 16, "embedding_size": 8, "num_hidden_layers": 2, "num_attention_heads": 2}
    config = transformers.ElectraConfig(**sizes, intermediate_size=32, vocab_size=50, num_labels=3)
    model = transformers.ElectraForSequenceClassification(config).eval()
    tuned = make_tuning(kind).apply(model, find_anatomy(model))
    batch = make_batch("bert")
    padded = answers(tuned, batch)
    alone = [answers(tuned, _row(batch, row)) for row in range(len(batch["input_ids"]))]
    torch.testing.assert_close(padded, torch.cat(alone), atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("family", ["bert", "gpt2", "llama"])
def test_a_prefix_runs_padded_and_says_why(family: str) -> None:
    batch = make_batch(family)
    model = make_model(family)
    tuned: Any = make_tuning("prefix").apply(model, find_anatomy(model))
    before = answers(tuned, batch)
    handle = pack_model(tuned)
    assert "prefix tuning brings keys and values" in (handle.reason or "")
    handle.prepare(batch["attention_mask"])
    torch.testing.assert_close(answers(tuned, batch), before, atol=0, rtol=0)
    alone = [answers(tuned, _row(batch, row)) for row in range(len(batch["input_ids"]))]
    torch.testing.assert_close(before, torch.cat(alone), atol=1e-5, rtol=1e-5)
    with torch.no_grad():
        tuned.prompt_encoder["default"].embedding.weight.mul_(2)
    assert not torch.allclose(answers(tuned, batch), before), "the prefix is not read"


def _row(batch: dict[str, torch.Tensor], row: int) -> dict[str, torch.Tensor]:
    length = int(batch["attention_mask"][row].sum())
    return {name: tensor[row : row + 1, :length] for name, tensor in batch.items()}


@pytest.mark.parametrize("placement", ["houlsby", "pfeiffer", "parallel"])
@pytest.mark.parametrize("family", ["bert", "gpt2", "llama"])
def test_a_bottleneck_is_its_formula(placement: str, family: str) -> None:
    model = make_model(family)
    expected = answers(model, make_batch(family))
    tuned = make_tuning("adapter", placement=placement, scale=2.0).apply(model, find_anatomy(model))
    torch.testing.assert_close(answers(tuned, make_batch(family)), expected, atol=0, rtol=0)
    found = [module for module in tuned.modules() if isinstance(module, Bottleneck)]
    assert len(found) == (6 if placement == "houlsby" else 3)
    one = found[-1]
    one.adapter_up.weight.data.normal_()
    seen: dict[str, torch.Tensor] = {}
    one.register_forward_hook(lambda module, args, output: seen.update(into=args[0], out=output))
    one.adapter_down.register_forward_hook(lambda module, args, output: seen.update(read=args[0]))
    answers(tuned, make_batch(family))
    inner = torch.relu(seen["read"] @ one.adapter_down.weight.T + one.adapter_down.bias)
    own = one.base_layer(seen["into"])
    if placement != "parallel":
        torch.testing.assert_close(seen["read"], own)
    torch.testing.assert_close(seen["out"], own + 2.0 * (inner @ one.adapter_up.weight.T + one.adapter_up.bias))


MERGED = [("dora", "bert"), ("adalora", "bert"), ("vera", "gpt2"), ("ia3", "bert"), ("norms", "bert")]


@pytest.mark.parametrize(("kind", "family"), MERGED)
def test_a_merged_model_answers_the_same(kind: str, family: str, tmp_path: Path, monkeypatch: Any) -> None:
    # that a fresh process reads a whole model is shown once, for LoRA
    monkeypatch.setattr("fathom.model.merge.verify_reload", lambda *_: 0.0)
    options = {"dora": {"rank": 2}, "adalora": {"rank": 2, "initial_rank": 4}, "vera": {"rank": 6}}.get(kind, {})
    saved = make_saved(tmp_path, kind, family=family, **options)
    assert merge(saved.folder, tmp_path / "merged", saved.auto_class) < 1e-5


@pytest.mark.parametrize(("kind", "options"), [("prompt", {"num_virtual_tokens": 3}), ("adapter", {"size": 4})])
def test_what_fits_no_weight_is_not_merged(kind: str, options: dict[str, Any], tmp_path: Path) -> None:
    saved = make_saved(tmp_path, kind, **options)
    with pytest.raises(ValueError, match=re.escape("cannot be merged: what it computes fits into no weight")):
        merge(saved.folder, tmp_path / "merged", saved.auto_class)


@pytest.mark.parametrize(
    ("kind", "family", "task", "options"),
    [
        ("prompt", "gpt2", "token-classification", {"num_virtual_tokens": 3}),
        ("adapter", "bert", "text-classification", {"size": 4, "placement": "parallel"}),
    ],
)
def test_a_fresh_process_agrees(kind: str, family: str, task: str, options: dict[str, Any], tmp_path: Path) -> None:
    saved = make_saved(tmp_path, kind, task, family, **options)
    assert verify_reload(saved.folder, saved.auto_class, saved.inputs, saved.logits) < 1e-5
