"""The part of docs/benchmarks.md on language models: pretraining, corpora, packing, scaling, generation."""

from __future__ import annotations

from collections.abc import Iterator
from statistics import mean

from benchmarks.processor import in_fp32
from benchmarks.rounds import Figures, read_result, summarize
from benchmarks.tables import ratio_rows, span, table

ROWS = ("gpt-10m-causal", "bert-12x256-masked", "bert-100k-memory")
TITLES = {"default": "Trainer, default", "tuned": "Trainer, tuned (bf16)", "fathom": "Fathom"}


def render_pretraining() -> str:
    """Return the rows of `compare_pretraining` that have been measured; empty where there are none."""
    names = [recorded for name in ROWS for recorded in (name, in_fp32(name))]
    return "\n\n".join(_row(name, result) for name in names if "summary" in (result := read_result(name)))


def _row(name: str, result: Figures) -> str:
    summary, settings = result["summary"], result["settings"]
    low = "fp32" if name.endswith(in_fp32("")) else "bf16"
    rows = [
        [
            title.replace("bf16", low),
            span(summary["real_tokens_per_s"][peer], 0),
            f"{summary['share_of_best_product'][peer]:.0%} {'fp32' if peer == 'default' else low}",
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
        yield [
            f"step time is linear in {name} ([plot](figures/scaling.svg)), R2",
            f"{fit['r2']:.5f}",
            f"{result['needed_r2']:g}",
            verdict,
        ]
    for family, facts in read_result("not-taken").get("families", {}).items():
        yield [
            f"steps of {family} with compiled blocks ({facts['seconds_to_compile']:.0f} s to compile), times as fast",
            span(facts["compiled_over_plain"]),
            "",
            f"not taken; nor are batches made ahead, which could save {facts['batch_share']:.1%} of a step",
        ]


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


def render_time_to_loss() -> str:
    """Return what has been measured of the time to the same loss; empty where nothing has."""
    return "\n\n".join(
        _time_to_loss(result)
        for name in ("time-to-loss", in_fp32("time-to-loss"))
        if "summary" in (result := read_result(name))
    )


def _time_to_loss(result: Figures) -> str:
    summary, settings = result["summary"], result["settings"]
    loop, own = settings["loop"], settings["fathom"]
    ratio = summary["ratios"]["sooner_than_loop"]
    losses = {peer: summarize(values) for peer, values in summary["validation_loss"].items()}
    rows = [
        [
            title,
            f"{steps} steps of {batch} windows",
            span(summary["seconds"][peer], 0),
            span(losses[peer], 3),
        ]
        for peer, title, steps, batch in (
            ("loop", "plain PyTorch loop, fp32, AdamW", loop["steps"], loop["batch_size"]),
            ("fathom", f"Fathom, {own['optimizer']}", own["max_steps"], own["batch_size"]),
        )
    ]
    return (
        f"{settings['row']}, {ratio['rounds']} rounds, each with a seed of its own, on "
        f"{result['machine']['facts']['processor']}: Fathom is there {span(ratio)} times as soon (needed "
        f"{summary['bar']['needed']:g}: {summary['verdict']}).\n\n"
        + table(["", "work", "seconds of training", "validation loss"], rows)
    )


def render_generation() -> str:
    """Return what has been measured of generation; empty where nothing has."""
    result = read_result("generate")
    if not result:
        return ""
    rows = [
        [
            name,
            span(row["tokens_per_s"]["transformers"], 0),
            span(row["tokens_per_s"]["fathom"], 0),
            span(row["ratio"]),
            f"{row['share_of_equal_tokens']:.1%}",
        ]
        for name, row in result["rows"].items()
    ]
    settings = result["settings"]
    return (
        f"Greedy, {settings['new_tokens']} new tokens, small models of random weights (8 blocks of width 512), "
        f"{settings['rounds']} rounds on {result['machine']['facts']['processor']}; no bar is set.\n\n"
        + table(["", "`model.generate`, tokens/s", "Fathom, tokens/s", "ratio", "equal tokens"], rows)
    )
