"""Looking at a corpus before a run: one window as the model will see it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from fathom.data.preview import Preview, PreviewToken
from fathom.errors import DataError

if TYPE_CHECKING:
    from fathom.recipe import Recipe


def preview_window(recipe: Recipe, index: int) -> Preview:
    """Show one window of the training split as the first epoch draws it: what the model reads, what it has to say.

    An encoder-decoder is shown what the encoder reads, then what the decoder says.

    Raises:
        DataError: There is no such window.
    """
    from fathom.data.draw import Draw
    from fathom.data.example import IGNORED_LABEL
    from fathom.runs.prepare import prepare_data
    from fathom.tasks.language_model import OpenLanguageTask

    data = prepare_data(recipe)
    assert isinstance(data.task, OpenLanguageTask)
    windows = data.stores["train"]
    if not 0 <= index < len(windows):
        raise DataError(f"there is no window {index}", where=recipe.data.train, mend=f"give 0 to {len(windows) - 1}")
    batch = data.task.make_batch([windows[index]], Draw(recipe.training.seed, 0, np.array([index])))
    names = data.tokenizer.convert_ids_to_tokens
    ids = batch["input_ids"][0].tolist()
    labels = batch["labels"][0].tolist()
    told = [None if label == IGNORED_LABEL else str(names(label)) for label in labels]
    if len(labels) == len(ids) and data.task.joins_documents:
        shown = [tuple(map(PreviewToken, names(ids), ids, told))]
    else:
        said = [label for label in labels if label != IGNORED_LABEL]
        shown = [tuple(map(PreviewToken, names(part), part)) for part in (ids, said)]
    text = data.tokenizer.decode(windows[index]["input_ids"], skip_special_tokens=True)
    example = {**data.splits.train[index], "text": text}
    return Preview(index, len(windows), example, tuple(shown), data.splits.notes)
