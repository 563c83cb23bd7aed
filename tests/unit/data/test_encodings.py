"""Encodings are detected and stated; the text is never changed silently."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fathom.data.encodings import bad_character, decode
from fathom.data.load import load_examples
from fathom.errors import DataError

TEXT = "text,label\n我的订单还没有到，请问什么时候发货,物流\nplain words,other\n"


@pytest.mark.parametrize(
    ("data", "note"),
    [
        (TEXT.encode(), None),
        (TEXT.encode("utf-8-sig"), "UTF-8 with byte order mark"),
        (TEXT.encode("utf-16"), "UTF-16 LE"),
        (b"\xfe\xff" + TEXT.encode("utf-16-be"), "UTF-16 BE"),
        (TEXT.encode("utf-16-le"), "UTF-16-LE (no byte order mark)"),
        (TEXT.encode("utf-16-be"), "UTF-16-BE (no byte order mark)"),
        (TEXT.encode("utf-32"), "UTF-32 LE"),
        (TEXT.encode("gb18030"), "GB18030 (detected)"),
        (TEXT.encode("gbk"), "GB18030 (detected)"),
    ],
)
def test_detected(data, note):
    decoded = decode(data, "a.csv")
    assert decoded.text == TEXT
    assert (note is None and not decoded.notes) or note in decoded.notes[0]


def test_a_byte_order_mark_is_no_part_of_the_first_column(tmp_path):
    for encoding in ("utf-8-sig", "utf-16", "gb18030"):
        path = tmp_path / "a.csv"
        path.write_bytes(TEXT.encode(encoding))
        examples, notes = load_examples(str(path), "text")
        assert examples[0]["label"] == "物流"
        assert any("read as" in note for note in notes)


def test_ascii_and_a_nul_are_no_utf_16():
    assert decode(b"text,label\nab,x\n", "a").encoding == "utf-8"
    assert decode(b"text,label\na\x00b,x\n", "a").encoding == "utf-8"


def test_marks_where_files_were_put_end_to_end():
    decoded = decode("\ufeff\ufeffa,b\n\ufeffc,d\ne\ufefff,g\n".encode(), "a")
    assert decoded.text == "a,b\nc,d\ne\ufefff,g\n"
    assert any("begin a line" in note for note in decoded.notes)
    assert any("stands within 1 texts, first in line 3" in note for note in decoded.notes)


def test_stated_encodings():
    assert decode("é\n".encode("latin-1"), "a", "latin-1").text == "é\n"
    with pytest.raises(DataError, match=r"b\.csv:2"):
        decode("ok\né\n".encode("latin-1"), "b.csv", "utf-8")


@given(st.binary(max_size=60))
@settings(max_examples=300, deadline=None)
def test_any_bytes_are_decoded_exactly_or_refused(data):
    try:
        decoded = decode(data, "a")
    except DataError as error:
        assert error.mend and "a" in str(error.where)
    else:
        if not decoded.notes:
            assert decoded.text.encode(decoded.encoding) == data


def test_bad_characters():
    assert bad_character("fine 好 🙂") is None
    assert "NUL" in str(bad_character("a\x00"))
    assert "U+D83D" in str(bad_character("好\ud83d"))
