"""Tokenizers as a user handles them: trained to a folder, side by side, extended with their model."""

from __future__ import annotations

import json

import pytest
from transformers import AutoModel, AutoTokenizer
from typer.testing import CliRunner

from corpora_for_tests import texts
from fathom.cli.main import app
from fathom.cli.tokenizer_text import comparison_text, tokenizer_text, trained_text
from fathom.errors import ArtifactError, ConfigError, DataError
from fathom.runs.tokenizer import compare_tokenizers, extend_tokenizer, show_tokenizer, train_tokenizer


@pytest.fixture
def source(tmp_path):
    path = tmp_path / "corpus.txt"
    path.write_text("".join(texts()), encoding="utf-8")
    return str(path)


def trained(source, folder, kind="byte-bpe", size=300):
    return train_tokenizer(source, folder, {"algorithm": {"kind": kind, "vocab_size": size}})


def test_trained_to_a_folder(source, tmp_path):
    facts = trained(source, tmp_path / "made")
    assert len(AutoTokenizer.from_pretrained(tmp_path / "made")) == facts["vocabulary"] == 300
    assert facts["learnt_from"]["characters"] == len("".join(texts()))
    assert "300 tokens from" in trained_text(facts)
    with pytest.raises(ArtifactError, match="already there"):
        trained(source, tmp_path / "made")


def test_nothing_is_left_of_what_failed(tmp_path):
    for name, content, said in (("a.txt", b"", "no text"), ("b.txt", bytes(range(256)), "binary, not text")):
        (tmp_path / name).write_bytes(content)
        with pytest.raises(DataError, match=said) as caught:
            trained(str(tmp_path / name), tmp_path / "made")
        assert name in str(caught.value.where)
    assert not (tmp_path / "made").exists()


def test_side_by_side(source, tmp_path):
    names = [str(tmp_path / kind) for kind in ("byte-bpe", "characters")]
    trained(source, names[0])
    trained(source, names[1], "characters", None)
    found = compare_tokenizers(names, source, "天地 ba\n")
    assert found[0]["fit"]["characters"] == found[1]["fit"]["characters"]
    shown = comparison_text(found)
    assert "vocabulary used" in shown
    assert "天 | 地" in shown.splitlines()[-4:][0] + shown.splitlines()[-1], "bytes are shown as the text they are"
    assert "'\\n'" in tokenizer_text(show_tokenizer(names[1], "a\n"))


def test_extended_with_its_model(source, tmp_path):
    facts = extend_tokenizer("minilm", tmp_path / "more", source=source, size=8)
    assert facts["model"] and len(facts["new"]) == 8
    tokenizer, model = (kind.from_pretrained(tmp_path / "more") for kind in (AutoTokenizer, AutoModel))
    rows = model.get_input_embeddings().weight
    assert len(tokenizer) == facts["vocabulary"] == len(rows)
    new = facts["new"][0]
    pieces = tokenizer.convert_tokens_to_ids(new["pieces"])
    assert rows[new["id"]].allclose(rows[pieces].mean(0), atol=1e-6)
    with pytest.raises(ConfigError, match="what to add is not clear"):
        extend_tokenizer("minilm", tmp_path / "other", source=source)


def test_how_the_files_are_read(tmp_path):
    text = "d\u00e9j\u00e0 vu, na\u00efve caf\u00e9s " * 40
    (tmp_path / "own.txt").write_text(text, encoding="cp500")
    options = {"algorithm": {"kind": "byte-bpe", "vocab_size": 262}}
    with pytest.raises(DataError, match="--encoding in a command"):
        train_tokenizer(str(tmp_path / "own.txt"), tmp_path / "made", options)
    told = ["--algorithm", "byte-bpe", "--vocab-size", "262", "--output", str(tmp_path / "made"), "--json"]
    found = CliRunner().invoke(app, ["tokenizer", "train", str(tmp_path / "own.txt"), *told, "--encoding", "cp500"])
    assert found.exit_code == 0, found.output
    assert json.loads(found.stdout)["learnt_from"]["characters"] == len(text)
    with pytest.raises(ConfigError, match="encodng"):
        train_tokenizer(str(tmp_path / "own.txt"), tmp_path / "other", options, read={"encodng": "cp500"})
