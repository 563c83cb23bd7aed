"""Under which of transformers' auto classes a model was saved."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fathom.errors import ModelError
from fathom.model.load import model_class

if TYPE_CHECKING:
    from transformers import PreTrainedConfig

AUTO_CLASSES = (
    "AutoModelForCausalLM",
    "AutoModelForSeq2SeqLM",
    "AutoModelForSpeechSeq2Seq",
    "AutoModelForCTC",
    "AutoModelForMaskedLM",
    "AutoModelForPreTraining",
    "AutoModelForSequenceClassification",
    "AutoModelForTokenClassification",
    "AutoModelForQuestionAnswering",
    "AutoModelForImageClassification",
    "AutoModelForAudioClassification",
    "AutoModelForNextSentencePrediction",
    "AutoModelForMultipleChoice",
    "AutoModelForImageTextToText",
    "AutoModel",
)
"""In the order they are asked: those for masks, for pretraining and without a head take models of others too (BART)."""


def published_class(config: PreTrainedConfig) -> str | None:
    """Return the name of the auto class that makes the class a config names; None where transformers has none.

    A config that names no class has the first auto class its family has.
    """
    wanted = (config.architectures or [""])[0]
    for auto_class in AUTO_CLASSES:
        try:
            found = model_class(config, auto_class)
        except ModelError:
            continue
        if found.__name__ == wanted or not wanted:
            return auto_class
    return None
