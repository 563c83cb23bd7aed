"""fathom tokenizer train, show and extend."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, Any

import typer

from fathom.cli.command import AsJson, guarded, say, say_json
from fathom.errors import ConfigError
from fathom.log import get_console

_HUB_NAME = re.compile(r"[\w.-]+/[\w.-]+")

Replace = Annotated[bool, typer.Option("--replace", help="Take the place of an existing folder.")]
MaxDocuments = Annotated[int | None, typer.Option(min=1, help="Read no more than these many documents.")]
Column = Annotated[str | None, typer.Option(help="Column that holds the text, where it is not called 'text'.")]
Encoding = Annotated[str | None, typer.Option(help="Of the files, such as gbk; left out, it is detected.")]


@guarded
def show_command(
    names: Annotated[
        list[str], typer.Argument(help="Hub names, folders or built-in names; a text may follow the last.")
    ],
    text: Annotated[str | None, typer.Option(help="Text to cut into sub-words.")] = None,
    data: Annotated[str | None, typer.Option(help="File, folder or helpdesk:... to measure the fit on.")] = None,
    max_documents: Annotated[int, typer.Option(min=1, help="Documents read of it.")] = 10_000,
    column: Column = None,
    encoding: Encoding = None,
    as_json: AsJson = False,
) -> None:
    """Show tokenizers side by side: what they are, how they cut a text, how they fit data."""
    from fathom.cli.tokenizer_text import comparison_text, tokenizer_text
    from fathom.runs.tokenizer import compare_tokenizers, show_tokenizer

    names, text = _split_text(names, text)
    found: Any
    if len(names) == 1 and data is None:
        found = show_tokenizer(names[0], text)
    else:
        reading = _reading(column, encoding)
        found = compare_tokenizers(names, data, text, max_documents=max_documents, read=reading)
    if as_json:
        say_json(found)
    else:
        say(comparison_text(found) if isinstance(found, list) else tokenizer_text(found))


@guarded
def train_tokenizer_command(
    sources: Annotated[list[str], typer.Argument(help="Files, folders or globs of text, or helpdesk:...")],
    output: Annotated[str, typer.Option("--output", "-o", help="Folder to write.")],
    algorithm: Annotated[str, typer.Option(help="wordpiece, byte-bpe, unigram or characters.")] = "wordpiece",
    vocab_size: Annotated[int | None, typer.Option(help="Tokens of the vocabulary, special ones included.")] = None,
    style: Annotated[str | None, typer.Option(help="Architecture whose special tokens it gets: bert, gpt2 ...")] = None,
    normalization: Annotated[
        str | None, typer.Option(help="bert-cased, bert-uncased, chinese, chinese-nfkc, byte-level or none.")
    ] = None,
    chat: Annotated[bool, typer.Option("--chat", help="Add chat tokens and a chat template.")] = False,
    max_length: Annotated[int | None, typer.Option(help="Tokens of the longest input.")] = None,
    min_frequency: Annotated[int | None, typer.Option(help="Least occurrences of what becomes a token.")] = None,
    limit_alphabet: Annotated[int | None, typer.Option(help="Most distinct characters to keep.")] = None,
    max_documents: MaxDocuments = None,
    column: Column = None,
    encoding: Encoding = None,
    replace: Replace = False,
    as_json: AsJson = False,
) -> None:
    """Train a tokenizer from text."""
    from fathom.cli.tokenizer_text import trained_text
    from fathom.runs.tokenizer import train_tokenizer

    options = {"vocab_size": vocab_size, "min_frequency": min_frequency, "limit_alphabet": limit_alphabet}
    shape = {"style": style, "normalization": normalization, "max_length": max_length}
    settings = {
        "algorithm": {"kind": algorithm, **_given(options)},
        "chat": chat,
        **_given(shape),
    }
    reading = _reading(column, encoding)
    facts = train_tokenizer(sources, output, settings, max_documents=max_documents, read=reading, replace=replace)
    if as_json:
        say_json(facts)
    else:
        say(trained_text(facts))


@guarded
def extend_command(
    name: Annotated[str, typer.Argument(help="Model or tokenizer: folder, hub name or built-in name.")],
    output: Annotated[str, typer.Option("--output", "-o", help="Folder to write.")],
    tokens: Annotated[str | None, typer.Option(help="File with tokens to add, one a line.")] = None,
    source: Annotated[str | None, typer.Option("--from", help="Text of a domain to learn tokens from.")] = None,
    size: Annotated[int | None, typer.Option(help="How many to learn.")] = None,
    replace: Replace = False,
    as_json: AsJson = False,
) -> None:
    """Add tokens to a tokenizer, and rows for them to its model."""
    from fathom.cli.tokenizer_text import extended_text
    from fathom.runs.tokenizer import extend_tokenizer, read_token_list

    facts = extend_tokenizer(
        name,
        output,
        tokens=None if tokens is None else read_token_list(tokens),
        source=source,
        size=size,
        replace=replace,
    )
    if as_json:
        say_json(facts)
    else:
        say(extended_text(facts))


def _given(options: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in options.items() if value is not None}


def _reading(column: str | None, encoding: str | None) -> dict[str, Any]:
    """What the options say of reading files, in the words of a recipe's `data:`."""
    return _given({"columns": None if column is None else {"text": column}, "encoding": encoding})


def _split_text(names: list[str], text: str | None) -> tuple[list[str], str | None]:
    """Take the last argument for a text where it can be no tokenizer: `show minilm "some text"`."""
    if len(names) < 2 or _can_be_tokenizer(names[-1]):
        return names, text
    if text is not None:
        raise ConfigError(f"'{names[-1]}' is no tokenizer, and a text is given with --text", mend="check the names")
    if " " not in names[-1]:
        get_console().info(f"'{names[-1]}' is no tokenizer here; it is taken for the text to cut")
    return names[:-1], names[-1]


def _can_be_tokenizer(argument: str) -> bool:
    from fathom.model import presets

    known = argument == "minilm" or presets.find(argument) is not None
    path_like = argument.startswith(("/", "./", "../", "~")) and " " not in argument
    return known or path_like or Path(argument).is_dir() or _HUB_NAME.fullmatch(argument) is not None
