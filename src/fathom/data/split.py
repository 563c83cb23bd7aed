"""A seeded split that keeps the share of each label, and equal texts on one side."""

from __future__ import annotations

import random
import unicodedata
from collections import defaultdict
from collections.abc import Collection, Sequence

from fathom.data.conversation import text_of
from fathom.data.example import Example
from fathom.errors import DataError


def normalize_text(text: str) -> str:
    """Return a text as leaks are judged: NFKC, case folded, white space runs as one space."""
    if not text.isascii():
        text = unicodedata.normalize("NFKC", text)
    return " ".join(text.casefold().split())


def content_key(example: Example) -> str:
    """Return what makes two examples the same input: their normalised text, and pair if there is one."""
    pair = example.get("text_pair", example.get("question"))
    key = normalize_text(text_of(example))
    if "head" in example:
        pair = f"{place_of(example, 'head')} {place_of(example, 'tail')}"
    return key if pair is None else f"{key}\x1f{normalize_text(pair)}"


def place_of(example: Example, role: str) -> str:
    """Return where an entity stands in its text, for comparisons."""
    return f"{example[role]['start']}-{example[role]['end']}"


def split_key(example: Example) -> str:
    """Return what must stay on one side of a split: the normalised text, whatever its pair or its answers.

    Where examples are in groups (the sounds of one speaker), their group.
    """
    if "group" in example:
        return str(example["group"])
    if "digest" in example:
        return str(example["digest"])
    if "messages" in example:
        return normalize_text("\n".join(turn["content"] for turn in example["messages"] if turn["role"] == "user"))
    return normalize_text(example["text"])


def sample(examples: Sequence[Example], size: int, seed: int) -> list[Example]:
    """Take a seeded sample, in the order of the file; all examples when there are not more than `size`."""
    if size >= len(examples):
        return list(examples)
    chosen = random.Random(f"sample {seed}").sample(range(len(examples)), size)
    return [examples[index] for index in sorted(chosen)]


def few_shots(examples: Sequence[Example], shots: int, seed: int) -> list[Example]:
    """Take a seeded draw of so many examples of each label, in their order; all of a label that has no more.

    Raises:
        DataError: An example has no label, or a list of them.
    """
    groups: dict[str, list[int]] = defaultdict(list)
    for index, example in enumerate(examples):
        label = example.get("label")
        if label is None or isinstance(label, list):
            raise DataError(
                "shots are drawn for each label, and this row has " + ("none" if label is None else "a list of them"),
                where=str(example.get("where")),
                mend="leave out data.shots; a sample of rows is written FILE#500",
            )
        groups[str(label)].append(index)
    chosen: list[int] = []
    for label, members in groups.items():
        generator = random.Random(f"shots {seed} {label}")
        chosen += members if len(members) <= shots else generator.sample(members, shots)
    return [examples[index] for index in sorted(chosen)]


def stratified_split(examples: Sequence[Example], fraction: float, seed: int) -> tuple[list[Example], list[Example]]:
    """Split off a share of the examples.

    Groups of equal text stay together. Each group belongs to the stratum of its rarest label (classes, sets of labels,
    quartiles of numbers, or the rarest entity type), and each stratum gives its share, so that the shares hold as far
    as whole groups allow. Every label stays in the first part: a label that one group alone holds is not split off.

    Args:
        examples: To split; order within both parts is kept.
        fraction: Share of the second part, 0 to 1.
        seed: Of the choice.

    Returns:
        The rest, and the share that was split off.
    """
    groups: dict[str, list[int]] = defaultdict(list)
    for index, example in enumerate(examples):
        groups[split_key(example)].append(index)
    marks = _marks(examples)
    frequency: dict[str, int] = defaultdict(int)
    for labels in marks:
        for label in labels:
            frequency[label] += 1
    strata: dict[str, list[list[int]]] = defaultdict(list)
    for members in groups.values():
        held = {label for index in members for label in marks[index]}
        strata[min(held, key=lambda label: (frequency[label], label)) if held else ""].append(members)
    taken = _choose(strata, fraction, random.Random(f"split {seed}"))
    _give_back(taken, list(groups.values()), marks)
    first = [example for index, example in enumerate(examples) if index not in taken]
    return first, [examples[index] for index in sorted(taken)]


def _choose(strata: dict[str, list[list[int]]], fraction: float, generator: random.Random) -> set[int]:
    """Take the share of each stratum; what rounding leaves over is owed to the next one."""
    taken: set[int] = set()
    owed = 0.0
    for stratum in sorted(strata, key=lambda label: (len(strata[label]), label)):
        pool = strata[stratum]
        generator.shuffle(pool)
        wanted = sum(map(len, pool)) * fraction + owed
        count = 0
        for members in pool[1:]:
            if count + len(members) / 2 <= wanted:
                taken.update(members)
                count += len(members)
        owed = min(max(wanted - count, -1.0), 1.0)
    largest = max(strata.values(), key=len, default=[])
    if not taken and fraction > 0 and len(largest) > 1:
        taken.update(largest[1])
    return taken


def _give_back(taken: set[int], groups: list[list[int]], marks: Sequence[Collection[str]]) -> None:
    """Return a group to the first part for each label that would be missing there."""
    kept = {label for index, labels in enumerate(marks) if index not in taken for label in labels}
    for members in groups:
        held = {label for index in members for label in marks[index]}
        if members[0] in taken and not held <= kept:
            taken.difference_update(members)
            kept |= held


def _marks(examples: Sequence[Example]) -> list[tuple[str, ...]]:
    """The labels of each example by which it is stratified."""
    if any("tags" in example for example in examples):
        return [tuple({tag[2:] for tag in example.get("tags", ()) if tag[0] == "B"}) for example in examples]
    labels = [example.get("label") for example in examples]
    quartiles = _quartiles(labels)
    if quartiles is not None:
        return quartiles
    return [() if label is None else tuple(label) if isinstance(label, list) else (str(label),) for label in labels]


def _quartiles(labels: Sequence[object]) -> list[tuple[str, ...]] | None:
    """Quartile names where the labels are numbers, nearly all different; None otherwise."""
    try:
        values = [float(str(label)) for label in labels]
    except ValueError:
        return None
    if not values or len(set(values)) <= max(20, len(values) // 10):
        return None
    ordered = sorted(values)
    cuts = [ordered[len(ordered) * quarter // 4] for quarter in (1, 2, 3)]
    return [(f"quartile {sum(value >= cut for cut in cuts)}",) for value in values]
