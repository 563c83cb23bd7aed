from __future__ import annotations

import pytest

from chats_for_tests import BACKWARDS, CONVERSATIONS, INST, MARKED, THINKING, chat_tokenizer
from fathom.errors import DataError, ModelError
from fathom.tokenization.chat import ChatTemplate, name_template


def answers(template, turns):
    rendered = template.render(turns)
    return [rendered.text[start:end] for start, end in rendered.answers]


@pytest.mark.parametrize("kind", ["byte-level", "unigram", "bpe", "byte-level-prefix"])
@pytest.mark.parametrize("marks", [True, False])
def test_default_templates_learn_every_answer_and_its_end(kind, marks):
    tokenizer = chat_tokenizer(kind, marks=marks)
    template = ChatTemplate(tokenizer)
    end = "<|im_end|>" if marks else "</s>"
    assert template.name == ("chatml" if marks else "plain")
    assert tokenizer.chat_template == template.source
    assert template.end_of_turn == tokenizer.convert_tokens_to_ids(end)
    for turns in CONVERSATIONS:
        said = [turn["content"].strip() for turn in turns if turn["role"] == "assistant"]
        assert [answer.strip() for answer in answers(template, turns)] == [f"{text}{end}" for text in said]
        encoded = template.encode([template.render(turns)])[0]
        for first, last in encoded.answers:
            assert encoded.ids[last - 1] == template.end_of_turn
            assert template.end_of_turn not in encoded.ids[first : last - 1]
    assert template.prompt(CONVERSATIONS[0][:1]).rstrip().endswith("assistant" if marks else "Assistant:")


def test_a_tokenizer_keeps_its_own_template_and_a_default_is_known_again():
    assert name_template(chat_tokenizer(template=MARKED)) == "own"
    tokenizer = chat_tokenizer()
    ChatTemplate(tokenizer)
    assert name_template(tokenizer) == "chatml"


def test_a_template_that_shows_thoughts_in_the_last_turn_only():
    template = ChatTemplate(chat_tokenizer(template=THINKING))
    found = answers(template, CONVERSATIONS[2])
    assert found[:2] == ['{"name": "find"}<|im_end|>', "It is 3<|im_end|>"]
    assert found[2] == "<think>\n\n</think>\n\n3<|im_end|>"


def test_a_template_without_a_prompt_for_the_answer():
    template = ChatTemplate(chat_tokenizer(template=INST))
    assert answers(template, CONVERSATIONS[0]) == [" Hello, how can I help? </s>"]


def test_a_template_that_refuses_a_conversation_names_the_row():
    template = ChatTemplate(chat_tokenizer(template=INST))
    with pytest.raises(DataError, match="only user and assistant roles") as caught:
        template.render(CONVERSATIONS[1], "a.jsonl:7")
    assert caught.value.where == "a.jsonl:7"


def test_a_template_that_hides_where_the_assistant_speaks_is_refused_unless_it_marks_it():
    template = ChatTemplate(chat_tokenizer(template=BACKWARDS))
    with pytest.raises(ModelError, match="writes a conversation differently as it grows") as caught:
        template.render(CONVERSATIONS[1])
    assert "generation" in str(caught.value.mend) and "chat template of" in str(caught.value.where)
    content = "{{ message['content'] }}"
    marked = BACKWARDS.replace(content, "{% generation %}" + content + "{% endgeneration %}")
    marked = marked.replace(
        "{{ message['role'] }}: {% gen", "{{ message['role'] }}: {% if message['role'] == 'assistant' %}{% gen"
    ).replace("{% endgeneration %}", "{% endgeneration %}{% else %}" + content + "{% endif %}")
    template = ChatTemplate(chat_tokenizer(template=marked))
    assert answers(template, CONVERSATIONS[0]) == ["Hello, how can I help?"]


def test_a_tokenizer_that_cannot_end_a_turn_is_refused():
    tokenizer = chat_tokenizer(marks=False)
    tokenizer.eos_token = None
    with pytest.raises(ModelError, match="no end-of-text token"):
        ChatTemplate(tokenizer)


def test_conversations_without_answers_have_none():
    template = ChatTemplate(chat_tokenizer())
    assert template.render(CONVERSATIONS[0][:1]).answers == ()
