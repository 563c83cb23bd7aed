from __future__ import annotations

import json

import pytest

from fathom.data.check import CheckOptions, check_splits
from fathom.data.conversation import has_answer, speak, text_of
from fathom.data.load import load_examples, load_splits
from fathom.data.section import DataSection
from fathom.data.split import content_key, split_key, stratified_split
from fathom.errors import DataError

USER, ASSISTANT = {"role": "user", "content": "hi"}, {"role": "assistant", "content": "hello"}
PAIR = [USER, ASSISTANT]


def write(tmp_path, rows, name="a.jsonl"):
    path = tmp_path / name
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return str(path)


def read(tmp_path, rows, **options):
    path = write(tmp_path, rows)
    return load_examples(path, "chat", DataSection(train=path, **options))


@pytest.mark.parametrize(
    ("row", "kind"),
    [
        ({"messages": PAIR}, "1 messages"),
        ({"conversations": [{"from": "human", "value": "hi"}, {"from": "gpt", "value": "hello"}]}, "1 ShareGPT"),
        ({"messages": [{"message": "hi"}, {"message": "hello"}]}, "turns without speakers"),
        ({"dialog": ["hi", "hello"]}, "turns without speakers"),
        (
            {"turns": [{"speaker": "USER", "utterance": "hi"}, {"speaker": "SYSTEM", "utterance": "hello"}]},
            "turns of 'speaker' and 'utterance'",
        ),
        ({"instruction": "hi", "output": "hello"}, "pairs of prompt and response"),
        ({"question": "hi", "answer": "hello"}, "pairs of prompt and response"),
        ({"提问": "hi", "回答": "hello"}, "pairs of prompt and response"),
        ({"instruction": "hi", "instances": [{"input": "", "output": "hello"}]}, "instructions with input"),
        ({"prompt": [USER], "completion": [ASSISTANT]}, "1 messages"),
        ({"messages": json.dumps(PAIR)}, "1 messages"),
    ],
)
def test_formats_are_told_from_the_rows_and_stated(tmp_path, row, kind):
    examples, notes = read(tmp_path, [row])
    assert examples == [{"messages": PAIR, "where": f"{tmp_path}/a.jsonl:1"}]
    assert any(kind in note for note in notes)


def test_alpaca_joins_instruction_and_input_and_puts_the_system_turn_first(tmp_path):
    row = {"instruction": "Translate.", "input": "你好", "output": "Hello", "system": "Be brief."}
    bare = {"instruction": "Name a colour.", "input": "", "output": "Red", "system": ""}
    examples, _ = read(tmp_path, [row, bare])
    assert [turn["role"] for turn in examples[0]["messages"]] == ["system", "user", "assistant"]
    assert examples[0]["messages"][1]["content"] == "Translate.\n\n你好"
    assert examples[1]["messages"][0]["content"] == "Name a colour."


def test_several_instances_become_conversations_of_their_own(tmp_path):
    row = {"instruction": "Add.", "instances": [{"input": "1 1", "output": "2"}, {"input": "2 2", "output": "4"}]}
    examples, _ = read(tmp_path, [row])
    assert [example["messages"][1]["content"] for example in examples] == ["2", "4"]


def test_columns_and_keys_of_turns_can_be_named(tmp_path):
    row = {"id": "x", "log": [{"who": "customer", "says": "hi"}, {"who": "agent", "says": "hello"}]}
    examples, _ = read(tmp_path, [row], columns={"messages": "log", "role": "who", "content": "says"})
    assert examples[0]["messages"] == PAIR
    with pytest.raises(DataError, match=r"no key for what is said \(keys: who, says\)"):
        read(tmp_path, [row], columns={"messages": "log"})


def test_csv_and_parquet(tmp_path):
    path = tmp_path / "a.csv"
    path.write_text("q,a\nhi,hello\n", encoding="utf-8")
    section = DataSection(train=str(path), columns={"prompt": "q", "response": "a"})
    assert load_examples(str(path), "chat", section)[0][0]["messages"] == PAIR
    pa = pytest.importorskip("pyarrow")
    from pyarrow import parquet

    table = pa.table({"messages": [PAIR, PAIR], "id": [1, 2]})
    parquet.write_table(table, tmp_path / "a.parquet")
    assert load_examples(str(tmp_path / "a.parquet"), "chat")[0][1]["messages"] == PAIR


def test_tool_turns_and_calls_stay_as_text(tmp_path):
    call = {"type": "function", "function": {"name": "find", "arguments": '{"city": "北京"}'}}
    turns = [
        USER,
        {"role": "assistant", "content": None, "tool_calls": [call]},
        {"role": "tool", "content": "[3]"},
        ASSISTANT,
    ]
    examples, notes = read(tmp_path, [{"messages": turns}])
    found = examples[0]["messages"]
    assert [turn["role"] for turn in found] == ["user", "assistant", "tool", "assistant"]
    assert json.loads(found[1]["content"]) == {"name": "find", "arguments": {"city": "北京"}}
    assert any("1 turns call tools" in note for note in notes)


def test_what_is_said_beside_a_call_is_kept_with_it(tmp_path):
    call = {"function": {"name": "find", "arguments": {}}}
    turns = [USER, {"role": "assistant", "content": "One moment.", "tool_calls": [call]}]
    found, _ = read(tmp_path, [{"messages": turns}])
    assert found[0]["messages"][1]["content"] == 'One moment.\n{"name": "find", "arguments": {}}'


FACT = {"name": "Rome", "attrname": "rivers", "attrvalue": "Tiber"}
CALL = {
    "service": "Events_1",
    "service_call": {"method": "Find", "parameters": {"city": "Rome"}},
    "service_results": [3],
}


def test_knowledge_comes_into_the_system_turn_once(tmp_path):
    turns = [
        USER,
        {**ASSISTANT, "attrs": [FACT, FACT]},
        USER,
        {**ASSISTANT, "attrs": [{**FACT, "attrvalue": "Aniene"}]},
    ]
    examples, notes = read(tmp_path, [{"messages": turns}, {"messages": PAIR}], columns={"knowledge": "attrs"})
    told = {"role": "system", "content": "Rome, rivers: Tiber\nRome, rivers: Aniene"}
    assert examples[0]["messages"] == [told, *PAIR, *PAIR]
    assert examples[1]["messages"] == PAIR
    assert any(note.startswith("1 conversations have the knowledge") for note in notes)
    system = {"role": "system", "content": "Be brief."}
    row = {"messages": [system, USER, {**ASSISTANT, "facts": "The sky is blue."}]}
    examples, _ = read(tmp_path, [row], columns={"knowledge": "facts"})
    assert examples[0]["messages"][0] == {"role": "system", "content": "Be brief.\nThe sky is blue."}
    with pytest.raises(DataError, match=r"turn 2: its knowledge \('facts'\) is neither"):
        read(tmp_path, [{"messages": [USER, {**ASSISTANT, "facts": [3]}]}], columns={"knowledge": "facts"})


def test_calls_become_turns_before_the_answer(tmp_path):
    frames = [{"service": "Hotels_1", "slots": []}, CALL]
    examples, notes = read(
        tmp_path, [{"messages": [USER, {**ASSISTANT, "frames": frames}]}], columns={"calls": "frames"}
    )
    made = [
        {"role": "assistant", "content": '{"name": "Find", "arguments": {"city": "Rome"}}'},
        {"role": "tool", "content": "[3]"},
    ]
    assert examples[0]["messages"] == [USER, *made, ASSISTANT]
    assert any(note.startswith("1 turns stand behind calls") for note in notes)
    own = [{"name": "Find", "arguments": {"city": "Rome"}, "result": "none"}]
    examples, _ = read(tmp_path, [{"messages": [USER, {**ASSISTANT, "made": own}]}], columns={"calls": "made"})
    assert examples[0]["messages"][1:3] == [made[0], {"role": "tool", "content": "none"}]
    for turn, said in (
        ({**USER, "made": own}, "are the user's"),
        ({**ASSISTANT, "made": [{"name": 3}]}, "cannot be read"),
    ):
        turns = [USER, ASSISTANT, turn] if turn["role"] == "user" else [USER, turn]
        with pytest.raises(DataError, match=said):
            read(tmp_path, [{"messages": turns}], columns={"calls": "made"})


def test_knowledge_and_calls_that_are_not_read_are_said(tmp_path):
    turns = [USER, {**ASSISTANT, "attrs": [FACT], "frames": [CALL]}]
    examples, notes = read(tmp_path, [{"messages": turns}, {"messages": [USER, {**ASSISTANT, "frames": []}]}])
    assert examples[0]["messages"] == PAIR
    assert "the knowledge of 1 conversations is passed over: data.columns.knowledge=attrs reads it" in notes
    assert "the calls of 1 conversations is passed over: data.columns.calls=frames reads it" in notes


def test_text_parts_are_joined_and_other_parts_refused(tmp_path):
    parts = [{"type": "text", "text": "h"}, {"type": "text", "text": "i"}]
    assert read(tmp_path, [{"messages": [{**USER, "content": parts}, ASSISTANT]}])[0][0]["messages"] == PAIR
    image = [{"type": "image_url", "image_url": "x"}]
    with pytest.raises(DataError, match="turn 1 \\(user\\) is a list, not a text"):
        read(tmp_path, [{"messages": [{**USER, "content": image}, ASSISTANT]}])


@pytest.mark.parametrize(
    ("turns", "message"),
    [
        ([{"role": "wizard", "content": "x"}], "turn 1: unknown role 'wizard'"),
        ([{"content": "x"}, {"role": "user", "content": "x"}], "unknown role None"),
        ([ASSISTANT, USER], "turn 1: assistant at the start, turns in the wrong order"),
        ([USER, USER, ASSISTANT], "turn 2: user after user"),
        ([USER, ASSISTANT, ASSISTANT], "turn 3: assistant after assistant"),
        ([USER, ASSISTANT, {"role": "system", "content": "x"}], "turn 3: system after assistant"),
        ([USER, {"role": "assistant", "content": "  "}], r"turn 2 \(assistant\) is empty"),
        ([USER, {"role": "assistant", "content": None}], r"turn 2 \(assistant\) is missing"),
        ([USER, {"role": "assistant", "content": 3}], r"turn 2 \(assistant\) is a int, not a text"),
        ([USER, {"role": "assistant", "content": "\ud800"}], "a lone surrogate"),
        ([], "not a list of turns"),
        ("hello", "not a list of turns"),
        ([1, 2], "a turn that is no object"),
        ([USER], "no assistant turn"),
    ],
)
def test_bad_conversations_are_named_and_refused_or_left_out(tmp_path, turns, message):
    rows = [{"messages": PAIR}, {"messages": turns}]
    with pytest.raises(DataError, match=message) as caught:
        read(tmp_path, rows)
    assert "a.jsonl:2" in str(caught.value)
    examples, notes = read(tmp_path, rows, on_error="skip")
    assert len(examples) == 1
    assert any("left out 1 of 2 rows" in note for note in notes)


def test_conversations_without_any_answer_can_be_read_but_not_trained_on(tmp_path):
    path = write(tmp_path, [{"prompt": "hi"}, {"prompt": "who are you?"}])
    assert [len(example["messages"]) for example in load_examples(path, "chat")[0]] == [1, 1]
    with pytest.raises(DataError, match="the train split has no assistant turn"):
        load_splits(DataSection(train=path), "chat")


def test_a_file_without_conversations_says_what_it_wants(tmp_path):
    with pytest.raises(DataError, match=r"none of the columns 'text', 'label' is known to hold the conversation"):
        read(tmp_path, [{"text": "hi", "label": "x"}])


def test_a_question_left_open_is_told(tmp_path):
    notes = read(tmp_path, [{"messages": [*PAIR, USER]}])[1]
    assert any("end with a turn that nobody answers" in note for note in notes)


def test_splits_keep_equal_questions_on_one_side_and_checks_read_conversations():
    def example(number, answer="yes"):
        turns = [{"role": "user", "content": f"Question {number}?"}, {"role": "assistant", "content": answer}]
        return {"messages": turns, "where": f"a:{number}"}

    examples = [example(number % 50, f"answer {number}") for number in range(100)]
    first, second = stratified_split(examples, 0.2, 7)
    assert not {split_key(item) for item in first} & {split_key(item) for item in second}
    assert len(second) == 20
    assert content_key(examples[0]) != content_key(examples[50])
    facts, findings = check_splits({"train": first, "test": [*second, first[0]]}, CheckOptions())
    assert facts["train"]["num_examples"] == 80
    assert [finding.kind for finding in findings] == ["leak"]


def test_a_conversation_as_text():
    assert speak(PAIR) == "user: hi\nassistant: hello" == text_of({"messages": PAIR})
    assert text_of({"text": "x"}) == "x"
    assert has_answer({"messages": PAIR}) and not has_answer({"messages": [USER]})
