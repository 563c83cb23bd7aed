"""One image file: opened by a stated policy, or refused by name.

Whatever a file holds becomes 8-bit RGB, upright: EXIF orientation is applied, greyscale is repeated over the channels,
transparency is laid on white, 16-bit grey is scaled by its own range, and of an animation the first frame is taken.
"""

from __future__ import annotations

import io
import struct
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from fathom.errors import DataError, MissingExtraError

if TYPE_CHECKING:
    from PIL import Image

SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".bmp", ".gif", ".webp", ".tif", ".tiff", ".ppm", ".pgm"})
"""Ends of names that are taken for images."""
WHITE = (255, 255, 255)
MEND = "replace the file"
_DAMAGE = (OSError, ValueError, SyntaxError, EOFError, TypeError, struct.error)
"""What Pillow raises for files that are not whole; a TIFF without its dimensions is a TypeError."""
_ORIENTATION = 0x0112
"""Tag of EXIF; 1 is upright."""
_COARSE = (32, 32)
"""JPEG files are only decoded this coarsely where it is asked whether they are whole."""


@dataclass(frozen=True)
class ImageFacts:
    """What an image file says of itself: pixels, and whether it was made RGB or upright."""

    width: int
    height: int
    mode: str
    rotated: bool = False
    animated: bool = False


def check_image(data: bytes, where: str) -> ImageFacts:
    """Decode an image to its end and return what it is.

    Raises:
        DataError: Not an image, cut short, or too large to be decoded safely; names the file.
    """
    image = _open(data, where)
    width, height, mode = image.width, image.height, image.mode
    image.draft(mode, _COARSE)
    _load(image, where)
    try:  # later pictures of the file are looked at only here
        return ImageFacts(width, height, mode, image.getexif().get(_ORIENTATION, 1) > 1, _frames(image) > 1)
    except _DAMAGE as error:
        raise _damaged(error, where) from None


def open_image(path: str, where: str) -> Image.Image:
    """Return an image file as upright 8-bit RGB.

    Raises:
        DataError: The file is missing or damaged; names it.
    """
    try:
        data = Path(path).read_bytes()
    except OSError as error:
        raise DataError(f"the image cannot be read: {error.strerror}", where=where, mend="check the path") from None
    image = _open(data, where)
    _load(image, where)
    upright: Image.Image = as_rgb(image)
    return upright


def as_rgb(image: Any) -> Any:
    """Return a Pillow image upright and as 8-bit RGB; see the module for the policy."""
    from PIL import Image, ImageOps

    image = ImageOps.exif_transpose(image)
    if image.mode.startswith("I") or image.mode == "F":
        grey_HW = np.asarray(image, dtype=np.float64)
        low, high = float(grey_HW.min()), float(grey_HW.max())
        return Image.fromarray(((grey_HW - low) * (255.0 / max(high - low, 1.0))).astype(np.uint8)).convert("RGB")
    if image.has_transparency_data:
        seen = image.convert("RGBA")
        ground = Image.new("RGBA", seen.size, (*WHITE, 255))
        return Image.alpha_composite(ground, seen).convert("RGB")
    return image.convert("RGB")


def _open(data: bytes, where: str) -> Any:
    try:
        from PIL import Image, UnidentifiedImageError
    except ImportError:
        raise MissingExtraError("pillow", "vision", where) from None
    if not data:
        raise DataError("the file is empty", where=where, mend=MEND)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            return Image.open(io.BytesIO(data))
    except UnidentifiedImageError:
        raise DataError("this is no image", where=where, mend=MEND) from None
    except (Image.DecompressionBombWarning, Image.DecompressionBombError):
        limit = Image.MAX_IMAGE_PIXELS or 0
        raise DataError(f"the image has more than {limit:,} pixels", where=where, mend="make it smaller") from None
    except _DAMAGE as error:
        raise _damaged(error, where) from None


def _frames(image: Any) -> int:
    """Only formats that can hold several pictures say how many there are."""
    try:
        return int(image.n_frames)
    except AttributeError:
        return 1


def _load(image: Any, where: str) -> None:
    try:
        image.load()
    except _DAMAGE as error:
        raise _damaged(error, where) from None


def _damaged(error: Exception, where: str) -> DataError:
    return DataError(f"the image is damaged: {error}", where=where, mend=MEND)
