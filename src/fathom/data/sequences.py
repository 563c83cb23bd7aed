"""What training reads: encoded sequences by number, wherever they are kept."""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np

from fathom.data.example import Features

Array = np.ndarray[Any, Any]


class Sequences(Protocol):
    """Encoded sequences: a token store, or the windows of a corpus."""

    def __len__(self) -> int: ...

    def __getitem__(self, index: int) -> Features: ...

    @property
    def lengths(self) -> Array:
        """Tokens of each sequence, int64."""
        ...

    @property
    def num_tokens(self) -> int:
        """Tokens of all sequences."""
        ...

    @property
    def owners(self) -> Array:
        """Index of the example each sequence is from, ascending."""
        ...

    def used_ids(self) -> Array:
        """Return the token ids that occur, ascending."""
        ...
