"""fathom list, fathom env."""

from __future__ import annotations

from typing import Annotated

import typer

from fathom.cli.command import AsJson, guarded, say, say_json


@guarded
def list_command(
    family: Annotated[
        str | None, typer.Argument(help="One family, with what each part does; recipe lists ready recipes.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """List every part by name, family by family."""
    from fathom import catalog
    from fathom.cli.tables import table_text

    if family == "recipe":
        from fathom.recipe import ready_recipes

        recipes = ready_recipes()
        contents, text = {"recipe": list(recipes)}, table_text(["recipe", ""], list(recipes.items()))
    elif family is None:
        contents = catalog.contents()
        width = max(map(len, contents)) + 2
        text = "\n".join(f"{name:<{width}}{', '.join(parts)}" for name, parts in contents.items())
    else:
        contents = {_known_family(family): catalog.names(family)}
        rows = [[name, _first_line(catalog.load(family, name))] for name in contents[family]]
        text = table_text([family, ""], rows)
    if as_json:
        say_json(contents)
    else:
        say(text)


@guarded
def environment_command(as_json: AsJson = False) -> None:
    """Show versions, machine and extras, for a bug report."""
    from fathom.runs.environment import environment, environment_text

    facts = environment()
    if as_json:
        say_json(facts)
    else:
        say(environment_text(facts))


def _known_family(family: str) -> str:
    from fathom.catalog import families
    from fathom.config import suggest
    from fathom.errors import InputError

    known = [*families(), "recipe"]
    if family not in known:
        raise InputError(f"no family is called '{family}'{suggest(family, known)}", mend=f"known: {', '.join(known)}")
    return family


def _first_line(part: type) -> str:
    return (part.__doc__ or "").strip().partition("\n")[0]
