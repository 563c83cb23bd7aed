"""The frozen, strict base of every recipe class; reading and editing recipes.

Edits are merged into raw YAML first and validated once, so a mistake in a file and a mistake on the command line get
the same message, and every mistake is reported at once.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, TypeVar, get_args

import yaml
from pydantic import BaseModel, ConfigDict, ValidationError

from fathom.errors import ConfigError

PartType = TypeVar("PartType", bound="Part")


class Part(BaseModel):
    """A frozen, typed class that is its own configuration: options are fields, behaviour is methods."""

    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        use_attribute_docstrings=True,
        populate_by_name=True,
        allow_inf_nan=False,
    )


def read_yaml(path: str | Path) -> dict[str, Any]:
    """Read a YAML mapping.

    Raises:
        ConfigError: The file is missing, unreadable, not YAML, or not a mapping; with line and column.
    """
    path = Path(path)
    try:
        text = path.read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        raise ConfigError("no such file", where=str(path), mend="check the path") from None
    except IsADirectoryError:
        raise ConfigError("this is a folder, a recipe is a file", where=str(path)) from None
    except UnicodeDecodeError as error:
        raise ConfigError(f"not UTF-8 (byte {error.start})", where=str(path), mend="save the file as UTF-8") from None
    try:
        raw = yaml.load(text, Loader=_Loader)
    except yaml.YAMLError as error:
        mark = error.problem_mark if isinstance(error, yaml.MarkedYAMLError) else None
        place = f"{path}:{mark.line + 1}:{mark.column + 1}" if mark else str(path)
        problem = error.problem if isinstance(error, yaml.MarkedYAMLError) else str(error)
        raise ConfigError(f"not valid YAML: {problem}", where=place) from None
    if not isinstance(raw, dict):
        raise ConfigError("a recipe is a mapping of sections such as 'model:' and 'data:'", where=str(path))
    return raw


def apply_edits(raw: Mapping[str, Any], edits: Iterable[str]) -> dict[str, Any]:
    """Merge `section.key=value` edits into a raw recipe; values are read as YAML.

    An edit `tuning=lora` replaces a section; a following `tuning.rank=8` then edits it. A bare-name section
    (`tuning: lora`) becomes `{kind: lora}` when one of its keys is edited.

    Raises:
        ConfigError: An edit is not of the form `key=value`, or its value is not YAML.
    """
    result: dict[str, Any] = dict(raw)
    for edit in edits:
        key, separator, text = edit.partition("=")
        if not separator or not key.strip():
            raise ConfigError(f"'{edit}' is not an edit", mend="write section.key=value, for example tuning.rank=8")
        try:
            value = yaml.load(text, Loader=_Loader)
        except yaml.YAMLError:
            raise ConfigError(f"the value of '{edit}' is not YAML", mend="quote it") from None
        _set(result, key.strip().split("."), value)
    return result


def validate(cls: type[PartType], raw: Mapping[str, Any], where: str = "recipe") -> PartType:
    """Validate a raw mapping into a part, reporting every mistake at once with its path and a suggestion.

    Raises:
        ConfigError: One line for each mistake.
    """
    try:
        return cls.model_validate(raw)
    except ValidationError as error:
        lines = [_describe(cls, item) for item in error.errors()]
        lines = list(dict.fromkeys(lines))
        message = lines[0] if len(lines) == 1 else f"{len(lines)} mistakes\n  " + "\n  ".join(lines)
        raise ConfigError(message, where=where) from None


def suggest(word: str, known: Iterable[str]) -> str:
    """Return ', did you mean X?' for the nearest known word, or an empty string."""
    near = difflib.get_close_matches(word, list(known), n=1, cutoff=0.6)
    return f", did you mean '{near[0]}'?" if near else ""


class _Loader(yaml.SafeLoader):
    """Safe YAML that reads 5e-4 as a number (YAML 1.2) and refuses a key given twice."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen: set[str] = set()
        for key_node, _ in node.value:
            key = str(key_node.value)
            if key in seen:
                raise yaml.constructor.ConstructorError(None, None, f"the key '{key}' is given twice", key_node.start_mark)
            seen.add(key)
        return super().construct_mapping(node, deep)


def _teach_floats() -> None:
    import re

    pattern = re.compile(r"^[-+]?(?:[0-9][0-9_]*\.[0-9_]*(?:[eE][-+]?[0-9]+)?|[0-9][0-9_]*[eE][-+]?[0-9]+|\.[0-9]+(?:[eE][-+]?[0-9]+)?)$")
    _Loader.add_implicit_resolver("tag:yaml.org,2002:float", pattern, list("-+0123456789."))


_teach_floats()


def _set(target: dict[str, Any], path: list[str], value: Any) -> None:
    head, rest = path[0], path[1:]
    if not rest:
        target[head] = value
        return
    child = target.get(head)
    if isinstance(child, str):
        child = {"kind": child}
    elif child is None:
        child = {}
    elif not isinstance(child, dict):
        raise ConfigError(f"'{head}' is a plain value and has no key '{rest[0]}'", where=".".join(path))
    target[head] = dict(child)
    _set(target[head], rest, value)


def _describe(cls: type[BaseModel], item: Any) -> str:
    location = [str(part) for part in item["loc"]]
    place = ".".join(location)
    if item["type"] == "extra_forbidden":
        known = _fields_at(cls, location[:-1])
        return f"{place}: unknown key{suggest(location[-1], known)}" + ("" if not known else f" (known: {', '.join(sorted(known))})")
    if item["type"] == "missing":
        return f"{place}: this key is required"
    message = str(item["msg"]).removeprefix("Value error, ")
    value = item.get("input")
    shown = f" (got {value!r})" if isinstance(value, str | int | float | bool | type(None)) else ""
    return f"{place}: {message}{shown}" if place else message


def _fields_at(cls: Any, location: list[str]) -> set[str]:
    """Field names (with aliases) of the part at a path of a recipe class."""
    current = cls
    for name in location:
        field = current.model_fields.get(name) if isinstance(current, type) and issubclass(current, BaseModel) else None
        if field is None:
            return set()
        candidates = [field.annotation, *get_args(field.annotation)]
        current = next((item for item in candidates if isinstance(item, type) and issubclass(item, BaseModel)), None)
        if current is None:
            return set()
    return set(current.model_fields)
