"""Text in which no document stands twice: English and Chinese of the shared data, and Python's own standard library.

A corpus that is drawn from few lines flatters whoever remembers words. This one is as varied as text is.
"""

from __future__ import annotations

import json
import sysconfig
from collections.abc import Iterator
from pathlib import Path
from random import Random
from typing import Any

from benchmarks.sources import require

RECORDS = (
    *("scitldr/SciTLDR-A/train.jsonl", "scitldr/SciTLDR-A/dev.jsonl", "gsm8k/train.head2000.jsonl"),
    *("xquad_en/xquad.en.json", "pandalm_testset/testset-v1.json"),
    *("cmrc2018/cmrc2018_dev.json", "kdconv/music/dev.json", "kdconv/travel/dev.json"),
    *("chinese_poetry/全唐诗/poet.tang.0.json", "chinese_poetry/全唐诗/poet.tang.1000.json"),
    "chinese_poetry/宋词/ci.song.0.json",
)
LINES = ("finre/train.txt", "csl/ts/dev.tsv", "csl/cls_ctg/train.tsv", "banking77/train.csv")
LEAST_CHARACTERS = 40
"""Of a text within a record; what is shorter is a name or a key."""


def texts() -> Iterator[str]:
    """Yield every text, most of them prose of a paragraph, some whole source files."""
    for name in RECORDS:
        content = require(name).read_text(encoding="utf-8")
        records = content.splitlines() if name.endswith(".jsonl") else [content]
        for record in records:
            yield from _strings(json.loads(record))
    for name in LINES:
        for line in require(name).read_text(encoding="utf-8").splitlines():
            yield line.rsplit("\t", 1)[-1]
    yield from require("tinyshakespeare/input.txt").read_text(encoding="utf-8").split("\n\n")
    for file in sorted(Path(sysconfig.get_path("stdlib")).rglob("*.py")):
        if "site-packages" not in file.parts:
            try:
                yield file.read_text(encoding="utf-8")
            except UnicodeDecodeError:
                continue  # the library's own tests of other encodings


def write_unrepeated(path: Path) -> Path:
    """Write the texts as JSON lines, unless the file is there."""
    if not path.is_file():
        partial = path.with_suffix(".partial")
        with partial.open("w", encoding="utf-8") as stream:
            found = list(dict.fromkeys(text for text in texts() if text.strip()))
            Random(0).shuffle(found)  # a peer that cuts the file into equal runs of rows gets equal work
            for text in found:
                stream.write(json.dumps({"text": text}, ensure_ascii=False) + "\n")
        partial.replace(path)
    return path


def _strings(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        if len(value) >= LEAST_CHARACTERS:
            yield value
    elif isinstance(value, list) and value and all(isinstance(item, str) for item in value):
        yield "\n".join(value)
    elif isinstance(value, (list, dict)):
        for item in value.values() if isinstance(value, dict) else value:
            yield from _strings(item)
