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
    """Report what is wrong with data: labels, leaks, lengths."""
    from fathom.runs.data import check

    report = check(source, edits or ())
    if as_json:
        say_json(report.to_json())
    else:
        say(report.to_text())
    if report.exit_code:
        raise typer.Exit(report.exit_code)


@guarded
def preview_command(
    source: Annotated[str, typer.Argument(help="Recipe or data file.")],
    edits: Annotated[list[str] | None, typer.Argument(help="Changes to the recipe.", show_default=False)] = None,
    index: Annotated[int, typer.Option(min=0, help="Which example.")] = 0,
    output: Annotated[
        str | None, typer.Option(help="Images and sounds: the picture to draw.", show_default=False)
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Show one example as the model will see it."""
    from fathom.runs.data import preview

    shown = preview(source, edits or (), index, output)
    if as_json:
        say_json(shown.to_json())
    else:
        say(shown.to_text())


@guarded
def init_command(
    data: Annotated[str, typer.Argument(help="Data file.")],
    edits: Annotated[
        list[str] | None,
        typer.Argument(help="How it is read, where that must be said: encoding=big5.", show_default=False),
    ] = None,
    output: Annotated[str | None, typer.Option(help="Recipe to write; left out, beside the data's name here.")] = None,
    as_json: AsJson = False,
) -> None:
    """Write a recipe for a data file, all of it guessed."""
    from fathom.config import read_yaml
    from fathom.runs.init import STAND_INS, init

    path = init(data, output, edits or ())
    content = read_yaml(path)
    if as_json:
        say_json({"recipe": str(path), "content": content})
    else:
        say(f"fathom train {path}" + (" model=YOUR-MODEL" if content["model"] in STAND_INS.values() else ""))
