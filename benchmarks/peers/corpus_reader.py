"""Tokenize a large text file into a corpus store, then read its windows in shuffled order, watching the memory."""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import threading
import time
from pathlib import Path
from typing import Any

import psutil

INTERVAL_SECONDS = 0.5


class Watch:
    """Samples the resident memory of this process and its children."""

    def __init__(self) -> None:
        self.samples: list[dict[str, Any]] = []
        self.phase = "start"
        self._began = time.perf_counter()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def stop(self) -> None:
        self._stop.set()
        self._thread.join()

    def _run(self) -> None:
        process = psutil.Process()
        while not self._stop.wait(INTERVAL_SECONDS):
            own = process.memory_info().rss
            children = 0
            for child in process.children(recursive=True):
                try:
                    children += child.memory_info().rss
                except psutil.Error:  # it has just ended
                    continue
            seconds = round(time.perf_counter() - self._began, 2)
            self.samples.append({"seconds": seconds, "phase": self.phase, "own": own, "children": children})


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--corpus", type=Path, required=True)
    parser.add_argument("--tokenizer", type=Path, required=True)
    parser.add_argument("--window", type=int, default=1024)
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--cache", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    arguments = parser.parse_args()
    os.environ["FATHOM_CACHE"] = str(arguments.cache)

    from fathom.data.corpus.build import CorpusRequest, open_or_build_corpus
    from fathom.data.corpus.encoding import FastEncoder
    from fathom.data.corpus.windows import CorpusWindows, all_spans, cut_windows
    from fathom.data.sampler import Sampler
    from fathom.data.section import DataSection

    watch = Watch()
    tokenizer = (arguments.tokenizer / "tokenizer.json").read_text(encoding="utf-8")
    source = str(arguments.corpus)
    size = len(json.loads(tokenizer)["model"]["vocab"])
    request = CorpusRequest((source,), DataSection(train=source), hashlib.sha256(tokenizer.encode()).hexdigest(), size)
    watch.phase = "tokenize"
    store = open_or_build_corpus(request, FastEncoder(tokenizer), arguments.processes)
    windows = CorpusWindows(store, cut_windows(all_spans(store), arguments.window))
    watch.phase = "read"
    sampler = Sampler(len(windows), 16, seed=1)
    tokens = 0
    for step in range(sampler.steps_per_epoch):
        for index in sampler.batch(step):
            tokens += len(windows[int(index)]["input_ids"])
    watch.stop()
    figures = {"samples": watch.samples, "tokens": tokens, "windows": len(windows)}
    arguments.out.write_text(json.dumps(figures), encoding="utf-8")


if __name__ == "__main__":
    main()
