"""Tokenizers with chat marks, templates of several kinds, and conversations."""

from __future__ import annotations

import copy

from tokenizers_for_tests import tokenizer_of

CONVERSATIONS = [
    [{"role": "user", "content": "Hi there"}, {"role": "assistant", "content": "Hello, how can I help?"}],
    [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "昨天 北京 怎么样？"},
        {"role": "assistant", "content": "很好 😀，谢谢。"},
        {"role": "user", "content": "and\ntoday?  "},
        {"role": "assistant", "content": "  Two lines:\n- one\n- two "},
    ],
    [
        {"role": "user", "content": "find it"},
        {"role": "assistant", "content": '{"name": "find"}'},
        {"role": "tool", "content": "3"},
        {"role": "assistant", "content": "It is 3"},
        {"role": "user", "content": "thanks"},
        {"role": "assistant", "content": "3"},
    ],
]
MARKED = (
    "{% for message in messages %}{% if message['role'] == 'assistant' %}<|im_start|>assistant\n"
    "{% generation %}{{ message['content'] }}<|im_end|>{% endgeneration %}\n"
    "{% else %}<|im_start|>{{ message['role'] }}\n{{ message['content'] }}<|im_end|>\n{% endif %}{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
"""With generation marks."""
THINKING = (
    "{% for message in messages %}<|im_start|>{{ message['role'] }}\n"
    "{% if message['role'] == 'assistant' and loop.last %}<think>\n\n</think>\n\n{% endif %}"
    "{{ message['content'] | trim }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
"""Shows thoughts in the last turn only, as Qwen3 does."""
INST = (
    "{{ bos_token }}{% for message in messages %}"
    "{% if message['role'] == 'user' %}[INST] {{ message['content'] }} [/INST]"
    "{% elif message['role'] == 'assistant' %} {{ message['content'] | trim }} {{ eos_token }}"
    "{% else %}{{ raise_exception('only user and assistant roles are supported') }}{% endif %}{% endfor %}"
)
"""Without a prompt for the answer, and strict, as Llama 2 and Mistral are."""
BACKWARDS = "{% for message in messages | reverse %}{{ message['role'] }}: {{ message['content'] }}\n{% endfor %}"
"""A conversation grows at its beginning."""


def chat_tokenizer(kind: str = "byte-level", template: str | None = None, marks: bool = True):
    tokenizer = copy.deepcopy(tokenizer_of(kind))
    if marks:
        tokenizer.add_special_tokens({"additional_special_tokens": ["<|im_start|>", "<|im_end|>"]})
    tokenizer.chat_template = template
    return tokenizer
