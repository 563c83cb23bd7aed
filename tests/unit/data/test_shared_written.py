"""The shared sets of translations and summaries load as they are."""

from __future__ import annotations

from pathlib import Path

import pytest

from fathom.data.load import load_examples, load_splits
from fathom.data.section import DataSection
from fathom.data.split import split_key
from fathom.runs.guess import guess_data

SHARED = Path(__file__).resolve().parents[4] / "shared" / "data"
pytestmark = pytest.mark.skipif(not SHARED.is_dir(), reason="the shared data folder is not beside the repository")


@pytest.mark.parametrize(
    ("path", "columns", "count", "references"),
    [
        ("tatoeba_cmn_eng/cmn.txt", {}, 21_116, 21_116),
        ("scitldr/SciTLDR-A/train.jsonl", {}, 1_992, 1_992),
        ("scitldr/SciTLDR-A/dev.jsonl", {}, 619, 1_453),
        ("csl/ts/dev.tsv", {"source": 1, "target": 2}, 1_000, 1_000),
    ],
)
def test_shared_pairs(path, columns, count, references):
    section = DataSection(train=f"{SHARED}/{path}", columns=columns)
    examples, notes = load_examples(section.train, "writing", section)
    assert len(examples) == count
    assert sum(len(example["references"]) for example in examples) == references
    assert notes


def test_a_sentence_with_several_translations_stays_on_one_side():
    splits = load_splits(DataSection(train=f"{SHARED}/tatoeba_cmn_eng/cmn.txt#6000"), "writing")
    train, validation = ({split_key(example) for example in part} for part in (splits.train, splits.validation))
    assert len(splits.validation) > 500
    assert not train & validation


def test_what_they_are_for_is_told():
    assert guess_data(f"{SHARED}/tatoeba_cmn_eng/cmn.txt").problem == "translation"
    assert guess_data(f"{SHARED}/scitldr/SciTLDR-A/dev.jsonl").problem == "summarization"
