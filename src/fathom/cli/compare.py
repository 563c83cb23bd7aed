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
    budget: Annotated[
        str | None, typer.Option(help="Time to spend, 10m or 1h30m: short runs first, the better half goes on.")
    ] = None,
    together: Annotated[
        str, typer.Option(help="auto: trials over one frozen base share a process; never: each has its own.")
    ] = "auto",
    forgetting: Annotated[
        str | None, typer.Option(help="File of texts: what each model forgot of what its base could do.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Train what varies side by side; run again, it resumes."""
    from fathom.cli.tables import table_text
    from fathom.runs.compare import compare
    from fathom.runs.comparison_report import findings
    from fathom.runs.comparison_tables import costs_table, forgetting_tables, scores_table
    from fathom.runs.halving_report import HEADER as HALVING_HEADER
    from fathom.runs.halving_report import halving_findings, halving_rows

    found = compare(recipe, edits, output, budget=budget, together=together, forgetting=forgetting)
    if as_json:
        say_json(found.to_json())
    else:
        if found.halving is not None:
            say(table_text(HALVING_HEADER, halving_rows(found.halving)))
            say("\n" + "\n".join(halving_findings(found.halving)) + "\n" * bool(found.groups))
        if found.groups:
            scores = scores_table(found)
            say(table_text([found.metric, *scores.header], scores.rows))
            say("\n" + "\n".join(findings(found)))
            for table in (*forgetting_tables(found), costs_table(found)):
                say("\n" + table_text([table.title, *table.header], table.rows))
        for item in found.failures:
            say(f"\nfailed: {item.name}: {item.error}")
    spent = found.halving
    if not found.groups and not (spent and spent.rounds and spent.rounds[-1][0].score is not None):
        raise typer.Exit(FAILED)
