"""Measure the floors of the helpdesk corpus: what a majority vote and TF-IDF with logistic regression reach on it.

    python benchmarks/helpdesk_floor.py

Writes benchmarks/results/helpdesk_floor.json. Needs the extra `benchmark` (scikit-learn).
"""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import accuracy_score, f1_score

from fathom.data.example import Example
from fathom.data.helpdesk import DEFAULT_SIZES, KINDS, LANGUAGES, SPLITS, generate

RESULT = Path(__file__).parent / "results" / "helpdesk_floor.json"


def tfidf_scores(train: list[Example], test: list[Example], language: str) -> dict[str, float]:
    """Fit on the training split, score on the test split: words 1-2 for English, characters 1-3 for Chinese."""
    vectorizer = (
        TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True)
        if language == "en"
        else TfidfVectorizer(analyzer="char", ngram_range=(1, 3), sublinear_tf=True)
    )
    model = LogisticRegression(C=10.0, max_iter=2000)
    model.fit(vectorizer.fit_transform([row["text"] for row in train]), [row["label"] for row in train])
    guessed = model.predict(vectorizer.transform([row["text"] for row in test]))
    wanted = [row["label"] for row in test]
    return {
        "accuracy": round(float(accuracy_score(wanted, guessed)), 4),
        "macro_f1": round(float(f1_score(wanted, guessed, average="macro")), 4),
    }


def of_language(rows: list[Example], language: str) -> list[Example]:
    """Keep the rows of one language."""
    return [row for row in rows if row["language"] == language]


def measure() -> dict[str, Any]:
    """Return sizes and floors of every kind."""
    result: dict[str, Any] = {"sizes": DEFAULT_SIZES, "intents": {}, "entities": {}}
    intents = {split: generate("intents", split) for split in SPLITS}
    for language in LANGUAGES:
        train, test = of_language(intents["train"], language), of_language(intents["test"], language)
        counts = Counter(row["label"] for row in test)
        result["intents"][language] = {
            "train": len(train),
            "test": len(test),
            "majority_accuracy": round(max(counts.values()) / len(test), 4),
            "tfidf": tfidf_scores(train, test, language),
            "mean_characters": round(sum(len(row["text"]) for row in train) / len(train), 1),
        }
    entities = {split: generate("entities", split) for split in SPLITS}
    for language in LANGUAGES:
        rows = of_language(entities["train"], language)
        types = Counter(entity["label"] for row in rows for entity in row["entities"])
        known = {entity["text"].casefold() for row in rows for entity in row["entities"]}
        test_values = [e["text"].casefold() for row in of_language(entities["test"], language) for e in row["entities"]]
        result["entities"][language] = {
            "train_entities": dict(sorted(types.items())),
            "test_entities": len(test_values),
            "test_values_seen_in_train": sum(value in known for value in test_values),
        }
    return result


def main() -> None:
    """Print the floors and write them."""
    result = measure()
    for language in LANGUAGES:
        row = result["intents"][language]
        print(f"intents {language}: majority {row['majority_accuracy']:.3f}, TF-IDF {row['tfidf']['accuracy']:.3f}")
        print(f"entities {language}: {result['entities'][language]}")
    print(f"kinds: {', '.join(KINDS)}")
    RESULT.parent.mkdir(parents=True, exist_ok=True)
    RESULT.write_text(json.dumps(result, indent=2, sort_keys=True) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
