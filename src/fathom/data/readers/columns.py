"""Which column is what: from `columns:`, or guessed from the usual names."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from fathom.config import suggest
from fathom.data.readers.base import Form
from fathom.data.readers.problems import Problems
from fathom.data.section import DataSection

USUAL_NAMES: dict[str, tuple[str, ...]] = {
    "text": [
        "text",
        "sentence",
        "sentence1",
        "text_a",
        "text1",
        "premise",
        "question1",
        "content",
        "body",
        "utterance",
        "review",
        "comment",
        "message",
        "tweet",
        "query",
        "question",
        "title",
        "headline",
        "input",
        "document",
        "description",
        "文本",
        "句子",
        "内容",
        "正文",
        "评论",
        "问题",
        "标题",
        "文字",
        "文本内容",
        "问句",
    ],  # type: ignore[dict-item]
    "text_pair": ["text_pair", "sentence2", "text_b", "text2", "hypothesis", "question2", "句子2", "文本2"],  # type: ignore[dict-item]
    "label": [
        "label",
        "labels",
        "category",
        "categories",
        "class",
        "classes",
        "intent",
        "intents",
        "target",
        "sentiment",
        "emotion",
        "emotions",
        "topic",
        "score",
        "rating",
        "stars",
        "similarity",
        "y",
        "标签",
        "类别",
        "分类",
        "类",
        "意图",
        "情感",
        "情绪",
        "主题",
        "标注",
        "评分",
        "分数",
    ],  # type: ignore[dict-item]
    "tokens": ["tokens", "words", "token", "word", "chars", "词", "字"],  # type: ignore[dict-item]
    "tags": ["tags", "ner_tags", "ner", "tag", "labels", "label", "bio_tags", "iob_tags", "标签", "标注"],  # type: ignore[dict-item]
    "entities": ["entities", "spans", "entity", "label", "labels", "annotations", "ner", "实体"],  # type: ignore[dict-item]
}
"""Names by role, the most telling first; compared without case."""

ROLES_OF_FORM: dict[Form, tuple[str, ...]] = {
    "text": ("text", "text_pair", "label", "targets"),
    "spans": ("text", "tokens", "tags", "entities"),
}
_PAIRS = {
    "sentence1": "sentence2",
    "text_a": "text_b",
    "text1": "text2",
    "premise": "hypothesis",
    "question1": "question2",
    "text": "text_pair",
    "sentence": "text_pair",
}


@dataclass(frozen=True)
class Layout:
    """Columns by role.

    Attributes:
        roles: Role to position in `names`.
        names: The columns of the file; positions as text where it has no header.
        guessed: Roles that were guessed.
    """

    roles: dict[str, int]
    names: tuple[str, ...]
    guessed: tuple[str, ...] = ()

    def name(self, role: str) -> str:
        """Return the name of the column with a role."""
        return self.names[self.roles[role]]

    def note(self) -> str:
        """Say which column is what."""
        said = ", ".join(
            f"{role} = '{self.names[place]}'" + (" (guessed)" if role in self.guessed else "")
            for role, place in self.roles.items()
        )
        return f"columns: {said}"


def looks_like_header(row: Sequence[str], options: DataSection, form: Form) -> bool:
    """Tell whether the first row of a delimited file names its columns."""
    if options.header is not None:
        return options.header
    if any(isinstance(column, str) and not column.isdigit() for column in options.columns.values()):
        return True
    cells = [cell.strip().lower() for cell in row]
    if len(set(cells)) < len(cells) or any(len(cell) > 40 for cell in cells):
        return False
    if options.columns:
        return any(
            int(place) < len(cells) and cells[int(place)] in USUAL_NAMES.get(role, ())
            for role, place in options.columns.items()
        )
    return any(cell in USUAL_NAMES[role] for role in ROLES_OF_FORM[form] if role in USUAL_NAMES for cell in cells)


def find_columns(
    names: Sequence[str], options: DataSection, form: Form, problems: Problems, header: bool = True
) -> Layout:
    """Give columns their roles.

    Args:
        names: Of the columns; positions as text where the file has no header.
        options: With the user's own mapping.
        form: What the task takes.
        problems: Of the file, for its place.
        header: Whether the names come from the file.

    Raises:
        DataError: A mapped column does not exist, two columns share a name, or no text column can be told.
    """
    twice = sorted({name for name in names if name and list(names).count(name) > 1})
    if twice:
        raise problems.fail(f"two columns are called '{twice[0]}'", "rename one of them", line=1)
    roles: dict[str, int] = {}
    for role, column in options.columns.items():
        if role in ROLES_OF_FORM[form]:
            roles[role] = _position(role, column, names, problems)
    given = set(roles)
    if header:
        _guess(roles, names, form)
    layout = Layout(roles, tuple(names), tuple(role for role in roles if role not in given))
    _require(layout, form, problems, header)
    return layout


def _position(role: str, column: str | int, names: Sequence[str], problems: Problems) -> int:
    if isinstance(column, str) and column in names:
        return list(names).index(column)
    if isinstance(column, int) or column.isdigit():
        if int(column) < len(names):
            return int(column)
        raise problems.fail(
            f"columns.{role} is {column}, but there are {len(names)} columns (0 to {len(names) - 1})",
            f"give a position from 0 to {len(names) - 1}",
            line=1,
        )
    folded = [name.strip().lower() for name in names]
    hint = suggest(column, names) or suggest(column.lower(), folded)
    known = ", ".join(f"'{name}'" for name in names)
    raise problems.fail(f"no column is called '{column}'{hint}", f"columns.{role} must be one of {known}", line=1)


def _guess(roles: dict[str, int], names: Sequence[str], form: Form) -> None:
    folded = [name.strip().lower() for name in names]

    def find(role: str) -> None:
        if role in roles:
            return
        for name in USUAL_NAMES[role]:
            if name in folded and folded.index(name) not in roles.values():
                roles[role] = folded.index(name)
                return

    if form == "text":
        find("text")
        pair = _PAIRS.get(folded[roles["text"]]) if "text" in roles else None
        if pair in folded and "text_pair" not in roles and "targets" not in roles:
            roles["text_pair"] = folded.index(str(pair))
        if "targets" not in roles:
            find("label")
        return
    if "entities" not in roles:
        find("tokens")
        if "tokens" in roles:
            find("tags")
            return
    find("text")
    find("entities")


def _require(layout: Layout, form: Form, problems: Problems, header: bool) -> None:
    roles = set(layout.roles)
    if form == "text":
        if "text" in roles:
            return
        wanted = "columns: {text: NAME, label: NAME}" if header else "columns: {text: 0, label: 1}"
    else:
        if "tokens" in roles or "text" in roles:
            return
        wanted = "columns: {tokens: NAME, tags: NAME} or {text: NAME, entities: NAME}"
    known = ", ".join(f"'{name}'" for name in layout.names)
    what = f"none of the columns {known} is known to hold the text" if header else "the file has no header"
    raise problems.fail(what, f"say which column is what, for example data.{wanted}", line=1)
