"""Text as it grows: whole characters, and stop strings wherever tokens cut them."""

from __future__ import annotations

import random

import pytest

from fathom.serving.generate.stop import REPLACEMENT, Detokenizer, TextStream, contains_stop, decode_all, open_ending
from tokenizers_for_tests import KINDS, corpus, tokenizer_of

TEXT = "北京 大学 😀 said that 👩‍👩‍👧 café, unbelievable; 阿里巴巴 集团 。 O'Neill's 🇨🇳 naïve"


def tokens_of(kind: str, text: str) -> list[int]:
    return list(tokenizer_of(kind)(text, add_special_tokens=False)["input_ids"])


@pytest.mark.parametrize("kind", KINDS)
def test_pieces_are_whole_characters_and_their_sum_is_the_text(kind: str) -> None:
    tokenizer = tokenizer_of(kind)
    for text in (TEXT, *corpus()[:40]):
        ids = tokens_of(kind, text)
        for cut in (0, len(ids) // 2):
            detokenizer = Detokenizer(tokenizer, ids[:cut])
            pieces = [detokenizer.add(token) for token in ids[cut:]]
            pieces.append(detokenizer.finish())
            assert not any(REPLACEMENT in piece for piece in pieces)
            assert "".join(pieces) == decode_all(tokenizer, ids[:cut], ids[cut:])


def test_a_byte_level_text_comes_back_whole() -> None:
    ids = tokens_of("byte-level", TEXT)
    assert decode_all(tokenizer_of("byte-level"), [], ids) == TEXT
    half = len(ids) // 2
    before = tokenizer_of("byte-level").decode(ids[:half]).rstrip(REPLACEMENT)
    assert (before + decode_all(tokenizer_of("byte-level"), ids[:half], ids[half:])).replace(REPLACEMENT, "") in TEXT


def test_text_goes_on_with_its_space() -> None:
    """A word's own space is part of it after a prompt, and no part of it at a beginning."""
    ids = tokens_of("unigram", "Smith said")
    tokenizer = tokenizer_of("unigram")
    place = next(number for number in range(1, len(ids)) if tokenizer.decode(ids[:number]) == "Smith")
    assert decode_all(tokenizer, ids[:place], ids[place:]) == " said"
    assert decode_all(tokenizer, [], ids[place:]) == "said"


def test_a_character_cut_off_at_the_end_is_left_out() -> None:
    ids = tokens_of("byte-level", "a 龘")
    for cut in range(1, len(ids)):
        text = decode_all(tokenizer_of("byte-level"), [], ids[:cut])
        assert REPLACEMENT not in text
        assert "a 龘".startswith(text)


@pytest.mark.parametrize("kind", ["byte-level", "unigram", "minilm"])
def test_stop_strings_across_tokens(kind: str) -> None:
    tokenizer = tokenizer_of(kind)
    draw = random.Random(5)
    ids = tokens_of(kind, TEXT)
    whole = decode_all(tokenizer, [], ids)
    for _ in range(150):
        start = draw.randrange(len(whole) - 2)
        stop = [whole[start : start + draw.randint(1, 9)], "never said"]
        stream = TextStream(Detokenizer(tokenizer), stop)
        shown = ""
        for token in ids:
            shown += stream.add(token)
            assert stop[0] not in shown
            if stream.stopped:
                break
        shown += stream.finish()
        assert stream.stopped
        assert shown == whole[: whole.find(stop[0])]


def test_what_may_become_a_stop_string_is_withheld() -> None:
    tokenizer = tokenizer_of("byte-level")
    stream = TextStream(Detokenizer(tokenizer), ["\nUser:", "END"])
    seen = ""
    for token in tokens_of("byte-level", "one\nUs"):
        seen += stream.add(token)
    assert seen == "one"
    for token in tokens_of("byte-level", "eful"):
        seen += stream.add(token)
    assert seen == "one\nUseful"
    for token in tokens_of("byte-level", " EN"):
        seen += stream.add(token)
    assert seen == "one\nUseful "
    assert seen + stream.finish() == "one\nUseful EN"
    assert not stream.stopped


def test_the_earliest_of_several_ends_the_text() -> None:
    stream = TextStream(Detokenizer(tokenizer_of("byte-level")), ["said", "Dr", "r. s"])
    shown = "".join(stream.add(token) for token in tokens_of("byte-level", "the Dr. said"))
    assert shown == "the "
    assert stream.finish() == ""


def test_open_endings() -> None:
    assert open_ending("one tw", ["two", "www"]) == 2
    assert open_ending("two", ["two"]) == 0  # that is no beginning, it is all of it
    assert open_ending("", ["two"]) == open_ending("abc", []) == 0


def test_a_stop_string_is_found_when_its_last_token_comes() -> None:
    tokenizer = tokenizer_of("byte-level")
    ids = tokens_of("byte-level", "x" * 90 + "北京大学")
    hits = [contains_stop(tokenizer, ids[:end], ["京大"]) for end in range(1, len(ids) + 1)]
    assert any(hits)
    assert "京大" in tokenizer.decode(ids[: hits.index(True) + 1])
    assert not contains_stop(tokenizer, ids, [])
