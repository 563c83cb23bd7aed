"""The files that make a model folder one of the library sentence-transformers."""

from __future__ import annotations

import json

from fathom.tasks.contrastive import Pooling


def saved_files(width: int, pooling: Pooling, max_length: int, *, normalize: bool) -> dict[str, str]:
    """Return its configuration files by path.

    Args:
        width: Numbers of a vector.
        pooling: How a text's vector is made.
        max_length: Tokens of the longest text.
        normalize: Whether vectors have length one.
    """
    steps = [("", "Transformer"), ("1_Pooling", "Pooling")]
    if normalize:
        steps.append(("2_Normalize", "Normalize"))
    modules = [
        {"idx": index, "name": str(index), "path": path, "type": f"sentence_transformers.models.{kind}"}
        for index, (path, kind) in enumerate(steps)
    ]
    modes = {
        f"pooling_mode_{name}": name == {"mean": "mean_tokens", "cls": "cls_token", "last": "lasttoken"}[pooling]
        for name in ("cls_token", "mean_tokens", "max_tokens", "mean_sqrt_len_tokens", "lasttoken")
    }
    contents = {
        "modules.json": modules,
        "1_Pooling/config.json": {"word_embedding_dimension": width, **modes},
        "sentence_bert_config.json": {"max_seq_length": max_length, "do_lower_case": False},
        "config_sentence_transformers.json": {
            "prompts": {},
            "default_prompt_name": None,
            "similarity_fn_name": "cosine",
        },
    }
    return {path: json.dumps(content, indent=2) + "\n" for path, content in contents.items()}
