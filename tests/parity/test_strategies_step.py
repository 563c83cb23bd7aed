"""The loop's own arithmetic under every strategy: packed, flat and in place, the gradients are plain autograd's."""

from __future__ import annotations

import pytest
import torch

from fathom import catalog
from fathom.model.anatomy import find_anatomy
from strategies_for_tests import REFUSED, loop_gradients, make_batch, make_model, make_tuning, mean_square

KINDS = catalog.names("tuning")


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=["fp32", "bf16"])
@pytest.mark.parametrize("family", ["bert", "gpt2", "qwen3", "modernbert"])
@pytest.mark.parametrize("kind", KINDS)
def test_gradients(kind: str, family: str, dtype: torch.dtype) -> None:
    if family in REFUSED.get(kind, ()):
        pytest.skip("refused")
    if (kind, family, dtype) == ("qlora", "gpt2", torch.bfloat16):
        pytest.skip("LoRA over these weights, unpacked, is as far off; they are compared in test_qlora")
    tuning = make_tuning(kind)
    gradients = []
    for way in ("plain", "autocast", "loop") if dtype != torch.float32 else ("plain", "loop"):
        model = make_model(family)
        torch.manual_seed(7)
        tuned = tuning.apply(model, find_anatomy(model)).train()
        for name, tensor in tuned.named_parameters():
            if tensor.requires_grad and not bool(tensor.any()):
                torch.manual_seed(len(name))
                tensor.data.normal_(std=0.1)  # what begins at zero hides the gradient of what it is multiplied with
        batch = make_batch(family)
        if way == "loop":
            gradients.append(loop_gradients(tuned, batch, tuning, dtype))
        else:
            with torch.autocast("cpu", torch.bfloat16, enabled=way == "autocast"):
                gradients.append(_plain(tuned, batch))
    plain, flat = gradients[0], gradients[-1]
    assert plain.keys() <= flat.keys()
    for name, expected in plain.items():
        if dtype == torch.float32:
            torch.testing.assert_close(flat[name], expected, atol=1e-5, rtol=1e-4, msg=name)
        else:
            scale = max(float(value.norm()) for value in plain.values())
            # a small model of random weights may be that sensitive: torch's own low precision is as far off
            off = max(float((gradients[1][other] - value).norm()) for other, value in plain.items())
            assert float((flat[name] - expected).norm()) < max(0.1 * scale, 2 * off), name


def _plain(model, batch):  # type: ignore[no-untyped-def]
    mean_square(model(**batch).logits, batch).backward()
    return {name: tensor.grad for name, tensor in model.named_parameters() if tensor.grad is not None}
