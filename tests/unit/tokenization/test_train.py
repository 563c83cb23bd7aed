from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from transformers import AutoTokenizer

from corpora_for_tests import HAN, corpus, random_strings, texts
from fathom.config import validate
from fathom.errors import ConfigError, DataError
from fathom.tokenization.corpus import Corpus
from fathom.tokenization.train import NewTokenizer, train

SIZES = {"wordpiece": 300, "byte-bpe": 400, "unigram": 300, "characters": None}
PRESETS = ["bert-cased", "bert-uncased", "chinese", "chinese-nfkc", "byte-level", "none"]
MIXED = "Hello contaber 天地玄黄 😀\nno  wo!"


def new(kind: str, size: int | None = None, **shape):
    options = {} if size is None else {"vocab_size": size}
    return validate(NewTokenizer, {"algorithm": {"kind": kind, **options}, **shape})


def trained(kind: str, size: int | None = None, **shape):
    return train(new(kind, size if size is not None else SIZES[kind], **shape), corpus()).tokenizer


@pytest.mark.parametrize("preset", PRESETS)
@pytest.mark.parametrize("kind", SIZES)
def test_every_algorithm_with_every_preset(kind, preset):
    style = {"style": "gpt2"} if kind == "unigram" and preset == "byte-level" else {}
    if (kind, preset) in {("wordpiece", "byte-level"), ("characters", "byte-level")}:
        with pytest.raises(ConfigError, match=r"normalization: .*'byte-level'"):
            trained(kind, normalization=preset)
        return
    # Bytes alone are 256 pieces; in lower case the corpus has no more than 289 with T5's own.
    size = (420 if preset == "byte-level" else 280) if kind == "unigram" else SIZES[kind]
    tokenizer = trained(kind, size, normalization=preset, **style)
    if size is not None:
        assert len(tokenizer) == size == tokenizer.vocab_size
    assert sorted(tokenizer.get_vocab().values()) == list(range(len(tokenizer)))
    back = tokenizer.decode(tokenizer(texts()[0], add_special_tokens=False)["input_ids"])
    assert back.replace(" ", "").lower() == "".join(texts()[0].split()).lower() or kind == "wordpiece" or "\n" in back
    pieces = tokenizer.tokenize(HAN[:4])
    if preset in ("byte-level", "none"):
        return
    assert len([piece for piece in pieces if piece != "▁"]) >= 4, "Chinese characters are cut apart"


def test_bert_style():
    tokenizer = trained("wordpiece", max_length=128)
    assert tokenizer.convert_ids_to_tokens(range(5)) == ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    pair = tokenizer("conde", "berno lo")
    tokens = tokenizer.convert_ids_to_tokens(pair["input_ids"])
    assert tokens[0] == "[CLS]" and tokens.count("[SEP]") == 2 and tokens[-1] == "[SEP]"
    assert pair["token_type_ids"][0] == 0 and pair["token_type_ids"][-1] == 1
    assert pair["token_type_ids"].index(1) == tokens.index("[SEP]") + 1
    assert tokenizer.model_input_names == ["input_ids", "token_type_ids", "attention_mask"]
    assert tokenizer.model_max_length == 128
    assert tokenizer.mask_token_id == 4
    assert "token_type_ids" not in trained("wordpiece", style="modernbert")("a")


def test_roberta_style():
    tokenizer = trained("byte-bpe", style="roberta")
    assert tokenizer.convert_ids_to_tokens(range(5)) == ["<s>", "<pad>", "</s>", "<unk>", "<mask>"]
    assert tokenizer.convert_ids_to_tokens(tokenizer("a", "b")["input_ids"]) == [
        "<s>",
        "a",
        "</s>",
        "</s>",
        "b",
        "</s>",
    ]
    assert tokenizer.convert_ids_to_tokens(tokenizer("a <mask>", add_special_tokens=False)["input_ids"]) == [
        "a",
        "<mask>",
    ]


def test_gpt2_style_pads_with_its_own_token():
    tokenizer = trained("byte-bpe")
    assert tokenizer.eos_token == tokenizer.bos_token == "<|endoftext|>"
    assert tokenizer.pad_token_id not in (None, tokenizer.eos_token_id)
    assert tokenizer.unk_token is None
    assert tokenizer("ab")["input_ids"] == tokenizer("ab", add_special_tokens=False)["input_ids"]
    assert trained("characters").unk_token == "<|unk|>"


def test_t5_style_ends_with_its_sentinels():
    tokenizer = trained("unigram", 420)
    assert tokenizer.convert_ids_to_tokens(range(3)) == ["<pad>", "</s>", "<unk>"]
    assert tokenizer.convert_tokens_to_ids("<extra_id_0>") == len(tokenizer) - 1
    assert tokenizer.convert_tokens_to_ids("<extra_id_99>") == len(tokenizer) - 100
    assert tokenizer("ba")["input_ids"][-1] == tokenizer.eos_token_id
    ids = tokenizer("ba", "lo")["input_ids"]
    assert ids.count(tokenizer.eos_token_id) == 2
    assert len(tokenizer("x <extra_id_3> y", add_special_tokens=False)["input_ids"]) > 1
    assert tokenizer.convert_tokens_to_ids("<extra_id_3>") in tokenizer("ba <extra_id_3> lo")["input_ids"]


def test_chat_tokens_and_template(tmp_path):
    trained("byte-bpe", chat=True).save_pretrained(tmp_path)
    tokenizer = AutoTokenizer.from_pretrained(tmp_path)
    turns = [{"role": "user", "content": "ba"}, {"role": "assistant", "content": "lo"}]
    text = tokenizer.apply_chat_template(turns, tokenize=False)
    assert text == "<|im_start|>user\nba<|im_end|>\n<|im_start|>assistant\nlo<|im_end|>\n"
    prompt = tokenizer.apply_chat_template(turns[:1], tokenize=False, add_generation_prompt=True)
    assert prompt.endswith("<|im_start|>assistant\n")
    ids = tokenizer.apply_chat_template(turns, return_dict=False)
    assert ids.count(tokenizer.convert_tokens_to_ids("<|im_end|>")) == 2
    assert tokenizer.decode(ids) == text


def test_byte_bpe_gives_every_string_back():
    tokenizer = trained("byte-bpe")
    strings = random_strings(2000)
    wrong = [text for text in strings if tokenizer.decode(tokenizer(text)["input_ids"]) != text]
    assert not wrong


def test_unigram_over_bytes_gives_every_string_back():
    tokenizer = trained("unigram", 420, normalization="byte-level", style="gpt2")
    wrong = [text for text in random_strings(300) if tokenizer.decode(tokenizer(text)["input_ids"]) != text]
    assert not wrong


def test_characters_give_the_corpus_back():
    whole = "\n".join(texts()) + "\t  \r\n "
    tokenizer = train(new("characters"), Corpus(lambda: [whole])).tokenizer
    ids = tokenizer(whole)["input_ids"]
    assert len(ids) == len(whole)
    assert tokenizer.decode(ids) == whole
    special = len(tokenizer.all_special_tokens)
    characters = tokenizer.convert_ids_to_tokens(range(special, len(tokenizer)))
    assert characters == sorted(set(whole))
    assert tokenizer("Ω")["input_ids"] == [tokenizer.unk_token_id]


def test_characters_keep_the_most_frequent():
    tokenizer = train(new("characters", 6), Corpus(lambda: ["aaaabbbccd"])).tokenizer
    assert tokenizer.convert_ids_to_tokens(range(3, 6)) == ["a", "b", "c"]
    spare = validate(NewTokenizer, {"algorithm": {"kind": "characters", "min_frequency": 2}})
    assert "d" not in train(spare, Corpus(lambda: ["aaaabbbccd"])).tokenizer.get_vocab()


def test_normalisation_says_what_it_folds():
    wide = "ＡＢ，１！"
    full = train(new("characters", normalization="chinese"), Corpus(lambda: [wide + "ABC,1!"])).tokenizer
    assert full.decode(full(wide)["input_ids"]) == wide
    folded = train(new("characters", normalization="chinese-nfkc"), Corpus(lambda: [wide])).tokenizer
    assert folded.decode(folded(wide)["input_ids"]) == "AB,1!"
    lower = trained("wordpiece", normalization="bert-uncased")
    assert lower.tokenize("CONDÉ") == lower.tokenize("conde")


def test_limit_of_the_alphabet():
    letters = "aaaaaaaa bbbbbbbb cc ccc d " * 5
    for kind in ("wordpiece", "unigram"):
        settings = {"algorithm": {"kind": kind, "vocab_size": 16, "limit_alphabet": 4}, "style": "bert"}
        if kind == "wordpiece":
            settings["algorithm"]["limit_alphabet"] = 3
        else:  # `▁` is a character of its alphabet
            settings["algorithm"]["vocab_size"] = 13
        tokenizer = train(validate(NewTokenizer, settings), Corpus(lambda: [letters])).tokenizer
        assert "d" not in tokenizer.get_vocab()
        assert "c" in tokenizer.get_vocab()


SCRIPT = """
import sys
from corpora_for_tests import corpus
from fathom.config import validate
from fathom.tokenization.train import NewTokenizer, train
import hashlib
for kind, options, shape in (
    ("wordpiece", {"vocab_size": 300, "limit_alphabet": 45}, {}),
    ("byte-bpe", {"vocab_size": 420}, {}),
    ("unigram", {"vocab_size": 330, "limit_alphabet": 45}, {}),
    ("characters", {}, {"chat": True}),
):
    new = validate(NewTokenizer, {"algorithm": {"kind": kind, **options}, **shape})
    text = train(new, corpus(120)).tokenizer.backend_tokenizer.to_str()
    print(kind, hashlib.sha256(text.encode()).hexdigest())
"""


def test_the_same_corpus_gives_the_same_file_in_every_process():
    """The library's hash maps are seeded by the process: a result that hangs on their order differs here."""
    root = Path(__file__).resolve().parents[2]
    runs = [
        subprocess.Popen([sys.executable, "-c", SCRIPT], cwd=root, stdout=subprocess.PIPE, text=True) for _ in range(3)
    ]
    printed = {run.communicate()[0] for run in runs}
    assert len(printed) == 1
    assert len(printed.pop().splitlines()) == 4


def test_a_saved_tokenizer_is_the_same_in_transformers_alone(tmp_path):
    for kind in SIZES:
        tokenizer = trained(kind, {"unigram": 420}.get(kind, SIZES[kind]), max_length=64)
        folder = tmp_path / kind
        tokenizer.save_pretrained(folder)
        again = AutoTokenizer.from_pretrained(folder)
        assert again(list(texts()[:20]))["input_ids"] == tokenizer(list(texts()[:20]))["input_ids"]
        assert again.special_tokens_map == tokenizer.special_tokens_map
        assert again.model_max_length == 64
        assert again.model_input_names == tokenizer.model_input_names
        assert again.clean_up_tokenization_spaces is False
        assert len(again) == len(tokenizer)
        before = {number: str(vars_of(token)) for number, token in tokenizer.added_tokens_decoder.items()}
        assert {number: str(vars_of(token)) for number, token in again.added_tokens_decoder.items()} == before


def vars_of(token):
    return json.dumps(token.__getstate__(), sort_keys=True)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"algorithm": {"kind": "wordpiece", "vocab_size": 9}}, r"vocab_size: [\s\S]*give at least \d+"),
        ({"algorithm": {"kind": "byte-bpe", "vocab_size": 200}}, r"no room for 2 special .*256 characters[\s\S]*258"),
        ({"algorithm": {"kind": "unigram", "vocab_size": 110}}, r"no room for 103 special"),
        ({"algorithm": {"kind": "characters", "vocab_size": 3}}, r"give at least 4"),
    ],
)
def test_a_vocabulary_too_small_says_the_least(settings, message):
    with pytest.raises(ConfigError, match=message):
        train(validate(NewTokenizer, settings), corpus())


@pytest.mark.parametrize("kind", SIZES)
def test_a_vocabulary_too_large_says_what_was_reached(kind):
    with pytest.raises(DataError, match=r"more than the corpus supports: it gave [\d,]+ tokens[\s\S]*mend: give"):
        train(new(kind, 60_000), corpus(50))


def test_unknown_options_are_refused():
    with pytest.raises(ConfigError, match=r"vocab_sise.*did you mean 'vocab_size'"):
        validate(NewTokenizer, {"algorithm": {"kind": "wordpiece", "vocab_sise": 3}})
    with pytest.raises(ConfigError, match="known: wordpiece, byte-bpe, unigram, characters"):
        validate(NewTokenizer, {"algorithm": "bpe"})


@pytest.mark.parametrize("given", [[], [""], [" \n", "\t"]])
@pytest.mark.parametrize("kind", SIZES)
def test_an_empty_corpus_is_refused(kind, given):
    with pytest.raises(DataError, match="the corpus has no text"):
        train(new(kind, SIZES[kind]), Corpus(lambda: given))


@pytest.mark.parametrize("kind", SIZES)
def test_a_binary_corpus_is_refused(kind):
    noise = "".join(chr(number % 256) for number in range(0, 7000, 13))
    with pytest.raises(DataError, match=r"this is no text: .* control characters"):
        train(new(kind, SIZES[kind]), Corpus(lambda: [noise]))


@pytest.mark.parametrize("kind", ["wordpiece", "byte-bpe", "unigram"])
def test_half_a_character_is_an_error_of_the_data(kind):
    with pytest.raises(DataError, match="half of a surrogate pair"):
        train(new(kind, SIZES[kind]), Corpus(lambda: ["fine text", "a\ud83d"]))
