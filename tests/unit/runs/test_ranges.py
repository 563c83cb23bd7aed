"""Ranges: how they are written, what they refuse, which keys depend on which."""

from __future__ import annotations

from pathlib import Path

import optuna
import pytest

from fathom.errors import ConfigError
from fathom.runs.ranges import Range, combinations, read_ranges, read_space
from fathom.runs.search import Job
from fathom.runs.settle import accepts_by, check_values
from runs_for_tests import make_model, make_recipe


@pytest.fixture(scope="module")
def job(tmp_path_factory: pytest.TempPathFactory) -> Job:
    folder = tmp_path_factory.mktemp("ranges")
    make_recipe(make_model(folder / "base"), folder)
    return Job(str(folder / "job.yaml"), [], folder / "out")


def test_ranges_are_told_from_edits_and_sections_come_first() -> None:
    fixed, ranges = read_ranges(
        ["tuning.rank=[4,8]", "training.batch_size=4", "tuning=[lora, full]", "training.learning_rate=log(1e-5, 1e-3)"]
    )
    assert fixed == ["training.batch_size=4"]
    assert [one.key for one in ranges] == ["tuning", "tuning.rank", "training.learning_rate"]
    assert [one.to_text() for one in ranges] == ["[lora, full]", "[4, 8]", "log(1e-05, 0.001)"]


def test_a_range_written_out_reads_back() -> None:
    for text in ("log(1e-05, 0.001)", "uniform(0, 0.3, step=0.1)", "int(1, 9, step=2)", "logint(8, 512)", "[a, b]"):
        [one] = read_ranges([f"training.epochs={text}"])[1]
        assert one.to_text() == text
        assert read_ranges([f"training.epochs={one.to_text()}"])[1] == [one]


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        ("training.seed=[]", "names no value"),
        ("training.epochs=int(4,1)", "has no values"),
        ("training.learning_rate=log(0,1)", "begin above zero"),
        ("training.epochs=int(1,2.5)", "whole numbers"),
        ("training.epochs=int(1)", "a first and a last"),
        ("training.epochs=int(1,two)", "'two' is not a number"),
        ("training.learning_rate=log(1e-5,1e-3,step=0.1)", "takes no step"),
        ("training.dropout=uniform(0,1,step=0)", "a step above zero"),
        ("training.dropout=uniform(0,1,by=1)", "unknown word 'by'"),
        ("training.learning_rate=loguniform(1e-5,1e-3)", "no form of a range"),
        ("training.epochs=2", "nothing is searched"),
    ],
)
def test_a_range_that_is_none_is_refused(edit: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        read_ranges([edit])


def test_two_ranges_of_one_key_are_refused() -> None:
    with pytest.raises(ConfigError, match="two ranges"):
        read_ranges(["tuning.rank=[4]", "tuning.rank=int(1,4)"])


def test_values_lie_in_the_range_and_are_short() -> None:
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=1))
    rate = Range("rate", "log", low=1e-5, high=1e-3)
    for _ in range(50):
        value = rate.suggest(study.ask())
        assert 1e-5 <= float(value) <= 1e-3
        assert len(value.replace("e-05", "").replace(".", "").lstrip("0")) <= 4
    assert {Range("n", "int", low=1, high=3).suggest(study.ask()) for _ in range(30)} == {"1", "2", "3"}
    narrow = Range("x", "uniform", low=0.123456, high=0.123457)
    assert 0.123456 <= float(narrow.suggest(study.ask())) <= 0.123457


def test_a_space_may_lie_in_a_file(tmp_path: Path) -> None:
    path = tmp_path / "space.yaml"
    path.write_text("training.learning_rate: log(1e-5, 1e-3)\ntuning: [full, {kind: lora, rank: 4}]\n")
    fixed, ranges = read_ranges(read_space(path))
    assert fixed == []
    assert {one.key: one.to_text() for one in ranges} == {
        "training.learning_rate": "log(1e-05, 0.001)",
        "tuning": "[full, {kind: lora, rank: 4}]",
    }


@pytest.mark.parametrize(
    ("edits", "message"),
    [
        (["training.lerning_rate=[1e-3]"], r"training\.lerning_rate.*did you mean"),
        (["tuning=[lora,dora]", "tuning.rnak=[4,8]"], r"tuning\.rnak.*did you mean 'rank'"),
        (["tuning=[lora,lroa]"], "did you mean 'lora'"),
        (["training.batch_size=[8,0]"], "greater than 0"),
        (["training.learning_rate=uniform(-1,1)"], "greater than 0"),
    ],
)
def test_a_key_or_value_that_does_not_exist_is_told_at_once(job: Job, edits: list[str], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        check_values(read_ranges(edits)[1], job.recipe)


def test_a_key_of_one_section_is_left_out_of_the_others(job: Job) -> None:
    ranges = read_ranges(["tuning=[full,lora,dora]", "tuning.rank=[2,4]"])[1]
    check_values(ranges, job.recipe)
    assert combinations(ranges, accepts_by(job.recipe)) == [
        {"tuning": "full"},
        {"tuning": "lora", "tuning.rank": "2"},
        {"tuning": "lora", "tuning.rank": "4"},
        {"tuning": "dora", "tuning.rank": "2"},
        {"tuning": "dora", "tuning.rank": "4"},
    ]


def test_an_edit_within_a_section_that_is_searched_holds_where_the_section_has_the_key(job: Job) -> None:
    fixed, ranges = read_ranges(["tuning.rank=2", "tuning=[full,lora]", "training.batch_size=4"])
    assert fixed == ["training.batch_size=4"]
    found = combinations(ranges, accepts_by(job.recipe))
    assert found == [{"tuning": "full"}, {"tuning": "lora", "tuning.rank": "2"}]
    assert job.recipe(found[1]).tuning.model_dump()["rank"] == 2


def test_a_grid_needs_values_that_can_be_counted(job: Job) -> None:
    stepped = read_ranges(["training.dropout=uniform(0, 0.3, step=0.1)", "training.epochs=int(1,3)"])[1]
    assert len(combinations(stepped, accepts_by(job.recipe))) == 12
    with pytest.raises(ConfigError, match="no end"):
        combinations(read_ranges(["training.learning_rate=log(1e-5,1e-3)"])[1], accepts_by(job.recipe))
