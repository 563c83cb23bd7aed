"""Fathom's packing of documents of given lengths into windows."""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--lengths", type=Path, required=True, help="int64 numbers")
    parser.add_argument("--capacity", type=int, default=2048)
    parser.add_argument("--out", type=Path, required=True)
    arguments = parser.parse_args()

    import numpy as np

    from fathom.data.corpus.windows import Spans, pack_windows

    lengths = np.fromfile(arguments.lengths, dtype=np.int64)
    spans = Spans(np.arange(len(lengths)), np.zeros(len(lengths), np.int64), lengths)
    began = time.perf_counter()
    plan = pack_windows(spans, arguments.capacity)
    seconds = time.perf_counter() - began
    if plan.num_tokens != lengths.sum() or plan.lengths.max() > arguments.capacity:
        raise SystemExit("the plan is wrong: tokens are lost or a window is too long")
    figures = {"seconds": seconds, "windows": len(plan), "tokens": plan.num_tokens}
    arguments.out.write_text(json.dumps(figures), encoding="utf-8")


if __name__ == "__main__":
    main()
