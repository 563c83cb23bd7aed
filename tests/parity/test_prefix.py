"""Started at block k from given states, a model gives the outputs and gradients of the whole pass, in every family."""

from __future__ import annotations

import pytest
import torch
from tests.parity.test_packing import CASES, Case, batch, build
from torch import nn

from fathom.data.batch import segment_positions
from fathom.model.anatomy import find_anatomy
from fathom.model.packing import PackedModel, pack_model
from fathom.model.prefix import Prefix, PrefixError

PACKED = [case for case in CASES if case.packed and case.config != "AlbertConfig" and "T5" not in case.config]
PACKED = [case for case in PACKED if "encoder_layers" not in case.options]  # two stacks have no frozen prefix


def gradients_above(model: nn.Module, handle: PackedModel, hidden: torch.Tensor | None) -> dict[str, torch.Tensor]:
    inputs = batch(model)
    model.zero_grad()
    handle.prepare(inputs["attention_mask"], hidden_TD=hidden)
    logits = model(**inputs).logits
    (logits * torch.linspace(-1, 1, logits.numel()).view_as(logits)).sum().backward()
    found = {name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None}
    return {**found, "logits": logits.detach()}


@pytest.mark.parametrize("case", PACKED, ids=str)
def test_every_depth_gives_the_whole_pass(case: Case) -> None:
    model = build(case)
    handle = pack_model(model)
    anatomy = find_anatomy(model)
    depth = len(anatomy.blocks)
    for first in range(1, depth + 1):
        for parameter in model.parameters():
            parameter.requires_grad_(True)
        for name, parameter in model.named_parameters():
            place, component = anatomy.component_of(name)
            parameter.requires_grad_(place >= first if place is not None else component in ("head", "final"))
        whole = gradients_above(model, handle, None)
        prefix = Prefix(handle, anatomy, first)
        hidden = prefix.compute(batch(model))
        assert hidden.shape == (int(batch(model)["attention_mask"].sum()), model.config.get_text_config().hidden_size)
        started = gradients_above(model, handle, hidden)
        assert started.keys() == whole.keys()
        for name, value in whole.items():
            torch.testing.assert_close(started[name], value, rtol=1e-5, atol=1e-6, msg=f"{name} from block {first}")
        prefix.remove()
        again = gradients_above(model, handle, None)
        assert torch.equal(again["logits"], whole["logits"])


@pytest.mark.parametrize(
    "name,reads", [("BertConfig", "first"), ("ModernBertConfig", "first"), ("LlamaConfig", "last")]
)
def test_a_classifier_s_head_is_given_the_one_token_it_reads(name: str, reads: str) -> None:
    case = next(item for item in CASES if item.config == name)
    model = build(case)
    prefix = Prefix(pack_model(model), find_anatomy(model), len(find_anatomy(model).blocks))
    assert prefix.reads == reads


def test_below_the_top_every_token_is_read() -> None:
    model = build(CASES[0])
    assert Prefix(pack_model(model), find_anatomy(model), 2).reads == "all"


def test_documents_of_a_window_stay_apart() -> None:
    case = Case("GPT2Config", next(c for c in CASES if c.config == "GPT2Config").options, head="AutoModelForCausalLM")
    model = build(case)
    handle = pack_model(model)
    ids = torch.arange(24).view(2, 12) * 7 % 90 + 3
    segment = torch.tensor([[0] * 5 + [1] * 7, [0] * 3 + [1] * 4 + [2] * 5])
    inputs = {"input_ids": ids, "attention_mask": torch.ones_like(ids), "position_ids": segment_positions(segment)}
    handle.prepare(inputs["attention_mask"], segment)
    with torch.no_grad():
        whole = model(**inputs).logits
    prefix = Prefix(handle, find_anatomy(model), 2)
    hidden = prefix.compute(inputs, segment)
    handle.prepare(inputs["attention_mask"], segment, hidden)
    with torch.no_grad():
        torch.testing.assert_close(model(**inputs).logits, whole, rtol=0, atol=1e-6)


class ReadsBelow(nn.Module):
    """A head that looks at the embeddings too: it cannot start in the middle."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.inner, self.seen = model.classifier, None
        model.bert.embeddings.register_forward_hook(lambda *parts: setattr(self, "seen", parts[2]))

    def forward(self, hidden: torch.Tensor) -> torch.Tensor:
        return self.inner(hidden) + self.seen.square().mean()


def test_a_model_that_reads_below_is_found_out() -> None:
    model = build(CASES[0])
    model.classifier = ReadsBelow(model)
    handle = pack_model(model)
    before = gradients_above(model, handle, None)["logits"]
    with pytest.raises(PrefixError, match="differently"):
        Prefix(handle, find_anatomy(model), 2)
    assert torch.equal(gradients_above(model, handle, None)["logits"], before)


def test_set_aside_the_whole_model_runs() -> None:
    model = build(CASES[0])
    handle = pack_model(model)
    inputs = batch(model)
    with torch.no_grad(), handle.set_aside():
        whole = model(**inputs).logits
    prefix = Prefix(handle, find_anatomy(model), 2)
    handle.prepare(inputs["attention_mask"], hidden_TD=prefix.compute(inputs))
    with torch.no_grad(), handle.set_aside():
        assert torch.equal(model(**inputs).logits, whole)
