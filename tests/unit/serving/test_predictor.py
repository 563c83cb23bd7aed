"""The predictor answers as the trained model did, in order, whatever the batches."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from fathom.device import probe_machine
from fathom.errors import ConfigError, DataError
from fathom.serving.predictor import Predictor
from folders_for_tests import TEXTS, Saved, make_saved


@pytest.fixture(scope="module", params=["text-classification", "token-classification"])
def saved(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Saved:
    return make_saved(tmp_path_factory.mktemp("model"), "full", str(request.param))


@pytest.fixture(scope="module")
def predictor(saved: Saved) -> Predictor:
    return Predictor.load(saved.folder)


def close(one: Any, other: Any) -> bool:
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(close(one[key], other[key]) for key in one)
    if isinstance(one, list | tuple):
        return len(one) == len(other) and all(close(a, b) for a, b in zip(one, other, strict=True))
    return one == (pytest.approx(other, abs=1e-5) if isinstance(other, float) else other)


@pytest.mark.parametrize("packing", [True, False])
def test_it_answers_as_the_trained_model_did(saved: Saved, packing: bool) -> None:
    predictor = Predictor.load(saved.folder, packing=packing)
    assert close(list(predictor.predict(TEXTS)), saved.predictions)


def test_an_adapter_answers_as_the_trained_model_did(tmp_path: Path) -> None:
    saved = make_saved(tmp_path, "lora", "token-classification")
    assert close(list(Predictor.load(saved.folder).predict(TEXTS)), saved.predictions)


def test_order_and_answers_do_not_depend_on_batches(predictor: Predictor) -> None:
    texts = [" ".join(TEXTS[number % 4].split()[: 1 + number % 5]) for number in range(70)]
    together = list(predictor.predict(texts))
    assert close(list(predictor.predict(texts, batch_size=3)), together)
    assert close([predictor.predict_one(text) for text in texts[:8]], together[:8])


def test_inputs_are_read_a_window_at_a_time(predictor: Predictor) -> None:
    taken = 0

    def inputs() -> Iterator[str]:
        nonlocal taken
        for number in range(1000):
            taken += 1
            yield TEXTS[number % 4]

    answers = predictor.predict(inputs(), batch_size=2)
    next(answers)
    assert taken <= 2 * 16
    answers.close()  # type: ignore[attr-defined]
    assert list(predictor.predict([])) == []


def test_long_and_empty_texts(predictor: Predictor, saved: Saved) -> None:
    long = "Smith visited Berlin " * 200
    for text in ("", " ", long):
        answer = predictor.predict_one(text)
        assert "label" in answer or "entities" in answer
    if predictor.form == "spans":
        answer = predictor.predict_one(long)
        assert len(answer["tags"]) == 600
        for entity in answer["entities"]:
            assert long[entity["start"] : entity["end"]] == entity["text"]
        assert predictor.predict_one("")["entities"] == []


def test_given_words_are_kept(predictor: Predictor) -> None:
    if predictor.form != "spans":
        pytest.skip("only token classification takes words")
    answer = predictor.predict_one({"text": "Smith visited Berlin", "words": [(0, 5), (6, 20)]})
    assert len(answer["tags"]) == 2


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (3, "input 2: int is no text"),
        ({"text": 3}, "input 2: text is int"),
        ({"txt": "a"}, "unknown key 'txt'"),
        ({}, "the text is missing"),
        ({"text": "a", "where": "f.csv:7", "label": "x"}, r"f\.csv:7: unknown key 'label'"),
    ],
)
def test_wrong_inputs_are_named(predictor: Predictor, given: Any, message: str) -> None:
    with pytest.raises(DataError, match=message):
        list(predictor.predict(["fine", given]))


def test_a_text_pair_for_a_model_of_single_texts_is_refused(predictor: Predictor) -> None:
    if predictor.form == "spans":
        pytest.skip("only text classification takes pairs")
    with pytest.raises(DataError, match="input 1"):
        list(predictor.predict([{"text": "a", "text_pair": "b"}]))


def test_batch_size_and_precision_are_checked(predictor: Predictor, saved: Saved, monkeypatch: Any) -> None:
    with pytest.raises(ConfigError, match="batch_size is 0"):
        list(predictor.predict(["a"], batch_size=0))
    if probe_machine().bf16_native:
        answers = list(Predictor.load(saved.folder, precision="bf16").predict(TEXTS))
        assert len(answers) == len(TEXTS)
