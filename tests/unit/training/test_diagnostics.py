"""Gradient logs: norms by place, update ratios, an unbiased noise scale, and not a bit of the run changed."""

from __future__ import annotations

import json
import math
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

import fathom
from fathom.training import diagnostics
from fathom.training.diagnostics import GradientWatch, gradient_findings, label_of, update_noise
from fathom.training.step import StepResult
from optimizers_for_tests import PLACES, make_bed, make_gradients
from runs_for_tests import make_model, make_recipe


@pytest.fixture
def bed() -> Any:
    return make_bed({"kind": "adamw"})


def watch_of(bed: Any) -> GradientWatch:
    work: Any = SimpleNamespace(parameters=bed.flat)
    return GradientWatch(work, PLACES)


def test_norms_and_ratios_are_those_of_the_parameters(bed: Any) -> None:
    gradients, before = make_gradients(0), bed.values()
    watch = watch_of(bed)
    for name, slot in bed.flat.slots.items():
        bed.flat.gradient(slot).copy_(gradients[name])
    found = watch.look(8, bed.flat.norm().item(), {})
    bed.live.step(0.01, 1.0)
    found |= watch.compare()
    after = bed.values()
    places = {label_of(place) for place in PLACES.values()}
    assert set(found) == {f"{kind}/{place}" for kind in ("grad_norm", "update_ratio") for place in places}
    for place in places:
        names = [name for name in PLACES if label_of(PLACES[name]) == place]

        def norm(values: dict[str, torch.Tensor], names: list[str] = names) -> float:
            return math.sqrt(sum(float(values[name].double().square().sum()) for name in names))

        assert found[f"grad_norm/{place}"] == pytest.approx(norm(gradients), rel=1e-6)
        moves = {name: after[name] - before[name] for name in names}
        assert found[f"update_ratio/{place}"] == pytest.approx(norm(moves) / norm(before), rel=1e-4)
    whole = math.sqrt(sum(value**2 for name, value in found.items() if name.startswith("grad_norm/")))
    assert whole == pytest.approx(bed.flat.norm().item(), rel=1e-6)


def test_the_noise_scale_is_unbiased() -> None:
    generator = np.random.default_rng(0)
    width, spread, batch, few = 50, 3.0, 32, 8
    truth = generator.standard_normal(width)
    signal, variance = float(truth @ truth), spread**2 * width
    noises: list[dict[str, float]] = []
    for _ in range(3000):
        samples = truth + spread * generator.standard_normal((batch, width))
        sizes = [(count, float(np.square(samples[:count].mean(0)).sum())) for count in (few, batch)]
        noises.append({})
        update_noise(noises[-1], sizes[0], sizes[1])
    assert np.mean([noise["signal"] for noise in noises]) == pytest.approx(signal, rel=0.03)
    assert np.mean([noise["spread"] for noise in noises]) == pytest.approx(variance, rel=0.03)


def test_running_means_forget_slowly() -> None:
    noise: dict[str, float] = {}
    update_noise(noise, (1, 5.0), (4, 2.0))
    first = dict(noise)
    assert first == pytest.approx({"signal": 1.0, "spread": 4.0})
    update_noise(noise, (1, 5.0), (4, 2.0))
    assert noise == pytest.approx(first)


def test_the_small_batch_leaves_the_random_state(bed: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[int] = []

    def gradient(_: Any, rows: Any, __: int) -> StepResult:
        torch.rand(3)
        seen.append(len(rows))
        return StepResult(1.0, 2.0, 9)

    monkeypatch.setattr(diagnostics, "compute_gradient", gradient)
    watch = watch_of(bed)
    before = torch.get_rng_state()
    watch.sample(np.arange(10), 0)
    assert torch.equal(before, torch.get_rng_state())
    assert "gradient_noise_scale" in watch.look(10, 1.5, {})
    watch.sample(np.arange(1), 0)
    assert seen == [2]
    assert "gradient_noise_scale" not in watch.look(1, 1.5, {})


def lines_of(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / "metrics.jsonl").read_text(encoding="utf-8").splitlines()]


def test_logging_gradients_changes_no_bit_of_a_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FATHOM_CACHE", str(tmp_path / "cache"))
    model = make_model(tmp_path / "tiny")
    runs: dict[str, list[dict[str, Any]]] = {}
    folders: dict[str, Path] = {}
    for name in ("none", "layers"):
        (tmp_path / name).mkdir()
        edits = [f"training.log_gradients={name}", "training.dropout=0.1", "training.logging_steps=2"]
        folders[name] = fathom.train(make_recipe(model, tmp_path / name, "single", *edits)).folder
        runs[name] = lines_of(folders[name])
    extra = [key for line in runs["layers"] for key in line if key.startswith(("grad_norm/", "update_ratio/"))]
    assert {"grad_norm/block-0/attention", "update_ratio/block-1/feed-forward", "grad_norm/head"} <= set(extra)
    assert any("gradient_noise_scale" in line for line in runs["layers"])
    report = (folders["layers"] / "report.md").read_text(encoding="utf-8")
    assert ("The gradient noise scale at the end is" in report) == ("gradient_noise_scale" in str(runs["layers"]))
    for plain, watched in zip(runs["none"], runs["layers"], strict=True):
        shared = {key: value for key, value in watched.items() if key in plain}
        assert {**shared, "tokens_per_second": 0} == {**plain, "tokens_per_second": 0}


def history(**norms: list[float]) -> list[dict[str, float]]:
    lines: list[dict[str, float]] = [{} for _ in next(iter(norms.values()))]
    for name, values in norms.items():
        for line, value in zip(lines, values, strict=True):
            line["grad_norm/" + name.replace("__", "/").replace("_", "-")] = value
    return lines


def test_vanishing_and_exploding_gradients_are_named() -> None:
    vanish = gradient_findings(history(block_0__attention=[1e-6] * 4, block_5__attention=[0.1] * 4))
    assert len(vanish) == 1 and "vanish towards the input" in vanish[0] and "block 0" in vanish[0]
    explode = gradient_findings(history(block_0__attention=[1e4] * 4, block_5__attention=[0.1] * 4))
    assert len(explode) == 1 and "explode towards the input" in explode[0]
    grown = gradient_findings(history(head=[0.1, 0.1, 1.0, 90.0]))
    assert len(grown) == 1 and "norm of head grew from 0.1 to 90" in grown[0]
    assert gradient_findings(history(block_0__attention=[0.05] * 4, block_5__attention=[0.1] * 4)) == []
    assert gradient_findings([{"loss": 1.0}]) == []


def test_the_noise_scale_is_told() -> None:
    told = gradient_findings([{"gradient_noise_scale": 10.0}, {"gradient_noise_scale": 1234.4}, {"loss": 1.0}])
    assert len(told) == 1 and "1,234 sequences" in told[0]
