"""Every row of `compare_tasks`."""

from __future__ import annotations

from benchmarks.tasks.embedding import Embedding
from benchmarks.tasks.media import Images, Sounds
from benchmarks.tasks.preference import Preference
from benchmarks.tasks.questions import Questions
from benchmarks.tasks.relations import Relations
from benchmarks.tasks.row import TaskRow
from benchmarks.tasks.writing import Summarization, Translation

ROWS: dict[str, TaskRow] = {
    row.name: row
    for row in (
        Questions(), Summarization(), Translation(), Relations(), Images(), Sounds(), Embedding(), Preference(),
    )
}  # fmt: skip
