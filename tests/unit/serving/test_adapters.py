"""Several adapters over one base: each answers as alone, the base is in memory once, mixtures are as merged."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from typer.testing import CliRunner

from fathom.cli.main import app
from fathom.errors import ConfigError, DataError, ModelError
from fathom.model.combine import combine
from fathom.model.folder import open_folder
from fathom.runs.predict import predict
from fathom.serving.adapters import Adapters, name_folders
from fathom.serving.generate.generator import Generator
from fathom.serving.predictor import Predictor
from folders_for_tests import TEXTS, Saved, make_saved
from writers_for_tests import save_adapter_writer, save_plain

pytestmark = pytest.mark.filterwarnings("ignore::FutureWarning:transformers")


def logits_of(predictor: Predictor, saved: Saved) -> Tensor:
    return predictor.logits({**saved.inputs})


@pytest.fixture(scope="module")
def trio(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Saved]:
    """LoRA beside BitFit-like biases beside another task, over equal bases."""
    root = tmp_path_factory.mktemp("trio")
    return {
        "plain": make_saved(root / "plain", "lora", rank=2),
        "biases": make_saved(root / "biases", "lora", rank=3, bias="all"),
        "tags": make_saved(root / "tags", "lora", "token-classification"),
        "bottleneck": make_saved(root / "bottleneck", "adapter"),
        "pissa": make_saved(root / "pissa", "lora", initialization="pissa"),
        "factors": make_saved(root / "factors", "ia3"),
        "prompt": make_saved(root / "prompt", "prompt"),
    }


@pytest.fixture(scope="module")
def adapters(trio: dict[str, Saved]) -> Adapters:
    return Adapters.load({name: saved.folder for name, saved in trio.items()})


def test_each_answers_bit_for_bit_as_alone_whatever_was_asked_before(
    trio: dict[str, Saved], adapters: Adapters
) -> None:
    alone = {name: Predictor.load(saved.folder) for name, saved in trio.items()}
    for _ in range(2):
        for name, saved in trio.items():
            found = logits_of(adapters.predictor(name), saved)
            assert torch.equal(found, logits_of(alone[name], saved)), name
    for name in trio:
        assert list(adapters.predict(TEXTS, name)) == list(alone[name].predict(TEXTS))


def test_heads_and_labels_are_each_adapters_own(adapters: Adapters) -> None:
    assert "entities" in next(adapters.predict(["the"], "tags"))
    assert set(next(adapters.predict(["the"], "plain"))["probabilities"]) == {"pet", "person", "other"}


def test_the_base_is_in_memory_once_and_what_was_changed_is_not(trio: dict[str, Saved], adapters: Adapters) -> None:
    body = "encoder.layer.0.attention.self.query"

    def tensor(name: str, end: str) -> Tensor:
        named = dict(adapters.predictor(name).model.named_parameters())
        (found,) = [value for key, value in named.items() if f"{body}." in key and key.endswith(end)]
        return found

    weights = {name: tensor(name, "base_layer.weight") for name in ("plain", "biases", "tags", "pissa")}
    assert len({weights[name].data_ptr() for name in ("plain", "biases", "tags")}) == 1
    assert weights["pissa"].data_ptr() != weights["plain"].data_ptr()
    assert tensor("biases", "bias").data_ptr() != tensor("plain", "bias").data_ptr()
    embeddings = {
        value.data_ptr()
        for name in trio
        for key, value in adapters.predictor(name).model.named_parameters()
        if key.endswith("word_embeddings.weight")
    }
    assert len(embeddings) == 1


def test_an_adapter_for_each_input(adapters: Adapters) -> None:
    texts = [TEXTS[number % 4] for number in range(10)]
    names = ["plain", "biases", "tags", "plain", "plain", "prompt", "tags", "biases", "plain", "factors"]
    found = list(adapters.predict(iter(texts), iter(names), batch_size=2))
    for text, name, answer in zip(texts, names, found, strict=True):
        alone = adapters.predictor(name).predict_one(text)
        assert answer.keys() == alone.keys()
        assert answer.get("label") == alone.get("label")
        assert answer.get("tags") == alone.get("tags")


def test_inputs_are_read_a_window_at_a_time(adapters: Adapters) -> None:
    taken = 0

    def inputs() -> Iterator[str]:
        nonlocal taken
        for text in TEXTS * 100:
            taken += 1
            yield text

    next(adapters.predict(inputs(), ["plain", "tags"] * 200, batch_size=1))
    assert taken < 40


@pytest.mark.parametrize(
    ("texts", "names", "error", "message"),
    [
        (["a", "b"], ["plain"], DataError, "input 2: no adapter is named"),
        (["a"], ["plain", "tags"], DataError, "input 2: there is no such input"),
        (["a"], ["plan"], ConfigError, "no adapter is called 'plan'"),
        (["a", 3], ["plain", "tags"], DataError, "input 2"),
        (["a"], "plan", ConfigError, "no adapter is called 'plan'"),
        (["a"], {"plain": 1.0}, ConfigError, "a mixture is of several"),
        (["a"], {"plain": 0.5, "tags": 0.5}, ModelError, "another task or other labels"),
        (["a"], {"plain": 0.5, "biases": 0.5}, ModelError, "only LoRA adapters that leave"),
        (["a"], {"plain": 0.5, "pissa": 0.5}, ModelError, "only LoRA adapters that leave"),
    ],
)
def test_wrong_choices_are_named(
    adapters: Adapters, texts: list[Any], names: Any, error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        list(adapters.predict(texts, names))


def test_what_is_mixed_answers_as_the_merged_model(tmp_path: Path) -> None:
    first = make_saved(tmp_path / "first", "lora", rank=2, alpha=8)
    second = make_saved(tmp_path / "second", "lora", rank=3, alpha=3)
    adapters = Adapters.load({"first": first.folder, "second": second.folder})
    weights = {"first": 0.7, "second": 0.3}
    combine([first.folder, second.folder], [0.7, 0.3], tmp_path / "both", first.auto_class)
    merged = logits_of(Predictor.load(tmp_path / "both"), first)
    found = logits_of(adapters.predictor(weights), first)
    torch.testing.assert_close(found, merged, atol=1e-5, rtol=1e-5)
    assert not torch.equal(found, logits_of(adapters.predictor("first"), first))
    assert adapters.predictor(weights) is adapters.predictor(weights)
    for name, saved in (("first", first), ("second", second)):  # mixing changed neither
        assert torch.equal(logits_of(adapters.predictor(name), saved), logits_of(Predictor.load(saved.folder), saved))


def test_another_base_and_a_whole_model_are_refused(trio: dict[str, Saved], tmp_path: Path) -> None:
    other = make_saved(tmp_path / "other", "lora", family="distilbert")
    with pytest.raises(ModelError, match=r"another base model than that of .*plain"):
        Adapters.load([trio["plain"].folder, other.folder])
    whole = make_saved(tmp_path / "whole", "full")
    with pytest.raises(ModelError, match="a whole model, not an adapter"):
        Adapters.load([trio["plain"].folder, whole.folder])
    with pytest.raises(ConfigError, match="no adapters"):
        Adapters.load([])


def test_names_of_folders(tmp_path: Path) -> None:
    (tmp_path / "a=b").mkdir()
    named = name_folders([tmp_path / "mail" / "model", f"shop={tmp_path}/x", tmp_path / "a=b"])
    assert named == {"mail": tmp_path / "mail" / "model", "shop": tmp_path / "x", "a=b": tmp_path / "a=b"}
    with pytest.raises(ConfigError, match="two adapters are called 'mail'"):
        name_folders([tmp_path / "mail" / "model", tmp_path / "old" / "mail"])


def test_rows_of_all_adapters_side_by_side(
    trio: dict[str, Saved], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    adapters = Adapters.load([trio["plain"].folder, trio["biases"].folder])
    rows = predict(adapters, TEXTS, output=tmp_path / "rows.jsonl")
    assert [row["adapter"] for row in rows] == ["plain", "biases"] * len(TEXTS)
    assert [row["text"] for row in rows[::2]] == TEXTS
    assert [{**row, "adapter": None} for row in rows[::2]] == [
        {"adapter": None, **row} for row in predict(trio["plain"].folder, TEXTS)
    ]
    assert len((tmp_path / "rows.jsonl").read_text(encoding="utf-8").splitlines()) == len(rows)
    with pytest.raises(ModelError, match="these adapters read different things: text, spans"):
        predict(Adapters.load([trio["plain"].folder, trio["tags"].folder]), TEXTS)


def test_the_command(trio: dict[str, Saved], tmp_path: Path) -> None:
    second = shutil.copytree(trio["plain"].folder.parent, tmp_path / "second")
    asked = ["predict", str(trio["plain"].folder), "the", "a", "--adapter", f"other={second}", "--json"]
    found = CliRunner().invoke(app, asked)
    rows = json.loads(found.stdout)
    assert [row["adapter"] for row in rows] == ["plain", "other"] * 2
    mixed = CliRunner().invoke(app, [*asked, "--weights", "0.5,0.5"])
    rows = json.loads(mixed.stdout)
    assert [row["text"] for row in rows] == ["the", "a"]
    assert all("adapter" not in row for row in rows)
    told = CliRunner().invoke(app, asked[:-1])
    assert told.stdout.startswith("[plain] ")
    stdin = CliRunner().invoke(app, [*asked[:2], "-", *asked[4:]], input="the\na\n")
    assert json.loads(stdin.stdout) == json.loads(found.stdout)
    for wrong, message in (
        ([*asked, "--weights", "1"], "2 adapters and 1 weights"),
        ([*asked[:3], "--weights", "1"], "--weights is for several adapters"),
        ([*asked, "--seed", "1"], "--seed is for models that generate text"),
    ):
        refused = CliRunner().invoke(app, wrong)
        assert refused.exit_code == 2
        assert message in refused.output


@pytest.fixture(scope="module")
def writers(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    root = tmp_path_factory.mktemp("writers")
    base = save_plain(root / "base")
    return {name: save_adapter_writer(root / name, base, seed) for seed, name in enumerate(("one", "two"), start=1)}


def test_writers_switch_too(writers: dict[str, Path]) -> None:
    adapters = Adapters.load(writers)
    prompts = ["Smith visited Berlin", "the e-mail"]
    options = {"max_new_tokens": 8}
    for name, folder in writers.items():
        generator = adapters.generator(name)
        beside = Generator(open_folder(folder).load_model("AutoModelForCausalLM"), generator.tokenizer, generator.info)
        for other in (beside, Generator.load(folder)):
            found = [one.generate(prompts, one.options(**options)) for one in (generator, other)]
            assert found[0] == found[1]
    texts = {name: [one.text for one in adapters.generator(name).generate(prompts)] for name in writers}
    assert texts["one"] != texts["two"]
    with pytest.raises(ModelError, match="a model that writes gives texts"):
        adapters.predictor("one")
    rows = predict(adapters, prompts)
    assert [row["adapter"] for row in rows] == ["one", "two"] * 2
    assert adapters.generator({"one": 0.5, "two": 0.5}).generate(prompts)


def test_writers_and_others_are_not_asked_together(writers: dict[str, Path], trio: dict[str, Saved]) -> None:
    with pytest.raises(ModelError):
        Adapters.load({"one": writers["one"], "plain": trio["plain"].folder})
