"""Preferences against the model itself: each conversation alone, whole logits, written-out losses and gradients."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn.functional import logsigmoid

from fathom.data.store import TokenStore, from_features
from fathom.tasks.base import OpenTask
from fathom.tasks.preference import Preference
from fathom.training.step import Workload, compute_gradient, passes
from languages_for_tests import WORDS, make_model, make_tokenizer, make_workload

ROWS = np.arange(6)
OBJECTIVES: dict[str, dict[str, Any]] = {
    "dpo": {"objective": "dpo", "beta": 0.3, "label_smoothing": 0.1, "sft_weight": 0.2},
    "dpo-by-mean": {"objective": "dpo", "beta": 2.0, "length_normalized": True},
    "ipo": {"objective": "ipo", "beta": 0.5},
    "ipo-by-sum": {"objective": "ipo", "beta": 0.05, "length_normalized": False},
    "orpo": {"objective": "orpo", "beta": 0.4},
    "simpo": {"objective": "simpo", "beta": 2.5, "gamma": 0.6},
    "kto": {"objective": "kto", "beta": 0.2, "desirable_weight": 1.3, "undesirable_weight": 0.7},
}
CELLS = [
    *((name, "llama-tied", True) for name in OBJECTIVES),
    *(("dpo", family, True) for family in ("gpt2", "gemma2")),
    *((name, "gpt2", False) for name in ("dpo", "kto")),
]
"""Objective, family, and whether blocks run packed."""


def examples() -> list[dict[str, Any]]:
    random = np.random.default_rng(0)

    def say(most: int) -> str:
        return " ".join(random.choice(WORDS[:40], random.integers(1, most)))

    return [
        {
            "messages": [{"role": "user", "content": say(6)}],
            "chosen": say(8),
            "rejected": say(8),
            "where": f"x.jsonl:{number + 1}",
        }
        for number in range(6)
    ]


def open_task(name: str) -> OpenTask:
    return Preference(**OBJECTIVES[name]).open(examples(), make_tokenizer(), 64)


def encode(task: Any) -> TokenStore:
    """Encode pairs, with random numbers for what the reference says."""
    random = np.random.default_rng(1)
    features = task.encode(examples())
    if task.compares:
        for item in features:
            item["reference"] = np.where(item["labels"] >= 0, random.uniform(-5, -1, len(item["labels"])), 0).astype(
                "f4"
            )
    return from_features(features)


def likelihoods(model: Any, store: TokenStore, rows: np.ndarray[Any, Any]) -> tuple[Tensor, Tensor, Tensor]:
    """Log-probability, reference and tokens of both answers of each sequence, `[rows, 2]`, one by one."""
    found = []
    for row in rows:
        item = store[int(row)]
        for side in (0, 1):
            inside = item["segment"] == side
            ids = torch.from_numpy(item["input_ids"][inside].astype(np.int64))
            labels = torch.from_numpy(item["labels"][inside].astype(np.int64))
            said = model(input_ids=ids[None]).logits[0].float().log_softmax(-1)
            places = (labels >= 0).nonzero()[:, 0]
            policy = said[places - 1, labels[places]].sum()
            reference = float(item["reference"][inside].sum()) if "reference" in item else 0.0
            found.append(torch.stack([policy, torch.tensor(reference), torch.tensor(float(len(places)))]))
    policy_N, reference_N, tokens_N = torch.stack(found).view(-1, 2, 3).unbind(-1)
    return policy_N, reference_N, tokens_N


def written_out(name: str, policy_N: Tensor, reference_N: Tensor, tokens_N: Tensor, wanted: Tensor) -> Tensor:
    """The mean loss, from the papers."""
    ratio_N, mean_N = policy_N - reference_N, policy_N / tokens_N
    margin = (ratio_N[:, 0] - ratio_N[:, 1]) if "mean" not in name else (ratio_N / tokens_N) @ torch.tensor([1.0, -1.0])
    if name == "dpo":
        likely = -0.9 * logsigmoid(0.3 * margin) - 0.1 * logsigmoid(-0.3 * margin)
        return (likely - 0.2 * mean_N[:, 0]).mean()
    if name == "dpo-by-mean":
        return -logsigmoid(2.0 * margin).mean()
    if name == "ipo":
        return (((ratio_N / tokens_N) @ torch.tensor([1.0, -1.0]) - 1 / (2 * 0.5)) ** 2).mean()
    if name == "ipo-by-sum":
        return ((margin - 1 / (2 * 0.05)) ** 2).mean()
    if name == "simpo":
        return -logsigmoid(2.5 * (mean_N[:, 0] - mean_N[:, 1]) - 0.6).mean()
    if name == "orpo":
        odds_N = mean_N.exp() / (1 - mean_N.exp())
        return (-mean_N[:, 0] - 0.4 * logsigmoid((odds_N[:, 0] / odds_N[:, 1]).log())).mean()
    zero = ratio_N[:, 1].detach().mean().clamp(min=0)
    good = 1.3 * (1 - torch.sigmoid(0.2 * (ratio_N[:, 0] - zero)))
    bad = 0.7 * (1 - torch.sigmoid(0.2 * (zero - ratio_N[:, 0])))
    return torch.where(wanted, good, bad).mean()


def gradients(work: Workload) -> dict[str, Tensor]:
    return {name: work.parameters.gradient(slot).clone() for name, slot in work.parameters.slots.items()}


@pytest.mark.parametrize(("name", "family", "packing"), CELLS, ids=str)
def test_loss_and_gradients_are_those_of_the_model(name: str, family: str, packing: bool) -> None:
    task = open_task(name)
    store = encode(task)
    rows = np.arange(len(store))[:6]
    plain = copy.deepcopy(make_model(family)).eval()
    wanted = torch.tensor([bool(store[int(row)].get("desirable", 1)) for row in rows])
    expected = written_out(name, *likelihoods(plain, store, rows), wanted)
    expected.backward()
    work = make_workload(make_model(family), task, store, packing=packing)
    result = compute_gradient(work, rows, 0)
    assert result.loss == pytest.approx(expected.item(), rel=2e-5)
    named = dict(plain.named_parameters())
    for parameter, gradient in gradients(work).items():
        reference = named[parameter].grad
        assert reference is not None
        assert (gradient - reference).abs().max().item() <= 3e-5 * max(1.0, result.grad_norm), parameter


@pytest.mark.parametrize("name", ["dpo", "orpo", "kto"])
def test_parts_equal_the_whole(name: str) -> None:
    task = open_task(name)
    store = encode(task)
    work = make_workload(make_model("llama"), task, store)
    whole = compute_gradient(work, ROWS, 0)
    expected = gradients(work)
    for most in (60, 1):
        work.most_tokens = most
        assert len(passes(work, ROWS)) > 1
        part = compute_gradient(work, ROWS, 0)
        assert part.loss == pytest.approx(whole.loss, rel=1e-5)
        for parameter, gradient in gradients(work).items():
            difference = (gradient - expected[parameter]).abs().max().item()
            assert difference <= 3e-6 * max(1.0, whole.grad_norm), (parameter, most)


def test_whole_logits_are_never_held(monkeypatch: pytest.MonkeyPatch) -> None:
    """With a budget of eight rows a chunk, no call sees more logits than that, and the numbers stay."""
    from fathom.model import chunked_loss, token_scores

    task = open_task("dpo")
    store = encode(task)
    work = make_workload(make_model("llama"), task, store)
    whole = compute_gradient(work, ROWS, 0)
    expected = gradients(work)
    monkeypatch.setattr(chunked_loss, "CHUNK_BYTES", 1)
    monkeypatch.setattr(chunked_loss, "ROW_STEP", 8)
    monkeypatch.setattr(chunked_loss.chunks, "__defaults__", (8,))
    seen: list[int] = []
    original = token_scores._log_softmax

    def watched(logits_rV: Tensor, cap: float | None) -> tuple[Tensor, Tensor | None]:
        seen.append(len(logits_rV))
        return original(logits_rV, cap)

    monkeypatch.setattr(token_scores, "_log_softmax", watched)
    part = compute_gradient(work, ROWS, 0)
    assert len(seen) > 3 and max(seen) <= 8
    assert part.loss == pytest.approx(whole.loss, rel=1e-6)
    for parameter, gradient in gradients(work).items():
        assert (gradient - expected[parameter]).abs().max().item() <= 3e-6 * max(1.0, whole.grad_norm), parameter


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_the_gradient_in_bf16_is_near_that_in_float32(dtype: torch.dtype) -> None:
    task = open_task("dpo")
    store = encode(task)
    exact = make_workload(make_model("llama"), task, store)
    compute_gradient(exact, ROWS, 0)
    expected = torch.cat([gradient.flatten() for gradient in gradients(exact).values()])
    work = make_workload(make_model("llama"), task, store, dtype=dtype)
    compute_gradient(work, ROWS, 0)
    found = torch.cat([gradient.flatten() for gradient in gradients(work).values()])
    cosine = torch.nn.functional.cosine_similarity(found, expected, dim=0).item()
    assert cosine > (0.999999 if dtype == torch.float32 else 0.99)
