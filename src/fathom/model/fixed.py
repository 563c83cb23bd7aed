"""Parameters that a model's own class never trains: tables of sinusoids, corrections that are set by counting."""

from __future__ import annotations

import json
from collections.abc import Iterator
from functools import lru_cache
from typing import Any

from torch import nn
from transformers import PreTrainedModel

from fathom.model.load import meta_model


def fixed_parameters(model: nn.Module) -> set[int]:
    """Return the ids of the parameters that a model's own class made with `requires_grad` off.

    The class is asked, not the model: what transformers reads from a file or fills in for it learns, whatever the class
    said of it (seen in 5.23).

    Args:
        model: Of transformers, or with one in it.
    """
    found = set()
    for inner in _outermost(model):
        named = dict(inner.named_parameters(remove_duplicate=False))
        cls: Any = type(inner)
        found |= {id(named[name]) for name in _fixed_names(cls, inner.config.to_json_string()) if name in named}
    return found


@lru_cache(maxsize=64)
def _fixed_names(cls: type[PreTrainedModel], config: str) -> frozenset[str]:
    assert cls.config_class is not None
    fresh = meta_model(cls, cls.config_class.from_dict(json.loads(config)))
    return frozenset(name for name, tensor in fresh.named_parameters() if not tensor.requires_grad)


def _outermost(module: nn.Module) -> Iterator[PreTrainedModel]:
    """Yield the transformers models that lie in no other one."""
    if isinstance(module, PreTrainedModel):
        yield module
        return
    for child in module.children():
        yield from _outermost(child)
