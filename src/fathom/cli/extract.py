"""`fathom extract`: raw text to triples."""

from __future__ import annotations

from typing import Annotated

import typer

from fathom.cli.command import AsJson, guarded, say, say_json


@guarded
def extract_command(
    entities: Annotated[str, typer.Argument(help="Model or run that finds the entities (token-classification).")],
    relations: Annotated[str, typer.Argument(help="Model or run that relates them (relation-extraction, typed).")],
    inputs: Annotated[
        list[str] | None, typer.Argument(help="Texts, or one data file, or - for lines of standard input.")
    ] = None,
    evaluate: Annotated[
        str | None, typer.Option(help="Score the triples on this file of whole annotated texts instead.")
    ] = None,
    batch_size: Annotated[int, typer.Option(min=1, help="Sequences at once.")] = 64,
    as_json: AsJson = False,
) -> None:
    """Find entities and how they are related: triples with offsets."""
    from fathom.cli.predict import inputs_of
    from fathom.runs.extract import evaluate_triples, extract

    if evaluate is not None:
        scores = evaluate_triples(entities, relations, evaluate, batch_size=batch_size)
        if as_json:
            say_json(scores)
        else:
            say("\n".join(f"{name:<10} {value:.4g}" for name, value in scores.items()))
        return
    rows = extract(entities, relations, inputs_of(inputs), batch_size=batch_size)
    if as_json:
        say_json(rows)
        return
    for row in rows:
        say(row["text"])
        for triple in row["triples"]:
            said = [f"{triple[role]['text']} [{triple[role]['type']}]" for role in ("head", "tail")]
            say(f"    {said[0]} -- {triple['label']} {triple['score']:.2f} --> {said[1]}")
        if not row["triples"]:
            say("    nothing related")
