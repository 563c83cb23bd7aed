"""5,000 spans to sub-words and back: identical, or reported with counts."""

from __future__ import annotations

import random

import numpy as np
import pytest
import torch

from fathom.tasks.token_classification import TokenClassification
from fathom.tokenization.align import coverage
from fathom.tokenization.survey import survey_spans
from tokenizers_for_tests import KINDS, tokenizer_of, words_and_text

ROUND_TRIPS = 5000


def _random_entities(generator, count):
    """Return non-overlapping (first, last) words."""
    entities, place = [], 0
    while place < count:
        if generator.random() < 0.4:
            last = min(place + generator.randint(0, 3), count - 1)
            entities.append((place, last))
            place = last
        place += 1
    return entities


@pytest.mark.parametrize("kind", KINDS)
def test_spans_of_running_text(kind):
    generator = random.Random(3)
    texts, words, spans = [], [], []
    while sum(map(len, spans)) < ROUND_TRIPS // len(KINDS):
        text, places = words_and_text(generator)
        texts.append(text)
        words.append(places)
        spans.append([(places[a][0], places[b][1]) for a, b in _random_entities(generator, len(places))])
    total = sum(map(len, spans))
    survey = survey_spans(tokenizer_of(kind), texts, words, spans)
    assert survey.moved == ()
    assert survey.identical + len(survey.untokenisable) + len(survey.shared) == total
    assert survey.identical > total * 0.8
    cut = survey_spans(tokenizer_of(kind), texts, words, spans, max_subwords=8)
    assert cut.moved == ()
    assert cut.identical + len(cut.untokenisable) + len(cut.truncated) + len(cut.shared) == total
    assert cut.truncated


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("max_length", [16, 512])
def test_entities_through_the_task(kind, max_length):
    """Tags, encoded, and predicted perfectly, decode to the same entities; only words without sub-words may differ."""
    generator = random.Random(5)
    tokenizer = tokenizer_of(kind)
    examples = []
    while sum(len(example["entities"]) for example in examples) < ROUND_TRIPS // len(KINDS):
        text, words = words_and_text(generator)
        tags, entities = ["O"] * len(words), []
        for first, last in _random_entities(generator, len(words)):
            name = generator.choice(["PER", "LOC"])
            tags[first : last + 1] = [f"B-{name}"] + [f"I-{name}"] * (last - first)
            entities.append((first, last, name))
        examples.append({"text": text, "words": words, "tags": tags, "entities": entities, "where": "made up"})
    task = TokenClassification(stride=2).open(examples, tokenizer, max_length)
    features = task.encode(examples)
    assert max(len(feature["input_ids"]) for feature in features) <= max_length
    mine = [[] for _ in examples]
    for feature in features:
        mine[int(feature["example"])].append(feature)
    units = [task.units(example)[0] for example in examples]
    missing = coverage(tokenizer, [task._strings(e, u) for e, u in zip(examples, units, strict=True)]).untokenised
    missing_of = {}
    for text, unit in missing:
        missing_of.setdefault(text, set()).add(unit)
    different = 0
    for index, example in enumerate(examples):
        raw = [task.raw_predictions(*_perfect(feature, example, task))[0] for feature in mine[index]]
        prediction = task.decode(example, mine[index], raw)
        gone = [tuple(place) for place in prediction.get("untokenised", [])]
        assert gone == [units[index][unit] for unit in sorted(missing_of.get(index, ()))]
        found, reference = task.score_pair(example, prediction)
        spans = units[index]
        lost = missing_of.get(index, set())
        for start, end, name in reference ^ found:
            different += 1
            inside = [unit for unit, (a, b) in enumerate(spans) if start <= a and b <= end]
            # A lost word in the entity, or right outside it (a lost B- lets two entities run together).
            assert lost & {inside[0] - 1, *inside, inside[-1] + 1}, (start, end, name)
    total = sum(len(example["entities"]) for example in examples)
    assert different <= total * 0.15


def _perfect(feature, example, task):
    """Logits that say the right tag at the first sub-word of every unit."""
    _, owners = task.units(example)
    word_index = feature["word_index"]
    logits = np.zeros((1, len(word_index), len(task.labels)), dtype=np.float32)
    for place, unit in enumerate(word_index):
        if unit >= 0:
            tag = example["tags"][owners[unit]]
            if tag[0] == "B" and unit and owners[unit - 1] == owners[unit]:
                tag = "I" + tag[1:]
            logits[0, place, task.labels.index(tag)] = 9.0
    return torch.from_numpy(logits), {"word_index": torch.from_numpy(word_index)[None]}
