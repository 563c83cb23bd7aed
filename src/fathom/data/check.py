"""Checks of splits against each other and of each by itself: labels, leaks, duplicates, lengths, characters."""

from __future__ import annotations

import difflib
import math
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from fathom.data.conversation import text_of
from fathom.data.example import Example
from fathom.data.findings import SHOWN, Finding, Severity, order
from fathom.data.leaks import find_leaks
from fathom.data.split import content_key
from fathom.data.written_checks import check_written

RARE = 50
"""Examples below which a label is called rare (spaCy's bar for a new label)."""
SKEWED = 20.0
"""How many times the rarest label the most frequent one may be before imbalance is told."""
MOJIBAKE = ("\ufffd", "锟斤拷", "Ã©", "Ã¨", "Ã¼", "â€™", "â€œ")
"""Traces of text that was decoded wrongly before it came here."""

Parts = Mapping[str, Sequence[Example]]
Lengths = Callable[[Sequence[Example]], Sequence[int]]
"""Counts the tokens of each example, special tokens included."""


@dataclass(frozen=True)
class CheckOptions:
    """What is checked besides the splits themselves.

    Attributes:
        max_length: Tokens that are kept of a text; None checks no truncation.
        lengths: Counts tokens; None checks no truncation.
        max_leak_share: Share of a split that may also be in train before it is an error.
        allow_leaks: Leaks are warnings, however many.
        windows: Long texts are cut into windows, so nothing is lost.
        numeric: Whether labels are numbers to be predicted; None tells it by the labels.
        classes: Each example is given one of the labels, which must then be two at least.
    """

    max_length: int | None = None
    lengths: Lengths | None = None
    max_leak_share: float = 0.05
    allow_leaks: bool = False
    windows: bool = False
    numeric: bool | None = None
    classes: bool = False


def check_splits(parts: Parts, options: CheckOptions) -> tuple[dict[str, dict[str, Any]], tuple[Finding, ...]]:
    """Check splits (`train` first) by themselves and against each other.

    Returns:
        Facts of each split (see `CheckReport`), and the findings, errors first.
    """
    parts = {split: examples for split, examples in parts.items() if examples}
    counts = {split: count_labels(examples) for split, examples in parts.items()}
    findings: list[Finding] = []
    look_numeric = _are_numbers(parts.get("train", ()))
    numeric = look_numeric if options.numeric is None else options.numeric
    if numeric:
        findings += _check_numbers(parts)
    else:
        findings += _check_label_sets(parts, counts)
        findings += _check_balance(counts, options.classes and not _have_several(parts.get("train", ())))
        findings += [_NUMBERS_AS_CLASSES] if look_numeric else []
    for split, examples in parts.items():
        findings += _check_repeats(split, examples)
        findings += _check_characters(split, examples)
        findings += _check_truncation(split, examples, options)
        findings += check_written(split, examples)
    findings += _check_leaks(parts, options)
    facts = {split: _facts(examples, {} if numeric else counts[split]) for split, examples in parts.items()}
    return facts, order(findings)


def labels_of(example: Example) -> list[str]:
    """Return the labels of an example: its label or labels, or the types of its entities, one for each entity."""
    if "tags" in example:
        return [tag[2:] for tag in example["tags"] if tag[0] == "B"]
    label = example.get("label")
    return list(label) if isinstance(label, list) else [] if label is None else [str(label)]


def count_labels(examples: Sequence[Example]) -> Counter[str]:
    """Count labels (entities of each type), the most frequent first."""
    counts: Counter[str] = Counter()
    for example in examples:
        counts.update(labels_of(example))
    return Counter(dict(counts.most_common()))


def _facts(examples: Sequence[Example], counts: Mapping[str, int]) -> dict[str, Any]:
    if "digest" in examples[0]:
        return {"num_examples": len(examples), "labels": dict(counts)}
    characters = sorted(len(text_of(example)) for example in examples)
    return {
        "num_examples": len(examples),
        "labels": dict(counts),
        "median_characters": characters[len(characters) // 2],
        "longest_characters": characters[-1],
    }


def _are_numbers(examples: Sequence[Example]) -> bool:
    """Whether the labels are targets of a regression: numbers, nearly all different or with fractions."""
    labels = [example.get("label") for example in examples]
    values = {label for label in labels if isinstance(label, str)}
    if len(values) <= 20 or any(not isinstance(label, str) for label in labels):
        return False
    try:
        numbers = [float(value) for value in values]
    except ValueError:
        return False
    return len(values) > len(labels) // 2 or any(number % 1 for number in numbers if math.isfinite(number))


_NUMBERS_AS_CLASSES = Finding(
    "numbers-as-classes",
    "warning",
    "the labels look like measurements, and each of them counts as a class",
    1,
    (),
    "to predict the number: task.problem=regression",
)


def _have_several(examples: Sequence[Example]) -> bool:
    """Whether an example may have several labels."""
    return any(isinstance(example.get("label"), list) for example in examples)


def _check_numbers(parts: Parts) -> list[Finding]:
    findings = []
    for split, examples in parts.items():
        bad = [example for example in examples if not _is_finite(example.get("label"))]
        if bad:
            said = f"{len(bad)} labels of {split} are no finite numbers, the others are numbers"
            shown = tuple(f"{example['where']}: {example.get('label')!r}" for example in bad[:SHOWN])
            findings.append(Finding("label-type", "error", said, len(bad), shown, "correct or remove these rows"))
    return findings


def _is_finite(label: object) -> bool:
    try:
        return math.isfinite(float(str(label)))
    except ValueError:
        return False


def _check_label_sets(parts: Parts, counts: Mapping[str, Counter[str]]) -> list[Finding]:
    findings = []
    train = counts.get("train", Counter())
    for split in counts:
        if split == "train" or not train:
            continue
        unknown = [label for label in counts[split] if label not in train]
        if unknown:
            shown = tuple(_unknown_line(label, parts[split], train) for label in unknown[:SHOWN])
            said = f"{len(unknown)} labels of {split} do not occur in train"
            mend = "correct the spelling, or add training examples of them"
            findings.append(Finding("unknown-label", "error", said, len(unknown), shown, mend))
        missing = [label for label in train if label not in counts[split]]
        if missing:
            said = f"{len(missing)} labels of train do not occur in {split}, so they are not judged there"
            shown = tuple(f"'{label}' ({train[label]} in train)" for label in missing[:SHOWN])
            mend = f"add examples of them to {split}"
            findings.append(Finding("missing-label", "warning", said, len(missing), shown, mend))
    folded: dict[str, list[str]] = defaultdict(list)
    for label in dict.fromkeys(label for counter in counts.values() for label in counter):
        folded["".join(label.casefold().replace("_", " ").replace("-", " ").split())].append(label)
    twins = [names for names in folded.values() if len(names) > 1]
    if twins:
        shown = tuple(" = ".join(f"'{name}'" for name in names) for names in twins[:SHOWN])
        said = "labels that differ only in case, spaces or dashes count as different"
        findings.append(Finding("label-variants", "warning", said, len(twins), shown, "write them the same way"))
    return [*findings, *_check_joined(train)]


def _unknown_line(label: str, examples: Sequence[Example], train: Counter[str]) -> str:
    place = next(example["where"] for example in examples if label in labels_of(example))
    near = difflib.get_close_matches(label, list(train), n=1, cutoff=0.5)
    return f"{place}: '{label}'" + (f" (nearest in train: '{near[0]}')" if near else "")


def _check_joined(train: Counter[str]) -> list[Finding]:
    """Labels such as '1, 3' beside '1' and '3' are several labels in one cell."""
    for separator in (",", ";", "|", "/"):
        joined = [
            label
            for label in train
            if separator in label and all(part.strip() in train for part in label.split(separator))
        ]
        if joined:
            said = f"{len(joined)} labels are made of others joined by '{separator}', and count as classes of their own"
            mend = f"data.label_separator='{separator}' reads them as several labels"
            shown = tuple(f"'{label}' ({train[label]})" for label in joined[:SHOWN])
            return [Finding("joined-labels", "warning", said, len(joined), shown, mend)]
    return []


def _check_balance(counts: Mapping[str, Counter[str]], classes: bool) -> list[Finding]:
    train = counts.get("train", Counter())
    if not train:
        return []
    findings = []
    if len(train) == 1 and classes:
        said, mend = f"train has one label only, '{next(iter(train))}'", "a classifier needs at least two classes"
        findings.append(Finding("one-label", "error", said, 1, (), f"{mend}; check the label column"))
    rare = [label for label, count in train.items() if count < RARE]
    if rare:
        said = f"{len(rare)} of {len(train)} labels have fewer than {RARE} training examples"
        shown = tuple(f"'{label}': {train[label]}" for label in sorted(rare, key=lambda label: train[label])[:SHOWN])
        findings.append(Finding("rare-label", "warning", said, len(rare), shown, "add examples, or merge labels"))
    most, least = max(train.values()), min(train.values())
    if most > SKEWED * least:
        said = f"the most frequent label has {most:,} training examples, the rarest {least:,}"
        mend = "judge by macro F1; consider class weights"
        findings.append(Finding("imbalance", "warning", said, 1, (), mend))
    return findings


def _check_repeats(split: str, examples: Sequence[Example]) -> list[Finding]:
    groups: dict[str, list[Example]] = defaultdict(list)
    for example in examples:
        groups[content_key(example)].append(example)
    repeated = [group for group in groups.values() if len(group) > 1]
    findings = []
    if repeated:
        extra = sum(len(group) - 1 for group in repeated)
        said = f"{extra} examples of {split} repeat another of the same split"
        shown = tuple(f"{group[1]['where']} = {group[0]['where']}: {_quote(group[0])}" for group in repeated[:SHOWN])
        findings.append(Finding("duplicate", "note", said, extra, shown))
    conflicts = [group for group in repeated if len({_label_text(example) for example in group}) > 1]
    if conflicts:
        what = next((name for name in ("tags", "answers") if name in conflicts[0][0]), "labels")
        said = f"{len(conflicts)} texts of {split} occur with different {what}"
        shown = tuple(_conflict_line(group) for group in conflicts[:SHOWN])
        findings.append(Finding("conflict", "warning", said, len(conflicts), shown, "decide for one label"))
    return findings


def _quote(example: Example) -> str:
    return str(example["digest"])[:12] if "digest" in example else repr(text_of(example)[:60])


def _label_text(example: Example) -> str:
    if "answers" in example:
        return str(sorted({answer["text"] for answer in example["answers"]}))
    return str(example.get("tags", example.get("label")))


def _conflict_line(group: Sequence[Example]) -> str:
    first = group[0]
    other = next(example for example in group if _label_text(example) != _label_text(first))
    if "tags" in first or "answers" in first:
        return f"{first['where']} and {other['where']}: {_quote(first)}"
    return f"{first['where']} {first.get('label')!r} and {other['where']} {other.get('label')!r}: {_quote(first)}"


def _check_characters(split: str, examples: Sequence[Example]) -> list[Finding]:
    bad = [
        (example, mark)
        for example in examples
        if not (text := text_of(example)).isascii()
        for mark in MOJIBAKE
        if mark in text
    ]
    if not bad:
        return []
    said = f"{len(bad)} texts of {split} hold traces of a wrong decoding before they came here"
    shown = tuple(f"{example['where']}: {mark!r} in {_quote(example)}" for example, mark in bad[:SHOWN])
    return [Finding("mojibake", "warning", said, len(bad), shown, "get these texts again from their source")]


def _check_truncation(split: str, examples: Sequence[Example], options: CheckOptions) -> list[Finding]:
    if options.lengths is None or options.max_length is None:
        return []
    lengths = options.lengths(examples)
    limit = options.max_length
    cut = [place for place, length in enumerate(lengths) if length > limit]
    if not cut:
        return []
    share = len(cut) / len(examples)
    lost = sum(lengths[place] - limit for place in cut)
    shown = tuple(f"{examples[place]['where']}: {lengths[place]:,} tokens" for place in cut[:SHOWN])
    if options.windows:
        said = f"{len(cut)} texts of {split} ({share:.1%}) are longer than {limit} tokens and are read in windows"
        return [Finding("long-text", "note", said, len(cut), shown)]
    said = f"{len(cut)} texts of {split} ({share:.1%}) are cut at {limit} tokens, which loses {lost:,} tokens"
    severity: Severity = "warning" if share > 0.001 else "note"
    return [Finding("truncation", severity, said, len(cut), shown, "raise data.max_length, or split these texts")]


def _check_leaks(parts: Parts, options: CheckOptions) -> list[Finding]:
    findings = []
    names = list(parts)
    for number, later in enumerate(names):
        for earlier in names[:number]:
            leaks = find_leaks(parts[earlier], parts[later])
            if not leaks.complete:
                said = f"the search for near copies of {later} in {earlier} was stopped; there may be more"
                findings.append(Finding("leak-search", "note", said, 1))
            if not leaks.found:
                continue
            kinds = Counter(leak.kind for leak in leaks.found)
            surely = kinds["exact"] + kinds["normalized"]
            share = surely / len(parts[later])
            told = ", ".join(f"{count} {kind}" for kind, count in kinds.items())
            said = f"{len(leaks.found)} of {len(parts[later])} examples of {later} are also in {earlier} ({told})"
            shown = tuple(
                f"{parts[later][leak.later]['where']} = {parts[earlier][leak.earlier]['where']} ({leak.kind}): "
                f"{_quote(parts[later][leak.later])}"
                for leak in sorted(leaks.found, key=lambda leak: leak.kind == "near")[:SHOWN]
            )
            error = share > options.max_leak_share and not options.allow_leaks
            mend = f"look at them, and remove the copies from {earlier}" + (
                ", or accept them: data.allow_leaks=true" if error else ""
            )
            findings.append(Finding("leak", "error" if error else "warning", said, len(leaks.found), shown, mend))
    return findings
