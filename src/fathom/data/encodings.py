"""Bytes to text: the encoding is detected and stated, and no character is ever replaced silently."""

from __future__ import annotations

import codecs
import re
from dataclasses import dataclass

from fathom.data.readers.problems import Problems
from fathom.errors import DataError

_MARKS = (
    (codecs.BOM_UTF8, "utf-8", "UTF-8 with byte order mark"),
    (codecs.BOM_UTF32_LE, "utf-32-le", "UTF-32 LE"),
    (codecs.BOM_UTF32_BE, "utf-32-be", "UTF-32 BE"),
    (codecs.BOM_UTF16_LE, "utf-16-le", "UTF-16 LE"),
    (codecs.BOM_UTF16_BE, "utf-16-be", "UTF-16 BE"),
)
_COMMON_CHINESE = frozenset(
    "的一是不了在人有我他这个们中来上大为和国地到以说时要就出会可也你对生能而子那得于着下自之年过发后作里用道行所然家种事"
    "成方多经么去法学如都同现当没动面起看定天分还进好小部其些主样理心她本前开但因只从想实日军者意无力它与长把机十民第公此"
    "已工使情明性知全三又关点正业外将两高间由问很最重并物手应战向头文体政美相见被利什二等产或新己制身果加西斯月话合回特代"
    "内信表化老给世位次度门任常先海通教儿原东声提立及比员解水名真论处走义各入几口认条平系气题活尔更别打女变四神总何电数安"
)
_PLAIN = frozenset(b"\t\n\r !\"'(),-.:;?")
_MEND_ENCODING = "save the file as UTF-8, or say its encoding: data.encoding=..."


@dataclass(frozen=True)
class Decoded:
    """Text and how it was got.

    Attributes:
        text: Line ends as in the file, without byte order mark.
        encoding: Name of the codec.
        notes: What to tell the user; empty for plain UTF-8.
    """

    text: str
    encoding: str
    notes: tuple[str, ...] = ()


def decode(data: bytes, path: str, encoding: str | None = None) -> Decoded:
    """Decode a file.

    Args:
        data: The whole file.
        path: Its name, for messages.
        encoding: What the user says it is; None detects it.

    Raises:
        DataError: The bytes are not in the encoding, or it cannot be told; with the lines.
    """
    if encoding is not None:
        return _decode_stated(data, path, encoding)
    for mark, codec, name in _MARKS:
        if data.startswith(mark):
            text = _strict(data[len(mark) :], codec, path, name)
            return _clean(text, codec, f"read as {name}")
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError:
        return _decode_other(data, path)
    wide = _wide_codec(data, 0.25)
    if wide is not None:
        return _clean(_strict(data, wide, path, wide), wide, f"read as {wide.upper()} (no byte order mark)")
    return _clean(text, "utf-8", None)


def refuse_characters(text: str, problems: Problems) -> None:
    """Note every line that holds a NUL character."""
    if "\x00" in text:
        for number, line in enumerate(re.split(r"\r\n|\r|\n", text), 1):
            if "\x00" in line:
                problems.add(
                    f"a NUL character after {line.partition(chr(0))[0][-20:]!r}",
                    "remove the NUL characters",
                    line=number,
                )


def bad_character(value: str) -> str | None:
    """Name what makes a text unusable: a lone surrogate or a NUL; None when it is fine."""
    if "\x00" in value:
        return "a NUL character"
    if value.isascii():
        return None
    try:
        value.encode("utf-8")
    except UnicodeEncodeError as error:
        return f"a lone surrogate (U+{ord(value[error.start]):04X}), half of a character,"
    return None


def _clean(text: str, codec: str, note: str | None) -> Decoded:
    """Drop byte order marks that begin the file or a line (files put end to end); others are characters of the text."""
    notes = [note] if note else []
    text = text.lstrip("\ufeff")
    if "\ufeff" in text:
        text, count = re.subn("(?<=[\n\r])\ufeff+(?!\\s)", "", text)
        if count:
            notes.append(f"{count} byte order marks (U+FEFF) that begin a line were left out")
        if "\ufeff" in text:
            line = text.count("\n", 0, text.index("\ufeff")) + 1
            notes.append(
                f"the invisible character U+FEFF stands within {text.count(chr(0xFEFF))} texts, first in line {line}"
            )
    return Decoded(text, codec, tuple(notes))


def _decode_stated(data: bytes, path: str, encoding: str) -> Decoded:
    mend = "for example utf-8, gb18030, utf-16, latin-1"
    try:
        info = codecs.lookup(encoding)
        "".encode(encoding)
    except LookupError:
        raise DataError(f"no encoding of text is called '{encoding}'", where="data.encoding", mend=mend) from None
    return _clean(_strict(data, info.name, path, encoding), info.name, f"read as {info.name} (stated)")


def _strict(data: bytes, codec: str, path: str, name: str) -> str:
    try:
        return data.decode(codec)
    except UnicodeDecodeError as error:
        if codec.startswith(("utf-16", "utf-32")):
            line = data[: error.start].decode(codec, "replace").count("\n") + 1
            raise DataError(
                f"not {name}: bytes {error.start}-{error.end - 1} ({error.reason})",
                where=f"{path}:{line}",
                mend="the file is cut or damaged; get it again",
            ) from None
        raise _undecodable(data, codec, path, f"not {name}").error() from None


def _undecodable(data: bytes, codec: str, path: str, message: str) -> Problems:
    problems = Problems(path)
    for number, line in enumerate(data.split(b"\n"), 1):
        try:
            line.decode(codec)
        except UnicodeDecodeError as error:
            shown = line[max(0, error.start - 12) : error.start + 6]
            problems.add(f"{message}: byte 0x{line[error.start]:02x} in {shown!r}", _MEND_ENCODING, line=number)
    if not len(problems):
        problems.add(message, _MEND_ENCODING)
    return problems


def _wide_codec(data: bytes, least_share: float) -> str | None:
    """Tell UTF-16 without byte order mark by where the zero bytes stand."""
    if len(data) < 4 or len(data) % 2:
        return None
    even, odd = data[::2].count(0), data[1::2].count(0)
    half = len(data) / 2
    if odd > 10 * even and odd / half >= least_share:
        return "utf-16-le"
    if even > 10 * odd and even / half >= least_share:
        return "utf-16-be"
    if not even and not odd:
        return None
    # One byte of 一, 开 and others is zero too, and in the other place: Chinese text with Latin in it has many of both.
    # White space and punctuation tell, as no usual character is written with one of their bytes and a zero behind it.
    little, big = _num_plain(data[::2], data[1::2]), _num_plain(data[1::2], data[::2])
    if max(little, big) / half < least_share or max(little, big) <= 10 * min(little, big):
        return None
    return "utf-16-le" if little > big else "utf-16-be"


def _num_plain(characters: bytes, zeros: bytes) -> int:
    """Count the places that hold white space or punctuation of ASCII in one half and zero in the other."""
    return sum(not zero and character in _PLAIN for character, zero in zip(characters, zeros, strict=True))


def _decode_other(data: bytes, path: str) -> Decoded:
    wide = _wide_codec(data, 0.005)
    if wide is not None:
        try:
            return _clean(data.decode(wide), wide, f"read as {wide.upper()} (no byte order mark)")
        except UnicodeDecodeError:
            pass
    foreign = [line for line in data.split(b"\n") if not line.isascii()]
    valid = sum(1 for line in foreign if _decodes(line, "utf-8"))
    if valid * 5 >= len(foreign):
        raise _undecodable(
            data, "utf-8", path, "not UTF-8 although other lines are (damaged or mixed encodings)"
        ).error()
    try:
        text = data.decode("gb18030")
    except UnicodeDecodeError:
        raise _undecodable(data, "utf-8", path, f"not UTF-8, nor GB18030{_guess(data)}").error() from None
    if not _plausible_chinese(text):
        problems = _undecodable(data, "utf-8", path, f"not UTF-8, and not plainly Chinese in GB18030{_guess(data)}")
        raise problems.error()
    return _clean(text, "gb18030", "read as GB18030 (detected)")


def _decodes(data: bytes, codec: str) -> bool:
    try:
        data.decode(codec)
    except UnicodeDecodeError:
        return False
    return True


def _plausible_chinese(text: str) -> bool:
    """Whether text decoded as GB18030 reads like Chinese and not like another encoding read wrongly.

    Latin and Japanese or Traditional encodings give characters outside GB 2312; Korean gives rare ones.
    """
    foreign = [character for character in text if ord(character) > 127]
    usual = "".join(foreign).encode("gb2312", "ignore").decode("gb2312")
    if len(usual) < 0.9 * len(foreign):
        return False
    if len(foreign) < 50:
        return True
    return sum(character in _COMMON_CHINESE for character in foreign) >= 0.1 * len(foreign)


def _guess(data: bytes) -> str:
    from charset_normalizer import from_bytes

    best = from_bytes(data[:100_000]).best()
    return f" (it may be {best.encoding})" if best is not None and best.encoding not in {"utf_8", "ascii"} else ""
