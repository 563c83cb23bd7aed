"""Several saved adapters over one base model: chosen for a call, for an input, or mixed with weights."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import islice, zip_longest
from pathlib import Path
from typing import Any, Self

from torch import nn

from fathom import device
from fathom.errors import ConfigError, DataError, ModelError
from fathom.model.combine import load_combined, require_one_base
from fathom.model.folder import ModelFolder, open_folder
from fathom.model.sharing import SharedTensors
from fathom.serving.generate.generator import Generator
from fathom.serving.generate.open import writes, writing_class
from fathom.serving.predictor import WINDOW_BATCHES, Precision, Predictor, as_example, open_task
from fathom.tokenization.load import load_tokenizer

Choice = str | Mapping[str, float]
"""An adapter by its name, or LoRA adapters of one task with their weights."""


class Adapters:
    """Adapters by name, each with its own head, labels and task; the base model's weights are in memory once.

    Each is a model of its own, whose weights are the base's tensors wherever they are equal: it answers bit for bit as
    if it were loaded alone, whatever its strategy and its labels. What is mixed is a model too, made when it is first
    asked for.

    Args:
        folders: Model folders (or runs) of adapters of one base model, by name.
        precision: Arithmetic of the forward pass.
        packing: Run the blocks on packed tokens where the family allows it.

    Raises:
        ConfigError: No folders, or bf16 on a processor that has no such arithmetic.
        ModelError: A folder without an adapter, or adapters of different base models.
        ArtifactError: A file is damaged; names it.
    """

    def __init__(
        self, folders: Mapping[str, str | Path], *, precision: Precision = "fp32", packing: bool = True
    ) -> None:
        if not folders:
            raise ConfigError("no adapters", where="folders", mend="give model folders by name")
        self.folders: dict[str, ModelFolder] = {name: open_folder(folder) for name, folder in folders.items()}
        require_one_base([*self.folders.values()])
        self._options: dict[str, Any] = {"precision": precision, "packing": packing}
        self._machine = device.probe_machine()
        self._shared = SharedTensors()
        self._live: dict[Any, Predictor | Generator] = {}
        for name in self.folders:
            self._live[name] = self._load({name: 1.0})

    @classmethod
    def load(
        cls,
        folders: Mapping[str, str | Path] | Sequence[str | Path],
        *,
        precision: Precision = "fp32",
        packing: bool = True,
    ) -> Self:
        """Load adapters; folders without names are called as their runs are.

        Raises:
            ConfigError: Two of them have one name; see the class for what else.
        """
        named = folders if isinstance(folders, Mapping) else name_folders(folders)
        return cls(named, precision=precision, packing=packing)

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the adapters, in the order they were given."""
        return tuple(self.folders)

    @property
    def writes(self) -> bool:
        """Whether they generate text; all of them do, or none.

        Raises:
            ModelError: Some do and some do not.
        """
        kinds = {name: isinstance(found, Generator) for name, found in self._live.items() if name in self.folders}
        if len({*kinds.values()}) > 1:
            writing = ", ".join(name for name, kind in kinds.items() if kind)
            raise ModelError(f"only {writing} of these adapters write text", where="adapters", mend="ask them apart")
        return any(kinds.values())

    def predictor(self, choice: Choice) -> Predictor:
        """Return the model of an adapter, or of several with weights.

        Args:
            choice: A name; or weights by name: the updates of LoRA adapters are added up with these weights, their
                heads averaged with the weights divided by their sum, as `fathom merge` does.

        Raises:
            ConfigError: No adapter has the name.
            ModelError: The adapters do not belong together, or they write; see `generator`.
        """
        found = self._choose(choice)
        if not isinstance(found, Predictor):
            raise ModelError("a model that writes gives texts", where=_said(choice), mend="ask for its generator")
        return found

    def generator(self, choice: Choice) -> Generator:
        """Return the model that writes of an adapter, or of several with weights; see `predictor`."""
        found = self._choose(choice)
        if not isinstance(found, Generator):
            raise ModelError("the model does not write", where=_said(choice), mend="ask for its predictor")
        return found

    def predict(
        self,
        inputs: Iterable[str | Mapping[str, Any]],
        adapters: Choice | Iterable[str],
        batch_size: int = 64,
    ) -> Iterator[dict[str, Any]]:
        """Predict lazily, with one choice for all inputs or an adapter for each.

        Inputs of one adapter within a window share batches; a batch never mixes adapters.

        Args:
            inputs: See `Predictor.predict`.
            adapters: A name, weights by name, or as many names as inputs.
            batch_size: Sequences per forward pass.

        Yields:
            One prediction for each input, in order.

        Raises:
            DataError: There are more inputs than names or fewer, or an input is wrong; says which.
            ConfigError: No adapter has the name.
        """
        if isinstance(adapters, str | Mapping):
            yield from self.predictor(adapters).predict(inputs, batch_size)
            return
        if batch_size < 1:
            raise ConfigError(f"batch_size is {batch_size}", mend="give at least 1")
        pairs = enumerate(zip_longest(inputs, adapters, fillvalue=None), start=1)
        while window := list(islice(pairs, batch_size * WINDOW_BATCHES)):
            yield from self._predict_window(window, batch_size)

    def _predict_window(self, window: Sequence[tuple[int, tuple[Any, Any]]], batch_size: int) -> list[dict[str, Any]]:
        places: dict[str, list[int]] = {}
        for place, (number, (given, name)) in enumerate(window):
            if given is None or name is None:
                missing = "no adapter is named for it" if name is None else "there is no such input, only an adapter"
                raise DataError(missing, where=f"input {number}", mend="name an adapter for each input")
            places.setdefault(name, []).append(place)
        answers: list[dict[str, Any]] = [{} for _ in window]
        for name, own in places.items():
            predictor = self.predictor(name)
            examples = [as_example(window[place][1][0], window[place][0], predictor.form) for place in own]
            for place, answer in zip(own, predictor.predict(examples, batch_size), strict=True):
                answers[place] = answer
        return answers

    def _choose(self, choice: Choice) -> Predictor | Generator:
        names = [choice] if isinstance(choice, str) else [*choice]
        for name in names:
            if name not in self.folders:
                mend = f"known: {', '.join(self.names)}"
                raise ConfigError(f"no adapter is called '{name}'", where="adapters", mend=mend)
        if isinstance(choice, str):
            return self._live[choice]
        key = tuple(choice.items())
        if key not in self._live:
            if len(choice) < 2:
                raise ConfigError("a mixture is of several adapters", where="adapters", mend="give weights by name")
            self._live[key] = self._load(choice)
        return self._live[key]

    def _load(self, weights: Mapping[str, float]) -> Predictor | Generator:
        """Load an adapter, or several with weights, and let its tensors be the shared ones."""
        opened = [self.folders[name] for name in weights]
        first = opened[0]
        task = None if writes(first.info) else open_task(first)
        auto_class = writing_class(first.info) if task is None else task.auto_class
        alone = len(opened) == 1
        model = first.load_model(auto_class) if alone else load_combined(opened, [*weights.values()], auto_class)
        placed: nn.Module = model.to(self._machine.device)
        found: Predictor | Generator
        if task is None:
            found = Generator(placed, load_tokenizer(first.path), first.info, **self._options)
        else:
            found = Predictor(placed, task, first.info, **self._options)
            found.folder = first.path
        self._shared.share(placed)
        return found


def name_folders(folders: Sequence[str | Path]) -> dict[str, Path]:
    """Name folders of adapters: as their runs are called, or as `NAME=FOLDER` says.

    Raises:
        ConfigError: Two have one name.
    """
    named: dict[str, Path] = {}
    for folder in folders:
        name, path = _name_folder(str(folder))
        if name in named:
            raise ConfigError(f"two adapters are called '{name}'", where=str(folder), mend="name them: NAME=FOLDER")
        named[name] = path
    return named


def _name_folder(folder: str) -> tuple[str, Path]:
    before, equals, after = folder.partition("=")
    if equals and "/" not in before and not Path(folder).exists():
        return before, Path(after)
    path = Path(folder).resolve()
    return path.parent.name if path.name == "model" else path.name, Path(folder)


def _said(choice: Choice) -> str:
    return choice if isinstance(choice, str) else ", ".join(choice)
