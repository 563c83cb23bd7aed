"""The part of docs/benchmarks.md on language models: pretraining, corpora, packing, scaling, generation."""

from __future__ import annotations

from collections.abc import Iterator
from statistics import mean

from benchmarks.rounds import Figures, read_result, summarize
from benchmarks.tables import ratio_rows, span, table

ROWS = ("gpt-10m-causal", "bert-12x256-masked", "bert-100k-memory")
TITLES = {"default": "Trainer, default", "tuned": "Trainer, tuned (bf16)", "fathom": "Fathom"}


def render_pretraining() -> str:
    """Return the rows of `compare_pretraining` that have been measured; empty where there are none."""
    return "\n\n".join(_row(name, result) for name in ROWS if "summary" in (result := read_result(name)))


def _row(name: str, result: Figures) -> str:
    summary, settings = result["summary"], result["settings"]
    rows = [
        [
            title,
            span(summary["real_tokens_per_s"][peer], 0),
            f"{summary['share_of_best_product'][peer]:.0%} {'fp32' if peer == 'default' else 'bf16'}",
            span(summary["peak_memory_bytes"][peer], 0, 1 / 2**20),
            span(summarize([turn["peers"][peer]["validation_loss"] for turn in result["rounds"]]), 3),
        ]
        for peer, title in TITLES.items()
    ]
    revisions = ", ".join(dict.fromkeys(turn["revision"] for turn in result["rounds"]))
    return "\n".join(
        [
            f"### {name}",
            "",
            f"{settings['objective']} from the same random weights, {settings['batch_size']} windows of "
            f"{settings['window']} tokens, {settings['steps']} steps, learning rate {settings['learning_rate']:g}; "
            f"{len(result['rounds'])} rounds of revision {revisions} on {result['machine']['facts']['processor']}.",
            "",
            table(["", "real tokens/s", "share of best product", "peak MiB", "validation loss after"], rows),
            "",
            table(["ratio", "median (range)", "needed", "aim", ""], list(ratio_rows(summary))),
            "",
            "So few steps tell the speed, and by the loss that all sides learn alike; no more than that.",
        ]
    )


def render_corpora() -> str:
    """Return what has been measured of tokenizing, packing, memory and scaling."""
    rows = list(_corpus_rows())
    return table(["work", "measured", "needed", ""], rows) if rows else ""


def _corpus_rows() -> Iterator[list[str]]:
    for kind in ("bpe", "wordpiece"):
        summary = read_result(f"tokenize-corpus-{kind}").get("summary")
        if summary:
            same = "identical ids" if summary["same_ids"] else "**different ids**"
            yield [
                f"text to packed tokens, {kind}, times `datasets.map` and `group_texts`",
                f"{span(summary['speed_over_datasets'])}, {same}",
                f"{summary['bar']:g}",
                summary["verdict"],
            ]
    summary = read_result("pack-windows").get("summary")
    if summary:
        windows = summary["windows_over_trl"]["median"]
        yield [
            "1,000,000 lengths into windows of 2,048, times TRL's best fit",
            f"{span(summary['speed_over_trl'], 0)}, {windows:.5f} of its windows",
            f"{summary['bar']:g}",
            summary["verdict"],
        ]
    result = read_result("corpus-memory")
    if result:
        phases = result["summary"]["phases"]
        grown = ", ".join(f"{phase} {facts['growth']:.3f}" for phase, facts in phases.items() if "growth" in facts)
        yield [
            f"resident memory late over early, {result['settings']['corpus_bytes'] / 1e9:.1f} GB of text",
            grown,
            f"{result['summary']['bar']:g}",
            result["summary"]["verdict"],
        ]
    result = read_result("scaling")
    for name in ("depth", "tokens") if result else ():
        fit = result[name]["fit"]
        verdict = "reached" if fit["r2"] >= result["needed_r2"] else "missed"
        yield [f"step time is linear in {name}, R2", f"{fit['r2']:.5f}", f"{result['needed_r2']:g}", verdict]


def render_pretrained_or_random() -> str:
    """Return the table of fine-tuning from pretrained and from random weights."""
    result = read_result("pretrained_or_random")
    if not result:
        return ""
    rows = []
    for name, case in result["cases"].items():
        before = case["pretraining"]
        cells = [
            f"{mean(case[start]['accuracy']['values']):.4f} ± {case[start]['accuracy']['deviation']:.4f}"
            for start in ("random", "pretrained")
        ]
        rows.append(
            [
                name,
                f"{before['parameters'] / 1e6:.1f} M",
                f"{before['steps']:,}",
                f"{before['loss_before']:.2f} → {before['loss_after']:.2f}",
                *cells,
            ]
        )
    titles = ["", "parameters", "steps of pretraining", "its loss", "from random weights", "from pretrained weights"]
    return (
        f"Test accuracy on the intents of the helpdesk (both languages), {len(result['seeds'])} seeds, mean and "
        "standard deviation, the same fine-tuning for both; one pretraining each.\n\n" + table(titles, rows)
    )
