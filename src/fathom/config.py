"""The frozen, strict base of every recipe class; reading, editing and writing recipes.

Edits are merged into raw YAML first and validated once, so a mistake in a file and a mistake on the command line get
the same message, and every mistake is reported at once. YAML is read by the rules of version 1.2: `no`, `on` and
`2024-01-31` are strings, `5e-4` is a number and `010` is ten, because a label called "no" must stay a label.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar, cast, get_args

import yaml
from pydantic import AliasChoices, BaseModel, ConfigDict, GetCoreSchemaHandler, ValidationError
from pydantic.fields import FieldInfo
from pydantic_core import CoreSchema, core_schema

from fathom import catalog
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


@dataclass(frozen=True)
class Bare:
    """Annotation of a section that may be a plain string: `model: minilm` is `model: {name: minilm}`."""

    key: str

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_before_validator_function(self.spread, handler(source))

    def spread(self, value: Any) -> Any:
        """Return `{key: value}` for a string, anything else as it is."""
        return {self.key: value} if isinstance(value, str) else value


@dataclass(frozen=True)
class Choice(Bare):
    """Annotation of a field that holds one part of a catalog family: a bare name, or `{kind: name, options}`.

    The value is validated into the part's own class, so its mistakes are reported with those of the whole recipe.
    `key` is what a plain string stands for: the kind, or a key of the default kind.
    """

    family: str = ""
    default: str | None = None
    selector: str = "kind"

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_before_validator_function(self.load, handler(source))

    def load(self, value: Any) -> Any:
        """Validate a raw value into the part it names; a part passes as it is."""
        raw = self.spread(value)
        if not isinstance(raw, Mapping):
            return raw
        part = self.part(raw)
        return part.model_validate({**raw, self.selector: catalog.canonical(self.family, self._kind(raw))})

    def part(self, raw: Mapping[str, Any]) -> type[Part]:
        """Return the class a raw mapping names.

        Raises:
            ConfigError: `kind` is missing, or no part of the family is called so.
        """
        found: type[Part] = catalog.load(self.family, self._kind(raw))
        return found

    def _kind(self, raw: Mapping[str, Any]) -> str:
        kind = raw.get(self.selector, self.default)
        if not isinstance(kind, str):
            raise ConfigError(
                f"the key '{self.selector}' is required, a name of a {self.family}",
                mend=f"known: {', '.join(catalog.names(self.family))}",
            )
        return kind


def choice(family: str, default: str | None = None, bare: str = "kind") -> Choice:
    """Return the annotation of a field that holds one part of a catalog family.

    Args:
        family: Of the catalog.
        default: Part where `kind` is left out.
        bare: Key that a plain string stands for.
    """
    return Choice(key=bare, family=family, default=default)


_MEND_YAML = "correct the line: two spaces a level, 'key: value', and quotes round a text with ': ' or ' #' in it"
_MENDS = {"extra_forbidden": "correct or remove the key", "missing": "add the key"}
"""What to do about a mistake, by pydantic's name of its kind."""
OF_A_VALIDATOR = "value_error"
"""The kind that a validator of ours raises, whose words say what to do."""


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
        mend = "name the .yaml file in it"
        raise ConfigError("this is a folder, a recipe is a file", where=str(path), mend=mend) from None
    except UnicodeDecodeError as error:
        raise ConfigError(f"not UTF-8 (byte {error.start})", where=str(path), mend="save the file as UTF-8") from None
    except OSError as error:
        mend = "check the path and its permissions"
        raise ConfigError(f"cannot be read: {error.strerror}", where=str(path), mend=mend) from None
    try:
        raw = yaml.load(text, Loader=_Loader)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        place = f"{path}:{mark.line + 1}:{mark.column + 1}" if mark else str(path)
        raise ConfigError(f"not valid YAML: {error.problem}", where=place, mend=_MEND_YAML) from None
    except yaml.YAMLError as error:
        raise ConfigError(f"not valid YAML: {error}", where=str(path), mend=_MEND_YAML) from None
    if not isinstance(raw, dict):
        mend = "write sections such as 'model:' and 'data:'"
        raise ConfigError("a recipe is a mapping of sections, and this is none", where=str(path), mend=mend)
    return raw


def parse_yaml(text: str) -> Any:
    """Read one YAML value by the rules of version 1.2; raises `yaml.YAMLError`."""
    return yaml.load(text, Loader=_Loader)


def write_yaml(value: Mapping[str, Any]) -> str:
    """Return YAML that `read_yaml` reads back to an equal value, keys in the given order."""
    return yaml.dump(dict(value), Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=120)


def apply_reading_edits(raw: Mapping[str, Any], edits: Iterable[str], cls: type[Part] | None = None) -> dict[str, Any]:
    """Merge edits of how a file is read, keys of `data:`; see `apply_edits`. `data.` may stand before them."""
    return apply_edits(raw, [edit.strip().removeprefix("data.") for edit in edits], cls)


def apply_edits(raw: Mapping[str, Any], edits: Iterable[str], cls: type[Part] | None = None) -> dict[str, Any]:
    """Merge `section.key=value` edits into a raw recipe; values are read as YAML.

    An edit `tuning=lora` replaces a section; a following `tuning.rank=8` then edits it. A bare-name section
    (`tuning: lora`) becomes `{kind: lora}` when one of its keys is edited. With `cls` given, an edit by a key's alias
    (`training.lr`) replaces the key however the recipe spelled it.

    Raises:
        ConfigError: An edit is not of the form `key=value`, or its value is not YAML.
    """
    result: dict[str, Any] = dict(raw)
    for edit in edits:
        key, separator, text = edit.partition("=")
        path = key.strip().split(".")
        if not separator or not all(path):
            raise ConfigError(f"'{edit}' is not an edit", mend="write section.key=value, for example tuning.rank=8")
        try:
            # On one line '|' and '>' begin no block of text: they are meant as they stand.
            value = text if text[:1] in ("|", ">") else yaml.load(text, Loader=_Loader)
        except yaml.YAMLError:
            raise ConfigError(f"the value of '{edit}' is not YAML", mend="put the value in quotes") from None
        _set(result, path, value, cls)
    return result


def validate(cls: type[PartType], raw: Mapping[str, Any], where: str = "recipe") -> PartType:
    """Validate a raw mapping into a part, reporting every mistake at once with its path and a suggestion.

    Raises:
        ConfigError: One line for each mistake.
    """
    try:
        return cls.model_validate(raw)
    except ValidationError as error:
        raise explain(cls, raw, error, where) from None


def explain(cls: type[Part], raw: Mapping[str, Any], error: ValidationError, where: str) -> ConfigError:
    """Return the one error that tells every mistake of a validation in the words of the recipe."""
    messages: dict[str, list[str]] = {}
    kinds = [item["type"] for item in error.errors()]
    mends = dict.fromkeys(_MENDS.get(kind, "correct the value") for kind in kinds if kind != OF_A_VALIDATOR)
    for item in error.errors():
        place, message = _describe(cls, raw, item)
        known = messages.setdefault(place, [])
        if message not in known:
            known.append(message)
    lines = [": ".join(filter(None, [place, " or ".join(found)])) for place, found in messages.items()]
    said = lines[0] if len(lines) == 1 else f"{len(lines)} mistakes\n  " + "\n  ".join(lines)
    return ConfigError(said, where=where, mend=", ".join(mends) or None)


def suggest(word: str, known: Iterable[str]) -> str:
    """Return ', did you mean X?' for the nearest known word, or an empty string."""
    near = difflib.get_close_matches(word, list(known), n=1, cutoff=0.6)
    return f", did you mean '{near[0]}'?" if near else ""


def aliases_of(cls: type[BaseModel]) -> dict[str, str]:
    """The other names of a part's fields: alias to field."""
    found: dict[str, str] = {}
    for name, field in cls.model_fields.items():
        alias = field.validation_alias or field.alias
        choices = alias.choices if isinstance(alias, AliasChoices) else [alias]
        found |= {other: name for other in choices if isinstance(other, str) and other != name}
    return found


_RESOLVERS: tuple[tuple[str, str, str], ...] = (
    ("bool", r"true|True|TRUE|false|False|FALSE", "tTfF"),
    ("null", r"~|null|Null|NULL|", "~nN\0"),
    ("int", r"[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+", "-+0123456789"),
    ("float", r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?", "-+.0123456789"),
    ("float", r"[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN)", "-+."),
    ("merge", r"<<", "<"),
)
"""The plain scalars of the YAML 1.2 core schema: tag, pattern, first characters."""


_Resolvers = dict[str, list[tuple[str, re.Pattern[str]]]]
"""PyYAML's table: first character of a plain scalar -> (tag, pattern) to try in order."""


def _resolvers() -> _Resolvers:
    table: _Resolvers = {}
    for tag, pattern, first in _RESOLVERS:
        for character in first:
            entry = (f"tag:yaml.org,2002:{tag}", re.compile(f"^(?:{pattern})$"))
            table.setdefault("" if character == "\0" else character, []).append(entry)
    return table


def _both_resolvers() -> _Resolvers:
    old: _Resolvers = yaml.SafeDumper.yaml_implicit_resolvers
    new = _resolvers()
    return {first: [*old.get(first, []), *new.get(first, [])] for first in {*old, *new}}


class _Loader(yaml.SafeLoader):
    """Safe YAML 1.2 scalars; refuses a key given twice."""

    yaml_implicit_resolvers = _resolvers()

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen: set[str] = set()
        for key_node, _ in node.value:
            key = str(key_node.value)
            if key in seen:
                raise yaml.constructor.ConstructorError(
                    None, None, f"the key '{key}' is given twice", key_node.start_mark
                )
            seen.add(key)
        return super().construct_mapping(node, deep)

    def construct_yaml_int(self, node: yaml.ScalarNode) -> int:
        text = str(self.construct_scalar(node))
        return int(text, {"0o": 8, "0x": 16}.get(text[:2], 10))

    yaml_constructors = {**yaml.SafeLoader.yaml_constructors, "tag:yaml.org,2002:int": construct_yaml_int}  # noqa: RUF012


class _Dumper(yaml.SafeDumper):
    """Quotes whatever a reader of YAML 1.1 or of YAML 1.2 would not take for the string it is."""

    yaml_implicit_resolvers = _both_resolvers()

    def ignorealiases_of(self, data: Any) -> bool:
        return True

    def represent_text(self, text: Any) -> yaml.ScalarNode:
        # YAML takes these for line ends and folds them away unless they are escaped, which double quotes do.
        style = '"' if any(character in text for character in "\x85\u2028\u2029") else None
        return self.represent_scalar("tag:yaml.org,2002:str", text, style=style)

    yaml_representers = {**yaml.SafeDumper.yaml_representers, str: cast(Any, represent_text)}  # noqa: RUF012


def _set(target: dict[str, Any], path: list[str], value: Any, cls: type[Part] | None) -> None:
    head, rest = path[0], path[1:]
    if cls is not None:
        aliases = aliases_of(cls)
        head = aliases.get(head, head)
        for spelled in [key for key in target if aliases.get(key) == head]:
            target[head] = target.pop(spelled)
    if not rest:
        target[head] = value
        return
    field = cls.model_fields.get(head) if cls is not None else None
    child = target.get(head)
    if isinstance(child, str):
        child = (_bare(field) or Bare("kind")).spread(child)
    elif child is None:
        child = {}
    elif not isinstance(child, dict):
        message = f"'{head}' is a plain value and has no key '{rest[0]}'"
        raise ConfigError(message, where=".".join(path), mend=f"write {head}=VALUE, or leave out the rest of the key")
    target[head] = dict(child)
    _set(target[head], rest, value, _part_of(field, child))


def _describe(cls: type[Part], raw: Mapping[str, Any], item: Any) -> tuple[str, str]:
    """Return the place of a mistake, as written in the recipe, and what is wrong there."""
    location, kind = _written_path(raw, item["loc"]), item["type"]
    place = ".".join(location)
    if kind == "extra_forbidden":
        part = _part_at(cls, raw, location[:-1])
        return place, "unknown key" if part is None else _unknown_key(part, location[-1])
    if kind == "missing":
        return ".".join([*location, str(item["loc"][-1])]), "this key is required"
    cause = item.get("ctx", {}).get("error")
    if isinstance(cause, ConfigError):
        return place, f"{cause.message} ({cause.mend})" if cause.mend else cause.message
    message = str(item["msg"]).removeprefix("Value error, ").replace("Input should be", "should be")
    value = item.get("input")
    if kind == "model_type":
        message = "should be a mapping of keys"
    if kind == "string_type" and isinstance(value, int | float):
        message += ", put it in quotes"
    plain = kind != "value_error" and isinstance(value, str | int | float | bool | type(None))
    shown = repr(value) if plain else ""
    return place, f"{message} (got {shown[:60]})" if shown else message


def _unknown_key(part: type[Part], key: str) -> str:
    aliases = aliases_of(part)
    if key in aliases:
        return f"the same key as '{aliases[key]}', given twice under two names"
    known = sorted(part.model_fields)
    if found := suggest(key, [*known, *aliases]):
        return f"unknown key{found}"
    field = part.model_fields.get("kind")
    if field is None or not isinstance(field.default, str):
        return f"unknown key (known: {', '.join(known)})"
    options = ", ".join(name for name in known if name != "kind")
    return f"unknown key ('{field.default}' has {options or 'no options'})"


def _written_path(raw: Any, location: tuple[str | int, ...]) -> list[str]:
    """The part of an error's location that the user wrote; pydantic adds names of union members and of validators."""
    written: list[str] = []
    current = raw
    for step in location:
        in_mapping = isinstance(current, Mapping) and step in current
        in_list = isinstance(current, list | tuple) and isinstance(step, int) and step < len(current)
        if not in_mapping and not in_list:
            break
        current = current[step]
        written.append(str(step))
    return written


def _bare(field: FieldInfo | None) -> Bare | None:
    return next((mark for mark in field.metadata if isinstance(mark, Bare)), None) if field is not None else None


def _part_of(field: FieldInfo | None, raw: Any) -> type[Part] | None:
    """The class of the part a field holds, given the raw value; None where it holds no part or none that is known."""
    if field is None:
        return None
    mark = _bare(field)
    if isinstance(mark, Choice):
        try:
            return mark.part(mark.spread(raw))
        except ConfigError:
            return None
    candidates = [field.annotation, *get_args(field.annotation)]
    return next((item for item in candidates if isinstance(item, type) and issubclass(item, Part)), None)


def _part_at(cls: type[Part], raw: Any, location: list[str]) -> type[Part] | None:
    """The class of the part at a path of a recipe class."""
    current: type[Part] | None = cls
    for name in location:
        if current is None or not isinstance(raw, Mapping):
            return None
        raw = raw.get(name)
        current = _part_of(current.model_fields.get(aliases_of(current).get(name, name)), raw)
    return current
