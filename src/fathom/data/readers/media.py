"""Files of images and sounds as examples: each is read once, decoded to its end, and digested."""

from __future__ import annotations

import hashlib
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

from fathom.data.encodings import bad_character
from fathom.data.example import Example
from fathom.data.images import ImageFacts, check_image
from fathom.data.readers.base import Form, Reading
from fathom.data.readers.columns import Layout
from fathom.data.readers.problems import Problems
from fathom.data.readers.rows import Numeral
from fathom.data.sounds import SoundFacts, check_sound
from fathom.errors import DataError


class MediaFiles:
    """Opens files one by one and counts what they are.

    Args:
        problems: Takes the files that cannot be used.
        form: `image`, `sound` or `speech`, whose examples say how long they are.
        named: Whether messages name the file; not needed where their place does.
    """

    def __init__(self, problems: Problems, form: Form, *, named: bool = True) -> None:
        self.problems = problems
        self.kind: Literal["image", "sound"] = "image" if form == "image" else "sound"
        self._timed = form == "speech"
        self._named = named
        self._images: list[ImageFacts] = []
        self._sounds: list[SoundFacts] = []

    def read(self, file: Path, line: int, where: str) -> Example | None:
        """Return a file as an example without a label; None where it cannot be used, which is noted."""
        try:
            data = file.read_bytes()
            if self.kind == "image":
                self._images.append(check_image(data, where))
            else:
                self._sounds.append(check_sound(data, where))
        except OSError as error:
            reason = error.strerror or str(error)
            self.problems.add(f"{self._name(file)}cannot be read: {reason}", _mend("check the path"), line=line)
            return None
        except DataError as error:
            self.problems.add(f"{self._name(file)}{error.message}", _mend(error.mend or "remove it"), line=line)
            return None
        found: Example = {self.kind: str(file), "digest": hashlib.sha256(data).hexdigest(), "where": where}
        return {**found, "seconds": self._sounds[-1].seconds} if self._timed else found

    def _name(self, file: Path) -> str:
        return f"{file}: " if self._named else ""

    def notes(self) -> list[str]:
        """Say what the files are, and what is changed of them."""
        return self._image_notes() if self.kind == "image" else self._sound_notes()

    def _image_notes(self) -> list[str]:
        found = self._images
        if not found:
            return []
        sizes = Counter((facts.width, facts.height) for facts in found)
        (width, height), most = sizes.most_common(1)[0]
        said = f"{width} x {height} pixels" if len(sizes) == 1 else f"{len(sizes)} sizes, most {width} x {height}"
        notes = [f"{len(found):,} images: {said}" + ("" if len(sizes) == 1 else f" ({most:,})")]
        modes = Counter(facts.mode for facts in found if facts.mode != "RGB")
        if modes:
            told = ", ".join(f"{count:,} {mode}" for mode, count in modes.most_common())
            notes.append(f"made RGB: {told} (grey is repeated, transparency laid on white)")
        rotated, animated = sum(facts.rotated for facts in found), sum(facts.animated for facts in found)
        if rotated:
            notes.append(f"{rotated:,} images are turned upright as their EXIF says")
        if animated:
            notes.append(f"{animated:,} animations: the first frame is taken")
        return notes

    def _sound_notes(self) -> list[str]:
        found = self._sounds
        if not found:
            return []
        seconds = sorted(facts.seconds for facts in found)
        rates = Counter(facts.rate for facts in found)
        told = ", ".join(f"{rate:,} Hz" + (f" ({n:,})" if len(rates) > 1 else "") for rate, n in rates.most_common())
        notes = [
            f"{len(found):,} sounds, {sum(seconds):,.0f} s in all ({seconds[0]:.2f} to {seconds[-1]:.2f} s), {told}; "
            "the model's rate is made by soxr"
        ]
        mixed, silent = sum(facts.channels > 1 for facts in found), sum(facts.silent for facts in found)
        if mixed:
            notes.append(f"{mixed:,} sounds have several channels, which are averaged")
        if silent:
            notes.append(f"{silent:,} sounds are silent: every sample is zero")
        return notes


def _mend(first: str) -> str:
    return f"{first}, or leave bad files out: data.on_error=skip"


class MediaRows:
    """Rows of a table that name a file each: `image` or `sound`, and `label` and `group` where given.

    Paths are from the folder of the table.
    """

    def __init__(self, layout: Layout, problems: Problems, form: Form) -> None:
        self.layout = layout
        self.problems = problems
        self.files = MediaFiles(problems, form)
        self.examples: list[Example] = []
        self._folder = Path(problems.path).parent

    def add(self, line: int, values: dict[str, Any]) -> None:
        """Check one row; `line` counts from 1."""
        kind = self.files.kind
        name = values[kind]
        if not isinstance(name, str) or not name.strip() or bad_character(name) is not None:
            self.problems.add("no path of a file", "give one in every row", line=line, column=self.layout.name(kind))
            return
        said = self.said(line, values)
        if said is None:
            return
        example = self.files.read(self._folder / name.strip(), line, f"{self.problems.path}:{line}")
        if example is not None:
            self.examples.append({**example, **said})

    def said(self, line: int, values: dict[str, Any]) -> dict[str, str] | None:
        """Return what a row says of its file; None where that is wrong, which is noted."""
        said: dict[str, str] = {}
        for role in ("label", "group"):
            if role not in values or values[role] is None:
                continue
            value = values[role]
            if isinstance(value, bool) or not isinstance(value, str | int | Numeral):
                self.problems.add(
                    f"{role} is {type(value).__name__}, not text",
                    "give a text",
                    line=line,
                    column=self.layout.name(role),
                )
                return None
            text = str(value).strip()
            if role == "label" and not text:
                self.problems.add(
                    "the label is empty", "give every row a label", line=line, column=self.layout.name(role)
                )
                return None
            said[role] = text
        return said

    def finish(self, num_rows: int) -> tuple[list[Example], list[str]]:
        """Return the examples and what was noticed; `num_rows` counts all rows, bad ones too.

        Raises:
            DataError: Problems were found (and are not skipped), or there is no example.
        """
        settled = self.settle(num_rows)
        notes = [*self.problems.finish(num_rows), *settled, *self.files.notes()]
        if not self.examples:
            raise self.problems.fail("no rows", "the file needs at least one row of data besides a header")
        return self.examples, notes

    def settle(self, num_rows: int) -> list[str]:
        """Check what the rows say of their files against each other, and return what is to be said of it.

        Raises:
            DataError: Some rows have a label, and some have none.
        """
        labelled = sum("label" in example for example in self.examples)
        if labelled and labelled < len(self.examples):
            first = next(example for example in self.examples if "label" not in example)
            raise self.problems.fail(
                f"{len(self.examples) - labelled} rows have no label, the first {first['where']}", "give every row one"
            )
        return []


def digest_with_files(reading: Reading) -> Reading:
    """Return what was read of a table with a digest that holds for the files it names, too."""
    told = "".join(example["digest"] for example in reading.examples)
    return replace(reading, digest=hashlib.sha256(f"{reading.digest}{told}".encode()).hexdigest())
