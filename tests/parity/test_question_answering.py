"""Question answering beside transformers: windows, labels, loss, and the answers of its example script."""

from __future__ import annotations

import collections
import random

import numpy as np
import pytest
import torch
from transformers import AutoModelForQuestionAnswering, BertConfig, DistilBertConfig, GPT2Config, LlamaConfig

from fathom.data.batch import collate, model_inputs
from fathom.model.packing import pack_model
from fathom.tasks.question_answering import QuestionAnswering
from tokenizers_for_tests import KINDS, tokenizer_of, words_and_text

SMALL = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 32}
CONFIGS = {
    "bert": BertConfig(**SMALL, vocab_size=512, max_position_embeddings=64),
    "distilbert": DistilBertConfig(dim=16, n_layers=2, n_heads=2, hidden_dim=32, vocab_size=512),
    "gpt2": GPT2Config(n_embd=16, n_layer=2, n_head=2, vocab_size=512, n_positions=64),
    "llama": LlamaConfig(**SMALL, num_key_value_heads=1, vocab_size=512, max_position_embeddings=64),
}


def examples_of(count, seed, kind=None):
    generator = random.Random(seed)
    found = []
    for number in range(count):
        pieces = [words_and_text(generator) for _ in range(4)]
        text = " ".join(piece for piece, _ in pieces)
        words = pieces[0][1]
        first = generator.randrange(len(words))
        start, end = words[first][0], words[min(first + generator.randrange(3), len(words) - 1)][1]
        answers = [{"text": text[start:end], "start": start}]
        found.append(
            {"text": text, "question": words_and_text(generator)[0], "answers": answers, "where": f"t:{number}"}
        )
    return found


def run_qa(tokenizer, examples, max_length, stride):
    """`prepare_train_features` of transformers' run_qa.py."""
    encoded = tokenizer(
        [example["question"].lstrip() for example in examples],
        [example["text"] for example in examples],
        truncation="only_second", max_length=max_length, stride=stride,
        return_overflowing_tokens=True, return_offsets_mapping=True,
    )  # fmt: skip
    labels = []
    for row, offsets in enumerate(encoded["offset_mapping"]):
        answer = examples[encoded["overflow_to_sample_mapping"][row]]["answers"][0]
        begin, stop = answer["start"], answer["start"] + len(answer["text"])
        owner = encoded.sequence_ids(row)
        first = owner.index(1)
        last = len(owner) - 1 - owner[::-1].index(1)
        if not (offsets[first][0] <= begin and offsets[last][1] >= stop):
            labels.append([0, 0])
            continue
        while first < len(offsets) and offsets[first][0] <= begin:
            first += 1
        while offsets[last][1] >= stop:
            last -= 1
        labels.append([first - 1, last + 1])
    return encoded, labels


@pytest.mark.parametrize("kind", KINDS)
def test_windows_are_those_of_the_tokenizer(kind):
    tokenizer = tokenizer_of(kind)
    examples = examples_of(60, 0)
    task = QuestionAnswering(stride=12, chinese_characters=False).open(examples, tokenizer, 96)
    features = task.encode(examples)
    encoded, _ = run_qa(tokenizer, examples, 96, 12)
    assert [feature["input_ids"].tolist() for feature in features] == encoded["input_ids"]
    assert [int(feature["example"]) for feature in features] == encoded["overflow_to_sample_mapping"]
    if "token_type_ids" in encoded:
        assert [feature["token_type_ids"].tolist() for feature in features] == encoded["token_type_ids"]


def test_labels_are_those_of_the_script():
    """Of words that the tokenizer keeps whole at their edges; the script widens others to the token before."""
    tokenizer = tokenizer_of("minilm")
    generator = random.Random(3)
    vocabulary = ["the", "of", "said", "that", "he", "visited", "a", "doctor", "Berlin", "2021", "unbelievable"]
    examples = []
    for number in range(80):
        words = generator.choices(vocabulary, k=generator.randint(20, 60))
        first = generator.randrange(len(words) - 4)
        start = len(" ".join(words[:first])) + bool(first)
        answer = {"text": " ".join(words[first : first + generator.randint(1, 4)]), "start": start}
        examples.append(
            {"text": " ".join(words), "question": "who said that?", "answers": [answer], "where": f"t:{number}"}
        )
    task = QuestionAnswering(stride=8).open(examples, tokenizer, 40)
    _, labels = run_qa(tokenizer, examples, 40, 8)
    ours = [feature["label"].tolist() for feature in task.encode(examples)]
    # Where the answer begins at the last token of a window, the script takes the [SEP] after it for its start.
    wrong = [row for row, (first, last) in enumerate(labels) if first > last]
    assert len(wrong) < 0.05 * len(labels)
    assert all(ours[row] == [labels[row][1]] * 2 for row in wrong)
    assert [found for row, found in enumerate(ours) if row not in wrong] == [
        found for row, found in enumerate(labels) if row not in wrong
    ]
    assert [0, 0] in ours


@pytest.mark.parametrize("family", CONFIGS)
def test_loss_and_packing(family):
    """The loss is the mean of the head's own over single sequences, whatever pads them; packed equals padded."""
    tokenizer = tokenizer_of("bpe")
    examples = examples_of(6, 1)
    task = QuestionAnswering(stride=8).open(examples, tokenizer, 48)
    torch.manual_seed(0)
    model = AutoModelForQuestionAnswering.from_config(CONFIGS[family]).eval()
    batch = collate(task.encode(examples), tokenizer.pad_token_id)
    single = []
    with torch.no_grad():
        for row, length in enumerate(batch["attention_mask"].sum(1).tolist()):
            inputs = {name: value[row : row + 1, :length] for name, value in model_inputs(batch).items()}
            start, end = batch["label"][row]
            single.append(model(**inputs, start_positions=start[None], end_positions=end[None]).loss)
        padded = task.logits(model(**model_inputs(batch)), batch)
        loss = task.loss(padded, batch).total / task.normalizer(batch)
        torch.testing.assert_close(loss, torch.stack(single).mean(), atol=2e-6, rtol=1e-6)
        packed = pack_model(model)
        assert packed.packed
        packed.prepare(batch["attention_mask"])
        together = task.logits(model(**model_inputs(batch)), batch)
    real = batch["attention_mask"].bool()
    torch.testing.assert_close(together[real], padded[real], atol=2e-6, rtol=1e-5)


def script_answers(example, features, logits, limits, *, unanswerable):
    """`postprocess_qa_predictions` of transformers' utils_qa.py, for one example."""
    count, most = limits
    minimum, prelim = None, []
    for feature, scores in zip(features, logits, strict=True):
        starts, ends = scores[:, 0], scores[:, 1]
        null = starts[0] + ends[0]
        minimum = null if minimum is None or minimum > null else minimum
        for start in np.argsort(starts)[-1 : -count - 1 : -1].tolist():
            for end in np.argsort(ends)[-1 : -count - 1 : -1].tolist():
                inside = feature["char_start"][start] >= 0 and feature["char_start"][end] >= 0
                if inside and end >= start and end - start + 1 <= most:
                    offsets = (int(feature["char_start"][start]), int(feature["char_end"][end]))
                    prelim.append((float(starts[start] + ends[end]), offsets))
    prelim.sort(key=lambda item: -item[0])
    best = example["text"][slice(*prelim[0][1])]
    if unanswerable and minimum - prelim[0][0] > 0:
        best = ""
    return best, float(minimum - prelim[0][0]), prelim


@pytest.mark.parametrize("unanswerable", [False, True])
def test_answers_are_those_of_the_script(unanswerable):
    examples = examples_of(100, 2)
    tokenizer = tokenizer_of("bpe")
    task = QuestionAnswering(stride=10, unanswerable=unanswerable, n_best=20).open(examples, tokenizer, 48)
    generator = np.random.default_rng(0)
    held_back = 0
    for example in examples:
        features = task.encode([example])
        logits = [generator.normal(size=(len(feature["input_ids"]), 2)).astype(np.float32) for feature in features]
        for scores, feature in zip(logits, features, strict=True):  # the script looks at 20 places, of any kind
            scores[(feature["char_start"] < 0) & (np.arange(len(scores)) > 0)] -= 9
            scores[0] += 2
        raw = []
        for scores, feature in zip(logits, features, strict=True):
            batch = {"char_start": torch.from_numpy(feature["char_start"])[None]}
            raw += task.raw_predictions(torch.from_numpy(scores)[None], batch)
        limits = (20, task.max_answer_length)
        answer, margin, prelim = script_answers(example, features, logits, limits, unanswerable=unanswerable)
        found = task.decode(example, features, raw)
        assert found["answer"] == answer
        held_back += not answer
        distinct = collections.OrderedDict((offsets, score) for score, offsets in reversed(prelim))
        assert [(item["start"], item["end"]) for item in found["n_best"][:5]] == [
            offsets for offsets, _ in sorted(distinct.items(), key=lambda item: (-item[1], item[0]))[:5]
        ]
        if unanswerable:
            assert found["margin"] == pytest.approx(margin, abs=1e-5)
    assert (held_back > 3) == unanswerable
