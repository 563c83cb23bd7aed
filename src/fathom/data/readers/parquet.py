"""Parquet files."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

from fathom.data.readers.base import Form, Reader, Reading
from fathom.data.readers.columns import find_columns
from fathom.data.readers.json_lines import Record, collect_records
from fathom.data.readers.problems import Problems
from fathom.data.section import DataSection


class ParquetReader(Reader):
    """Reads a Parquet file; label numbers get their names where the file carries them (Hugging Face exports)."""

    def read(self, path: str, form: Form, options: DataSection) -> Reading:
        """Read every row; see `Reader.read`. Rows count from 1 in places."""
        import pyarrow as pa
        import pyarrow.parquet as pq

        problems = Problems(path, skip=options.on_error == "skip")
        mend = "the file is cut, damaged or no Parquet file; get it again"
        data = Path(path).read_bytes()
        try:
            file = pq.ParquetFile(pa.BufferReader(data), page_checksum_verification=True)
        except (pa.ArrowException, OSError) as error:
            raise problems.fail(f"not a readable Parquet file: {error}", mend) from None
        names = list(file.schema_arrow.names)
        layout = find_columns(names, options, form, problems)
        used = [names[place] for place in layout.roles.values()]
        values: dict[str, list[Any]] = {name: [] for name in used}
        for group in range(file.num_row_groups):
            for name in used:
                try:
                    values[name] += file.read_row_group(group, columns=[name]).column(0).to_pylist()
                except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
                    raise problems.fail(f"row group {group} cannot be read: {error}", mend, column=name) from None
        classes = class_names((file.schema_arrow.metadata or {}).get(b"huggingface"))
        for name in used:
            if name in classes:
                values[name] = [name_classes(value, classes[name]) for value in values[name]]
        records: list[Record] = [
            (number, dict(zip(used, row, strict=True)))
            for number, row in enumerate(zip(*values.values(), strict=True), 1)
        ]
        if not records:
            raise problems.fail("no rows", "give a file with rows")
        examples, more = collect_records(records, len(records), layout, form, options, problems)
        return Reading(
            examples, ("format: Parquet", layout.note(), *more), hashlib.sha256(data).hexdigest(), tuple(names)
        )


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
