"""What a document made of a record says: its text, and around it what other columns hold, such as a control code."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from fathom.errors import DataError

TEXT = "text"
"""The name in braces that stands for the record's text, whatever its column is called."""
_HOLE = re.compile(r"\{([^{}]+)\}")


def columns_of(template: str | None) -> tuple[str, ...]:
    """Return the columns a template names besides the text."""
    names = () if template is None else dict.fromkeys(_HOLE.findall(template))
    return tuple(name for name in names if name != TEXT)


def fill(template: str, record: Mapping[str, Any], text: str, where: str) -> str:
    """Put a record into a template.

    Raises:
        DataError: The record lacks a column the template names.
    """
    values = {name: record.get(name) for name in columns_of(template)}
    for name, value in values.items():
        if not isinstance(value, str | int | float) or isinstance(value, bool) or not str(value).strip():
            known = ", ".join(f"'{key}'" for key in record)
            raise DataError(
                f"the record has no '{name}', which data.document_template names",
                where=where,
                mend=f"give every record one, or change the template (columns: {known})",
            )
    return _HOLE.sub(lambda match: text if match[1] == TEXT else str(values[match[1]]).strip(), template)
