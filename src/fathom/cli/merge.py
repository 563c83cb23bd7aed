"""fathom merge."""

from __future__ import annotations

from typing import Annotated

import typer

from fathom.cli.command import AsJson, guarded, say, say_json
from fathom.errors import ConfigError


@guarded
def merge_command(
    models: Annotated[list[str], typer.Argument(help="Model folders with adapters, or the folders of runs.")],
    output: Annotated[str, typer.Option(help="Where the whole model appears.")],
    weights: Annotated[
        str | None, typer.Option(help="Of several LoRA adapters, such as 0.5,0.5; left out, their average.")
    ] = None,
    above: Annotated[
        str | None,
        typer.Option(help="Of bottleneck adapters: those to stand above; writes an adapter folder."),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Merge adapters into a whole model, verified by its logits."""
    from fathom.runs.merge import merge

    folder = merge(models, output, numbers(weights) if weights is not None else None, above=above)
    if as_json:
        say_json({"model": str(folder)})
    else:
        say(str(folder))


def numbers(text: str) -> list[float]:
    """Read weights as they are written, `0.5,0.5`."""
    try:
        return [float(item) for item in text.split(",")]
    except ValueError:
        raise ConfigError(f"'{text}' are no weights", where="--weights", mend="write numbers: 0.5,0.5") from None
