"""The command line that both sides of a comparison take."""

from __future__ import annotations

import argparse
from pathlib import Path

from benchmarks.settings import THREADS


def top_blocks(tuning: str) -> int | None:
    """Return how many top blocks learn, where a tuning says so."""
    return int(tuning.removeprefix("top-")) if tuning.startswith("top-") else None


def lora_rank(tuning: str) -> int | None:
    """Return the rank of the low-rank updates, where a tuning has such."""
    return int(tuning.removeprefix("lora-")) if tuning.startswith("lora-") else None


def shared_arguments(description: str | None) -> argparse.ArgumentParser:
    """Return a parser of what a run is told, whoever trains; each side adds its own."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--data", required=True)
    parser.add_argument("--model", default="minilm")
    parser.add_argument("--epochs", type=float, default=3.0)
    parser.add_argument("--batch-size", type=int, default=32)
    parser.add_argument("--lr", type=float, required=True)
    parser.add_argument("--weight-decay", type=float, default=0.01)
    parser.add_argument("--warmup-ratio", type=float, default=0.1)
    parser.add_argument("--max-length", type=int, default=512)
    parser.add_argument("--max-steps", type=int, default=-1)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--threads", type=int, default=THREADS)
    parser.add_argument("--tuning", default="full", help="full, top-N (N top blocks and the head learn) or lora-R")
    parser.add_argument("--no-score", action="store_true")
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    return parser
