"""The ladder: its formula, no backward pass through the blocks, packed as padded, saved and read again."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
from torch import Tensor, nn

from fathom.errors import ArtifactError, ModelError
from fathom.model.anatomy import find_anatomy
from fathom.model.checkpointing import checkpoint_blocks
from fathom.model.ladder import Ladder, attached, load_adapter
from fathom.model.packing import pack_model
from fathom.model.reload import verify_reload
from folders_for_tests import make_saved
from strategies_for_tests import FAMILIES, answers, make_batch, make_model, make_tuning, mean_square

ALL = sorted(FAMILIES)


def make_ladder(family: str, task: str = "text-classification") -> tuple[nn.Module, Ladder]:
    """A model with a ladder that does something."""
    model = make_model(family, task)
    torch.manual_seed(4)
    make_tuning("ladder").apply(model, find_anatomy(model))
    ladder = attached(model)
    assert ladder is not None
    for name, tensor in ladder.named_parameters():
        if name.startswith("up.") or name.endswith("gate"):
            tensor.data.normal_(std=0.1)
    return model, ladder


@pytest.mark.parametrize("family", ALL)
def test_it_begins_by_adding_nothing(family: str) -> None:
    expected = answers(make_model(family), make_batch(family))
    model = make_model(family)
    make_tuning("ladder").apply(model, find_anatomy(model))
    torch.testing.assert_close(answers(model, make_batch(family)), expected, atol=0, rtol=0)


@pytest.mark.parametrize("family", ["bert", "gpt2", "llama"])
def test_a_ladder_is_its_formula(family: str) -> None:
    model, ladder = make_ladder(family)
    blocks = [model.get_submodule(path) for path in ladder.spec.blocks]
    seen: list[Tensor] = []
    for block in blocks:  # in front of the ladder's own hook
        block.register_forward_hook(lambda _, __, out: seen.append(out if isinstance(out, Tensor) else out[0]), prepend=True)  # fmt: skip  # noqa: E501
    last: list[Tensor] = []
    blocks[-1].register_forward_hook(lambda _, __, out: last.append(out if isinstance(out, Tensor) else out[0]))
    answers(model, make_batch(family))
    side = None
    for rung, made in zip(ladder.rungs, seen, strict=True):
        assert isinstance(rung, nn.Module)
        parts: Any = rung
        normal = (made - made.mean(-1, keepdim=True)) / (made.var(-1, keepdim=True, unbiased=False) + 1e-5).sqrt()
        here = normal @ parts.down.weight.T + parts.down.bias
        if side is not None:
            share = torch.sigmoid(parts.gate / 0.1)
            here = share * side + (1 - share) * here
        side = here + parts.narrow(torch.relu(parts.wide(parts.norm(here))))
    assert side is not None
    expected = seen[-1] + ladder.norm(side) @ ladder.up.weight.T + ladder.up.bias
    torch.testing.assert_close(last[0], expected, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("task", ["text-classification", "token-classification"])
@pytest.mark.parametrize("family", ALL)
def test_it_runs_packed_and_no_block_has_a_backward_pass(family: str, task: str) -> None:
    model, _ = make_ladder(family, task)
    batch = make_batch(family)
    padded = answers(model, batch)
    handle = pack_model(model)
    assert handle.packed, handle.reason
    handle.prepare(batch["attention_mask"])
    torch.testing.assert_close(answers(model, batch), padded, atol=1e-5, rtol=1e-5)
    kept: list[bool] = []
    for block in find_anatomy(model).blocks:  # in front of the ladder's own hook
        model.get_submodule(block.path).register_forward_hook(
            lambda _, __, out: kept.append((out if isinstance(out, Tensor) else out[0]).requires_grad), prepend=True
        )
    handle.prepare(batch["attention_mask"])
    mean_square(model.train()(**batch).logits, batch).backward()
    assert kept == [False] * 3
    assert all(tensor.grad is not None for name, tensor in model.named_parameters() if name.startswith("ladder."))


@pytest.mark.parametrize("family", ["bert", "gpt2"])
def test_a_fresh_process_agrees(family: str, tmp_path: Path) -> None:
    saved = make_saved(tmp_path, "ladder", family=family, width=6, inner=8)
    assert verify_reload(saved.folder, saved.auto_class, saved.inputs, saved.logits) < 1e-5


def test_files_that_do_not_fit_are_refused(tmp_path: Path) -> None:
    saved = make_saved(tmp_path, "ladder", width=6, inner=8)
    wide = {
        "hidden_size": 32,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "intermediate_size": 32,
        "num_labels": 3,
    }
    with pytest.raises(ArtifactError, match=r"does not fit the base model: bert\.pooler\.dense\.bias"):
        load_adapter(transformers.BertForSequenceClassification(transformers.BertConfig(**wide)), saved.folder)
    config = saved.folder / "adapter_config.json"
    config.write_text(config.read_text().replace('"format": 1', '"format": 2'))
    with pytest.raises(ArtifactError, match=r"format 2; this version reads FATHOM_LADDER, format 1"):
        load_adapter(make_model("bert"), saved.folder)


def test_where_it_cannot_stand_is_said() -> None:
    sizes = {"d_model": 16, "d_kv": 8, "d_ff": 32, "num_layers": 2, "num_heads": 2, "vocab_size": 50}
    two = transformers.T5ForConditionalGeneration(transformers.T5Config(**sizes))
    with pytest.raises(ModelError, match="has an encoder and a decoder"):
        make_tuning("ladder").apply(two, find_anatomy(two))
    small = {
        "hidden_size": 16,
        "embedding_size": 8,
        "num_attention_heads": 2,
        "intermediate_size": 32,
        "vocab_size": 50,
    }
    shared = transformers.AlbertForSequenceClassification(transformers.AlbertConfig(**small))
    with pytest.raises(ModelError, match="blocks that share their weights"):
        make_tuning("ladder").apply(shared, find_anatomy(shared))
    model, ladder = make_ladder("bert")
    with pytest.raises(ModelError, match="nothing to compute again"):
        checkpoint_blocks(model, ladder.spec.blocks)


def test_a_decoder_generates_with_it() -> None:
    torch.manual_seed(0)
    sizes = {"n_embd": 16, "n_layer": 2, "n_head": 2, "vocab_size": 50, "eos_token_id": 1, "bos_token_id": 1}
    model = transformers.GPT2LMHeadModel(transformers.GPT2Config(**sizes)).eval()
    make_tuning("ladder").apply(model, find_anatomy(model))
    ladder = attached(model)
    assert ladder is not None
    ladder.up.weight.data.normal_()
    ids = torch.tensor([[5, 9, 20]])
    with torch.no_grad():
        for _ in range(4):  # without a cache: every position again
            ids = torch.cat([ids, model(input_ids=ids, use_cache=False).logits[:, -1:].argmax(-1)], 1)
        start = ids[:, :3]
        found = model.generate(start, attention_mask=torch.ones_like(start), max_new_tokens=4, do_sample=False, pad_token_id=0)  # fmt: skip  # noqa: E501
    assert torch.equal(found[:, : ids.shape[1]], ids)
