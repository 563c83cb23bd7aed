"""Generation gives the tokens of transformers' `generate`, whatever the batch."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from fathom.serving.generate.endings import end_tokens
from fathom.serving.generate.generator import Generator
from fathom.serving.generate.options import GenerationOptions
from fathom.serving.generate.processors import sampling_filters
from fathom.serving.generate.prompts import encode_prompt
from fathom.serving.generate.sampling import draw_numbers, sample_tokens
from writers_for_tests import FAMILIES, PROMPTS, make_generator, make_model, make_tokenizer

MODES = {"bloom": "padded", "openai-gpt": "recomputed", "t5": "encoder-decoder", "bart": "encoder-decoder"}
NEW = 12


@pytest.fixture(scope="module", params=list(FAMILIES))
def family(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def generators(family: str) -> tuple[Generator, Any]:
    """A generator, and an untouched model of the same weights."""
    return make_generator(family), make_model(family)


def reference(generator: Generator, model: Any, prompt: str, **options: Any) -> list[int]:
    """Tokens that `model.generate` gives a prompt by itself."""
    ids = torch.tensor([encode_prompt(prompt, 1, generator.tokenizer, generator.facts).ids])
    eos = sorted(end_tokens(model.generation_config, generator.tokenizer, generator.facts))
    with torch.no_grad():
        found = model.generate(
            ids, attention_mask=torch.ones_like(ids), eos_token_id=eos, pad_token_id=0, do_sample=False, **options
        )[0].tolist()
    return found[1:] if generator.facts.encoder_decoder else found[ids.shape[1] :]


def check(generators: tuple[Generator, Any], **options: Any) -> None:
    generator, model = generators
    given = {"max_new_tokens": NEW, **options}
    expected = [reference(generator, model, prompt, **given) for prompt in PROMPTS]
    found = generator.generate(PROMPTS, GenerationOptions(**given))
    assert [list(item.tokens) for item in found] == expected


def test_the_way_each_family_takes(generators: tuple[Generator, Any], family: str) -> None:
    engine = generators[0].engine
    assert engine.mode == MODES.get(family, "packed"), engine.reason


def test_greedy(generators: tuple[Generator, Any]) -> None:
    check(generators)


def test_greedy_stops_at_the_end_token(generators: tuple[Generator, Any]) -> None:
    generator, model = generators
    free = reference(generator, model, PROMPTS[0], max_new_tokens=NEW)
    before = model.generation_config.eos_token_id
    for owner in (generator._fixed, model.generation_config):
        owner.eos_token_id = free[4]
    try:
        check(generators)
        found = generator.generate(PROMPTS, GenerationOptions(max_new_tokens=NEW))
        assert found[0].finish_reason == "eos"
        assert len(found[0].tokens) <= 5
    finally:
        for owner in (generator._fixed, model.generation_config):
            owner.eos_token_id = before


@pytest.mark.parametrize(
    "options",
    [
        {"num_beams": 3},
        {"num_beams": 4, "length_penalty": 0.2, "early_stopping": True},
        {"num_beams": 2, "length_penalty": 1.5, "early_stopping": "never"},
    ],
    ids=["plain", "early", "never"],
)
def test_beams(generators: tuple[Generator, Any], options: dict[str, Any]) -> None:
    check(generators, **options)
    generator, model = generators
    # an end token that some beams meet early, and others never
    free = reference(generator, model, PROMPTS[1], max_new_tokens=NEW, **options)
    before = model.generation_config.eos_token_id
    for owner in (generator._fixed, model.generation_config):
        owner.eos_token_id = free[2]
    try:
        check(generators, **options)
    finally:
        for owner in (generator._fixed, model.generation_config):
            owner.eos_token_id = before


@pytest.mark.parametrize(
    "options",
    [
        {"repetition_penalty": 1.7},
        {"no_repeat_ngram_size": 2},
        {"repetition_penalty": 1.3, "no_repeat_ngram_size": 3, "num_beams": 2},
    ],
    ids=["penalty", "ngrams", "beams"],
)
def test_processors(generators: tuple[Generator, Any], options: dict[str, Any]) -> None:
    check(generators, **options)


@pytest.mark.parametrize("seed", [1, 2])
@pytest.mark.parametrize("family_and_length", [("gpt2", 30), ("llama", 40), ("t5", 25)], ids=str)
def test_seeds_and_lengths(seed: int, family_and_length: tuple[str, int]) -> None:
    family, length = family_and_length
    pair = make_generator(family, seed), make_model(family, seed)
    check(pair, max_new_tokens=length)
    check(pair, max_new_tokens=length, num_beams=2)


def test_beam_scores_are_those_of_transformers() -> None:
    generator, model = make_generator("gpt2"), make_model("gpt2")
    ids = torch.tensor([encode_prompt(PROMPTS[0], 1, generator.tokenizer, generator.facts).ids])
    with torch.no_grad():
        wanted = model.generate(
            ids,
            attention_mask=torch.ones_like(ids),
            max_new_tokens=NEW,
            num_beams=4,
            num_return_sequences=3,
            do_sample=False,
            eos_token_id=3,
            pad_token_id=0,
            return_dict_in_generate=True,
            output_scores=True,
        )
    found = generator.generate(PROMPTS[:1], GenerationOptions(max_new_tokens=NEW, num_beams=4, num_return_sequences=3))
    assert [list(item.tokens) for item in found] == [
        [token for token in row if token != 0] for row in wanted.sequences[:, ids.shape[1] :].tolist()
    ]
    assert [item.score for item in found] == pytest.approx(wanted.sequences_scores.tolist(), abs=1e-5)


def test_a_padded_batch_of_transformers_gives_the_same() -> None:
    generator, model = make_generator("llama"), make_model("llama")
    tokenizer = make_tokenizer()
    ids = [encode_prompt(prompt, 1, tokenizer, generator.facts).ids for prompt in PROMPTS]
    length = max(len(row) for row in ids)
    batch = torch.tensor([[0] * (length - len(row)) + row for row in ids])
    mask = torch.tensor([[0] * (length - len(row)) + [1] * len(row) for row in ids])
    with torch.no_grad():
        wanted = model.generate(batch, attention_mask=mask, max_new_tokens=NEW, do_sample=False, eos_token_id=3)
    found = generator.generate(PROMPTS, GenerationOptions(max_new_tokens=NEW))
    for item, row in zip(found, wanted[:, length:].tolist(), strict=True):
        assert row[: len(item.tokens)] == list(item.tokens)


FILTERS: list[dict[str, Any]] = [
    {"temperature": 0.7},
    {"temperature": 1.0},
    {"top_k": 7},
    {"top_p": 0.8},
    {"min_p": 0.1},
    {"temperature": 1.4, "top_k": 40, "top_p": 0.9, "min_p": 0.02},
]


@pytest.mark.parametrize("options", FILTERS, ids=str)
def test_filtered_scores_equal_those_of_transformers(options: dict[str, Any]) -> None:
    model = make_model("gpt2")
    config = transformers_config({"top_k": None, **options})
    config._eos_token_tensor = torch.tensor([3])
    theirs = model._get_logits_processor(config, input_ids_seq_length=3, device="cpu")
    scores = torch.randn(5, 300, generator=torch.Generator().manual_seed(4)) * 3
    ids = torch.zeros(5, 3, dtype=torch.long)
    ours = sampling_filters(GenerationOptions(**options))
    assert torch.equal(ours(ids, scores.clone()), theirs(ids, scores.clone()))


def transformers_config(options: dict[str, Any]) -> Any:
    from transformers import GenerationConfig

    return GenerationConfig(do_sample=True, **options)


def test_samples_follow_the_distribution() -> None:
    scores = torch.tensor([[1.0, -1.0, float("-inf"), 0.5, 2.0]])
    count = 20_000
    numbers = draw_numbers(3, 0, 0, count)
    drawn = sample_tokens(scores.expand(count, -1), numbers.tolist())
    found = torch.bincount(drawn, minlength=5) / count
    assert found[2] == 0
    assert torch.allclose(found, torch.softmax(scores[0], -1), atol=0.015)


def test_a_sample_is_where_its_number_falls_in_the_model_s_own_distribution() -> None:
    generator, model = make_generator("qwen3"), make_model("qwen3")
    options = GenerationOptions(max_new_tokens=8, temperature=0.9, top_k=20, seed=11)
    found = generator.generate(PROMPTS, options)
    for number, (prompt, item) in enumerate(zip(PROMPTS, found, strict=True)):
        ids = encode_prompt(prompt, 1, generator.tokenizer, generator.facts).ids
        numbers = draw_numbers(11, number, 0, 8)
        for step, token in enumerate(item.tokens):
            with torch.no_grad():
                scores = model(torch.tensor([ids])).logits[:, -1]
            filtered = sampling_filters(options)(torch.tensor([ids]), scores)
            assert sample_tokens(filtered, [float(numbers[step])]).tolist() == [token]
            ids = [*ids, token]
