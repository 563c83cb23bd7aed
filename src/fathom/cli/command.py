"""What every command shares: exit codes, messages without a traceback, JSON for machines."""

from __future__ import annotations

import functools
import json
import logging
import os
import sys
from collections.abc import Callable
from typing import Annotated, Any, ParamSpec

import typer

from fathom.errors import FathomError, InputError
from fathom.log import quietly

Arguments = ParamSpec("Arguments")

FAILED = 1
WRONG_INPUT = 2
INTERRUPTED = 130

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON for machines, nothing else.")]
"""The option every command has."""


def guarded(function: Callable[Arguments, None]) -> Callable[Arguments, None]:
    """Turn the failures of a command into exit codes: 1 failed, 2 wrong input, 130 interrupted.

    A `FathomError` is printed as what, where and mend. Any other exception is a defect and keeps its traceback.
    """

    @functools.wraps(function)
    def run(*args: Arguments.args, **options: Arguments.kwargs) -> None:
        as_json = bool(options.get("as_json"))
        # peft imports it, and it warns of kernels that were never asked for
        logging.getLogger("bitsandbytes").setLevel(logging.ERROR)
        try:
            with quietly(as_json):
                function(*args, **options)
            sys.stdout.flush()
        except FathomError as error:
            _report(error.message, error.where, error.mend, as_json)
            raise typer.Exit(WRONG_INPUT if isinstance(error, InputError) else FAILED) from None
        except KeyboardInterrupt:
            _report("interrupted", None, "nothing saved is lost; the same command resumes where it stopped", as_json)
            raise typer.Exit(INTERRUPTED) from None
        except BrokenPipeError:  # the reader of our output, `head` for one, has seen enough
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            raise typer.Exit(FAILED) from None
        except OSError as error:
            mend = "check the path, its permissions and the disk"
            _report(error.strerror or str(error), error.filename, mend, as_json)
            raise typer.Exit(FAILED) from None

    return run


def say(text: str) -> None:
    """Print a result for people on standard output."""
    print(text)


def say_json(value: Any) -> None:
    """Print a result for machines on standard output: one JSON document."""
    print(json.dumps(value, ensure_ascii=False, indent=2, allow_nan=False, default=str))


def _report(message: str, where: object, mend: str | None, as_json: bool) -> None:
    if as_json:
        say_json({"error": message, "where": None if where is None else str(where), "mend": mend})
    place = "" if where is None else f"{where}: "
    print(f"error: {place}{message}", file=sys.stderr)
    if mend:
        print(f"mend: {mend}", file=sys.stderr)
