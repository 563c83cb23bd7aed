from __future__ import annotations

from fathom.cli.tables import scores_text, table_text


def test_columns_are_aligned_for_wide_characters_too():
    lines = table_text(["label", "count"], [["好", 5], ["plain", 12]]).splitlines()
    assert lines[1] == "好         5"
    assert lines[2] == "plain     12"


def test_scores_show_nested_tables():
    text = scores_text(
        {"accuracy": 0.91, "per_class": {"a": {"f1": 0.5, "support": 3}, "b": {"f1": 1.0, "support": 4}}}
    )
    assert "accuracy" in text.splitlines()[0]
    assert "support" in text
    assert text.splitlines()[-1].split() == ["b", "1", "4"]
