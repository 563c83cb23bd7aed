"""What is left of a base: its own loss with the tuned body under its head, or how far the states moved."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import nn
from transformers import AutoModelForSequenceClassification, BertForMaskedLM, GPT2LMHeadModel

from fathom.data.draw import EVALUATION, Draw
from fathom.errors import ConfigError, DataError
from fathom.runs import forgetting as module
from fathom.runs.comparison import Comparison, Group
from fathom.runs.comparison_tables import forgetting_tables
from fathom.runs.forgetting import Base, Forgetting
from fathom.runs.train import train
from languages_for_tests import WORDS, make_tokenizer
from languages_for_tests import make_model as make_language_model
from runs_for_tests import make_model, make_recipe

LINES = [" ".join(WORDS[first : first + 4 + first % 7]) for first in range(0, 36, 3)]


def make_base(folder: Path, name: str) -> Path:
    make_language_model(name).save_pretrained(folder)
    make_tokenizer().save_pretrained(folder)
    return folder


@pytest.fixture
def texts(tmp_path: Path) -> Path:
    path = tmp_path / "texts.txt"
    path.write_text("\n".join(LINES) + "\n", encoding="utf-8")
    return path


def plain_loss(model: BertForMaskedLM, base: Base) -> float:
    """Of transformers alone, on the batches as they are masked."""
    total = number = 0.0
    for rows, part in base._parts():
        assert base.task is not None
        batch = base.task.make_batch(part, Draw(0, EVALUATION, rows))
        count = int((batch["labels"] != -100).sum())
        with torch.no_grad():
            found = model.eval()(
                input_ids=batch["input_ids"], attention_mask=batch["attention_mask"], labels=batch["labels"]
            )
        total, number = total + float(found.loss) * count, number + count
    return total / number


def test_the_tuned_body_is_judged_under_the_heads_of_its_base(
    tmp_path: Path, texts: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = make_base(tmp_path / "base", "bert")
    measured = Forgetting(texts)
    found = {}
    for tuning in ("head", "full", "lora", "prompt"):
        recipe = make_recipe(folder, tmp_path, "single", f"tuning={tuning}", f"output={tmp_path / tuning}")
        train(recipe)
        measured.check(recipe)
        found[tuning] = measured.measure(recipe)
    base = measured._bases[str(folder)]
    own = BertForMaskedLM.from_pretrained(folder)
    assert found["head"]["base_loss"] == pytest.approx(plain_loss(own, base), abs=1e-5)
    assert found["head"]["base_loss_after"] == found["head"]["base_loss"]  # its body never learnt
    tuned = AutoModelForSequenceClassification.from_pretrained(tmp_path / "full" / "model")
    own.bert.load_state_dict(tuned.bert.state_dict(), strict=False)
    own.cls.predictions.decoder.weight = nn.Parameter(
        BertForMaskedLM.from_pretrained(folder).cls.predictions.decoder.weight.detach().clone()
    )
    assert found["full"]["base_loss_after"] == pytest.approx(plain_loss(own, base), abs=1e-5)
    assert abs(found["full"]["base_loss_after"] - found["full"]["base_loss"]) > 1e-3
    assert found["lora"]["base_loss_after"] != found["lora"]["base_loss"] == found["full"]["base_loss"]
    assert found["prompt"] == {}

    def load(*_: object) -> None:
        raise AssertionError("it was measured before")

    monkeypatch.setattr(module, "load_model", load)
    assert Forgetting(texts).measure(recipe.model_copy(update={"output": str(tmp_path / "full")})) == found["full"]
    texts.write_text("w1 w2\n", encoding="utf-8")
    with pytest.raises(AssertionError, match="measured before"):
        Forgetting(texts).measure(recipe)


def test_a_decoder_is_judged_by_the_next_token(tmp_path: Path) -> None:
    folder = make_base(tmp_path / "base", "gpt2")
    base = Base.open(str(folder), LINES)
    model = GPT2LMHeadModel.from_pretrained(folder).eval()
    total = number = 0.0
    for line in LINES:
        ids = make_tokenizer()(line, add_special_tokens=False, return_tensors="pt")["input_ids"]
        with torch.no_grad():
            total += float(model(input_ids=ids, labels=ids).loss) * (ids.shape[1] - 1)
        number += ids.shape[1] - 1
    assert base.before == pytest.approx(total / number, abs=1e-5)
    assert base.compare(model.transformer)["base_loss_after"] == pytest.approx(total / number, abs=1e-5)


def test_without_a_head_the_states_are_compared(tmp_path: Path, texts: Path) -> None:
    folder = make_model(tmp_path / "base")
    measured = Forgetting(texts)
    found = {}
    for tuning in ("head", "full"):
        recipe = make_recipe(folder, tmp_path, "single", f"tuning={tuning}", f"output={tmp_path / tuning}")
        train(recipe)
        found[tuning] = measured.measure(recipe)
    assert found["head"] == {"base_cosine": pytest.approx(1.0, abs=1e-6)}
    assert 0 < found["full"]["base_cosine"] < 1 - 1e-6


def test_what_cannot_be_measured_is_refused(tmp_path: Path, texts: Path) -> None:
    folder = make_model(tmp_path / "base")
    new = f"model={{kind: new, architecture: bert, depth: 2, tokenizer: '{folder}'}}"
    with pytest.raises(ConfigError, match="new weights have nothing to forget"):
        Forgetting(texts).check(make_recipe(folder, tmp_path, "single", new))
    two = make_base(tmp_path / "two", "bart")
    with pytest.raises(ConfigError, match="an encoder with a decoder"):
        Forgetting(texts).check(make_recipe(two, tmp_path))
    with pytest.raises(DataError):
        Forgetting(tmp_path / "none.txt")


def test_the_table_has_both_measures() -> None:
    loss, cosine = {"base_loss": 2.0, "base_loss_after": 2.5}, {"base_cosine": 0.9}
    groups = tuple(
        Group({"tuning": name}, (1.0,), 1.0, None, None, figures, ())
        for name, figures in (("full", loss), ("lora", cosine), ("prompt", dict[str, float]()))
    )
    [table] = forgetting_tables(Comparison("accuracy", "test", groups, (), (), texts="texts.txt"))
    assert table.rows == [
        ["full", "2.0000", "2.5000", "+0.5000", ""],
        ["lora", "", "", "", "0.9000"],
        ["prompt", "", "", "", ""],
    ]
    assert forgetting_tables(Comparison("accuracy", "test", groups, (), ())) == []
