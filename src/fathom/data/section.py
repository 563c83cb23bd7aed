"""The `data:` section of a recipe: which files, how they are read, how they are split."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal, Self

from pydantic import AliasChoices, Field, SerializeAsAny, ValidationInfo, field_validator, model_validator

from fathom.config import Part, choice, suggest
from fathom.data.corpus.filters.base import CorpusFilter

ROLES = (
    *("text", "text_pair", "label", "targets"),
    *("negative", "score"),
    *("user", "item", "timestamp", "items"),
    *("tokens", "tags", "entities"),
    *("head", "tail", "head_start", "head_end", "tail_start", "tail_end", "head_type", "tail_type", "relations"),
    *("context", "question", "answers", "answer_start", "impossible"),
    *("messages", "role", "content", "knowledge", "calls", "prompt", "input", "response", "instances", "system"),
    *("chosen", "rejected", "completion"),
    *("source", "target"),
    *("image", "sound", "group", "transcript"),
)
"""What a column can be. `targets` holds a mapping of target to label; each target becomes an example of its own with
the target as `text_pair`. `messages` holds a list of turns, `role` and `content` are keys of a turn, and so are
`knowledge`, facts that come into the system turn, and `calls`, calls of tools and what they gave, which become turns
before it; `chosen` and `rejected` are two answers, `completion` is one, with its verdict as `label`. `source` and
`target` hold a text, or a list: the sentences of a source, the references of a target. `image` and `sound` hold paths
from the folder of the file; rows of one `group` (a speaker) stay on one side of a split. `transcript` is what is said
in a sound."""

DELIMITERS = {"comma": ",", "tab": "\t", "semicolon": ";", "bar": "|", "\\t": "\t"}
"""Characters between columns by name."""

CORPUS_READING = (
    "format",
    "columns",
    "header",
    "delimiter",
    "quoting",
    "encoding",
    "on_error",
    "document_separator",
    "document_template",
)
"""The keys that decide which documents a corpus has; stores of its tokens depend on them."""

READING = (
    *CORPUS_READING,
    "label_separator",
    "tag_scheme",
    "word_join",
    "max_empty_share",
    "pack_documents",
)
"""The keys that say how a file is read, whichever split it is; a saved model keeps them for files it is scored on."""

STORED = {"stored": True}
"""Context of the validation of a recipe that a run wrote out: what is refused in new ones only is read."""


class DataSection(Part):
    """Where the examples are and how they are read."""

    answers: ClassVar[bool] = True
    """Whether rows are read with their labels, tags, answers or targets; see `InputSection`."""

    train: str
    """File, folder of images or sounds with a folder for each class, hub name or `helpdesk:intents`; `#500` after it
    takes a seeded sample of 500 rows, of a corpus (which may also be a folder or a pattern) its first 500 documents."""
    validation: str | None = Field(None, validation_alias=AliasChoices("validation", "dev", "eval"))
    """The split that chooses the best model; left out, a stratified share of the training split."""
    test: str | None = None
    """The split that is scored once, at the end."""
    format: str | None = None
    """Catalog name of the reader; left out, told from the file's name and content. A corpus takes csv, tsv, json, jsonl
    or parquet; its other files are running text."""
    columns: dict[str, str | int] = Field(default_factory=dict)
    """Which column is what: keys `text`, `text_pair`, `label`, `tokens`, `tags`, `entities`, `targets`; for embeddings
    also `negative` and `score`; for recommendation `user`, `item`, `timestamp` or `items`; for questions
    `context`, `question`, `answers`, `answer_start`, `impossible`; for chat
    `messages`, `prompt`, `input`, `response`, `system`; for translation and summarization `source`, `target`; for
    relations `head`, `tail`, their `_start`, `_end` and `_type`, or `relations`; for images and sounds `image`,
    `sound`, `label`, `transcript`, `group`; values are column names or positions from 0. Columns left out are guessed
    from their usual names."""
    header: bool | None = None
    """Whether the first row of a delimited file names the columns; left out, it is told from the row and `columns`."""
    delimiter: str | None = None
    """Character between the columns of a delimited file, or its name (comma, tab, semicolon, bar); left out, a comma
    for CSV and a tab for TSV."""
    quoting: Literal["auto", "standard", "none"] = "auto"
    """Whether quotes enclose fields; auto says standard for CSV, and for TSV looks whether they are well formed."""
    label_separator: str | None = Field(None, min_length=1)
    """Character between the labels of one row; gives multi-label examples."""
    document_separator: str | None = Field(None, min_length=1)
    """What ends a document of a plain-text corpus: `line`, `blank-line`, or a text such as `<|endoftext|>`; left out, a
    file is one document."""
    document_template: str | None = Field(None, min_length=1)
    """What a document made of a record says, with names of columns in braces: `[{topic}] {text}` begins each with a
    control code. `{text}` is the record's text; left out, a document is that alone."""
    mixture: dict[str, Annotated[float, Field(gt=0)]] = Field(default_factory=dict)
    """Further sources of a corpus, each with how often it is read in an epoch; `train` itself is read once."""
    filters: tuple[Annotated[SerializeAsAny[CorpusFilter], choice("corpus_filter")], ...] = ()
    """Which documents of a corpus are left out, in this order, e.g. `[exact-duplicates, {kind: min-length}]`."""
    pack_documents: bool = True
    """Pack short documents of a corpus into windows by best fit; off, windows are cut from the stream of documents.
    A task whose windows hold one document each refuses that."""
    encoding: str | None = None
    """Encoding of the files; left out, it is detected and stated."""
    tag_scheme: Literal["auto", "iob1", "iob2", "bioes", "io"] = "auto"
    """How tags mark entities; `io` (bare types without prefix) is never guessed. Everything becomes IOB2."""
    word_join: Literal["auto", "space", "none"] = "auto"
    """What stands between given tokens in the text; auto puts no space beside Chinese and Japanese characters."""
    validation_fraction: float = Field(0.1, ge=0, lt=1)
    """Share of the training split taken for validation where no validation file is given; 0 takes none."""
    split_seed: int = Field(7, ge=0)
    """Seed of that split and of `#n` samples of rows."""
    shots: int | None = Field(None, gt=0)
    """Examples of each label that are learnt from, drawn from the training split after the validation split was taken
    off; left out, all of them."""
    shots_seed: int = Field(7, ge=0)
    """Of that draw: other seeds, other examples, the same validation split."""
    max_length: int | None = Field(None, gt=0)
    """Tokens of the longest sequence; left out, what the model takes."""
    on_error: Literal["refuse", "skip"] = "refuse"
    """Whether a bad row refuses the file or is left out and listed."""
    max_empty_share: float = Field(0.001, ge=0, le=1)
    """Rows with an empty text are left out and counted; above this share of the rows the file is refused."""
    max_leak_share: float = Field(0.05, ge=0, le=1)
    """Share of a validation or test split that may also be in train before `allow_leaks` is needed."""
    allow_leaks: bool = False
    """Accept a validation or test split that repeats the training split."""

    @field_validator("delimiter")
    @classmethod
    def _one_character(cls, delimiter: str | None) -> str | None:
        if delimiter is None:
            return None
        delimiter = DELIMITERS.get(delimiter, delimiter)
        if len(delimiter) != 1 or delimiter in '"\r\n':
            raise ValueError(f"'{delimiter}' is not one character: write one, or {', '.join(DELIMITERS)}")
        return delimiter

    @field_validator("mixture", mode="before")
    @classmethod
    def _weights_stand_apart(cls, mixture: object) -> object:
        if isinstance(mixture, dict):
            for source, weight in mixture.items():
                if weight is None and ":" in str(source):
                    name, _, number = str(source).rpartition(":")
                    raise ValueError(f"'{source}' has no weight: write a space behind the colon, {{{name}: {number}}}")
        return mixture

    @field_validator("document_template")
    @classmethod
    def _has_the_text(cls, template: str | None) -> str | None:
        if template is not None and template.count("{text}") != 1:
            raise ValueError(f"the template {template!r} must say once where the text stands: write {{text}}")
        return template

    @field_validator("columns")
    @classmethod
    def _known_roles(cls, columns: dict[str, str | int]) -> dict[str, str | int]:
        columns = {role: int(column) if _is_position(column) else column for role, column in columns.items()}
        for role, column in columns.items():
            if role not in ROLES:
                raise ValueError(f"'{role}' is no role of a column{suggest(role, ROLES)} (known: {', '.join(ROLES)})")
            if isinstance(column, int) and column < 0:
                raise ValueError(f"'{role}: {column}': positions count from 0")
        used = list(columns.values())
        twice = sorted({str(column) for column in used if used.count(column) > 1})
        if twice:
            raise ValueError(f"column '{twice[0]}' is given two roles: leave one of them out")
        return columns

    @model_validator(mode="after")
    def _each_source_once(self, info: ValidationInfo) -> Self:
        if self.train in self.mixture and info.context != STORED:
            raise ValueError(
                f"mixture names {self.train}, which is `train` and is read once in an epoch: leave it out, or write as "
                "`train` the source that is to be read once (a run that an older version began so, which read it as "
                "often as mixture says, goes on where its folder is given in the place of a recipe)"
            )
        return self

    @model_validator(mode="after")
    def _one_label_source(self) -> Self:
        if "targets" in self.columns and {"label", "text_pair"} & set(self.columns):
            raise ValueError("'targets' gives both label and text_pair; leave those out of columns")
        if "entities" in self.columns and "tags" in self.columns:
            raise ValueError("columns names both 'entities' and 'tags': leave one of them out")
        return self


class InputSection(DataSection):
    """How a file is read that is only to be answered: what its rows say of the answer is not looked at."""

    answers: ClassVar[bool] = False


def _is_position(column: str | int) -> bool:
    return isinstance(column, int) or (column.isascii() and column.isdigit())
