"""What flows through Fathom before a tokenizer sees it, and after."""

from __future__ import annotations

from typing import Any

import numpy as np

Example = dict[str, Any]
"""One row of a data set, with canonical keys.

Text classification: `text` (str), optionally `text_pair` (str), `label`: a str (single label), a list of str
(multi-label) or a float (regression); absent when the row is not labelled.

Token classification: `text` (str), `words`: a list of `(start, end)` character offsets into `text` in reading order,
not overlapping; `tags`: one IOB2 tag (str) per word, absent when the row is not labelled.

Relation extraction: `text`, `head` and `tail`: each `{"start", "end"}` in characters, with `type` where the data say
it; `label`: the relation (str), absent when the row is not labelled; see `data.relations`.

Question answering: `text` (str), the passage; `question` (str); `answers`: a list of `{"text": str, "start": int}`,
empty where the passage holds none, absent when the row is not labelled. `start` is the character offset into the
passage, -1 where the answer is no literal part of it: such answers are judged by, not learned.

Chat: `messages`: the turns, each `{"role": "system" | "user" | "assistant" | "tool", "content": str}`; see
`data.conversation`.

Preferences: `messages` as in chat, the prompt, and `chosen` and `rejected` (str), two answers to it; or `completion`
(str), one answer, with `label`: `desirable` or `undesirable`.

Embeddings: `text` (str), and one of: `text_pair` (str), the text that belongs to it, perhaps with `negatives` (list of
str), texts that do not; `text_pair` and `score` (float), how near the two are; `label` (str), which texts share; or
nothing.

Writing: `text` (str, the source), `references`: a list of str, of which training takes the first; absent when the row
has no target.

Images and sounds: `image` or `sound`: the path of a file that was decoded to its end; `digest`: sha256 of its bytes,
which stands for the content wherever examples are compared; `label` (str); optionally `group` (str), e.g. the speaker:
a group stays on one side of a split.

Speech: `sound`, `digest` and `group` as above; `seconds` (float), how long the sound is; `transcript` (str), what is
said in it, absent when the row has none.

Every example carries `where` (str): `file:line` it came from, for messages.
"""

Features = dict[str, "np.ndarray[Any, Any]"]
"""One encoded sequence. One-dimensional int32 arrays of the sequence's length are *per-token* fields (`input_ids`,
`token_type_ids`, `labels`, `word_index`); zero- or one-dimensional arrays of a fixed shape are *per-sequence* fields
(`label` int64 scalar, float32 scalar, or float32 vector of classes; `example` int64 scalar: index into the split).

Images are a per-sequence field, `pixel_values` uint8 `[3, height, width]`, as the processor sizes them and before it
scales them; spectrograms are one, `input_features` float32; waveforms run along the sequence, `input_values` float32.
They carry `length` (int64 scalar): the positions the model's blocks run on, patches or frames, in place of tokens. Of
speech, `label` is the tokens of the transcript, int32 of a fixed width, filled with -100."""

PER_TOKEN_PADDING = {
    "input_ids": 0,
    "token_type_ids": 0,
    "labels": -100,
    "word_index": -1,
    "segment": 0,
    "input_values": 0,
    "char_start": -1,
    "char_end": -1,
    "reference": 0,
}
"""The fields that run along the sequence, and the value that pads each (`input_ids` takes the tokenizer's pad id)."""

IGNORED_LABEL = -100

FILE_KEYS: dict[str, str] = {"image": "image", "sound": "sound", "speech": "sound"}
"""Key of the path, by what a task takes, where inputs are files."""


def num_positions(features: Features) -> int:
    """Return the positions a model's blocks run on for one sequence: its tokens, or its `length`."""
    return int(features["length"]) if "length" in features else len(features["input_ids"])
