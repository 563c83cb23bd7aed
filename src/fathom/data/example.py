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

Chat: `messages`: the turns, each `{"role": "system" | "user" | "assistant" | "tool", "content": str}`; see
`data.conversation`.

Embeddings: `text` (str), and one of: `text_pair` (str), the text that belongs to it, perhaps with `negatives` (list of
str), texts that do not; `text_pair` and `score` (float), how near the two are; `label` (str), which texts share; or
nothing.

Writing: `text` (str, the source), `references`: a list of str, of which training takes the first; absent when the row
has no target.

Every example carries `where` (str): `file:line` it came from, for messages.
"""

Features = dict[str, "np.ndarray[Any, Any]"]
"""One encoded sequence. One-dimensional int32 arrays of the sequence's length are *per-token* fields (`input_ids`,
`token_type_ids`, `labels`, `word_index`); zero- or one-dimensional arrays of a fixed shape are *per-sequence* fields
(`label` int64 scalar, float32 scalar, or float32 vector of classes; `example` int64 scalar: index into the split)."""

PER_TOKEN_PADDING = {"input_ids": 0, "token_type_ids": 0, "labels": -100, "word_index": -1, "segment": 0}
"""The fields that run along the sequence, and the value that pads each (`input_ids` takes the tokenizer's pad id)."""

IGNORED_LABEL = -100
