"""Whisper's tokenizer: the prompt of a language, and a tokenizer of bytes."""

from __future__ import annotations

import pytest
from transformers import WhisperTokenizer

from fathom.errors import ConfigError, ModelError
from fathom.tokenization.whisper import (
    END,
    ENGLISH_ONLY_ROWS,
    START,
    UNTIMED,
    byte_tokenizer,
    code_of,
    generation_settings,
    set_prompt,
)
from tokenizers_for_tests import tokenizer_of
from whispers_for_tests import language_tokenizer

ROWS = 51_865


def test_bytes_write_every_language_and_survive_saving(tmp_path):
    made = byte_tokenizer()
    assert len(made) == 256 + 4 and made.name_or_path == ""
    assert made.convert_ids_to_tokens(made.prefix_tokens) == [START, UNTIMED]
    for text in ("a b", "我们，好。", "Ça va? 😀", ""):
        ids = made(text, add_special_tokens=False)["input_ids"]
        assert len(ids) == len(text.encode())
        whole = made(text)["input_ids"]
        assert whole == [*made.prefix_tokens, *ids, made.eos_token_id]
        assert made.decode(whole, skip_special_tokens=True) == text
    made.save_pretrained(tmp_path)
    again = WhisperTokenizer.from_pretrained(tmp_path)
    assert again.get_vocab() == made.get_vocab() and len(again) == len(made)
    assert again("a 我")["input_ids"] == made("a 我")["input_ids"]
    assert again.eos_token == again.pad_token == END


@pytest.mark.parametrize("language", ["chinese", "zh", "Mandarin"])
def test_the_prompt_of_a_language_is_saved(tmp_path, language):
    made = language_tokenizer()
    set_prompt(made, language, ROWS)
    wanted = [START, "<|zh|>", "<|transcribe|>", UNTIMED]
    assert made.convert_ids_to_tokens(made.prefix_tokens) == wanted
    made.save_pretrained(tmp_path)
    again = WhisperTokenizer.from_pretrained(tmp_path)
    assert again.prefix_tokens == made.prefix_tokens
    set_prompt(again, None, ROWS)
    assert again.prefix_tokens == made.prefix_tokens, "left out, it is the one it was saved with"
    settings = generation_settings(again)
    assert (settings["language"], settings["task"]) == ("<|zh|>", "transcribe")
    assert settings["lang_to_id"]["<|zh|>"] == made.prefix_tokens[1]
    assert settings["no_timestamps_token_id"] == made.prefix_tokens[3]


def test_a_model_of_one_language_has_a_short_prompt():
    made = language_tokenizer()
    set_prompt(made, "en", ENGLISH_ONLY_ROWS)
    assert made.convert_ids_to_tokens(made.prefix_tokens) == [START, UNTIMED]
    assert "lang_to_id" not in generation_settings(made)
    with pytest.raises(ConfigError, match="no tokens of languages"):
        set_prompt(made, "zh", ENGLISH_ONLY_ROWS)
    with pytest.raises(ConfigError, match="no tokens of languages"):
        set_prompt(byte_tokenizer(), "german", ROWS)


def test_languages_that_are_missing_or_unknown_are_named():
    with pytest.raises(ConfigError, match=r"the model writes \d+ languages") as caught:
        set_prompt(language_tokenizer(), None, ROWS)
    assert caught.value.where == "task.language"
    with pytest.raises(ConfigError, match="no language 'germann', did you mean 'german'"):
        code_of("germann")
    with pytest.raises(ModelError, match=r"no token <\|startoftranscript\|>"):
        set_prompt(tokenizer_of("byte-level"), None, ROWS)
