"""Settings of generation: what they mean, and what they may not be together."""

from __future__ import annotations

from typing import Any

import pytest

from fathom.errors import ConfigError
from fathom.serving.generate.options import GenerationOptions, make_options, saved_options


@pytest.mark.parametrize(
    ("given", "strategy"),
    [
        ({}, "greedy"),
        ({"temperature": 0}, "greedy"),
        ({"temperature": 0.7}, "sample"),
        ({"top_k": 5}, "sample"),
        ({"top_p": 0.9, "min_p": 0.1}, "sample"),
        ({"num_beams": 4}, "beam"),
        ({"num_beams": 4, "temperature": 0}, "beam"),
    ],
)
def test_the_strategy_follows(given: dict[str, Any], strategy: str) -> None:
    assert make_options(given).strategy == strategy


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"temperature": 0, "top_p": 0.9}, "temperature 0 is greedy, and top_p would do nothing"),
        ({"num_beams": 2, "top_k": 5}, "num_beams searches for the likeliest text, top_k draws one at random"),
        ({"length_penalty": 2.0}, "length_penalty is for beam search"),
        ({"early_stopping": True}, "early_stopping is for beam search"),
        ({"num_return_sequences": 2}, "greedy decoding has one answer"),
        ({"num_beams": 2, "num_return_sequences": 3}, "2 beams cannot give 3 texts"),
        ({"stop": ["a", ""]}, "a stop string is empty"),
        ({"temprature": 1}, "did you mean 'temperature'"),
        ({"max_new_tokens": 0}, "max_new_tokens"),
        ({"top_p": 1.5}, "top_p"),
        ({"temperature": float("nan")}, "temperature"),
    ],
)
def test_contradictions_are_refused_in_words(given: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        make_options(given)


def test_one_stop_string_may_stand_alone() -> None:
    assert make_options({"stop": "\n"}).stop == ("\n",)


def test_what_is_given_goes_before_what_is_saved() -> None:
    saved = {"temperature": 0.6, "top_p": 0.95, "max_new_tokens": 9}
    assert make_options({}, saved) == GenerationOptions(temperature=0.6, top_p=0.95, max_new_tokens=9)
    assert make_options({"top_p": 0.5}, saved).temperature == 0.6
    assert make_options({"num_beams": 3}, saved) == GenerationOptions(num_beams=3, max_new_tokens=9)
    assert make_options({"temperature": 0}, saved).strategy == "greedy"
    beams = {"num_beams": 4, "length_penalty": 2.0}
    assert make_options({"top_k": 3}, beams) == GenerationOptions(top_k=3)
    assert make_options({"num_beams": 1}, beams).strategy == "greedy"


def test_settings_of_a_model() -> None:
    config = {"do_sample": True, "temperature": 0.6, "top_k": 20, "repetition_penalty": 1.05, "num_beams": 1}
    assert saved_options({}, config) == {"temperature": 0.6, "top_k": 20, "repetition_penalty": 1.05}
    assert saved_options({}, {**config, "do_sample": False}) == {"repetition_penalty": 1.05}
    assert saved_options({}, {"do_sample": True}) == {"temperature": 1.0}
    assert saved_options({"generation": {"temperature": 0.1}}, config)["temperature"] == 0.1
