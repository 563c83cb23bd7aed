"""Which column is what: from `columns:`, or guessed from the usual names."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, replace

from fathom.data.readers.answer_columns import ANSWER_NAMES, ANSWERS_NEEDED, ANSWERS_WANTED, guess_answers
from fathom.data.readers.base import Form, Request
from fathom.data.readers.problems import Problems

_TEXT = """
text sentence sentence1 text_a text1 premise question1 content body utterance review comment message tweet query
question title headline input document description 文本 句子 内容 正文 评论 问题 标题 文字 文本内容 问句
"""
_LABEL = """
label labels category categories class classes intent intents target sentiment emotion emotions topic score rating stars
similarity y 标签 类别 分类 类 意图 情感 情绪 主题 标注 评分 分数
"""
_SOURCE = """
source src text article document dialogue passage abstract content body input sentence1 en english
原文 源文 源语言 正文 文章 摘要 英文 文本
"""
_TARGET = """
target tgt summary highlights translation tldr title headline reference references output response sentence2
zh chinese de german fr french es spanish ja 译文 目标 目标语言 总结 概要 标题 中文
"""
_RELATION = "relation rel predicate relation_type label 关系 关系类型 标签"


def _entity_columns() -> dict[str, tuple[str, ...]]:
    """The usual names of the columns that say where an entity begins and ends, and of what type it is."""
    return {
        f"{role}_{part}": tuple(f"{name}_{part}" for name in names)
        for role, names in (("head", ("head", "subj", "e1", "h")), ("tail", ("tail", "obj", "e2", "t")))
        for part in ("start", "end", "type")
    }


USUAL_NAMES: dict[str, tuple[str, ...]] = {
    "text": tuple(_TEXT.split()),
    "text_pair": ("text_pair", "sentence2", "text_b", "text2", "hypothesis", "question2", "句子2", "文本2"),
    "label": tuple(_LABEL.split()),
    "tokens": ("tokens", "words", "token", "word", "chars", "form", "词", "字"),
    "tags": ("tags", "ner_tags", "ner", "tag", "ner_tag", "labels", "label", "bio_tags", "iob_tags", "标签", "标注"),
    "entities": ("entities", "spans", "entity", "label", "labels", "annotations", "ner", "实体"),
    "head": ("head", "e1", "entity1", "entity_1", "subject", "subj", "h", "head_entity", "头实体", "主体", "实体1"),
    "tail": ("tail", "e2", "entity2", "entity_2", "object", "obj", "t", "tail_entity", "尾实体", "客体", "实体2"),
    **_entity_columns(),
    "relations": ("relations", "triples", "relation_list", "关系"),
    "context": ("context", "passage", "paragraph", "document", "article", "上下文", "文章", "段落", "篇章", "原文"),
    "question": ("question", "query", "问题", "提问", "问句"),
    "answers": ("answers", "answer", "answer_text", "答案", "回答"),
    "answer_start": ("answer_start", "answer_starts", "start", "答案位置"),
    "impossible": ("is_impossible", "impossible"),
    "messages": ("messages", "conversations", "conversation", "turns", "dialogue", "dialog", "对话"),
    "prompt": ("instruction", "prompt", "question", "query", "input", "指令", "提问", "问题"),
    "input": ("input", "context", "输入"),
    "response": ("response", "output", "completion", "answer", "reply", "回答", "回复", "答案", "输出"),
    "instances": ("instances",),
    **ANSWER_NAMES,
    "system": ("system", "system_prompt", "系统"),
    "user": ("user", "user_id", "userid", "uid", "customer_id", "session", "session_id", "用户", "用户id"),
    "item": ("item", "item_id", "itemid", "movie", "movie_id", "movieid", "product_id", "物品", "商品", "商品id"),
    "timestamp": ("timestamp", "time", "unix_time", "ts", "时间", "时间戳"),
    "items": ("items", "sequence", "history", "序列"),
    "anchor": (
        "anchor",
        *("query", "question", "sentence1", "text1", "text_a", "text", "sentence", "查询", "问题", "句子1"),
        "句子",
        "文本",
    ),
    "partner": (
        "positive",
        "pos",
        "passage",
        "document",
        "answer",
        "sentence2",
        "text2",
        "text_b",
        "text_pair",
        "正例",
        "段落",
        "答案",
        "句子2",
    ),
    "negative": ("negative", "negatives", "neg", "hard_negative", "hard_negatives", "负例"),
    "score": ("score", "similarity", "similarity_score", "relevance", "相似度", "分数"),
    "source": tuple(_SOURCE.split()),
    "target": tuple(_TARGET.split()),
    "image": ("image", "file_name", "filename", "path", "file", "image_path", "图片", "图像", "路径", "文件"),
    "sound": ("sound", "audio", "file_name", "filename", "path", "file", "audio_path", "wav", "音频", "路径", "文件"),
    "group": ("group", "speaker", "speaker_id", "client_id", "说话人"),
    "transcript": (
        *("transcript", "transcription", "sentence", "text", "normalized_text", "raw_transcription", "转写", "文本"),
        *("句子", "内容"),
    ),
}
"""Names by role, the most telling first; compared without case."""

_OF_RELATIONS = ("text", "tokens", "label", "head", "tail", *_entity_columns(), "entities", "relations")
ROLES_OF_FORM: dict[Form, tuple[str, ...]] = {
    "text": ("text", "text_pair", "label", "targets"),
    "spans": ("text", "tokens", "tags", "entities"),
    "relation": _OF_RELATIONS,
    "triples": _OF_RELATIONS,
    "questions": ("context", "question", "answers", "answer_start", "impossible"),
    "chat": ("messages", "prompt", "input", "response", "instances", "system"),
    "preference": ("messages", "prompt", "input", "system", "chosen", "rejected", "completion", "label"),
    "corpus": ("text",),
    "pairs": ("text", "text_pair", "negative", "score", "label"),
    "writing": ("source", "target"),
    "image": ("image", "label", "group"),
    "sound": ("sound", "label", "group"),
    "speech": ("sound", "transcript", "group"),
    "interactions": ("user", "item", "timestamp", "items"),
}
ANSWERS: dict[Form, frozenset[str]] = {
    "text": frozenset({"label"}),
    "spans": frozenset({"tags", "entities"}),
    "relation": frozenset({"label"}),
    "questions": frozenset({"answers", "answer_start", "impossible"}),
    "pairs": frozenset({"negative", "score", "label"}),
    "writing": frozenset({"target"}),
    "image": frozenset({"label", "group"}),
    "sound": frozenset({"label", "group"}),
    "speech": frozenset({"transcript", "group"}),
}
"""Roles of what a row says of its answer; a file that is only to be answered is read without them."""

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

    def without(self, roles: Collection[str]) -> Layout:
        """Return the layout without some roles."""
        return replace(self, roles={role: place for role, place in self.roles.items() if role not in roles})

    def note(self) -> str:
        """Say which column is what."""
        said = ", ".join(
            f"{role} = '{self.names[place]}'" + (" (guessed)" if role in self.guessed else "")
            for role, place in self.roles.items()
        )
        return f"columns: {said}"


def usual_names(form: Form, role: str) -> tuple[str, ...]:
    """Return the names that columns of a role usually have where a task takes a form."""
    if form == "pairs":
        role = {"text": "anchor", "text_pair": "partner"}.get(role, role)
    if form == "preference":
        role = {"label": "verdict"}.get(role, role)
    return USUAL_NAMES.get(role, ())


def looks_like_header(row: Sequence[str], request: Request) -> bool:
    """Tell whether the first row of a delimited file names its columns."""
    options = request.options
    if options.header is not None:
        return options.header
    mapped = {role: column for role, column in options.columns.items() if role in ROLES_OF_FORM[request.form]}
    if any(isinstance(column, str) for column in mapped.values()):
        return True
    cells = [cell.strip().lower() for cell in row]
    if any(len(cell) > 40 for cell in cells):
        return False
    if mapped:
        places = {role: column for role, column in mapped.items() if isinstance(column, int) and column < len(cells)}
        return any(cells[column] in usual_names(request.form, role) for role, column in places.items())
    usual = {name for role in ROLES_OF_FORM[request.form] for name in usual_names(request.form, role)}
    return any(cell in usual for cell in cells)


def find_columns(names: Sequence[str], request: Request, header: bool = True) -> Layout:
    """Give columns their roles.

    Args:
        names: Of the columns; positions as text where the file has no header.
        request: With the user's own mapping.
        header: Whether the names come from the file.

    Raises:
        DataError: A mapped column does not exist, two columns share a name, or no text column can be told.
    """
    twice = sorted({name for name in names if name and list(names).count(name) > 1})
    if twice:
        raise request.problems.fail(f"two columns are called '{twice[0]}'", "rename one of them", line=1)
    roles: dict[str, int] = {}
    for role, column in request.options.columns.items():
        if role in ROLES_OF_FORM[request.form]:
            roles[role] = _position(role, column, names, request.problems)
    given = set(roles)
    if header:
        _guess(roles, names, request.form)
    elif request.form == "writing" and not roles and len(names) == 2:
        roles = {"source": 0, "target": 1}
    layout = Layout(roles, tuple(names), tuple(role for role in roles if role not in given))
    _require(layout, request, header)
    return layout


def _position(role: str, column: str | int, names: Sequence[str], problems: Problems) -> int:
    if str(column) in names:
        return list(names).index(str(column))
    known = ", ".join(f"'{name}'" for name in names)
    if isinstance(column, int):
        if column < len(names):
            return column
        raise problems.fail(
            f"columns.{role} is {column}, but there are {len(names)} columns ({known})",
            f"give a position from 0 to {len(names) - 1}",
            line=1,
        )
    folded = {name.strip().lower(): name for name in names}
    near = difflib.get_close_matches(column.strip().lower(), list(folded), n=1)
    hint = f", did you mean '{folded[near[0]]}'?" if near else ""
    raise problems.fail(f"no column is called '{column}'{hint}", f"columns.{role} must be one of {known}", line=1)


def _guess(roles: dict[str, int], names: Sequence[str], form: Form) -> None:
    folded = [name.strip().lower() for name in names]

    def find(role: str) -> None:
        for name in usual_names(form, role):
            if role not in roles and name in folded and folded.index(name) not in roles.values():
                roles[role] = folded.index(name)

    if form == "preference":
        guess_answers(roles, find)
        return
    if form == "chat":
        find("messages")
        chosen = ("system",) if "messages" in roles else ("prompt", "input", "response", "system")
        for role in chosen:
            find(role)
        if not {"messages", "response"} & set(roles):
            find("instances")
        return
    if form == "corpus":
        find("text")
        return
    if form == "interactions":
        find("items")
        for role in () if "items" in roles else ("user", "item", "timestamp"):
            find(role)
        return
    if form == "pairs":
        _guess_pairs(roles, folded)
        return
    if form in {"questions", "writing", "image", "sound", "speech"}:
        for role in ROLES_OF_FORM[form]:
            find(role)
        return
    if form in {"relation", "triples"}:
        _guess_relation(roles, folded, find)
        return
    if form == "text":
        find("text")
        pair = _PAIRS.get(folded[roles["text"]]) if "text" in roles else None
        if pair in folded and not {"text_pair", "targets"} & set(roles):
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


def _guess_pairs(roles: dict[str, int], folded: Sequence[str]) -> None:
    """A score beside two texts is how near they are; without a second text a label says what belongs together."""

    def find(role: str) -> None:
        for name in usual_names("pairs", role):
            if role not in roles and name in folded and folded.index(name) not in roles.values():
                roles[role] = folded.index(name)

    find("text")
    find("text_pair")
    find("negative")
    if "text_pair" in roles and not {"negative", "label"} & set(roles):
        find("score")
    if "score" not in roles:
        find("label")


def _guess_relation(roles: dict[str, int], folded: Sequence[str], find: Callable[[str], None]) -> None:
    if not {"text", "tokens"} & set(roles):
        find("tokens")
        if "tokens" not in roles:
            find("text")
    for name in _RELATION.split():
        if not {"label", "relations"} & set(roles) and name in folded and folded.index(name) not in roles.values():
            roles["label"] = folded.index(name)
    for role in ("head", "tail", *_entity_columns()):
        find(role)
    if not {"head", "head_start"} & set(roles):
        find("relations")
        if "relations" in roles:
            find("entities")


_NEEDED: dict[Form, tuple[frozenset[str], ...]] = {
    "interactions": (frozenset({"items"}), frozenset({"user", "item"})),
    "pairs": (frozenset({"text"}),),
    "text": (frozenset({"text"}),),
    "questions": (frozenset({"context", "question"}),),
    "chat": (frozenset({"messages"}), frozenset({"prompt"})),
    "preference": ANSWERS_NEEDED,
    "corpus": (frozenset({"text"}),),
    "writing": (frozenset({"source"}),),
    "image": (frozenset({"image"}),),
    "sound": (frozenset({"sound"}),),
    "speech": (frozenset({"sound"}),),
    "relation": (frozenset({"text"}), frozenset({"tokens"})),
    "triples": (frozenset({"text"}), frozenset({"tokens"})),
    "spans": (frozenset({"text"}), frozenset({"tokens"})),
}
"""Roles that must have a column, by form; one of the sets is enough."""
_WANTED: dict[Form, str] = {
    "interactions": "data.columns.user=NAME data.columns.item=NAME data.columns.timestamp=NAME, or "
    "data.columns.items=NAME",
    "pairs": "data.columns.text=NAME data.columns.text_pair=NAME (and negative, score or label)",
    "text": "data.columns.text=NAME data.columns.label=NAME",
    "questions": "data.columns.context=NAME data.columns.question=NAME data.columns.answers=NAME",
    "chat": "data.columns.messages=NAME, or data.columns.prompt=NAME data.columns.response=NAME",
    "preference": ANSWERS_WANTED,
    "corpus": "data.columns.text=NAME in a recipe, --column=NAME in a command",
    "writing": "data.columns.source=NAME data.columns.target=NAME",
    "image": "data.columns.image=NAME data.columns.label=NAME",
    "sound": "data.columns.sound=NAME data.columns.label=NAME",
    "speech": "data.columns.sound=NAME data.columns.transcript=NAME",
    "relation": "data.columns.text=NAME data.columns.label=NAME, and .head and .tail where the text marks no entities",
    "triples": "data.columns.text=NAME data.columns.entities=NAME data.columns.relations=NAME",
    "spans": "data.columns.tokens=NAME data.columns.tags=NAME, or .text and .entities; or data.format=conll for one "
    "word a line",
}
"""What a recipe has to say where they cannot be told."""
_CALLED: dict[Form, str] = {
    "interactions": "user and the item",
    "questions": "passage and question",
    "chat": "conversation",
    "preference": "compared answers",
    "writing": "source",
    "image": "paths",
    "sound": "paths",
    "speech": "paths",
}
"""What the columns hold, where it is no text."""


def _require(layout: Layout, request: Request, header: bool) -> None:
    form = request.form
    if any(needed <= set(layout.roles) for needed in _NEEDED[form]):
        return
    wanted, what = _WANTED[form], _CALLED.get(form, "text")
    if header:
        known = ", ".join(f"'{name}'" for name in layout.names)
        message = f"none of the columns {known} is known to hold the {what}"
    else:
        if form in ("text", "writing"):
            wanted = wanted.replace("NAME", "0", 1).replace("NAME", "1", 1)
        elif form == "corpus":
            wanted = wanted.replace("NAME", "0")
        message = f"the first row names no columns, so which of the {len(layout.names)} columns holds the {what}?"
    raise request.problems.fail(message, f"say which column is what: {wanted}", line=1)
