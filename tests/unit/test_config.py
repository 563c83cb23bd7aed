from __future__ import annotations

from typing import Annotated, Literal

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from pydantic import AliasChoices, Field

from fathom.config import Bare, Part, apply_edits, read_yaml, suggest, validate, write_yaml
from fathom.errors import ConfigError


class Inner(Part):
    name: str = "x"
    rate: float = Field(0.1, validation_alias=AliasChoices("rate", "lr", "learning_rate"))
    size: int | Literal["auto"] = "auto"


class Outer(Part):
    inner: Annotated[Inner, Bare("name")] = Inner()
    steps: int = 1
    columns: dict[str, str] = Field(default_factory=dict)


def _read(tmp_path, text):
    path = tmp_path / "a.yaml"
    path.write_text(text, encoding="utf-8")
    return read_yaml(path)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("no", "no"),
        ("NO", "NO"),
        ("on", "on"),
        ("off", "off"),
        ("yes", "yes"),
        ("y", "y"),
        ("true", True),
        ("False", False),
        ("2024-01-31", "2024-01-31"),
        ("2024-01-31 10:00:00", "2024-01-31 10:00:00"),
        ("12:30", "12:30"),
        ("1:30:00.5", "1:30:00.5"),
        ("010", 10),
        ("0o10", 8),
        ("0x10", 16),
        ("1_000", "1_000"),
        ("5e-4", 5e-4),
        ("1E3", 1000.0),
        ("1.", 1.0),
        (".5", 0.5),
        ("-3", -3),
        ("+3", 3),
        ("1e", "1e"),
        ("e5", "e5"),
        ("1.2.3", "1.2.3"),
        ("~", None),
        ("null", None),
        ("", None),
        ("=", "="),
        ("'5e-4'", "5e-4"),
        ("NaN", "NaN"),
    ],
)
def test_yaml_scalars_mean_what_they_look_like(tmp_path, text, value):
    found = _read(tmp_path, f"key: {text}\n")["key"]
    assert found == value
    assert type(found) is type(value)


def test_yaml_keys_stay_words(tmp_path):
    assert _read(tmp_path, "on: a\nno: b\n2024-01-31: c\n") == {"on": "a", "no": "b", "2024-01-31": "c"}


plain = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=12)
hostile = st.sampled_from(
    ["no", "1e-3", "010", "2024-01-31", "~", "", "=", "<<", "0x1", "1:30", "- a", "#", "é\u2028", "1_0"]
)
values = st.recursive(
    plain | hostile, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(hostile, inner, max_size=3)
)


@given(st.dictionaries(hostile | st.text(min_size=1, max_size=6), values, max_size=4))
def test_yaml_written_is_yaml_read(tmp_path_factory, value):
    path = tmp_path_factory.getbasetemp() / "round.yaml"
    path.write_text(write_yaml(value), encoding="utf-8", newline="\n")
    assert read_yaml(path) == value


@given(st.dictionaries(st.just("key"), hostile))
def test_yaml_written_is_also_read_by_yaml_1_1(value):
    assert yaml.safe_load(write_yaml(value)) == value


def test_a_key_given_twice_is_refused_with_its_line(tmp_path):
    with pytest.raises(ConfigError, match=r"a\.yaml:3:1: .*'steps' is given twice"):
        _read(tmp_path, "steps: 1\nother: 2\nsteps: 3\n")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"a: [1, 2\n", "not valid YAML"),
        (b"\xff\xfe\x00a", "not UTF-8"),
        (b"- a\n- b\n", "mapping of sections"),
        (b"", "mapping of sections"),
        (b"!!python/object/apply:os.system ['true']\n", "not valid YAML"),
        (b"a: \x00\n", "not valid YAML"),
    ],
)
def test_a_file_that_is_no_recipe_is_named(tmp_path, content, message):
    path = tmp_path / "bad.yaml"
    path.write_bytes(content)
    with pytest.raises(ConfigError, match=message) as caught:
        read_yaml(path)
    assert "bad.yaml" in str(caught.value)


def test_missing_file_and_folder_are_named(tmp_path):
    with pytest.raises(ConfigError, match="no such file"):
        read_yaml(tmp_path / "none.yaml")
    with pytest.raises(ConfigError, match="this is a folder"):
        read_yaml(tmp_path)


def test_byte_order_mark_is_no_part_of_the_first_key(tmp_path):
    path = tmp_path / "bom.yaml"
    path.write_bytes(b"\xef\xbb\xbfsteps: 2\n")
    assert read_yaml(path) == {"steps": 2}


def test_edits_merge_in_order_and_leave_the_original_alone():
    raw = {"inner": {"name": "a"}, "steps": 1}
    edited = apply_edits(raw, ["inner.rate=5e-4", "steps=2", "columns.text=on", "inner.size=auto"])
    assert edited == {"inner": {"name": "a", "rate": 5e-4, "size": "auto"}, "steps": 2, "columns": {"text": "on"}}
    assert raw == {"inner": {"name": "a"}, "steps": 1}


def test_an_edit_under_a_bare_name_keeps_the_name():
    assert apply_edits({"part": "lora"}, ["part.rank=8"]) == {"part": {"kind": "lora", "rank": 8}}
    assert apply_edits({"inner": "minilm"}, ["inner.rate=1"], Outer) == {"inner": {"name": "minilm", "rate": 1}}


def test_an_edit_replaces_a_key_however_it_was_spelled():
    assert apply_edits({"inner": {"lr": 1.0}}, ["inner.learning_rate=2.0"], Outer) == {"inner": {"rate": 2.0}}
    assert apply_edits({"inner": {"rate": 1.0}}, ["inner.lr=2.0"], Outer) == {"inner": {"rate": 2.0}}


def test_an_edit_value_may_hold_equal_signs():
    assert apply_edits({}, ["columns.text=a=b"]) == {"columns": {"text": "a=b"}}


@pytest.mark.parametrize("edit", ["steps", "=3", "a..b=1", ".a=1", "a.=1"])
def test_what_is_no_edit_is_refused(edit):
    with pytest.raises(ConfigError, match="is not an edit"):
        apply_edits({}, [edit])


def test_an_edit_below_a_number_is_refused():
    with pytest.raises(ConfigError, match="plain value"):
        apply_edits({"steps": 3}, ["steps.x=1"])


def test_an_edit_that_is_no_yaml_is_refused():
    with pytest.raises(ConfigError, match="not YAML"):
        apply_edits({}, ["a=[1"])


def test_every_mistake_is_reported_at_once():
    raw = {"inner": {"nmae": "x", "size": "many", "rate": "fast"}, "stpes": 3, "columns": {"text": 1}}
    with pytest.raises(ConfigError) as caught:
        validate(Outer, raw, "r.yaml")
    text = str(caught.value)
    assert text.startswith("r.yaml: 5 mistakes")
    assert "inner.nmae: unknown key, did you mean 'name'?" in text
    assert "inner.size: should be a valid integer" in text
    assert " or should be 'auto'" in text
    assert "inner.rate: should be a valid number" in text
    assert "stpes: unknown key, did you mean 'steps'?" in text
    assert "columns.text: should be a valid string, put it in quotes (got 1)" in text


def test_aliases_are_known_and_suggested():
    assert validate(Outer, {"inner": {"lr": 0.5}}).inner.rate == 0.5
    with pytest.raises(ConfigError, match=r"inner\.learning_rat: unknown key, did you mean 'learning_rate'\?"):
        validate(Outer, {"inner": {"learning_rat": 0.5}})


def test_a_key_and_its_alias_together_are_refused():
    with pytest.raises(ConfigError, match=r"inner\.lr: the same key as 'rate', given twice"):
        validate(Outer, {"inner": {"lr": 0.5, "rate": 0.5}})


def test_an_unknown_key_far_from_all_lists_the_known_ones():
    with pytest.raises(ConfigError, match=r"unknown key \(known: columns, inner, steps\)"):
        validate(Outer, {"zzzzzz": 1})


def test_parts_are_frozen_and_finite():
    with pytest.raises(ValueError, match="frozen"):
        Outer().steps = 2  # type: ignore[misc]
    with pytest.raises(ConfigError, match="finite"):
        validate(Outer, {"inner": {"rate": float("nan")}})


def test_suggest():
    assert suggest("epoch", ["epochs", "seed"]) == ", did you mean 'epochs'?"
    assert suggest("qqq", ["epochs"]) == ""
