from __future__ import annotations

import sys
from dataclasses import replace

import pytest
import yaml

from fathom.device import Machine
from fathom.errors import ConfigError
from fathom.recipe import Recipe, dump_recipe, load_recipe, ready_recipes, recipe_digest, resolve
from fathom.tasks.base import Task
from fathom.tuning.base import Tuning

MACHINE = Machine("Linux", "any", 4, 2**34, bf16_native=True, bf16_kernel="amx", device="cpu", gpu=None)
OLD_MACHINE = replace(MACHINE, bf16_native=False, bf16_kernel="none")
RAW = "model: minilm\ndata: {train: a.csv}\ntask: text-classification\n"


@pytest.fixture
def path(tmp_path):
    path = tmp_path / "mine.yaml"
    path.write_text(RAW, encoding="utf-8")
    return path


@pytest.mark.parametrize("name", list(ready_recipes()))
def test_ready_recipes_load_resolve_and_round_trip(name, tmp_path):
    recipe = load_recipe(name)
    resolved = resolve(recipe, MACHINE)
    assert resolve(resolved, MACHINE) == resolved
    assert resolved.output == f"runs/{name}"
    written = tmp_path / "recipe.yaml"
    written.write_text(dump_recipe(resolved), encoding="utf-8")
    assert load_recipe(written) == resolved
    assert load_recipe(tmp_path) == resolved


@pytest.mark.parametrize("name", list(ready_recipes()))
def test_ready_recipes_are_short_and_say_what_they_are(name):
    from importlib import resources

    text = (resources.files("fathom") / "recipes" / f"{name}.yaml").read_text(encoding="utf-8")
    assert text.startswith("# ")
    assert len(text.splitlines()) <= 30
    assert ready_recipes()[name].endswith((".", "?", ".csv", ".conll"))


def test_bare_names_become_parts(path):
    recipe = load_recipe(path, ["tuning=lora"])
    assert isinstance(recipe.task, Task)
    assert isinstance(recipe.tuning, Tuning)
    assert recipe.model.name == "minilm"
    assert recipe.tuning.kind == "lora"
    assert load_recipe(path).tuning.kind == "full"


def test_options_of_parts_are_validated_in_their_own_class(path):
    assert load_recipe(path, ["tuning=lora", "tuning.rank=3"]).tuning.model_dump()["rank"] == 3
    with pytest.raises(ConfigError, match=r"tuning\.rnak: unknown key, did you mean 'rank'\?"):
        load_recipe(path, ["tuning=lora", "tuning.rnak=3"])


def test_every_mistake_at_once_with_its_path(path):
    edits = ["tuning=lorra", "task.problm=x", "training.epoch=3", "data.colums={}", "modle=x", "trackers=[wandbb]"]
    with pytest.raises(ConfigError) as caught:
        load_recipe(path, edits)
    text = str(caught.value)
    assert text.startswith(f"{path}: 6 mistakes")
    for line in (
        "tuning: no tuning is called 'lorra' (did you mean 'lora'?",
        "task.problm: unknown key, did you mean 'problem'?",
        "training.epoch: unknown key, did you mean 'epochs'?",
        "data.colums: unknown key, did you mean 'columns'?",
        "modle: unknown key, did you mean 'model'?",
        "trackers.0: no tracker is called 'wandbb'",
    ):
        assert line in text


def test_names_of_optimizer_and_schedule_are_checked_with_the_rest(path):
    with pytest.raises(
        ConfigError, match=r"training\.optimizer: no optimizer is called 'adamww' \(did you mean 'adamw'\? known: "
    ):
        load_recipe(path, ["training.optim=adamww"])
    with pytest.raises(ConfigError, match=r"lr_scheduler: no lr_scheduler is called 'cosin' \(did you mean 'cosine'"):
        load_recipe(path, ["training.lr_scheduler=cosin"])
    with pytest.raises(ConfigError, match=r"training\.optim: no optimizer is called 'adamww'"):
        load_recipe(path, ["training={optim: adamww}"])


def test_a_weight_without_a_space_before_it_is_told_how_to_be_written(path):
    with pytest.raises(ConfigError, match=r"a space behind the colon, \{helpdesk:faq: 0\.5\}"):
        load_recipe(path, ["data.mixture={helpdesk:faq:0.5}", "task=causal-lm"])


@pytest.mark.parametrize(
    ("edit", "key"),
    [
        ("data.mixture={b.txt: 2}", "mixture"),
        ("data.filters=[exact-duplicates]", "filters"),
        ("data.document_separator=line", "document_separator"),
        ("data.pack_documents=false", "pack_documents"),
    ],
)
def test_settings_of_corpora_are_refused_for_examples(path, edit, key):
    with pytest.raises(ConfigError, match=rf"data\.{key}, and text-classification reads examples: leave out it"):
        load_recipe(path, [edit])
    load_recipe(path, [edit, "task=causal-lm"])
    with pytest.raises(ConfigError, match=r"data\.mixture, data\.pack_documents, .* leave out them"):
        load_recipe(path, ["data.mixture={b.txt: 2}", "data.pack_documents=false"])


@pytest.mark.parametrize(
    ("task", "edits", "told"),
    [
        (
            "text-classification",
            ["data.columns={text: a, tags: b}"],
            r"does not read data\.columns\.tags \(token-c",
        ),
        (
            "text-classification",
            ["data.tag_scheme=io"],
            r"does not read data\.tag_scheme \(token-classification\)",
        ),
        ("text-classification", ["data.word_join=none"], r"data\.word_join \(.*token-classification.*\): leave it out"),
        ("token-classification", ["data.label_separator=|"], r"data\.label_separator \(.*text-classification"),
        ("question-answering", ["data.columns={role: r}"], r"data\.columns\.role \(chat, preference\)"),
        (
            "causal-lm",
            ["data.columns={label: b}", "data.label_separator=|"],
            r"data\.label_separator .*data\.columns\.label .*: leave them out",
        ),
    ],
)
def test_settings_of_another_task_s_data_are_refused(path, task, edits, told):
    with pytest.raises(ConfigError, match=told):
        load_recipe(path, [f"task={task}", *edits])


@pytest.mark.parametrize(
    ("task", "edits"),
    [
        ("text-classification", ["data.label_separator=|", "data.columns={text: a, text_pair: b, label: c}"]),
        ("token-classification", ["data.tag_scheme=io", "data.word_join=none", "data.columns={tokens: 0, tags: 3}"]),
        ("relation-extraction", ["data.word_join=none", "data.columns={head_start: a, tail_type: b}"]),
        ("chat", ["data.columns={messages: log, role: who, content: says}"]),
        ("preference", ["data.columns={chosen: up, rejected: down, role: who}"]),
        ("text-classification", ["data.tag_scheme=auto", "data.word_join=auto", "data.label_separator=null"]),
    ],
)
def test_settings_of_the_task_s_own_data_are_taken(path, task, edits):
    load_recipe(path, [f"task={task}", *edits])


@pytest.mark.parametrize(
    "key", ["eval_steps=5", "eval_epochs=2", "early_stopping_patience=2", "metric_for_best_model=loss"]
)
def test_evaluations_without_a_validation_split_are_refused(path, key):
    none = "data.validation_fraction=0"
    with pytest.raises(ConfigError, match=rf"no validation split, and training\.{key[:8]}.* would do nothing: leave"):
        load_recipe(path, [none, f"training.{key}"])
    load_recipe(path, [none, f"training.{key}", "data.validation=b.csv"])
    load_recipe(path, [f"training.{key}"])
    load_recipe(path, [none])


def test_missing_sections_are_named(tmp_path):
    path = tmp_path / "empty.yaml"
    path.write_text("tuning: full\n", encoding="utf-8")
    with pytest.raises(ConfigError) as caught:
        load_recipe(path)
    for section in ("model", "data", "task"):
        assert f"{section}: this key is required" in str(caught.value)


def test_long_names_of_hugging_face_are_aliases(path):
    recipe = load_recipe(path, ["training={num_train_epochs: 5, per_device_train_batch_size: 8, lr: 1e-3}"])
    assert (recipe.training.epochs, recipe.training.batch_size, recipe.training.learning_rate) == (5, 8, 1e-3)


@pytest.mark.parametrize(
    "task",
    [
        *("text-classification", "token-classification", "relation-extraction", "prompt-classification", "causal-lm"),
        *("masked-lm", "chat", "translation", "image-classification"),
    ],
)
def test_label_smoothing_has_hugging_face_s_name_too(path, task):
    recipe = load_recipe(path, [f"task={{kind: {task}, label_smoothing_factor: 0.1}}"])
    assert recipe.task.label_smoothing == 0.1
    assert load_recipe(path, [f"task={task}", "task.label_smoothing_factor=0.2"]).task.label_smoothing == 0.2
    assert "label_smoothing: 0.1" in dump_recipe(recipe)


def test_a_recipe_may_be_a_function(tmp_path, monkeypatch):
    (tmp_path / "my_recipes.py").write_text(
        "from fathom import load_recipe\n"
        "def raw(): return {'model': 'minilm', 'data': 'a.csv', 'task': 'text-classification'}\n"
        "def made(): return load_recipe('demo')\n"
        "def number(): return 3\n"
        "def wrong(): return {'model': 'minilm', 'tsk': 1}\n",
        encoding="utf-8",
    )
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    assert load_recipe("my_recipes:raw", ["training.epochs=1"]).training.epochs == 1
    assert load_recipe("my_recipes:made").name == "demo"
    with pytest.raises(ConfigError, match="returned int"):
        load_recipe("my_recipes:number")
    with pytest.raises(ConfigError, match="my_recipes:wrong: 3 mistakes"):
        load_recipe("my_recipes:wrong")
    with pytest.raises(ConfigError, match="no function 'nothing'"):
        load_recipe("my_recipes:nothing")
    with pytest.raises(ConfigError, match="no Python module 'no_such_module'"):
        load_recipe("no_such_module:f")


def test_an_unknown_recipe_gets_a_suggestion(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ConfigError, match="no recipe 'dmo', did you mean 'demo'"):
        load_recipe("dmo")
    with pytest.raises(ConfigError, match="no such file"):
        load_recipe("none.yaml")


def test_resolve_fills_in_what_the_recipe_leaves_open(path):
    resolved = resolve(load_recipe(path), MACHINE)
    assert resolved.training.precision == "bf16"
    assert resolved.training.threads == 4
    assert resolved.training.learning_rate == resolved.tuning.default_learning_rate
    assert resolved.output == "runs/mine"
    assert resolve(load_recipe(path), OLD_MACHINE).training.precision == "fp32"


def test_the_learning_rate_of_training_comes_before_that_of_tuning(path):
    assert resolve(load_recipe(path, ["tuning.learning_rate=1e-3"]), MACHINE).training.learning_rate == 1e-3
    both = load_recipe(path, ["tuning.learning_rate=1e-3", "training.lr=2e-3"])
    assert resolve(both, MACHINE).training.learning_rate == 2e-3


def test_precision_that_is_emulated_is_refused(path):
    with pytest.raises(ConfigError):
        resolve(load_recipe(path, ["training.precision=bf16"]), OLD_MACHINE)


def test_a_recipe_without_a_name_is_called_after_task_and_model(tmp_path):
    recipe = Recipe.model_validate(yaml.safe_load(RAW) | {"model": "google-bert/bert-base-cased"})
    assert resolve(recipe, MACHINE).output == "runs/text-classification-bert-base-cased"


def test_a_source_is_trained_on_or_mixed_in(path):
    with pytest.raises(ConfigError, match=r"mixture names a\.txt, which is `train`(.|\n)*leave it out"):
        load_recipe(path, ["task=causal-lm", "data.train=a.txt", "data.mixture={a.txt: 2}"])


def test_digest_changes_with_the_result_only(path):
    digest = recipe_digest(load_recipe(path))
    same = ["output=elsewhere", "name=x", "trackers=[tensorboard]", "training.logging_steps=3", "training.save_steps=5"]
    same += ["data.allow_leaks=true", "data.max_leak_share=0.5"]
    for edit in same:
        assert recipe_digest(load_recipe(path, [edit])) == digest, edit
    for edit in ["training.seed=8", "tuning=lora", "data.train=b.csv", "model.name=roberta-base"]:
        assert recipe_digest(load_recipe(path, [edit])) != digest, edit


def test_defaults_written_out_change_no_digest(path, tmp_path):
    recipe = load_recipe(path)
    written = tmp_path / "out.yaml"
    written.write_text(dump_recipe(recipe), encoding="utf-8")
    assert recipe_digest(load_recipe(written)) == recipe_digest(recipe)
