"""The frame of `benchmarks.compare_tasks`: what is counted, cut, marked, judged, kept and shown."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from benchmarks import compare_tasks, report_tasks
from benchmarks.bars import Bar
from benchmarks.peers import hf_questions, timed
from benchmarks.peers.job import Job, read_rows, write_rows
from benchmarks.settings import Hyperparameters
from benchmarks.tasks import preference, questions
from benchmarks.tasks.relations import Relations, marked
from benchmarks.tasks.row import Prepared
from benchmarks.tasks.rows import ROWS

from fathom.config import validate
from fathom.data.relations import read_tagged
from fathom.recipe import Recipe
from fathom.tasks.markers import mark
from tokenizers_for_tests import tokenizer_of

PASSAGE = "The lighthouse was built in 1839 by Ana Torres. " + "Ships passed it every night. " * 6 + "It fell in 1911."


def job_of(folder: Path, **changes: Any) -> Job:
    return replace(
        Job(folder, folder, folder, "default", 1, 1, Hyperparameters(1e-3, max_length=48), options={"stride": 8}),
        **changes,
    )


def test_a_job_is_read_as_it_was_written(tmp_path: Path) -> None:
    job = job_of(tmp_path, mode="tuned", max_steps=3)
    job.write(tmp_path / "job.json")
    assert Job.read(tmp_path / "job.json") == job
    assert job.tuned


def test_rows_keep_line_separators_that_are_no_newlines(tmp_path: Path) -> None:
    rows = [{"text": "one\u2028two\x85three"}, {"text": "four"}]
    write_rows(tmp_path / "rows.jsonl", rows)
    assert read_rows(tmp_path / "rows.jsonl") == rows


def test_a_batch_that_was_only_fetched_does_not_count() -> None:
    counted = timed.Counted(lambda lengths: {"attention_mask": torch.ones(1, sum(lengths))}, timed.masked_tokens)

    def train() -> Any:
        for lengths in ([3, 4], [5], [100]):  # the last one is fetched ahead
            counted(lengths)
        return SimpleNamespace(training_loss=0.5)

    trainer = SimpleNamespace(train=train, state=SimpleNamespace(global_step=2))
    figures = timed.train(trainer, counted)
    assert (figures["real_units"], figures["steps"], figures["train_loss"]) == (12, 2, 0.5)


def test_targets_count_without_their_padding() -> None:
    batch = {"attention_mask": torch.tensor([[1, 1, 0]]), "labels": torch.tensor([[5, 6, -100, -100]])}
    assert timed.tokens_and_labels(batch) == 4
    assert timed.masked_tokens({"anchor_attention_mask": torch.ones(2, 3), "positive_attention_mask": torch.ones(2, 2)})


def test_rows_of_batches_whose_last_one_is_smaller() -> None:
    job = job_of(Path(), hyperparameters=Hyperparameters(1e-3, batch_size=4))
    assert [compare_tasks.seen(job, 10, steps) for steps in (1, 2, 3, 4, 6)] == [4, 8, 10, 14, 20]


def asked() -> dict[str, list[Any]]:
    def row(question: str, answer: str) -> dict[str, Any]:
        found = {"text": [answer], "answer_start": [PASSAGE.index(answer)]}
        return {"number": 0, "context": PASSAGE, "question": question, "answers": found}

    rows = [row("who built it?", "Ana Torres"), row("when did it fall?", "1911")]
    return {key: [one[key] for one in rows] for key in rows[0]}


@pytest.mark.parametrize("mode", ["default", "tuned"])
def test_windows_point_at_the_answers_they_hold(tmp_path: Path, mode: str) -> None:
    tokenizer = tokenizer_of("minilm")
    windows = hf_questions.learnt_windows(asked(), tokenizer, job_of(tmp_path, mode=mode))
    found = [
        tokenizer.decode(ids[start : end + 1])
        for ids, start, end in zip(
            windows["input_ids"], windows["start_positions"], windows["end_positions"], strict=True
        )
    ]
    assert len(found) > 2
    assert {"ana torres", "1911", "[CLS]"} == set(found)
    padded = {len(ids) for ids in windows["input_ids"]} == {48}
    assert padded == (mode == "default")
    assert [sum(mask) for mask in windows["attention_mask"]] == windows["length"]


def test_the_best_span_is_the_text_of_the_passage(tmp_path: Path) -> None:
    rows = {**asked(), "number": [0, 1]}
    windows = hf_questions.asked_windows(rows, tokenizer_of("minilm"), job_of(tmp_path))
    asked_of = [dict(zip(windows, values, strict=True)) for values in zip(*windows.values(), strict=True)]
    starts, ends = np.zeros((2, len(asked_of), 48))
    for number, window in enumerate(asked_of):
        starts[number, 0] = ends[number, 0] = 9.0  # [CLS] is no answer
        answer = rows["answers"][window["owner"]]
        begins = answer["answer_start"][0]
        for place, (first, last) in enumerate(window["offset_mapping"]):
            starts[number, place] += 5.0 * (first == begins)
            ends[number, place] += 5.0 * (last == begins + len(answer["text"][0]))
    answers = hf_questions.best_answers((starts, ends), asked_of, [PASSAGE, PASSAGE])
    assert answers == [{"answer": "Ana Torres"}, {"answer": "1911"}]


def test_questions_are_numbered_across_passages() -> None:
    passages = [
        {"context": text, "qas": [{"question": "q", "answers": [{"text": "a", "answer_start": 0}]}] * 2}
        for text in ("a", "ab")
    ]
    rows = questions.flat_rows(passages)
    assert [row["number"] for row in rows] == [0, 1, 2, 3]
    assert rows[3]["answers"] == {"text": ["a"], "answer_start": [0]}


def test_the_peer_reads_the_text_that_fathom_marks() -> None:
    text = "The <e1>audits</e1> were about <e2> public waste </e2>."
    plain, head, tail = read_tagged(text)
    wanted = mark(plain, {"head": head, "tail": tail}, "punctuation", typed=False).text
    tokenizer = tokenizer_of("minilm")
    assert tokenizer(marked(text))["input_ids"] == tokenizer(wanted)["input_ids"]


def test_relations_are_judged_without_other(tmp_path: Path) -> None:
    truth = ["Cause-Effect(e1,e2)", "Cause-Effect(e2,e1)", "Other", "Other"]
    given = ["Cause-Effect(e1,e2)", "Cause-Effect(e1,e2)", "Other", "Other"]
    write_rows(tmp_path / "test.jsonl", [{"text": "", "label": label} for label in truth])
    write_rows(tmp_path / "answers.jsonl", [{"label": label} for label in given])
    scores = Relations().judge(job_of(tmp_path), tmp_path / "answers.jsonl")
    assert scores == {"f1_macro": 0.5, "f1_micro": 0.5, "accuracy": 0.75}


def test_answers_are_scored_as_transformers_scores_labels(tmp_path: Path) -> None:
    from transformers import AutoModelForCausalLM, AutoTokenizer

    preference.make_model(tmp_path, ["User: what is it? Assistant: it is red", "it is blue and green"] * 20)
    row = {
        "prompt": [{"role": "user", "content": "what is it?"}],
        "chosen": [{"role": "assistant", "content": "it is red"}],
        "rejected": [{"role": "assistant", "content": "blue and green"}],
    }
    tokenizer, model = AutoTokenizer.from_pretrained(tmp_path), AutoModelForCausalLM.from_pretrained(tmp_path).eval()
    ((chosen, rejected),) = preference.answer_scores(model, tokenizer, [row])
    (prompt,) = preference.token_ids(tokenizer, [row["prompt"]])
    for side, score in zip(preference.SIDES, (chosen, rejected), strict=True):
        (ids,) = preference.token_ids(tokenizer, [[*row["prompt"], *row[side]]])
        shared = sum(1 for one, other in zip(prompt, ids, strict=False) if one == other)
        labels = torch.tensor([[-100] * shared + ids[shared:]])
        with torch.no_grad():
            loss = model(torch.tensor([ids]), labels=labels).loss
        assert score == pytest.approx(-float(loss) * (len(ids) - shared), rel=1e-5)
    # with the reference itself nothing is preferred
    write_rows(tmp_path / "test.jsonl", [row])
    job = job_of(tmp_path, options={"beta": 0.1})
    assert preference.Preference().judge(job, tmp_path)["accuracy"] == 0.5


@pytest.mark.parametrize("name", sorted(ROWS))
def test_recipes_are_valid(tmp_path: Path, name: str) -> None:
    row = ROWS[name]
    job = job_of(tmp_path, hyperparameters=row.hyperparameters, options=dict(row.options))
    recipe = validate(Recipe, compare_tasks.fathom_recipe(row, job))
    assert recipe.training.epochs == row.hyperparameters.epochs
    assert recipe.task.kind == name


def test_bars_without_an_aim() -> None:
    assert Bar(2.0).judge(2.5) == "reached"
    assert Bar(2.0).judge(1.9) == "missed"
    assert Bar(0.7, 0.5, at_most=True).judge(0.4) == "aim reached"


def result_of(scores_only: bool) -> dict[str, Any]:
    row = ROWS["relation-extraction"]
    plan = compare_tasks.Plan(Path(), 2, scores_only=scores_only)
    settings = compare_tasks.settings_of(row, Prepared(Path(), 100, 50), plan)
    timed_figures = {"real_units_per_s": 10.0, "train_seconds": 3.0, "peak_memory_bytes": 1 << 20, "load_before": 0.5}
    rounds = []
    for seed in (1, 2):
        sides = {}
        for side in compare_tasks.SIDES:
            speed = {**timed_figures, "real_units_per_s": 30.0 if side == "fathom" else 10.0}
            scores = {"f1_macro": 0.5 + seed / 10, "f1_micro": 0.5, "accuracy": 0.5}
            sides[side] = {"scores": scores, "steps": 3, "real_units": 30, **({} if scores_only else speed)}
        rounds.append({"order": list(compare_tasks.SIDES), "seed": seed, "revision": "abc", "sides": sides})
    result = {"settings": settings, "rounds": rounds}
    result["summary"] = compare_tasks.summarize_rounds(row, result)
    return json.loads(json.dumps(result))


def test_a_summary_holds_scores_speeds_and_verdicts(monkeypatch: pytest.MonkeyPatch) -> None:
    result = result_of(scores_only=False)
    assert result["summary"]["ratios"]["speed_over_default"]["median"] == 3.0
    assert result["summary"]["verdicts"] == {"speed_over_default": "reached", "speed_over_tuned": "reached"}
    assert result["summary"]["same_units"] is True
    monkeypatch.setattr(report_tasks, "read_result", lambda name: result if "relation" in name else {})
    shown = report_tasks.render_tasks()
    assert "0.6500 (0.6000-0.7000)" in shown
    assert "3.00 (3.00-3.00), needed 2: reached" in shown
    assert "Scores only" not in shown


def test_where_only_scores_count_no_time_is_written_or_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    result = result_of(scores_only=True)
    assert not set(result["summary"]) & {"ratios", "real_units_per_s", "verdicts", "bars"}
    monkeypatch.setattr(report_tasks, "read_result", lambda name: result if name.endswith("extraction") else {})
    shown = report_tasks.render_tasks()
    assert "Scores only, the machine was at other work: relation-extraction, semeval2010_task8." in shown
    assert "real tokens" not in shown


def test_a_run_keeps_no_time_where_only_scores_count(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    row = ROWS["relation-extraction"]
    plan = compare_tasks.Plan(tmp_path, scores_only=True)
    plan.folder(row).mkdir(parents=True)
    figures = {"train_seconds": 3.0, "real_units": 30, "real_units_per_s": 10.0, "peak_memory_bytes": 1, "steps": 3}

    def leave_figures(command: list[str], env: dict[str, str]) -> None:
        job = Job.read(Path(command[-1]))
        (job.output / "figures.json").write_text(json.dumps(figures), encoding="utf-8")

    monkeypatch.setattr(compare_tasks, "run_process", leave_figures)
    monkeypatch.setattr(type(row), "judge", lambda self, job, answers: {"f1_macro": 1.0})
    found = compare_tasks.run_side(row, Prepared(tmp_path, 10, 10), "default", 1, plan)
    assert found == {"scores": {"f1_macro": 1.0}, "steps": 3, "real_units": 30}
    found = compare_tasks.run_side(row, Prepared(tmp_path, 10, 10), "default", 1, replace(plan, scores_only=False))
    assert found["real_units_per_s"] == 10.0


@pytest.mark.parametrize("wrong", [{"sides": "default"}, {"sides": "fathom"}, {"sides": "best,fathom"}, {"only": "qa"}])
def test_a_comparison_needs_known_sides_and_tasks(wrong: dict[str, str]) -> None:
    given = {
        "sides": "default,fathom", "only": "translation", "quick": False, "max_steps": None, "rounds": 3,
        "work": Path("w"), "threads": 2, "scores_only": False, "trl": None,
    }  # fmt: skip
    assert compare_tasks.make_plan(SimpleNamespace(**given)).sides == ("default", "fathom")
    with pytest.raises(SystemExit):
        compare_tasks.make_plan(SimpleNamespace(**{**given, **wrong}))
