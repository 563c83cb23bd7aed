"""fathom inspect."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from fathom.cli.command import AsJson, guarded, say, say_json

if TYPE_CHECKING:
    from fathom.model.new import NewModel


@guarded
def inspect_command(
    model: Annotated[
        str, typer.Argument(help="Preset such as bert-base, folder, hub name or recipe; with --depth, an architecture.")
    ],
    depth: Annotated[
        str | None, typer.Option(help="Blocks of a new model: fathom inspect llama --depth 12; several with commas.")
    ] = None,
    vocab: Annotated[
        int | None, typer.Option(min=2, help="Rows of a new model's embeddings; 32000 if left out.")
    ] = None,
    tuning: Annotated[
        str | None, typer.Option(help="A strategy, several with commas (full,lora), '{kind: lora, rank: 8}', or all.")
    ] = None,
    batch_size: Annotated[
        int | None, typer.Option("--batch-size", "--batch", min=1, help="Sequences in memory at once; 32 if left out.")
    ] = None,
    length: Annotated[int | None, typer.Option(min=1, help="Tokens of each sequence; 128 if left out.")] = None,
    precision: Annotated[
        Literal["auto", "fp32", "bf16"] | None, typer.Option(help="Arithmetic of the blocks; auto asks this machine.")
    ] = None,
    optimizer: Annotated[
        str | None, typer.Option(help="Whose state is counted: any optimizer, or '{kind: sgd, momentum: 0.9}'.")
    ] = None,
    checkpointing: Annotated[
        bool | None,
        typer.Option("--checkpointing/--no-checkpointing", help="Whether blocks are computed again going backward."),
    ] = None,
    frozen_cache: Annotated[
        Literal["off", "float32", "bfloat16", "int8"] | None,
        typer.Option(help="Count frozen blocks as read from a cache of this format."),
    ] = None,
    task: Annotated[
        str | None, typer.Option(help="Whose head the model gets: any task, e.g. token-classification.")
    ] = None,
    labels: Annotated[int | None, typer.Option(min=1, help="Labels that head tells apart; 2 if left out.")] = None,
    plot: Annotated[str | None, typer.Option(help="Draw the strategies into this .svg file.")] = None,
    as_json: AsJson = False,
) -> None:
    """Show depth, parameters, memory and work of a model."""
    from fathom import files
    from fathom.config import apply_edits

    training: dict[str, Any] = {
        "batch_size": batch_size,
        "precision": precision,
        "optimizer": None if optimizer is None else apply_edits({}, [f"optimizer={optimizer}"])["optimizer"],
        "activation_checkpointing": checkpointing,
        "frozen_cache": frozen_cache,
    }
    news = _new_models(model, depth, vocab)
    if plot is not None:
        _check_plot(plot, len(news))
    report = _report(model, news, {"tuning": tuning, "task": _head(task, labels)}, {"length": length, **training})
    if plot is not None:
        files.write_atomic(plot, report.to_svg())
    if as_json:
        say_json(report.to_json())
    else:
        say(report.to_text())


def _head(task: str | None, labels: int | None) -> dict[str, Any] | None:
    """The task whose head is asked for."""
    from fathom.errors import ConfigError

    if task is None:
        if labels is not None:
            raise ConfigError("--labels needs --task", mend="say whose head: --task text-classification")
        return None
    return {"kind": task} if labels is None else {"kind": task, "num_labels": labels}


def _report(model: str, news: list[NewModel], chosen: dict[str, Any], load: dict[str, Any]) -> Any:
    """What is inspected: one model, or a new one at several depths."""
    from fathom.errors import ConfigError
    from fathom.runs.depths import inspect_depths
    from fathom.runs.inspect import inspect

    if len(news) <= 1:
        return inspect(news[0] if news else model, **chosen, **load)
    if any(value is not None for value in chosen.values()):
        raise ConfigError("several depths are compared as they are pretrained", mend="leave --tuning and --task out")
    return inspect_depths(news[0], [new.depth for new in news], **load)


def _check_plot(path: str, num_models: int) -> None:
    """Refuse a plot that cannot be drawn before anything is counted."""
    from pathlib import Path

    from fathom.errors import ConfigError

    if Path(path).suffix.lower() != ".svg":
        raise ConfigError(f"'{path}' is no .svg file", where="--plot", mend="write for example --plot strategies.svg")
    if num_models > 1:
        raise ConfigError("the plot compares strategies, not depths", where="--plot", mend="give one depth")


def _new_models(model: str, depth: str | None, vocab: int | None) -> list[NewModel]:
    """The new models that are asked for, one for each depth; none where the model exists."""
    from fathom.config import validate
    from fathom.errors import ConfigError
    from fathom.model.new import NewModel

    if depth is None:
        if vocab is not None:
            raise ConfigError("--vocab is for a new model", mend="add --depth, for example --depth 12")
        return []
    try:
        depths = [int(item) for item in depth.split(",")]
    except ValueError:
        raise ConfigError(f"'{depth}' is no depth", where="--depth", mend="write 12, or 2,4,8,12,24") from None
    raw = {"architecture": model, "vocabulary_size": vocab}
    return [validate(NewModel, {**raw, "depth": number}, "--depth") for number in depths]
