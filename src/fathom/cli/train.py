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
    as_json: AsJson = False,
) -> None:
    """Train as a recipe says; run again, it resumes."""
    from fathom.cli.summary import run_text
    from fathom.recipe import load_recipe
    from fathom.runs.train import train

    result = train(load_recipe(recipe, edits or ()))
    if as_json:
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
