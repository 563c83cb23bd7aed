"""What is masked: how much, by what, in whole words and spans, and that it depends on nothing but its own sequence."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from fathom.config import validate
from fathom.data.draw import EVALUATION, Draw
from fathom.errors import ModelError
from fathom.tasks.masking import MEAN_SPAN, choose, choose_spans, join_units, replace
from fathom.tasks.whole_words import WordFinder, _byte_of
from fathom.tokenization.corpus import Corpus
from fathom.tokenization.train import NewTokenizer, train
from languages_for_tests import SPECIAL, WORDS, make_store, make_tokenizer, open_task

IDS = {word: index for index, word in enumerate([*SPECIAL, *WORDS])}
SENTENCES = [
    "北京大学的张三昨天去了上海，他很高兴。",
    "我们在北京的大学学习中文，张三在上海工作。",
    "昨天上海的天气很好 他们去了大学 and hello 世界",
    "他们高兴地去了北京，天气很好。",
]


def big_draw(rows: int = 200, step: int = 0) -> Draw:
    return Draw(7, step, np.arange(rows))


def places(rows: int, length: int) -> np.ndarray[Any, Any]:
    return np.broadcast_to(np.arange(length), (rows, length))


def test_the_share_of_masked_tokens_is_the_probability() -> None:
    allowed = np.ones((200, 100), dtype=bool)
    chosen = choose(big_draw(), places(200, 100), allowed, 0.15)
    assert chosen.mean() == pytest.approx(0.15, abs=4 * (0.15 * 0.85 / 20000) ** 0.5)


def test_eighty_ten_ten() -> None:
    ids = np.full((200, 100), 20)
    chosen = np.ones((200, 100), dtype=bool)
    words = np.arange(6, 60)
    inputs, labels = replace(big_draw(), ids, chosen, (4, words))
    masked, kept = (inputs == 4).mean(), (inputs == 20).mean()
    assert masked == pytest.approx(0.8, abs=0.012)
    assert kept == pytest.approx(0.1 + 0.1 / len(words), abs=0.01)
    assert (labels == 20).all()
    assert set(np.unique(inputs)) <= {4, *words.tolist()}


def test_what_is_not_chosen_is_neither_changed_nor_labelled() -> None:
    ids = np.arange(600).reshape(6, 100) % 50 + 6
    chosen = choose(big_draw(6), places(6, 100), np.ones_like(ids, dtype=bool), 0.3)
    inputs, labels = replace(big_draw(6), ids, chosen, (4, np.arange(6, 60)))
    assert (inputs[~chosen] == ids[~chosen]).all()
    assert (labels[~chosen] == -100).all()
    assert (labels[chosen] == ids[chosen]).all()


@pytest.mark.parametrize("masking", ["token", "whole-word", "span"])
def test_a_sequence_is_masked_alike_in_any_batch(masking: str) -> None:
    if masking != "token":
        pytest.importorskip("rjieba")
    task: Any = open_task("masked-lm", masking=masking)
    store = make_store(task, (20, 7, 31, 13))
    rows = np.arange(4)
    whole = task.make_batch([store[row] for row in rows], Draw(1, 9, rows))
    alone = task.make_batch([store[2]], Draw(1, 9, np.array([2])))
    size = len(store[2]["input_ids"])
    for name in ("input_ids", "labels"):
        assert (whole[name][2, :size] == alone[name][0]).all()
    other = task.make_batch([store[2]], Draw(1, 10, np.array([2])))
    assert (other["labels"] != alone["labels"]).any()
    again = task.make_batch([store[2]], Draw(1, EVALUATION, np.array([2])))
    assert (again["labels"] == task.make_batch([store[2]], Draw(1, EVALUATION, np.array([2])))["labels"]).all()


def test_special_tokens_and_padding_are_never_masked() -> None:
    task: Any = open_task("masked-lm", mask_probability=0.99)
    store = make_store(task, (20, 3))
    batch = task.make_batch([store[0], store[1]], Draw(1, 0, np.arange(2)))
    assert (batch["labels"][:, 0] == -100).all()
    assert (batch["labels"][1, 4:] == -100).all()
    assert int((batch["labels"] != -100).sum()) >= 18


def test_words_are_masked_whole() -> None:
    finder = WordFinder(make_tokenizer(), chinese=False)
    ids = np.array([[IDS[word] for word in ("[CLS]", "un", "##able", "w3", "##s", "w4", "[SEP]")]])
    assert finder.begins(ids).tolist() == [[True, True, False, True, False, True, True]]
    unit = join_units(finder.begins(ids))
    for step in range(50):
        chosen = choose(Draw(0, step, np.array([0])), unit, np.ones_like(ids, dtype=bool), 0.5)[0]
        assert chosen[1] == chosen[2]
        assert chosen[3] == chosen[4]


def test_chinese_words_come_from_the_segmenter() -> None:
    pytest.importorskip("rjieba")
    finder = WordFinder(make_tokenizer(), chinese=True)
    ids = np.array([[IDS[word] for word in ("[CLS]", "北", "京", "大", "学", "w4", "[SEP]")]])
    assert finder.begins(ids).tolist() == [[True, True, False, False, False, True, True]]


def chinese_tokenizer(kind: str) -> Any:
    sizes = {"wordpiece": 55, "byte-bpe": 300, "unigram": 54}  # few merges: most characters are tokens of their own
    settings = {"algorithm": {"kind": kind, "vocab_size": sizes[kind]}, "style": "bert"}
    return train(validate(NewTokenizer, settings), Corpus(lambda: SENTENCES * 3)).tokenizer


@pytest.mark.parametrize("kind", ["wordpiece", "byte-bpe", "unigram"])
def test_units_are_the_words_of_the_segmenter_under_every_kind_of_pieces(kind: str) -> None:
    rjieba = pytest.importorskip("rjieba")
    tokenizer = chinese_tokenizer(kind)
    finder = WordFinder(tokenizer, chinese=True)
    joined = 0
    for sentence in SENTENCES:
        encoded = tokenizer(sentence, return_offsets_mapping=True, add_special_tokens=False)
        starts = [first + (sentence[first] == " ") for first, _ in encoded["offset_mapping"]]
        begins = finder.begins(np.array([encoded["input_ids"]]))[0]
        ends = np.cumsum([len(word) for word in rjieba.cut(sentence)])
        word = np.searchsorted(ends, starts, side="right")
        chinese = np.array(["\u4e00" <= sentence[start] <= "\u9fff" for start in starts])
        expected = np.diff(word, prepend=-1) != 0
        assert begins[chinese].tolist() == expected[chinese].tolist(), sentence
        punctuation = np.array([sentence[start] in "，。" for start in starts])
        assert begins[punctuation & expected].all()
        joined += int((~begins[chinese]).sum())
    assert joined > len(SENTENCES)


def test_a_row_may_begin_and_end_inside_a_character() -> None:
    pytest.importorskip("rjieba")
    tokenizer = chinese_tokenizer("byte-bpe")
    finder = WordFinder(tokenizer, chinese=True)
    letter = {byte: stands_for for stands_for, byte in _byte_of().items()}
    data = "北京大学".encode()[1:-1]
    ids = np.array([tokenizer.convert_tokens_to_ids([letter[byte] for byte in data])])
    found = [place for place, begins in enumerate(finder.begins(ids)[0]) if begins]
    assert found == [0, 2, 8]  # what is left of 北, then 京大, one word to the segmenter, what is left of 学


def test_spans_count_the_tokens_of_a_unit_once() -> None:
    unit = join_units(np.random.default_rng(3).random((4, 300)) < 0.4)
    allowed = np.ones_like(unit, dtype=bool)
    allowed[:, :5] = False
    chosen = choose_spans(big_draw(4), unit, allowed, 0.15)
    for unit_L, chosen_L, allowed_L in zip(unit, chosen, allowed, strict=True):
        assert chosen_L.any()
        for one in np.unique(unit_L[allowed_L]):
            inside = (unit_L == one) & allowed_L
            assert chosen_L[inside].all() or not chosen_L[inside].any()


def test_spans_cover_the_share_and_are_long() -> None:
    allowed = np.ones((100, 120), dtype=bool)
    chosen = choose_spans(big_draw(100), places(100, 120), allowed, 0.15)
    assert chosen.mean() == pytest.approx(0.15, abs=0.02)
    runs = (np.diff(np.pad(chosen.astype(int), ((0, 0), (1, 1))), axis=1) == 1).sum()
    assert chosen.sum() / runs == pytest.approx(MEAN_SPAN, rel=0.25)


def test_short_sequences_are_masked_now_and_then() -> None:
    """A budget below one token is left to chance: no length is never learnt from."""
    allowed = np.ones((1, 3), dtype=bool)
    counts = [choose_spans(Draw(0, step, np.array([0])), places(1, 3), allowed, 0.15).sum() for step in range(400)]
    assert np.mean(counts) == pytest.approx(0.45, abs=0.15)


def test_a_tokenizer_without_a_mask_is_refused() -> None:
    from fathom import catalog

    tokenizer = make_tokenizer()
    tokenizer.mask_token = None
    with pytest.raises(ModelError, match="no mask token"):
        catalog.load("task", "masked-lm")().open([], tokenizer, 32)
