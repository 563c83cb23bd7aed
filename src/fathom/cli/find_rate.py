"""fathom find-rate."""

from __future__ import annotations

from typing import Annotated

import typer

from fathom.cli.command import AsJson, guarded, say, say_json


@guarded
def find_rate_command(
    recipe: Annotated[str, typer.Argument(help="YAML file, ready recipe (fathom list recipe) or module:function.")],
    edits: Annotated[
        list[str] | None, typer.Argument(help="Changes to it, such as tuning=lora.", show_default=False)
    ] = None,
    lowest: Annotated[float, typer.Option(help="First rate.")] = 1e-7,
    highest: Annotated[float, typer.Option(help="Last rate, if the loss lets it come so far.")] = 10.0,
    steps: Annotated[int, typer.Option(help="Steps from the first to the last.")] = 200,
    output: Annotated[
        str | None, typer.Option("--output", "-o", help="Folder; runs/find-rate-NAME if left out.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Raise the learning rate until the loss leaves, and suggest one."""
    from fathom.runs.find_rate import find_rate
    from fathom.runs.find_rate_report import findings

    found = find_rate(recipe, edits or (), output, lowest=lowest, highest=highest, num_steps=steps)
    if as_json:
        say_json(found.to_json())
    else:
        say("\n".join(findings(found)))
