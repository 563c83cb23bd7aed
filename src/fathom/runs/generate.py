"""Generating text with a saved model: prompts in, texts out."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fathom import catalog
from fathom.data.readers.base import Form
from fathom.device import Precision
from fathom.errors import DataError
from fathom.log import get_console
from fathom.runs.conversations import CHATS, holds_conversations, read_conversations
from fathom.runs.predict import Inputs, check_output, how_to_read, read_inputs, write_rows

if TYPE_CHECKING:
    from fathom.serving.generate.generator import Generation, Generator
    from fathom.serving.generate.prompts import Prompt


def generate(
    model: str | Path | Generator,
    prompts: str | list[Prompt],
    *,
    batch_size: int = 16,
    precision: Precision = "fp32",
    **options: Any,
) -> list[Generation]:
    """Generate text.

    Args:
        model: A model folder, the folder of a run, a plain Hugging Face folder, or a `Generator` already loaded.
        prompts: A text, or a list of texts or of conversations (lists of `{"role", "content"}`).
        batch_size: Most sequences generated at once; changes no answer beyond rounding.
        precision: Of a model loaded here: fp32, or bf16 where the machine has it.
        **options: See `GenerationOptions`: max_new_tokens, temperature, top_k, top_p, min_p, num_beams, stop, seed ...;
            those left out are as saved with the model.

    Returns:
        `num_return_sequences` generations for each prompt, in order.

    Raises:
        ConfigError: A setting is wrong, or two contradict each other.
        DataError: A prompt is wrong or longer than the model's positions.
        ModelError: The model does not generate text.
    """
    from fathom.serving.generate.generator import Generator

    generator = model if isinstance(model, Generator) else Generator.load(model, precision=precision)
    wanted = [prompts] if isinstance(prompts, str) else list(prompts)
    return generator.generate(wanted, generator.options(**options), batch_size=batch_size)


def generate_file(
    model: str | Path | Generator,
    inputs: Inputs,
    options: Mapping[str, Any],
    *,
    output: str | Path | None = None,
    batch_size: int = 16,
    precision: Precision = "fp32",
) -> list[dict[str, Any]]:
    """Generate for texts, a file or standard input, with progress.

    Args:
        model: See `generate`.
        inputs: See `runs.predict.predict`.
        options: See `generate`.
        output: Write the rows here too, as `.jsonl` or `.csv`; the file appears complete or not at all.
        batch_size: See `generate`.
        precision: See `generate`.

    Returns:
        A row for each text: `prompt`, `text`, `finish_reason`, `tokens`, and `score` with beams.

    Raises:
        DataError: An input is missing or wrong, with file and line.
    """
    check_output(output, inputs)
    from fathom.serving.generate.generator import Generator

    generator = model if isinstance(model, Generator) else Generator.load(model, precision=precision)
    wanted = generator.options(**options)
    prompts = read_prompts(inputs, generator.info)
    for prompt in prompts:
        if "text_pair" in prompt:
            mend = "put both into one text"
            raise DataError("a prompt is one text, not a pair", where=str(prompt.get("where")), mend=mend)
    rows: list[dict[str, Any]] = []
    with get_console().progress(len(prompts) * wanted.num_return_sequences, "generate") as progress:
        asked = (_asked(prompt, number) for number, prompt in enumerate(prompts, 1))
        for generation in generator.iterate(asked, wanted, batch_size=batch_size):
            rows.append(generation.row())
            progress.update(len(rows))
    if output is not None:
        write_rows(rows, output)
    return rows


def read_prompts(
    inputs: Inputs, info: Mapping[str, Any], read: Mapping[str, Any] | None = None
) -> list[Mapping[str, Any]]:
    """Read what a model is to answer: sources of a task of pairs, conversations of one that chats, or plain prompts.

    Args:
        inputs: See `runs.predict.predict`.
        info: `fathom.json` of the model; empty for a plain Hugging Face folder.
        read: How a file is read, where that differs from the training files; see `runs.predict.predict`.
    """
    kind = info.get("task", {}).get("kind")
    form: Form = "writing" if kind is not None and catalog.load("task", kind).form == "writing" else "text"
    found = how_to_read(info, read)
    if kind in CHATS and isinstance(inputs, str | Path) and holds_conversations(inputs, found["columns"]):
        return read_conversations(inputs, found)
    role = "source" if form == "writing" else "text"
    column = found["columns"].get(role, found["columns"].get("text"))
    return read_inputs(inputs, form, {**found, "columns": {} if column is None else {role: column}})


def _asked(given: Mapping[str, Any], number: int) -> Prompt:
    found: Prompt | None = given.get("messages", given.get("text"))
    if found is None:
        mend = "give every input a 'text', or 'messages' to a model that chats"
        raise DataError(
            "neither a text nor a conversation", where=str(given.get("where", f"input {number}")), mend=mend
        )
    return found
