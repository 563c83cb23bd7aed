from __future__ import annotations

from fathom.tasks.tags import entity_runs, expand, repair, tag_set


def test_tag_set_puts_o_first():
    assert tag_set(["I-b", "B-a", "O"]) == ("O", "B-a", "I-a", "B-b", "I-b")


def test_types_may_hold_a_dash():
    assert tag_set(["B-creative-work"]) == ("O", "B-creative-work", "I-creative-work")


def test_repair_and_runs():
    tags = ["I-a", "I-a", "O", "B-a", "I-b", "B-b", "B-b", "I-b"]
    assert repair(tags) == ["B-a", "I-a", "O", "B-a", "B-b", "B-b", "B-b", "I-b"]
    assert entity_runs(tags) == [(0, 1, "a"), (3, 3, "a"), (4, 4, "b"), (5, 5, "b"), (6, 7, "b")]
    assert repair(repair(tags)) == repair(tags)


def test_expand():
    assert expand(["B-a", "O", "I-a"], [0, 0, 1, 1, 2]) == ["B-a", "I-a", "O", "O", "I-a"]
