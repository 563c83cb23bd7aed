"""Look at tokenizers, train one from text, extend one that exists, with its model."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fathom import files
from fathom.config import validate
from fathom.data.corpus.documents import read_documents
from fathom.data.section import DataSection
from fathom.errors import ArtifactError, ConfigError, DataError
from fathom.log import get_console
from fathom.model.load import resolve_model
from fathom.tokenization.corpus import Corpus
from fathom.tokenization.load import load_tokenizer
from fathom.tokenization.show import show, vocabulary_facts

if TYPE_CHECKING:
    from fathom.tokenization.extend import Extended
    from fathom.tokenization.train import NewTokenizer

MAX_COMPARED = 10_000
"""Documents a comparison reads unless told otherwise."""
MODEL_CONFIG, MODEL_INFO = "config.json", "fathom.json"


def show_tokenizer(name: str, text: str | None = None) -> dict[str, Any]:
    """Return the facts of a tokenizer, and the sub-words of a text with their character offsets.

    Args:
        name: Hub name, folder or built-in name.
        text: What to cut; none gives the facts alone.

    Raises:
        ModelError: No such tokenizer, or it is not a fast one.
    """
    tokenizer = load_tokenizer(resolve_model(name))
    facts = {"name": name, **vocabulary_facts(tokenizer)}
    return facts if text is None else {**facts, **show(tokenizer, text)}


def compare_tokenizers(
    names: Sequence[str],
    source: str | None = None,
    text: str | None = None,
    *,
    max_documents: int = MAX_COMPARED,
    read: Mapping[str, Any] | None = None,
) -> list[dict[str, Any]]:
    """Return the facts of tokenizers, how each cuts a text, and how each fits the documents of a source.

    Args:
        names: Hub names, folders or built-in names.
        source: Documents: a file, folder or glob, or `helpdesk:...`.
        text: A text to cut.
        max_documents: Documents read of the source.
        read: How the files are read: keys of a recipe's `data:`, such as `{"encoding": "gbk"}`.

    Raises:
        ModelError: No such tokenizer, or it is not a fast one.
        DataError: The source is missing or no text.
        ConfigError: `read` is wrong.
    """
    from fathom.tokenization.measure import longest_pieces, measure

    found = []
    for name in names:
        tokenizer = load_tokenizer(resolve_model(name))
        facts = {"name": name, **vocabulary_facts(tokenizer), "longest_pieces": longest_pieces(tokenizer)}
        if text is not None:
            facts |= show(tokenizer, text)
        if source is not None:
            corpus = Corpus(_texts_of([source], max_documents, read), source)
            facts["fit"] = measure(tokenizer, corpus.batches())
        found.append(facts)
    return found


def train_tokenizer(
    sources: str | Sequence[str],
    output: str | Path,
    settings: NewTokenizer | Mapping[str, Any] | None = None,
    *,
    max_documents: int | None = None,
    read: Mapping[str, Any] | None = None,
    replace: bool = False,
) -> dict[str, Any]:
    """Train a tokenizer from text and publish it as a folder that `AutoTokenizer` loads.

    Args:
        sources: Files, folders, globs or `helpdesk:...`; one or several.
        output: The folder to appear.
        settings: `algorithm`, `style`, `normalization`, `chat`, `max_length`; see `NewTokenizer`.
        max_documents: Read no more than these many documents.
        read: How the files are read: keys of a recipe's `data:`, such as `{"encoding": "gbk"}`.
        replace: Take the place of an existing folder.

    Returns:
        The facts of the tokenizer, where it is, and what it was learnt from.

    Raises:
        ConfigError: Options are wrong, or the vocabulary is too small for the special tokens and the characters.
        DataError: The corpus is missing, no text, or too small for the vocabulary.
        ArtifactError: The folder exists and `replace` is off.
    """
    from fathom.tokenization.train import NewTokenizer, train

    new = settings if isinstance(settings, NewTokenizer) else validate(NewTokenizer, settings or {}, "tokenizer")
    _require_free(output, replace)
    given = [sources] if isinstance(sources, str) else list(sources)
    if not given:
        raise ConfigError("no source to learn from", mend="name files, a folder or a glob")
    corpus = Corpus(_texts_of(given, max_documents, read), ", ".join(given))
    get_console().info(f"learning a {new.algorithm.kind} vocabulary from {corpus.name}")
    trained = train(new, corpus)
    with files.publish(output, replace=replace) as temporary:
        trained.tokenizer.save_pretrained(str(temporary))
    facts = vocabulary_facts(load_tokenizer(output))
    learnt_from = {"sources": given, "texts": trained.texts, "characters": trained.characters}
    return {"folder": str(output), **facts, "learnt_from": learnt_from}


def extend_tokenizer(
    name: str,
    output: str | Path,
    *,
    tokens: Sequence[str] | None = None,
    source: str | None = None,
    size: int | None = None,
    replace: bool = False,
) -> dict[str, Any]:
    """Add tokens to a tokenizer, and rows for them to its model: each the mean of the rows of its old pieces.

    Args:
        name: Folder, hub name or built-in name of a model, or the folder of a tokenizer alone.
        output: The folder to appear.
        tokens: Tokens to add; or
        source: documents to learn them from (`path#n` reads the first n), and
        size: how many to learn.
        replace: Take the place of an existing folder.

    Returns:
        Where the folder is, how many tokens there are now, and the new ones with their ids and old pieces.

    Raises:
        ConfigError: Neither tokens nor a source with a size was given, or both.
        DataError: There is no new token, or the source does not support so many.
        ModelError: No such model or tokenizer, or they do not belong together.
        ArtifactError: The folder exists and `replace` is off.
    """
    if (tokens is None) == (source is None) or (source is not None and size is None):
        raise ConfigError("what to add is not clear", mend="give either tokens, or a source and a size")
    if size is not None and size < 1:
        raise ConfigError(f"{size} new tokens are none", where="size", mend="give a number from 1")
    from fathom.tokenization.extend import add_given, learn_more

    _require_free(output, replace)
    location = resolve_model(name)
    tokenizer = load_tokenizer(location)
    before = len(tokenizer)
    with tempfile.TemporaryDirectory(prefix="fathom-extend-") as temporary:
        if tokens is not None:
            extended = add_given(tokenizer, tokens)
        else:
            assert source is not None and size is not None
            corpus = Corpus(_texts_of([source], None, None), source)
            extended = learn_more(tokenizer, corpus, size, Path(temporary))
        has_model = not Path(location).is_dir() or (Path(location) / MODEL_CONFIG).is_file()
        if has_model:
            _save_extended_model(name, extended, output, replace)
        else:
            with files.publish(output, replace=replace) as folder:
                extended.tokenizer.save_pretrained(str(folder))
    old = tokenizer.convert_ids_to_tokens
    return {
        "folder": str(output),
        "model": has_model,
        "before": before,
        "vocabulary": len(extended.tokenizer),
        "known": list(extended.known),
        "new": [{"id": item.id, "token": item.token, "pieces": old(list(item.pieces))} for item in extended.new],
    }


def _save_extended_model(name: str, extended: Extended, output: str | Path, replace: bool) -> None:
    from fathom.model.published import published_class
    from fathom.model.save import save_model
    from fathom.model.vocabulary_extension import extend_embeddings, load_as_saved
    from fathom.model.weights import INFO
    from fathom.tokenization.match import check_matches

    location = Path(resolve_model(name))
    info = files.read_json(location / INFO) if (location / INFO).is_file() else None
    model = load_as_saved(name)
    extend_embeddings(model, {item.id: item.pieces for item in extended.new})
    check_matches(extended.tokenizer, model.config)
    if info is not None:
        step = {"step": "extend-vocabulary", "new_tokens": len(extended.new)}
        kept = {key: value for key, value in info.items() if key not in ("files", "schema", "weights")}
        kept["lineage"] = [*kept.get("lineage", []), step]
        kept.setdefault("auto_class", published_class(model.config) or "AutoModel")  # earlier versions do not say it
        save_model(model, extended.tokenizer, output, kept, replace=replace)
        return
    with files.publish(output, replace=replace, expected_bytes=_size_of(model)) as folder:
        model.save_pretrained(str(folder))
        extended.tokenizer.save_pretrained(str(folder))


def _size_of(model: Any) -> int:
    return sum(tensor.numel() * tensor.element_size() for tensor in model.parameters())


def _require_free(output: str | Path, replace: bool) -> None:
    """Refuse an output that is there before the work, not after it."""
    if Path(output).exists() and not replace:
        raise ArtifactError("already there", where=str(output), mend="choose another folder, or give --replace")


def _texts_of(
    sources: Sequence[str], max_documents: int | None, read: Mapping[str, Any] | None
) -> Callable[[], Iterator[str]]:
    """Return what opens the texts of sources, long documents in pieces."""
    sections = [validate(DataSection, {**(read or {}), "train": source}, "read") for source in sources]

    def texts() -> Iterator[str]:
        left = max_documents
        for source, section in zip(sources, sections, strict=True):
            for document in read_documents(source, section):
                if left == 0:
                    return
                yield document.text
                if left is not None and not document.continues:
                    left -= 1

    if max_documents is not None and max_documents < 1:
        raise ConfigError(f"{max_documents} documents are none", where="max_documents", mend="give a number from 1")
    return texts


def read_token_list(path: str | Path) -> list[str]:
    """Read tokens from a file, one a line; spaces at its ends belong to a token, empty lines are left out.

    Raises:
        DataError: The file is missing or not UTF-8.
    """
    try:
        lines = Path(path).read_text(encoding="utf-8-sig").splitlines()
    except UnicodeDecodeError as error:
        raise DataError(f"not UTF-8 (byte {error.start})", where=str(path), mend="save the file as UTF-8") from None
    except OSError as error:
        raise DataError(f"cannot be read: {error.strerror}", where=str(path), mend="check the path") from None
    return [line for line in lines if line.strip()]
