from __future__ import annotations

import copy

import numpy as np
import pytest
import torch
from torch import nn
from transformers.modeling_outputs import TokenClassifierOutput

from fathom.data.batch import collate
from fathom.errors import ConfigError, DataError
from fathom.tasks.pooling import entity_weights
from fathom.tasks.relation_extraction import RelationExtraction
from tokenizers_for_tests import tokenizer_of

TEXT = "Smith visited Berlin in May"


def _example(text=TEXT, head="Smith", tail="Berlin", label="visits", **changes):
    places = {}
    for role, name in (("head", head), ("tail", tail)):
        start = text.index(name)
        places[role] = {"start": start, "end": start + len(name)}
    return {"text": text, **places, "label": label, "where": "train.tsv:1", **changes}


def _typed(**changes):
    example = _example(**changes)
    example["head"]["type"], example["tail"]["type"] = "PERSON", "PLACE"
    return example


EXAMPLES = [_example(), _example(head="Berlin", tail="May", label="Other")]


def _open(examples=EXAMPLES, kind="minilm", max_length=64, **options):
    return RelationExtraction(**options).open(examples, copy.deepcopy(tokenizer_of(kind)), max_length)


def _tokens(task, feature):
    return task.tokenizer.convert_ids_to_tokens(feature["input_ids"].tolist())


def test_labels_negative_and_head():
    task = _open()
    assert task.labels == ("Other", "visits")
    assert task.negative == "Other"
    assert task.config_overrides["num_labels"] == 4
    assert task.config_overrides["id2label"][3] == "tail:visits"
    assert _open([_example(), _example(label="likes")]).negative is None
    assert _open(no_relation="visits").negative == "visits"


def test_two_labels_that_look_negative_are_not_guessed():
    assert _open([*EXAMPLES, _example(label="unknown")]).negative is None


@pytest.mark.parametrize("kind", ["minilm", "byte-level", "byte-level-prefix"])
@pytest.mark.parametrize("markers", ["punctuation", "tokens"])
def test_places_are_those_of_the_marks(kind, markers):
    task = _open(kind=kind, markers=markers)
    feature = task.encode(EXAMPLES[:1])[0]
    tokens = _tokens(task, feature)
    places = feature["places"].reshape(6, 2).tolist()
    shown = ["".join(tokens[first : last + 1]).replace("Ġ", " ").strip().lower() for first, last in places]
    marks = ["@", "@", "#", "#"] if markers == "punctuation" else ["<e1>", "</e1>", "<e2>", "</e2>"]
    assert shown == [marks[0], "smith", marks[1], marks[2], "berlin", marks[3]]


def test_new_tokens_have_the_pieces_that_stood_there():
    task = _open(markers="tokens")
    plain = tokenizer_of("minilm")
    assert len(task.new_tokens) == 4
    for token, pieces in task.new_tokens.items():
        name = task.tokenizer.convert_ids_to_tokens(token)
        assert list(pieces) == plain.encode(name, add_special_tokens=False)
    assert RelationExtraction(markers="tokens").reopen(task.state(), task.tokenizer).new_tokens == {}


def test_types_are_marked_where_every_example_has_them():
    task = _open([_typed(), _typed(head="Berlin", tail="May", label="Other")])
    assert task.types == ("person", "place")
    assert task.pairs == {("PERSON", "PLACE")}
    assert "* person * Smith" in task.mark(_typed()).text
    with pytest.raises(DataError, match="has no type"):
        task.mark(_example())
    assert _open([_typed(), *EXAMPLES]).types == ()
    with pytest.raises(DataError, match="an entity has no type"):
        _open([_typed(), *EXAMPLES], typed=True)


def test_a_long_text_keeps_what_is_nearest_to_the_marks():
    text = " ".join(["far"] * 60 + ["Smith"] + ["between"] * 60 + ["Berlin"] + ["after"] * 60)
    task = _open([_example(text), _example(text, label="Other")], max_length=40)
    feature = task.encode([_example(text)])[0]
    assert len(feature["input_ids"]) == 40
    assert feature["truncated"] == 1
    tokens = _tokens(task, feature)
    marks = feature["places"].reshape(2, 3, 2)
    assert [tokens[place].strip("Ġ▁") for place in marks[:, 0, 0]] == ["@", "#"]
    assert [tokens[place].strip("Ġ▁") for place in marks[:, 2, 0]] == ["@", "#"]
    whole = _open([_example(text), _example(text, label="Other")], max_length=4000)
    for role in range(2):
        inside = slice(marks[role, 1, 0], marks[role, 1, 1] + 1)
        expected = whole.encode([_example(text)])[0]
        other = expected["places"].reshape(2, 3, 2)[role, 1]
        assert tokens[inside] == _tokens(whole, expected)[other[0] : other[1] + 1]


@pytest.mark.parametrize("pooling", ["entity-start", "marker", "span"])
def test_logits_are_a_linear_layer_over_both_states_side_by_side(pooling):
    """The token classifier's halves summed are `Linear([head; tail])` with the sum of both biases."""
    task = _open(pooling=pooling)
    features = task.encode([*EXAMPLES, _example("Smith saw the unbelievable Berlin")])
    batch = collate(features, 0)
    states_BLD = torch.randn(3, batch["input_ids"].shape[1], 8, generator=torch.Generator().manual_seed(1))
    states_BLD[batch["attention_mask"] == 0] = float("nan")
    head = nn.Linear(8, 4)
    found = task.logits(TokenClassifierOutput(logits=head(states_BLD)), batch)
    both = nn.Linear(16, 2)
    with torch.no_grad():
        both.weight.copy_(torch.cat([head.weight[:2], head.weight[2:]], 1))
        both.bias.copy_(head.bias[:2] + head.bias[2:])
    for row, feature in enumerate(features):
        pooled = []
        for marks in feature["places"].reshape(2, 3, 2):
            opening, closing = states_BLD[row, marks[0, 0]], states_BLD[row, marks[2, 0]]
            inside = states_BLD[row, marks[1, 0] : marks[1, 1] + 1].mean(0)
            pooled.append({"entity-start": opening, "marker": (opening + closing) / 2, "span": inside}[pooling])
        torch.testing.assert_close(found[row], both(torch.cat(pooled)))


def test_weights_of_places_sum_to_one():
    places = torch.tensor([[1, 1, 2, 3, 4, 4, 6, 6, 7, 7, 8, 8]])
    for pooling in ("entity-start", "marker", "span"):
        assert entity_weights(places, 10, pooling).sum(-1).tolist() == [[1.0, 1.0]]


def test_loss_is_cross_entropy_with_the_weights_of_labels():
    task = _open(class_weights={"visits": 3.0}, label_smoothing=0.1)
    logits = torch.tensor([[0.2, 1.0], [0.5, -1.0]])
    batch = {"label": torch.tensor([1, 0])}
    expected = nn.CrossEntropyLoss(weight=torch.tensor([1.0, 3.0]), label_smoothing=0.1)(logits, batch["label"])
    assert float(task.loss(logits, batch).total / task.normalizer(batch)) == pytest.approx(float(expected))


def test_decoding_names_the_entities_and_the_relation():
    task = _open()
    prediction = task.decode(EXAMPLES[0], [], [np.array([0.25, 0.75], dtype=np.float32)])
    assert prediction["label"] == "visits"
    assert prediction["head"] == {"start": 0, "end": 5, "text": "Smith"}
    assert prediction["probabilities"] == {"Other": 0.25, "visits": 0.75}
    assert task.score_pair(EXAMPLES[0], prediction) == ("visits", "visits")
    assert task.score_pair(EXAMPLES[1], prediction) == ("visits", None)


def test_inputs_are_marked_texts_or_have_places():
    task = _open()
    example = task.prepare({"text": "<e1>Smith</e1> saw <e2>Berlin</e2>", "where": "input 1"})
    assert (example["text"], example["tail"]) == ("Smith saw Berlin", {"start": 10, "end": 16})
    for given, said in (
        ({"text": "Smith saw Berlin"}, "does not mark two"),
        ({"text": "Smith saw", "head": {"start": 0, "end": 5}}, "tail has no start"),
        ({"text": "Smith", "head": {"start": 0, "end": 5}, "tail": {"start": 0, "end": 9}}, "not inside"),
    ):
        with pytest.raises(DataError, match=said):
            task.prepare({**given, "where": "input 1"})


def test_what_cannot_be_learnt():
    with pytest.raises(DataError, match="only the relation"):
        _open(EXAMPLES[:1])
    with pytest.raises(ConfigError, match=r"no relation is called 'othr'.*did you mean 'Other'"):
        _open(no_relation="othr")
    with pytest.raises(ConfigError, match="does not know the signs @ #"):
        _open(kind="bpe")
    with pytest.raises(ConfigError, match="leaves no room"):
        _open(max_length=12)
    with pytest.raises(DataError, match="did you mean 'visits'"):
        _open().encode([_example(label="visit")])
