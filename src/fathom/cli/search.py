"""fathom search."""

from __future__ import annotations

from typing import Annotated

import typer

from fathom.cli.command import FAILED, AsJson, guarded, say, say_json

SHOWN = 20


@guarded
def search_command(
    recipe: Annotated[str, typer.Argument(help="YAML file, ready recipe (fathom list recipe) or module:function.")],
    edits: Annotated[
        list[str] | None,
        typer.Argument(
            help="What is searched: tuning.rank=[4,8] 'training.learning_rate=log(1e-5,1e-3)' "
            "'training.epochs=int(1,4)' 'training.dropout=uniform(0,0.3)'; other edits hold for all trials.",
            show_default=False,
        ),
    ] = None,
    space: Annotated[str | None, typer.Option(help="YAML file with such ranges, `key: range`.")] = None,
    trials: Annotated[int | None, typer.Option(min=1, help="Trials in all, of every process; 20 if left out.")] = None,
    budget: Annotated[str | None, typer.Option(help="Time to spend: 90s, 10m, 1h30m.")] = None,
    sampler: Annotated[str, typer.Option(help="tpe, random or grid.")] = "tpe",
    pruning: Annotated[str, typer.Option(help="asha stops unpromising trials early; none.")] = "asha",
    reduction_factor: Annotated[int, typer.Option(help="One in so many goes on at each rung of asha.")] = 3,
    seed: Annotated[int, typer.Option(help="Of the sampler.")] = 7,
    at_once: Annotated[
        int, typer.Option(min=1, help="LoRA trials over one base that are asked for and trained in one pass.")
    ] = 4,
    output: Annotated[str | None, typer.Option("--output", "-o", help="Folder; runs/search-NAME if left out.")] = None,
    as_json: AsJson = False,
) -> None:
    """Look for the best values of any keys; run again, it goes on.

    Run in two terminals, they share the work.
    """
    from fathom.cli.tables import table_text
    from fathom.runs.ranges import read_space
    from fathom.runs.search import search
    from fathom.runs.search_report import findings, header_of, rows_of

    ranges = [*([] if space is None else read_space(space)), *(edits or [])]
    options = {"sampler": sampler, "pruning": pruning, "reduction_factor": reduction_factor, "seed": seed}
    found = search(recipe, ranges, output, trials=trials, budget=budget, at_once=at_once, **options)
    if as_json:
        say_json(found.to_json())
    else:
        rows = rows_of(found)
        say(table_text(header_of(found), rows[:SHOWN]))
        if len(rows) > SHOWN:
            say(f"... and {len(rows) - SHOWN} more, in the report")
        say("\n" + "\n".join(findings(found)))
        for record in found.having("failed"):
            say(f"\nfailed: {record.name}: {record.error}")
        if found.best_recipe:
            say(f"\nthe best recipe: fathom train {found.best_recipe}")
    if found.best is None:
        raise typer.Exit(FAILED)
