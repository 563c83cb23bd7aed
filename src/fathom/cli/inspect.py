"""fathom inspect."""

from __future__ import annotations

from typing import Annotated, Literal

import typer

from fathom.cli.command import AsJson, guarded


@guarded
def inspect_command(
    model: Annotated[str, typer.Argument(help="Hub name, model folder, or preset such as bert-base or llama-3-70b.")],
    tuning: Annotated[str, typer.Option(help="Strategy: a name or YAML such as '{kind: lora, rank: 8}'.")] = "full",
    batch_size: Annotated[int, typer.Option(min=1, help="Sequences per step.")] = 32,
    length: Annotated[int, typer.Option(min=1, help="Tokens per sequence.")] = 128,
    precision: Annotated[Literal["fp32", "bf16"], typer.Option(help="Arithmetic of the blocks.")] = "fp32",
    as_json: AsJson = False,
) -> None:
    """Show where parameters, memory and work sit in a model, block by block."""
    raise NotImplementedError
