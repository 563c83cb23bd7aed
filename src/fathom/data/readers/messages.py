"""Conversations: rows of turns (messages, ShareGPT ...), of an instruction (Alpaca), or of a prompt and response."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping
from typing import Any

from fathom.data.conversation import Turn, has_answer
from fathom.data.encodings import bad_character
from fathom.data.example import Example
from fathom.data.readers.columns import Layout
from fathom.data.readers.problems import Problems
from fathom.data.readers.rows import as_json
from fathom.data.readers.turn_notes import passed_over, read_calls, read_facts
from fathom.data.section import DataSection

ROLES = {
    "user": "user human customer client prompter 用户 顾客 客户 人类",
    "assistant": "assistant gpt bot chatbot chatgpt model agent ai function_call 助手 客服 机器人",
    "system": "system developer 系统",
    "tool": "tool function observation function_response tool_response ipython 工具",
}
"""Names of speakers by role, compared without case."""
ROLE_KEYS = ("role", "from", "speaker")
CONTENT_KEYS = ("content", "value", "utterance", "message", "text")
"""Where a turn says who speaks and what is said, the most telling first."""

_ROLE_OF = {name: role for role, names in ROLES.items() for name in names.split()}
_ORDER_MEND = "let user and assistant take turns, the user first (a system turn may stand before them)"


class BadRowError(ValueError):
    """What is wrong with a row, and how to mend it."""

    def __init__(self, message: str, mend: str) -> None:
        super().__init__(message)
        self.message, self.mend = message, mend


class ConversationRows:
    """Checks rows one by one and collects the conversations.

    Args:
        layout: Names of the columns, for messages.
        options: The data section; its `columns` may say under which keys a turn holds `role` and `content`, and the
            `knowledge` and `calls` that stand beside it.
        problems: Takes what is wrong.
    """

    def __init__(self, layout: Layout, options: DataSection, problems: Problems) -> None:
        self.layout = layout
        self.problems = problems
        self.examples: list[Example] = []
        self._role_keys = _keys(options.columns.get("role"), ROLE_KEYS)
        self._content_keys = _keys(options.columns.get("content"), CONTENT_KEYS)
        self._formats: Counter[str] = Counter()
        self._answers = options.answers
        self._knowledge_key, self._calls_key = options.columns.get("knowledge"), options.columns.get("calls")
        self._calls = self._grounded = self._made = 0
        self._unread: dict[str, Counter[str]] = {"knowledge": Counter(), "calls": Counter()}

    def add(self, line: int, values: Mapping[str, Any]) -> None:
        """Check one row: its values by role of the column."""
        conversations = self._instances(values) if "instances" in values else [values]
        for each in conversations:
            column = self.layout.names[0]
            try:
                if "messages" in each:
                    column = self.layout.name("messages")
                    turns = self._turns(each["messages"])
                    turns = [*system_turns(each.get("system")), *turns] if turns[0]["role"] != "system" else turns
                    turns = self._with_knowledge(turns, as_json(each["messages"]))
                else:
                    column = self.layout.name("prompt")
                    turns = self._pair(each)
                check_order(turns)
            except BadRowError as error:
                self.problems.add(error.message, error.mend, line=line, column=column)
                return
            self.examples.append({"messages": turns, "where": f"{self.problems.path}:{line}"})

    def finish(self, num_rows: int) -> tuple[list[Example], list[str]]:
        """Return the conversations and what was noticed; `num_rows` counts all rows of the file, bad ones too.

        Raises:
            DataError: Problems were found (and are not skipped), or there is no conversation.
        """
        answered = [example for example in self.examples if has_answer(example)]
        if self._answers and answered and len(answered) < len(self.examples):
            for example in self.examples:
                if not has_answer(example):
                    line = int(example["where"].rpartition(":")[2])
                    self.problems.add("no assistant turn", "add the answer, or remove the row", line=line)
            self.examples = answered
        notes = list(self.problems.finish(num_rows))
        if not self.examples:
            raise self.problems.fail("no conversations", "the file needs at least one row with turns")
        turns = sum(len(example["messages"]) for example in self.examples)
        kinds = ", ".join(f"{count:,} {name}" for name, count in self._formats.most_common())
        notes.append(f"conversations: {kinds}; {turns:,} turns")
        open_ended = sum(example["messages"][-1]["role"] != "assistant" for example in answered)
        if open_ended:
            notes.append(f"{open_ended} conversations end with a turn that nobody answers; it is context only")
        if self._calls:
            notes.append(f"{self._calls} turns call tools: the calls are kept as JSON text")
        if self._made:
            notes.append(f"{self._made} turns stand behind calls, which are turns of their own, as JSON text")
        if self._grounded:
            notes.append(f"{self._grounded} conversations have the knowledge of their turns in the system turn")
        for role, found in self._unread.items():
            for key, count in found.items():
                notes.append(f"the {role} of {count} conversations is passed over: data.columns.{role}={key} reads it")
        return self.examples, notes

    def _instances(self, values: Mapping[str, Any]) -> list[Mapping[str, Any]]:
        """One row with several inputs and outputs for one instruction (Self-Instruct)."""
        found = as_json(values["instances"])
        if not isinstance(found, list) or not all(isinstance(item, Mapping) for item in found):
            return [{"prompt": values.get("prompt"), "response": None}]
        return [
            {"prompt": values.get("prompt"), "input": item.get("input"), "response": item.get("output")}
            for item in found
        ]

    def _pair(self, values: Mapping[str, Any]) -> list[Turn]:
        prompt, response = as_turns(values.get("prompt")), as_turns(values.get("response"))
        if isinstance(prompt, list):
            said = response if isinstance(response, list) else [{"role": "assistant", "content": response}]
            return self._turns([*prompt, *said])
        text = check_text(prompt, "the prompt")
        extra = values.get("input")
        extra = "" if extra is None else check_text(extra, "the input", empty=True)
        turns = [
            *system_turns(values.get("system")),
            {"role": "user", "content": f"{text}\n\n{extra}" if extra else text},
        ]
        if "response" in values:
            turns.append({"role": "assistant", "content": check_text(response, "the assistant turn")})
        self._formats["instructions with input" if "input" in values else "pairs of prompt and response"] += 1
        return turns

    def _turns(self, value: Any) -> list[Turn]:
        value = as_json(value)
        if not isinstance(value, list) or not value:
            raise BadRowError("not a list of turns", 'write [{"role": "user", "content": ...}, ...]')
        if all(isinstance(turn, str) for turn in value):
            value = [{"content": turn} for turn in value]
        if not all(isinstance(turn, Mapping) for turn in value):
            raise BadRowError("a turn that is no object", 'write every turn as {"role": ..., "content": ...}')
        role_key = next((key for key in self._role_keys if any(key in turn for turn in value)), None)
        content_key = next((key for key in self._content_keys if any(key in turn for turn in value)), None)
        if content_key is None:
            known = ", ".join(dict.fromkeys(str(key) for turn in value for key in turn)) or "none"
            raise BadRowError(
                f"the turns have no key for what is said (keys: {known})",
                "say it: data.columns.content=KEY (and data.columns.role=KEY)",
            )
        turns = []
        for number, turn in enumerate(value, 1):
            if role_key is None:
                role = "user" if number % 2 else "assistant"
            else:
                role = _role(turn.get(role_key), role_key, number)
            content = self._content(turn, content_key)
            turns += self._made_calls(turn, number, role)
            turns.append({"role": role, "content": check_text(content, f"turn {number} ({role})")})
        self._formats[_format_name(role_key, content_key)] += 1
        return turns

    def _content(self, turn: Mapping[str, Any], key: str) -> Any:
        """What is said: a text, the texts of a list of parts, or the calls of a turn that only calls tools."""
        content = turn.get(key)
        calls = turn.get("tool_calls")
        if isinstance(content, list) and all(isinstance(part, Mapping) and "text" in part for part in content):
            content = "".join(str(part["text"]) for part in content)
        if isinstance(calls, list) and calls and (not content or isinstance(content, str)):
            self._calls += 1
            said = [content] if content and content.strip() else []
            return "\n".join([*said, *(_call_text(call) for call in calls)])
        return content

    def _made_calls(self, turn: Mapping[str, Any], number: int, role: str) -> list[Turn]:
        """The calls that were made for an answer, and what they gave, as the turns before it."""
        if self._calls_key is None:
            return []
        calls = read_calls(turn.get(str(self._calls_key)))
        if calls is None or (calls and role != "assistant"):
            said = "cannot be read" if calls is None else f"are the {role}'s"
            mend = 'write [{"name": ..., "arguments": {...}, "result": ...}] into turns of the assistant'
            raise BadRowError(f"turn {number}: its calls ('{self._calls_key}') {said}", mend)
        if not calls:
            return []
        self._made += 1
        made = [{"role": "assistant", "content": "\n".join(call for call, _ in calls)}]
        return [*made, *({"role": "tool", "content": result} for _, result in calls)]

    def _with_knowledge(self, turns: list[Turn], given: Any) -> list[Turn]:
        """Put the facts that the turns draw on into the system turn, each once; say what is passed over."""
        raw = [turn for turn in given if isinstance(turn, Mapping)]
        read = {"knowledge": self._knowledge_key, "calls": self._calls_key}
        for role, key in zip(read, passed_over(raw), strict=True):
            self._unread[role].update([key] if key is not None and read[role] is None else [])
        facts: dict[str, None] = {}
        for number, turn in enumerate(raw if self._knowledge_key is not None else (), 1):
            found = read_facts(turn.get(str(self._knowledge_key)))
            if found is None:
                said = f"turn {number}: its knowledge ('{self._knowledge_key}') is neither a text nor a list of facts"
                raise BadRowError(said, 'write ["a fact", ...] or [{"name", "attrname", "attrvalue"}]')
            facts |= dict.fromkeys(found)
        if not facts:
            return turns
        self._grounded += 1
        head = [turn["content"] for turn in turns[:1] if turn["role"] == "system"]
        return [
            {"role": "system", "content": check_text("\n".join([*head, *facts]), "the knowledge")},
            *turns[len(head) :],
        ]


def _keys(given: str | int | None, usual: tuple[str, ...]) -> tuple[str, ...]:
    return usual if given is None else (str(given),)


def _format_name(role_key: str | None, content_key: str) -> str:
    if role_key is None:
        return "turns without speakers (the user first, then by turns)"
    names = {("role", "content"): "messages", ("from", "value"): "ShareGPT"}
    return names.get((role_key, content_key), f"turns of '{role_key}' and '{content_key}'")


def _role(name: Any, key: str, number: int) -> str:
    said = str(name).strip().lower()
    if key == "speaker" and said == "system":
        return "assistant"  # a dialogue system, not a system prompt (Schema-Guided Dialogue, MultiWOZ)
    if said not in _ROLE_OF:
        known = ", ".join(f"{role} ({', '.join(names.split()[1:4])})" for role, names in ROLES.items())
        raise BadRowError(f"turn {number}: unknown role {name!r}", f"known: {known}")
    return _ROLE_OF[said]


def system_turns(value: Any) -> list[Turn]:
    """Return the system turn that stands in a column of its own; none where it is empty."""
    if value is None or value == "":
        return []
    return [{"role": "system", "content": check_text(value, "the system turn")}]


def check_text(value: Any, what: str, empty: bool = False) -> str:
    """Return what is said.

    Raises:
        BadRowError: It is no text, or `empty` where that is not allowed.
    """
    if value is None:
        raise BadRowError(f"{what} is missing", "give every turn a text, or remove the row")
    if type(value) is not str:
        raise BadRowError(f"{what} is a {type(value).__name__}, not a text", "write the content of a turn as text")
    bad = bad_character(value)
    if bad is not None:
        raise BadRowError(f"{bad} in {what}", "remove it")
    if not empty and not value.strip():
        raise BadRowError(f"{what} is empty", "give every turn a text, or remove the row")
    return value


def check_order(turns: list[Turn]) -> None:
    """Refuse conversations no template can render and no model should learn from.

    Raises:
        BadRowError: Turns in the wrong order; names the first.
    """
    before = "start"
    allowed = {
        "start": ("system", "user"),
        "system": ("user",),
        "user": ("assistant",),
        "assistant": ("user", "tool"),
        "tool": ("assistant", "tool"),
    }
    for number, turn in enumerate(turns, 1):
        role = turn["role"]
        if role not in allowed[before]:
            said = "at the start" if before == "start" else f"after {before}"
            raise BadRowError(f"turn {number}: {role} {said}, turns in the wrong order", _ORDER_MEND)
        before = role


def _call_text(call: Any) -> str:
    function = call.get("function", call) if isinstance(call, Mapping) else call
    if not isinstance(function, Mapping):
        return str(function)
    arguments = as_json(function.get("arguments"))
    return json.dumps({"name": function.get("name"), "arguments": arguments}, ensure_ascii=False)


def as_turns(value: Any) -> Any:
    """Return a list of turns that stands where a text is usual (TRL's conversational prompts), perhaps as JSON."""
    if isinstance(value, str) and value.lstrip().startswith("[{"):
        parsed = as_json(value)
        return parsed if isinstance(parsed, list) else value
    return value
