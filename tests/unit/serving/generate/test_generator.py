"""The generator: order, batches, seeds, streams, limits, and folders."""

from __future__ import annotations

import dataclasses
import gc
import weakref
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

import fathom
from fathom.config import validate
from fathom.device import probe_machine
from fathom.errors import ArtifactError, ConfigError, DataError, ModelError
from fathom.recipe import Recipe
from fathom.serving.generate.endings import split_stops
from fathom.serving.generate.generator import Generation, Generator
from fathom.serving.generate.open import generates
from fathom.serving.generate.options import GenerationOptions
from fathom.serving.generate.steps import PackedSteps
from folders_for_tests import make_saved
from languages_for_tests import WORDS
from languages_for_tests import make_tokenizer as words_and_masks
from writers_for_tests import PROMPTS, make_generator, make_model, make_tokenizer, save_plain

MANY = [" ".join(PROMPTS[number % 4].split()[: 1 + number % 6]) for number in range(23)]
SAMPLING = GenerationOptions(max_new_tokens=9, temperature=1.0, top_p=0.95, seed=5)
STRATEGIES = {
    "greedy": GenerationOptions(max_new_tokens=9),
    "sample": SAMPLING,
    "samples": SAMPLING.model_copy(update={"num_return_sequences": 3}),
    "beam": GenerationOptions(max_new_tokens=9, num_beams=3, num_return_sequences=2),
}


@pytest.fixture(scope="module")
def generator() -> Generator:
    return make_generator("llama")


def test_a_generator_that_nobody_needs_is_freed() -> None:
    model = make_model("llama")
    made = Generator(model, make_tokenizer())
    made.generate(["a"], GenerationOptions(max_new_tokens=2))
    kept = weakref.ref(model)
    del model, made
    gc.collect()
    assert kept() is None


def drop(items: list[Generation], *names: str) -> list[dict[str, Any]]:
    return [{k: v for k, v in dataclasses.asdict(item).items() if k not in names} for item in items]


@pytest.mark.parametrize("family", ["llama", "t5", "bloom"])
@pytest.mark.parametrize("strategy", list(STRATEGIES))
def test_answers_do_not_depend_on_the_batch(family: str, strategy: str) -> None:
    generator, options = make_generator(family), STRATEGIES[strategy]
    together = generator.generate(MANY, options)
    each = options.num_return_sequences
    assert [item.index for item in together] == [number for number in range(len(MANY)) for _ in range(each)]
    assert [item.prompt for item in together] == [prompt for prompt in MANY for _ in range(each)]
    for batch_size in (1, 4):
        again = generator.generate(MANY, options, batch_size=batch_size)
        assert drop(again, "score") == drop(together, "score")
    alone = generator.generate(MANY[:1], options)
    assert drop(alone, "score") == drop(together[:each], "score")
    if family == "llama" and strategy == "sample":
        assert generator.generate(MANY, options.model_copy(update={"seed": 6})) != together


def test_samples_of_one_prompt_differ(generator: Generator) -> None:
    found = generator.generate(PROMPTS, STRATEGIES["samples"])
    assert len(found) == 12
    assert len({item.tokens for item in found[:3]}) > 1
    same = generator.generate([PROMPTS[0]] * 2, SAMPLING)
    assert same[0].tokens != same[1].tokens  # a prompt's place is part of its seed


def test_a_sequence_that_has_ended_costs_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    generator = make_generator("llama")
    free = generator.generate(PROMPTS, GenerationOptions(max_new_tokens=12))
    generator._fixed.eos_token_id = free[0].tokens[2]
    sizes: list[int] = []
    step = PackedSteps.step

    def counted(self: PackedSteps, token_B: Any) -> Any:
        sizes.append(len(token_B))
        return step(self, token_B)

    monkeypatch.setattr(PackedSteps, "step", counted)
    found = generator.generate(PROMPTS, GenerationOptions(max_new_tokens=12))
    lengths = [len(item.tokens) for item in found]
    assert min(lengths) <= 3
    assert sizes == [sum(length > number for length in lengths) for number in range(1, max(lengths))]
    for item, before in zip(found, free, strict=True):
        assert item.tokens == before.tokens[: len(item.tokens)]


def test_the_prompt_is_read_without_padding(monkeypatch: pytest.MonkeyPatch) -> None:
    generator = make_generator("llama")
    seen: list[int] = []
    block = generator._model.model.layers[1]
    block.register_forward_pre_hook(lambda _, args: seen.append(args[0].shape[0] * args[0].shape[1]))
    generator.generate(PROMPTS, GenerationOptions(max_new_tokens=1))
    lengths = [len(make_tokenizer()(prompt)["input_ids"]) - 1 for prompt in PROMPTS]  # without its </s>
    assert sum(lengths) < seen[0] < max(lengths) * 4


def test_prompts_are_read_lazily(generator: Generator) -> None:
    taken = 0

    def prompts() -> Iterator[str]:
        nonlocal taken
        while True:
            taken += 1
            yield "a"

    answers = generator.iterate(prompts(), GenerationOptions(max_new_tokens=1), batch_size=2)
    next(answers)
    assert taken <= 32
    assert generator.generate([]) == []


@pytest.mark.parametrize("family", ["llama", "t5"])
def test_a_stream_is_the_text_in_pieces(family: str) -> None:
    generator = make_generator(family)
    for options in (GenerationOptions(max_new_tokens=30), SAMPLING.model_copy(update={"max_new_tokens": 30})):
        for prompt in PROMPTS:
            whole = generator.generate([prompt], options)[0]
            assert "".join(generator.stream(prompt, options)) == whole.text
            stream = generator.stream(prompt, options)
            while True:
                try:
                    next(stream)
                except StopIteration as end:
                    assert end.value == whole
                    break


def test_stop_strings(generator: Generator) -> None:
    free = generator.generate(PROMPTS, GenerationOptions(max_new_tokens=30))
    stop = free[0].text[5:8]
    assert stop
    for options in (GenerationOptions(max_new_tokens=30, stop=(stop,)),):
        for item, before in zip(generator.generate(PROMPTS, options), free, strict=True):
            place = before.text.find(stop)
            assert item.text == (before.text if place < 0 else before.text[:place])
            assert (item.finish_reason == "stop") == (place >= 0)
            assert item.tokens == before.tokens[: len(item.tokens)]
            assert "".join(generator.stream(item.prompt, options)) == item.text
    beams = generator.generate(PROMPTS[:1], GenerationOptions(max_new_tokens=12, num_beams=2))
    part = beams[0].text[2:5]
    ended = generator.generate(PROMPTS[:1], GenerationOptions(max_new_tokens=12, num_beams=2, stop=(part,)))
    assert part and part not in ended[0].text


def test_a_special_token_may_be_a_stop_string(generator: Generator) -> None:
    found = split_stops(("<s>", "said"), generator.tokenizer, frozenset({3}))
    assert found == (frozenset({2, 3}), ("said",))


def test_beams_are_not_streamed(generator: Generator) -> None:
    with pytest.raises(ConfigError, match="only one growing text can be streamed"):
        next(generator.stream("a", GenerationOptions(num_beams=2)))


def test_positions_bound_prompt_and_answer(generator: Generator, capsys: pytest.CaptureFixture[str]) -> None:
    long = "a " * 90
    found = generator.generate([long], GenerationOptions(max_new_tokens=500))[0]
    assert "prompt 1: max_new_tokens 500 cut to" in capsys.readouterr().err
    assert len(found.tokens) <= 96
    with pytest.raises(DataError, match=r"prompt 2: the prompt has .* tokens, the model has 96 positions"):
        generator.generate(["a", "a b " * 100])
    with pytest.raises(DataError, match="the model has 96 positions"):
        make_generator("bart").generate(["a b " * 100])
    assert len(make_generator("t5").generate(["a b " * 100], GenerationOptions(max_new_tokens=2))) == 1


def test_an_empty_prompt_begins_a_text(generator: Generator) -> None:
    found = generator.generate(["", "a"], GenerationOptions(max_new_tokens=4))
    assert found[0].prompt == ""
    generator = make_generator("llama")
    generator.tokenizer.bos_token = generator.tokenizer.eos_token = None
    generator.tokenizer.backend_tokenizer.post_processor = None
    with pytest.raises(DataError, match="the prompt is empty"):
        generator.generate([""])


@pytest.mark.parametrize(
    ("prompt", "message"),
    [
        (3, "prompt 2: int is no prompt"),
        ([], "prompt 2: no message"),
        ([{"role": "user"}], "prompt 2: a message needs 'role' and 'content'"),
    ],
)
def test_wrong_prompts_are_named(generator: Generator, prompt: Any, message: str) -> None:
    with pytest.raises(DataError, match=message):
        generator.generate(["fine", prompt])


def test_other_mistakes_are_named(generator: Generator) -> None:
    with pytest.raises(ConfigError, match="one text where a list"):
        generator.generate("a text")
    with pytest.raises(ConfigError, match="batch_size is 0"):
        generator.generate(["a"], batch_size=0)
    with pytest.raises(ModelError, match="this is a base model"):
        generator.generate([[{"role": "user", "content": "a"}]])


def test_a_tokenizer_of_another_model_is_noticed() -> None:
    generator = make_generator("gpt2")
    generator.facts = dataclasses.replace(generator.facts, vocabulary=50)
    with pytest.raises(ModelError, match="they do not belong together"):
        generator.generate(PROMPTS)


def test_scores_that_are_no_numbers_are_refused() -> None:
    generator = make_generator("gpt2")
    with torch.no_grad():
        generator._model.transformer.ln_f.weight.fill_(float("nan"))
    for options in STRATEGIES.values():
        with pytest.raises(ArtifactError, match="the model answers NaN"):
            generator.generate(["a"], options)


def test_a_plain_folder_and_its_own_settings(tmp_path: Path) -> None:
    folder = save_plain(tmp_path / "gpt2", "gpt2")
    assert generates(folder)
    generator = Generator.load(folder)
    assert generator.generate(PROMPTS, SAMPLING) == make_generator("gpt2").generate(PROMPTS, SAMPLING)
    model = make_model("gpt2")
    model.generation_config.update(do_sample=True, temperature=0.5, top_k=3)
    model.save_pretrained(folder)
    assert Generator.load(folder).options(max_new_tokens=4) == GenerationOptions(
        temperature=0.5, top_k=3, max_new_tokens=4
    )


@pytest.mark.parametrize("tuning", ["adapter", "lora"])
def test_a_tuned_model_writes_whether_or_not_it_merges(
    tuning: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FATHOM_CACHE", str(tmp_path / "cache"))
    (tmp_path / "text.txt").write_text("Smith visited Berlin in May and said so\n\n" * 60, encoding="utf-8")
    raw = {
        "model": str(save_plain(tmp_path / "base")),
        "data": {"train": str(tmp_path / "text.txt"), "max_length": 24},
        "task": {"kind": "causal-lm"},
        "tuning": tuning,
        "training": {"max_steps": 1, "batch_size": 4, "precision": "fp32", "threads": 1, "verify_reload": False},
        "output": str(tmp_path / "run"),
    }
    found = fathom.generate(fathom.train(validate(Recipe, raw)).folder, "Smith", max_new_tokens=3)
    assert len(found[0].tokens) == 3


def test_models_that_do_not_write_are_named(tmp_path: Path) -> None:
    saved = make_saved(tmp_path)
    assert not generates(saved.folder)
    with pytest.raises(ModelError, match="a model for text-classification does not generate text"):
        Generator.load(saved.folder)
    with pytest.raises(ModelError, match="a bert model reads text and does not write it"):
        Generator.load(saved.base)
    with pytest.raises(ModelError, match="no such model folder"):
        Generator.load("./nowhere")
    assert not generates(tmp_path / "nowhere")


def test_a_masked_model_is_told_what_it_is_good_for(tmp_path: Path) -> None:
    words_and_masks().save_pretrained(tmp_path / "tokenizer")
    (tmp_path / "text.txt").write_text(" ".join(WORDS), encoding="utf-8")
    raw = {
        "model": {"kind": "new", "architecture": "bert", "depth": 1, "tokenizer": str(tmp_path / "tokenizer")},
        "data": {"train": str(tmp_path / "text.txt"), "validation_fraction": 0, "max_length": 16},
        "task": "masked-lm",
        "training": {"max_steps": 1, "batch_size": 2, "threads": 1, "precision": "fp32"},
        "output": str(tmp_path / "run"),
    }
    folder = fathom.train(validate(Recipe, raw)).folder
    with pytest.raises(ModelError, match="a model for masked-lm does not generate text") as caught:
        Generator.load(folder)
    assert "predict" in str(caught.value.mend)


def test_bf16_where_the_machine_has_it(tmp_path: Path) -> None:
    folder = save_plain(tmp_path / "llama")
    if not probe_machine().bf16_native:
        with pytest.raises(ConfigError, match="bf16 is emulated"):
            Generator.load(folder, precision="bf16")
        return
    found = Generator.load(folder, precision="bf16").generate(PROMPTS, GenerationOptions(max_new_tokens=5))
    assert [len(item.tokens) for item in found] == [5] * 4


def test_packing_off_gives_the_same() -> None:
    generator = make_generator("qwen3", packing=False)
    assert (generator.engine.mode, generator.engine.reason) == ("padded", "packing is off")
    options = GenerationOptions(max_new_tokens=9)
    assert generator.generate(PROMPTS, options) == make_generator("qwen3").generate(PROMPTS, options)
