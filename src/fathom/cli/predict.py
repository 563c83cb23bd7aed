"""fathom predict."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from fathom.cli.command import AsJson, guarded, say, say_json
from fathom.cli.merge import numbers
from fathom.errors import ConfigError

if TYPE_CHECKING:
    from fathom.serving.predictor import Predictor

Precision = Literal["fp32", "bf16"]


@guarded
def predict_command(
    model: Annotated[str, typer.Argument(help="Model folder, or the folder of a run.")],
    inputs: Annotated[
        list[str] | None, typer.Argument(help="Texts, or one data file, or - for lines of standard input.")
    ] = None,
    output: Annotated[
        str | None, typer.Option(help="Write to this .jsonl or .csv file; vectors also to .npy or .safetensors.")
    ] = None,
    probabilities: Annotated[
        bool, typer.Option("--probabilities", help="Give every label's probability, or every answer.")
    ] = False,
    adapter: Annotated[
        list[str] | None, typer.Option(help="Another adapter over the same base, FOLDER or NAME=FOLDER; repeatable.")
    ] = None,
    weights: Annotated[str | None, typer.Option(help="Mix MODEL and the adapters, such as 0.5,0.5.")] = None,
    read: Annotated[
        list[str] | None,
        typer.Option(help="How the file is read, e.g. delimiter=semicolon or columns.text=body; may be repeated."),
    ] = None,
    batch_size: Annotated[
        int | None, typer.Option(min=1, help="Sequences at once; 64, or 16 for models that write.", show_default=False)
    ] = None,
    max_new_tokens: Annotated[int | None, typer.Option(min=1, help="Models that write: most new tokens.")] = None,
    temperature: Annotated[float | None, typer.Option(help="Sample; 0 is greedy, as without it.")] = None,
    top_k: Annotated[
        int | None, typer.Option(help="Sample among the k likeliest; of a model that fills masks, k candidates.")
    ] = None,
    top_p: Annotated[float | None, typer.Option(help="Sample among those with this probability.")] = None,
    min_p: Annotated[float | None, typer.Option(help="Sample among those this likely.")] = None,
    num_beams: Annotated[int | None, typer.Option(help="Beam search.")] = None,
    length_penalty: Annotated[float | None, typer.Option(help="Of beams: above 0 favours longer text.")] = None,
    no_repeat_ngram_size: Annotated[int | None, typer.Option(min=0, help="No so many tokens occur twice.")] = None,
    num_return_sequences: Annotated[int | None, typer.Option(help="Texts for each prompt.")] = None,
    repetition_penalty: Annotated[float | None, typer.Option(help="Above 1: fewer repetitions.")] = None,
    stop: Annotated[list[str] | None, typer.Option(help="End before this string, \\n a new line; repeatable.")] = None,
    seed: Annotated[int | None, typer.Option(help="Of sampling.")] = None,
    precision: Annotated[Precision, typer.Option(help="Arithmetic; bf16 where the machine has it.")] = "fp32",
    as_json: AsJson = False,
) -> None:
    """Predict on texts, a file or standard input."""
    writing = _given(
        max_new_tokens=max_new_tokens, temperature=temperature, top_k=top_k, top_p=top_p, min_p=min_p,
        num_beams=num_beams, length_penalty=length_penalty, no_repeat_ngram_size=no_repeat_ngram_size,
        num_return_sequences=num_return_sequences, repetition_penalty=repetition_penalty,
        stop=[text.replace("\\n", "\n") for text in stop] if stop else None, seed=seed,
    )  # fmt: skip
    told: dict[str, Any] = {
        "output": output,
        "read": read or (),
        "probabilities": probabilities,
        "batch_size": batch_size,
    }
    if adapter or weights is not None:
        rows = _answer_with_each([model, *(adapter or ())], weights, inputs_of(inputs), writing, precision, **told)
    else:
        rows = _answer(model, inputs_of(inputs), writing, precision, **told)
    _say_rows(rows, output, as_json=as_json)


def _answer(
    model: str, source: str | list[str], writing: Mapping[str, Any], precision: Precision, **told: Any
) -> list[dict[str, Any]]:
    """Let one model answer."""
    from fathom.config import apply_reading_edits
    from fathom.runs.answers import holds_answers
    from fathom.runs.predict import predict
    from fathom.runs.published_task import open_predictor
    from fathom.serving.generate.open import generates

    reading, batch_size = apply_reading_edits({}, told["read"]), told["batch_size"]
    judges = holds_answers(model, source, reading)
    if generates(model) and not judges:
        if told["probabilities"]:
            raise _no_others(model, "a model that writes")
        told = {"output": told["output"], "read": reading}
        return _write(model, source, writing, precision, batch_size=batch_size or 16, **told)
    top_k = writing["top_k"] if "top_k" in writing and not judges and _may_fill(model) else None
    _refuse_writing({name: value for name, value in writing.items() if name != "top_k" or top_k is None}, model)
    if judges and precision != "fp32":
        raise ConfigError("answers are judged in fp32 only", where=f"--precision {precision}", mend="leave it out")
    subject: str | Predictor = model
    if told["probabilities"] or precision != "fp32" or top_k is not None:
        subject = open_predictor(model, precision=precision, top_k=top_k)
        if told["probabilities"] and not subject.task.tells_others:
            raise _no_others(model, _of_task(subject))
    told = {**told, "read": reading, "batch_size": batch_size or 64}
    return predict(subject, source, **told)


def _answer_with_each(
    folders: list[str],
    weights: str | None,
    source: str | list[str],
    writing: Mapping[str, Any],
    precision: Precision,
    **told: Any,
) -> list[dict[str, Any]]:
    """Let several adapters over one base answer, each or as a mixture."""
    from fathom.config import apply_reading_edits
    from fathom.runs.adapters import Asked, predict_each
    from fathom.serving.adapters import Adapters, name_folders

    shares = numbers(weights) if weights is not None else None
    if len(folders) == 1:
        raise ConfigError("--weights is for several adapters", where=folders[0], mend="name others with --adapter")
    adapters = Adapters(name_folders(folders), precision=precision)
    if not adapters.writes:
        _refuse_writing(writing, folders[0])
    if told["probabilities"]:
        for name, folder in adapters.folders.items():
            if adapters.writes:
                raise _no_others(str(folder.path), "a model that writes")
            found = adapters.predictor(name)
            if not found.task.tells_others:
                raise _no_others(str(folder.path), _of_task(found))
    reading = apply_reading_edits({}, told["read"])
    asked = Asked(reading, told["probabilities"], told["batch_size"], writing)
    return predict_each(adapters, source, asked, weights=shares, output=told["output"])


def _may_fill(model: str) -> bool:
    """Whether a model may fill masks, as far as it is known before it is loaded."""
    from fathom.serving.generate.open import is_fathom_folder, saved_info

    return not is_fathom_folder(model) or saved_info(model).get("task", {}).get("kind") == "masked-lm"


def _of_task(predictor: Predictor) -> str:
    problem = " of numbers" if predictor.task.kind == "text-classification" else ""
    return f"a model for {predictor.task.kind}{problem}"


def _no_others(model: str, what: str) -> ConfigError:
    return ConfigError(
        f"{what} gives neither labels' probabilities nor other answers", where=model, mend="leave out --probabilities"
    )


def _refuse_writing(writing: Mapping[str, Any], model: str) -> None:
    if writing:
        from fathom.model.folder import open_folder

        open_folder(model)  # what is no model says so first
        first = next(iter(writing)).replace("_", "-")
        raise ConfigError(f"--{first} is for models that generate text", where=model, mend="leave it out")


def _write(
    model: str, source: str | list[str], options: Mapping[str, Any], precision: Precision, **told: Any
) -> list[dict[str, Any]]:
    """Let a model that writes answer."""
    from fathom.runs.generate import generate_file, read_prompts
    from fathom.runs.predict import check_output
    from fathom.serving.generate.generator import Generator

    check_output(told["output"], source)
    generator = Generator.load(model, precision=precision)
    prompts = read_prompts(source, generator.info, told.pop("read"))
    return generate_file(generator, prompts, options, **told)


def _given(**options: Any) -> dict[str, Any]:
    """The options that were written on the command line."""
    return {name: value for name, value in options.items() if value is not None}


def _say_rows(rows: list[dict[str, Any]], output: str | None, *, as_json: bool) -> None:
    if as_json:
        say_json(rows if output is None else {"output": output, "num_predictions": len(rows)})
    elif output is not None:
        say(f"{len(rows):,} predictions in {output}")
    elif len(rows) == 1 and "finish_reason" in rows[0]:
        say(rows[0]["text"])  # of a model that writes: nothing but what it wrote
    else:
        for row in rows:
            say(f"[{row['adapter']}] {_line(row)}" if "adapter" in row else _line(row))


def inputs_of(given: list[str] | None) -> str | list[str]:
    """One argument may be a path; what has a data file's ending and no space is taken for one even if it is missing."""
    from fathom.data.load import SUFFIXES
    from fathom.log import get_console

    if not given:
        if sys.stdin.isatty():
            get_console().info("reading one text a line from the keyboard; end with Ctrl-D")
        return "-"
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
    if "finish_reason" in row:
        return f"> {row['prompt']}\n{row['text']}\n"
    if "sound" in row and "text" in row:
        return f"{row['sound']}\n    {row['text'] or 'nothing heard'}"
    text = str(row.get("text", row.get("image", row.get("sound", "")))).replace("\n", " ")
    if "chosen" in row or "completion" in row:
        return _judged(row)
    if "answer" in row:
        found = f"'{row['answer']}' at {row['start']}" if row["answer"] else "no answer in the passage"
        candidates = [f"    {item['score']:.4f}  {item['text']!r} at {item['start']}" for item in row.get("n_best", ())]
        return "\n".join([f"{row['question']}\n    {found} {row['score']:.2f}", *candidates])
    if "masks" in row:
        return _filled(row, text)
    if "entities" in row:
        found = ", ".join(f"{item['label']} '{item['text']}' {item['score']:.2f}" for item in row["entities"])
        lines = [f"{text}\n    {found or 'nothing found'}"]
    elif "labels" in row:
        lines = [f"{', '.join(map(str, row['labels'])) or '-':<28}  {text}"]
    elif "embedding" in row:
        vector = ", ".join(f"{number:.4f}" for number in row["embedding"][:4])
        near = f"cosine {row['similarity']:.4f}  " if "similarity" in row else ""
        lines = [f"{near}[{vector}, ... {len(row['embedding'])} numbers]  {text}"]
    elif "items" in row:
        best = ", ".join(f"{item['item']} {item['score']:.2f}" for item in row["items"])
        lines = [f"{text}\n    {best or 'nothing to recommend'}"]
    elif "label" not in row and "score" in row:
        lines = [f"{row['score']:.4f}  {text}  |  {row.get('text_pair', '')}"]
    elif "value" in row:
        lines = [f"{row['value']:<10.4g}  {text}"]
    else:
        lines = [f"{row['label']:<28} {row['score']:.2f}  {text}"]
    shares = sorted((row.get("probabilities") or {}).items(), key=lambda pair: -pair[1])
    return "\n".join([*lines, *(f"    {label:<28} {share:.4f}" for label, share in shares)])


def _filled(row: Mapping[str, Any], text: str) -> str:
    """A text with its masks filled, and the candidates for each."""
    lines = [text, f"    {row['filled']}".replace("\n", " ")]
    for number, mask in enumerate(row["masks"], 1):
        lines += [f"    mask {number} at {mask['start']}"] if len(row["masks"]) > 1 else []
        lines += [f"    {one['score']:.4f}  {one['token_str'].strip()}" for one in mask["candidates"]]
    return "\n".join(lines)


def _judged(row: Mapping[str, Any]) -> str:
    """Which answer is preferred, and what is found of each."""
    by = f" by {abs(row['margin']):.4f}" if "margin" in row else ""
    told = f"{row['preferred']}{by}  " if "preferred" in row else ""
    lines = [f"{told}{row['prompt']}".replace("\n", " ")]
    for name, begin in (("chosen", "chosen_"), ("rejected", "rejected_"), ("completion", "")):
        if name in row:
            reward = f"reward {row[f'{begin}reward']:.4f}  " if f"{begin}reward" in row else ""
            text = str(row[name]).replace("\n", " ")
            lines.append(f"    {name:<10} {reward}log-probability {row[f'{begin}log_probability']:.2f}  {text}")
    return "\n".join(lines)
