"""The answer to a question, as a span of a passage, or that the passage holds none."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Literal

import numpy as np
import torch
from pydantic import Field
from torch import Tensor
from torch.nn import functional
from transformers import PreTrainedTokenizerBase

from fathom.data.batch import collate
from fathom.data.draw import Draw
from fathom.data.example import Example, Features
from fathom.errors import DataError
from fathom.tasks.answers import join_windows, shares, window_scores
from fathom.tasks.base import Batch, LossSum, OpenTask, Task
from fathom.tasks.labels import place
from fathom.tokenization.align import Encoded, spans_to_subwords
from fathom.tokenization.encode import check_room
from fathom.tokenization.passages import encode_passages, pair_template, plan_token_windows
from fathom.tokenization.words import HAN

USUAL_ANSWER = 30
"""Tokens of the longest answer where the training answers are shorter; the usual limit for SQuAD."""
COVERED = 99
"""Percent of the training answers that the limit covers."""
NOTHING = 0
"""The token at which start and end point where a window holds no answer: the first, [CLS] where there is one."""

_HAN = re.compile(f"[{HAN}]")


class QuestionAnswering(Task):
    """Extractive question answering: the span of a passage that answers a question, or that there is none."""

    form: ClassVar[Literal["text", "spans", "questions"]] = "questions"
    auto_class: ClassVar[str] = "AutoModelForQuestionAnswering"

    kind: Literal["question-answering"] = "question-answering"
    """Catalog name."""
    stride: int = Field(128, ge=0)
    """Tokens shared by neighbouring windows of a passage longer than `max_length`; at most half a window."""
    max_question_length: int = Field(64, ge=1)
    """Tokens kept of a question; at most half of `max_length`."""
    max_answer_length: int | None = Field(None, ge=1)
    """Tokens of the longest answer; left out, what covers 99% of the training answers, and at least 30."""
    n_best: int = Field(20, ge=1)
    """Starts and ends looked at in each window, and answers given with their scores."""
    unanswerable: Literal["auto"] | bool = "auto"
    """Whether a passage may hold no answer; auto says so where training questions have none. The threshold from which
    that is said is tuned on the validation split and saved with the model."""
    rule: Literal["auto", "squad", "cmrc"] = "auto"
    """How answers are judged: by SQuAD's rule (words), or by that of CMRC 2018 (Chinese characters and English words);
    auto takes CMRC's where at least half of the training passages are Chinese."""
    chinese_characters: bool = True
    """Let answers begin and end at any Chinese character, whatever sub-words the tokenizer makes of them."""

    def head_keys(self, num_labels: int | None = None) -> dict[str, Any]:
        """A score for the start and one for the end; see `Task.head_keys`."""
        return {**super().head_keys(num_labels), "num_labels": 2}

    def open(
        self, examples: Sequence[Example], tokenizer: PreTrainedTokenizerBase, max_length: int
    ) -> OpenQuestionTask:
        """Read from the training examples whether answers may be missing, and how long they are; see `Task.open`."""
        if not any(example.get("answers") for example in examples):
            raise DataError(
                "no training question has an answer",
                where=place(examples[0]) if examples else None,
                mend="name the column of the answers: data.columns.answers=NAME",
            )
        unanswerable = self.unanswerable
        if unanswerable == "auto":
            unanswerable = any(example.get("answers") == [] for example in examples)
        rule = self.rule
        if rule == "auto":
            passages = {example["text"] for example in examples}
            rule = "cmrc" if 2 * sum(map(_is_chinese, passages)) >= len(passages) else "squad"
        state = {
            "unanswerable": unanswerable,
            "rule": rule,
            "threshold": 0.0,
            "max_length": max_length,
            "max_answer_length": self.max_answer_length or self._longest(examples, tokenizer),
        }
        return OpenQuestionTask(self, tokenizer, state)

    def reopen(self, state: Mapping[str, Any], tokenizer: PreTrainedTokenizerBase) -> OpenQuestionTask:
        """Return the live task of a saved model; see `Task.reopen`."""
        return OpenQuestionTask(type(self).model_validate(state["options"]), tokenizer, state)

    def _longest(self, examples: Sequence[Example], tokenizer: PreTrainedTokenizerBase) -> int:
        texts = [answer["text"] for example in examples for answer in example.get("answers", ())[:1]]
        encoded = encode_passages(tokenizer, texts, by_character=self.chinese_characters)
        return max(USUAL_ANSWER, math.ceil(float(np.percentile(np.diff(encoded.starts), COVERED))))


class OpenQuestionTask(OpenTask):
    """Question answering with its threshold and tokenizer."""

    part: QuestionAnswering

    tells_others = True

    def __init__(self, part: QuestionAnswering, tokenizer: PreTrainedTokenizerBase, state: Mapping[str, Any]) -> None:
        self.part = part
        self.kind = part.kind
        self.tokenizer = tokenizer
        self.labels: tuple[str, ...] = ()
        self.unanswerable = bool(state["unanswerable"])
        self.rule: str = state["rule"]
        self.threshold = float(state["threshold"])
        self.max_length = int(state["max_length"])
        self.max_answer_length = int(state["max_answer_length"])
        self._template = pair_template(tokenizer)
        self._types = "token_type_ids" in tokenizer.model_input_names
        check_room(self.max_length, self._template.count + 1)  # a token of each text at least

    @property
    def config_overrides(self) -> dict[str, Any]:
        """A score for the start and one for the end."""
        return self.part.head_keys()

    @property
    def metrics(self) -> tuple[str, ...]:
        """Catalog names of the metrics: by the rule, with thresholds where answers may be missing."""
        return (f"{self.rule}-v2" if self.unanswerable else self.rule,)

    @property
    def main_metric(self) -> str:
        """The score that chooses the best model."""
        return "f1"

    @property
    def limit(self) -> str:
        """What is read of a question at most, in words; a passage is read in windows."""
        return f"{self.part.max_question_length} tokens in their question"

    def cache_key(self) -> dict[str, Any]:
        """What the features depend on besides data and tokenizer."""
        options = self.part.model_dump(include={"stride", "max_question_length", "chinese_characters"})
        return {"kind": self.kind, "max_length": self.max_length, "unanswerable": self.unanswerable, **options}

    def state(self) -> dict[str, Any]:
        """Everything `reopen` needs, as JSON."""
        return {
            "kind": self.kind,
            "options": self.part.model_dump(mode="json"),
            "labels": [],
            "unanswerable": self.unanswerable,
            "rule": self.rule,
            "threshold": self.threshold,
            "max_length": self.max_length,
            "max_answer_length": self.max_answer_length,
        }

    def encode(self, examples: Sequence[Example], first_index: int = 0) -> list[Features]:
        """Encode examples: one feature for each window of the passage, `[CLS] question [SEP] window [SEP]`.

        `label` is the first and last token of the answer, or `NOTHING` twice where the window does not hold all of it.
        Each distinct passage is tokenized once, however many questions it has. `truncated` is 1 where a question was
        cut.
        """
        passages = {text: place for place, text in enumerate(dict.fromkeys(example["text"] for example in examples))}
        by_character = self.part.chinese_characters
        encoded = encode_passages(self.tokenizer, list(passages), by_character=by_character)
        asked = encode_passages(self.tokenizer, [_question(example) for example in examples], by_character=by_character)
        labelled = any("answers" in example for example in examples)
        features: list[Features] = []
        for index, example in enumerate(examples):
            if labelled and "answers" not in example:
                mend = "give answers to every question; an empty list says that there is none"
                raise DataError("answers are missing here and given elsewhere", where=place(example), mend=mend)
            number = passages[example["text"]]
            windows = self._windows(asked.of(index)[0], encoded.of(number), first_index + index)
            if labelled:
                answer = self._answer(example, encoded, number)
                for feature, window in windows:
                    feature["label"] = _label(answer, window)
            features += [feature for feature, _ in windows]
        return features

    def make_batch(self, features: Sequence[Features], draw: Draw) -> Batch:
        """Put sequences into one padded batch, without what only decoding reads."""
        kept = [{name: value for name, value in feature.items() if name != "char_end"} for feature in features]
        return collate(kept, self.tokenizer.pad_token_id or 0)

    def normalizer(self, batch: Batch) -> float:
        """Sequences."""
        return float(len(batch["label"]))

    def logits(self, output: Any, batch: Batch) -> Tensor:
        """Return the scores of start and end, [B, L, 2]."""
        return torch.stack([output.start_logits, output.end_logits], dim=-1)

    def loss(self, logits: Tensor, batch: Batch) -> LossSum:
        """Mean of the cross-entropies of start and end over the tokens of the sequence, summed over sequences.

        It is the loss of transformers' own heads without padding, which counts padding as places where there is some.
        """
        real_BL = batch["attention_mask"].to(logits.device).bool()
        logits_BL2 = logits.float().masked_fill(~real_BL[..., None], -torch.inf)
        label_B2 = batch["label"].to(logits.device)
        total = functional.cross_entropy(logits_BL2, label_B2, reduction="sum")
        return LossSum(total / 2)

    def raw_predictions(self, logits: Tensor, batch: Batch) -> list[Any]:
        """The best starts and ends of each sequence, and the score that it holds no answer."""
        return list(window_scores(logits, (batch["char_start"] >= 0).to(logits.device), self.part.n_best))

    def decode(self, example: Example, features: Sequence[Features], raw: Sequence[Any]) -> dict[str, Any]:
        """Join the windows of a passage into `answer`, `start`, `end`, `score` and `n_best`.

        Offsets are into the passage; without an answer they are None and `answer` is empty. `score` is the probability
        among the candidates. Where answers may be missing, `no_answer` is the probability that there is none, and
        `margin` how much that scores above the best answer: above the model's threshold no answer is given.
        """
        text = example["text"]
        found = join_windows(features, raw, self.max_answer_length, self.part.n_best)
        null = min(window.null_score for window in raw)
        margin = null - found[0].score if found else math.inf
        scores = [candidate.score for candidate in found] + [null] * (self.unanswerable or not found)
        probabilities = shares(scores)
        n_best = [
            {"text": text[item.start : item.end], "start": item.start, "end": item.end, "score": share}
            for item, share in zip(found, probabilities, strict=False)
        ]
        told: dict[str, Any] = {"truncated": True} if int(features[0]["truncated"]) else {}
        if self.unanswerable:
            told = {"no_answer": probabilities[-1], "margin": min(margin, 1e9), **told}
        if not found or (self.unanswerable and margin > self.threshold):
            return {"answer": "", "start": None, "end": None, "score": probabilities[-1], **told, "n_best": n_best}
        best = n_best[0]
        answer = {"answer": best["text"], "start": best["start"], "end": best["end"], "score": best["score"]}
        return {**answer, **told, "n_best": n_best}

    def score_pair(self, example: Example, prediction: Mapping[str, Any]) -> tuple[Any, Any]:
        """Return (answer, best span, margin), and the accepted answers; see `evaluation.answers`."""
        if "answers" not in example:
            raise DataError("the question has no answers", where=place(example), mend="evaluate on labelled data")
        best = prediction["n_best"][0]["text"] if prediction["n_best"] else ""
        answered = (prediction["answer"], best, prediction.get("margin", 0.0))
        return answered, [answer["text"] for answer in example["answers"]]

    def settle(self, scores: Mapping[str, Any]) -> bool:
        """Take the threshold that is best on the validation split."""
        if not self.unanswerable or scores["best_f1_threshold"] == self.threshold:
            return False
        self.threshold = float(scores["best_f1_threshold"])
        return True

    def _answer(self, example: Example, encoded: Encoded, number: int) -> tuple[int, int] | None:
        """The first and last token of the first answer that stands in the passage; None where there is none."""
        answers = example["answers"]
        if not answers:
            if not self.unanswerable:
                raise DataError(
                    "the question has no answer, and all training questions have one",
                    where=place(example),
                    mend="set task.unanswerable to true when training, or remove the question",
                )
            return None
        spans = [(item["start"], item["start"] + len(item["text"])) for item in answers if item["start"] >= 0]
        if not spans:
            return None
        (first, last), *_ = spans_to_subwords(spans[:1], encoded.of(number)[1]).tolist()
        return (first, last) if first >= 0 else None

    def _windows(
        self, question: Any, passage: tuple[Any, Any], example: int
    ) -> list[tuple[Features, tuple[int, int, int]]]:
        """Return a feature for each window, with its first and end token of the passage and where they begin."""
        template = self._template
        room = self.max_length - template.count
        kept = question[: min(self.part.max_question_length, max(1, room // 2))]
        room -= len(kept)
        ids_T, offsets_T2 = passage
        before = len(template.prefix) + len(kept) + len(template.middle)
        windows: list[tuple[Features, tuple[int, int, int]]] = []
        for start, end in plan_token_windows(len(ids_T), room, min(self.part.stride, room // 2)):
            ids, types = template.join(kept, ids_T[start:end])
            places = np.full((2, len(ids)), -1, dtype=np.int32)
            own = offsets_T2[start:end]
            full = own[:, 1] > own[:, 0]
            places[:, before : before + end - start] = np.where(full[:, None], own, -1).T
            feature: Features = {
                "input_ids": ids,
                "char_start": places[0],
                "char_end": places[1],
                "example": np.array(example, dtype=np.int64),
                "truncated": np.array(len(kept) < len(question), dtype=np.int64),
            }
            if self._types:
                feature["token_type_ids"] = types
            windows.append((feature, (start, end, before)))
        return windows


def _label(answer: tuple[int, int] | None, window: tuple[int, int, int]) -> Any:
    start, end, before = window
    if answer is None or answer[0] < start or answer[1] >= end:
        return np.array([NOTHING, NOTHING], dtype=np.int64)
    return np.array([before + answer[0] - start, before + answer[1] - start], dtype=np.int64)


def _question(example: Example) -> str:
    question = example.get("question")
    if not isinstance(question, str):
        raise DataError("the question is missing", where=place(example), mend='give {"question": ..., "context": ...}')
    return question.lstrip()


def _is_chinese(text: str) -> bool:
    return 4 * len(_HAN.findall(text)) > sum(character.isalnum() for character in text)
