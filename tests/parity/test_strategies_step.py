"""The loop's own arithmetic under every strategy: packed, flat and in place, the gradients are plain autograd's."""

from __future__ import annotations

import pytest
import torch

from fathom import catalog
from fathom.model.anatomy import find_anatomy
from fathom.model.compute import Compute
from fathom.model.packing import pack_model
from fathom.model.parameters import FlatParameters, group_parameters
from strategies_for_tests import REFUSED, make_batch, make_model, make_tuning, mean_square

KINDS = catalog.names("tuning")


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=["fp32", "bf16"])
@pytest.mark.parametrize("family", ["bert", "gpt2", "qwen3", "modernbert"])
@pytest.mark.parametrize("kind", KINDS)
def test_gradients(kind: str, family: str, dtype: torch.dtype) -> None:
    if family in REFUSED.get(kind, ()):
        pytest.skip("refused")
    tuning = make_tuning(kind)
    gradients = []
    for ours in (False, True):
        model = make_model(family)
        torch.manual_seed(7)
        tuned = tuning.apply(model, find_anatomy(model)).train()
        for name, tensor in tuned.named_parameters():
            if tensor.requires_grad and not bool(tensor.any()):
                torch.manual_seed(len(name))
                tensor.data.normal_(std=0.1)  # what begins at zero hides the gradient of what it is multiplied with
        batch = make_batch(family)
        gradients.append(_ours(tuned, batch, tuning, dtype) if ours else _plain(tuned, batch))
    plain, flat = gradients
    assert plain.keys() <= flat.keys()
    for name, expected in plain.items():
        if dtype == torch.float32:
            torch.testing.assert_close(flat[name], expected, atol=1e-5, rtol=1e-4, msg=name)
        else:
            scale = max(float(value.norm()) for value in plain.values())
            assert float((flat[name] - expected).norm()) < 0.1 * scale, name


def _plain(model, batch):  # type: ignore[no-untyped-def]
    mean_square(model(**batch).logits, batch).backward()
    return {name: tensor.grad for name, tensor in model.named_parameters() if tensor.grad is not None}


def _ours(model, batch, tuning, dtype):  # type: ignore[no-untyped-def]
    packed = pack_model(model)
    if dtype != torch.float32 and packed.packed:
        packed.stream_dtype = dtype
    anatomy = find_anatomy(model)
    named, keys = group_parameters(model, tuning.learning_rate_scales(model, anatomy))
    flat = FlatParameters(named, keys, shadow_dtype=dtype if dtype != torch.float32 else None)
    compute = Compute(model, flat, [block.path for block in anatomy.blocks], dtype=dtype)
    flat.begin_step(compute.direct)
    packed.prepare(batch["attention_mask"])
    mean_square(model(**batch).logits.float(), batch).backward()
    flat.end_step()
    return {name: flat.gradient(slot).clone() for name, slot in flat.slots.items()}
