"""Opening a published model folder: every file checked, then loaded."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, cast

from fathom import files
from fathom.errors import ArtifactError, ModelError
from fathom.log import quietly
from fathom.model.base import find_base
from fathom.model.four_bit import quantize
from fathom.model.load import load_model
from fathom.model.own_adapters import is_own_folder, load_own_adapter
from fathom.model.processors import load_beside
from fathom.model.save import ADAPTER_CONFIG, SCHEMA, FathomInfo, is_adapter, is_peft, save_model
from fathom.model.virtual_tokens import install
from fathom.model.weights import INFO

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

__all__ = ["FathomInfo", "ModelFolder", "is_adapter", "load_folder", "open_folder", "save_model"]

CONFIG = "config.json"


@dataclass(frozen=True)
class ModelFolder:
    """A model folder whose files have been checked."""

    path: Path
    info: FathomInfo

    def load_tokenizer(self) -> PreTrainedTokenizerBase:
        """Load the folder's tokenizer; of a model that sees or hears, the processor in its place."""
        processor = load_beside(self.path)
        if processor is not None:
            return cast("PreTrainedTokenizerBase", processor)
        from transformers import AutoTokenizer

        return cast("PreTrainedTokenizerBase", AutoTokenizer.from_pretrained(str(self.path), local_files_only=True))

    def load_model(self, auto_class: str) -> PreTrainedModel:
        """Load the model in float32 and evaluation mode; an adapter comes wrapped round its base model.

        Args:
            auto_class: Name of the transformers auto class, e.g. AutoModelForTokenClassification.

        Raises:
            ModelError: The base model of an adapter is missing.
            ArtifactError: The base model is not the one trained on.
            MissingExtraError: The base is in 4 bits, and bitsandbytes is not installed.
        """
        adapter = self.info["weights"] == "adapter"
        model = self._load_adapter(auto_class) if adapter else self._load_whole(auto_class)
        whole = model.get_base_model() if is_peft(model) else model
        if type(whole).__name__ != self.info["architecture"]:
            raise ModelError(
                f"a {self.info['architecture']} was saved, which {auto_class} does not load",
                where=str(self.path),
                mend="use the model for the task it was trained for",
            )
        return model.eval()

    def base_model(self) -> str:
        """Return where the base model of an adapter is: a folder or a hub name.

        Raises:
            ModelError: It is not on this machine.
            ArtifactError: What is there has other weights than the adapter was trained on.
        """
        written = files.read_json(self.path / ADAPTER_CONFIG).get("base_model_name_or_path")
        return find_base(self.path, self.info, written)

    def _load_whole(self, auto_class: str) -> PreTrainedModel:
        return load_model(str(self.path), auto_class, {}, seed=0, compared={*self.info["files"], INFO})

    def load_base(self, auto_class: str) -> PreTrainedModel:
        """Load the base model of an adapter with the labels of its task, in float32; the head is new.

        Raises:
            ModelError: It is missing.
            ArtifactError: It is not the one trained on.
            MissingExtraError: It is in 4 bits, and bitsandbytes is not installed.
        """
        config = dict(self.info["config"])
        labels = {int(row): label for row, label in config.pop("id2label", {}).items()}
        config.pop("label2id", None)
        if labels:
            config["num_labels"] = len(labels)
        with quietly():
            # The base model's head is new, which is no news: the adapter brings the trained one.
            base = load_model(self.base_model(), auto_class, config, seed=0, compared=self.info["base_files"])
        if labels:
            base.config.id2label, base.config.label2id = labels, {label: row for row, label in labels.items()}
        if "four_bit" in self.info:
            quantize(base, self.info["four_bit"]["modules"])
        return base

    def _load_adapter(self, auto_class: str) -> PreTrainedModel:
        base = self.load_base(auto_class)
        if is_own_folder(self.path):
            return cast("PreTrainedModel", load_own_adapter(base, self.path))
        from peft import PeftModel

        with warnings.catch_warnings():
            # PEFT still asks transformers for an attribute that transformers has renamed.
            warnings.simplefilter("ignore", FutureWarning)
            warnings.filterwarnings("ignore", message="Unsupported layer type")  # see Norms: widths it does not need
            # PEFT reads AdaLoRA's pattern of kept ranks as LoRA's pattern of ranks first, then rightly.
            warnings.filterwarnings("ignore", message="The following rank_pattern keys did not match")
            return cast("PreTrainedModel", install(PeftModel.from_pretrained(base, str(self.path))))


def open_folder(path: str | Path) -> ModelFolder:
    """Check a model folder, every file of it, without loading anything.

    Raises:
        ModelError: There is no such folder, or it is no model that Fathom saved.
        ArtifactError: A file is missing or damaged; names it.
    """
    root = Path(path)
    if not root.is_dir():
        what = "this is a file, a model is a folder" if root.exists() else "no such folder"
        raise ModelError(what, where=str(path), mend="give the 'model' folder of a run")
    if (root / "model" / INFO).is_file() and not (root / INFO).exists():
        # A run's folder stands for the model in it.
        return open_folder(root / "model")
    _require_model(root)
    manifest = files.verify(root)["files"]
    info = files.read_json(root / INFO)
    if not isinstance(info, dict) or info.get("schema") != SCHEMA:
        found = info.get("schema") if isinstance(info, dict) else None
        raise ArtifactError(
            f"schema {found} is not one this version reads ({SCHEMA})",
            where=str(root / INFO),
            mend="update fathom-lm",
        )
    listed = {name: record for name, record in manifest.items() if name != INFO}
    if info.get("files") != listed:
        raise ArtifactError(
            "damaged: its list of files is not the manifest's", where=str(root / INFO), mend=files.COPY_AGAIN
        )
    return ModelFolder(root, cast(FathomInfo, info))


def load_folder(path: str | Path, auto_class: str) -> tuple[PreTrainedModel, PreTrainedTokenizerBase, FathomInfo]:
    """Check and load a model folder: the model in evaluation mode, its tokenizer, and `fathom.json`.

    Raises:
        ModelError: It is no model folder, or an adapter's base model is missing.
        ArtifactError: A file is missing or damaged; names it.
    """
    folder = open_folder(path)
    return folder.load_model(auto_class), folder.load_tokenizer(), folder.info


def _require_model(root: Path) -> None:
    config = any((root / name).is_file() for name in (CONFIG, ADAPTER_CONFIG))
    if (root / INFO).is_file() or (root / files.MANIFEST).is_file():
        return
    if config:
        raise ModelError(
            f"a Hugging Face model without {INFO}: Fathom has not trained it, so its task is unknown",
            where=str(root),
            mend="fine-tune it first: name the folder under `model:` in a recipe",
        )
    raise ModelError(
        "this folder is no model: it has neither config.json nor adapter_config.json",
        where=str(root),
        mend="give the 'model' folder of a run",
    )
