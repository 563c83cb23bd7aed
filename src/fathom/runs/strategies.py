"""Every tuning strategy of the catalog, as it is asked for where all of them are compared."""

from __future__ import annotations

from typing import Any

from fathom import catalog

ALL = "all"
"""What a user writes for every strategy."""
NEEDED: dict[str, dict[str, Any]] = {"layers": {"layers": [0, -1]}}
"""Options by strategy that has no defaults: the lowest and the highest block."""


def every_strategy() -> list[dict[str, Any]]:
    """Return `{kind: name}` of each strategy, with options where it cannot do without."""
    return [{"kind": name, **NEEDED.get(name, {})} for name in catalog.names("tuning")]
