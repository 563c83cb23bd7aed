"""A saved embedding model is one of sentence-transformers, and the losses are that library's."""

from __future__ import annotations

import importlib
import importlib.util
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from fathom import catalog
from fathom.recipe import Recipe, load_recipe
from fathom.runs.predict import predict
from fathom.runs.train import train
from runs_for_tests import make_model, sentences

pytestmark = pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::DeprecationWarning")
POOLED = [("mean", True), ("cls", False), ("last", True)]


@pytest.fixture(scope="module")
def library() -> Any:
    return pytest.importorskip("sentence_transformers", reason="sentence-transformers is not installed")


@pytest.fixture(scope="module")
def losses(library: Any) -> Any:
    """Where the library keeps its losses; before version 6 directly below it."""
    name = "sentence_transformers.sentence_transformer.losses"
    return importlib.import_module(name if importlib.util.find_spec(name) else "sentence_transformers.losses")


def recipe(folder: Path, pooling: str, normalize: bool) -> Recipe:
    model = make_model(folder / "base")
    rows = [f"{text},the {colour}" for text, colour, _ in sentences(24, 1)]
    (folder / "train.csv").write_text("\n".join(["anchor,positive", *rows]) + "\n", encoding="utf-8")
    text = f"""
model: {model}
data: {{train: {folder / "train.csv"}}}
task: {{kind: sentence-embedding, pooling: {pooling}, normalize: {str(normalize).lower()}}}
training: {{max_steps: 2, batch_size: 8, threads: 1, precision: fp32}}
output: {folder / "run"}
"""
    (folder / "recipe.yaml").write_text(text, encoding="utf-8")
    return load_recipe(folder / "recipe.yaml")


@pytest.mark.parametrize(("pooling", "normalize"), POOLED)
def test_the_library_gives_the_same_vectors(library: Any, tmp_path: Path, pooling: str, normalize: bool) -> None:
    folder = train(recipe(tmp_path, pooling, normalize)).folder / "model"
    texts = ["the thing1 is red", "thing2 thing3 is blue and the thing4", "green"]
    ours = np.array([row["embedding"] for row in predict(folder, texts)], dtype=np.float32)
    loaded = library.SentenceTransformer(str(folder), device="cpu")
    theirs = loaded.encode(texts)
    np.testing.assert_allclose(ours, theirs, atol=1e-5)
    assert loaded.max_seq_length == 64
    assert np.allclose(np.linalg.norm(ours, axis=1), 1.0, atol=1e-5) == normalize


def embeddings(seed: int, rows: int, columns: int) -> list[torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return [torch.randn(rows, 12, generator=generator, requires_grad=True) for _ in range(columns)]


def our_loss(columns: list[torch.Tensor], scores: torch.Tensor | None = None, **options: Any) -> torch.Tensor:
    rows = len(columns[0])
    example: dict[str, Any] = {"text": "a", "text_pair": "b", "where": "x:1"}
    if scores is not None:
        example["score"] = 1.0
    task = catalog.load("task", "sentence-embedding")(**options).open([example], None, 8)
    vectors = torch.stack(columns, dim=1).flatten(0, 1)
    batch = {
        "place": torch.arange(len(columns)).repeat(rows),
        "row": torch.arange(rows).repeat_interleave(len(columns)),
        "identity": torch.arange(len(vectors)),
        "group": torch.full((rows,), -1),
        "score": torch.zeros(rows) if scores is None else scores,
    }
    total: torch.Tensor = task.loss(vectors, batch).total / task.normalizer(batch)
    return total


def compare(ours: torch.Tensor, theirs: torch.Tensor, columns: list[torch.Tensor]) -> None:
    torch.testing.assert_close(ours, theirs, atol=1e-6, rtol=1e-5)
    first, second = (torch.autograd.grad(loss, columns) for loss in (ours, theirs))
    for own, other in zip(first, second, strict=True):
        torch.testing.assert_close(own, other, atol=1e-6, rtol=1e-4)


@pytest.mark.parametrize("negatives", [0, 2])
def test_in_batch_negatives(losses: Any, negatives: int) -> None:
    columns = embeddings(1, 7, 2 + negatives)
    theirs = losses.MultipleNegativesRankingLoss(None).compute_loss_from_embeddings(columns, None)
    compare(our_loss(columns), theirs, columns)


def test_symmetric(losses: Any) -> None:
    columns = embeddings(2, 7, 2)
    made = losses.MultipleNegativesSymmetricRankingLoss(None)
    compare(our_loss(columns, symmetric=True), made.compute_loss_from_embeddings(columns, None), columns)


def test_cosent(losses: Any) -> None:
    columns, scores = embeddings(3, 9, 2), torch.tensor([0, 1, 2, 3, 4, 4, 3, 0, 2]) / 4
    theirs = losses.CoSENTLoss(None).compute_loss_from_embeddings(columns, scores)
    compare(our_loss(columns, scores), theirs, columns)


def test_cosine_error(losses: Any) -> None:
    columns, scores = embeddings(4, 9, 2), torch.linspace(0, 1, 9)
    theirs = losses.CosineSimilarityLoss(None).compute_loss_from_embeddings(columns, scores)
    compare(our_loss(columns, scores, objective="cosine"), theirs, columns)


def test_matryoshka_is_the_sum_over_sizes(losses: Any) -> None:
    columns = embeddings(5, 7, 2)
    made = losses.MultipleNegativesRankingLoss(None)
    cut = [made.compute_loss_from_embeddings([c[:, :size] for c in columns], None) for size in (4, 8, 12)]
    compare(our_loss(columns, matryoshka=(4, 8)), torch.stack(cut).sum(), columns)


def test_a_reranker_is_a_cross_encoder(library: Any, tmp_path: Path) -> None:
    base = make_model(tmp_path / "base")
    rows = [f"{text},the {colour}" for text, colour, _ in sentences(24, 1)]
    (tmp_path / "train.csv").write_text("\n".join(["query,passage", *rows]) + "\n", encoding="utf-8")
    text = f"""
model: {base}
data: {{train: {tmp_path / "train.csv"}}}
task: {{kind: reranking, num_negatives: 2}}
training: {{max_steps: 2, batch_size: 8, threads: 1, precision: fp32}}
output: {tmp_path / "run"}
"""
    (tmp_path / "recipe.yaml").write_text(text, encoding="utf-8")
    result = train(load_recipe(tmp_path / "recipe.yaml"))
    assert {"ndcg@10", "mrr", "auc", "loss"} <= set(result.metrics["validation"])
    pairs = [("the thing1 is red", "the red"), ("the thing2 is blue", "the red thing3")]
    ours = predict(result.folder / "model", [{"text": first, "text_pair": second} for first, second in pairs])
    assert set(ours[0]) == {"text", "text_pair", "score"}
    theirs = library.CrossEncoder(str(result.folder / "model"), device="cpu").predict(pairs)
    np.testing.assert_allclose([row["score"] for row in ours], theirs, atol=1e-5)
