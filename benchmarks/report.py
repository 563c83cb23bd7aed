"""Render benchmarks/results/*.json into docs/benchmarks.md; the README quotes only from there."""

from __future__ import annotations

from pathlib import Path

from benchmarks.forecast_configurations import STEPS
from benchmarks.peers.arguments import lora_rank, top_blocks
from benchmarks.processor import in_fp32
from benchmarks.report_frozen import render_head, render_trials
from benchmarks.report_language import ROWS as LANGUAGE_ROWS
from benchmarks.report_language import (
    render_corpora,
    render_generation,
    render_pretrained_or_random,
    render_pretraining,
    render_time_to_loss,
)
from benchmarks.report_tasks import render_tasks
from benchmarks.rounds import Figures, read_result
from benchmarks.sources import REPOSITORY
from benchmarks.tables import ratio_rows, span, table

PAGE = REPOSITORY / "docs" / "benchmarks.md"
ROWS = (
    "minilm-wnut17", "minilm-banking77", "bert-base-wnut17", "bert-base-banking77",
    "bert-base-wnut17-tuned", "bert-base-banking77-tuned",
    "minilm-top-2-wnut17", "bert-base-top-3-wnut17", "minilm-lora-wnut17",
)  # fmt: skip
RECORDED = (*ROWS, *map(in_fp32, ROWS))
PEERS = {"default": "Trainer, default", "tuned": "Trainer, tuned", "best": "Trainer, best", "fathom": "Fathom"}
MISSING = "_Not measured yet._"
NOT_WORSE = "not below the peers' by more than chance allows (the spread of the rounds, or one score's standard error)"

HEAD = """# Benchmarks

Written by `python -m benchmarks.report` from `benchmarks/results/`; do not edit. How each figure is measured, and how
to measure it again: [`benchmarks/README.md`](../benchmarks/README.md).

All sides run on the same machine, alternating, each run a fresh process with the same number of threads. Throughput
counts real tokens (padding is not work). Figures are medians of the rounds, lowest and highest in parentheses.
"""


def render_machines() -> str:
    """Return every machine that measured something; of several probes of one, the first."""
    found: dict[str, str] = {}
    for name in (*RECORDED, *LANGUAGE_ROWS):
        result = read_result(name)
        if "machine" in result:
            facts = result["machine"]["facts"]
            found.setdefault(f"{facts['processor']} {facts['flags']}", render_machine(result))
    return "\n\n".join(found.values())


def render_machine(result: Figures) -> str:
    machine, facts = result["machine"], result["machine"]["facts"]
    flops = machine["flops_per_s"]
    packages = ", ".join(f"{name} {version}" for name, version in sorted(result["settings"]["versions"].items()))
    rows = [
        [
            kind,
            *(f"{flops[kind][model]['step_mix'] / 1e9:,.0f}" for model in ("minilm", "bert-base")),
            f"{flops[kind]['peak'] / 1e9:,.0f}",
        ]
        for kind in ("fp32", "bf16")
    ]
    memory = machine["memory"]
    return "\n".join(
        [
            f"{facts['processor']}, {facts['cores']} cores, {facts['memory_bytes'] / 2**30:.0f} GiB, "
            f"{', '.join(facts['flags'])}; {machine['threads']} threads. Python {facts['python']}, {packages}.",
            "",
            table(["GFLOP/s", "products of a MiniLM step", "products of a BERT-base step", "best product"], rows),
            "",
            f"Memory: {memory['read_bytes_per_s'] / 1e9:.1f} GB/s read, {memory['copy_bytes_per_s'] / 1e9:.1f} GB/s "
            "copied (read and written).",
        ]
    )


def learned(settings: Figures) -> str:
    """Return in words what learns in a row."""
    tuning = settings.get("tuning", "full")
    top, rank = top_blocks(tuning), lora_rank(tuning)
    if top is not None:
        return f"The top {top} blocks and the head learn (Fathom computes the rest once in every run)"
    return "Full fine-tuning" if rank is None else f"LoRA of rank {rank} on every projection, and the head"


def render_row(name: str, result: Figures) -> str:
    summary, settings = result["summary"], result["settings"]
    chosen = settings["hyperparameters"]
    length = f"{settings['max_steps']} steps" if settings["max_steps"] > 0 else f"{chosen['epochs']:g} epochs"
    rows = []
    for peer, title in ((peer, PEERS[peer]) for peer in PEERS if peer in summary["real_tokens_per_s"]):
        share = summary["share_of_limit"].get(peer)
        speed, memory = summary["real_tokens_per_s"][peer], summary["peak_memory_bytes"][peer]
        score = summary["scores"]["means"][peer] if summary["scores"] else None
        rows.append(
            [
                title,
                span(speed, 0),
                "-" if share is None else f"{share['share_of_step_mix']:.0%} {share['precision_of_limit']}",
                span(memory, 0, 1 / 2**20),
                span(summary["seconds_to_first_step"][peer], 1),
                "-" if score is None else f"{score:.4f}",
            ]
        )
    titles = ["", "real tokens/s", "share of GEMM limit", "peak MiB", "first step after, s", "dev score"]
    lines = [
        f"### {name}",
        "",
        f"{learned(settings)}, batch {chosen['batch_size']}, {length}, learning rate {chosen['learning_rate']:g}, "
        f"weight decay {chosen['weight_decay']:g}, warmup {chosen['warmup_ratio']:g}, linear; "
        f"{len(result['rounds'])} rounds of revision {', '.join(summary['revisions'])} on "
        f"{result['machine']['facts']['processor']}.",
        "",
        table(titles, rows),
        "",
        table(["ratio", "median (range)", "needed", "aim", ""], list(ratio_rows(summary))),
    ]
    if summary["scores"]:
        fair = all(check["not_worse"] for check in summary["scores"]["against"].values())
        metric = summary["scores"]["metric"]
        lines += ["", f"Dev {metric} is {NOT_WORSE if fair else '**worse: no claim of speed**'}."]
    return "\n".join(lines)


def render_startup(result: Figures) -> str:
    rows = [
        [
            data,
            span(found["second_run"]["default"]),
            span(found["second_run"]["fathom"]),
            span(found["default_over_fathom"]),
            found["verdict"],
        ]
        for data, found in result["first_step"].items()
    ]
    return "\n".join(
        [
            f"`fathom --help`: {span(result['help_seconds'], 3)} s (needed 0.25: {result['verdict_help']}).",
            "",
            "From process start to the end of the first optimizer step, second run, seconds:",
            "",
            table(["", "Trainer script", "Fathom", "times sooner", "needed 2"], rows),
            *imports_alone(result),
        ]
    )


def imports_alone(result: Figures) -> list[str]:
    """Say what part of it is the libraries, where that was measured."""
    if "import_seconds" not in result:
        return []
    told = span(result["import_seconds"])
    return ["", f"Importing torch and transformers' BERT, and nothing else, took {told} s: no run can begin sooner."]


def render_quality(result: Figures) -> str:
    rows = []
    for data, entry in result["data"].items():
        summary = entry["summary"]
        cells = []
        for peer in PEERS:
            found = summary["peers"].get(peer)
            cells.append(
                f"{found['mean']:.4f} ± {found['standard_deviation']:.4f} ({found['seeds']})" if found else "-"
            )
        checks = [check["not_worse"] for check in summary.get("against", {}).values()]
        verdict = "-" if not checks else "not worse" if all(checks) else "worse"
        floor = "-" if summary["floor"] is None else f"{summary['floor']:.3f}"
        if summary.get("beats_floor") is not None:
            floor += " beaten" if summary["beats_floor"] else " **not beaten**"
        rows.append([data, summary["metric"], *cells, verdict, floor, summary["reference"] or "-"])
    return table(["data", "score", *PEERS.values(), "Fathom is", "floor", "published"], rows)


def render_forecast(result: Figures) -> str:
    rows = []
    for _, run in sorted(result["runs"].items()):
        if "refused" in run:
            continue
        drawn = run["configuration"]
        model = drawn["model"] + (f" {drawn['depth']} x {drawn['width']}" if drawn["depth"] else "")
        options = [drawn["precision"], *(["checkpointing"] if drawn["checkpointing"] else [])]
        options += [f"passes of {drawn['micro_batch_tokens']}"] if drawn["micro_batch_tokens"] else []
        options += ["cached"] if drawn["frozen_cache"] != "auto" else []
        rows.append(
            [
                f"{drawn['task']}, {drawn['data']}",
                model,
                drawn["tuning"],
                drawn["optimizer"],
                f"{drawn['batch_size']} x {drawn['max_length']}",
                ", ".join(options),
                f"{run['forecast']['peak_memory_bytes'] / 2**20:,.0f}",
                f"{run['measured']['peak_memory_bytes'] / 2**20:,.0f}",
                f"{run['memory_error']:+.1%}",
                f"{run['measured']['step_seconds']:.3f}",
                f"{run['time_error']:+.1%}",
            ]
        )
    summary = result["summary"]
    titles = [
        "task, data",
        "model",
        "tuning",
        "optimizer",
        "batch",
        "options",
        "forecast MiB",
        "measured MiB",
        "error",
        "s a step",
        "error",
    ]
    counts = "exact" if summary["parameters_exact"] else "**wrong**"
    calibration = sum("refused" not in run for run in result["calibration"]["runs"].values())
    return (
        f"Peak memory over {summary['configurations']} configurations drawn at random (seed {result['seed']}), none of "
        f"them used for any constant, each a fresh process of {STEPS} steps: median error "
        f"{summary['median_error']:.1%}, worst {summary['worst_error']:.1%}, at most {summary['worst_under']:.1%} "
        f"under what was measured (needed 5%, 12%, 3%: {summary['verdict']}). Seconds of a step, after {calibration} "
        f"runs of another seed had calibrated the machine: median error {summary['time_median_error']:.1%}, worst "
        f"{summary['time_worst_error']:.1%} (needed a median of 10%: {summary['time_verdict']}). The count of "
        f"trainable parameters is {counts} in all.\n\n"
        f"{table(titles, rows)}"
    )


def render() -> str:
    measured = {name: result for name in RECORDED if (result := read_result(name)) and "summary" in result}
    parts = [HEAD, "## The machines\n"]
    parts.append(render_machines() or MISSING)
    parts.append("\n## Training speed and memory\n")
    parts.append("\n\n".join(render_row(name, result) for name, result in measured.items()) or MISSING)
    sections = (
        ("Start-up", "startup", render_startup),
        ("Quality", "quality", render_quality),
        ("Forecasts", "forecasts", render_forecast),
    )
    for title, name, renderer in sections:
        result = read_result(name)
        parts.append(f"\n## {title}\n")
        parts.append(renderer(result) if result else MISSING)
    parts += ["\n## Frozen blocks and trials\n", "\n\n".join(filter(None, (render_head(), render_trials()))) or MISSING]
    parts += ["\n## Tasks\n", render_tasks() or MISSING]
    parts += ["\n## Pretraining\n", render_pretraining() or MISSING]
    parts += ["\n## Time to a loss\n", render_time_to_loss() or MISSING]
    parts += ["\n## Generation\n", render_generation() or MISSING]
    parts += ["\n## Corpora\n", render_corpora() or MISSING]
    parts += ["\n## Does pretraining help?\n", render_pretrained_or_random() or MISSING]
    return "\n".join(parts) + "\n"


def main(page: Path = PAGE) -> None:
    page.parent.mkdir(parents=True, exist_ok=True)
    page.write_text(render(), encoding="utf-8")
    print(f"wrote {page.relative_to(REPOSITORY)}")


if __name__ == "__main__":
    main()
