"""Comparisons of answers: every usual layout gives the same examples, and what is wrong is named."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from fathom.data.load import load_examples, load_splits
from fathom.data.section import DataSection
from fathom.errors import DataError
from fathom.runs.data import check, preview
from fathom.runs.guess import guess_data
from fathom.runs.init import init
from folders_for_tests import make_base

ASKED = {"role": "user", "content": "Where is it?"}
PROMPT = [{"role": "system", "content": "Be brief."}, ASKED]
GOOD, BAD = {"role": "assistant", "content": "In Berlin."}, {"role": "assistant", "content": "No idea."}


def shared(*turns: dict[str, str]) -> list[dict[str, str]]:
    names = {"user": "human", "assistant": "gpt", "system": "system"}
    return [{"from": names[turn["role"]], "value": turn["content"]} for turn in turns]


PAIRS: dict[str, dict[str, Any]] = {
    "texts": {"system": "Be brief.", "prompt": "Where is it?", "chosen": "In Berlin.", "rejected": "No idea."},
    "alpaca": {"system": "Be brief.", "instruction": "Where is it?", "chosen": "In Berlin.", "rejected": "No idea."},
    "explicit turns": {"prompt": PROMPT, "chosen": [GOOD], "rejected": [BAD]},
    "implicit turns": {"chosen": [*PROMPT, GOOD], "rejected": [*PROMPT, BAD]},
    "sharegpt": {"conversations": shared(*PROMPT), "chosen": shared(GOOD)[0], "rejected": shared(BAD)[0]},
    "repeated prompt": {
        "system": "Be brief.", "prompt": "Where is it?", "chosen": [ASKED, GOOD], "rejected": [ASKED, BAD],
    },
    "whole conversations beside": {
        "prompt": PROMPT, "chosen": [*PROMPT, GOOD], "rejected": [*PROMPT, BAD], "messages": [*PROMPT, GOOD],
    },
    "turns as JSON": {"prompt": json.dumps(PROMPT), "chosen": json.dumps([GOOD]), "rejected": json.dumps([BAD])},
}  # fmt: skip
SINGLE: dict[str, dict[str, Any]] = {
    "texts": {"system": "Be brief.", "prompt": "Where is it?", "completion": "In Berlin.", "label": True},
    "turns": {"prompt": PROMPT, "completion": [GOOD], "label": True},
    "sharegpt": {"conversations": shared(*PROMPT, GOOD), "kto_tag": True},
    "alpaca": {
        "system": "Be brief.",
        "instruction": "Where is it?",
        "input": "",
        "output": "In Berlin.",
        "kto_tag": "true",
    },
}


def write(path: Path, *rows: dict[str, Any]) -> str:
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")
    return str(path)


@pytest.mark.parametrize("name", list(PAIRS))
def test_every_layout_of_pairs_is_read_alike(name: str, tmp_path: Path) -> None:
    path = write(tmp_path / "pairs.jsonl", PAIRS[name])
    ((example,), notes) = load_examples(path, "preference")
    assert example == {"messages": PROMPT, "chosen": "In Berlin.", "rejected": "No idea.", "where": f"{path}:1"}
    assert "comparisons: 1 pairs of answers" in notes


@pytest.mark.parametrize("name", list(SINGLE))
def test_every_layout_of_single_answers_is_read_alike(name: str, tmp_path: Path) -> None:
    path = write(tmp_path / "single.jsonl", SINGLE[name])
    ((example,), _) = load_examples(path, "preference")
    assert example == {"messages": PROMPT, "completion": "In Berlin.", "label": "desirable", "where": f"{path}:1"}


def test_a_verdict_may_be_against_an_answer(tmp_path: Path) -> None:
    path = write(tmp_path / "single.jsonl", {"prompt": "Where?", "completion": "No idea.", "label": False})
    assert load_examples(path, "preference")[0][0]["label"] == "undesirable"


def test_turns_written_into_one_text_are_told_apart(tmp_path: Path) -> None:
    begin = "\n\nHuman: Hi\n\nAssistant: Hello.\n\nHuman: Where is it?\n\nAssistant:"
    path = write(tmp_path / "hh.jsonl", {"chosen": f"{begin} In Berlin.", "rejected": f"{begin} No idea."})
    ((example,), notes) = load_examples(path, "preference")
    assert [turn["content"] for turn in example["messages"]] == ["Hi", "Hello.", "Where is it?"]
    assert (example["chosen"], example["rejected"]) == ("In Berlin.", "No idea.")
    assert any("told from the turns both answers begin with" in note for note in notes)


def test_instruction_and_input_are_one_turn(tmp_path: Path) -> None:
    row = {"instruction": "Translate.", "input": "Bonjour", "chosen": "Hello", "rejected": "Bye"}
    ((example,), _) = load_examples(write(tmp_path / "pairs.jsonl", row), "preference")
    assert example["messages"] == [{"role": "user", "content": "Translate.\n\nBonjour"}]


BAD_ROWS: dict[str, tuple[dict[str, Any], str]] = {
    "equal": ({"prompt": "a", "chosen": "same ", "rejected": "same"}, "chosen and rejected are equal: 'same'"),
    "empty": ({"prompt": "a", "chosen": "good", "rejected": "  "}, "the rejected answer is empty"),
    "missing": ({"prompt": "a", "chosen": None, "rejected": "bad"}, "the chosen answer is missing"),
    "a number": ({"prompt": "a", "chosen": 3, "rejected": "bad"}, "not a text"),
    "no prompt": ({"prompt": "", "chosen": "good", "rejected": "bad"}, "the prompt is empty"),
    "wrong order": ({"prompt": [ASKED, ASKED], "chosen": "good", "rejected": "bad"}, "turns in the wrong order"),
    "answered prompt": ({"prompt": [ASKED, GOOD], "chosen": "good", "rejected": "bad"}, "turns in the wrong order"),
    "two turns": ({"prompt": "a", "chosen": [GOOD, ASKED, GOOD], "rejected": "bad"}, "chosen has 3 turns"),
    "not the assistant": ({"prompt": "a", "chosen": [ASKED], "rejected": "bad"}, "is not the assistant's"),
    "unknown role": ({"prompt": "a", "chosen": [{"role": "x", "content": "y"}], "rejected": "b"}, "unknown role 'x'"),
    "no verdict": ({"prompt": "a", "completion": "b", "label": "maybe"}, "'maybe' is no verdict"),
}  # fmt: skip


@pytest.mark.parametrize("name", list(BAD_ROWS))
def test_a_bad_row_is_named_or_left_out(name: str, tmp_path: Path) -> None:
    row, message = BAD_ROWS[name]
    good = {"prompt": "x", "chosen": "good", "rejected": "bad"} if "chosen" in row else {**row, "label": True}
    path = write(tmp_path / "pairs.jsonl", good, row)
    with pytest.raises(DataError, match=message) as caught:
        load_examples(path, "preference")
    assert str(caught.value.where).startswith(f"{path}:2 column")
    examples, notes = load_examples(path, "preference", DataSection(train=path, on_error="skip"))
    assert len(examples) == 1
    assert any("left out 1 of 2 rows" in note for note in notes)


def test_columns_are_named_where_they_cannot_be_told(tmp_path: Path) -> None:
    path = write(tmp_path / "pairs.jsonl", {"q": "Where?", "up": "Berlin", "down": "No idea"})
    with pytest.raises(DataError, match=r"data.columns.chosen=NAME"):
        load_examples(path, "preference")
    section = DataSection(train=path, columns={"prompt": "q", "chosen": "up", "rejected": "down"})
    ((example,), _) = load_examples(path, "preference", section)
    assert example["chosen"] == "Berlin"


def rows(count: int) -> list[dict[str, Any]]:
    return [
        {"prompt": f"question {n}", "chosen": f"answer {n}, at length", "rejected": f"no {n}"} for n in range(count)
    ]


def test_prompts_stay_on_one_side_of_a_split(tmp_path: Path) -> None:
    doubled = [{**row, "rejected": f"{row['rejected']} {n}"} for row in rows(40) for n in range(2)]
    path = write(tmp_path / "pairs.jsonl", *doubled)
    splits = load_splits(DataSection(train=path, validation_fraction=0.2), "preference")
    sides = [{example["messages"][0]["content"] for example in part} for part in (splits.train, splits.validation)]
    assert sides[1] and not sides[0] & sides[1]


def test_check_counts_what_is_wrong(tmp_path: Path) -> None:
    bad = [{"prompt": "a", "chosen": "b", "rejected": "b"}, {"prompt": "a", "chosen": "b", "rejected": ""}]
    path = write(tmp_path / "pairs.jsonl", *rows(30), *bad)
    report = check(path, ["task=preference"])
    (finding,) = [item for item in report.findings if item.kind == "unreadable"]
    assert (
        "2 problems in 2 rows" in finding.message and "are equal" in finding.message and "is empty" in finding.message
    )
    assert report.exit_code == 2
    report = check(path, ["task=preference", "on_error=skip"])
    assert report.exit_code == 0 and any(item.kind == "skipped-rows" for item in report.findings)


def test_preview_shows_both_answers_with_their_mask(tmp_path: Path) -> None:
    path = write(tmp_path / "pairs.jsonl", *rows(20))
    base = make_base(tmp_path / "gpt2", "gpt2")
    shown = preview(path, ["task=preference", f"model={base}"])
    assert shown.titles == ("chosen", "rejected")
    text = shown.to_text()
    said = (shown.example["chosen"], shown.example["rejected"])
    assert f"chosen: {said[0]}" in text and f"rejected: {said[1]}" in text
    for window, answer in zip(shown.windows, said, strict=True):
        learned = [token.token for token in window if token.label == "loss"]
        assert learned.pop() == "</s>"
        learned = "".join(token.replace("<unk>", "?") for token in learned)  # letters the tiny vocabulary lacks
        assert len(learned) == len(answer.replace(" ", ""))
        assert all(one in (other, "?") for one, other in zip(learned, answer.replace(" ", ""), strict=True))
        assert not any(token.label for token in window[:3])
    single = [{"prompt": row["prompt"], "completion": row["chosen"], "label": True} for row in rows(20)]
    single[3]["label"] = False
    path = write(tmp_path / "single.jsonl", *single)
    shown = preview(path, ["task=preference", f"model={base}"])
    assert shown.titles == ("desirable", "an answer to another prompt")


def test_init_writes_a_recipe_for_comparisons(tmp_path: Path) -> None:
    path = write(tmp_path / "pairs.jsonl", *rows(30))
    guess = guess_data(path)
    assert (guess.form, guess.problem) == ("preference", "comparisons")
    text = init(path, tmp_path / "job.yaml").read_text(encoding="utf-8")
    assert "task: preference" in text and "runs/chat/model" in text
    single = [
        {"prompt": row["prompt"], "completion": row["chosen"], "label": n % 2 == 0} for n, row in enumerate(rows(30))
    ]
    assert guess_data(write(tmp_path / "single.jsonl", *single)).form == "preference"
    judged = [{"conversations": shared(ASKED, GOOD), "kto_tag": n % 2 == 0} for n in range(30)]
    assert guess_data(write(tmp_path / "judged.jsonl", *judged)).form == "preference"
    bad = {"prompt": "a", "chosen": "b", "rejected": "b"}
    guess = guess_data(write(tmp_path / "bad.jsonl", *rows(30), bad))
    assert guess.options == {"on_error": "skip"} and len(guess.examples) == 30


def test_init_takes_no_classification_for_judged_answers(tmp_path: Path) -> None:
    labelled = [{"text": f"a text {n}", "label": n % 2 == 0} for n in range(40)]
    assert guess_data(write(tmp_path / "labels.jsonl", *labelled)).form == "text"
    answers = [{"question": f"what is {n}?", "answer": f"it is {n} I think"} for n in range(40)]
    assert guess_data(write(tmp_path / "answers.jsonl", *answers)).form != "preference"


def test_the_corpus_gives_pairs() -> None:
    examples, _ = load_examples("helpdesk:dialogues@en#40", "preference")
    assert len(examples) == 40
    for example in examples:
        assert example["messages"][-1]["role"] == "user"
        assert example["chosen"].strip() and example["chosen"] != example["rejected"]
