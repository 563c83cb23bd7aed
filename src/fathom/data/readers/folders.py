"""A folder for each class: the files in it are its examples."""

from __future__ import annotations

import hashlib
from abc import abstractmethod
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import ClassVar

from fathom.data import images, sounds
from fathom.data.example import Example
from fathom.data.readers.base import Form, Reader, Reading
from fathom.data.readers.media import MediaFiles
from fathom.data.readers.problems import Problems, Skipped
from fathom.data.section import DataSection

SHOWN_NAMES = 5


class FolderProblems(Problems):
    """Problems of files: the place of one is its path; lines count the files from 1."""

    def __init__(self, path: str, found: list[Path], *, skip: bool) -> None:
        super().__init__(path, skip)
        self.found = found

    def place(self, line: int | None = None, column: str | None = None) -> str:
        """Return the path of a file, or the folder's."""
        return self.path if line is None else str(self.found[line - 1])


class FolderReader(Reader):
    """Reads a folder with a folder for each class; files that lie in it directly have no label."""

    suffixes: ClassVar[frozenset[str]]
    form: ClassVar[Form]

    def read(self, path: str, form: Form, options: DataSection) -> Reading:
        """Read every file; see `Reader.read`. Names that begin with a dot are passed over."""
        root = Path(path)
        found = list(walk(root))
        problems = FolderProblems(path, found, skip=options.on_error == "skip")
        if form != self.form:
            raise problems.fail(
                f"a folder of {'images' if self.form == 'image' else 'sounds'} is no text",
                "choose task: image-classification, or name a file of text",
            )
        media = MediaFiles(problems, self.form, named=False)
        others: list[str] = []
        classes = [child for child in sorted(root.iterdir()) if _is_class(child)] if options.answers else []
        empty = [child.name for child in classes if not any(walk(child))]
        for name in empty if not problems.skip else ():
            problems.add(f"the folder of the class '{name}' holds no file", "put files in it, or remove it")
        hasher = hashlib.sha256()
        examples: list[Example] = []
        for number, file in enumerate(found, 1):
            inside = file.relative_to(root)
            if file.suffix.lower() not in self.suffixes:
                others.append(inside.as_posix())
                continue
            example = media.read(file, number, str(file))
            if example is None:
                continue
            if len(inside.parts) > 1 and options.answers:
                example["label"] = inside.parts[0]
            hasher.update(f"{inside.as_posix()}\0{example['digest']}\n".encode("utf-8", "surrogatepass"))
            examples.append(example)
        notes = [f"format: a folder for each class, {self._counted(examples)}", *media.notes()]
        if others:
            shown = ", ".join(others[:SHOWN_NAMES]) + (", ..." if len(others) > SHOWN_NAMES else "")
            notes.append(f"{len(others)} other files were passed over: {shown}")
        if empty and problems.skip:
            notes.append(f"left out: no file is in the folders of the classes {', '.join(empty)}")
        notes += problems.finish(len(found) + 1)
        self._refuse_loose_files(examples, problems)
        if not examples:
            known = ", ".join(sorted(self.suffixes))
            raise problems.fail("the folder holds no such file", f"put files in it that end in {known}")
        skipped: tuple[Skipped, ...] = problems.skipped(lambda line: (line, str(found[line - 1])))
        return Reading(examples, tuple(notes), hasher.hexdigest(), (), skipped)

    @staticmethod
    @abstractmethod
    def _counted(examples: list[Example]) -> str:
        """Say how many examples and classes there are."""

    @staticmethod
    def _refuse_loose_files(examples: list[Example], problems: Problems) -> None:
        """Files beside the folders of classes belong to no class, which nobody means."""
        loose = [example for example in examples if "label" not in example]
        if loose and len(loose) < len(examples):
            raise problems.fail(
                f"{len(loose)} files lie beside the folders of classes, the first {loose[0]['where']}",
                "move each into the folder of its class",
            )


class ImageFolderReader(FolderReader):
    """Reads a folder of images: a folder for each class, named like it."""

    suffixes: ClassVar[frozenset[str]] = images.SUFFIXES
    form: ClassVar[Form] = "image"

    @staticmethod
    def _counted(examples: list[Example]) -> str:
        return f"{len(examples):,} images of {_num_classes(examples)} classes"


class SoundFolderReader(FolderReader):
    """Reads a folder of sounds: a folder for each class, named like it."""

    suffixes: ClassVar[frozenset[str]] = sounds.SUFFIXES
    form: ClassVar[Form] = "sound"

    @staticmethod
    def _counted(examples: list[Example]) -> str:
        return f"{len(examples):,} sounds of {_num_classes(examples)} classes"


def folder_kind(root: Path) -> str | None:
    """Return the name of the reader for a folder, told by the files in it; None where it holds neither kind."""
    counts: Counter[str] = Counter()
    for file in walk(root):
        suffix = file.suffix.lower()
        counts["image-folder"] += suffix in images.SUFFIXES
        counts["sound-folder"] += suffix in sounds.SUFFIXES
    name, count = max(counts.items(), key=lambda item: item[1], default=("", 0))
    return name if count else None


def _num_classes(examples: list[Example]) -> int:
    return len({example.get("label") for example in examples if "label" in example})


def _is_class(child: Path) -> bool:
    return child.is_dir() and not child.name.startswith(".")


def walk(root: Path) -> Iterator[Path]:
    """Files below a folder in a fixed order; hidden ones are passed over, and links that lead nowhere kept."""
    for child in sorted(root.iterdir(), key=lambda path: path.name):
        if child.name.startswith("."):
            continue
        if child.is_dir():
            yield from walk(child)
        else:
            yield child
