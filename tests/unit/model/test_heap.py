"""Which blocks of a step leave holes in the heap."""

from __future__ import annotations

from dataclasses import replace

from fathom.model.anatomy import find_anatomy
from fathom.model.flow import trace
from fathom.model.heap import MAPPED_BYTES, heap_bytes
from fathom.model.kept import kept_bytes
from fathom.model.load import build_on_meta, load_config
from fathom.model.memory import MicroBatch, Setting

SIZE = {
    **{"d_model": 64, "encoder_layers": 1, "decoder_layers": 1},
    **{"encoder_attention_heads": 2, "decoder_attention_heads": 2, "encoder_ffn_dim": 128, "decoder_ffn_dim": 128},
}
BATCH = MicroBatch.uniform(100, 8)
SETTING = Setting()


def test_of_two_stacks_the_wide_one_leaves_none_and_the_other_its_own() -> None:
    """The encoder of Whisper has 1,500 positions a sound, whatever the length of its transcript."""
    config = load_config("whisper-tiny", SIZE, from_preset=True)
    model = build_on_meta(config, "AutoModelForSpeechSeq2Seq")
    flow = trace(model, find_anatomy(model), BATCH.length)
    encoder, decoder = flow.stacks
    width = SIZE["d_model"] * SETTING.stream_bytes
    assert 100 * decoder.length * width < MAPPED_BYTES <= 100 * encoder.length * width
    kept = kept_bytes(flow, config, BATCH, SETTING)

    def heap(*stacks: int, working: int = 0) -> int:
        some = replace(flow, stacks=tuple(flow.stacks[number] for number in stacks))
        return heap_bytes(some, kept, BATCH, SETTING, working)

    outside = sum(item.activations + item.attention for (depth, _), item in kept.items() if depth is None)
    assert heap(0) == outside
    assert heap(1) > outside
    assert heap(0, 1) == heap(1)
    assert heap(1, working=5) == heap(1) + 5
    assert heap(0, 1, working=5) == heap(0, 1), "what comes and goes is as wide as the widest block"
