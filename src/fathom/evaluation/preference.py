"""Scores of a model that tells better answers from worse ones: whether it does, by how much, how far it has moved."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from fathom.evaluation.base import Accumulator, Metric
from fathom.evaluation.ranking import exact_area


class Preference(Metric):
    """Preference accuracy, reward margin and an estimate of the distance to the reference.

    Of pairs: `accuracy`, the share in which the better answer has the larger reward (equal ones count half), `margin`,
    by how much, and `likelihood_accuracy`, the share in which it is likelier by token, the reference left aside. Of
    single answers: `auc`, how often a desirable one has a larger reward than an undesirable one, and `margin` of their
    means. `kl`: half the mean square of the log-ratio of model and reference over the answers' tokens, which estimates
    the divergence per token where the two are near; the answers are the data's, not the model's own. `reference_point`
    (KTO): the mean log-ratio of answers to other prompts.
    """

    gives = (
        *("accuracy", "margin", "chosen_reward", "rejected_reward", "likelihood_accuracy", "auc"),
        *("desirable_reward", "undesirable_reward", "kl", "reference_point"),
    )

    def open(self, labels: Sequence[str]) -> Accumulator:
        """Start counting."""
        return PreferenceAccumulator()


class PreferenceAccumulator(Accumulator):
    """Sums over pairs, and the rewards of single answers.

    A prediction is a mapping with `sums`: `own`, of each answer of the example (log-probability, its distance to the
    reference's, the square of it, tokens), and `others`, the same of answers to other prompts; of a pair `margin`,
    `chosen_reward` and `rejected_reward`, of a single answer `reward`, where they are known. A reference is None of a
    pair, and whether a single answer is desirable.
    """

    sums_to = "accuracy"

    def __init__(self) -> None:
        self.pairs = 0
        self.likelier = self.right = self.margin = 0.0
        self.rewards = {"chosen": 0.0, "rejected": 0.0}
        self.judged = 0
        self.single: list[tuple[float, bool]] = []
        self.squares = self.tokens = 0.0
        self.others: list[float] = []

    def update(self, prediction: Any, reference: Any) -> None:
        """Count one example."""
        own = prediction["sums"]["own"]
        self.squares += sum(sums[2] for sums in own)
        self.tokens += sum(sums[3] for sums in own)
        self.others += [sums[1] for sums in prediction["sums"]["others"]]
        if reference is not None:
            if "reward" in prediction:
                self.single.append((float(prediction["reward"]), bool(reference)))
            return
        means = [sums[0] / max(sums[3], 1) for sums in own]
        self.pairs += 1
        self.likelier += _right(means[0] - means[1])
        if "margin" in prediction:
            self.judged += 1
            self.margin += prediction["margin"]
            self.right += _right(prediction["margin"])
            for side in self.rewards:
                self.rewards[side] += prediction[f"{side}_reward"]

    def counts(self, prediction: Any, reference: Any) -> tuple[float, ...] | None:
        """Return whether a pair is told right; None of a single answer."""
        if reference is not None or "margin" not in prediction:
            return None
        return (_right(prediction["margin"]), 1.0)

    def compute(self) -> dict[str, Any]:
        """See `Preference`; scores that nothing is known of are left out."""
        scores: dict[str, Any] = {}
        if self.judged:
            scores = {"accuracy": self.right / self.judged, "margin": self.margin / self.judged}
            scores |= {f"{side}_reward": total / self.judged for side, total in self.rewards.items()}
        if self.pairs:
            scores["likelihood_accuracy"] = self.likelier / self.pairs
        scores |= _of_single(self.single)
        if self.tokens and math.isfinite(self.squares):
            scores["kl"] = 0.5 * self.squares / self.tokens
        if self.others and all(map(math.isfinite, self.others)):
            scores["reference_point"] = sum(self.others) / len(self.others)
        return scores


def _right(margin: float) -> float:
    return 1.0 if margin > 0 else 0.5 if margin == 0 else 0.0


def _of_single(judged: Sequence[tuple[float, bool]]) -> Mapping[str, float]:
    import numpy as np

    by_label = {label: [reward for reward, wanted in judged if wanted == label] for label in (True, False)}
    if not by_label[True] or not by_label[False]:
        return {}
    area = exact_area(np.array([reward for reward, _ in judged]), np.array([wanted for _, wanted in judged]))
    means = [sum(rewards) / len(rewards) for rewards in by_label.values()]
    named = {"margin": means[0] - means[1], "desirable_reward": means[0], "undesirable_reward": means[1]}
    return named if area is None else {"auc": area, **named}
