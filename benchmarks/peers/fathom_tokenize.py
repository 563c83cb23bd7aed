"""Text to Fathom's corpus store and its windows, from the raw file to the verified store."""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import time
from pathlib import Path


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--corpus", type=Path, required=True)
    parser.add_argument("--tokenizer", type=Path, required=True)
    parser.add_argument("--block-size", type=int, default=1024)
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--cache", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    arguments = parser.parse_args()
    os.environ["FATHOM_CACHE"] = str(arguments.cache)

    import numpy as np

    from fathom.data.corpus.build import CorpusRequest, open_or_build_corpus
    from fathom.data.corpus.encoding import FastEncoder
    from fathom.data.corpus.windows import CorpusWindows, all_spans, cut_windows
    from fathom.data.section import DataSection

    tokenizer = (arguments.tokenizer / "tokenizer.json").read_text(encoding="utf-8")
    source = str(arguments.corpus)
    began = time.perf_counter()
    digest = hashlib.sha256(tokenizer.encode()).hexdigest()
    size = len(json.loads(tokenizer)["model"]["vocab"])
    request = CorpusRequest((source,), DataSection(train=source), digest, size)
    store = open_or_build_corpus(request, FastEncoder(tokenizer), arguments.processes)
    windows = CorpusWindows(store, cut_windows(all_spans(store), arguments.block_size))
    ended = time.perf_counter()

    hasher = hashlib.sha256()
    for index in range(store.num_documents):
        hasher.update(store.document(index).astype(np.uint32).tobytes())
    figures = {
        "seconds": ended - began,
        "tokens": store.num_tokens,
        "tokens_in_blocks": windows.num_tokens,
        "ids_sha256": hasher.hexdigest(),
    }
    arguments.out.write_text(json.dumps(figures), encoding="utf-8")


if __name__ == "__main__":
    main()
