"""What a strategy cannot do is said in words, with the place and the mend."""

from __future__ import annotations

from typing import Any

import pytest
import torch
import transformers

from fathom.errors import ConfigError, ModelError
from fathom.model.anatomy import find_anatomy
from strategies_for_tests import GPT2, SMALL, make_batch, make_model, make_tuning


def apply(kind: str, family: str = "bert", **options: Any) -> Any:
    model = make_model(family)
    return make_tuning(kind, **options).apply(model, find_anatomy(model))


@pytest.mark.parametrize(
    ("layers", "message"),
    [
        ([3], "there is no layer 3: the encoder has 3 blocks(.|\n)*choose 0 to 2"),
        ([-4], "there is no layer -4"),
        (["1-7"], "there is no layer 7"),
        (["2-0"], "runs backwards"),
        (["*.nowhere.*"], r"no parameter of BertForSequenceClassification matches '\*\.nowhere\.\*'"),
    ],
)
def test_layers_that_do_not_exist(layers: list[Any], message: str) -> None:
    with pytest.raises(ModelError, match=message):
        apply("layers", layers=layers)


def test_layers_must_be_named() -> None:
    with pytest.raises(ConfigError, match="at least one layer"):
        make_tuning("layers", layers=[])


@pytest.mark.parametrize("kind", ["lora", "dora"])
def test_a_rank_above_the_matrix(kind: str) -> None:
    with pytest.raises(ModelError, match=r"rank 17 is above the smaller side of(.|\n)*choose at most 16"):
        apply(kind, rank=17)


def test_adalora_ranks() -> None:
    with pytest.raises(ModelError, match="initial_rank: rank 20 is above"):
        apply("adalora", initial_rank=20)
    with pytest.raises(ConfigError, match=r"initial_rank \(4\) must be above rank \(4\)"):
        make_tuning("adalora", rank=4, initial_rank=4)


@pytest.mark.parametrize("kind", ["lora", "dora", "adalora", "vera"])
def test_a_target_that_does_not_exist(kind: str) -> None:
    with pytest.raises(ModelError, match="no projection of the blocks is called 'q_proj'"):
        apply(kind, targets=["q_proj"])
    with pytest.raises(ConfigError, match="at least one projection"):
        make_tuning(kind, targets=[])


@pytest.mark.parametrize("family", ["distilbert", "modernbert"])
def test_prefix_needs_a_place_for_earlier_keys(family: str) -> None:
    with pytest.raises(ModelError, match=r"has no place for any(.|\n)*tuning 'prompt'"):
        apply("prefix", family)


@pytest.mark.parametrize("family", ["RoFormer", "BigBird"])
def test_prefix_needs_a_head_that_peft_can_run(family: str) -> None:
    config = getattr(transformers, f"{family}Config")(**SMALL, max_position_embeddings=64)

    def applied(task: str) -> Any:
        model = getattr(transformers, f"{family}For{task}")(config)
        return make_tuning("prefix").apply(model, find_anatomy(model))

    with pytest.raises(ModelError, match=rf"{family}ForSequenceClassification what it reads(.|\n)*tuning 'prompt'"):
        applied("SequenceClassification")
    found = applied("TokenClassification")(input_ids=torch.tensor([[5, 6, 7]]), attention_mask=torch.ones(1, 3))
    assert found.logits.shape[:2] == (1, 3)


def test_head_needs_a_head() -> None:
    body = transformers.GPT2Model(transformers.GPT2Config(**GPT2))
    with pytest.raises(ModelError, match="task head"):
        make_tuning("head").apply(body, find_anatomy(body))


@pytest.mark.parametrize(
    "kind",
    ["norms", "ia3", "lora", "dora", "adalora", "vera", "adapter", "random-mask", "diff-pruning", "ladder"],
)
def test_a_model_without_a_head_learns_by_what_stands_in_its_blocks(kind: str) -> None:
    """Vectors of texts come from the body: there is no head to learn, and none is needed."""
    torch.manual_seed(0)
    body = transformers.GPT2Model(transformers.GPT2Config(**GPT2)).eval()
    batch = {name: value for name, value in make_batch("gpt2").items() if name in ("input_ids", "attention_mask")}
    before = body(**batch).last_hidden_state
    model = make_tuning(kind).apply(body, find_anatomy(body)).eval()
    after = model(**batch).last_hidden_state
    torch.testing.assert_close(after, before)
    after.square().sum().backward()
    learning = [tensor for tensor in model.parameters() if tensor.requires_grad]
    assert any(tensor.grad is not None and bool(tensor.grad.any()) for tensor in learning)


def test_unfreezing_a_body_begins_with_its_top_block() -> None:
    """No loss reaches the pooler, which counts to the head."""
    for model, first in ((make_model("bert").base_model, "block 2"), (make_model("bert"), "head")):
        tuning, anatomy = make_tuning("gradual-unfreezing"), find_anatomy(model)
        stages = tuning.stages(tuning.apply(model, anatomy), anatomy)
        assert stages is not None
        assert stages.labels[stages.lowest(0, 100)] == first


@pytest.mark.parametrize("kind", ["prompt", "p-tuning", "prefix"])
def test_virtual_tokens_want_a_head(kind: str) -> None:
    model = transformers.GPT2Model(transformers.GPT2Config(**GPT2))
    with pytest.raises(ModelError, match="built for classifiers and for models that write"):
        make_tuning(kind).apply(model, find_anatomy(model))


@pytest.mark.parametrize("kind", ["prompt", "p-tuning", "prefix"])
@pytest.mark.parametrize("head", ["ForSequenceClassification", "ForQuestionAnswering"])
@pytest.mark.parametrize("family", ["T5", "Bart"])
def test_an_encoder_decoder_that_does_not_write_reads_its_source_twice(family: str, head: str, kind: str) -> None:
    with torch.device("meta"):
        model = getattr(transformers, family + head)(getattr(transformers, f"{family}Config")())
    with pytest.raises(ModelError, match=r"does not run .* with virtual tokens, for its decoder reads the source"):
        make_tuning(kind).apply(model, find_anatomy(model))


@pytest.mark.parametrize("family", ["Marian", "Pegasus"])
def test_virtual_tokens_and_vectors_that_are_scaled_behind_the_table(family: str) -> None:
    """PEFT hands such an encoder vectors as the table has them, 22 times too small."""

    def model(**options: Any) -> Any:
        sizes = {"encoder_layers": 2, "decoder_layers": 2, "encoder_attention_heads": 2, "decoder_attention_heads": 2}
        ids = {"vocab_size": 60, "pad_token_id": 0, "decoder_start_token_id": 0}
        config = getattr(transformers, f"{family}Config")(d_model=16, **ids, **sizes, **options)
        name = "MarianMTModel" if family == "Marian" else "PegasusForConditionalGeneration"
        return getattr(transformers, name)(config)

    for kind in ("prompt", "p-tuning"):
        scaled, plain = model(scale_embedding=True), model(scale_embedding=False)
        with pytest.raises(ModelError, match=r"scales those that it looks up(.|\n)*use tuning 'prefix' or 'lora'"):
            make_tuning(kind).apply(scaled, find_anatomy(scaled))
        make_tuning(kind).apply(plain, find_anatomy(plain))
    scaled = model(scale_embedding=True)
    adapted = make_tuning("prefix").apply(scaled, find_anatomy(scaled))
    ids = torch.tensor([[5, 6, 7]])
    adapted(input_ids=ids, attention_mask=torch.ones_like(ids), labels=ids).loss.backward()


def test_virtual_tokens_must_fit_the_positions() -> None:
    model = apply("prompt", "gpt2", num_virtual_tokens=60)
    with pytest.raises(ModelError, match=r"69 positions with the virtual tokens, and the model has 64"):
        model(**make_batch("gpt2"))


@pytest.mark.parametrize("options", [{"text": "is it good"}, {"initialization": "text"}])
def test_prompt_text_and_its_use_go_together(options: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match="go together"):
        apply("prompt", **options)


def test_initializations_that_a_family_or_rank_cannot_take() -> None:
    with pytest.raises(ModelError, match="OLoRA decomposes Linear weights"):
        apply("lora", "gpt2", initialization="olora")
    with pytest.raises(ConfigError, match="even rank"):
        apply("lora", rank=3, initialization="orthogonal")
