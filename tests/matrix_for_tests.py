"""The matrix of task, architecture and tuning: a tiny fixture for every task, and recipes of two steps over them.

`docs/generate_matrix.py` prints the same cells.
"""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from tokenizers import processors

import fathom
from fathom import catalog
from fathom.config import validate
from fathom.model.load import draw_model
from fathom.model.new import NewModel
from fathom.recipe import Recipe
from languages_for_tests import make_model, make_tokenizer
from media_for_tests import image_folder, sound_folder, spoken_folder
from strategies_for_tests import OPTIONS
from whispers_for_tests import save_whisper

ROWS = 8
NEW = "new "
"""How the name of an architecture begins whose weights are new."""
SIGNS = ["@", "*", "#", "^"]
"""What marks the entities of a relation."""
SIZES = {"depth": 2, "width": 32, "heads": 2}
MEDIA: dict[str, dict[str, Any]] = {
    "vit": {"image_size": 16, "patch_size": 8},
    "ast": {"positions": 32},
    "wav2vec2": {},
    "whisper": {},
}
"""Sizes of models that see or hear."""


class Cell(NamedTuple):
    """A place of the matrix."""

    task: str
    architecture: str
    tuning: str


@dataclass(frozen=True)
class Fixture:
    """What a task is tried on."""

    architectures: tuple[str, ...]
    """The first is tried with every strategy wherever the tests run, the others in the long form."""
    write: Callable[[Path], Path]
    """Writes training data below a folder that does not exist yet, and returns them."""
    asked: Callable[[Path], list[Any]] = field(default=lambda data: [])
    """Two inputs to answer, of the training data; none where a model is only the start of another."""
    writes: bool = False
    """Whether an answer is generated text."""
    options: dict[str, Any] = field(default_factory=dict)
    """Of the task."""
    data: dict[str, Any] = field(default_factory=dict)
    """Of the data section."""
    own_options: dict[str, dict[str, Any]] = field(default_factory=dict)
    """Of the task, by architecture."""


def text(number: int, length: int = 5) -> str:
    """Words of `languages_for_tests`, others for each number."""
    return " ".join(random.Random(number).choices([f"w{word}" for word in range(10, 40)], k=length))


def texts(data: Path) -> list[Any]:
    """Two texts of different lengths."""
    return [text(100, 3), text(101, 7)]


def table(*columns: str) -> Callable[[Path], Path]:
    """A CSV of texts; a column called `label` has two labels."""

    def write(folder: Path) -> Path:
        lines = [",".join(columns)]
        for row in range(ROWS):
            cells = [
                "ab"[row % 2] if name == "label" else text(10 * row + place, 3 + row % 4)
                for place, name in enumerate(columns)
            ]
            lines.append(",".join(cells))
        return _file(folder, "train.csv", lines)

    return write


def json_lines(make: Callable[[int], dict[str, Any]]) -> Callable[[Path], Path]:
    """A row for each number."""
    return lambda folder: _file(folder, "train.jsonl", [json.dumps(make(row)) for row in range(ROWS)])


def tags(folder: Path) -> Path:
    """Sentences whose second word is an entity."""
    sentences = [text(row, 3 + row % 4).split() for row in range(ROWS)]
    rows = [[f"{word}\t{'B-x' if place == 1 else 'O'}" for place, word in enumerate(one)] for one in sentences]
    return _file(folder, "train.conll", ["\n".join(one) + "\n" for one in rows])


def relations(folder: Path) -> Path:
    """Two marked words in each sentence."""
    lines = [
        f"{text(row, 2)} <e1>w{row}</e1> {text(row + 50, 1)} <e2>w{row + 1}</e2>,{'ab'[row % 2]}" for row in range(ROWS)
    ]
    return _file(folder, "train.csv", ["text,label", *lines])


def related(data: Path) -> list[Any]:
    """Two sentences with their entities."""
    spans = {"head": {"start": 0, "end": 2}, "tail": {"start": 7, "end": 9}}
    return [{"text": "w1 w10 w2 w11", **spans}, {"text": "w3 w12 w4", **spans}]


def questions(folder: Path) -> Path:
    """SQuAD JSON: the answer is the third word."""
    paragraphs = []
    for row in range(ROWS):
        context = text(row, 6)
        answer = {"text": context.split()[2], "answer_start": len(" ".join(context.split()[:2])) + 1}
        asked = {"id": str(row), "question": text(row + 50, 2), "answers": [answer]}
        paragraphs.append({"context": context, "qas": [asked]})
    said = {"version": "1.1", "data": [{"title": "t", "paragraphs": paragraphs}]}
    return _file(folder, "train.json", [json.dumps(said)])


def running_text(folder: Path) -> Path:
    """A document on each line."""
    return _file(folder, "train.txt", [text(row, 30) for row in range(12)])


def dialogue(row: int) -> dict[str, Any]:
    """A question and its answer."""
    turns = ("user", text(row, 3)), ("assistant", text(row + 50, 4))
    return {"messages": [{"role": role, "content": content} for role, content in turns]}


def comparison(row: int) -> dict[str, Any]:
    """A better and a worse answer."""
    return {"prompt": text(row, 3), "chosen": text(row + 50, 4), "rejected": text(row + 90, 2)}


def translated(row: int) -> dict[str, Any]:
    """A text and what is to be written for it."""
    return {"source": text(row, 4), "target": text(row + 50, 3)}


def choices(row: int) -> dict[str, Any]:
    """What a user chose, in order."""
    return {"user": f"u{row}", "items": [f"i{(row + step * step) % 9}" for step in range(6)]}


def first_files(suffix: str) -> Callable[[Path], list[Any]]:
    """Two of the files of a folder."""
    return lambda folder: [str(path) for path in sorted(folder.rglob(f"*{suffix}"))[:2]]


CORPUS = {"document_separator": "line", "max_length": 24}
WRITTEN = {"max_target_length": 6, "generated_examples": 0}
FIXTURES = {
    "text-classification": Fixture(
        ("bert", "roberta", "distilbert", "modernbert", "gpt2", "llama", "qwen3", "t5", "bart", "new bert"),
        table("text", "label"),
        texts,
    ),
    "prompt-classification": Fixture(
        ("bert", "modernbert", "gpt2", "llama", "t5"),
        table("text", "label"),
        texts,
        options={"template": "{text} w1 {mask}", "verbalizer": {"a": "w3", "b": "w4"}},
    ),
    "token-classification": Fixture(("bert", "roberta", "modernbert", "gpt2", "llama", "t5", "bart"), tags, texts),
    "relation-extraction": Fixture(("bert", "roberta", "gpt2"), relations, related),
    "question-answering": Fixture(
        ("bert", "roberta", "modernbert", "gpt2", "llama", "t5", "bart"),
        questions,
        lambda data: [{"question": text(n, 2), "context": text(n + 20, 6)} for n in range(2)],
    ),
    "masked-lm": Fixture(("bert", "roberta", "distilbert", "modernbert", "gpt2"), running_text, data=CORPUS),
    "causal-lm": Fixture(
        ("gpt2", "llama", "qwen3", "gemma2", "bert"), running_text, texts, writes=True, data=CORPUS
    ),
    "span-denoising": Fixture(("t5", "bart"), running_text, data=CORPUS),
    "text-infilling": Fixture(("bart", "t5"), running_text, data=CORPUS),
    "prefix-lm": Fixture(("t5", "bart"), running_text, texts, writes=True, data=CORPUS),
    "chat": Fixture(("gpt2", "llama", "qwen3"), json_lines(dialogue), texts, writes=True),
    "preference": Fixture(("gpt2", "llama", "qwen3"), json_lines(comparison), texts, writes=True),
    "sentence-embedding": Fixture(
        ("bert", "modernbert", "gpt2", "llama", "t5"), table("anchor", "positive"), texts
    ),
    "reranking": Fixture(
        ("bert", "roberta", "gpt2", "llama"),
        table("anchor", "positive"),
        lambda data: [{"text": text(n, 2), "text_pair": text(n + 20, 4)} for n in range(2)],
    ),
    "translation": Fixture(
        ("t5", "bart", "gpt2", "llama"), json_lines(translated), texts, writes=True, options=WRITTEN
    ),
    "summarization": Fixture(("t5", "bart", "gpt2"), json_lines(translated), texts, writes=True, options=WRITTEN),
    "image-classification": Fixture(("vit",), lambda folder: image_folder(folder, 3), first_files(".png")),
    "audio-classification": Fixture(
        ("wav2vec2", "ast"), lambda folder: sound_folder(folder, 3), first_files(".wav")
    ),
    "speech-recognition": Fixture(
        ("wav2vec2", "whisper"),
        lambda folder: spoken_folder(folder, 4),
        first_files(".wav"),
        own_options={"whisper": {"max_target_length": 12, "generated_examples": 0}},
    ),
    "recommendation": Fixture(
        ("new gpt2", "new llama", "new bert"),
        json_lines(choices),
        lambda data: ["i1 i2 i3", "i4"],
        own_options={"new bert": {"objective": "masked"}},
    ),
}  # fmt: skip
TUNINGS = catalog.names("tuning")


def cells(*, first_only: bool = False) -> Iterator[Cell]:
    """Every cell of the matrix, or those of the first architecture of each task; a task without a fixture fails."""
    for task in catalog.names("task"):
        chosen = FIXTURES[task].architectures
        for architecture in chosen[:1] if first_only else chosen:
            for tuning in TUNINGS:
                yield Cell(task, architecture, tuning)


class Workshop:
    """Tiny models and data, each made once below a folder."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def recipe(self, cell: Cell, output: Path) -> Recipe:
        """Return a recipe of two steps.

        Raises:
            ConfigError: The cell is refused by its recipe alone.
        """
        fixture = FIXTURES[cell.task]
        raw = {
            "model": self._model(cell),
            "data": {"train": str(self.data(cell.task)), "validation_fraction": 0, "max_length": 32, **fixture.data},
            "task": {"kind": cell.task, **fixture.options, **fixture.own_options.get(cell.architecture, {})},
            "tuning": {"kind": cell.tuning, **OPTIONS.get(cell.tuning, {})},
            "training": {
                "max_steps": 2,
                "batch_size": 4,
                "learning_rate": 3e-3,
                "warmup_ratio": 0,
                "precision": "fp32",
                "threads": 1,
                "evaluate_before": False,
                "verify_reload": False,
            },
            "output": str(output),
        }
        if cell.architecture in MEDIA:
            del raw["data"]["max_length"]
        return validate(Recipe, raw)

    def data(self, task: str) -> Path:
        """Return the training data of a task."""
        folder = self.root / "data" / task
        marker = folder.with_suffix(".path")
        if not marker.is_file():
            folder.parent.mkdir(parents=True, exist_ok=True)
            marker.write_text(str(FIXTURES[task].write(folder)), encoding="utf-8")
        return Path(marker.read_text(encoding="utf-8"))

    def asked(self, task: str) -> list[Any]:
        """Return the inputs a task is to answer."""
        return FIXTURES[task].asked(self.data(task))

    def _model(self, cell: Cell) -> Any:
        if cell.architecture.startswith(NEW):
            tokenizer = "items" if cell.task == "recommendation" else str(self.base("bert"))
            return {"kind": "new", "architecture": cell.architecture.removeprefix(NEW), **SIZES, "tokenizer": tokenizer}
        return str(self.base(cell.architecture))

    def base(self, architecture: str) -> Path:
        """Return a saved model with what reads its inputs."""
        folder = self.root / "models" / architecture
        if not folder.is_dir():
            (save_media_base if architecture in MEDIA else save_text_base)(architecture, folder)
        return folder


def save_text_base(architecture: str, folder: Path) -> None:
    """Save a language model and its tokenizer."""
    tokenizer = make_tokenizer()
    tokenizer.add_tokens(SIGNS)
    ends = [(token, tokenizer.convert_tokens_to_ids(token)) for token in ("[CLS]", "[SEP]")]
    tokenizer.backend_tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", pair="[CLS] $A [SEP] $B:1 [SEP]:1", special_tokens=ends
    )
    model = make_model(architecture)
    model.resize_token_embeddings(len(tokenizer), mean_resizing=False)
    if model.config.is_encoder_decoder:  # its classifiers read the token that ends a text
        model.config.eos_token_id = model.generation_config.eos_token_id = tokenizer.sep_token_id
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)


def save_media_base(architecture: str, folder: Path) -> None:
    """Save a body, Whisper with its head, and what makes its inputs."""
    if architecture == "whisper":
        save_whisper(folder, languages=False)
        return
    config = NewModel(architecture=architecture, **SIZES, **MEDIA[architecture]).read_config(None, {})
    kind = "image-classification" if architecture == "vit" else "audio-classification"
    draw_model(config, "AutoModel", seed=3).save_pretrained(folder)
    catalog.load("task", kind)().new_processor(config, ()).save_pretrained(folder)


def answers(task: str, model: Any, asked: Sequence[Any]) -> list[dict[str, Any]]:
    """Return what a model says to inputs: a folder, or a `Predictor` or `Generator` round a model in memory."""
    if FIXTURES[task].writes:
        return [one.row() for one in fathom.generate(model, list(asked), max_new_tokens=4)]
    return fathom.predict(model, asked)


def refusal_of(error: Exception) -> str:
    """Return what a refusal says, and what to do about it, without the place."""
    said = vars(error)
    return said["message"] + (f"; {said['mend']}" if said["mend"] else "")


def _file(folder: Path, name: str, lines: Sequence[str]) -> Path:
    folder.mkdir(parents=True)
    path = folder / name
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path
