"""fathom train, fathom evaluate."""

from __future__ import annotations

from typing import Annotated

import typer

from fathom.cli.command import AsJson, guarded, say, say_json


@guarded
def train_command(
    recipe: Annotated[str, typer.Argument(help="YAML file, ready recipe (fathom list recipe) or module:function.")],
    edits: Annotated[
        list[str] | None,
        typer.Argument(
            help="Changes to it, such as tuning=lora tuning.rank=8; fathom list has the names.", show_default=False
        ),
    ] = None,
    time_limit: Annotated[
        str | None, typer.Option(help="Save and stop after 90s, 10m, 1h30m; the same command goes on.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Train as a recipe says; run again, it resumes."""
    from fathom.cli.summary import paused_text, run_text
    from fathom.device import process_age_seconds
    from fathom.recipe import load_recipe
    from fathom.runs.duration import parse_duration
    from fathom.runs.train import train

    # The time of a command begins with its process.
    limit = None if time_limit is None else max(0.0, parse_duration(time_limit) - process_age_seconds())
    result = train(load_recipe(recipe, edits or ()), time_limit=limit)
    if result.paused is not None:
        if as_json:
            say_json({"folder": str(result.folder), "paused": vars(result.paused)})
        else:
            say(paused_text(result.folder, vars(result.paused)))
    elif as_json:
        say_json({"folder": str(result.folder), "model": str(result.folder / "model"), "metrics": result.metrics})
    else:
        say(run_text(result.folder, result.metrics))


@guarded
def evaluate_command(
    model: Annotated[str, typer.Argument(help="Model folder of a run.")],
    data: Annotated[str, typer.Argument(help="Labelled file, hub name or helpdesk:... to score it on.")],
    edits: Annotated[
        list[str] | None,
        typer.Argument(help="How to read it, where not as in training: columns.label=topic.", show_default=False),
    ] = None,
    batch_size: Annotated[int, typer.Option(min=1, help="Sequences per forward pass.")] = 64,
    as_json: AsJson = False,
) -> None:
    """Score a trained model on labelled data."""
    from fathom.cli.tables import scores_text
    from fathom.runs.evaluate import evaluate

    scores = evaluate(model, data, edits or (), batch_size=batch_size)
    if as_json:
        say_json(scores)
    else:
        say(scores_text(scores))
