"""What check and preview say about a corpus."""

from __future__ import annotations

from pathlib import Path

import pytest

from fathom.errors import ConfigError, DataError
from fathom.runs.data import check, preview
from languages_for_tests import WORDS, make_tokenizer


@pytest.fixture
def recipe(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("FATHOM_CACHE", str(tmp_path / "cache"))
    make_tokenizer().save_pretrained(tmp_path / "tokenizer")
    (tmp_path / "train.txt").write_text("\n".join([" ".join(WORDS[:30])] * 8), encoding="utf-8")
    file = tmp_path / "job.yaml"
    file.write_text(
        f"model: {{kind: new, architecture: bert, depth: 2, tokenizer: '{tmp_path / 'tokenizer'}'}}\n"
        f"data: {{train: '{tmp_path / 'train.txt'}', document_separator: line, max_length: 16}}\n"
        "task: masked-lm\n",
        encoding="utf-8",
    )
    return file


def test_check_counts_documents_and_finds_what_is_missing(recipe: Path) -> None:
    report = check(str(recipe))
    assert report.exit_code == 0
    assert "train: 8 documents" in report.to_text()
    assert ("duplicates", 7) in [(finding.kind, finding.count) for finding in report.findings]
    mixed = check(str(recipe), ["data.mixture={'helpdesk:intents#9': 0.5}", "data.test=nowhere.txt"])
    assert list(mixed.splits) == ["train", "mixture helpdesk:intents#9"]
    assert mixed.exit_code == 2


def test_preview_shows_a_window_with_what_is_to_be_guessed(recipe: Path) -> None:
    found = preview(str(recipe), ["task.mask_probability=0.5"])
    (window,) = found.windows
    assert len(window) <= 16
    assert window[0].token == "[CLS]"
    guessed = [token for token in window if token.label is not None]
    assert guessed
    assert all(token.label in WORDS for token in guessed)
    with pytest.raises(DataError, match="no window 10000"):
        preview(str(recipe), index=10_000)


def test_preview_shows_what_each_side_of_an_encoder_decoder_reads(recipe: Path) -> None:
    edits = ["task=span-denoising", "model.architecture=t5"]
    source, target = preview(str(recipe), edits).windows
    for window in (source, target):
        assert "<extra_id_0>" in [token.token for token in window]


def test_a_file_alone_is_read_as_a_corpus_where_the_task_says_so(recipe: Path, tmp_path: Path) -> None:
    text = str(tmp_path / "train.txt")
    edits = ["task=masked-lm", "document_separator=line"]
    assert "train: 8 documents" in check(text, edits).to_text()
    (tmp_path / "binary.txt").write_bytes(b"words\0words")
    found = check(str(tmp_path / "binary.txt"), ["task=causal-lm"])
    assert found.exit_code == 2
    assert "a NUL byte at byte 5" in found.to_text()
    with pytest.raises(ConfigError, match="none is named") as caught:
        preview(text, edits)
    assert "model=" in str(caught.value.mend)
    model = f"{{kind: new, architecture: bert, depth: 2, tokenizer: '{tmp_path / 'tokenizer'}'}}"
    shown = preview(text, [*edits, f"model={model}", "max_length=16"])
    assert shown.windows == preview(str(recipe)).windows
