from __future__ import annotations

import json

import pytest

from fathom.errors import ModelError
from fathom.tokenization.load import load_tokenizer, prepare
from tokenizers_for_tests import tokenizer_of


def test_no_truncation_and_padding_is_left_over():
    """MiniLM's own file pads every text to 128 tokens."""
    backend = tokenizer_of("minilm").backend_tokenizer
    assert backend.truncation is None
    assert backend.padding is None


def test_a_saved_tokenizer_comes_back(tmp_path):
    tokenizer_of("byte-level").save_pretrained(tmp_path)
    again = load_tokenizer(tmp_path)
    text = "Berlin 北京 😀 e\u0301"
    assert again(text)["input_ids"] == tokenizer_of("byte-level")(text)["input_ids"]


@pytest.mark.parametrize("name", ["./no-such-folder", "../no-such-folder", "no-such-owner/no-such-tokenizer"])
def test_a_missing_tokenizer_says_so(name, monkeypatch):
    # The variable is read when the library is imported; without this the test waits for a network.
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(ModelError) as error:
        load_tokenizer(name)
    assert error.value.where == name
    assert error.value.mend


def test_a_folder_without_tokenizer_names_the_files(tmp_path):
    with pytest.raises(ModelError, match=r"holds no tokenizer[\s\S]*tokenizer\.json"):
        load_tokenizer(tmp_path)


@pytest.mark.parametrize("damage", ["", "{", '{"version": "1.0"}', '{"model": {"type": "Nothing"}}'])
def test_a_damaged_file_is_named(tmp_path, damage):
    tokenizer_of("bpe").save_pretrained(tmp_path)
    (tmp_path / "tokenizer.json").write_text(damage)
    with pytest.raises(ModelError) as error:
        load_tokenizer(tmp_path)
    assert str(tmp_path) in str(error.value)
    assert "\n  mend: " in str(error.value)


def test_a_slow_tokenizer_is_refused():
    class Slow:
        is_fast = False

    with pytest.raises(ModelError, match="not a fast tokenizer"):
        prepare(Slow(), where="somewhere")


def test_the_config_is_json_too(tmp_path):
    tokenizer_of("bpe").save_pretrained(tmp_path)
    path = tmp_path / "tokenizer_config.json"
    json.loads(path.read_text())
    path.write_text("{]")
    with pytest.raises(ModelError, match=r"tokenizer_config\.json: damaged"):
        load_tokenizer(tmp_path)
