"""Optimizers: exact resume, compact embeddings, what is decayed, bytes as stated, options and their mistakes."""

from __future__ import annotations

from math import prod
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from fathom import catalog
from fathom.errors import ConfigError, MissingExtraError
from fathom.training.optimizers import adam_8bit
from fathom.training.optimizers.base import cut_stretches
from fathom.training.settings import Training
from optimizers_for_tests import (
    NAMES,
    OPTIONS,
    PLACES,
    ROWS,
    SHAPES,
    Bed,
    bed_of,
    make_bed,
    make_gradients,
    make_optimizer,
    schedule,
)

every_optimizer = pytest.mark.parametrize("options", OPTIONS, ids=NAMES)


def run(bed: Bed, steps: range) -> Bed:
    for step, rate, scale in schedule(steps):
        bed.step(make_gradients(step), rate, scale)
    return bed


def settings_for(options: dict[str, Any]) -> dict[str, Any]:
    """Adam takes compact embeddings only where they are not decayed."""
    return {"decay_embeddings": False} if options["kind"] == "adam" else {}


def saved(bed: Bed) -> dict[str, Tensor]:
    return {name: value.clone() for name, value in bed.live.state_tensors().items()}


@pytest.mark.parametrize("compact", [False, True], ids=["whole", "compact"])
@every_optimizer
def test_three_steps_saved_and_three_more_are_six_steps(options: dict[str, Any], compact: bool) -> None:
    settings = settings_for(options)
    straight = run(make_bed(options, compact=compact, **settings), range(6))
    first = run(make_bed(options, compact=compact, **settings), range(3))
    named = {name: nn.Parameter(value) for name, value in first.values().items()}
    second = bed_of(named, options, compact=compact, **settings)
    second.live.load_state_tensors(saved(first))
    run(second, range(3, 6))
    # a save brings compact embeddings up to date, so the run that is not interrupted must have saved too
    reference = run(make_bed(options, compact=compact, **settings), range(3))
    reference.flat.synchronize()
    run(reference, range(3, 6))
    for name, value in second.values().items():
        assert torch.equal(value, reference.values()[name]), name
        assert torch.allclose(value, straight.values()[name], atol=1e-6), name
    state = second.live.state_tensors()
    assert all(torch.equal(value, state[name]) for name, value in reference.live.state_tensors().items())


@every_optimizer
def test_compact_embeddings_are_the_whole_table(options: dict[str, Any]) -> None:
    settings = settings_for(options)
    whole = run(make_bed(options, **settings), range(6)).values()
    compact = run(make_bed(options, compact=True, **settings), range(6)).values()
    start = make_bed(options).named["embeddings.weight"].data
    for name, value in compact.items():
        assert (value - whole[name]).abs().max().item() <= 1e-6, name
    left = [row for row in range(12) if row not in ROWS]
    stays = torch.equal(compact["embeddings.weight"][left], start[left])
    assert stays == (options["kind"] == "adam"), "rows without gradients decay, and only decay"


def test_adam_refuses_compact_rows_that_it_would_change() -> None:
    options = {"kind": "adam"}
    with pytest.raises(ConfigError, match="every row of the embeddings"):
        make_bed(options, compact=True)
    adam = make_optimizer(options)
    assert not adam.allows_compact_rows(Training(weight_decay=0.1))
    assert adam.allows_compact_rows(Training(weight_decay=0.0))
    assert adam.allows_compact_rows(Training(weight_decay=0.1, decay_embeddings=False))
    assert all(make_optimizer(other).allows_compact_rows(Training()) for other in OPTIONS if other["kind"] != "adam")


@every_optimizer
def test_state_takes_the_bytes_it_says(options: dict[str, Any]) -> None:
    bed = make_bed(options)
    measured = sum(value.nbytes for name, value in bed.live.state_tensors().items() if name != "step")
    assert measured == sum(bed.optimizer.state_bytes(shape, PLACES[name]) for name, shape in SHAPES.items())


@every_optimizer
def test_gradients_stay_and_copies_follow(options: dict[str, Any]) -> None:
    bed = make_bed(options, shadow=True)
    gradients = make_gradients(0)
    bed.step(gradients, 0.01, 1.0)
    for name, slot in bed.flat.slots.items():
        assert torch.equal(bed.flat.gradient(slot), gradients[name]), name
        assert torch.equal(bed.flat.shadow(slot), bed.flat.value(slot).bfloat16()), name


@pytest.mark.parametrize("decay_embeddings", [True, False])
@every_optimizer
def test_without_gradients_matrices_decay_and_nothing_else_moves(
    options: dict[str, Any], decay_embeddings: bool
) -> None:
    if options["kind"] == "adam":
        pytest.skip("its decay is a gradient")
    bed = make_bed(options, decay_embeddings=decay_embeddings)
    before = bed.values()
    bed.step({name: torch.zeros(shape) for name, shape in SHAPES.items()}, 0.01, 1.0)
    for name, value in bed.values().items():
        decays = value.dim() > 1 and (decay_embeddings or name != "embeddings.weight")
        assert torch.equal(value, before[name]) == (not decays), name
        if decays:
            assert 0.99 < (value / before[name]).mean().item() < 1, name


def test_one_treatment_is_one_kernel() -> None:
    bed = make_bed({"kind": "adamw"})
    stretches = cut_stretches(bed.flat, Training(), PLACES)
    assert [(s.start, s.stop) for s in stretches] == [(0, len(values)) for values in bed.flat.values]
    apart = cut_stretches(bed.flat, Training(decay_embeddings=False), PLACES)
    assert sum(s.stop - s.start for s in apart) == sum(len(values) for values in bed.flat.values)
    assert sorted(slot.name for s in apart for slot in s.slots) == sorted(SHAPES)


def test_adamw_of_a_group_cut_in_stretches_is_adamw() -> None:
    """Muon gives AdamW what is not a block's matrix: the same numbers as if it had all."""
    mixed = run(make_bed({"kind": "muon"}), range(5)).values()
    plain = run(make_bed({"kind": "adamw"}), range(5)).values()
    for name in SHAPES:
        matrix = PLACES[name][0] is not None and len(SHAPES[name]) == 2
        assert torch.allclose(mixed[name], plain[name], atol=1e-7) == (not matrix), name


def test_nesterov_needs_momentum() -> None:
    with pytest.raises(ValueError, match="nesterov needs a momentum"):
        catalog.load("optimizer", "sgd")(nesterov=True)


def test_eight_bit_without_its_library_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "bitsandbytes", None)
    with pytest.raises(MissingExtraError, match=r"training\.optimizer: .*bitsandbytes(.|\n)*pip install"):
        make_bed({"kind": "adam-8bit"})


def test_eight_bit_resumes_exactly_and_takes_the_bytes_it_says() -> None:
    pytest.importorskip("bitsandbytes", reason="bitsandbytes is not installed")
    generator = torch.Generator().manual_seed(2)
    start = {"blocks.0.forward.weight": torch.randn(70, 64, generator=generator), "head.bias": torch.randn(3)}
    gradients = [{name: torch.randn(v.shape, generator=generator) for name, v in start.items()} for _ in range(6)]

    def bed_from(values: dict[str, Tensor]) -> Bed:
        return bed_of(
            {name: nn.Parameter(v.clone()) for name, v in values.items()}, {"kind": "adam-8bit"}, compact=False
        )

    straight, first = bed_from(start), bed_from(start)
    for index, gradient in enumerate(gradients):
        straight.step(gradient, 0.01, 0.5)
        if index < 3:
            first.step(gradient, 0.01, 0.5)
    second = bed_from(first.values())
    second.live.load_state_tensors(saved(first))
    for gradient in gradients[3:]:
        second.step(gradient, 0.01, 0.5)
    assert all(torch.equal(value, straight.values()[name]) for name, value in second.values().items())
    state = second.live.state_tensors()
    assert state["blocks.0.forward.weight/exp_avg"].dtype == torch.uint8
    measured = sum(value.nbytes for name, value in state.items() if name != "step")
    wanted = [second.optimizer.state_bytes(value.shape, PLACES[name]) for name, value in start.items()]
    assert measured == sum(wanted)
    assert wanted[0] < 2.1 * 70 * 64


def test_what_is_kept_in_eight_bits() -> None:
    assert adam_8bit.is_quantized((64, 64), (0, "attention"))
    assert not adam_8bit.is_quantized((63, 64), (0, "attention"))
    assert not adam_8bit.is_quantized((30000, 64), (None, "embeddings"))
    assert not adam_8bit.is_quantized((8192,), (0, "norm"))


@every_optimizer
def test_a_simple_function_is_minimised_at_the_default_rate(options: dict[str, Any]) -> None:
    """A quadratic whose curvature differs a hundredfold between directions; rates are scaled as `resolve` does."""
    bed = make_bed(options, weight_decay=0.0)
    curvature = {name: torch.logspace(0, 2, shape[-1]) / 1000 for name, shape in SHAPES.items()}
    rate = 0.01 * bed.optimizer.learning_rate_scale

    def height() -> float:
        return sum(float((curvature[name] * value.square()).sum()) for name, value in bed.values().items())

    begin = height()
    for step in range(100):
        bed.step({n: 2 * curvature[n] * v for n, v in bed.values().items()}, rate * (1 - step / 100), 1.0)
    assert height() < 0.9 * begin


def test_the_table_of_the_guide_is_computed() -> None:
    text = (Path(__file__).resolve().parents[3] / "docs" / "guides" / "optimizers.md").read_text(encoding="utf-8")
    columns = [((768, 3072), (3, "feed-forward")), ((30522, 768), (None, "embeddings")), ((768,), (3, "norm"))]
    named = {name: {"kind": name} for name in catalog.names("optimizer")}
    for name, options in {**named, "sgd, momentum 0.9": {"kind": "sgd", "momentum": 0.9}}.items():
        optimizer = make_optimizer(options)
        cells = [f"{optimizer.state_bytes(shape, place) / prod(shape):.3f}" for shape, place in columns]
        assert f"| {name} | {' | '.join(cells)} |" in text
