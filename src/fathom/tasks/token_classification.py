"""A tag for every word of a text, read as entities with character offsets."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, ClassVar, Literal

import numpy as np
import torch
from pydantic import Field
from torch import Tensor
from torch.nn import functional
from transformers import PreTrainedTokenizerBase

from fathom.data.example import IGNORED_LABEL, Example, Features
from fathom.errors import DataError
from fathom.tasks.base import FEWEST_LABELS, LABEL_SMOOTHING, Batch, LossSum, OpenTask, Task
from fathom.tasks.labels import ClassWeights, id_maps, place, unknown_label, weigh_classes
from fathom.tasks.tags import OUTSIDE, entity_runs, expand, repair, tag_set, type_of
from fathom.tasks.windows import deciding_window, plan_windows
from fathom.tokenization.encode import Flat, check_room, encode_words, needs_spaces, special_tokens, starts_of
from fathom.tokenization.words import Span, find_words, has_han, split_han

RECORD = np.dtype([("word", np.int32), ("tag", np.int32), ("score", np.float32)])
"""What decoding needs of one word: its index, the best tag, the probability of the entity type (B and I summed)."""


class TokenClassification(Task):
    """Token classification (NER): an IOB2 tag per word, from its first sub-word; entities with character offsets."""

    form: ClassVar[Literal["text", "spans"]] = "spans"
    auto_class: ClassVar[str] = "AutoModelForTokenClassification"

    kind: Literal["token-classification"] = "token-classification"
    """Catalog name."""
    label_smoothing: float = Field(0.0, ge=0, lt=1, validation_alias=LABEL_SMOOTHING)
    """Share of the probability spread evenly over all tags."""
    class_weights: ClassWeights = "none"
    """How much each tag counts in the loss: none, balanced (rare tags more), or {tag or entity type: weight}."""
    all_subwords: bool = False
    """Learn from every sub-word of a word (those after the first as I-), not from the first alone."""
    stride: int = Field(32, ge=0)
    """Words shared by neighbouring windows of a text longer than `max_length`."""
    chinese_characters: bool = True
    """Treat each Chinese character as a word of its own, so that no word segmentation is needed to predict."""

    def head_keys(self, num_labels: int | None = None) -> dict[str, Any]:
        """An output for each tag; see `Task.head_keys`."""
        return {"num_labels": num_labels or FEWEST_LABELS}

    def open(self, examples: Sequence[Example], tokenizer: PreTrainedTokenizerBase, max_length: int) -> OpenTokenTask:
        """Read the tags of the training examples; see `Task.open`."""
        counts: Counter[str] = Counter()
        for example in examples:
            if example.get("tags") is not None:
                check_tags(example)
                counts.update(example["tags"])
        if not counts:
            raise DataError(
                "no training example has tags",
                where=place(examples[0]) if examples else None,
                mend="name the tag column under data.columns",
            )
        labels = tag_set(counts)
        if len(labels) == 1:
            raise DataError(
                "every tag of the training split is O",
                where=place(examples[0]),
                mend="entities carry B- and I- tags; check the tag column",
            )
        chosen = self.class_weights
        if isinstance(chosen, dict):
            # An entity type stands for both of its tags; a tag named by itself comes before its type.
            by_type = {tag: chosen[type_of(tag)] for tag in labels if type_of(tag) in chosen}
            types = {type_of(tag) for tag in labels}
            chosen = by_type | {name: weight for name, weight in chosen.items() if name not in types}
        weights = weigh_classes(chosen, labels, counts)
        return OpenTokenTask(self, tokenizer, {"labels": labels, "weights": weights, "max_length": max_length})

    def reopen(self, state: Mapping[str, Any], tokenizer: PreTrainedTokenizerBase) -> OpenTokenTask:
        """Return the live task of a saved model; see `Task.reopen`."""
        return OpenTokenTask(type(self).model_validate(state["options"]), tokenizer, state)


class OpenTokenTask(OpenTask):
    """Token classification with its tags and tokenizer."""

    part: TokenClassification

    def __init__(self, part: TokenClassification, tokenizer: PreTrainedTokenizerBase, state: Mapping[str, Any]) -> None:
        self.part = part
        self.kind = part.kind
        self.tokenizer = tokenizer
        self.labels: tuple[str, ...] = tuple(state["labels"])
        self.weights: list[float] | None = state["weights"]
        self.max_length = int(state["max_length"])
        self._index = {label: index for index, label in enumerate(self.labels)}
        self._inside = np.array([self._index["I-" + tag[2:] if tag[0] == "B" else tag] for tag in self.labels])
        self._special = special_tokens(tokenizer)
        self._spaces = needs_spaces(tokenizer)
        check_room(self.max_length, self._special.count)
        self._weights_C = None if self.weights is None else torch.tensor(self.weights, dtype=torch.float32)
        self._same_type_CC = torch.tensor(
            [[float(type_of(one) == type_of(other)) for other in self.labels] for one in self.labels]
        )

    @property
    def config_overrides(self) -> dict[str, Any]:
        """Number of tags and label maps."""
        return id_maps(self.labels)

    @property
    def metrics(self) -> tuple[str, ...]:
        """Catalog names of the metrics."""
        return ("entity-f1",)

    @property
    def main_metric(self) -> str:
        """The score that chooses the best model."""
        return "f1"

    def cache_key(self) -> dict[str, Any]:
        """What the features depend on besides data and tokenizer."""
        options = {name: self.part.model_dump()[name] for name in ("all_subwords", "stride", "chinese_characters")}
        return {"kind": self.kind, "labels": list(self.labels), "max_length": self.max_length, **options}

    def state(self) -> dict[str, Any]:
        """Everything `reopen` needs, as JSON."""
        return {
            "kind": self.kind,
            "options": self.part.model_dump(mode="json"),
            "labels": list(self.labels),
            "weights": self.weights,
            "max_length": self.max_length,
        }

    def units(self, example: Example) -> tuple[list[Span], list[int]]:
        """Return the units that carry tags, as offsets into the text, and the word each unit is from.

        They are the example's words, Chinese ones split into characters; without words, those found in the text.
        """
        text = example["text"]
        given = example.get("words")
        words = find_words(text) if given is None else [(int(start), int(end)) for start, end in given]
        if self.part.chinese_characters and has_han(text):
            return split_han(text, words)
        return words, list(range(len(words)))

    def encode(self, examples: Sequence[Example], first_index: int = 0) -> list[Features]:
        """Encode examples: one feature each, or one per window of a text longer than `max_length`.

        A word covered by two windows is supervised in the one that decides about it. Words the tokenizer turns into
        nothing have no token and no label; `align.coverage` counts them.
        """
        units = [self.units(example) for example in examples]
        flat = encode_words(
            self.tokenizer,
            [self._strings(example, spans) for example, (spans, _) in zip(examples, units, strict=True)],
        )
        labels = self._token_labels(examples, units, flat)
        room = self.max_length - self._special.count
        starts = flat.starts.tolist()
        features: list[Features] = []
        for index, (spans, _) in enumerate(units):
            token_slice = slice(starts[index], starts[index + 1])
            ids, words = flat.ids[token_slice], flat.words[token_slice] if flat.words is not None else flat.ids[:0]
            own = None if labels is None else labels[token_slice]
            if len(ids) <= room:
                features.append(self._feature(ids, words, own, first_index + index))
                continue
            for kept, mine in self._windows(words, len(spans), room):
                shown = None if own is None else np.where(mine[kept], own[kept], IGNORED_LABEL).astype(np.int32)
                features.append(self._feature(ids[kept], words[kept], shown, first_index + index))
        return features

    def normalizer(self, batch: Batch) -> float:
        """Labelled tokens; with class weights the summed weights of their labels."""
        labels = batch["labels"]
        supervised = labels != IGNORED_LABEL
        if self._weights_C is None:
            return float(supervised.sum())
        return float(self._weights_C.to(labels.device)[labels[supervised].long()].sum())

    def loss(self, logits: Tensor, batch: Batch) -> LossSum:
        """Cross-entropy summed over the labelled tokens; the loss of transformers' own head before its mean."""
        labels_T = batch["labels"].to(logits.device).reshape(-1).long()
        supervised_T = labels_T != IGNORED_LABEL
        logits_SC = logits.reshape(-1, logits.shape[-1])[supervised_T].float()
        weights = None if self._weights_C is None else self._weights_C.to(logits.device)
        total = functional.cross_entropy(
            logits_SC,
            labels_T[supervised_T],
            weight=weights,
            label_smoothing=self.part.label_smoothing,
            reduction="sum",
        )
        return LossSum(total)

    def raw_predictions(self, logits: Tensor, batch: Batch) -> list[Any]:
        """For each sequence, a record (word, tag, score) of each word whose first sub-word it holds."""
        words_BL = batch["word_index"]
        before_BL = functional.pad(words_BL, (1, 0), value=-1)[:, :-1]
        first_BL = (words_BL >= 0) & (words_BL != before_BL)
        probabilities_SC = logits.detach()[first_BL.to(logits.device)].float().softmax(-1).cpu()
        tags_S = probabilities_SC.argmax(-1)
        scores_S = (probabilities_SC * self._same_type_CC[tags_S]).sum(-1).clamp(max=1.0)
        records = np.empty(len(tags_S), dtype=RECORD)
        records["word"] = words_BL[first_BL].cpu().numpy()
        records["tag"] = tags_S.numpy()
        records["score"] = scores_S.numpy()
        bounds = np.cumsum(first_BL.sum(-1).cpu().numpy())[:-1]
        return [records[start:end] for start, end in zip([0, *bounds], [*bounds, len(records)], strict=True)]

    def decode(self, example: Example, features: Sequence[Features], raw: Sequence[Any]) -> dict[str, Any]:
        """Join the windows of a text into entities and tags; see `OpenTask.decode`.

        An entity's score is the mean probability of its type over its words. `tags` goes with the example's words, or
        with `words` in the prediction where the example had none. `untokenised` lists words the tokenizer dropped.
        """
        text = example["text"]
        spans, owners = self.units(example)
        tag_U, score_U = _join(raw, len(spans))
        missing = np.flatnonzero(tag_U < 0)
        tags = [self.labels[tag] if tag >= 0 else OUTSIDE for tag in tag_U.tolist()]
        for unit in missing.tolist():
            _bridge(tags, unit, tag_U)
        tags = repair(tags)
        entities = []
        for first, last, kind in entity_runs(tags):
            start, end = spans[first][0], spans[last][1]
            known = [float(score_U[unit]) for unit in range(first, last + 1) if tag_U[unit] >= 0]
            score = sum(known) / len(known)
            entities.append({"start": start, "end": end, "label": kind, "text": text[start:end], "score": score})
        firsts = [unit for unit, owner in enumerate(owners) if unit == 0 or owner != owners[unit - 1]]
        prediction: dict[str, Any] = {"entities": entities, "tags": repair([tags[unit] for unit in firsts])}
        if example.get("words") is None:
            prediction["words"] = [list(spans[unit]) for unit in firsts]
        if len(missing):
            prediction["untokenised"] = [list(spans[unit]) for unit in missing.tolist()]
        return prediction

    def score_pair(self, example: Example, prediction: Mapping[str, Any]) -> tuple[Any, Any]:
        """Return the predicted and the annotated entities as sets of (start, end, type)."""
        if example.get("tags") is None:
            raise DataError("the example has no tags", where=place(example), mend="evaluate on labelled data")
        words = example["words"]
        reference = {(words[first][0], words[last][1], kind) for first, last, kind in entity_runs(example["tags"])}
        return {(item["start"], item["end"], item["label"]) for item in prediction["entities"]}, reference

    def _strings(self, example: Example, spans: Sequence[Span]) -> list[str]:
        text = example["text"]
        if not self._spaces:
            return [text[start:end] for start, end in spans]
        return [
            " " + text[start:end] if start > 0 and text[start - 1].isspace() else text[start:end]
            for start, end in spans
        ]

    def _token_labels(
        self, examples: Sequence[Example], units: Sequence[tuple[list[Span], list[int]]], flat: Flat
    ) -> np.ndarray[Any, Any] | None:
        """Return the label of every token of the run, or None where the examples are not labelled."""
        labelled = [example for example in examples if example.get("tags") is not None]
        if not labelled or flat.words is None:
            return None
        if len(labelled) < len(examples):
            bare = next(example for example in examples if example.get("tags") is None)
            raise DataError("tags are missing here and given elsewhere", where=place(bare), mend="remove the row")
        tags: list[int] = []
        for example, (_, owners) in zip(examples, units, strict=True):
            check_tags(example)
            try:
                tags.extend(self._index[tag] for tag in expand(example["tags"], owners))
            except KeyError as error:
                raise unknown_label(str(error.args[0]), self.labels, example) from None
        tags_U = np.array(tags, dtype=np.int32)
        unit_starts = starts_of(np.array([len(spans) for spans, _ in units]))[:-1]
        lengths = np.diff(flat.starts)
        unit_T = np.repeat(unit_starts, lengths) + flat.words
        first_T = np.ones(len(unit_T), dtype=bool)
        first_T[1:] = unit_T[1:] != unit_T[:-1]
        tags_T = tags_U[unit_T]
        after = self._inside[tags_T] if self.part.all_subwords else IGNORED_LABEL
        return np.where(first_T, tags_T, after).astype(np.int32)

    def _windows(
        self, words: np.ndarray[Any, Any], count: int, room: int
    ) -> Iterator[tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]]:
        """Yield, for each window of a text, its token positions, and a mask of the tokens it decides about."""
        lengths = np.bincount(words, minlength=count)
        firsts = starts_of(lengths)
        position = np.arange(len(words)) - firsts[words]
        windows = plan_windows(lengths, room, self.part.stride)
        owner = deciding_window(windows, count)
        for index, (start, end) in enumerate(windows):
            kept = np.arange(firsts[start], firsts[end])
            yield kept[position[kept] < room], owner[words] == index

    def _feature(
        self, ids: np.ndarray[Any, Any], words: np.ndarray[Any, Any], labels: np.ndarray[Any, Any] | None, example: int
    ) -> Features:
        special = self._special
        if not len(ids) and not special.count:
            ids, words = np.array([self._stand_in()], np.int32), np.array([-1], np.int32)
            labels = None if labels is None else np.array([IGNORED_LABEL], np.int32)
        outside = [np.full(len(part), -1, np.int32) for part in (special.prefix, special.suffix)]
        feature: Features = {
            "input_ids": np.concatenate([special.prefix, ids, special.suffix]),
            "word_index": np.concatenate([outside[0], words, outside[1]]),
            "example": np.array(example, dtype=np.int64),
        }
        if labels is not None:
            ignored = [np.full(len(part), IGNORED_LABEL, np.int32) for part in outside]
            feature["labels"] = np.concatenate([ignored[0], labels, ignored[1]])
        return feature

    def _stand_in(self) -> int:
        tokenizer = self.tokenizer
        known = (tokenizer.eos_token_id, tokenizer.bos_token_id, tokenizer.unk_token_id, tokenizer.pad_token_id)
        return int(next((token for token in known if token is not None), 0))


def check_tags(example: Example) -> None:
    """Check that an example has one IOB2 tag per word.

    Raises:
        DataError: Another number of tags than words, or a tag that is not O, B-type or I-type.
    """
    tags, words = example["tags"], example.get("words")
    if words is None or len(tags) != len(words):
        found = "no words" if words is None else f"{len(words)} words"
        raise DataError(f"{len(tags)} tags for {found}", where=place(example), mend="give one tag per word")
    for tag in tags:
        if tag != OUTSIDE and (tag[:2] not in {"B-", "I-"} or len(tag) < 3):
            raise DataError(f"'{tag}' is not an IOB2 tag", where=place(example), mend="write O, B-type or I-type")


def _join(raw: Sequence[Any], count: int) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    """Return tag and score of each unit from the window that decides about it; tag -1 where no token stood for it."""
    tag_U, score_U = np.full(count, -1, dtype=np.int64), np.zeros(count, dtype=np.float32)
    records = [record for record in raw if len(record)]
    windows = [(int(record["word"][0]), int(record["word"][-1]) + 1) for record in records]
    owner = deciding_window(windows, count) if windows else np.zeros(count, dtype=np.int64)
    for index, record in enumerate(records):
        mine = record[owner[record["word"]] == index]
        tag_U[mine["word"]] = mine["tag"]
        score_U[mine["word"]] = mine["score"]
    return tag_U, score_U


def _bridge(tags: list[str], unit: int, tag_U: np.ndarray[Any, Any]) -> None:
    """Give a word without tokens the tag its neighbours imply: an I- after it says that the entity runs through it."""
    before = tags[unit - 1] if unit else OUTSIDE
    following = np.flatnonzero(tag_U[unit + 1 :] >= 0)
    after = tags[unit + 1 + int(following[0])] if len(following) else OUTSIDE
    if after[0] == "I":
        tags[unit] = after if type_of(before) == type_of(after) else "B-" + type_of(after)
