"""Proof that what was saved is what was trained: a fresh process loads the folder without Fathom and answers again."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from contextlib import ExitStack, suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from fathom.errors import REPORT, ArtifactError
from fathom.model.folder import open_folder

ERRORS = "errors.txt"

_SCRIPT = """
import json, os, sys
answers = os.fdopen(os.dup(1), "w")
os.dup2(2, 1)  # whatever a library prints is no answer
import torch, transformers
from safetensors.torch import load_file, save_file
transformers.logging.set_verbosity_error()

def load(folder, auto, adapter, overrides):
    if not adapter:
        return auto.from_pretrained(folder, dtype=torch.float32)
    from peft import PeftModel
    if "id2label" in overrides:
        overrides["id2label"] = {int(index): label for index, label in overrides["id2label"].items()}
        overrides.pop("num_labels", None)
    # a head of another size is not read: the adapter brings its own
    base = auto.from_pretrained(
        adapter["base_model_name_or_path"], dtype=torch.float32, ignore_mismatched_sizes=True, **overrides
    )
    packed = json.load(open(os.path.join(folder, "fathom.json"))).get("four_bit")
    if packed:
        from fathom.model.four_bit import quantize
        base = quantize(base, packed["modules"])
    if is_own(adapter):
        from pathlib import Path
        from fathom.model.own_adapters import load_own_adapter
        return load_own_adapter(base, Path(folder))
    return PeftModel.from_pretrained(base, folder)

def is_own(adapter):
    return adapter.get("peft_type", "").startswith("FATHOM_")

def answer(output):
    if "start_logits" in output:
        return torch.stack([output.start_logits, output.end_logits], dim=-1)
    return next(output[name] for name in ("logits", "prediction_logits", "last_hidden_state") if name in output)

def logits_of(model, adapter, given):
    if "num_virtual_tokens" not in adapter:
        return answer(model.eval()(**given))
    # PEFT hands a decoder no ids, and it would take padding for the last word: one text at a time, unpadded
    rows, mask = [], given["attention_mask"]
    for row, length in enumerate(mask.sum(1).tolist()):
        one = answer(model.eval()(**{name: tensor[row : row + 1, :length] for name, tensor in given.items()}))[0]
        if one.dim() == 2:
            one = torch.nn.functional.pad(one[-length:], (0, 0, 0, mask.shape[1] - length))
        rows.append(one)
    return torch.stack(rows)

any_own = False
for question in sys.stdin:
    folder, auto_class, overrides, inputs, outputs = json.loads(question)
    auto = vars(transformers.models.auto.modeling_auto)[auto_class]
    adapter_config = os.path.join(folder, "adapter_config.json")
    adapter = json.load(open(adapter_config)) if os.path.exists(adapter_config) else {}
    any_own = any_own or is_own(adapter)
    with torch.no_grad():
        logits = logits_of(load(folder, auto, adapter, overrides), adapter, load_file(inputs))
    assert any_own or "fathom.model.four_bit" in sys.modules or "fathom" not in sys.modules
    save_file({"logits": logits.float().contiguous()}, outputs)
    print("answered", file=answers, flush=True)
"""


class ReloadProcess:
    """A fresh process in which transformers (and PEFT) alone load saved folders and answer, one after another.

    It begins with the first folder, for its libraries take seconds to load, and ends with the block of code it is
    opened for. Where a folder ends it, the next one gets another.
    """

    def __init__(self) -> None:
        self._held = ExitStack()
        self._begun: tuple[subprocess.Popen[str], Path] | None = None
        """The process, and the folder of what it is given, answers and complains of."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @property
    def process_id(self) -> int | None:
        """Of the process; None where there is none."""
        return None if self._begun is None else self._begun[0].pid

    def close(self) -> None:
        """End the process, if it has begun."""
        self._held.close()
        self._begun = None

    def logits(self, folder: str | Path, auto_class: str, inputs: Mapping[str, Tensor]) -> Tensor:
        """Return the logits of a saved folder.

        Args:
            folder: A model folder.
            auto_class: Name of the transformers auto class.
            inputs: Padded model inputs, [B, L] each.

        Raises:
            ArtifactError: The process cannot load the folder; ends with its message.
        """
        opened = open_folder(folder)
        process, place = self._begin()
        given, answered = place / "inputs.safetensors", place / "logits.safetensors"
        save_file({name: tensor.cpu().contiguous() for name, tensor in inputs.items()}, str(given))
        question = json.dumps([str(opened.path), auto_class, opened.info["config"], str(given), str(answered)])
        assert process.stdin is not None and process.stdout is not None
        with suppress(BrokenPipeError):  # what it said before it ended is read below
            process.stdin.write(f"{question}\n")
            process.stdin.flush()
        if process.stdout.readline():
            return load_file(str(answered))["logits"].clone()  # the next answer is written over this one
        process.wait()
        said = (place / ERRORS).read_text(encoding="utf-8", errors="replace").strip().splitlines()
        self.close()
        last = said[-1] if said else "no message"
        raise ArtifactError(f"transformers alone cannot load the folder: {last}", where=str(folder), mend=REPORT)

    def _begin(self) -> tuple[subprocess.Popen[str], Path]:
        if self._begun is None:
            place = Path(self._held.enter_context(tempfile.TemporaryDirectory(prefix="fathom-reload-")))
            with open(place / ERRORS, "wb") as errors:
                process = subprocess.Popen(
                    [sys.executable, "-c", _SCRIPT],
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    stderr=errors,
                    text=True,
                    env={**os.environ, "CUDA_VISIBLE_DEVICES": "", "HF_HUB_OFFLINE": "1"},
                )
            self._held.callback(process.communicate)
            self._held.callback(process.kill)
            self._begun = process, place
        return self._begun


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
    """Return the logits of a saved folder from a fresh process of its own; see `ReloadProcess.logits`."""
    with ReloadProcess() as fresh:
        return fresh.logits(folder, auto_class, inputs)


def verify_reload(
    folder: str | Path,
    auto_class: str,
    inputs: Mapping[str, Tensor],
    reference_logits: Tensor,
    tolerance: float = 1e-4,
    *,
    fresh: ReloadProcess | None = None,
) -> float:
    """Reload a folder in a fresh process and compare its logits with those of the model in memory.

    Args:
        folder: A model folder.
        auto_class: Name of the transformers auto class.
        inputs: Padded model inputs, [B, L] each, with their `attention_mask`.
        reference_logits: Of the trained model in evaluation mode; padded places of per-token logits are not compared.
        tolerance: Largest difference allowed, relative to the largest logit (or to 1).
        fresh: Where several folders are loaded one after another; left out, a process of its own.

    Returns:
        The largest absolute difference.

    Raises:
        ArtifactError: The folder does not load, or its logits differ.
    """
    logits = reload_logits(folder, auto_class, inputs) if fresh is None else fresh.logits(folder, auto_class, inputs)
    reference = reference_logits.detach().float().cpu()
    if logits.shape != reference.shape:
        raise ArtifactError(
            f"reloaded logits are {list(logits.shape)}, trained {list(reference.shape)}", where=str(folder), mend=REPORT
        )
    mask = inputs.get("attention_mask")
    if reference.dim() == 3 and mask is not None and mask.shape == reference.shape[:2]:  # not of samples
        kept = mask.cpu().bool()
        logits, reference = logits[kept], reference[kept]
    difference = float((logits - reference).abs().max())
    if not difference <= tolerance * max(1.0, float(reference.abs().max())):
        raise ArtifactError(
            f"the reloaded model answers differently: logits are up to {difference:.3g} apart",
            where=str(folder),
            mend=REPORT,
        )
    return difference
