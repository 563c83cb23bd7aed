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
    batch_size: Annotated[int | None, typer.Option(min=1, help="Sequences in memory at once; 32 if left out.")] = None,
    length: Annotated[int | None, typer.Option(min=1, help="Tokens of each sequence; 128 if left out.")] = None,
    precision: Annotated[
        Literal["auto", "fp32", "bf16"], typer.Option(help="Arithmetic of the blocks; auto asks this machine.")
    ] = "auto",
    task: Annotated[
        str | None, typer.Option(help="Whose head the model gets: any task, e.g. token-classification.")
    ] = None,
    labels: Annotated[int | None, typer.Option(min=1, help="Labels that head tells apart; 2 if left out.")] = None,
    plot: Annotated[str | None, typer.Option(help="Draw the strategies into this .svg file.")] = None,
    as_json: AsJson = False,
) -> None:
    """Show depth, parameters, memory and work of a model."""
    from fathom import files
    from fathom.errors import ConfigError
    from fathom.runs.inspect import inspect

    if labels is not None and task is None:
        raise ConfigError("--labels needs --task", mend="say whose head: --task text-classification")
    head: dict[str, Any] | None = None
    if task is not None:
        head = {"kind": task} if labels is None else {"kind": task, "num_labels": labels}
    news = _new_models(model, depth, vocab)
    if plot is not None:
        _check_plot(plot, len(news))
    report: Any
    if len(news) > 1:
        from fathom.runs.depths import inspect_depths

        if tuning is not None or task is not None:
            raise ConfigError(
                "several depths are compared as they are pretrained", mend="leave --tuning and --task out"
            )
        depths = [new.depth for new in news]
        report = inspect_depths(news[0], depths, batch_size=batch_size, length=length, precision=precision)
    else:
        subject = news[0] if news else model
        options: dict[str, Any] = {"tuning": tuning, "batch_size": batch_size, "length": length, "task": head}
        report = inspect(subject, precision=precision, **options)
    if plot is not None:
        files.write_atomic(plot, report.to_svg())
    if as_json:
        say_json(report.to_json())
    else:
        say(report.to_text())


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
