"""A prefix that begins as words: what the model keeps of a text it has read, as PEFT takes it and in PEFT's format."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import peft
import pytest
import torch
import transformers
from torch import Tensor

from fathom.errors import ConfigError
from fathom.model.anatomy import find_anatomy
from folders_for_tests import make_base
from strategies_for_tests import make_model, make_tuning
from tokenizers_for_tests import tokenizer_of

pytestmark = pytest.mark.filterwarnings("ignore::FutureWarning:transformers")
TEXT = "Smith visited Berlin in May"


def ids_of(text: str) -> list[int]:
    ids: list[int] = tokenizer_of("bpe")(text)["input_ids"]
    return ids


def begun(model: Any, **options: Any) -> Any:
    return make_tuning("prefix", **options).apply(model, find_anatomy(model))


def values_of(adapted: Any) -> Tensor:
    """The learned numbers, `[tokens, blocks * 2 * width]`."""
    weight: Tensor = adapted.prompt_encoder["default"].embedding.weight
    return weight


@pytest.mark.parametrize("family", ["gpt2", "llama"])
def test_a_decoder_answers_as_if_the_text_stood_before(family: str, tmp_path: Path) -> None:
    base = make_base(tmp_path, family)
    plain = transformers.AutoModelForCausalLM.from_pretrained(base).eval()
    before, own = ids_of(TEXT), torch.tensor([ids_of("O'Neill said that")])
    after_text = plain(torch.cat([torch.tensor([before]), own], dim=1)).logits[:, len(before) :]
    alone = plain(own).logits
    adapted = begun(plain, initialization="text", text=TEXT, num_virtual_tokens=len(before)).eval()
    answers = adapted(input_ids=own, attention_mask=torch.ones_like(own)).logits
    torch.testing.assert_close(answers, after_text, atol=1e-5, rtol=1e-5)
    assert not torch.allclose(answers, alone, atol=1e-3)


@pytest.mark.parametrize("family", ["gpt2", "llama"])
def test_it_is_what_peft_takes_of_the_text(family: str, tmp_path: Path) -> None:
    base = make_base(tmp_path, family)
    load = transformers.AutoModelForCausalLM.from_pretrained  # PEFT's own function fails for a decoder's classifier
    config = peft.PrefixTuningConfig(task_type="CAUSAL_LM", num_virtual_tokens=4, encoder_hidden_size=8)
    theirs = peft.get_peft_model(load(base), config).eval()
    tokenizer = transformers.AutoTokenizer.from_pretrained(base)
    peft.initialize_kv_prefix_from_text(theirs, tokenizer, text=TEXT, use_chat_template=False)
    assert len(ids_of(TEXT)) > 4, "cut"
    ours = begun(load(base), initialization="text", text=TEXT, num_virtual_tokens=4)
    torch.testing.assert_close(values_of(ours), values_of(theirs), atol=1e-6, rtol=1e-5)


def test_an_encoders_words_are_read_together(tmp_path: Path) -> None:
    """PEFT takes no text for encoders, which return no keys; here they are those of each block's projections."""
    base = make_base(tmp_path, "bert")
    model = transformers.AutoModelForSequenceClassification.from_pretrained(base).eval()
    seen: dict[str, Tensor] = {}
    hooks = [
        model.get_submodule(f"bert.encoder.layer.{block}.attention.self.{name}").register_forward_hook(
            lambda _, __, output, key=(block, name): seen.update({key: output[0]})
        )
        for block in (0, 1)
        for name in ("key", "value")
    ]
    model(torch.tensor([ids_of(TEXT)]))
    for hook in hooks:
        hook.remove()
    adapted = begun(model, initialization="text", text=TEXT, num_virtual_tokens=4)
    wanted = torch.cat([seen[block, name][:4] for block in (0, 1) for name in ("key", "value")], dim=1)
    torch.testing.assert_close(values_of(adapted).detach(), wanted, atol=1e-6, rtol=1e-5)


def test_a_short_text_is_repeated(tmp_path: Path) -> None:
    base = make_base(tmp_path, "llama")
    count = len(ids_of(TEXT))
    load = transformers.AutoModelForSequenceClassification.from_pretrained
    once = begun(load(base), initialization="text", text=TEXT, num_virtual_tokens=count)
    more = begun(load(base), initialization="text", text=TEXT, num_virtual_tokens=2 * count + 1)
    torch.testing.assert_close(values_of(more)[:count], values_of(once), atol=1e-6, rtol=1e-5)
    assert len(values_of(more)) == 2 * count + 1


@pytest.mark.parametrize("family", ["bert", "llama", "qwen3"])
def test_random_words_are_the_beginning(family: str) -> None:
    def values(seed: int) -> Tensor:
        model: Any = make_model(family)
        model.train()
        torch.manual_seed(seed)
        adapted = begun(model)
        assert adapted.get_base_model().training, "left as it was"
        return values_of(adapted).detach()

    assert torch.equal(values(1), values(1))
    assert not torch.equal(values(1), values(2))
    model: Any = make_model(family)
    torch.manual_seed(1)
    words = torch.randint(0, 50, (1, 3))
    cache: Any = transformers.DynamicCache()
    model.eval().base_model(input_ids=words, past_key_values=cache)
    first = cache.layers[0].keys[0].transpose(0, 1).flatten(1)
    torch.testing.assert_close(values(1)[:, : first.shape[1]], first, atol=1e-6, rtol=1e-5)


def test_beginnings_that_do_not_go_together() -> None:
    for options in ({"text": TEXT}, {"initialization": "text"}, {"initialization": "zero", "text": TEXT}):
        with pytest.raises(ConfigError, match="go together"):
            begun(make_model("bert"), **options)
    for options in ({"initialization": "vocabulary"}, {"initialization": "text", "text": TEXT}):
        with pytest.raises(ConfigError, match="a network makes keys and values"):
            begun(make_model("bert"), projection=True, **options)
    for kind in ("prefix", "prompt"):
        model = make_model("bert")
        with pytest.raises(ConfigError, match="a new model has not learned any words"):
            make_tuning(kind, initialization="text", text=TEXT).apply(model, find_anatomy(model))


def test_blocks_without_keys_of_their_own_say_so(monkeypatch: pytest.MonkeyPatch) -> None:
    model: Any = make_model("llama")
    last = model.model.layers[-1].self_attn
    forward = last.forward
    monkeypatch.setattr(last, "forward", lambda *args, **words: forward(*args, **{**words, "past_key_values": None}))
    with pytest.raises(ValueError, match=r"some blocks have none(.|\n)*initialization=random"):
        begun(model)
    begun(model, initialization="random")
