"""One label for an image."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, ClassVar, Literal

import numpy as np
import torch
from pydantic import SerializeAsAny
from torch import Tensor
from transformers import PreTrainedConfig, PreTrainedTokenizerBase

from fathom.config import choice
from fathom.data.draw import Draw
from fathom.data.example import Example, Features
from fathom.data.image_augmentation import ImageAugmentation, NoAugmentation
from fathom.data.images import open_image
from fathom.errors import ModelError
from fathom.model.families import image_patches, image_shape
from fathom.model.processors import load_image_processor, new_image_processor, scaling
from fathom.tasks.labels import place
from fathom.tasks.media import LabelledFiles, MediaTask, OpenLabelledFiles

SIDE = 256
"""Pixels of the blank image that shows what a processor makes."""


class ImageClassification(LabelledFiles):
    """Image classification: one label for an image, from a folder for each class or a table of paths."""

    form: ClassVar[Literal["image"]] = "image"
    auto_class: ClassVar[str] = "AutoModelForImageClassification"

    kind: Literal["image-classification"] = "image-classification"
    """Catalog name."""
    augmentation: Annotated[SerializeAsAny[ImageAugmentation], choice("image_augmentation")] = NoAugmentation()
    """What is changed in training images, drawn anew in every epoch: none, standard, trivial, or `{kind, options}`."""

    def load_tokenizer(self, name: str) -> PreTrainedTokenizerBase:
        """Load the model's image processor."""
        return load_image_processor(name)

    def new_processor(self, config: PreTrainedConfig, examples: Sequence[Example]) -> Any:
        """Return a processor for the side of a new model's images."""
        return new_image_processor(config)

    def num_positions(self, config: PreTrainedConfig) -> int:
        """Return the patches of an image, and one."""
        return (image_patches(config) or 0) + 1

    def fitted(self, processor: Any, config: PreTrainedConfig, examples: Sequence[Example]) -> Any:
        """Check that the processor makes images of the model's side."""
        wanted, (height, width) = image_shape(config), _size(processor)
        if wanted is not None and (height, width) != wanted:
            raise ModelError(
                f"the processor makes images of {height} x {width} pixels, the model reads {wanted[0]} x {wanted[1]}",
                where="preprocessor_config.json",
                mend="correct size or crop_size there",
            )
        return processor

    def open(self, examples: Sequence[Example], tokenizer: PreTrainedTokenizerBase, max_length: int) -> OpenImageTask:
        """Read the labels; `tokenizer` is the image processor, `max_length` the patches of an image."""
        state = {**self.read_labels(examples), "max_length": max_length}
        return OpenImageTask(self, tokenizer, state)

    def reopen(self, state: Mapping[str, Any], tokenizer: PreTrainedTokenizerBase) -> OpenImageTask:
        """Return the live task of a saved model; see `Task.reopen`."""
        return OpenImageTask.of_state(self, tokenizer, state)


class OpenImageTask(OpenLabelledFiles):
    """Image classification with its labels and image processor."""

    part: ImageClassification

    def __init__(self, part: MediaTask, processor: Any, state: Mapping[str, Any]) -> None:
        super().__init__(part, processor, state)
        factor, offset = scaling(processor)
        self._factor_C11 = torch.tensor(factor, dtype=torch.float32)[:, None, None]
        self._offset_C11 = torch.tensor(offset, dtype=torch.float32)[:, None, None]

    def read(self, example: Example) -> list[Features]:
        """Decode an image, resized and cropped by the processor: `pixel_values` uint8 [3, height, width]."""
        image = open_image(example["image"], place(example))
        return [{"pixel_values": as_bytes(self.tokenizer, image)}]

    def inputs(self, features: Sequence[Features], draw: Draw) -> dict[str, Tensor]:
        """Return `pixel_values` float32 [B, 3, height, width]."""
        pixels = [np.asarray(item["pixel_values"]) for item in features]
        if draw.training:
            augmentation = self.part.augmentation
            pixels = [augmentation.apply(image, draw, place) for place, image in enumerate(pixels)]
        pixels_BCHW = torch.from_numpy(np.stack(pixels)).float()
        return {"pixel_values": pixels_BCHW.mul_(self._factor_C11).add_(self._offset_C11)}


def as_bytes(processor: Any, image: Any) -> np.ndarray[Any, Any]:
    """Return an RGB image as a processor sizes it, before it scales it: uint8 [3, height, width].

    Raises:
        ModelError: The processor does more between sizing and scaling than bytes can hold.
    """
    found = np.asarray(processor(images=[image], do_rescale=False, do_normalize=False)["pixel_values"][0])
    if found.dtype != np.uint8 or found.ndim != 3 or found.shape[0] != 3:
        raise ModelError(
            f"the image processor gives {found.dtype} of the shape {list(found.shape)} where bytes of three channels "
            "are expected",
            where="preprocessor_config.json",
            mend="choose a model whose processor resizes and crops, such as ViT, DeiT or BEiT",
        )
    return found


def _size(processor: Any) -> tuple[int, int]:
    """Height and width of what a processor makes."""
    from PIL import Image

    shape = as_bytes(processor, Image.new("RGB", (SIDE, SIDE))).shape
    return int(shape[1]), int(shape[2])
