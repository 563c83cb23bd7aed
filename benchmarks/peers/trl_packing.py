"""TRL's best-fit-decreasing packing of given lengths: its algorithm alone, and `pack_dataset` as a user calls it."""

from __future__ import annotations

import argparse
import json
import sys
import time
from importlib import metadata
from pathlib import Path


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--lengths", type=Path, required=True, help="int64 numbers")
    parser.add_argument("--capacity", type=int, default=2048)
    parser.add_argument("--trl", type=Path, help="folder with TRL, where it is not installed in this environment")
    parser.add_argument("--out", type=Path, required=True)
    arguments = parser.parse_args()
    if arguments.trl:
        sys.path.append(str(arguments.trl))

    import numpy as np
    import pyarrow as pa
    from datasets import Dataset, disable_caching, disable_progress_bars
    from trl import pack_dataset
    from trl.data_utils import _pack_bfd

    disable_caching()
    disable_progress_bars()
    lengths = np.fromfile(arguments.lengths, dtype=np.int64)
    offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int32)
    # Tokens of the null type take no memory, so that only the packing is timed and not the moving of tokens.
    empty = pa.table({"input_ids": pa.ListArray.from_arrays(pa.array(offsets), pa.nulls(int(offsets[-1])))})
    began = time.perf_counter()
    packed = _pack_bfd(empty, arguments.capacity, "split")
    seconds = time.perf_counter() - began

    ids = pa.ListArray.from_arrays(pa.array(offsets), pa.array(np.zeros(int(offsets[-1]), np.uint8)))
    dataset = Dataset(pa.table({"input_ids": ids}))
    began = time.perf_counter()
    pack_dataset(
        dataset, arguments.capacity, "bfd_split", map_kwargs={"batch_size": len(dataset), "keep_in_memory": True}
    )
    figures = {
        "seconds": seconds,
        "pack_dataset_seconds": time.perf_counter() - began,
        "windows": len(packed),
        "tokens": int(lengths.sum()),
        "trl": metadata.version("trl"),
    }
    arguments.out.write_text(json.dumps(figures), encoding="utf-8")


if __name__ == "__main__":
    main()
