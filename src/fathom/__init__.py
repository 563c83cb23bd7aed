"""Fathom takes a transformer from raw text to a served model, and measures every step.

The public verbs are functions of this package; each is imported when it is first used: `import fathom` is cheap.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from fathom.catalog import contents as list_parts
    from fathom.recipe import Recipe, dump_recipe, load_recipe, ready_recipes, resolve
    from fathom.runs.compare import compare
    from fathom.runs.data import check as check_data
    from fathom.runs.data import preview as preview_data
    from fathom.runs.environment import environment
    from fathom.runs.evaluate import evaluate
    from fathom.runs.extract import extract
    from fathom.runs.find_rate import find_rate
    from fathom.runs.generate import generate
    from fathom.runs.init import init
    from fathom.runs.inspect import inspect
    from fathom.runs.merge import merge
    from fathom.runs.predict import predict
    from fathom.runs.search import search
    from fathom.runs.together import train_together
    from fathom.runs.tokenizer import compare_tokenizers, extend_tokenizer, show_tokenizer, train_tokenizer
    from fathom.runs.train import train
    from fathom.serving.adapters import Adapters
    from fathom.serving.generate.generator import Generator
    from fathom.serving.generate.options import GenerationOptions
    from fathom.serving.predictor import Predictor

__version__ = "0.1.0"

PUBLIC: dict[str, str] = {
    "Adapters": "fathom.serving.adapters:Adapters",
    "GenerationOptions": "fathom.serving.generate.options:GenerationOptions",
    "Generator": "fathom.serving.generate.generator:Generator",
    "Predictor": "fathom.serving.predictor:Predictor",
    "Recipe": "fathom.recipe:Recipe",
    "check_data": "fathom.runs.data:check",
    "compare": "fathom.runs.compare:compare",
    "compare_tokenizers": "fathom.runs.tokenizer:compare_tokenizers",
    "dump_recipe": "fathom.recipe:dump_recipe",
    "environment": "fathom.runs.environment:environment",
    "evaluate": "fathom.runs.evaluate:evaluate",
    "extend_tokenizer": "fathom.runs.tokenizer:extend_tokenizer",
    "find_rate": "fathom.runs.find_rate:find_rate",
    "extract": "fathom.runs.extract:extract",
    "generate": "fathom.runs.generate:generate",
    "init": "fathom.runs.init:init",
    "inspect": "fathom.runs.inspect:inspect",
    "list_parts": "fathom.catalog:contents",
    "load_recipe": "fathom.recipe:load_recipe",
    "merge": "fathom.runs.merge:merge",
    "predict": "fathom.runs.predict:predict",
    "preview_data": "fathom.runs.data:preview",
    "ready_recipes": "fathom.recipe:ready_recipes",
    "resolve": "fathom.recipe:resolve",
    "search": "fathom.runs.search:search",
    "show_tokenizer": "fathom.runs.tokenizer:show_tokenizer",
    "train": "fathom.runs.train:train",
    "train_together": "fathom.runs.together:train_together",
    "train_tokenizer": "fathom.runs.tokenizer:train_tokenizer",
}
"""Every public name and where it lives."""

__all__ = [
    "Adapters",
    "GenerationOptions",
    "Generator",
    "Predictor",
    "Recipe",
    "__version__",
    "check_data",
    "compare",
    "compare_tokenizers",
    "dump_recipe",
    "environment",
    "evaluate",
    "extend_tokenizer",
    "extract",
    "find_rate",
    "generate",
    "init",
    "inspect",
    "list_parts",
    "load_recipe",
    "merge",
    "predict",
    "preview_data",
    "ready_recipes",
    "resolve",
    "search",
    "show_tokenizer",
    "train",
    "train_together",
    "train_tokenizer",
]


def __getattr__(name: str) -> Any:
    if name not in PUBLIC:
        raise AttributeError(f"module 'fathom' has no attribute '{name}'")
    module, _, attribute = PUBLIC[name].partition(":")
    value = vars(importlib.import_module(module))[attribute]
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *PUBLIC})
