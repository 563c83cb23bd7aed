"""What is drawn of an image depends on seed, step and the image's number alone."""

from __future__ import annotations

import numpy as np
import pytest

from fathom.data.draw import Draw
from fathom.data.image_augmentation import CHANGES, NoAugmentation, StandardAugmentation, TrivialAugmentation

PIXELS = np.random.default_rng(3).integers(0, 256, (3, 20, 24), dtype=np.uint8)
PARTS = [StandardAugmentation(flip=True), TrivialAugmentation(flip=True)]


@pytest.mark.parametrize("part", PARTS, ids=lambda part: part.kind)
def test_pure_function_of_seed_step_and_row(part):
    whole = Draw(7, 3, np.array([4, 9, 2]))
    images = [part.apply(PIXELS, whole, place) for place in range(3)]
    alone = part.apply(PIXELS, Draw(7, 3, np.array([9])), 0)
    assert np.array_equal(images[1], alone), "however the batch is cut"
    assert all(image.shape == PIXELS.shape and image.dtype == np.uint8 for image in images)
    seen = {part.apply(PIXELS, Draw(seed, step, np.array([9])), 0).tobytes() for seed in (7, 8) for step in range(8)}
    assert len(seen) > 10, "another step or seed draws another image"


def test_nothing_to_change_changes_nothing():
    still = StandardAugmentation(crop=1, stretch=1, rotate=0, colour=0, erase=0)
    assert np.array_equal(still.apply(PIXELS, Draw(1, 1, np.array([0])), 0), PIXELS)
    assert np.array_equal(NoAugmentation().apply(PIXELS, Draw(1, 1, np.array([0])), 0), PIXELS)


def test_flip_mirrors_half():
    part = StandardAugmentation(crop=1, stretch=1, rotate=0, colour=0, erase=0, flip=True)
    found = [part.apply(PIXELS, Draw(1, step, np.array([0])), 0) for step in range(40)]
    mirrored = sum(np.array_equal(image, PIXELS[:, :, ::-1]) for image in found)
    same = sum(np.array_equal(image, PIXELS) for image in found)
    assert mirrored + same == 40
    assert 10 <= mirrored <= 30


@pytest.mark.parametrize("name", list(CHANGES))
def test_every_change_keeps_the_form_and_zero_strength_the_place(name):
    from PIL import Image

    image = Image.fromarray(PIXELS.transpose(1, 2, 0).copy())
    for strength, sign in ((0.0, 1.0), (1.0, -1.0)):
        changed = CHANGES[name](image, strength, sign)
        assert changed.size == image.size
        assert changed.mode == "RGB"
    if name not in {"autocontrast", "equalize", "solarize", "posterize"}:
        assert np.array_equal(np.asarray(CHANGES[name](image, 0.0, 1.0)), np.asarray(image))
