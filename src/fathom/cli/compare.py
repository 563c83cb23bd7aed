"""fathom compare."""

from __future__ import annotations

from typing import Annotated

import typer

from fathom.cli.command import FAILED, AsJson, guarded, say, say_json


@guarded
def compare_command(
    recipe: Annotated[str, typer.Argument(help="YAML file, ready recipe (fathom list recipe) or module:function.")],
    edits: Annotated[
        list[str],
        typer.Argument(help="What varies, tuning=[full,lora] training.seed=[1,2,3]; other edits hold for all trials."),
    ],
    output: Annotated[str | None, typer.Option("--output", "-o", help="Folder; runs/compare-NAME if left out.")] = None,
    as_json: AsJson = False,
) -> None:
    """Train what varies side by side; run again, it resumes."""
    from fathom.cli.tables import table_text
    from fathom.runs.compare import compare
    from fathom.runs.comparison_report import HEADER, findings, rows_of

    found = compare(recipe, edits, output)
    if as_json:
        say_json(found.to_json())
    else:
        if found.groups:
            say(table_text([found.metric, *HEADER], rows_of(found)))
            say("\n" + "\n".join(findings(found)))
        for item in found.failures:
            say(f"\nfailed: {item.name}: {item.error}")
    if not found.groups:
        raise typer.Exit(FAILED)
