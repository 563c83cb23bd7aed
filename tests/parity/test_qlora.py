"""QLoRA is LoRA over NF4: the paper's numbers, PEFT's and transformers' own 4-bit model; folders and merges agree."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import folders_for_tests
import strategies_for_tests
from fathom.model.anatomy import find_anatomy
from fathom.model.combine import combine
from fathom.model.compute import Compute
from fathom.model.folder import load_folder, open_folder
from fathom.model.four_bit import dequantize, four_bit_weights, num_parameters, quantizable, quantize, unpack
from fathom.model.low_rank import fuse_updates
from fathom.model.merge import merge
from fathom.model.parameters import FlatParameters, group_parameters
from fathom.model.reload import reload_logits, verify_reload
from fathom.serving.adapters import Adapters
from fathom.serving.predictor import Predictor
from folders_for_tests import Saved, make_saved
from strategies_for_tests import answers, loop_gradients, make_batch, make_model, make_tuning, train

pytest.importorskip("bitsandbytes", reason="bitsandbytes is not installed")
pytestmark = pytest.mark.filterwarnings("ignore::FutureWarning:transformers")

LEVELS = torch.tensor([
    -1.0, -0.6961928009986877, -0.5250730514526367, -0.39491748809814453, -0.28444138169288635, -0.18477343022823334,
    -0.09105003625154495, 0.0, 0.07958029955625534, 0.16093020141124725, 0.24611230194568634, 0.33791524171829224,
    0.44070982933044434, 0.5626170039176941, 0.7229568362236023, 1.0,
])  # fmt: skip
"""Appendix E of the paper."""


WHOLE_BLOCKS = {"hidden_size": 64, "intermediate_size": 128}
"""Sizes of which every row ends with a block: of others the library's own layers go wrong where it uses AVX-512."""


def packed(family: str = "bert") -> tuple[Any, dict[str, Tensor]]:
    """Return a model with its blocks in 4 bits, and their weights before."""
    model = make_model(family)
    paths = quantizable(model, find_anatomy(model))  # type: ignore[arg-type]
    before = {
        path: (module.weight.T if "Conv1D" in type(module).__name__ else module.weight).detach().clone()
        for path, module in ((path, model.get_submodule(path)) for path in paths)
    }
    return quantize(model, paths), before


def nearest(weight: Tensor) -> tuple[Tensor, Tensor]:
    """Return a weight by the paper's formula with exact scales, and the scale of each number."""
    blocks = weight.flatten().view(-1, 64)
    scales = blocks.abs().amax(1, keepdim=True)
    levels = LEVELS[((blocks / scales)[..., None] - LEVELS).abs().argmin(-1)]
    return (levels * scales).view_as(weight), scales.expand_as(blocks).reshape(weight.shape)


@pytest.mark.parametrize("family", ["bert", "gpt2", "llama", "modernbert"])
def test_weights_are_the_papers(family: str) -> None:
    model, before = packed(family)
    for path, weight in before.items():
        found = unpack(model.get_submodule(path), torch.float32)
        expected, scales = nearest(weight)
        # the scales are in 8 bits too
        assert float(((found - expected).abs() / scales).max()) < 0.02, path
        assert torch.equal(unpack(model.get_submodule(path), torch.bfloat16), found.bfloat16()), path


@pytest.mark.parametrize("shape", [(64, 64), (32, 96), (40, 48), (6, 10), (24, 40)])
def test_rows_may_end_within_a_block(shape: tuple[int, int]) -> None:
    outputs, inputs = shape
    model = nn.ModuleDict({"map": nn.Linear(inputs, outputs)})
    weight = model["map"].weight.detach().clone()  # type: ignore[union-attr]
    found = unpack(quantize(model, ["map"]).get_submodule("map"), torch.float32)
    padded = torch.zeros(-(-weight.numel() // 64) * 64)
    padded[: weight.numel()] = weight.flatten()
    expected, scales = nearest(padded)
    difference = (found.flatten() - expected[: weight.numel()]).abs() / scales[: weight.numel()]
    assert float(difference.max()) < 0.02


def test_what_stays_whole() -> None:
    model, before = packed("bert")
    plain = dict(make_model("bert").named_parameters())
    assert all(".encoder.layer." in path and "LayerNorm" not in path for path in before)
    for name, tensor in model.named_parameters():
        if name.removesuffix(".weight") not in before:
            assert torch.equal(tensor, plain[name]), name
    assert num_parameters(model) == sum(tensor.numel() for tensor in plain.values())


def test_the_bytes_are_those_forecast() -> None:
    model, _ = packed("bert")
    for name, mark in four_bit_weights(model).items():
        state = model.get_submodule(name.removesuffix(".weight")).weight.quant_state
        tensors = [model.get_parameter(name), state.absmax, state.state2.absmax, state.offset]
        assert mark.weight_bytes == sum(tensor.numel() * tensor.element_size() for tensor in tensors)


@pytest.mark.parametrize("family", ["bert", "gpt2"])
def test_what_is_unpacked_answers_the_same(family: str) -> None:
    model, _ = packed(family)
    batch = make_batch(family)
    before = answers(model, batch)
    dequantize(model)
    assert not four_bit_weights(model)
    torch.testing.assert_close(answers(model, batch), before, atol=1e-6, rtol=1e-5)  # products in another order


@pytest.mark.parametrize("family", ["bert", "llama"])
def test_training_is_that_of_peft_over_the_librarys_own_layers(family: str, monkeypatch: pytest.MonkeyPatch) -> None:
    import bitsandbytes
    from peft import LoraConfig, get_peft_model

    config, sizes = strategies_for_tests.FAMILIES[family]
    monkeypatch.setitem(strategies_for_tests.FAMILIES, family, (config, {**sizes, **WHOLE_BLOCKS}))
    tuning: Any = make_tuning("qlora", dropout=0.0)
    model: Any = make_model(family)
    options = tuning.lora_options(model, find_anatomy(model))
    torch.manual_seed(3)
    ours = tuning.apply(model, find_anatomy(model))
    theirs: Any = make_model(family)
    for path in quantizable(theirs, find_anatomy(theirs)):
        linear = theirs.get_submodule(path)
        layer = bitsandbytes.nn.Linear4bit(
            linear.in_features, linear.out_features, bias=linear.bias is not None, quant_type="nf4"
        )
        layer.load_state_dict(linear.state_dict())
        layer.support_avx512bf16_for_cpu = False  # its kernel for inference computes in bf16
        theirs.set_submodule(path, layer.to("cpu"))
    theirs.is_loaded_in_4bit = True
    torch.manual_seed(3)
    theirs = get_peft_model(theirs, LoraConfig(**options))
    assert {type(module).__name__ for module in theirs.modules()} >= {"Linear4bit"}
    batch = make_batch(family)
    torch.testing.assert_close(answers(ours, batch), answers(theirs, batch), atol=1e-6, rtol=1e-5)
    losses = [train(one, tuning, batch, steps=4) for one in (ours, theirs)]
    assert losses[0] == pytest.approx(losses[1], rel=1e-5)
    found = dict(ours.named_parameters())
    for name, tensor in theirs.named_parameters():
        if tensor.requires_grad:
            torch.testing.assert_close(found[name], tensor, atol=1e-5, rtol=1e-4, msg=name)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=["fp32", "bf16"])
def test_the_loop_reads_what_is_packed_and_keeps_no_copy(dtype: torch.dtype) -> None:
    tuning = make_tuning("qlora")
    model = make_model("bert")
    tuned = tuning.apply(model, find_anatomy(model)).train()
    anatomy = find_anatomy(tuned)
    flat = FlatParameters(*group_parameters(tuned))
    compute = Compute(tuned, flat, [block.path for block in anatomy.blocks], dtype=dtype)
    fuse_updates(tuned, [block.path for block in anatomy.blocks], compute, None)
    for name in four_bit_weights(tuned):
        module = tuned.get_submodule(name.removesuffix(".weight"))
        leaf = compute.leaf_of(module)
        assert leaf._frozen_weight is None
        assert leaf.weight_FD.dtype == dtype
        assert torch.equal(leaf.weight_FD, unpack(module, torch.float32).to(dtype))


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=["fp32", "bf16"])
@pytest.mark.parametrize("family", ["bert", "gpt2"])
def test_gradients_are_loras_over_the_same_weights(family: str, dtype: torch.dtype) -> None:
    found = []
    for kind in ("qlora", "lora"):
        model: Any = make_model(family)
        if kind == "lora":
            dequantize(quantize(model, quantizable(model, find_anatomy(model))))
        tuning = make_tuning(kind)
        torch.manual_seed(7)
        tuned = tuning.apply(model, find_anatomy(model)).train()
        for name, tensor in tuned.named_parameters():
            if "lora_B" in name:
                torch.manual_seed(len(name))
                tensor.data.normal_(std=0.1)
        found.append(loop_gradients(tuned, make_batch(family), tuning, dtype))
    assert found[0].keys() == found[1].keys()
    for name, gradient in found[0].items():
        torch.testing.assert_close(gradient, found[1][name], atol=1e-6, rtol=1e-5, msg=name)


@pytest.mark.parametrize("family", ["bert", "gpt2"])
def test_folders_and_merges(family: str, tmp_path: Path) -> None:
    saved = make_saved(tmp_path / "first", "qlora", family=family, rank=2, alpha=8)
    info = open_folder(saved.folder).info
    assert info["four_bit"]["kind"] == "nf4"
    assert "BitsAndBytesConfig" in (saved.folder / "README.md").read_text(encoding="utf-8")
    loaded, _, _ = load_folder(saved.folder, saved.auto_class)
    with torch.no_grad():
        assert torch.equal(loaded(**saved.inputs).logits, saved.logits)
    assert verify_reload(saved.folder, saved.auto_class, saved.inputs, saved.logits) < 1e-5
    assert merge(saved.folder, tmp_path / "merged", saved.auto_class) < 1e-4
    assert "four_bit" not in open_folder(tmp_path / "merged").info
    second = make_saved(tmp_path / "second", "qlora", family=family, rank=3, alpha=3)
    assert combine([saved.folder, second.folder], [0.5, 0.5], tmp_path / "both", saved.auto_class) < 1e-4


def test_adapters_over_both_forms_of_a_base(tmp_path: Path) -> None:
    kinds = {"packed": "qlora", "again": "qlora", "plain": "lora"}
    saved = {name: make_saved(tmp_path / name, kind, rank=2) for name, kind in kinds.items()}
    adapters = Adapters.load({name: item.folder for name, item in saved.items()})
    for name, item in saved.items():
        alone = Predictor.load(item.folder).logits({**item.inputs})
        assert torch.equal(adapters.predictor(name).logits({**item.inputs}), alone), name
    weights = [
        next(iter(model.get_parameter(name).data_ptr() for name in four_bit_weights(model)))
        for model in (adapters.predictor(name).model for name in ("packed", "again"))
    ]
    assert weights[0] == weights[1]
    from fathom.errors import ModelError

    with pytest.raises(ModelError, match="has its base in 4 bits"):
        adapters.predictor({"packed": 0.5, "plain": 0.5})


def test_transformers_own_four_bits_give_the_same_logits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("accelerate", reason="accelerate is not installed")
    import transformers
    from peft import PeftModel

    *classes, sizes = folders_for_tests.FAMILIES["bert"]
    monkeypatch.setitem(folders_for_tests.FAMILIES, "bert", (*classes, {**sizes, **WHOLE_BLOCKS}))
    saved = make_saved(tmp_path, "qlora", rank=2)
    info = open_folder(saved.folder).info
    config = transformers.BitsAndBytesConfig(
        load_in_4bit=True,
        bnb_4bit_quant_type="nf4",
        bnb_4bit_use_double_quant=True,
        bnb_4bit_compute_dtype=torch.float32,
        llm_int8_skip_modules=info["four_bit"]["whole"],
    )
    auto: Any = transformers.AutoModelForSequenceClassification
    base = auto.from_pretrained(
        saved.base, num_labels=len(info["config"]["id2label"]), quantization_config=config, dtype=torch.float32,
        device_map="cpu",
    )  # fmt: skip
    model = PeftModel.from_pretrained(base, str(saved.folder)).eval()
    for module in model.modules():
        if type(module).__name__ == "Linear4bit" and isinstance(module, nn.Linear):
            vars(module)["support_avx512bf16_for_cpu"] = False
    with torch.no_grad():
        logits = model(**saved.inputs).logits
    torch.testing.assert_close(logits, saved.logits, atol=1e-5, rtol=1e-4)


def test_the_folder_loads_in_a_process_of_its_own(tmp_path: Path) -> None:
    saved: Saved = make_saved(tmp_path, "qlora", rank=2)
    assert torch.equal(reload_logits(saved.folder, saved.auto_class, saved.inputs), saved.logits)
    assert json.loads((saved.folder / "adapter_config.json").read_text())["peft_type"] == "LORA"
