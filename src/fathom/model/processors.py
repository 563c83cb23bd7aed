"""What stands in the place of a tokenizer where a model sees or hears: image processors and feature extractors."""

from __future__ import annotations

import json
import math
import warnings
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from fathom.device import hub_reachable
from fathom.errors import MissingExtraError, ModelError
from fathom.files import digest

if TYPE_CHECKING:
    from transformers import PreTrainedConfig

FILE = "preprocessor_config.json"
BOTH_FILE = "processor_config.json"
"""Of a processor with a tokenizer in it, which speech models have."""
VOCABULARY_FILE, TOKENIZER_FILE = "vocab.json", "tokenizer.json"
NEW_RATE = 16_000
"""Samples a second that a new model reads."""

Samples = np.ndarray[Any, np.dtype[np.float32]]


def load_image_processor(name: str) -> Any:
    """Load the image processor of a folder or hub name, the form of it that needs Pillow only.

    Raises:
        ModelError: It has none.
    """
    _require_pillow()
    from transformers import AutoImageProcessor

    return _load(AutoImageProcessor, name, "image processor", backend="pil")


def load_feature_extractor(name: str) -> Any:
    """Load the feature extractor of a folder or hub name.

    Raises:
        ModelError: It has none.
    """
    from transformers import AutoFeatureExtractor

    with _sparse_filters():
        return _load(AutoFeatureExtractor, name, "feature extractor")


def load_speech_processor(name: str) -> Any:
    """Load the feature extractor of a folder or hub name, with its tokenizer (CTC's, or Whisper's) where it has one.

    Raises:
        ModelError: It has no extractor, or a damaged tokenizer.
    """
    from transformers import Wav2Vec2CTCTokenizer, WhisperTokenizer

    extractor = load_feature_extractor(name)
    kind: Any = WhisperTokenizer if is_whispers(extractor) else Wav2Vec2CTCTokenizer
    folder = Path(name)
    if folder.is_dir() and not any((folder / file).is_file() for file in (VOCABULARY_FILE, TOKENIZER_FILE)):
        return extractor
    try:
        tokenizer = kind.from_pretrained(name, local_files_only=not hub_reachable())
    except OSError as error:
        if folder.is_dir():
            raise _no_tokenizer(name, error) from None
        return extractor  # a model that was never taught to write
    except (ValueError, KeyError, TypeError) as error:
        raise _no_tokenizer(name, error) from None
    return with_tokenizer(extractor, tokenizer)


def _no_tokenizer(name: str, error: Exception) -> ModelError:
    mend = "copy or save the tokenizer's files again"
    return ModelError(f"the tokenizer cannot be loaded: {error}", where=name, mend=mend)


def with_tokenizer(extractor: Any, tokenizer: Any) -> Any:
    """Return the processor of a speech model: what it hears by, and what it writes with."""
    from transformers import Wav2Vec2Processor, WhisperProcessor

    kind: Any = WhisperProcessor if is_whispers(extractor) else Wav2Vec2Processor
    return kind(feature_extractor=extractor, tokenizer=tokenizer)


def is_whispers(extractor: Any) -> bool:
    """Whether a feature extractor is Whisper's: log-mel spectra of a fixed number of seconds, [bands, frames]."""
    return bool(settings_of(extractor)["feature_extractor_type"] == "WhisperFeatureExtractor")


def spectrum_shape(extractor: Any) -> tuple[int, int]:
    """Return bands and frames of what Whisper's extractor makes of every sound."""
    settings = settings_of(extractor)
    return int(settings["feature_size"]), int(settings["n_samples"]) // int(settings["hop_length"])


@contextmanager
def _sparse_filters() -> Iterator[None]:
    """AST's lowest mel bands hold no bin of its spectrum, as published; transformers warns of it every time."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="At least one mel filter has all zero values")
        yield


def load_beside(folder: Path) -> Any:
    """Load whatever stands in the place of a tokenizer in a saved folder; None where it holds no such thing."""
    if (folder / BOTH_FILE).is_file():
        return load_speech_processor(str(folder))
    path = folder / FILE
    if not path.is_file():
        return None
    said = json.loads(path.read_text(encoding="utf-8"))
    return load_image_processor(str(folder)) if "image_processor_type" in said else load_feature_extractor(str(folder))


def new_image_processor(config: PreTrainedConfig) -> Any:
    """Return the processor of a new vision model: images become squares of its side, pixels -1 to 1."""
    _require_pillow()
    from transformers.models.vit.image_processing_pil_vit import ViTImageProcessorPil

    side = int(config.image_size)
    return ViTImageProcessorPil(size={"height": side, "width": side})


def new_feature_extractor(config: PreTrainedConfig, sounds: Iterable[Samples]) -> Any:
    """Return the extractor of a new model: log-mel spectrograms for `ast` and `whisper`, normalised waveforms else.

    Args:
        config: The model's.
        sounds: Some of the training split, at `NEW_RATE`; a spectrogram's mean and deviation are taken of them, where a
            published AST has those of AudioSet.
    """
    if config.model_type == "audio-spectrogram-transformer":
        from transformers import ASTFeatureExtractor

        sizes = {"max_length": config.max_length, "num_mel_bins": config.num_mel_bins, "sampling_rate": NEW_RATE}
        with _sparse_filters():
            plain = ASTFeatureExtractor(do_normalize=False, **sizes)
            total, squares, count = 0.0, 0.0, 0
            for samples in sounds:
                frames = np.asarray(plain(samples, sampling_rate=NEW_RATE, return_tensors="np")["input_values"][0])
                heard = frames[frames.any(axis=1)].astype(np.float64)
                total, squares, count = total + heard.sum(), squares + (heard**2).sum(), count + heard.size
            mean = total / max(count, 1)
            deviation = math.sqrt(max(squares / max(count, 1) - mean**2, 1e-6))
            return ASTFeatureExtractor(mean=round(mean, 4), std=round(deviation, 4), **sizes)
    if config.model_type == "whisper":
        from transformers import WhisperFeatureExtractor

        seconds = 2 * config.max_source_positions // 100  # frames of 10 ms, which the encoder halves
        return WhisperFeatureExtractor(config.num_mel_bins, sampling_rate=NEW_RATE, chunk_length=seconds)
    from transformers import Wav2Vec2FeatureExtractor

    return Wav2Vec2FeatureExtractor(return_attention_mask=config.feat_extract_norm == "layer")


def settings_of(processor: Any) -> dict[str, Any]:
    """Return everything a processor does, as JSON."""
    found: dict[str, Any] = json.loads(processor.to_json_string())
    return found


def processor_digest(processor: Any) -> str:
    """Return the sha256 of everything a processor does."""
    return digest(settings_of(processor))


def spectrogram_samples(processor: Any) -> int | None:
    """Return how many samples fit into the spectrogram an extractor makes; None where it makes none of fixed length.

    Whisper's says so itself; AST's has so many frames of 25 ms, one every 10 ms.
    """
    settings = settings_of(processor)
    if "n_samples" in settings:
        return int(settings["n_samples"])
    if "max_length" not in settings or "num_mel_bins" not in settings:
        return None
    step = int(settings["sampling_rate"]) // 100
    return (int(settings["max_length"]) - 1) * step + step * 5 // 2 + step - 1


def _load(auto: Any, name: str, what: str, **options: Any) -> Any:
    folder = Path(name)
    if folder.is_dir() and not (folder / FILE).is_file() and not (folder / BOTH_FILE).is_file():
        raise ModelError(
            f"the folder has no {FILE}: what the model reads is unknown",
            where=name,
            mend=f"save it with its {what}'s save_pretrained(folder), or choose a model that sees or hears",
        )
    try:
        return auto.from_pretrained(name, trust_remote_code=False, local_files_only=not hub_reachable(), **options)
    except (OSError, ValueError, KeyError, ImportError) as error:
        reason = str(error).strip().split("\n", maxsplit=1)[0]
        raise ModelError(
            f"the {what} cannot be loaded: {reason}", where=name, mend="check the name or folder"
        ) from None


def _require_pillow() -> None:
    from importlib.util import find_spec

    if find_spec("PIL") is None:
        raise MissingExtraError("pillow", "vision")


def scaling(processor: Any) -> tuple[list[float], list[float]]:
    """Return by channel the factor and the offset that make a processor's floats of bytes.

    Raises:
        ModelError: Its pixels are not scaled by a mean and a deviation.
    """
    settings: Mapping[str, Any] = settings_of(processor)
    factor = float(settings.get("rescale_factor") or 1 / 255) if settings.get("do_rescale", True) else 1.0
    if not settings.get("do_normalize", True):
        return [factor] * 3, [0.0] * 3
    mean, deviation = settings.get("image_mean"), settings.get("image_std")
    if not mean or not deviation or len(mean) != 3 or len(deviation) != 3:
        mend = "choose a model whose processor has an image_mean and an image_std of three numbers"
        raise ModelError("the image processor has no mean and deviation of three channels", where=FILE, mend=mend)
    return [factor / value for value in deviation], [
        -shift / value for shift, value in zip(mean, deviation, strict=True)
    ]
