"""A larger vocabulary for a tokenizer that exists: given tokens, or pieces learnt from the text of a domain.

Old tokens keep their ids. Given tokens are added as transformers adds them (`add_tokens`): they are found in a text
before it is cut. Learnt pieces become part of the vocabulary itself: merging goes on where the old tokenizer stopped,
on the pieces it gives, so each new piece is two neighbours joined, and text without them is cut as before (in
WordPiece, which takes the longest known piece first, a new piece can also begin a word it was not learnt from).
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from fathom.errors import DataError, ModelError
from fathom.tokenization.algorithms import CONTINUING
from fathom.tokenization.corpus import Corpus, feed
from fathom.tokenization.encode import clean_backend
from fathom.tokenization.load import load_tokenizer
from fathom.tokenization.words import has_han

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

TOKENIZER_FILE = "tokenizer.json"
_MARKS = ("▁", "Ġ")
"""Begin a piece that begins a word."""
_FIRST_CODE = 0x100
_SURROGATES = (0xD800, 0x800)
_SEPARATOR = "\n"
_SPARE = 64
_LONGEST_RUN = 512
"""Pieces that are joined as one word: the library's trainer takes the square of it in time."""
_LEAST_FREQUENCY = 2
_PREFERRED = 1e-4
"""How much likelier a new unigram piece is than its parts together: enough to be taken wherever they stand together."""


@dataclass(frozen=True)
class NewToken:
    """One new token: its id, its text in the vocabulary, and the old tokens that stood in its place."""

    id: int
    token: str
    pieces: tuple[int, ...]


@dataclass(frozen=True)
class Extended:
    """A tokenizer with more tokens."""

    tokenizer: PreTrainedTokenizerBase
    new: tuple[NewToken, ...]
    known: tuple[str, ...] = ()
    """Given tokens it had already, or that were given twice in other letters."""


@dataclass(frozen=True)
class _Joined:
    left: str
    right: str
    token: str
    pieces: tuple[int, ...]
    is_new: bool


def add_given(tokenizer: PreTrainedTokenizerBase, tokens: Sequence[str]) -> Extended:
    """Add tokens as they are written; a word of letters only matches a whole word, Chinese matches anywhere.

    The tokenizer given is changed.

    Raises:
        DataError: There are no tokens, or one of them is nothing to this tokenizer.
    """
    from tokenizers import AddedToken

    backend = clean_backend(tokenizer)
    vocabulary = tokenizer.get_vocab()
    normalize = (lambda text: text) if backend.normalizer is None else backend.normalizer.normalize_str
    fresh: list[str] = []
    known: list[str] = []
    seen = set(vocabulary)
    for token in filter(None, dict.fromkeys(tokens)):
        # Written otherwise it is the same token to this tokenizer, and would take the place of the one there is.
        forms = {token, normalize(token).strip()}
        (fresh if seen.isdisjoint(forms) else known).append(token)
        seen |= forms
    if not fresh:
        raise DataError(
            "there is no new token to add" if not known else "every token given is in the vocabulary already",
            mend="give tokens the tokenizer does not have, one a line",
        )
    pieces = [tuple(backend.encode(token, add_special_tokens=False).ids) for token in fresh]
    for token, parts in zip(fresh, pieces, strict=True):
        if not parts:
            raise DataError(f"the token {token!r} is nothing to this tokenizer", mend="leave it out")
    tokenizer.add_tokens(
        [
            AddedToken(
                token,
                single_word=token.isalnum() and not has_han(token),
                # Only then is it found where the text was written otherwise, in capitals for one.
                normalized=normalize(token).strip() != token,
                special=False,
            )
            for token in fresh
        ]
    )
    ids = [int(number) for number in tokenizer.convert_tokens_to_ids(fresh)]
    new = tuple(NewToken(*item) for item in zip(ids, fresh, pieces, strict=True))
    return Extended(tokenizer, new, tuple(known))


def add_markers(tokenizer: PreTrainedTokenizerBase, markers: Sequence[str]) -> Extended:
    """Add tokens that stand for no text (marks around entities), found exactly as they are written.

    The tokenizer given is changed; markers it has already are left alone.
    """
    from tokenizers import AddedToken

    vocabulary = tokenizer.get_vocab()
    known = tuple(marker for marker in markers if marker in vocabulary)
    fresh = [marker for marker in dict.fromkeys(markers) if marker not in vocabulary]
    backend = clean_backend(tokenizer)
    pieces = [tuple(backend.encode(marker, add_special_tokens=False).ids) for marker in fresh]
    tokenizer.add_tokens([AddedToken(marker, normalized=False, special=True) for marker in fresh], special_tokens=True)
    ids = [int(number) for number in tokenizer.convert_tokens_to_ids(fresh)]
    return Extended(tokenizer, tuple(NewToken(*item) for item in zip(ids, fresh, pieces, strict=True)), known)


def learn_more(tokenizer: PreTrainedTokenizerBase, corpus: Corpus, size: int, folder: Path) -> Extended:
    """Learn new pieces from a corpus, by joining the pieces the tokenizer cuts it into.

    Args:
        tokenizer: A fast tokenizer.
        corpus: The text of a domain.
        size: New tokens wanted.
        folder: An empty folder the new tokenizer is written to and loaded from.

    Raises:
        ModelError: The tokenizer is of a kind that cannot go on learning.
        DataError: The corpus does not support so many; says how many it does.
    """
    state = json.loads(tokenizer.backend_tokenizer.to_str())
    if state["model"]["type"] not in ("BPE", "WordPiece", "Unigram"):
        raise ModelError(
            f"a {state['model']['type']} vocabulary is not made of pieces that could be joined",
            mend="give the new tokens with --tokens",
        )
    vocabulary = tokenizer.get_vocab()
    joined = _join_pieces(tokenizer, vocabulary, corpus, size)
    num_new = sum(item.is_new for item in joined)
    if num_new < size:
        raise DataError(
            f"the corpus supports {num_new:,} new tokens and {size:,} were asked for",
            where=corpus.name,
            mend=f"give {num_new:,} or fewer, or more text",
        )
    first_id = max(vocabulary.values()) + 1
    new = tuple(
        NewToken(first_id + number, item.token, item.pieces)
        for number, item in enumerate(item for item in joined if item.is_new)
    )
    _fill_up(state, vocabulary, first_id)
    _EXTENDERS[state["model"]["type"]](state["model"], joined, new)
    tokenizer.save_pretrained(str(folder))
    (folder / TOKENIZER_FILE).write_text(json.dumps(state, ensure_ascii=False, indent=2), encoding="utf-8")
    extended = load_tokenizer(folder)
    assert extended.convert_tokens_to_ids([item.token for item in new]) == [item.id for item in new]
    return Extended(extended, new)


def _join_pieces(
    tokenizer: PreTrainedTokenizerBase, vocabulary: dict[str, int], corpus: Corpus, size: int
) -> list[_Joined]:
    """Learn merges of old pieces: every piece becomes one character of a text that the library's trainer reads."""
    from tokenizers import Tokenizer, models, pre_tokenizers, trainers

    code_V = _codes(vocabulary)
    mapped = Corpus(lambda: _as_characters(tokenizer, corpus, code_V), corpus.name)
    learner = Tokenizer(models.BPE())
    learner.pre_tokenizer = pre_tokenizers.Split(_SEPARATOR, "removed")
    trainer = trainers.BpeTrainer(
        vocab_size=len(code_V) + size + _SPARE,
        min_frequency=_LEAST_FREQUENCY,
        initial_alphabet=[chr(code) for code in code_V.tolist()],
        show_progress=False,
    )
    feed(learner, mapped, trainer)
    merges = json.loads(learner.to_str())["model"]["merges"]
    token_of = {number: token for token, number in vocabulary.items()}
    texts: dict[str, str] = {}
    taken = set(vocabulary)
    found: list[_Joined] = []
    num_new = 0
    for left, right in (merge.split(" ") if isinstance(merge, str) else merge for merge in merges):
        if num_new == size:
            break
        first, second = (texts[part] if len(part) > 1 else token_of[_piece_of(part)] for part in (left, right))
        token = first + second.removeprefix(CONTINUING if _is_wordpiece(tokenizer) else "")
        texts[left + right] = token
        is_new = token not in taken
        taken.add(token)
        num_new += is_new
        found.append(_Joined(first, second, token, tuple(_piece_of(part) for part in left + right), is_new))
    return found


def _as_characters(
    tokenizer: PreTrainedTokenizerBase, corpus: Corpus, code_V: np.ndarray[Any, np.dtype[np.uint32]]
) -> Iterator[str]:
    """Yield texts with a character for every piece, and a separator where no piece may reach across."""
    backend = clean_backend(tokenizer)
    closed_V, opening_V = _kinds(tokenizer, len(code_V))
    separator = ord(_SEPARATOR)
    for batch in corpus.batches():
        for encoding in backend.encode_batch(batch, add_special_tokens=False):
            ids_T = np.array(encoding.ids, dtype=np.int64)
            if not len(ids_T):
                continue
            words_T = np.array([-1 if word is None else word for word in encoding.word_ids], dtype=np.int64)
            begins_T = opening_V[ids_T] | (np.diff(words_T, prepend=words_T[0]) != 0)
            begins_T[::_LONGEST_RUN] = True
            pairs_T2 = np.stack(
                [np.where(begins_T, separator, 0), np.where(closed_V[ids_T], separator, code_V[ids_T])], 1
            )
            flat = pairs_T2.astype(np.uint32).reshape(-1)
            yield flat[flat != 0].tobytes().decode("utf-32-le")


def _kinds(tokenizer: PreTrainedTokenizerBase, size: int) -> tuple[Any, Any]:
    """Return which ids are no part of a word (special, added, unknown, bytes), and which begin one."""
    closed, opening = np.zeros(size, dtype=bool), np.zeros(size, dtype=bool)
    added = set(tokenizer.added_tokens_decoder)
    for token, number in tokenizer.get_vocab().items():
        is_byte = len(token) == 6 and token.startswith("<0x") and token.endswith(">")
        closed[number] = number in added or number == tokenizer.unk_token_id or is_byte
        opening[number] = token.startswith(_MARKS) and len(token) > 1
    return closed, opening


def _codes(vocabulary: dict[str, int]) -> np.ndarray[Any, np.dtype[np.uint32]]:
    codes = np.arange(max(vocabulary.values()) + 1, dtype=np.uint32) + _FIRST_CODE
    codes[codes >= _SURROGATES[0]] += _SURROGATES[1]
    return codes


def _piece_of(character: str) -> int:
    code = ord(character)
    return code - _FIRST_CODE - (_SURROGATES[1] if code >= _SURROGATES[0] else 0)


def _is_wordpiece(tokenizer: PreTrainedTokenizerBase) -> bool:
    return type(tokenizer.backend_tokenizer.model).__name__ == "WordPiece"


def _fill_up(state: dict[str, Any], vocabulary: dict[str, int], first_id: int) -> None:
    """Give the model the ids that only added tokens have, so that the new ones follow without a hole."""
    model_vocabulary = state["model"]["vocab"]
    token_of = {number: token for token, number in vocabulary.items()}
    if isinstance(model_vocabulary, dict):
        have = set(model_vocabulary.values())
        model_vocabulary.update({token_of[number]: number for number in sorted(set(token_of) - have)})
        return
    for number in range(len(model_vocabulary), first_id):
        if number not in token_of:
            mend = "save the tokenizer again without gaps between its ids, or take another"
            raise ModelError(f"the vocabulary has no token {number} and cannot go on behind it", mend=mend)
        model_vocabulary.append([token_of[number], 0.0])


def _extend_bpe(model: dict[str, Any], joined: Sequence[_Joined], new: Sequence[NewToken]) -> None:
    as_text = bool(model["merges"]) and isinstance(model["merges"][0], str)
    model["vocab"].update({item.token: item.id for item in new})
    model["merges"].extend(f"{item.left} {item.right}" if as_text else [item.left, item.right] for item in joined)


def _extend_wordpiece(model: dict[str, Any], joined: Sequence[_Joined], new: Sequence[NewToken]) -> None:
    model["vocab"].update({item.token: item.id for item in new})


def _extend_unigram(model: dict[str, Any], joined: Sequence[_Joined], new: Sequence[NewToken]) -> None:
    score = dict(map(tuple, model["vocab"]))
    for item in joined:
        if item.is_new:
            score[item.token] = score[item.left] + score[item.right] + _PREFERRED
            model["vocab"].append([item.token, score[item.token]])


_EXTENDERS = {"BPE": _extend_bpe, "WordPiece": _extend_wordpiece, "Unigram": _extend_unigram}
