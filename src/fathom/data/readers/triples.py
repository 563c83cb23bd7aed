"""Rows with relations become texts, each with everything that is related in it, and be it nothing."""

from __future__ import annotations

from fathom.data.example import Example
from fathom.data.readers.relations import RelationRows


class TripleRows(RelationRows):
    """The rows of `RelationRows`, an example for each text: `text`, and `triples` of `head`, `label` and `tail`.

    A text of whole annotation that relates nothing is an example as well. Rows of one pair that share a text are one
    text; a pair that is related twice is in two triples.
    """

    def _make_examples(self) -> None:
        found: dict[str, Example] = {}
        for pair in self.examples:
            triple = {role: pair[role] for role in ("head", "label", "tail") if role in pair}
            _text_of(found, pair)["triples"].append(triple)
        for example, entities, stated in self._whole:
            _text_of(found, example)["triples"] += [
                {"head": entities[head], "label": label, "tail": entities[tail]} for (head, tail), label in stated
            ]
        self.examples = list(found.values())


def _text_of(found: dict[str, Example], example: Example) -> Example:
    """Return the one example of a text."""
    new: Example = {"text": example["text"], "triples": [], "where": example["where"]}
    return found.setdefault(example["text"], new)
