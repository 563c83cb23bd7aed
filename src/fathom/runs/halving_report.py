"""How a comparison spent its time, in words and rows."""

from __future__ import annotations

import html
from statistics import mean

from fathom.log import format_duration
from fathom.runs.halving import Halving, Standing, label

HEADER = ("round", "", "score", "steps", "share", "time", "fate")
EXPLAINED = (
    "score: on validation at the end of the round, of the weights as they are or of the best evaluation so far. Each "
    "trial is the whole run of its recipe, with its own schedule: before the last step the rate has not fallen "
    "yet, so a score there is usually below what the run would reach. A trial that stays goes on from its checkpoint; "
    "none begins anew. Those that were left out can go on too: the same command without the budget trains all to the "
    "end."
)


def halving_rows(spent: Halving) -> list[list[str]]:
    """Return a line for each trial of each round, in the order of `HEADER`."""
    return [_row(number, one) for number, made in enumerate(spent.rounds, 1) for one in made]


def halving_findings(spent: Halving) -> list[str]:
    """Return what follows from the rounds, in sentences."""
    given, taken = format_duration(spent.budget_seconds), format_duration(spent.spent_seconds)
    last = spent.rounds[-1] if spent.rounds else ()
    lines = []
    first = spent.rounds[0] if spent.rounds else ()
    hurried = any(one.step == 1 and not one.finished for standing in first for one in standing.slices)
    if hurried:
        lines.append("Nothing can be concluded: the budget left some trials time for one step only. Give it more.")
    elif last and last[0].score is not None:
        best = last[0]
        place = "trained to its end" if _is_finished(best) else f"at {_share(best):.0%} of its run"
        lines.append(f"{label(best.settings)} is best: {spent.metric} {best.score:.4f} on validation, {place}.")
    lines.append(f"{taken} of {given} spent in {len(spent.rounds)} of {spent.num_rounds} rounds.")
    for number, made in enumerate(spent.rounds, 1):
        dropped = [
            f"{label(one.settings)} ({one.score:.4f})"
            for one in made
            if one.fate == "dropped" and one.score is not None
        ]
        if dropped:
            lines.append(f"Left out after round {number}: {', '.join(dropped)}.")
    return lines


def halving_markdown(spent: Halving) -> list[str]:
    """Return the section of the page as lines of Markdown."""
    lines = ["## How the time was spent", "", *(f"- {line}" for line in halving_findings(spent)), ""]
    lines += [f"| {' | '.join(HEADER)} |", f"|---|---|{'---:|' * (len(HEADER) - 2)}"]
    return [*lines, *(f"| {' | '.join(row)} |" for row in halving_rows(spent)), "", EXPLAINED, ""]


def halving_html(spent: Halving) -> str:
    """Return the section of the page as HTML."""
    said = "".join(f"<li>{html.escape(line)}</li>" for line in halving_findings(spent))
    head = "".join(f"<th>{title}</th>" for title in HEADER)
    body = "".join(
        f"<tr>{''.join(f'<td>{html.escape(cell)}</td>' for cell in row)}</tr>" for row in halving_rows(spent)
    )
    return (
        f"<h2>How the time was spent</h2><ul>{said}</ul><table><thead><tr>{head}</tr></thead>"
        f"<tbody>{body}</tbody></table><p>{EXPLAINED}</p>"
    )


def _row(number: int, one: Standing) -> list[str]:
    done = [each for each in one.slices if each.error is None]
    return [
        str(number),
        label(one.settings),
        "" if one.score is None else f"{one.score:.4f}",
        f"{mean(each.step for each in done):,.0f}" if done else "",
        f"{_share(one):.0%}" if done else "",
        format_duration(sum(each.seconds for each in one.slices)),
        "trained to its end" if one.fate == "stays" and _is_finished(one) else one.fate,
    ]


def _share(one: Standing) -> float:
    """Part of the run that is done, in the mean over seeds."""
    return mean(each.step / each.total_steps for each in one.slices if each.error is None)


def _is_finished(one: Standing) -> bool:
    return all(each.finished for each in one.slices if each.error is None)
