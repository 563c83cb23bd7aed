"""Training images changed at random: where and how much is drawn from the counter-based `Draw`, the pixels by Pillow.

An image drawn for a step is a pure function of seed, step and the image's number, so that a resumed run, or one cut
into other passes, trains on the same pixels.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from pydantic import Field

from fathom.config import Part
from fathom.data.draw import Draw

if TYPE_CHECKING:
    from PIL import Image

Pixels = np.ndarray[Any, np.dtype[np.uint8]]
STREAM = 7_001
"""Tells these draws from those of masking and noise."""
STRENGTHS = 31
"""Steps of TrivialAugment's scale of strength."""


class ImageAugmentation(Part, ABC):
    """Changes one training image."""

    kind: str
    """Name in the catalog."""

    @abstractmethod
    def apply(self, pixels_CHW: Pixels, draw: Draw, place: int) -> Pixels:
        """Return an image of the same shape.

        Args:
            pixels_CHW: uint8, as the processor sized it.
            draw: Of the batch.
            place: Of the image in the batch.
        """


class NoAugmentation(ImageAugmentation):
    """Images as they are."""

    kind: Literal["none"] = "none"
    """Catalog name."""

    def apply(self, pixels_CHW: Pixels, draw: Draw, place: int) -> Pixels:
        """Return the image."""
        return pixels_CHW


class StandardAugmentation(ImageAugmentation):
    """A random crop, turn and shift, changes of colour, and a patch erased (arXiv 1708.04896)."""

    kind: Literal["standard"] = "standard"
    """Catalog name."""
    crop: float = Field(0.7, gt=0, le=1)
    """Least share of the area that a crop keeps; 1 crops nothing."""
    stretch: float = Field(1.2, ge=1)
    """Most a crop's sides are stretched against each other."""
    flip: bool = False
    """Mirror half of the images; for photographs, not for digits, letters and signs."""
    rotate: float = Field(10.0, ge=0, le=180)
    """Most degrees of a turn."""
    colour: float = Field(0.2, ge=0, lt=1)
    """Most share by which brightness, contrast and saturation change, each by itself."""
    erase: float = Field(0.25, ge=0, le=1)
    """Share of the images of which a patch becomes noise."""

    def apply(self, pixels_CHW: Pixels, draw: Draw, place: int) -> Pixels:
        """Draw crop, turn and colours, and change the image."""
        chance = draw.generator(place, STREAM)
        image = _image(pixels_CHW)
        image = _affine(image, _crop(chance, self, image.size))
        for change in ("Brightness", "Contrast", "Color"):
            factor = 1.0 + self.colour * chance.uniform(-1.0, 1.0)
            image = _enhance(image, change, factor)
        changed = _pixels(image)
        return _erase(changed, chance) if chance.random() < self.erase else changed


class TrivialAugmentation(ImageAugmentation):
    """TrivialAugment (arXiv 2103.10158): one change of its wide list, at a strength drawn evenly; nothing to set."""

    kind: Literal["trivial"] = "trivial"
    """Catalog name."""
    flip: bool = False
    """Mirror half of the images first; for photographs, not for digits, letters and signs."""

    def apply(self, pixels_CHW: Pixels, draw: Draw, place: int) -> Pixels:
        """Draw one change and its strength."""
        chance = draw.generator(place, STREAM)
        image = _image(pixels_CHW)
        if self.flip and chance.random() < 0.5:
            from PIL import ImageOps

            image = ImageOps.mirror(image)
        change = list(CHANGES.values())[int(chance.integers(len(CHANGES)))]
        strength = int(chance.integers(STRENGTHS)) / (STRENGTHS - 1)
        sign = 1.0 if chance.random() < 0.5 else -1.0
        return _pixels(change(image, strength, sign))


def _crop(chance: np.random.Generator, part: StandardAugmentation, size: tuple[int, int]) -> np.ndarray[Any, Any]:
    """The affine map from the new image to the old one, 3 x 3: a crop about a centre, turned and perhaps mirrored."""
    width, height = size
    area = chance.uniform(part.crop, 1.0)
    ratio = math.exp(chance.uniform(-1.0, 1.0) * math.log(part.stretch))
    across, down = min(1.0, math.sqrt(area * ratio)), min(1.0, math.sqrt(area / ratio))
    angle = math.radians(chance.uniform(-part.rotate, part.rotate))
    shift_x, shift_y = chance.uniform(-1.0, 1.0) * (1 - across) / 2, chance.uniform(-1.0, 1.0) * (1 - down) / 2
    mirror = -1.0 if part.flip and chance.random() < 0.5 else 1.0
    to_centre = np.array([[1, 0, -width / 2], [0, 1, -height / 2], [0, 0, 1]])
    scale = np.array([[across * mirror, 0, 0], [0, down, 0], [0, 0, 1]])
    turn = np.array([[math.cos(angle), -math.sin(angle), 0], [math.sin(angle), math.cos(angle), 0], [0, 0, 1]])
    back = np.array([[1, 0, width * (0.5 + shift_x)], [0, 1, height * (0.5 + shift_y)], [0, 0, 1]])
    found: np.ndarray[Any, Any] = back @ turn @ scale @ to_centre
    return found


def _affine(image: Image.Image, map_33: np.ndarray[Any, Any]) -> Image.Image:
    """Sample an image through an affine map of new to old positions; what lies outside takes the mean colour."""
    from PIL import Image

    mean = tuple(round(value) for value in np.asarray(image).reshape(-1, 3).mean(axis=0).tolist())
    data = tuple(float(value) for value in map_33[:2].flatten())
    return image.transform(image.size, Image.Transform.AFFINE, data, Image.Resampling.BILINEAR, fillcolor=mean)


def _enhance(image: Image.Image, change: str, factor: float) -> Image.Image:
    from PIL import ImageEnhance

    enhancers: dict[str, Callable[[Image.Image], Any]] = {
        "Brightness": ImageEnhance.Brightness,
        "Contrast": ImageEnhance.Contrast,
        "Color": ImageEnhance.Color,
        "Sharpness": ImageEnhance.Sharpness,
    }
    enhanced: Image.Image = enhancers[change](image).enhance(factor)
    return enhanced


def _erase(pixels_CHW: Pixels, chance: np.random.Generator) -> Pixels:
    """Replace a patch of 2% to 20% of the area by noise."""
    height, width = pixels_CHW.shape[1:]
    area, ratio = chance.uniform(0.02, 0.2) * height * width, math.exp(chance.uniform(-1.0, 1.0))
    down = min(max(round(math.sqrt(area * ratio)), 1), height)
    across = min(max(round(math.sqrt(area / ratio)), 1), width)
    top, left = int(chance.integers(height - down + 1)), int(chance.integers(width - across + 1))
    changed = pixels_CHW.copy()
    changed[:, top : top + down, left : left + across] = chance.integers(0, 256, (3, down, across), dtype=np.uint8)
    return changed


def _image(pixels_CHW: Pixels) -> Image.Image:
    from PIL import Image

    return Image.fromarray(np.ascontiguousarray(pixels_CHW.transpose(1, 2, 0)))


def _pixels(image: Image.Image) -> Pixels:
    return np.ascontiguousarray(np.asarray(image, dtype=np.uint8).transpose(2, 0, 1))


def _shear(image: Image.Image, across: float, down: float) -> Image.Image:
    width, height = image.size
    return _affine(image, np.array([[1, across, -across * height / 2], [down, 1, -down * width / 2], [0, 0, 1]]))


def _move(image: Image.Image, across: float, down: float) -> Image.Image:
    return _affine(image, np.array([[1, 0, across * image.width], [0, 1, down * image.height], [0, 0, 1]]))


def _turn(image: Image.Image, degrees: float) -> Image.Image:
    angle = math.radians(degrees)
    cos, sin, x, y = math.cos(angle), math.sin(angle), image.width / 2, image.height / 2
    return _affine(image, np.array([[cos, -sin, x - cos * x + sin * y], [sin, cos, y - sin * x - cos * y], [0, 0, 1]]))


def _operation(name: str, image: Image.Image, value: int = 0) -> Image.Image:
    from PIL import ImageOps

    if name == "posterize":
        return ImageOps.posterize(image, value)
    if name == "solarize":
        return ImageOps.solarize(image, value)
    return ImageOps.equalize(image) if name == "equalize" else ImageOps.autocontrast(image)


Change = Callable[["Image.Image", float, float], "Image.Image"]
"""Takes an image, a strength from 0 to 1 and a sign."""

CHANGES: dict[str, Change] = {
    "identity": lambda image, strength, sign: image,
    "autocontrast": lambda image, strength, sign: _operation("autocontrast", image),
    "equalize": lambda image, strength, sign: _operation("equalize", image),
    "rotate": lambda image, strength, sign: _turn(image, sign * 135.0 * strength),
    "solarize": lambda image, strength, sign: _operation("solarize", image, round(256 * (1 - strength))),
    "posterize": lambda image, strength, sign: _operation("posterize", image, 8 - round(6 * strength)),
    "colour": lambda image, strength, sign: _enhance(image, "Color", 1 + sign * 0.99 * strength),
    "contrast": lambda image, strength, sign: _enhance(image, "Contrast", 1 + sign * 0.99 * strength),
    "brightness": lambda image, strength, sign: _enhance(image, "Brightness", 1 + sign * 0.99 * strength),
    "sharpness": lambda image, strength, sign: _enhance(image, "Sharpness", 1 + sign * 0.99 * strength),
    "shear-x": lambda image, strength, sign: _shear(image, sign * 0.99 * strength, 0.0),
    "shear-y": lambda image, strength, sign: _shear(image, 0.0, sign * 0.99 * strength),
    "translate-x": lambda image, strength, sign: _move(image, sign * strength * 32 / 224, 0.0),
    "translate-y": lambda image, strength, sign: _move(image, 0.0, sign * strength * 32 / 224),
}
"""TrivialAugment's wide list, with the ranges of its paper; shifts are shares of the side, 32 pixels of 224."""
