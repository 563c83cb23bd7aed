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


def test_a_finished_run_says_scores_classes_effort_and_what_is_next(tmp_path):
    from fathom.cli.summary import run_text

    classes = {"good": {"precision": 0.5, "recall": 1.0, "f1": 0.6667, "support": 3}}
    metrics = {
        "main_metric": "accuracy",
        "steps": 1200,
        "before": {"loss": 1.0, "accuracy": 0.25},
        "validation": {"loss": 0.5, "accuracy": 0.75, "per_class": classes},
        "test": {"loss": 0.5, "accuracy": 0.5, "per_class": classes},
        "parameters": {"trainable": 10, "total": 1000},
        "timing": {"train_seconds": 61.0, "real_tokens_per_s": 2400.0, "peak_memory_bytes": 10**9},
    }
    text = run_text(tmp_path, metrics)
    lines = text.splitlines()
    assert lines[0].split() == ["score", "before", "validation", "test"]
    assert lines[1].split() == ["accuracy", "0.2500", "0.7500", "0.5000"]
    assert "good      0.5000  1.0000  0.6667        3" in text
    assert (
        "1,200 steps, 10 of 1,000 parameters learned, 1:01 of training, 2,400 real tokens/s, peak memory 1.00 GB"
        in text
    )
    assert f"fathom predict {tmp_path}/model" in text
