"""What a model will be saved as is counted from the model alone, to the byte."""

from __future__ import annotations

from pathlib import Path

import pytest
from safetensors.torch import load_file

from fathom.model.anatomy import find_anatomy
from fathom.model.load import load_model
from fathom.model.save import saved_bytes
from folders_for_tests import make_saved, make_task
from strategies_for_tests import OPTIONS, make_tuning

FOLDED = ("random-mask", "diff-pruning")
"""Strategies whose modules are folded away before a run saves; `tests/unit/runs/test_disk.py` trains them."""
KINDS = (
    "full",
    "head",
    "lora",
    "dora",
    "qlora",
    "vera",
    "ia3",
    "norms",
    "adapter",
    "ladder",
    "prompt",
    "p-tuning",
    "prefix",
)


@pytest.mark.filterwarnings("ignore::FutureWarning:transformers")
@pytest.mark.filterwarnings("ignore:Unsupported layer type")
@pytest.mark.parametrize("family", ["bert", "llama"])
@pytest.mark.parametrize("kind", [*KINDS, *FOLDED])
def test_tensors_are_counted_before_they_are_saved(kind: str, family: str, tmp_path: Path) -> None:
    tuning = make_tuning(kind)
    saved = (
        make_saved(tmp_path, family=family)
        if kind in FOLDED
        else make_saved(tmp_path, kind, family=family, **OPTIONS.get(kind, {}))
    )
    task = make_task("text-classification")
    model = load_model(str(saved.base), task.auto_class, task.config_overrides, seed=1)
    counted = saved_bytes(tuning.apply(model, find_anatomy(model)))
    tensors = [tensor for path in saved.folder.glob("*.safetensors") for tensor in load_file(path).values()]
    assert counted == sum(tensor.nbytes for tensor in tensors)
