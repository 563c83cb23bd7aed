"""Rows for new tokens in a model's embedding tables, each the mean of the rows of the pieces it replaces.

The mean of the old pieces is what a model has read in the new token's place so far, and starts far closer to a useful
row than a random one (Hewitt 2021, "Initializing new word embeddings for pretrained language models"; Gee et al. 2022,
arXiv 2204.01486, for tokens learnt from a domain). Rows of old tokens are not touched.

Letters: V rows of a table, D width.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, cast

from fathom import files
from fathom.errors import ArtifactError, ModelError
from fathom.model.load import load_config, model_class, resolve_model
from fathom.model.published import published_class
from fathom.model.weights import check_weights, damaged_weights

if TYPE_CHECKING:
    from torch import Tensor
    from transformers import PreTrainedModel


def load_as_saved(name: str) -> PreTrainedModel:
    """Load a model with the class and in the number format it was saved with.

    Raises:
        ModelError: No such model, an adapter, or weights that no class of transformers' own reads.
        ArtifactError: A weights file is damaged.
    """
    from pathlib import Path

    from safetensors import SafetensorError
    from transformers.utils import logging

    config = load_config(name, {})
    location = resolve_model(name)
    if Path(location).is_dir():
        check_weights(Path(location))
    cls: Any = _saved_class(config, name)
    logging.disable_progress_bar()
    try:
        loaded, info = cls.from_pretrained(
            location, dtype="auto", use_safetensors=True, output_loading_info=True, trust_remote_code=False
        )
    except SafetensorError as error:
        raise damaged_weights(location, error) from None
    except OSError as error:
        reason = str(error).strip().split("\n")[0]
        mend = "check the name or the folder; transformers says why it does not read it"
        raise ModelError(f"the model cannot be read: {reason}", where=name, mend=mend) from None
    if info["missing_keys"]:
        missing = ", ".join(sorted(info["missing_keys"])[:4])
        raise ArtifactError(f"weights are missing: {missing}", where=name, mend=files.COPY_AGAIN)
    return cast("PreTrainedModel", loaded.eval())


def extend_embeddings(model: PreTrainedModel, pieces: Mapping[int, Sequence[int]]) -> None:
    """Give new tokens rows in the input table and, where it is another one, the output table and its bias, in place.

    Args:
        model: The table grows where it has no row for an id; `config.vocab_size` follows.
        pieces: For each new id, the old ids that stood in its place.

    Raises:
        ModelError: An old id has no row: the tokenizer is not the model's.
    """
    import torch

    rows = model.get_input_embeddings().weight.shape[0]
    highest_old = max(number for parts in pieces.values() for number in parts)
    if highest_old >= rows:
        raise ModelError(
            f"the tokenizer does not match the model: it gives the id {highest_old} and the table has {rows:,} rows",
            mend="take the model's own tokenizer",
        )
    needed = max(pieces) + 1
    if needed > rows:
        # Rows are set below, so nothing drawn at random stays; the caller's generator is left where it is.
        with torch.random.fork_rng(devices=[]):
            model.resize_token_embeddings(needed, mean_resizing=False)
    with torch.no_grad():
        for table_VD in _tables(model):
            if needed > rows:
                table_VD[rows:] = table_VD[:rows].float().mean(dim=0).to(table_VD.dtype)
            for number, parts in pieces.items():
                # In float32 also where the table is in half precision: the sum of many pieces must not be rounded.
                table_VD[number] = table_VD[list(parts)].float().mean(dim=0).to(table_VD.dtype)


def _tables(model: PreTrainedModel) -> list[Tensor]:
    """Return the tensors with a row for every token, each once."""
    found: dict[int, Tensor] = {}
    for module in (model.get_input_embeddings(), model.get_output_embeddings()):
        if module is None:
            continue
        tensors = dict(module.named_parameters(recurse=False))
        for name in ("weight", "bias"):
            if name in tensors:
                found.setdefault(tensors[name].data_ptr(), tensors[name])
    return list(found.values())


def _saved_class(config: Any, name: str) -> Any:
    auto_class = published_class(config)
    if auto_class is None:
        raise ModelError(
            f"the class '{(config.architectures or [''])[0]}' its config names is none that transformers loads by task",
            where=name,
            mend="save the model with one of transformers' own classes",
        )
    return model_class(config, auto_class)
