"""Whether a file holds conversations or texts, for a model that chats."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from fathom.runs.conversations import holds_conversations


@pytest.mark.parametrize(
    "row,columns,expected",
    [
        ({"messages": []}, {}, True),
        ({"log": []}, {"messages": "log"}, True),
        ({"text": "a"}, {"messages": "log"}, False),
        ({"text": "a", "question": "b"}, {}, False),
        ({"text": "a", "messages": []}, {}, True),
        ({"question": "b"}, {}, True),
        ({"q": "b"}, {"prompt": "q"}, True),
        ({"said": "a", "question": "b"}, {"text": "said"}, False),
    ],
)
def test_the_names_of_the_file_say_so(
    row: dict[str, Any], columns: dict[str, str], expected: bool, tmp_path: Path
) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_text(json.dumps(row) + "\n", encoding="utf-8")
    assert holds_conversations(path, columns) is expected
