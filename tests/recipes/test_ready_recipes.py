"""Every ready recipe runs end to end, on a tiny model and little data."""

from __future__ import annotations

import pytest

from fathom.files import read_json
from fathom.recipe import load_recipe, ready_recipes
from fathom.runs.predict import predict
from fathom.runs.tokenizer import train_tokenizer
from fathom.runs.train import train
from folders_for_tests import make_base
from media_for_tests import image_folder, sound_folder, spoken_folder

WORDS = ("red", "blue")
COLOURS = [(f"the {word} thing number {number} is {word}", word) for number in range(40) for word in WORDS]
FILES = {
    "text-classification": ["text,label", *(f"{text},{label}" for text, label in COLOURS)],
    "multi-label": ["text,label", *(f"{text},{label}{'|warm' * (n % 2)}" for n, (text, label) in enumerate(COLOURS))],
    "regression": ["text,label", *(f"{text},{n / 8}" for n, (text, _) in enumerate(COLOURS))],
    "sentence-pair": ["sentence1,sentence2,label", *(f"{text},it is {label},{label}" for text, label in COLOURS)],
    "relation-extraction": [
        "text,label",
        *(f"<e1>{n}</e1> is <e2>{label}</e2>,{label}" for n, (_, label) in enumerate(COLOURS)),
    ],
    "token-classification": [
        "\n".join(f"{w}\t{'B-colour' if w in WORDS else 'O'}" for w in t.split()) + "\n" for t, _ in COLOURS
    ],
}
FILES_OF = {
    "image-classification": "red/0.png",
    "audio-classification": "low/0.wav",
    "speech-recognition": "00.wav",
}
MAKE = {
    "image-classification": image_folder,
    "audio-classification": sound_folder,
    "speech-recognition": spoken_folder,
}
EXTRA = {"token-classification": "train.conll"}
FAMILY = {"chat": "gpt2", "preference": "gpt2"}
RELATIONS = ("relation-extraction", "helpdesk-relations")
NEW = {
    "code": "gpt2",
    "control-codes": "gpt2",
    "gpt": "gpt2",
    "bert": "bert",
    "t5": "t5",
    "translation": "t5",
    "summarization": "t5",
}
SMALL = {"recommendation": "shop:choices#60", "code": "python:stdlib#12", "control-codes": "helpdesk:intents@en#60"}
CORPORA = ("gpt", "bert", "t5")
ALGORITHM = {"gpt2": "byte-bpe", "bert": "wordpiece", "t5": "unigram"}


@pytest.fixture(scope="module")
def bases(tmp_path_factory):
    root = tmp_path_factory.mktemp("models")
    return {family: make_base(root / family, family) for family in ("bert", "gpt2")}


@pytest.fixture(scope="module")
def tokenizers(tmp_path_factory):
    """The tokenizers that recipes of new models ask for, by architecture."""
    root = tmp_path_factory.mktemp("tokenizers")
    for style in ("bert", "gpt2", "t5"):
        settings = {"algorithm": {"kind": ALGORITHM[style], "vocab_size": 700, "limit_alphabet": 300}, "style": style}
        if style == "gpt2":
            del settings["algorithm"]["limit_alphabet"]
        train_tokenizer("helpdesk:intents@en#300", root / style, settings)
    return root


def _data_edits(name, tmp_path):
    if name in FILES_OF:
        return [f"data.train={MAKE[name](tmp_path / 'files')}", "data.test=null"]
    if name in SMALL:
        return [f"data.train={SMALL[name]}"]
    if name in CORPORA:
        return ["data.train=helpdesk:dialogues@en#40", "data.mixture={helpdesk:tickets@en#20: 1}"]
    if name not in FILES:
        recipe = load_recipe(name)
        splits = {"train": recipe.data.train, "validation": recipe.data.validation, "test": recipe.data.test}
        return [f"data.{split}={path}#{96 if split == 'train' else 48}" for split, path in splits.items() if path]
    path = tmp_path / EXTRA.get(name, "train.csv")
    path.write_text("\n".join(FILES[name]) + "\n", encoding="utf-8")
    return [f"data.train={path}"]


@pytest.mark.parametrize("name", list(ready_recipes()))
def test_ready_recipe_runs(name, bases, tokenizers, tmp_path, monkeypatch):
    monkeypatch.setenv("FATHOM_CACHE", str(tmp_path / "cache"))
    model = [f"model={bases[FAMILY.get(name, 'bert')]}"]
    length = ["data.max_length=64"]
    if name in FILES_OF:
        model, length = ["model.depth=1", "model.width=16", "model.heads=2"], []
    if name == "recommendation":
        model, length = ["model.depth=1", "model.width=16"], []
    if name in NEW:
        model = [f"model.tokenizer={tokenizers / NEW[name]}", "model.depth=2", "model.width=32"]
    if name == "prompt-classification":  # its masks are those of a masked model's vocabulary
        tokenizer = tokenizers / "bert"
        model = [f"model={{kind: new, architecture: bert, depth: 2, width: 32, tokenizer: {tokenizer}}}"]
    recipe = load_recipe(
        name,
        [
            *model,
            f"output={tmp_path / 'run'}",
            "training.max_steps=3",
            "training.threads=1",
            "training.precision=fp32",
            "training.verify_reload=false",
            *length,
            *(["task.markers=tokens"] if name in RELATIONS else []),  # so small a vocabulary has no signs
            *_data_edits(name, tmp_path),
        ],
    )
    result = train(recipe)
    metrics = read_json(result.folder / "metrics.json")
    assert metrics["validation"]
    if name in ("bert", "t5"):
        return
    if name in FILES_OF:
        (row,) = predict(result.folder, str(tmp_path / "files" / FILES_OF[name]))
        assert "text" in row if name == "speech-recognition" else row["label"]
        return
    if name in RELATIONS:
        given = {"text": "A-1 is $5", "head": {"start": 0, "end": 3}, "tail": {"start": 7, "end": 9}}
        if name == "helpdesk-relations":
            given["head"]["type"], given["tail"]["type"] = "ORDER", "AMOUNT"
        assert predict(result.folder, [given])[0]["label"]
        return
    if name == "question-answering":
        (row,) = predict(result.folder, ["which colour?", "a red thing"])
        assert row["question"] == "which colour?" and "answer" in row
        return
    rows = predict(
        result.folder / "model",
        [
            {
                "text": "a red thing",
                **({"text_pair": "it is red"} if name in ("sentence-pair", "reranking", "finance-sentiment") else {}),
            }
        ],
    )
    assert len(rows) == 1
    assert {"label", "labels", "value", "entities", "finish_reason", "embedding", "score", "items"} & set(rows[0])
