"""fathom train, fathom evaluate."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer

from fathom.cli.command import FAILED, AsJson, guarded, say, say_json

if TYPE_CHECKING:
    from fathom.runs.open_run import RunResult


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
    beside: Annotated[
        list[str] | None,
        typer.Option(
            help="Another recipe, trained in the same process: LoRA over the same base in the same pass, top-layers, "
            "layers or head over the same frozen blocks after it; may be given again.",
            show_default=False,
        ),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Train as a recipe says; run again, it resumes."""
    from fathom.cli.summary import paused_text, run_text
    from fathom.device import process_age_seconds
    from fathom.recipe import load_recipe
    from fathom.runs.duration import parse_duration
    from fathom.runs.train import train

    if beside:
        _train_beside([recipe, *beside], edits or (), time_limit, as_json=as_json)
        return
    # The time of a command begins with its process.
    limit = None if time_limit is None else max(0.0, parse_duration(time_limit) - process_age_seconds())
    result = train(load_recipe(recipe, edits or ()), time_limit=limit)
    if as_json:
        say_json(_told(result))
    elif result.paused is not None:
        say(paused_text(result.folder, vars(result.paused)))
    else:
        say(run_text(result.folder, result.metrics))


def _train_beside(recipes: Sequence[str], edits: Sequence[str], time_limit: str | None, *, as_json: bool) -> None:
    """Train recipes in one process, each for a time; a run that fails is told, and the others are done."""
    from fathom.cli.summary import paused_text
    from fathom.cli.tables import table_text
    from fathom.recipe import load_recipe
    from fathom.runs.duration import parse_duration
    from fathom.runs.open_run import RunResult
    from fathom.runs.together import train_together

    limit = None if time_limit is None else parse_duration(time_limit)
    results = train_together([load_recipe(recipe, edits) for recipe in recipes], time_limit=limit)
    done = [result for result in results if isinstance(result, RunResult)]
    if as_json:
        say_json({"runs": [_told(result) for result in results]})
    else:
        ended = [one for one in done if one.paused is None]
        if ended:
            metric = str(ended[0].metrics["main_metric"])
            say(table_text(["run", metric], [[str(one.folder), _final(one.metrics).get(metric)] for one in ended]))
        for one in done:
            if one.paused is not None:
                say(paused_text(one.folder, vars(one.paused)))
        for recipe, result in zip(recipes, results, strict=True):
            if not isinstance(result, RunResult):
                say(f"failed: {recipe}: {result}")
    if len(done) < len(results):
        raise typer.Exit(FAILED)


def _told(result: RunResult | Exception) -> dict[str, Any]:
    if isinstance(result, Exception):
        return {"error": str(result)}
    if result.paused is not None:
        return {"folder": str(result.folder), "paused": vars(result.paused)}
    return {"folder": str(result.folder), "model": str(result.folder / "model"), "metrics": result.metrics}


def _final(metrics: Mapping[str, Any]) -> Mapping[str, Any]:
    found: Mapping[str, Any] = metrics.get("test") or metrics.get("validation") or {}
    return found


@guarded
def evaluate_command(
    model: Annotated[str, typer.Argument(help="Model folder of a run.")],
    data: Annotated[str, typer.Argument(help="Labelled file, hub name or helpdesk:... to score it on.")],
    edits: Annotated[
        list[str] | None,
        typer.Argument(help="How to read it, where not as in training: columns.label=topic.", show_default=False),
    ] = None,
    batch_size: Annotated[int, typer.Option(min=1, help="Sequences per forward pass.")] = 64,
    generate: Annotated[
        int | None, typer.Option(min=0, help="Models that write: judge so many answers, a sample.", show_default=False)
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Score a trained model on labelled data."""
    from fathom.cli.tables import scores_text
    from fathom.runs.evaluate import evaluate

    scores = evaluate(model, data, edits or (), batch_size=batch_size, generate=generate)
    if as_json:
        say_json(scores)
    else:
        say(scores_text(scores))
