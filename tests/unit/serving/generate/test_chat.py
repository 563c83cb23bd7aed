"""A conversation: turns, templates, what is forgotten, what an interruption leaves."""

from __future__ import annotations

from typing import Any

import pytest

from fathom.errors import ConfigError, DataError
from fathom.serving.generate.chat import Conversation
from fathom.serving.generate.generator import Generator
from fathom.serving.generate.options import GenerationOptions
from fathom.serving.generate.prompts import render_chat
from fathom.tokenization.chat import CHATML
from writers_for_tests import make_model, make_tokenizer

OPTIONS = GenerationOptions(max_new_tokens=6)


def make_chat(template: str | None = "chatml", **options: Any) -> Conversation:
    tokenizer = make_tokenizer()
    if template is not None:
        tokenizer.add_special_tokens({"additional_special_tokens": ["<|im_start|>", "<|im_end|>"]})
    if template == "own":
        tokenizer.chat_template = CHATML.replace("im_end|>", "im_end|>!")
    model = make_model("llama")
    model.resize_token_embeddings(len(tokenizer))
    return Conversation(Generator(model, tokenizer), OPTIONS, **options)


def answer(chat: Conversation, text: str) -> str:
    return "".join(chat.answer(text))


@pytest.mark.parametrize(("given", "template"), [("own", "own"), ("chatml", "chatml"), (None, "continue")], ids=str)
def test_how_turns_become_text_is_told_from_the_tokenizer(given: str | None, template: str) -> None:
    assert make_chat(given).template == template


def test_turns_of_plain_text_when_asked_for() -> None:
    chat = make_chat(None, style="turns", system="Be brief.")
    assert chat.template == "plain"
    answer(chat, "hello")
    ids = render_chat(chat._render()[:2], chat.generator.tokenizer)
    assert chat.generator.tokenizer.decode(ids) == "System: Be brief.\nUser: hello\nAssistant:"
    assert "\nUser:" in chat.options.stop


def test_history_goes_through_the_template() -> None:
    chat = make_chat(system="你好")
    first = answer(chat, "one")
    assert [turn["role"] for turn in chat.messages] == ["user", "assistant"]
    assert chat.messages[1]["content"] == first.strip()
    answer(chat, "two")
    text = chat.generator.tokenizer.decode(render_chat(chat._render()[:-1], chat.generator.tokenizer))
    assert text.startswith(
        "<|im_start|>system\n你好<|im_end|>\n<|im_start|>user\none<|im_end|>\n<|im_start|>assistant\n"
    )
    assert text.endswith("<|im_start|>user\ntwo<|im_end|>\n<|im_start|>assistant\n")
    chat.reset()
    assert (chat.messages, chat.system) == ([], "你好")
    chat.set_system("")
    assert chat.system is None
    assert answer(chat, "one") != ""


def test_a_turn_ends_at_its_mark() -> None:
    chat = make_chat()
    free = chat.generator.generate([[{"role": "user", "content": "one"}]], OPTIONS)[0]
    tokenizer = chat.generator.tokenizer
    end = tokenizer.convert_tokens_to_ids("<|im_end|>")
    weights = chat.generator._model.get_output_embeddings().weight.data
    weights[end] = weights[free.tokens[1]] * 1.5  # the model now says the mark instead
    found = chat.generator.generate([[{"role": "user", "content": "one"}]], OPTIONS)[0]
    assert (found.finish_reason, found.tokens[-1]) == ("eos", end)


def test_the_oldest_turns_are_forgotten_whole(capsys: pytest.CaptureFixture[str]) -> None:
    chat = make_chat(system="s")
    for number in range(8):
        answer(chat, f"turn {number} said that")
    said = capsys.readouterr().err
    assert "forgotten: the model has 96 positions" in said
    assert chat.messages[0]["role"] == "user"
    assert chat.messages[-2]["content"] == "turn 7 said that"
    assert [turn["role"] for turn in chat.messages] == ["user", "assistant"] * (len(chat.messages) // 2)
    assert len(chat.messages) < 16


def test_a_turn_longer_than_the_model_is_named_and_not_kept() -> None:
    chat = make_chat()
    answer(chat, "one")
    with pytest.raises(DataError, match="the model has 96 positions"):
        answer(chat, "a b " * 200)
    assert len(chat.messages) % 2 == 0
    assert answer(chat, "two") == answer(make_chat(), "two") or chat.messages


def test_an_interrupted_answer_is_kept_as_far_as_it_came() -> None:
    chat = make_chat()
    stream = chat.answer("one")
    first = next(stream)
    stream.close()
    assert chat.messages == [
        {"role": "user", "content": "one"},
        {"role": "assistant", "content": first.strip()},
    ]
    never = chat.answer("two")
    never.close()
    assert len(chat.messages) == 2


def test_a_base_model_goes_on_with_each_line() -> None:
    chat = make_chat(None)
    text = answer(chat, "the Dr.")
    assert text == chat.generator.generate(["the Dr."], OPTIONS)[0].text
    assert answer(chat, "the Dr.") == text  # it remembers nothing
    with pytest.raises(ConfigError, match="a base model has no system prompt"):
        chat.set_system("x")


def test_every_turn_draws_other_numbers_and_a_conversation_repeats() -> None:
    options = GenerationOptions(max_new_tokens=8, temperature=1.0, seed=3)
    said = []
    for _ in range(2):
        chat = make_chat()
        chat.options = options
        first = answer(chat, "one")
        chat.reset()
        said.append((first, answer(chat, "one")))
    assert said[0] == said[1]
    assert said[0][0] != said[0][1]
