"""The model card (README.md) of a published model folder."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

import yaml

from fathom.model.base import python_expression

PIPELINES = {
    "text-classification": "text-classification",
    "token-classification": "token-classification",
    "question-answering": "question-answering",
    "image-classification": "image-classification",
    "audio-classification": "audio-classification",
    "speech-recognition": "automatic-speech-recognition",
}
_PROCESSORS = {
    "image-classification": ("image.png", "AutoImageProcessor", "processor"),
    "audio-classification": ("sound.wav", "AutoFeatureExtractor", "extractor"),
    "speech-recognition": ("sound.wav", "AutoProcessor", "processor"),
}
"""Example input, class and name of what stands in the tokenizer's place, of tasks that see or hear."""
_TOKENIZER = ("some text", "AutoTokenizer", "tokenizer")
_MOST_LABELS = 200


def render_card(info: Mapping[str, Any]) -> str:
    """Return a model card in Markdown, with the front matter the Hugging Face hub reads."""
    task, base = info["task"], str(info["base_model"])
    adapter = info["weights"] == "adapter"
    labels = _labels(info)
    parts = [
        f"---\n{_front_matter(info)}---\n",
        f"# {base.rstrip('/').rpartition('/')[2]}, fine-tuned for {task['kind']}\n",
        f"A {'LoRA adapter and task head for' if adapter else 'fine-tuned copy of'} `{_public(base)}`, "
        f"trained with [Fathom](https://pypi.org/project/fathom-lm/). {_lengths(info)}\n",
        "## Use\n",
        _usage(info, labels),
    ]
    if labels:
        shown = ", ".join(f"`{label}`" for label in labels[:_MOST_LABELS])
        more = f" and {len(labels) - _MOST_LABELS} more" if len(labels) > _MOST_LABELS else ""
        parts += ["## Labels\n", f"{len(labels)}: {shown}{more}\n"]
    scores = _scores(info.get("metrics", {}))
    if scores:
        parts += ["## Scores\n", "| split | score | value |\n| --- | --- | ---: |", *scores, ""]
    parts += ["## Where it comes from\n", *_origin(info), ""]
    parts += [
        "## Limits\n",
        "The scores hold for data like the data above. `fathom.json` names the sha256 of every file; "
        "`fathom predict` refuses the folder when one differs.\n",
    ]
    return "\n".join(parts)


def _front_matter(info: Mapping[str, Any]) -> str:
    base = str(info["base_model"])
    matter: dict[str, Any] = {
        "library_name": "peft" if info["weights"] == "adapter" else "transformers",
        "tags": ["fathom"],
    }
    if info["task"]["kind"] in PIPELINES:
        matter["pipeline_tag"] = PIPELINES[info["task"]["kind"]]
    named = info.get("base", {}).get("hub", base)
    if re.fullmatch(r"[\w.-]+/[\w.-]+", named) and not named.startswith("."):
        matter["base_model"] = named
    return yaml.safe_dump(matter, sort_keys=True, allow_unicode=True)


def _lengths(info: Mapping[str, Any]) -> str:
    if info["task"]["kind"] in _PROCESSORS:
        return "What it reads of a file is in `preprocessor_config.json`, or `processor_config.json`."
    return f"Inputs longer than {info['max_length']} tokens are cut or split by the rule in `fathom.json`."


def _usage(info: Mapping[str, Any], labels: list[str]) -> str:
    auto_class = info.get("auto_class", "AutoModel")
    given, loader, name = _PROCESSORS.get(info["task"]["kind"], _TOKENIZER)
    shown = '"a question" "a passage"' if info["task"]["kind"] == "question-answering" else f'"{given}"'
    lines = ["```bash", f"fathom predict FOLDER {shown}", "```", "", "or without Fathom:", "", "```python"]
    if info["weights"] == "adapter":
        count = f", num_labels={info['config'].get('num_labels', len(labels))}"
        if "vocab_size" in info["config"]:
            count = f", vocab_size={info['config']['vocab_size']}, ignore_mismatched_sizes=True"
        expression = python_expression(info.get("base", {}), _public(str(info["base_model"])))
        also, packing = _four_bit(info)
        count += ", quantization_config=four_bit" if packing else ""
        lines += [
            f"from peft import PeftModel\nfrom transformers import {loader}, {auto_class}{also}\n",
            'folder = "FOLDER"',
            *expression,
            *packing,
            f"model = {auto_class}.from_pretrained(base{count})",
            "model = PeftModel.from_pretrained(model, folder).eval()",
        ]
    else:
        lines += [
            f"from transformers import {loader}, {auto_class}\n",
            'folder = "FOLDER"',
            f"model = {auto_class}.from_pretrained(folder).eval()",
        ]
    lines += [f"{name} = {loader}.from_pretrained(folder)", "```", ""]
    return "\n".join(lines)


def _four_bit(info: Mapping[str, Any]) -> tuple[str, list[str]]:
    """Return a further import and lines of Python that say how the base is put into 4 bits; nothing where it is not."""
    if "four_bit" not in info:
        return "", []
    options = '"nf4", bnb_4bit_use_double_quant=True'
    lines = [
        f"four_bit = BitsAndBytesConfig(\n    load_in_4bit=True, bnb_4bit_quant_type={options},",
        f"    llm_int8_skip_modules={json.dumps(info['four_bit']['whole'])},\n)",
    ]
    return ", BitsAndBytesConfig", lines


def _labels(info: Mapping[str, Any]) -> list[str]:
    named = info["task"].get("labels")
    if named is None:
        named = list(info.get("config", {}).get("id2label", {}).values())
    return [str(label) for label in named]


def _scores(metrics: Mapping[str, Any]) -> list[str]:
    rows = []
    for split, values in metrics.items():
        table = values if isinstance(values, Mapping) else {split: values}
        for name, value in table.items():
            if isinstance(value, float | int) and not isinstance(value, bool):
                rows.append(f"| {split if table is values else ''} | {name} | {value:.4f} |")
    return rows


def _origin(info: Mapping[str, Any]) -> list[str]:
    rows = [f"- base model: `{_public(str(info['base_model']))}`"]
    if info.get("recipe_digest"):
        rows.append(f"- recipe: sha256 `{info['recipe_digest']}`")
    rows += [
        f"- data: `{_public(str(name))}`, sha256 `{value}`" for name, value in info.get("data_digests", {}).items()
    ]
    return rows


def _public(name: str) -> str:
    """Return a name without the folders of the machine it was made on."""
    return name.rstrip("/\\").replace("\\", "/").rpartition("/")[2] if name.startswith(("/", "~", ".")) else name
