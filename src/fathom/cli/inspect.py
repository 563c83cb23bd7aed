"""fathom inspect."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import typer

from fathom.cli.command import AsJson, guarded, say, say_json


@guarded
def inspect_command(
    model: Annotated[str, typer.Argument(help="Preset such as bert-base or llama-3-70b, folder or hub name.")],
    tuning: Annotated[
        str, typer.Option(help="A strategy, several with commas (full,lora), or '{kind: lora, rank: 8}'.")
    ] = "full",
    batch_size: Annotated[int, typer.Option(min=1, help="Sequences in memory at once.")] = 32,
    length: Annotated[int, typer.Option(min=1, help="Tokens of each sequence.")] = 128,
    precision: Annotated[
        Literal["auto", "fp32", "bf16"], typer.Option(help="Arithmetic of the blocks; auto asks this machine.")
    ] = "auto",
    task: Annotated[str | None, typer.Option(help="Whose head the model gets, e.g. token-classification.")] = None,
    labels: Annotated[int | None, typer.Option(min=1, help="Number of labels of that head.")] = None,
    as_json: AsJson = False,
) -> None:
    """Show depth, parameters, memory and work of a model."""
    from fathom.errors import ConfigError
    from fathom.runs.inspect import inspect

    if labels is not None and task is None:
        raise ConfigError("--labels needs --task", mend="say whose head: --task text-classification")
    head: dict[str, Any] | None = None
    if task is not None:
        head = {"kind": task} if labels is None else {"kind": task, "num_labels": labels}
    report = inspect(model, tuning=tuning, batch_size=batch_size, length=length, precision=precision, task=head)
    if as_json:
        say_json(report.to_json())
    else:
        say(report.to_text())
