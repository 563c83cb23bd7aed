"""fathom predict."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from fathom.cli.command import AsJson, guarded, say, say_json
from fathom.errors import ConfigError


@guarded
def predict_command(
    model: Annotated[str, typer.Argument(help="Model folder, or the folder of a run.")],
    inputs: Annotated[
        list[str] | None, typer.Argument(help="Texts, or one data file, or - for lines of standard input.")
    ] = None,
    output: Annotated[str | None, typer.Option(help="Write the predictions to this .jsonl or .csv file.")] = None,
    probabilities: Annotated[bool, typer.Option("--probabilities", help="Give every label's probability.")] = False,
    batch_size: Annotated[int, typer.Option(min=1, help="Sequences per forward pass.")] = 64,
    as_json: AsJson = False,
) -> None:
    """Predict on texts, a file or standard input."""
    import sys

    from fathom.log import get_console
    from fathom.runs.predict import predict

    if not inputs and sys.stdin.isatty():
        get_console().info("reading one text a line from the keyboard; end with Ctrl-D")

    rows = predict(model, _inputs(inputs or ["-"]), output=output, probabilities=probabilities, batch_size=batch_size)
    if as_json:
        say_json(rows if output is None else {"output": output, "num_predictions": len(rows)})
    elif output is not None:
        say(f"{len(rows):,} predictions in {output}")
    else:
        for row in rows:
            say(_line(row))


def _inputs(given: list[str]) -> str | list[str]:
    """One argument may be a path; what has a data file's ending and no space is taken for one even if it is missing."""
    from fathom.data.load import SUFFIXES

    if len(given) > 1:
        for one in given:
            if Path(one).suffix.lower() in {*SUFFIXES, ".txt"} and Path(one).is_file():
                raise ConfigError("several inputs, and one is a file", where=one, mend="give one file at a time")
        return given

    only = given[0]
    path = Path(only)
    looks_like_path = path.suffix.lower() in {*SUFFIXES, ".txt"} and " " not in only
    return only if only == "-" or looks_like_path or (len(only) < 4096 and path.is_file()) else given


def _line(row: Mapping[str, Any]) -> str:
    """A prediction on one line: what was found, how sure the model is, and the text."""
    text = str(row.get("text", "")).replace("\n", " ")
    if "entities" in row:
        found = ", ".join(f"{item['label']} '{item['text']}' {item['score']:.2f}" for item in row["entities"])
        lines = [f"{text}\n    {found or 'nothing found'}"]
    elif "labels" in row:
        lines = [f"{', '.join(map(str, row['labels'])) or '-':<28}  {text}"]
    elif "value" in row:
        lines = [f"{row['value']:<10.4g}  {text}"]
    else:
        lines = [f"{row['label']:<28} {row['score']:.2f}  {text}"]
    shares = sorted((row.get("probabilities") or {}).items(), key=lambda pair: -pair[1])
    return "\n".join([*lines, *(f"    {label:<28} {share:.4f}" for label, share in shares)])
