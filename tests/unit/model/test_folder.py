"""Published model folders: what is in them, what refuses to load, what transformers alone makes of them."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import pytest
import torch

from fathom.errors import ArtifactError, ModelError
from fathom.files import sha256_file
from fathom.model.folder import load_folder, open_folder
from fathom.model.load import load_model
from fathom.model.merge import merge
from fathom.model.reload import ReloadProcess, reload_logits, verify_reload
from fathom.model.save import save_model
from folders_for_tests import Saved, make_base, make_saved, make_task
from tokenizers_for_tests import tokenizer_of


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Saved:
    return make_saved(tmp_path_factory.mktemp("whole"))


@pytest.fixture(scope="module")
def adapter(tmp_path_factory: pytest.TempPathFactory) -> Saved:
    return make_saved(tmp_path_factory.mktemp("adapter"), "lora", "token-classification")


def names_in(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def test_a_whole_model_is_a_hugging_face_folder(whole: Saved) -> None:
    expected = {"config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json", "README.md"}
    assert names_in(whole.folder) >= expected | {"fathom.json", "manifest.json"}
    assert {path.suffix for path in whole.folder.iterdir()} <= {".json", ".safetensors", ".md", ".jinja"}


def test_an_adapter_is_a_peft_folder(adapter: Saved) -> None:
    assert names_in(adapter.folder) >= {"adapter_config.json", "adapter_model.safetensors", "tokenizer.json"}
    assert not names_in(adapter.folder) & {"config.json", "model.safetensors"}
    config = json.loads((adapter.folder / "adapter_config.json").read_text())
    assert Path(config["base_model_name_or_path"]) == adapter.base.absolute()
    assert config["task_type"] == "TOKEN_CLS"


def test_fathom_json_says_everything(whole: Saved) -> None:
    info = json.loads((whole.folder / "fathom.json").read_text())
    assert info["schema"] == 1
    assert info["task"]["kind"] == "text-classification"
    assert info["task"]["labels"] == ["other", "person", "pet"]
    assert info["task"]["threshold"] == 0.5
    assert info["max_length"] == 24
    assert info["truncation"] == {"side": "right", "max_length": 24}
    assert info["data_digests"] == {"train.csv": "1" * 64}
    assert info["config"]["id2label"] == {"0": "other", "1": "person", "2": "pet"}
    for name in names_in(whole.folder) - {"fathom.json", "manifest.json"}:
        path = whole.folder / name
        assert info["files"][name] == {"sha256": sha256_file(path), "bytes": path.stat().st_size}


@pytest.mark.parametrize("which", ["whole", "adapter"])
def test_load_folder_gives_the_same_logits(which: str, request: pytest.FixtureRequest) -> None:
    saved: Saved = request.getfixturevalue(which)
    model, tokenizer, info = load_folder(saved.folder, saved.auto_class)
    assert not model.training
    assert tokenizer.model_max_length == 24
    with torch.no_grad():
        assert torch.equal(model(**saved.inputs).logits, saved.logits)
    assert info["weights"] == which


@pytest.mark.parametrize("which", ["whole", "adapter"])
def test_transformers_alone_gives_the_same_logits(which: str, request: pytest.FixtureRequest) -> None:
    saved: Saved = request.getfixturevalue(which)
    assert verify_reload(saved.folder, saved.auto_class, saved.inputs, saved.logits) < 1e-5


def test_verify_reload_notices_other_answers(whole: Saved) -> None:
    with pytest.raises(ArtifactError, match="answers differently"):
        verify_reload(whole.folder, whole.auto_class, whole.inputs, whole.logits + 0.1)
    with pytest.raises(ArtifactError, match="reloaded logits are"):
        verify_reload(whole.folder, whole.auto_class, whole.inputs, whole.logits[:2])
    with pytest.raises(ArtifactError, match="cannot load the folder"):
        reload_logits(whole.folder, whole.auto_class, {"wrong_name": torch.zeros(1, 1)})


def test_one_process_reloads_several_folders_and_another_takes_over_where_one_ends_it(
    whole: Saved, adapter: Saved
) -> None:
    with ReloadProcess() as fresh:
        for saved in (whole, adapter, whole):
            assert verify_reload(saved.folder, saved.auto_class, saved.inputs, saved.logits, fresh=fresh) < 1e-5
        first = fresh.process_id
        with pytest.raises(ArtifactError, match="cannot load the folder: ValueError"):
            fresh.logits(whole.folder, whole.auto_class, {"wrong_name": torch.zeros(1, 1)})
        assert fresh.process_id is None
        assert verify_reload(whole.folder, whole.auto_class, whole.inputs, whole.logits, fresh=fresh) < 1e-5
        second = fresh.process_id
    assert first is not None and second is not None and first != second
    for number in (first, second):
        with pytest.raises(ProcessLookupError):
            os.kill(number, 0)


def test_merge_gives_a_whole_model_that_answers_the_same(adapter: Saved, tmp_path: Path) -> None:
    difference = merge(adapter.folder, tmp_path / "merged", adapter.auto_class)
    assert difference < 1e-5
    model, _, info = load_folder(tmp_path / "merged", adapter.auto_class)
    assert info["weights"] == "whole"
    assert info["lineage"] == [{"step": "train"}, {"step": "merge", "adapter": "model"}]
    assert "base_files" not in info
    assert not any("lora" in name for name, _ in model.named_parameters())
    kept = adapter.inputs["attention_mask"].bool()
    with torch.no_grad():
        logits = model(**adapter.inputs).logits
    torch.testing.assert_close(logits[kept], adapter.logits[kept], atol=1e-5, rtol=1e-5)
    with pytest.raises(ModelError, match="nothing to merge"):
        merge(tmp_path / "merged", tmp_path / "again", adapter.auto_class)
    with pytest.raises(ArtifactError, match="already there"):
        merge(adapter.folder, tmp_path / "merged", adapter.auto_class)


def test_a_folder_of_a_run_stands_for_its_model(whole: Saved) -> None:
    assert open_folder(whole.folder.parent).path == whole.folder


def test_what_is_no_model_is_refused_in_words(tmp_path: Path, whole: Saved) -> None:
    with pytest.raises(ModelError, match="no such folder"):
        open_folder(tmp_path / "nothing")
    (tmp_path / "empty").mkdir()
    with pytest.raises(ModelError, match=r"neither config\.json nor adapter_config\.json"):
        open_folder(tmp_path / "empty")
    (tmp_path / "file").write_text("x")
    with pytest.raises(ModelError, match="a model is a folder"):
        open_folder(tmp_path / "file")
    with pytest.raises(ModelError, match="its task is unknown"):
        open_folder(make_base(tmp_path / "plain"))
    with pytest.raises(ModelError, match="BertForSequenceClassification was saved"):
        load_folder(whole.folder, "AutoModelForTokenClassification")


def test_a_folder_without_fathom_json_is_refused(tmp_path: Path, whole: Saved) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(whole.folder, copy)
    (copy / "fathom.json").unlink()
    with pytest.raises(ArtifactError, match=r"fathom\.json: missing"):
        open_folder(copy)
    (copy / "manifest.json").unlink()
    with pytest.raises(ModelError, match=r"without fathom\.json"):
        open_folder(copy)


def test_a_newer_schema_is_refused(tmp_path: Path, whole: Saved) -> None:
    from fathom import files

    with files.publish(tmp_path / "newer") as temporary:
        for path in whole.folder.iterdir():
            if path.name != "manifest.json":
                shutil.copy(path, temporary)
        info = files.read_json(temporary / "fathom.json")
        files.write_json(temporary / "fathom.json", {**info, "schema": 99})
    with pytest.raises(ArtifactError, match="schema 99"):
        open_folder(tmp_path / "newer")


def test_an_adapter_refuses_another_base(tmp_path: Path) -> None:
    saved = make_saved(tmp_path, "lora")
    shutil.rmtree(saved.base)
    with pytest.raises(ModelError, match="no such model folder"):
        load_folder(saved.folder, saved.auto_class)
    make_base(saved.base, seed=99)
    with pytest.raises(ArtifactError, match="other weights than this adapter was trained on"):
        load_folder(saved.folder, saved.auto_class)
    shutil.rmtree(saved.base)
    make_base(saved.base)
    load_folder(saved.folder, saved.auto_class)


def test_save_refuses_bad_weights_and_lacking_info_and_leaves_nothing(tmp_path: Path) -> None:
    task = make_task("text-classification")
    base = make_base(tmp_path / "base")
    model = load_model(str(base), task.auto_class, task.config_overrides, seed=1)
    info = {"task": task.state(), "base_model": str(base), "max_length": 24}
    with pytest.raises(ModelError, match="base_model"):
        save_model(model, tokenizer_of("bpe"), tmp_path / "model", {"task": task.state(), "max_length": 24})
    with pytest.raises(ArtifactError, match="JSON"):
        bad = {**info, "metrics": {"loss": float("nan")}}
        save_model(model, tokenizer_of("bpe"), tmp_path / "model", bad)
    with torch.no_grad():
        next(model.parameters())[0, 0] = float("nan")
    with pytest.raises(ModelError, match="NaN or Inf"):
        save_model(model, tokenizer_of("bpe"), tmp_path / "model", info)
    assert names_in(tmp_path) == {"base"}


def test_an_existing_folder_is_replaced_only_when_asked(tmp_path: Path) -> None:
    saved = make_saved(tmp_path)
    model, tokenizer, info = load_folder(saved.folder, saved.auto_class)
    given = {key: info[key] for key in ("task", "base_model", "max_length")}  # type: ignore[literal-required]
    with pytest.raises(ArtifactError, match="already there"):
        save_model(model, tokenizer, saved.folder, given)
    save_model(model, tokenizer, saved.folder, given, replace=True)
    assert open_folder(saved.folder).info["metrics"] == {}


@pytest.mark.parametrize("which", ["whole", "adapter"])
def test_the_card_and_the_files_name_no_folder_of_this_machine(which: str, request: pytest.FixtureRequest) -> None:
    saved: Saved = request.getfixturevalue(which)
    card = (saved.folder / "README.md").read_text()
    assert card.startswith("---\n")
    assert str(saved.base.parent) not in card
    assert "| test | accuracy | 0.5000 |" in card
    for name in ("tokenizer_config.json", "config.json"):
        if (saved.folder / name).exists():
            assert str(saved.base.parent) not in (saved.folder / name).read_text()
