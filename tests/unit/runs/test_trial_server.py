"""The process that trains trials as they come: each is the run it is alone, whatever became of the others."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from fathom.recipe import Recipe, dump_recipe
from fathom.runs import trial_server
from fathom.runs.channel import STOP, Channel
from fathom.runs.train import train
from fathom.runs.trial_server import serve
from fathom.tracking.base import TrackerGroup
from runs_for_tests import identical, lines, make_model, make_recipe

TOP = "tuning={kind: top-layers, layers: 1}"


@pytest.fixture
def tiny(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("FATHOM_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(trial_server, "_write_errors_to", lambda log: None)
    return make_model(tmp_path / "tiny")


class Script(Channel):
    """A search that asks for trials, one after another, and for the end of some after a step."""

    def __init__(self, asked: list[tuple[Recipe, int | None]], folder: Path, to_come: int = 1) -> None:
        self.asked = asked
        self.folder = folder
        self.to_come = to_come
        self.answers: list[Mapping[str, Any]] = []
        self.claims: list[int] = []
        self.steps = 0
        self.number = 0
        self.gone = False

    def receive(self, timeout: float | None = None) -> dict[str, Any] | None:
        if timeout is not None:  # asked after a step
            if self.gone:
                raise EOFError
            self.steps += 1
            return STOP if self.steps == self.asked[self.number - 1][1] else None
        if self.number == len(self.asked):
            raise EOFError
        self.steps, self.number = 0, self.number + 1
        path = self.folder / f"{self.number}.yaml"
        path.write_text(dump_recipe(self.asked[self.number - 1][0]), encoding="utf-8")
        return {"recipe": str(path), "log": "", "to_come": self.to_come}

    def take_descriptor(self) -> int:
        self.claims.append(os.open(os.devnull, os.O_RDONLY))
        return self.claims[-1]

    def send(self, told: Mapping[str, Any], descriptor: int | None = None) -> None:
        if self.gone:
            raise BrokenPipeError
        self.answers.append(told)


def recipe_of(tiny: Path, folder: Path, name: str, *edits: str) -> Recipe:
    folder.mkdir(exist_ok=True)
    return make_recipe(
        tiny, folder, "single", TOP, "training.max_steps=16", "training.eval_steps=2", *edits, f"output={folder / name}"
    )


def test_a_trial_that_is_left_or_fails_harms_no_other(tiny: Path, tmp_path: Path) -> None:
    def recipes(folder: Path) -> list[Recipe]:
        rates = ("training.learning_rate=0.01", "training.learning_rate=0.003", "training.seed=3")
        return [recipe_of(tiny, folder, str(number), edit) for number, edit in enumerate(rates)]

    for recipe in recipes(tmp_path / "alone"):
        train(recipe)
    first, second, third = recipes(tmp_path / "served")
    hot = recipe_of(
        tiny, tmp_path / "served", "hot", "training.learning_rate=1e30", "training.non_finite=skip",
        "training.max_skipped_steps=1",
    )  # fmt: skip
    gone = recipe_of(tiny, tmp_path / "served", "gone", f"model={tmp_path / 'missing'}")
    asked = [(first, 7), (second, None), (hot, None), (gone, None), (first, None), (third, None)]
    script = Script(asked, tmp_path)
    serve(script)
    left, *others = script.answers
    assert left == {"stopped": True}
    assert ["error" in one for one in others] == [False, True, True, False, False]
    assert "steps in a row are bad" in others[1]["error"] and others[1]["mend"]
    for number in ("0", "1", "2"):
        identical(tmp_path / "served" / number, tmp_path / "alone" / number)
    assert len({lines(tmp_path / "served" / number)[-1]["loss"] for number in ("0", "1", "2")}) == 3
    for claim in script.claims:
        with pytest.raises(OSError):
            os.fstat(claim)


def test_left_it_leaves_what_a_kill_leaves(tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    closed: list[TrackerGroup] = []
    real = TrackerGroup.close
    monkeypatch.setattr(TrackerGroup, "close", lambda self: (closed.append(self), real(self)))
    script = Script([(recipe_of(tiny, tmp_path / "a", "0"), 5)], tmp_path)
    serve(script)
    folder = tmp_path / "a" / "0"
    assert not (folder / "metrics.json").exists()
    # of the evaluation before it, none of its own
    assert max(int(path.name.removeprefix("step-")) for path in (folder / "checkpoints").glob("step-*")) == 4
    assert lines(folder)[-1]["step"] == 5
    assert len(closed) == 1  # a search of many trials would run out of files


def test_a_trial_whose_search_was_killed_is_trained_to_its_end(tiny: Path, tmp_path: Path) -> None:
    script = Script([(recipe_of(tiny, tmp_path / "a", "0"), None)], tmp_path)
    script.gone = True
    serve(script)
    assert not script.answers and (tmp_path / "a" / "0" / "metrics.json").exists()


def test_trials_of_one_epoch_have_the_cache_where_others_are_to_come(tiny: Path, tmp_path: Path) -> None:
    once = ("training.max_steps=null", "training.epochs=1")
    for to_come, cached in ((0, False), (1, True)):
        folder = tmp_path / str(to_come)
        serve(Script([(recipe_of(tiny, folder, "run", *once), None)], tmp_path, to_come))
        assert ("frozen_cache" in (folder / "run" / "metrics.json").read_text(encoding="utf-8")) is cached


def test_data_that_cannot_be_read_fail_a_trial_and_not_the_next(tiny: Path, tmp_path: Path) -> None:
    recipe = recipe_of(tiny, tmp_path / "a", "0")
    path = tmp_path / "a" / "train.csv"
    path.rename(tmp_path / "away.csv")

    class Mended(Script):
        def send(self, told: Mapping[str, Any], descriptor: int | None = None) -> None:
            super().send(told)
            if not path.exists():
                (tmp_path / "away.csv").rename(path)

    script = Mended([(recipe, None), (recipe, None)], tmp_path)
    serve(script)
    assert [set(one) for one in script.answers] == [{"error", "where", "mend"}, set()]
    assert (tmp_path / "a" / "0" / "metrics.json").exists()


def test_messages_and_descriptors_come_in_their_order(tmp_path: Path) -> None:
    ours, theirs = Channel.pair()
    assert theirs.receive(0) is None
    with open(tmp_path / "held", "w", encoding="utf-8") as stream:
        ours.send(STOP)
        ours.send({"recipe": "a", "log": "ü\n"}, stream.fileno())
    assert theirs.receive() == STOP
    assert theirs.receive(0) == {"recipe": "a", "log": "ü\n"}
    taken = theirs.take_descriptor()
    os.write(taken, b"held")
    os.close(taken)
    assert (tmp_path / "held").read_text(encoding="utf-8") == "held"
    theirs.send({})
    theirs.close()
    assert ours.receive() == {}
    with pytest.raises(EOFError):
        ours.receive(1)
    with pytest.raises(ConnectionError):
        ours.send(STOP)
    ours.close()


def test_what_asked_for_the_end_of_a_trial_that_had_ended_is_passed_over() -> None:
    ours, theirs = Channel.pair()
    ours.send(STOP)
    ours.send({"recipe": "next"})
    assert trial_server._next(theirs) == {"recipe": "next"}
    ours.send(STOP)
    ours.close()
    assert trial_server._next(theirs) is None
    theirs.close()
