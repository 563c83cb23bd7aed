"""The part of docs/benchmarks.md on single tasks beside the libraries usually taken for them."""

from __future__ import annotations

from collections.abc import Iterator

from benchmarks.compare_tasks import SCORES
from benchmarks.processor import in_fp32
from benchmarks.rounds import Figures, read_result
from benchmarks.tables import span, table

TASKS = (
    "question-answering", "summarization", "translation", "relation-extraction", "image-classification",
    "audio-classification", "sentence-embedding", "preference",
)  # fmt: skip
OTHERS = ("default", "tuned")


def render_tasks() -> str:
    """Return the tables of scores and of speeds; empty where nothing is measured."""
    rows = [name for task in TASKS for name in (f"task-{task}", f"task-{task}-{SCORES}")]
    names = [name for row in rows for name in (row, in_fp32(row))]
    found = {name: result for name in names if "summary" in (result := read_result(name))}
    if not found:
        return ""
    titles = ["task, data", "beside", "training", "seeds", "score", "default", "tuned", "Fathom", "Fathom is"]
    parts = [
        "The same data, first weights, hyperparameters and seeds on all sides; one judge scores what each answers. A "
        "score is not worse when its mean is no further below than the spread of the seeds, or one standard error of "
        "the test split.",
        table(titles, [_score_row(result) for result in found.values()]),
    ]
    speeds = [row for result in found.values() for row in _speed_rows(result)]
    if speeds:
        titles = ["task", "a second", "default", "tuned", "Fathom", "times default", "times tuned", "rounds"]
        parts.append(table(titles, speeds))
    alone = [_task(result) for result in found.values() if result["settings"]["scores_only"]]
    if alone:
        parts.append(f"Scores only, the machine was at other work: {', '.join(alone)}.")
    return "\n\n".join(parts)


def _task(result: Figures) -> str:
    return f"{result['settings']['task']}, {result['settings']['data']}"


def _score_row(result: Figures) -> list[str]:
    settings, scores = result["settings"], result["summary"]["scores"]
    chosen, steps = settings["hyperparameters"], settings["max_steps"]
    length = f"{steps} steps" if steps > 0 else f"{chosen['epochs']:g} epochs"
    checks = [check["not_worse"] for check in scores["against"].values()]
    return [
        _task(result),
        settings["peer"],
        f"{length} of {chosen['batch_size']}, rate {chosen['learning_rate']:g}",
        str(len(result["rounds"])),
        scores["metric"],
        *(_score(scores, side) for side in (*OTHERS, "fathom")),
        "not worse" if all(checks) else "**worse: no claim of speed**",
    ]


def _score(scores: Figures, side: str) -> str:
    if side not in scores["means"]:
        return "-"
    values = scores["scores"][side]
    return f"{scores['means'][side]:.4f} ({min(values):.4f}-{max(values):.4f})"


def _speed_rows(result: Figures) -> Iterator[list[str]]:
    settings, summary = result["settings"], result["summary"]
    if settings["scores_only"]:
        return
    speed = summary["real_units_per_s"]
    ratios = {}
    for side in OTHERS:
        key = f"speed_over_{side}"
        ratio, bar = summary["ratios"].get(key), summary["bars"].get(key)
        ratios[side] = f"{span(ratio)}, needed {bar['needed']:g}: {summary['verdicts'][key]}" if ratio else "-"
    yield [
        settings["task"],
        f"real {settings['unit']}",
        *(span(speed[side], 0) if side in speed else "-" for side in (*OTHERS, "fathom")),
        *ratios.values(),
        f"{len(result['rounds'])} of {', '.join(summary['revisions'])} on {settings['processor']}",
    ]
