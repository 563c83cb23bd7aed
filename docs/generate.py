"""Writes `docs/reference/` from the catalog and the recipe classes: `python docs/generate.py` after changing either.

A test fails while the pages do not say what the classes say.
"""

from __future__ import annotations

import inspect
import types
import typing
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal, get_args, get_origin

from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from fathom import catalog
from fathom.config import Part, aliases_of
from fathom.data.section import DataSection
from fathom.model.new import NewModel
from fathom.model.section import Pretrained
from fathom.recipe import Recipe
from fathom.training.settings import Training

FOLDER = Path(__file__).resolve().parent / "reference"
NOTICE = "<!-- Written by docs/generate.py from the classes; change those. -->\n"
FAMILIES = {
    "model": ("Models", "Where a run gets its weights: `model:` in a recipe; a bare string is a name."),
    "task": ("Tasks", "What a model is asked to do: `task:` in a recipe."),
    "tuning": ("Tuning strategies", "Which parameters learn: `tuning:` in a recipe."),
    "reader": ("Readers", "File formats; told from the file, or named as `data.format`."),
    "image_augmentation": ("Image augmentation", "What is changed in training images: `task.augmentation`."),
    "sound_augmentation": ("Sound augmentation", "What is changed in training sounds: `task.augmentation`."),
    "corpus_filter": ("Corpus filters", "Which documents are left out: `data.filters` of a recipe on running text."),
    "metric": ("Metrics", "Scores, chosen by the task."),
    "optimizer": ("Optimizers", "`training.optimizer`."),
    "lr_scheduler": ("Schedules", "`training.lr_scheduler`."),
    "tokenizer_algorithm": ("Tokenizer algorithms", "`fathom tokenizer train --algorithm`."),
    "tracker": ("Trackers", "Where numbers go: `trackers:` in a recipe. `jsonl` is always on."),
}


def pages() -> dict[str, str]:
    """Return every page by file name."""
    return {"recipe.md": _recipe_page(), "parts.md": _parts_page()}


def write() -> None:
    """Write every page."""
    FOLDER.mkdir(exist_ok=True)
    for name, text in pages().items():
        (FOLDER / name).write_text(text, encoding="utf-8")


def _recipe_page() -> str:
    sections: tuple[tuple[str, type[Part]], ...] = (
        ("Recipe", Recipe),
        ("model", Pretrained),
        ("model: {kind: new}", NewModel),
        ("data", DataSection),
        ("training", Training),
    )
    lines = [
        NOTICE,
        "# The recipe",
        "",
        "A YAML file, edited on the command line: `fathom train recipe.yaml training.epochs=5 tuning=lora`. "
        "Unknown keys are refused. What is a part takes a name or `{kind: name, options}`; options are in "
        "[parts](parts.md).",
    ]
    for title, part in sections:
        lines += ["", f"## {title}", "", _docstring(part), "", *_table(part)]
    return "\n".join(lines) + "\n"


def _parts_page() -> str:
    lines = [NOTICE, "# Parts", "", "Everything in the catalog; `fathom list` prints the names."]
    for family in catalog.families():
        title, about = FAMILIES[family]
        lines += ["", f"## {title}", "", about]
        for name in catalog.CATALOG[family]:
            part = catalog.load(family, name)
            lines += ["", f"### {name}", "", _docstring(part)]
            others = [other for other, target in catalog.ALIASES.get(family, {}).items() if target == name]
            if others:
                lines += ["", "Also read as " + ", ".join(f"`{other}`" for other in others) + "."]
            options = _table(part)
            if options:
                lines += ["", *options]
    return "\n".join(lines) + "\n"


def _docstring(part: type[Part]) -> str:
    return "\n".join(line.strip() for line in (part.__doc__ or "").strip().splitlines())


def _table(part: type[Part]) -> list[str]:
    aliases = aliases_of(part)
    rows = []
    for name, field in part.model_fields.items():
        if name != "kind":
            others = ", ".join(f"`{alias}`" for alias, target in aliases.items() if target == name)
            meaning = _cell(field.description or "") + (f" Also {others}." if others else "")
            rows.append(f"| `{name}` | {_type(field.annotation)} | {_default(field)} | {meaning} |")
    return ["| Key | Type | Default | Meaning |\n|---|---|---|---|", *rows] if rows else []


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")


def _default(field: FieldInfo) -> str:
    if field.is_required():
        return "required"
    if field.default is None:
        return ""
    if field.default is PydanticUndefined:
        return "`full`" if field.annotation is not None and field.annotation.__name__ == "Tuning" else ""
    if isinstance(field.default, Part) or field.default in ((), {}):
        return ""
    return f"`{field.default}`"


def _type(annotation: Any) -> str:
    return " \\| ".join(dict.fromkeys(_types(annotation)))


def _types(annotation: Any) -> Iterator[str]:
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin is Literal:
        yield from (f"`{value}`" for value in arguments)
    elif origin in {typing.Union, types.UnionType}:
        for argument in arguments:
            if argument is not type(None):
                yield from _types(argument)
    elif origin is typing.Annotated:
        yield from _types(arguments[0])
    elif origin in {list, tuple}:
        yield f"list of {_type(arguments[0])}"
    elif origin is dict:
        yield f"mapping of {_type(arguments[0])} to {_type(arguments[1])}"
    elif isinstance(annotation, type) and issubclass(annotation, Part):
        yield "part" if inspect.isabstract(annotation) else "section"
    else:
        yield {"str": "text", "int": "whole number", "float": "number", "bool": "true or false"}.get(
            annotation.__name__, annotation.__name__
        )


if __name__ == "__main__":
    write()
