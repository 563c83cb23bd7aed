"""Raw text to triples: a model finds the entities, another says how each pair is related."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, cast

from fathom.data.load import load_examples
from fathom.data.relations import candidate_pairs
from fathom.errors import DataError, ModelError
from fathom.log import get_console
from fathom.serving.predictor import Predictor
from fathom.tasks.relation_extraction import OpenRelationTask

Triple = tuple[int, int, str, str, int, int, str]
"""Head (start, end, type), relation, tail (start, end, type)."""


class Extractor:
    """Two models in a row.

    Args:
        entities: A model folder of token classification, or the folder of a run.
        relations: One of relation extraction whose training data had entity types; only pairs of types it saw related
            are asked about.

    Raises:
        ModelError: A model is for another task, or the relations know no types.
    """

    def __init__(self, entities: str | Path, relations: str | Path) -> None:
        self.entities = Predictor.load(entities)
        self.relations = Predictor.load(relations)
        if self.entities.task.kind != "token-classification":
            mend = "give a model of token-classification first"
            raise ModelError(f"a model of {self.entities.task.kind} finds no entities", where=str(entities), mend=mend)
        if not isinstance(self.relations.task, OpenRelationTask):
            mend = "give a model of relation-extraction second"
            message = f"a model of {self.relations.task.kind} finds no relations"
            raise ModelError(message, where=str(relations), mend=mend)
        self.task = self.relations.task
        if not self.task.pairs:
            mend = "train it on data whose entities have types"
            raise ModelError("the relations were learnt without entity types", where=str(relations), mend=mend)

    def extract(self, texts: Sequence[str], batch_size: int = 64) -> list[dict[str, Any]]:
        """Return for each text its `entities` and `triples`, with characters, texts and scores.

        A triple's score is that of the relation alone.
        """
        rows: list[dict[str, Any]] = []
        pairs: list[tuple[int, dict[str, Any]]] = []
        for number, (text, found) in enumerate(zip(texts, self.entities.predict(texts, batch_size), strict=True)):
            entities = [{**item, "type": item["label"]} for item in found["entities"]]
            rows.append({"text": text, "entities": found["entities"], "triples": []})
            for head, tail in candidate_pairs(entities, self.task.pairs):
                places = {role: _place(entities[at]) for role, at in (("head", head), ("tail", tail))}
                pairs.append((number, {"text": text, **places}))
        answers = self.relations.predict([given for _, given in pairs], batch_size)
        for (number, _), answer in zip(pairs, answers, strict=True):
            if answer["label"] != self.task.negative:
                triple = {key: answer[key] for key in ("head", "label", "tail", "score")}
                rows[number]["triples"].append(triple)
        return rows


def extract(
    entities: str | Path, relations: str | Path, inputs: str | Path | Iterable[str], *, batch_size: int = 64
) -> list[dict[str, Any]]:
    """Find entities and their relations in texts: from raw text to triples with offsets.

    Args:
        entities: Folder of a token classification model (or run).
        relations: Folder of a relation extraction model (or run), trained on typed entities.
        inputs: Texts; or a file as `fathom predict` takes it.
        batch_size: Sequences per forward pass.

    Returns:
        A row for each text: `text`, `entities`, and `triples`, each `{"head", "label", "tail", "score"}`.

    Raises:
        ModelError: A folder is no model, or one of another task.
        DataError: An input is wrong.
    """
    from fathom.runs.predict import read_inputs

    texts = [str(given["text"]) for given in read_inputs(cast("Any", inputs), "text")]
    return Extractor(entities, relations).extract(texts, batch_size)


def evaluate_triples(
    entities: str | Path, relations: str | Path, data: str, *, batch_size: int = 64
) -> dict[str, float]:
    """Score triples on a file of whole annotated texts: both entities, their types and the relation must be right.

    Every text counts. A stated triple is missed whatever the reason: an entity that was not found, types that the
    relations never saw related, a pair that is related twice. A triple found in a text that relates nothing is wrong.

    Args:
        entities: As in `extract`.
        relations: As in `extract`.
        data: A file that a relation task reads, or `helpdesk:relations/test`; `#n` samples texts.
        batch_size: Sequences per forward pass.

    Returns:
        `precision`, `recall` and `f1` over triples, and `num_texts`.

    Raises:
        DataError: The file has no typed entities, or says of a pair not how it is related.
    """
    extractor = Extractor(entities, relations)
    examples, notes = load_examples(data, "triples")
    for note in notes:
        get_console().info(note)
    counts: Counter[str] = Counter()
    for row, example in zip(extractor.extract([one["text"] for one in examples], batch_size), examples, strict=True):
        named = [triple for triple in example["triples"] if triple.get("label") != extractor.task.negative]
        stated = {_triple(triple, example["where"]) for triple in named}
        found = {_triple(triple, example["where"]) for triple in row["triples"]}
        counts.update(right=len(found & stated), given=len(found), there=len(stated))
    right, given, there = counts["right"], counts["given"], counts["there"]
    return {
        "precision": right / given if given else 0.0,
        "recall": right / there if there else 0.0,
        "f1": 2 * right / (given + there) if given + there else 0.0,
        "num_texts": len(examples),
    }


def _place(entity: Mapping[str, Any]) -> dict[str, Any]:
    return {key: entity[key] for key in ("start", "end", "type")}


def _triple(row: Mapping[str, Any], where: str) -> Triple:
    head, tail = row["head"], row["tail"]
    if "type" not in head or "type" not in tail:
        raise DataError("the entities have no types", where=where, mend="triples are judged with types; give them")
    if "label" not in row:
        raise DataError("the pair has no relation", where=where, mend="give the column of the relations")
    return (head["start"], head["end"], head["type"], row["label"], tail["start"], tail["end"], tail["type"])
