"""Data sets of the Hugging Face hub, through the `datasets` library."""

from __future__ import annotations

import hashlib
import json
import re
from typing import Any

from fathom.data.readers.base import Form, Reader, Reading, Request
from fathom.data.readers.collect import collect
from fathom.data.readers.columns import find_columns
from fathom.data.readers.parquet import name_classes
from fathom.data.readers.problems import Problems
from fathom.data.section import DataSection
from fathom.device import hub_reachable
from fathom.errors import DataError, MissingExtraError

HUB_NAME = re.compile(r"(?:hub:)?(?P<name>[\w.-]+(?:/[\w.-]+)?)(?::(?P<config>[\w.-]+))?(?:/(?P<split>[\w.-]+))?\Z")
"""`owner/name`, `owner/name:configuration`, and a split after either: `owner/name/validation`; train if left out."""


class HubReader(Reader):
    """Reads one split of a hub data set; class numbers get their names."""

    def read(self, path: str, form: Form, options: DataSection) -> Reading:
        """Read every row; see `Reader.read`. Rows count from 1 in places."""
        match = HUB_NAME.match(path)
        problems = Problems(path, skip=options.on_error == "skip")
        if match is None:
            raise problems.fail(
                "not a name of the hub", "write owner/name, owner/name:configuration or owner/name/split"
            )
        dataset = _load(path, match["name"], match["config"], match["split"] or "train")
        names = list(dataset.column_names)
        request = Request(form, options, problems)
        layout = find_columns(names, request)
        used = [names[place] for place in layout.roles.values()]
        classes = {name: found for name in used if (found := _class_names(dataset.features[name]))}
        records: list[tuple[int, dict[str, Any]]] = []
        digest = hashlib.sha256()
        for number, row in enumerate(dataset.select_columns(used), 1):
            record: dict[str, Any] = {
                name: name_classes(value, classes[name]) if name in classes else value for name, value in row.items()
            }
            digest.update(json.dumps(record, sort_keys=True, ensure_ascii=True, default=str).encode())
            records.append((number, record))
        if not records:
            raise problems.fail("no rows", "choose a split with rows")
        rows = ((number, [record.get(name) for name in names]) for number, record in records)
        examples, more = collect(rows, len(records), layout, request)
        notes = (f"format: hub data set {match['name']}, split {match['split'] or 'train'}", layout.note(), *more)
        skipped = problems.skipped(lambda row: (row, json.dumps(records[row - 1][1], ensure_ascii=False, default=str)))
        return Reading(examples, notes, digest.hexdigest(), tuple(names), skipped)


def _load(path: str, name: str, config: str | None, split: str) -> Any:
    try:
        import datasets
        import huggingface_hub
    except ImportError:
        raise MissingExtraError("datasets", "hub") from None
    datasets.disable_progress_bars()
    if not hub_reachable():  # else its library tries for half a minute; a copy in its cache is found either way
        huggingface_hub.constants.HF_HUB_OFFLINE = datasets.config.HF_HUB_OFFLINE = True
    try:
        return datasets.load_dataset(name, config, split=split)
    except (OSError, ValueError, RuntimeError) as error:
        reason = " ".join(str(error).split())[:200]
        raise DataError(
            f"no such file, and the hub data set cannot be loaded: {reason}",
            where=path,
            mend="check the path or name; a hub data set needs a network or the cache of an earlier download",
        ) from None


def _class_names(feature: Any) -> list[str]:
    inner = vars(feature).get("feature", feature) if not isinstance(feature, list | dict) else feature
    if isinstance(inner, list) and inner:
        inner = inner[0]
    names = vars(inner).get("names") if not isinstance(inner, list | dict) else None
    return [str(item) for item in names] if names else []
