"""Preference accuracy, margin and distance against counts by hand and scikit-learn."""

from __future__ import annotations

import random
from typing import Any

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from fathom.evaluation.preference import Preference


def pair(random_state: random.Random) -> dict[str, Any]:
    own = [
        [
            random_state.uniform(-40, -1),
            random_state.gauss(0, 2),
            random_state.uniform(0, 5),
            random_state.randint(1, 9),
        ]
        for _ in range(2)
    ]
    rewards = [0.1 * sums[1] for sums in own]
    return {
        "margin": rewards[0] - rewards[1],
        "chosen_reward": rewards[0],
        "rejected_reward": rewards[1],
        "sums": {"own": own, "others": []},
    }


def test_pairs_equal_numpy_on_random_cases() -> None:
    chance = random.Random(3)
    for _ in range(200):
        pairs = [pair(chance) for _ in range(chance.randint(1, 12))]
        meter = Preference().open(())
        for item in pairs:
            meter.update(item, None)
        scores = meter.compute()
        own_N24 = np.array([item["sums"]["own"] for item in pairs], dtype=np.float64)
        reward_N2 = 0.1 * own_N24[:, :, 1]
        mean_N2 = own_N24[:, :, 0] / own_N24[:, :, 3]
        assert scores["accuracy"] == pytest.approx(np.mean(reward_N2[:, 0] > reward_N2[:, 1]))
        assert scores["margin"] == pytest.approx(np.mean(reward_N2[:, 0] - reward_N2[:, 1]))
        assert scores["chosen_reward"] == pytest.approx(reward_N2[:, 0].mean())
        assert scores["rejected_reward"] == pytest.approx(reward_N2[:, 1].mean())
        assert scores["likelihood_accuracy"] == pytest.approx(np.mean(mean_N2[:, 0] > mean_N2[:, 1]))
        assert scores["kl"] == pytest.approx(0.5 * own_N24[:, :, 2].sum() / own_N24[:, :, 3].sum())
        assert meter.counts(pairs[0], None) == (float(reward_N2[0, 0] > reward_N2[0, 1]), 1.0)


def test_single_answers_equal_scikit_learn_on_random_cases() -> None:
    chance = random.Random(5)
    for _ in range(200):
        rewards = [round(chance.gauss(0, 1), 1) for _ in range(chance.randint(2, 20))]  # with ties
        wanted = [True, False, *(chance.random() < 0.5 for _ in rewards[2:])]
        others = [chance.gauss(0, 1) for _ in rewards]
        meter = Preference().open(())
        for reward, label, other in zip(rewards, wanted, others, strict=True):
            sums = {"own": [[-3.0, reward, reward**2, 2]], "others": [[-4.0, other, other**2, 3]]}
            meter.update({"reward": reward, "sums": sums}, label)
        scores = meter.compute()
        assert scores["auc"] == pytest.approx(roc_auc_score(wanted, rewards))
        means = [np.mean([r for r, w in zip(rewards, wanted, strict=True) if w == label]) for label in (True, False)]
        assert scores["margin"] == pytest.approx(means[0] - means[1])
        assert scores["reference_point"] == pytest.approx(np.mean(others))


def test_equal_rewards_count_half() -> None:
    meter = Preference().open(())
    sums = {"own": [[-3.0, 0.0, 0.0, 2], [-3.0, 0.0, 0.0, 2]], "others": []}
    meter.update({"margin": 0.0, "chosen_reward": 0.0, "rejected_reward": 0.0, "sums": sums}, None)
    scores = meter.compute()
    assert scores["accuracy"] == scores["likelihood_accuracy"] == 0.5
    assert scores["kl"] == 0.0


def test_without_a_reference_only_the_likelihood_is_told() -> None:
    meter = Preference().open(())
    unknown = float("nan")
    meter.update({"sums": {"own": [[-2.0, unknown, unknown, 2], [-9.0, unknown, unknown, 3]], "others": []}}, None)
    assert meter.compute() == {"likelihood_accuracy": 1.0}
