"""fathom data check, fathom data preview, fathom init."""

from __future__ import annotations

from typing import Annotated

import typer

from fathom.cli.command import AsJson, guarded, say, say_json


@guarded
def check_command(
    source: Annotated[str, typer.Argument(help="Recipe or data file.")],
    edits: Annotated[list[str] | None, typer.Argument(help="Changes to the recipe.", show_default=False)] = None,
    as_json: AsJson = False,
) -> None:
    """Report label sets that differ, leaks between splits, truncation, imbalance, encodings."""
    raise NotImplementedError


@guarded
def preview_command(
    source: Annotated[str, typer.Argument(help="Recipe or data file.")],
    edits: Annotated[list[str] | None, typer.Argument(help="Changes to the recipe.", show_default=False)] = None,
    index: Annotated[int, typer.Option(min=0, help="Which example.")] = 0,
    as_json: AsJson = False,
) -> None:
    """Show one example as the model will see it: sub-words and the label on each."""
    raise NotImplementedError


@guarded
def init_command(
    data: Annotated[str, typer.Argument(help="Data file.")],
    output: Annotated[str | None, typer.Option(help="Recipe to write; left out, beside the data's name here.")] = None,
    as_json: AsJson = False,
) -> None:
    """Write a recipe for a data file, all of it guessed."""
    from fathom.runs.init import init

    path = init(data, output)
    if as_json:
        say_json({"recipe": str(path)})
    else:
        say(f"fathom train {path}")
