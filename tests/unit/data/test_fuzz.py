"""Whatever stands in a file, a reader gives examples that keep their promises, or a `DataError` with a mend.

So do `init` and `data check`.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fathom.data.load import load_examples
from fathom.errors import DataError
from fathom.runs.data import check
from fathom.runs.guess import guess_data

PIECES = st.sampled_from(
    ["text", "label", ",", "\t", "\n", "\r\n", "\r", '"', '""', "a", "好", " ", "{", "}", "[", "]", ":",
     '{"text": "a", ', '"label": "x"}', "B-X", "I-X", "O", "#", "-DOCSTART-", "\x00",
     "\ufeff", "1", "NaN", "null", ";", '"tokens"', "é"]
)  # fmt: skip


@pytest.mark.parametrize("suffix", ["csv", "tsv", "jsonl", "json", "conll"])
@pytest.mark.parametrize("form", ["text", "spans"])
@given(pieces=st.lists(PIECES, max_size=25), head=st.sampled_from(["", "text,label\n", "text\tlabel\n", "a\tO\n"]))
@settings(max_examples=60, deadline=None)
def test_any_file_is_read_or_refused(suffix, form, pieces, head):
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"data.{suffix}"
        path.write_bytes((head + "".join(pieces)).encode())
        try:
            examples, _ = load_examples(str(path), form)
        except DataError as error:
            assert error.mend and f"data.{suffix}" in str(error.where)
            return
    assert examples
    for example in examples:
        assert example["text"].strip() and "\x00" not in example["text"]
        assert example["where"].startswith(f"{path}:")
        if "words" in example:
            assert all(0 <= start < end <= len(example["text"]) for start, end in example["words"])
        if "tags" in example:
            assert len(example["tags"]) == len(example["words"])
            assert all(tag == "O" or tag[:2] in {"B-", "I-"} for tag in example["tags"])


@pytest.mark.parametrize("suffix", ["csv", "tsv", "jsonl", "json", "conll", "parquet", "txt"])
@given(pieces=st.lists(PIECES, max_size=25), head=st.sampled_from(["", "text,label\n", "text;label\n", "a\tO\n"]))
@settings(max_examples=60, deadline=None)
def test_any_file_is_guessed_and_checked_or_refused(suffix, pieces, head):
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"data.{suffix}"
        path.write_bytes((head + "".join(pieces)).encode())
        for look in (guess_data, check):
            try:
                found = look(str(path))
            except DataError as error:
                assert error.mend and f"data.{suffix}" in str(error.where)
            else:
                assert found is not None
