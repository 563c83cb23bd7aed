"""fathom predict."""

from __future__ import annotations

from typing import Annotated

import typer

from fathom.cli.command import AsJson, guarded


@guarded
def predict_command(
    model: Annotated[str, typer.Argument(help="Model folder of a run.")],
    inputs: Annotated[
        list[str] | None, typer.Argument(help="Texts, or one data file, or - for lines of standard input.")
    ] = None,
    output: Annotated[str | None, typer.Option(help="Write .jsonl or .csv here.")] = None,
    probabilities: Annotated[bool, typer.Option("--probabilities", help="Every label's probability too.")] = False,
    as_json: AsJson = False,
) -> None:
    """Predict with a trained model: texts, a file, or standard input."""
    raise NotImplementedError
