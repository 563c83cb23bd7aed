"""Proof that what was saved is what was trained: a fresh process loads the folder without Fathom and answers again."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from fathom.errors import ArtifactError
from fathom.model.folder import open_folder

_SCRIPT = """
import json, os, sys
import torch, transformers
from safetensors.torch import load_file, save_file
transformers.logging.set_verbosity_error()
folder, auto_class, config, inputs, outputs = sys.argv[1:]
auto = vars(transformers.models.auto.modeling_auto)[auto_class]
adapter_config = os.path.join(folder, "adapter_config.json")
adapter = json.load(open(adapter_config)) if os.path.exists(adapter_config) else {}
own = adapter.get("peft_type", "").startswith("FATHOM_")
if adapter:
    from peft import PeftModel
    overrides = json.loads(config)
    if "id2label" in overrides:
        overrides["id2label"] = {int(index): label for index, label in overrides["id2label"].items()}
        overrides.pop("num_labels", None)
    # a head of another size is not read: the adapter brings its own
    base = auto.from_pretrained(
        adapter["base_model_name_or_path"], dtype=torch.float32, ignore_mismatched_sizes=True, **overrides
    )
    if own:
        from pathlib import Path
        from fathom.model.own_adapters import load_own_adapter
        model = load_own_adapter(base, Path(folder))
    else:
        model = PeftModel.from_pretrained(base, folder)
else:
    model = auto.from_pretrained(folder, dtype=torch.float32)
given = load_file(inputs)

def answer(output):
    if "start_logits" in output:
        return torch.stack([output.start_logits, output.end_logits], dim=-1)
    return next(output[name] for name in ("logits", "prediction_logits", "last_hidden_state") if name in output)

with torch.no_grad():
    if "num_virtual_tokens" in adapter:
        # PEFT hands a decoder no ids, and it would take padding for the last word: one text at a time, unpadded
        rows, mask = [], given["attention_mask"]
        for row, length in enumerate(mask.sum(1).tolist()):
            one = answer(model.eval()(**{name: tensor[row : row + 1, :length] for name, tensor in given.items()}))[0]
            if one.dim() == 2:
                one = torch.nn.functional.pad(one[-length:], (0, 0, 0, mask.shape[1] - length))
            rows.append(one)
        logits = torch.stack(rows)
    else:
        logits = answer(model.eval()(**given))
assert own or "fathom" not in sys.modules
save_file({"logits": logits.float().contiguous()}, outputs)
"""


def answer_of(output: Any) -> Tensor:
    """Return what is compared of a model's output: its logits, or its last hidden states where it has no head.

    Of starts and ends of answers it is both, [B, L, 2].
    """
    if "start_logits" in output:
        return torch.stack([output.start_logits, output.end_logits], dim=-1)
    names = ("logits", "prediction_logits", "last_hidden_state")
    found: Tensor = next(output[name] for name in names if name in output)
    return found


def reload_logits(folder: str | Path, auto_class: str, inputs: Mapping[str, Tensor]) -> Tensor:
    """Return the logits of a saved folder, computed by transformers (and PEFT) alone in a fresh process.

    Args:
        folder: A model folder.
        auto_class: Name of the transformers auto class.
        inputs: Padded model inputs, [B, L] each.

    Raises:
        ArtifactError: The fresh process cannot load the folder; ends with its message.
    """
    opened = open_folder(folder)
    with tempfile.TemporaryDirectory(prefix="fathom-reload-") as temporary:
        given, answered = Path(temporary, "inputs.safetensors"), Path(temporary, "logits.safetensors")
        save_file({name: tensor.cpu().contiguous() for name, tensor in inputs.items()}, str(given))
        config = json.dumps(opened.info["config"])
        done = subprocess.run(
            [sys.executable, "-c", _SCRIPT, str(opened.path), auto_class, config, str(given), str(answered)],
            capture_output=True,
            text=True,
            check=False,
            env={**os.environ, "CUDA_VISIBLE_DEVICES": "", "HF_HUB_OFFLINE": "1"},
        )
        if done.returncode != 0:
            last = (done.stderr.strip().splitlines() or ["no message"])[-1]
            raise ArtifactError(f"transformers alone cannot load the folder: {last}", where=str(folder))
        return load_file(str(answered))["logits"]


def verify_reload(
    folder: str | Path,
    auto_class: str,
    inputs: Mapping[str, Tensor],
    reference_logits: Tensor,
    tolerance: float = 1e-4,
) -> float:
    """Reload a folder in a fresh process and compare its logits with those of the model in memory.

    Args:
        folder: A model folder.
        auto_class: Name of the transformers auto class.
        inputs: Padded model inputs, [B, L] each, with their `attention_mask`.
        reference_logits: Of the trained model in evaluation mode; padded places of per-token logits are not compared.
        tolerance: Largest difference allowed, relative to the largest logit (or to 1).

    Returns:
        The largest absolute difference.

    Raises:
        ArtifactError: The folder does not load, or its logits differ.
    """
    logits = reload_logits(folder, auto_class, inputs)
    reference = reference_logits.detach().float().cpu()
    if logits.shape != reference.shape:
        raise ArtifactError(
            f"reloaded logits are {list(logits.shape)}, trained {list(reference.shape)}", where=str(folder)
        )
    mask = inputs.get("attention_mask")
    if reference.dim() == 3 and mask is not None and mask.shape == reference.shape[:2]:  # not of samples
        kept = mask.cpu().bool()
        logits, reference = logits[kept], reference[kept]
    difference = float((logits - reference).abs().max())
    if not difference <= tolerance * max(1.0, float(reference.abs().max())):
        raise ArtifactError(
            f"the reloaded model answers differently: logits are up to {difference:.3g} apart", where=str(folder)
        )
    return difference
