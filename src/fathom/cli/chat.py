"""fathom chat."""

from __future__ import annotations

import contextlib
import json
import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from fathom.cli.command import AsJson, guarded, say
from fathom.errors import ConfigError, FathomError

if TYPE_CHECKING:
    from fathom.serving.generate.chat import Conversation
    from fathom.serving.generate.generator import Generation

HELP = """\
/system TEXT   set the system prompt, without TEXT take it away
/reset         forget the conversation; the system prompt stays
/save FILE     write the conversation as a line of JSON, {"messages": [...]}
/help          this list
/exit          leave, as Ctrl-D does; Ctrl-C stops an answer"""


@guarded
def chat_command(
    model: Annotated[str, typer.Argument(help="Model folder, folder of a run, or plain Hugging Face folder.")],
    system: Annotated[str | None, typer.Option(help="System prompt.")] = None,
    style: Annotated[
        Literal["turns", "continue"] | None,
        typer.Option(help="Take turns, or go on with each line; told from the tokenizer.", show_default=False),
    ] = None,
    max_new_tokens: Annotated[int | None, typer.Option(min=1, help="Most tokens of an answer.")] = None,
    temperature: Annotated[float | None, typer.Option(help="0 is greedy.")] = None,
    top_k: Annotated[int | None, typer.Option(help="Sample among the k likeliest.")] = None,
    top_p: Annotated[float | None, typer.Option(help="Sample among those with this probability.")] = None,
    min_p: Annotated[float | None, typer.Option(help="Sample among those this likely.")] = None,
    repetition_penalty: Annotated[float | None, typer.Option(help="Above 1: fewer repetitions.")] = None,
    stop: Annotated[list[str] | None, typer.Option(help="End an answer before this string, \\n a new line.")] = None,
    seed: Annotated[int | None, typer.Option(help="Of sampling.")] = None,
    precision: Annotated[Literal["fp32", "bf16"], typer.Option(help="Of the model.")] = "fp32",
    as_json: AsJson = False,
) -> None:
    """Talk with a model; from a pipe, a line is a turn."""
    from fathom.log import get_console
    from fathom.serving.generate.chat import DESCRIPTIONS, Conversation
    from fathom.serving.generate.generator import Generator

    given: dict[str, Any] = {
        "max_new_tokens": max_new_tokens,
        "temperature": temperature,
        "top_k": top_k,
        "top_p": top_p,
        "min_p": min_p,
        "repetition_penalty": repetition_penalty,
        "stop": [text.replace("\\n", "\n") for text in stop] if stop else None,
        "seed": seed,
    }
    generator = Generator.load(model, precision=precision)
    options = generator.options(**{name: value for name, value in given.items() if value is not None})
    conversation = Conversation(generator, options, system=system, style=style)
    console = get_console()
    console.info(DESCRIPTIONS[conversation.template])
    console.info(f"{options.strategy}, at most {options.max_new_tokens:,} new tokens an answer; /help lists commands")
    for line in _lines():
        if line.startswith("/"):
            try:
                if not _obey(line, conversation):
                    break
            except FathomError as error:
                console.warn(str(error))
        elif line.strip():
            _answer(line, conversation, as_json)


def _lines() -> Iterator[str]:
    """The user's lines: asked for on a terminal, read from a pipe."""
    if not sys.stdin.isatty():
        for line in sys.stdin:
            yield line.rstrip("\r\n")
        return
    with contextlib.suppress(ImportError):  # arrow keys and history at the prompt, where the system has them
        import readline  # noqa: F401
    while True:
        try:
            yield input("> ")
        except EOFError:
            say("")
            return
        except KeyboardInterrupt:  # an unfinished line is dropped, as in a shell
            say("")


def _answer(line: str, conversation: Conversation, as_json: bool) -> None:
    """Show an answer as it grows; Ctrl-C stops it, and what came stays in the conversation."""
    from fathom.log import get_console

    stream = conversation.answer(line)
    pieces: list[str] = []
    end: Generation | None = None
    stopped = False
    try:
        while True:
            try:
                piece = next(stream)
            except StopIteration as finished:
                end = finished.value
                break
            pieces.append(piece)
            if not as_json:
                sys.stdout.write(piece)
                sys.stdout.flush()
    except KeyboardInterrupt:
        stopped = True
        stream.close()
    except FathomError as error:
        get_console().warn(str(error))
        return
    if as_json:
        reason = "interrupted" if stopped or end is None else end.finish_reason
        said = {"user": line, "assistant": "".join(pieces), "finish_reason": reason}
        say(json.dumps(said, ensure_ascii=False))
    else:
        say(" [stopped]" if stopped else "")


def _obey(line: str, conversation: Conversation) -> bool:
    """Carry out a command; False ends the chat."""
    from fathom.log import get_console

    command, _, rest = line.partition(" ")
    rest = rest.strip()
    if command in ("/exit", "/quit"):
        return False
    if command == "/reset":
        conversation.reset()
        get_console().info("the conversation is forgotten")
    elif command == "/system":
        conversation.set_system(rest)
        get_console().info("the system prompt is set" if rest else "no system prompt")
    elif command == "/save":
        _save(rest, conversation)
    elif command == "/help":
        say(HELP)
    else:
        raise ConfigError(f"no command is called {command}", mend="/help lists them")
    return True


def _save(name: str, conversation: Conversation) -> None:
    from fathom import files
    from fathom.log import get_console

    if not name:
        raise ConfigError("/save needs the name of a file", mend="/save chat.jsonl")
    system = [{"role": "system", "content": conversation.system}] if conversation.system else []
    text = json.dumps({"messages": [*system, *conversation.messages]}, ensure_ascii=False) + "\n"
    try:
        files.write_atomic(name, text)
    except OSError as error:
        raise ConfigError(f"{name} cannot be written: {error.strerror}", mend="choose another place") from None
    get_console().info(f"saved: {name}")
