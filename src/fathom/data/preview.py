"""One example as the model sees it: sub-words, and the label of each."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from fathom.data.conversation import ANSWERS
from fathom.data.example import Example


@dataclass(frozen=True)
class PreviewToken:
    """One sub-word: its text in the vocabulary, its id, and the label it learns (None where none).

    Where the label is the token itself it says `loss`.
    """

    token: str
    id: int
    label: str | None = None


@dataclass(frozen=True)
class Preview:
    """An example, decoded.

    Attributes:
        index: Position in the training split.
        num_examples: Of the training split.
        example: As it came from the reader.
        windows: The sequences the model gets: one, or several for a long text.
        notes: What the readers detected.
    """

    index: int
    num_examples: int
    example: Example
    windows: tuple[tuple[PreviewToken, ...], ...]
    notes: tuple[str, ...] = ()
    titles: tuple[str, ...] = ()
    """What each window is called, where it has a name."""

    def to_json(self) -> dict[str, Any]:
        """Return the preview as JSON."""
        return {
            "index": self.index,
            "num_examples": self.num_examples,
            "example": {**self.example, "entities": self.entities} if "tags" in self.example else dict(self.example),
            "windows": [[asdict(token) for token in window] for window in self.windows],
            "notes": list(self.notes),
            **({"titles": list(self.titles)} if self.titles else {}),
        }

    @property
    def entities(self) -> list[dict[str, Any]]:
        """The entities of the example, with character offsets."""
        found: list[dict[str, Any]] = []
        for (start, end), tag in zip(self.example.get("words", ()), self.example.get("tags", ()), strict=False):
            if tag[0] == "B":
                found.append({"start": start, "end": end, "label": tag[2:]})
            elif tag[0] == "I" and found:
                found[-1]["end"] = end
        return [{**entity, "text": self.example["text"][entity["start"] : entity["end"]]} for entity in found]

    def to_text(self) -> str:
        """Return the preview as lines for people."""
        example = self.example
        lines = [*self.notes, "", f"example {self.index} of {self.num_examples:,}, {example.get('where', '')}"]
        if "messages" in example:
            lines += [f"{turn['role']}: {turn['content']}" for turn in example["messages"]]
            lines += [f"{name}: {example[name]}" for name in ANSWERS if name in example]
        else:
            lines.append(f"text: {example['text']}")
        lines += [f"target: {reference}" for reference in example.get("references", ())]
        if "question" in example:
            lines.append(f"question: {example['question']}")
        for answer in example.get("answers", ()):
            place = f"{answer['start']}" if answer["start"] >= 0 else "no literal part of the text"
            lines.append(f"answer: {answer['text']} ({place})")
        if example.get("answers") == []:
            lines.append("no answer")
        if "text_pair" in example:
            lines.append(f"pair: {example['text_pair']}")
        lines += [f"negative: {text}" for text in example.get("negatives", ())]
        if "score" in example:
            lines.append(f"score: {example['score']:g}")
        for role in ("head", "tail"):
            if role in example:
                place = example[role]
                kind = f" {place['type']}" if "type" in place else ""
                lines.append(
                    f"{role}: {place['start']}-{place['end']}{kind}: {example['text'][place['start'] : place['end']]}"
                )
        if "label" in example:
            label = example["label"]
            lines.append(f"label: {', '.join(label) if isinstance(label, list) else label}")
        lines += [
            f"entity: {entity['start']}-{entity['end']} {entity['label']}: {entity['text']}" for entity in self.entities
        ]
        for number, window in enumerate(self.windows, 1):
            what = "text" if "text_pair" in example else "window"
            title = f"{what} {number} of {len(self.windows)}" if len(self.windows) > 1 else "sub-words"
            title = self.titles[number - 1] if self.titles else title
            lines += ["", f"{title}: {len(window)} tokens"]
            width = max((len(token.token) for token in window), default=0)
            lines += [f"{token.id:>8}  {token.token:<{width}}  {token.label or ''}".rstrip() for token in window]
        return "\n".join(lines)
