"""The shared sets of conversations load as they are."""

from __future__ import annotations

from pathlib import Path

import pytest

from fathom.data.load import load_examples
from fathom.data.section import DataSection

SHARED = Path(__file__).resolve().parents[4] / "shared" / "data"
pytestmark = pytest.mark.skipif(not SHARED.is_dir(), reason="the shared data folder is not beside the repository")


@pytest.mark.parametrize(
    ("path", "count", "turns"),
    [
        ("kdconv/music/dev.json", 150, 2_772),
        ("kdconv/travel/dev.json", 150, 2_691),
        ("sgd/train/dialogues_015.json", 128, 1_460),
        ("self_instruct_seed/seed_tasks.jsonl", 175, 350),
        ("self_instruct_seed/user_oriented_instructions.jsonl", 252, 504),
        ("gsm8k/train.head2000.jsonl", 2_000, 4_000),
    ],
)
def test_shared_conversations(path, count, turns):
    examples, notes = load_examples(f"{SHARED}/{path}", "chat")
    assert len(examples) == count
    assert sum(len(example["messages"]) for example in examples) == turns
    assert any(note.startswith("conversations: ") for note in notes)
    for example in examples:
        roles = [turn["role"] for turn in example["messages"]]
        assert roles[:2] == ["user", "assistant"]


def test_knowledge_and_calls_of_the_shared_sets():
    music, notes = load_examples(f"{SHARED}/kdconv/music/dev.json", "chat")
    assert any("data.columns.knowledge=attrs" in note for note in notes)
    grounded, _ = load_examples(
        f"{SHARED}/kdconv/music/dev.json", "chat", DataSection(train="x", columns={"knowledge": "attrs"})
    )
    assert [item["messages"][1:] for item in grounded] == [item["messages"] for item in music]
    assert "主要成就" in grounded[0]["messages"][0]["content"]
    path = f"{SHARED}/sgd/train/dialogues_015.json"
    called, notes = load_examples(path, "chat", DataSection(train="x", columns={"calls": "frames"}))
    assert sum(turn["role"] == "tool" for item in called for turn in item["messages"]) == 155
    assert any(note.startswith("155 turns stand behind calls") for note in notes)
