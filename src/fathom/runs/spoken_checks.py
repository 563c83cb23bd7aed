"""What `fathom data check` says of sounds and transcripts: what cannot be learnt, and what cannot be written."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Literal

from fathom.data.example import Example
from fathom.data.findings import SHOWN, Finding, Severity
from fathom.errors import ConfigError, DataError, ModelError
from fathom.model.new import NewModel
from fathom.runs.media import find_unfit, make_media_task
from fathom.tasks.labels import place
from fathom.tasks.speech_options import OpenTranscripts
from fathom.tasks.speech_recognition import SpeechRecognition

if TYPE_CHECKING:
    from fathom.recipe import Recipe


def check_spoken(
    recipe: Recipe | None, parts: Mapping[str, Sequence[Example]], on_error: Literal["refuse", "skip"]
) -> list[Finding]:
    """Check transcripts against their sounds, by the frames and the vocabulary of a model.

    Args:
        recipe: Whose task and model; None for a new wav2vec2, whose frames are those of its family.
        parts: The examples of each split.
        on_error: What is done with those that cannot be learnt from.
    """
    task = recipe.task if recipe is not None else SpeechRecognition()
    assert isinstance(task, SpeechRecognition)
    model = recipe.model if recipe is not None else NewModel(architecture="wav2vec2")
    try:
        opened, _ = make_media_task(task, model, parts["train"])
    except (ConfigError, DataError, ModelError) as error:
        kind: Severity = "note" if isinstance(error, ModelError) else "error"
        said = f"transcripts were not checked against their sounds: {error.message}"
        return [Finding("transcripts", kind, said, 1, (), error.mend or "")]
    assert isinstance(opened, OpenTranscripts)
    findings = []
    for split, examples in parts.items():
        spoken = [example for example in examples if "transcript" in example]
        findings += [*_unfit(opened, split, spoken, on_error), *_unknown(opened, split, spoken)]
    return findings


def _unfit(
    task: OpenTranscripts, split: str, examples: Sequence[Example], on_error: Literal["refuse", "skip"]
) -> list[Finding]:
    _, unfit = find_unfit(task, examples)
    if not unfit:
        return []
    said = f"{len(unfit)} sounds of {split} cannot be learnt from"
    shown = tuple(f"{place(example)}: {reason}" for example, reason in unfit[:SHOWN])
    severity: Severity = "error" if on_error == "refuse" else "warning"
    mend = "correct the transcripts, cut the sounds, or leave them out: data.on_error=skip"
    return [Finding("unfit-transcript", severity, said, len(unfit), shown, mend)]


def _unknown(task: OpenTranscripts, split: str, examples: Sequence[Example]) -> list[Finding]:
    found = [(example, task.unwritable(task.normalize(example["transcript"]))) for example in examples]
    spoilt = [(example, unknown) for example, unknown in found if unknown]
    if not spoilt:
        return []
    said = f"{len(spoilt)} transcripts of {split} hold characters that the model's vocabulary has not"
    shown = tuple(f"{place(example)}: {' '.join(sorted(unknown))}" for example, unknown in spoilt[:SHOWN])
    mend = "add training examples of them, or give a pretrained model a new vocabulary: task.vocabulary=new"
    return [Finding("unknown-character", "warning", said, len(spoilt), shown, mend)]
