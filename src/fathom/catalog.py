"""Every part by name: the table of contents. Nothing is imported until it is asked for."""

from __future__ import annotations

import difflib
import importlib
from importlib import metadata
from typing import Any

from fathom.errors import ConfigError

CATALOG: dict[str, dict[str, str]] = {
    "model": {
        "pretrained": "fathom.model.section:Pretrained",
        "new": "fathom.model.new:NewModel",
    },
    "task": {
        "text-classification": "fathom.tasks.text_classification:TextClassification",
        "prompt-classification": "fathom.tasks.prompt_classification:PromptClassification",
        "token-classification": "fathom.tasks.token_classification:TokenClassification",
        "relation-extraction": "fathom.tasks.relation_extraction:RelationExtraction",
        "question-answering": "fathom.tasks.question_answering:QuestionAnswering",
        "masked-lm": "fathom.tasks.masked_lm:MaskedLm",
        "causal-lm": "fathom.tasks.causal_lm:CausalLm",
        "span-denoising": "fathom.tasks.sequence_denoising:SpanDenoising",
        "text-infilling": "fathom.tasks.sequence_denoising:TextInfilling",
        "prefix-lm": "fathom.tasks.prefix_lm:PrefixLm",
        "chat": "fathom.tasks.chat:Chat",
        "preference": "fathom.tasks.preference:Preference",
        "sentence-embedding": "fathom.tasks.sentence_embedding:SentenceEmbedding",
        "reranking": "fathom.tasks.reranking:Reranking",
        "translation": "fathom.tasks.translation:Translation",
        "summarization": "fathom.tasks.summarization:Summarization",
        "image-classification": "fathom.tasks.image_classification:ImageClassification",
        "audio-classification": "fathom.tasks.audio_classification:AudioClassification",
        "speech-recognition": "fathom.tasks.speech_recognition:SpeechRecognition",
        "recommendation": "fathom.tasks.recommendation:Recommendation",
    },
    "tuning": {
        "full": "fathom.tuning.full:Full",
        "head": "fathom.tuning.head:Head",
        "top-layers": "fathom.tuning.top_layers:TopLayers",
        "layers": "fathom.tuning.layers:Layers",
        "layerwise": "fathom.tuning.layerwise:Layerwise",
        "gradual-unfreezing": "fathom.tuning.gradual_unfreezing:GradualUnfreezing",
        "auto-freezing": "fathom.tuning.auto_freezing:AutoFreezing",
        "bitfit": "fathom.tuning.bitfit:BitFit",
        "norms": "fathom.tuning.norms:Norms",
        "random-mask": "fathom.tuning.random_mask:RandomMask",
        "diff-pruning": "fathom.tuning.diff_pruning:DiffPruning",
        "ia3": "fathom.tuning.ia3:Ia3",
        "lora": "fathom.tuning.lora:Lora",
        "qlora": "fathom.tuning.qlora:QLora",
        "dora": "fathom.tuning.dora:Dora",
        "adalora": "fathom.tuning.adalora:AdaLora",
        "vera": "fathom.tuning.vera:Vera",
        "adapter": "fathom.tuning.adapter:Adapter",
        "ladder": "fathom.tuning.ladder:Ladder",
        "prompt": "fathom.tuning.prompt:Prompt",
        "p-tuning": "fathom.tuning.p_tuning:PTuning",
        "prefix": "fathom.tuning.prefix:Prefix",
    },
    "reader": {
        "csv": "fathom.data.readers.delimited:CsvReader",
        "tsv": "fathom.data.readers.delimited:TsvReader",
        "json": "fathom.data.readers.json_lines:JsonReader",
        "jsonl": "fathom.data.readers.json_lines:JsonLinesReader",
        "parquet": "fathom.data.readers.parquet:ParquetReader",
        "conll": "fathom.data.readers.conll:ConllReader",
        "parallel": "fathom.data.readers.parallel:ParallelReader",
        "semeval": "fathom.data.readers.semeval:SemEvalReader",
        "squad": "fathom.data.readers.squad:SquadReader",
        "hub": "fathom.data.readers.hub:HubReader",
        "image-folder": "fathom.data.readers.folders:ImageFolderReader",
        "sound-folder": "fathom.data.readers.folders:SoundFolderReader",
        "speech-folder": "fathom.data.readers.speech_folder:SpeechFolderReader",
        "digits": "fathom.data.readers.built_in:DigitsReader",
        "tones": "fathom.data.readers.built_in:TonesReader",
        "shop": "fathom.data.readers.shop:ShopReader",
        "melody": "fathom.data.readers.built_in:MelodyReader",
        "headlines": "fathom.data.readers.headlines:HeadlinesReader",
        "helpdesk": "fathom.data.readers.helpdesk:HelpdeskReader",
    },
    "image_augmentation": {
        "none": "fathom.data.image_augmentation:NoAugmentation",
        "standard": "fathom.data.image_augmentation:StandardAugmentation",
        "trivial": "fathom.data.image_augmentation:TrivialAugmentation",
    },
    "sound_augmentation": {
        "none": "fathom.data.sound_augmentation:NoSoundAugmentation",
        "standard": "fathom.data.sound_augmentation:StandardSoundAugmentation",
    },
    "corpus_filter": {
        "min-length": "fathom.data.corpus.filters.quality:MinLength",
        "symbols": "fathom.data.corpus.filters.quality:Symbols",
        "repetition": "fathom.data.corpus.filters.quality:Repetition",
        "language": "fathom.data.corpus.filters.language:Language",
        "exact-duplicates": "fathom.data.corpus.filters.duplicates:ExactDuplicates",
        "near-duplicates": "fathom.data.corpus.filters.duplicates:NearDuplicates",
    },
    "metric": {
        "accuracy": "fathom.evaluation.classification:Accuracy",
        "f1": "fathom.evaluation.classification:F1",
        "matthews": "fathom.evaluation.classification:Matthews",
        "calibration": "fathom.evaluation.calibration:Calibration",
        "top-k": "fathom.evaluation.calibration:TopK",
        "auc": "fathom.evaluation.classification:Auc",
        "per-class": "fathom.evaluation.classification:PerClass",
        "pearson": "fathom.evaluation.regression:Pearson",
        "spearman": "fathom.evaluation.regression:Spearman",
        "mse": "fathom.evaluation.regression:MeanSquaredError",
        "entity-f1": "fathom.evaluation.entities:EntityF1",
        "relation-f1": "fathom.evaluation.relations:RelationF1",
        "squad": "fathom.evaluation.answers:Squad",
        "squad-v2": "fathom.evaluation.answers:SquadV2",
        "cmrc": "fathom.evaluation.answers:Cmrc",
        "cmrc-v2": "fathom.evaluation.answers:CmrcV2",
        "perplexity": "fathom.evaluation.language:Perplexity",
        "retrieval": "fathom.evaluation.retrieval:Retrieval",
        "similarity": "fathom.evaluation.retrieval:Similarity",
        "reranking": "fathom.evaluation.reranking:Reranking",
        "preference": "fathom.evaluation.preference:Preference",
        "bleu": "fathom.evaluation.translation:Bleu",
        "chrf": "fathom.evaluation.translation:ChrF",
        "ter": "fathom.evaluation.translation:Ter",
        "rouge": "fathom.evaluation.rouge:Rouge",
        "length-ratio": "fathom.evaluation.copying:LengthRatio",
        "copy-rate": "fathom.evaluation.copying:CopyRate",
        "distinct": "fathom.evaluation.dialogue:Distinct",
        "exact-answer": "fathom.evaluation.dialogue:ExactAnswer",
        "calls": "fathom.evaluation.dialogue:Calls",
        "wer": "fathom.evaluation.speech:WordErrorRate",
        "cer": "fathom.evaluation.speech:CharacterErrorRate",
        "recommendation": "fathom.evaluation.recommendation:Recommendation",
    },
    "optimizer": {
        "adamw": "fathom.training.optimizers.adamw:AdamW",
        "adam": "fathom.training.optimizers.adam:Adam",
        "adam-8bit": "fathom.training.optimizers.adam_8bit:Adam8Bit",
        "adafactor": "fathom.training.optimizers.adafactor:Adafactor",
        "lion": "fathom.training.optimizers.lion:Lion",
        "muon": "fathom.training.optimizers.muon:Muon",
        "sgd": "fathom.training.optimizers.sgd:Sgd",
        "adagrad": "fathom.training.optimizers.adagrad:Adagrad",
        "rmsprop": "fathom.training.optimizers.rmsprop:RmsProp",
    },
    "lr_scheduler": {
        "linear": "fathom.training.schedule:Linear",
        "cosine": "fathom.training.schedule:Cosine",
        "cosine-with-restarts": "fathom.training.schedule:CosineWithRestarts",
        "constant": "fathom.training.schedule:Constant",
        "polynomial": "fathom.training.schedule:Polynomial",
        "inverse-square-root": "fathom.training.schedule:InverseSquareRoot",
        "step": "fathom.training.schedule:Step",
        "warmup-stable-decay": "fathom.training.schedule:WarmupStableDecay",
    },
    "tokenizer_algorithm": {
        "wordpiece": "fathom.tokenization.algorithms:WordPiece",
        "byte-bpe": "fathom.tokenization.algorithms:ByteBpe",
        "unigram": "fathom.tokenization.algorithms:Unigram",
        "characters": "fathom.tokenization.algorithms:Characters",
    },
    "tracker": {
        "jsonl": "fathom.tracking.jsonl:JsonLinesTracker",
        "tensorboard": "fathom.tracking.tensorboard:TensorBoardTracker",
    },
}

ALIASES: dict[str, dict[str, str]] = {
    "optimizer": {
        "adamw_torch": "adamw",
        "adamw_torch_fused": "adamw",
        "adamw_8bit": "adam-8bit",
        "adamw_bnb_8bit": "adam-8bit",
        "lion_32bit": "lion",
    },
    "lr_scheduler": {
        "constant_with_warmup": "constant",
        "cosine_with_min_lr": "cosine",
        "cosine_with_restarts": "cosine-with-restarts",
        "inverse_sqrt": "inverse-square-root",
        "warmup_stable_decay": "warmup-stable-decay",
    },
}
"""Other names of parts, Hugging Face's for example: read everywhere, written nowhere."""

ENTRY_POINT_GROUP = "fathom.parts"
"""Outside packages add parts: an entry point named `family.name` with the value `module:Class`."""


def families() -> list[str]:
    """Return the names of all families of parts."""
    return list(CATALOG)


def names(family: str) -> list[str]:
    """Return the names of the parts of one family, those of outside packages included."""
    return [*CATALOG[family], *_outside(family)]


def contents() -> dict[str, list[str]]:
    """Return `{family: [names]}` of the whole catalog."""
    return {family: names(family) for family in families()}


def canonical(family: str, name: str) -> str:
    """Return the name a part is written by."""
    return ALIASES.get(family, {}).get(name, name)


def load(family: str, name: str) -> Any:
    """Import and return the class of one part.

    Raises:
        ConfigError: No part of that name; the nearest one is suggested.
    """
    name = canonical(family, name)
    target = CATALOG[family].get(name) or _outside(family).get(name)
    if target is None:
        near = difflib.get_close_matches(name, names(family), n=1)
        hint = f"did you mean '{near[0]}'? " if near else ""
        raise ConfigError(f"no {family} is called '{name}'", mend=f"{hint}known: {', '.join(names(family))}")
    module, _, attribute = target.partition(":")
    return vars(importlib.import_module(module))[attribute]


def _outside(family: str) -> dict[str, str]:
    found = {}
    for point in metadata.entry_points(group=ENTRY_POINT_GROUP):
        point_family, _, name = point.name.partition(".")
        if point_family == family:
            found[name] = point.value
    return found
