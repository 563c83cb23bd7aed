"""fathom list, fathom env."""

from __future__ import annotations

from typing import Annotated

import typer

from fathom.cli.command import AsJson, guarded, say, say_json


@guarded
def list_command(
    family: Annotated[str | None, typer.Argument(help="One family, with what each part does.")] = None,
    as_json: AsJson = False,
) -> None:
    """List every part by name: tasks, tuning strategies, readers, metrics and more."""
    from fathom import catalog
    from fathom.cli.tables import table_text
    from fathom.errors import InputError

    if family is None:
        contents = catalog.contents()
        text = "\n".join(f"{name:<14}{', '.join(parts)}" for name, parts in contents.items())
    elif family in catalog.families():
        contents = {family: catalog.names(family)}
        text = table_text([family, ""], [[name, _first_line(catalog.load(family, name))] for name in contents[family]])
    else:
        raise InputError(f"no family '{family}'", mend=f"known: {', '.join(catalog.families())}")
    if as_json:
        say_json(contents)
    else:
        say(text)


@guarded
def environment_command(as_json: AsJson = False) -> None:
    """Show versions, processor, memory, arithmetic and installed extras; put it in a bug report."""
    from fathom.runs.environment import environment, environment_text

    facts = environment()
    if as_json:
        say_json(facts)
    else:
        say(environment_text(facts))


def _first_line(part: type) -> str:
    return (part.__doc__ or "").strip().partition("\n")[0]
