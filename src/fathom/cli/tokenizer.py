"""fathom tokenizer show."""

from __future__ import annotations

from typing import Annotated

import typer

from fathom.cli.command import AsJson, guarded, say, say_json


@guarded
def show_command(
    name: Annotated[str, typer.Argument(help="Hub name, model folder or built-in name.")],
    text: Annotated[str | None, typer.Argument(help="Text to cut into sub-words.")] = None,
    as_json: AsJson = False,
) -> None:
    """Show a tokenizer, and how it cuts a text into sub-words."""
    from fathom.runs.tokenizer import show_tokenizer, tokenizer_text

    facts = show_tokenizer(name, text)
    if as_json:
        say_json(facts)
    else:
        say(tokenizer_text(facts))
