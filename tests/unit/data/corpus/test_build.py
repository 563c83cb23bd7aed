"""The corpus store: what goes in comes out, whatever the number of processes; found again; mended when damaged."""

from __future__ import annotations

import json
import os
from functools import partial

import numpy as np
import pytest

from fathom import files
from fathom.data.corpus import build, digests, pieces
from fathom.data.corpus.build import CorpusRequest, open_or_build_corpus
from fathom.data.corpus.encoding import Batch, FastEncoder, encode_in_order
from fathom.data.corpus.filters.duplicates import ExactDuplicates
from fathom.data.corpus.filters.quality import MinLength
from fathom.data.section import DataSection
from fathom.errors import DataError, FathomError, ModelError

TEXTS = [f"document {number}: 春眠不觉晓 " + "word " * (number % 13) for number in range(300)]


class ByteEncoder:
    """A token is a byte of the text."""

    def __call__(self):
        def encode(texts):
            data = [np.frombuffer(text.encode(), np.uint8) for text in texts]
            return np.concatenate(data).astype(np.uint32), np.array([len(part) for part in data], np.int64)

        return encode


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("FATHOM_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(build, "BATCH_CHARACTERS", 500)
    return tmp_path / "cache"


@pytest.fixture
def corpus(tmp_path):
    path = tmp_path / "corpus.jsonl"
    path.write_text("".join(json.dumps({"text": text}) + "\n" for text in TEXTS), encoding="utf-8")
    return str(path)


def request_of(source, **options):
    settings = {"tokenizer": "bytes", "vocabulary_size": 257, "shard_tokens": 2000, **options}
    sources = (source,) if isinstance(source, str) else tuple(source)
    return CorpusRequest(sources, DataSection(train=sources[0]), **settings)


def texts_of(store):
    return [bytes(store.document(index).astype(np.uint8)).decode() for index in range(store.num_documents)]


def contents(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_documents_come_out_as_they_went_in(corpus):
    store = open_or_build_corpus(request_of(corpus), ByteEncoder())
    assert texts_of(store) == TEXTS
    assert len(store.shards) > 3
    assert store.num_tokens == sum(len(text.encode()) for text in TEXTS) == store.facts["bytes"]
    assert store.shards[0].dtype == np.uint16
    assert not store.shards[0].flags.owndata and not store.shards[0].flags.writeable
    expected = np.bincount(np.frombuffer("".join(TEXTS).encode(), np.uint8), minlength=257)
    assert (store.counts == expected).all()
    assert store.used_ids().tolist() == np.flatnonzero(expected).tolist()
    assert store.facts["documents_read"] == len(TEXTS)
    assert store.facts["characters"] == sum(map(len, TEXTS))


def test_pages_are_let_go_while_views_stay_good(corpus, monkeypatch):
    monkeypatch.setattr("fathom.data.corpus.store.RESIDENT_BYTES", 10_000)
    store = open_or_build_corpus(request_of(corpus), ByteEncoder())
    views = [store.document(index) for index in range(store.num_documents)]
    assert [bytes(view.astype(np.uint8)).decode() for view in views] == TEXTS


def test_end_of_document(corpus):
    store = open_or_build_corpus(request_of(corpus, end_of_document=256), ByteEncoder())
    assert all(store.document(index)[-1] == 256 for index in range(store.num_documents))
    assert [bytes(store.document(index)[:-1].astype(np.uint8)).decode() for index in range(300)] == TEXTS


def test_large_vocabulary_takes_four_bytes(corpus):
    store = open_or_build_corpus(request_of(corpus, vocabulary_size=100_000), ByteEncoder())
    assert store.shards[0].dtype == np.uint32
    assert texts_of(store) == TEXTS


def test_a_document_in_pieces_is_one_document(tmp_path, monkeypatch):
    monkeypatch.setattr(pieces, "PIECE_CHARACTERS", 100)
    long = "\n".join(TEXTS)
    for name, text in (("a.txt", "short"), ("b.txt", long), ("c.txt", "also short")):
        (tmp_path / name).write_text(text, encoding="utf-8")
    sources = [str(tmp_path / name) for name in ("a.txt", "b.txt", "c.txt")]
    store = open_or_build_corpus(request_of(sources, end_of_document=256), ByteEncoder())
    assert [len(store.document(index)) for index in range(3)] == [6, len(long.encode()) + 1, 11]
    assert (store.counts[256]) == 3
    assert len(store.shards) > 3


def test_found_again_and_never_stale(corpus, cache, monkeypatch):
    request = request_of(corpus)
    first = open_or_build_corpus(request, ByteEncoder())
    moved = corpus + ".moved.jsonl"
    os.rename(corpus, moved)

    def refuse():
        raise AssertionError("encoded again")

    again = open_or_build_corpus(request_of(moved), refuse)
    assert again.num_tokens == first.num_tokens
    assert request_of(moved).key() == request.__class__(**{**vars(request), "sources": (moved,)}).key()
    with open(moved, "a", encoding="utf-8") as stream:
        stream.write('{"text": "more"}\n')
    assert texts_of(open_or_build_corpus(request_of(moved), ByteEncoder()))[-1] == "more"
    keys = {
        request_of(moved, **options).key()
        for options in (
            {},
            {"tokenizer": "x"},
            {"end_of_document": 3},
            {"filters": (MinLength(),)},
            {"vocabulary_size": 9},
        )
    }
    assert len(keys) == 5


def test_digest_of_a_large_file_is_kept_until_it_changes(tmp_path, monkeypatch):
    monkeypatch.setattr(digests, "LARGE_BYTES", 10)
    file = tmp_path / "a.txt"
    file.write_text("a large file")
    first = digests.file_digest(file)
    assert first == files.sha256_file(file)
    with monkeypatch.context() as patch:
        patch.setattr(files, "sha256_file", None)
        assert digests.file_digest(file) == first
    file.write_text("b large file")
    assert digests.file_digest(file) == files.sha256_file(file) != first


def test_filters_and_what_they_removed(tmp_path):
    path = tmp_path / "a.jsonl"
    rows = ["one two three four", "one", "Ｏne two  three FOUR", "five six seven", "one"]
    path.write_text("".join(json.dumps({"text": text}) + "\n" for text in rows))
    request = request_of(str(path), filters=(MinLength(min_words=3), ExactDuplicates()))
    store = open_or_build_corpus(request, ByteEncoder())
    assert texts_of(store) == ["one two three four", "five six seven"]
    assert store.facts["removed"] == {"min-length": 2, "exact-duplicates": 1}
    assert store.facts["documents_read"] == 5
    with pytest.raises(DataError, match="removed: min-length 5"):
        open_or_build_corpus(request_of(str(path), filters=(MinLength(min_words=9),)), ByteEncoder())


def test_ids_beyond_the_vocabulary(corpus):
    with pytest.raises(ModelError, match="the vocabulary has 100"):
        open_or_build_corpus(request_of(corpus, vocabulary_size=100), ByteEncoder())


def tokenizer_json():
    from tokenizers import Tokenizer, models, pre_tokenizers, trainers

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    trainer = trainers.BpeTrainer(
        vocab_size=400, show_progress=False, initial_alphabet=pre_tokenizers.ByteLevel.alphabet()
    )
    tokenizer.train_from_iterator(TEXTS, trainer)
    return tokenizer.to_str()


def test_the_number_of_processes_changes_nothing(corpus, cache, tmp_path, monkeypatch):
    encoder = FastEncoder(tokenizer_json())
    found = []
    for processes in (1, 2):
        monkeypatch.setenv("FATHOM_CACHE", str(tmp_path / f"cache-{processes}"))
        open_or_build_corpus(request_of(corpus, vocabulary_size=400), encoder, processes)
        (folder,) = (tmp_path / f"cache-{processes}" / "corpus").iterdir()
        found.append(contents(folder))
    assert found[0] == found[1]


def test_batches_keep_their_order_and_few_are_held():
    held = 0
    most = 0

    def batches():
        nonlocal held, most
        for number in range(40):
            held += 1
            most = max(most, held)
            yield Batch([str(number)], [True], [True])

    seen = []
    for batch, _, lengths in encode_in_order(batches(), ByteEncoder(), 1):
        held -= 1
        seen.append(int(batch.texts[0]))
        assert lengths.tolist() == [len(batch.texts[0])]
    assert seen == list(range(40))
    assert most == 1


def test_a_killed_worker_is_reported(corpus):
    with pytest.raises(FathomError, match="was killed") as caught:
        open_or_build_corpus(request_of(corpus), partial(os._exit, 9), 2)
    assert "memory is full" in caught.value.mend and '`if __name__ == "__main__":`' in caught.value.mend


def test_the_stated_format_makes_another_store(corpus):
    plain, stated = (
        CorpusRequest((corpus,), DataSection(train=corpus, format=name), "bytes", 257) for name in (None, "jsonl")
    )
    assert plain.key() != stated.key()
    assert open_or_build_corpus(plain, ByteEncoder()).key == plain.key()
    assert open_or_build_corpus(stated, ByteEncoder()).key == stated.key()
