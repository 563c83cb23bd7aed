"""The command line: one small function per command. Nothing heavy is imported until a command runs."""

from __future__ import annotations

from typing import Annotated

import typer

from fathom.cli.about import environment_command, list_command
from fathom.cli.chat import chat_command
from fathom.cli.compare import compare_command
from fathom.cli.data import check_command, init_command, preview_command
from fathom.cli.extract import extract_command
from fathom.cli.find_rate import find_rate_command
from fathom.cli.inspect import inspect_command
from fathom.cli.merge import merge_command
from fathom.cli.predict import predict_command
from fathom.cli.search import search_command
from fathom.cli.tokenizer import extend_command, show_command, train_tokenizer_command
from fathom.cli.train import evaluate_command, train_command

app = typer.Typer(
    name="fathom",
    help="From raw text to a served model, with every step measured. Start with: fathom train demo",
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110},
)
data_app = typer.Typer(help="Look at data before training on it.", no_args_is_help=True, rich_markup_mode=None)
tokenizer_app = typer.Typer(help="Train, look at and extend tokenizers.", no_args_is_help=True, rich_markup_mode=None)

app.command("train")(train_command)
app.command("evaluate")(evaluate_command)
app.command("predict")(predict_command)
app.command("extract")(extract_command)
app.command("chat")(chat_command)
app.command("compare")(compare_command)
app.command("search")(search_command)
app.command("find-rate")(find_rate_command)
app.command("inspect")(inspect_command)
app.command("merge")(merge_command)
app.add_typer(data_app, name="data")
data_app.command("check")(check_command)
data_app.command("preview")(preview_command)
app.command("init")(init_command)
app.add_typer(tokenizer_app, name="tokenizer")
tokenizer_app.command("train")(train_tokenizer_command)
tokenizer_app.command("show")(show_command)
tokenizer_app.command("extend")(extend_command)
app.command("list")(list_command)
app.command("env")(environment_command)


def _print_version(wanted: bool) -> None:
    if wanted:
        from fathom import __version__

        print(f"fathom {__version__}")
        raise typer.Exit


@app.callback()
def options(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    """From raw text to a served model, with every step measured. Start with: fathom train demo."""


def main() -> None:
    """Run the command line; the process ends with 0 done, 1 failed, 2 wrong input, 130 interrupted."""
    app(prog_name="fathom")


if __name__ == "__main__":
    main()
