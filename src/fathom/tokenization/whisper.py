"""Whisper's tokenizer: the tokens that tell its decoder language and task, and a new one of single bytes."""

from __future__ import annotations

from typing import Any

from tokenizers.pre_tokenizers import ByteLevel
from transformers import WhisperTokenizer
from transformers.models.whisper.tokenization_whisper import LANGUAGES, TASK_IDS, TO_LANGUAGE_CODE

from fathom.config import suggest
from fathom.errors import ConfigError, ModelError

END, START, BEFORE, UNTIMED = "<|endoftext|>", "<|startoftranscript|>", "<|startofprev|>", "<|notimestamps|>"
BYTE_ROWS = 256 + 4
"""Tokens of `byte_tokenizer`: bytes, and those above."""
ENGLISH_ONLY_ROWS = 51_864
"""Rows of the published models that know English alone: their tokenizer has tokens of languages all the same."""
TRANSCRIBE = "transcribe"
LANGUAGE_KEY = "task.language"


def byte_tokenizer() -> WhisperTokenizer:
    """Return a tokenizer of single bytes: it writes any language, in as many tokens as the text has bytes of UTF-8."""
    vocabulary = {token: number for number, token in enumerate([*sorted(ByteLevel.alphabet()), END, START, BEFORE])}
    vocabulary[UNTIMED] = len(vocabulary)
    return WhisperTokenizer(vocab=vocabulary, merges=[], pad_token=END, extra_special_tokens=[START, BEFORE, UNTIMED])


def is_multilingual(tokenizer: Any, rows: int) -> bool:
    """Whether a model has to be told the language of a sound.

    Args:
        tokenizer: Whisper's.
        rows: Of the model's embedding table.
    """
    return "<|en|>" in tokenizer.get_vocab() and rows != ENGLISH_ONLY_ROWS


def set_prompt(tokenizer: Any, language: str | None, rows: int) -> None:
    """Make the tokens before every transcript those of a language; they are saved with the tokenizer.

    Args:
        tokenizer: Whisper's; changed in place.
        language: Its English name or code; None: the one the tokenizer was saved with.
        rows: Of the model's embedding table.

    Raises:
        ConfigError: The language is unknown, missing, or given to a model that knows one only.
        ModelError: The tokenizer is not Whisper's.
    """
    vocabulary = tokenizer.get_vocab()
    lacking = [token for token in (START, UNTIMED) if token not in vocabulary]
    if lacking:
        raise ModelError(f"the tokenizer has no token {lacking[0]}", where="model", mend="give it Whisper's tokenizer")
    if not is_multilingual(tokenizer, rows):
        if language is not None and code_of(language) != "en":
            mend = "leave it out, or choose a multilingual model"
            raise ConfigError("the model has no tokens of languages", where=LANGUAGE_KEY, mend=mend)
        tokenizer.set_prefix_tokens(predict_timestamps=False)
        return
    language = language or tokenizer.language
    if language is None:
        mend = "write the language of the transcripts, e.g. english or zh"
        raise ConfigError(f"the model writes {len(LANGUAGES)} languages", where=LANGUAGE_KEY, mend=mend)
    code = code_of(language)
    tokenizer.set_prefix_tokens(language=code, task=TRANSCRIBE, predict_timestamps=False)
    wanted = [START, f"<|{code}|>", f"<|{TRANSCRIBE}|>", UNTIMED]
    if tokenizer.convert_ids_to_tokens(tokenizer.prefix_tokens) != wanted:
        raise ConfigError(
            f"the model's tokenizer has no token of the language '{language}'",
            where=LANGUAGE_KEY,
            mend="choose another language, or another model",
        )


def code_of(language: str) -> str:
    """Return the code of a language by its English name or code.

    Raises:
        ConfigError: Whisper does not know it.
    """
    name = language.lower()
    if name in LANGUAGES:
        return name
    if name not in TO_LANGUAGE_CODE:
        known = [*LANGUAGES, *TO_LANGUAGE_CODE]
        said = f"Whisper knows no language '{language}'{suggest(name, known)}"
        raise ConfigError(said, where=LANGUAGE_KEY, mend=f"known: {', '.join(sorted(LANGUAGES))}")
    return str(TO_LANGUAGE_CODE[name])


def generation_settings(tokenizer: Any) -> dict[str, Any]:
    """Return what a model's `generation_config` must say, so that `generate` begins with the tokenizer's prompt."""
    vocabulary: dict[str, int] = tokenizer.get_vocab()
    found: dict[str, Any] = {
        "decoder_start_token_id": vocabulary[START],
        "bos_token_id": tokenizer.bos_token_id,
        "eos_token_id": tokenizer.eos_token_id,
        "pad_token_id": tokenizer.pad_token_id,
        "no_timestamps_token_id": vocabulary[UNTIMED],
        "return_timestamps": False,
    }
    if len(tokenizer.prefix_tokens) == 2:  # one language: nothing to tell
        return found
    languages = {f"<|{code}|>": vocabulary[f"<|{code}|>"] for code in LANGUAGES if f"<|{code}|>" in vocabulary}
    tasks = {task: vocabulary[f"<|{task}|>"] for task in TASK_IDS}
    told = {"language": f"<|{code_of(tokenizer.language)}|>", "task": tokenizer.task, "is_multilingual": True}
    return {**found, "lang_to_id": languages, "task_to_id": tasks, **told}
