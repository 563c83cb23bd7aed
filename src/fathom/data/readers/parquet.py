"""Parquet files."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from fathom.data.readers.base import Form, Reader, Reading, Request
from fathom.data.readers.collect import collect
from fathom.data.readers.columns import Layout, find_columns
from fathom.data.readers.problems import Problems
from fathom.data.section import DataSection


class ParquetReader(Reader):
    """Reads a Parquet file; label numbers get their names where the file carries them (Hugging Face exports)."""

    def read(self, path: str, form: Form, options: DataSection) -> Reading:
        """Read every row; see `Reader.read`. Rows count from 1 in places."""
        import pyarrow as pa
        import pyarrow.parquet as pq

        problems = Problems(path, skip=options.on_error == "skip")
        request = Request(form, options, problems)
        mend = "the file is cut, damaged or no Parquet file; get it again"
        data = Path(path).read_bytes()
        try:
            file = pq.ParquetFile(pa.BufferReader(data), page_checksum_verification=True)
        except (pa.ArrowException, OSError) as error:
            raise problems.fail(f"not a readable Parquet file: {error}", mend) from None
        layout = find_columns(list(file.schema_arrow.names), request)
        used = Layout(
            {role: place for place, role in enumerate(layout.roles)},
            tuple(map(layout.name, layout.roles)),
            layout.guessed,
        )
        columns: list[list[Any]] = [[] for _ in used.names]
        for group in range(file.num_row_groups):
            for name, column in zip(used.names, columns, strict=True):
                try:
                    column.extend(file.read_row_group(group, columns=[name]).column(0).to_pylist())
                except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
                    raise problems.fail(f"row group {group} cannot be read: {error}", mend, column=name) from None
        classes = class_names((file.schema_arrow.metadata or {}).get(b"huggingface"))
        for place, name in enumerate(used.names):
            if name in classes:
                columns[place] = [name_classes(value, classes[name]) for value in columns[place]]
        rows = enumerate(zip(*columns, strict=True), 1)
        examples, more = collect(rows, len(columns[0]), used, request)
        notes = ("format: Parquet", layout.note(), *more)
        skipped = problems.skipped(lambda row: (row, _row_text(used.names, [column[row - 1] for column in columns])))
        return Reading(examples, notes, hashlib.sha256(data).hexdigest(), layout.names, skipped)


def _row_text(names: Sequence[str], values: Sequence[Any]) -> str:
    return json.dumps(dict(zip(names, values, strict=True)), ensure_ascii=False, default=str)


def class_names(metadata: bytes | None) -> dict[str, list[str]]:
    """Class names by column, from the metadata that the `datasets` library writes."""
    if metadata is None:
        return {}
    try:
        features = json.loads(metadata)["info"]["features"]
    except (ValueError, KeyError, TypeError):
        return {}
    found = {}
    for column, feature in features.items():
        inner = feature.get("feature", feature) if isinstance(feature, dict) else {}
        if isinstance(inner, dict) and inner.get("_type") == "ClassLabel" and isinstance(inner.get("names"), list):
            found[column] = [str(name) for name in inner["names"]]
    return found


def name_classes(value: Any, names: list[str]) -> Any:
    """Replace class numbers by their names; -1 (no label) by None."""
    if isinstance(value, list):
        return [name_classes(item, names) for item in value]
    if isinstance(value, int) and not isinstance(value, bool):
        return names[value] if 0 <= value < len(names) else None
    return value
