from __future__ import annotations

import pytest

from fathom import catalog
from fathom.data.helpdesk import generate
from fathom.data.load import load_examples, load_splits
from fathom.data.readers.helpdesk import HelpdeskReader
from fathom.data.section import DataSection
from fathom.errors import DataError


def read(path, form):
    return HelpdeskReader().read(path, form, DataSection(train=path))


def test_paths():
    assert catalog.load("reader", "helpdesk") is HelpdeskReader
    assert [row["text"] for row in read("helpdesk:intents#20", "text").examples] == [
        row["text"] for row in generate("intents", "train", 20)
    ]
    chinese = read("helpdesk:entities/test@zh#30", "spans")
    assert [row["tags"] for row in chinese.examples] == [
        row["tags"] for row in generate("entities", "test", 30, language="zh")
    ]
    assert chinese.examples == read("helpdesk:entities/test#30@zh", "spans").examples
    assert len(chinese.digest) == 64 and "language zh" in chinese.notes[0]
    assert set(chinese.examples[0]) == {"text", "words", "tags", "language", "where"}


@pytest.mark.parametrize(
    ("path", "form", "message"),
    [
        ("helpdesk:intent", "text", "did you mean 'intents'"),
        ("helpdesk:intents/tests", "text", "did you mean 'test'"),
        ("helpdesk:intents@fr", "text", "known: both, en, zh"),
        ("helpdesk:entities", "text", "write helpdesk:intents"),
        ("helpdesk:intents", "spans", "write helpdesk:entities"),
        ("helpdesk:intents#0", "text", "sample of 0 rows"),
        ("helpdesk:", "text", "not a helpdesk path"),
    ],
)
def test_wrong_paths_are_refused_with_a_mend(path, form, message):
    with pytest.raises(DataError, match=message):
        read(path, form)


def test_a_recipe_can_name_it():
    splits = load_splits(
        DataSection(
            train="helpdesk:intents@en#100",
            validation="helpdesk:intents/validation@en",
            test="helpdesk:intents/test@en",
        ),
        "text",
    )
    assert (len(splits.train), len(splits.validation), len(splits.test)) == (100, 400, 800)
    examples, notes = load_examples("helpdesk:entities/validation", "spans")
    assert len(examples) == 400 and notes
