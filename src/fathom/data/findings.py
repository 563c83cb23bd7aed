"""What a check found, for people and for machines."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

Severity = Literal["error", "warning", "note"]
SHOWN = 5
"""Examples told of one finding."""


@dataclass(frozen=True)
class Finding:
    """One kind of thing that was found.

    Attributes:
        kind: Short name, the same in every report: `leak`, `rare-label`, `truncation` ...
        severity: `error` (training on this would be wrong), `warning` (it may be) or `note`.
        message: What was found, with its split.
        count: How many rows or labels.
        examples: The first ones, with their place.
        mend: What to do about it; empty for notes.
    """

    kind: str
    severity: Severity
    message: str
    count: int
    examples: tuple[str, ...] = ()
    mend: str = ""


@dataclass(frozen=True)
class CheckReport:
    """All findings of one check.

    Attributes:
        splits: Per split: `num_examples`, `labels` (counts), lengths; of a corpus, per source: `num_examples` (its
            documents), sizes, `duplicates`, `scripts` (shares).
        findings: Errors first.
        notes: What the readers detected.
    """

    splits: dict[str, dict[str, Any]]
    findings: tuple[Finding, ...]
    notes: tuple[str, ...] = ()

    @property
    def num_errors(self) -> int:
        """Findings that must be mended before training."""
        return sum(finding.severity == "error" for finding in self.findings)

    @property
    def exit_code(self) -> int:
        """2 when there are errors, 0 otherwise."""
        return 2 if self.num_errors else 0

    def to_json(self) -> dict[str, Any]:
        """Return the report as JSON."""
        return {
            "errors": self.num_errors,
            "splits": self.splits,
            "findings": [{**asdict(finding), "examples": list(finding.examples)} for finding in self.findings],
            "notes": list(self.notes),
        }

    def to_text(self) -> str:
        """Return the report as lines for people."""
        lines = [_split_line(name, facts) for name, facts in self.splits.items()]
        lines += [f"  {note}" for note in self.notes]
        for finding in self.findings:
            lines += ["", f"{finding.severity.upper()} {finding.kind}: {finding.message}"]
            lines += [f"  {example}" for example in finding.examples]
            if finding.count > len(finding.examples) and finding.examples:
                lines.append(f"  ... {finding.count} in all")
            if finding.mend:
                lines.append(f"  mend: {finding.mend}")
        counts = {severity: sum(f.severity == severity for f in self.findings) for severity in ("error", "warning")}
        lines += ["", f"errors: {counts['error']}, warnings: {counts['warning']}"]
        return "\n".join(lines)


def order(findings: Sequence[Finding]) -> tuple[Finding, ...]:
    """Sort findings, errors first."""
    ranks = {"error": 0, "warning": 1, "note": 2}
    return tuple(sorted(findings, key=lambda finding: ranks[finding.severity]))


def _split_line(name: str, facts: dict[str, Any]) -> str:
    if "scripts" in facts:
        return _corpus_line(name, facts)
    line = f"{name}: {facts['num_examples']:,} examples"
    if facts.get("labels"):
        most = list(facts["labels"].items())
        shown = ", ".join(f"{label} {count:,}" for label, count in most[:8])
        line += f", {len(most)} labels ({shown}{', ...' if len(most) > 8 else ''})"
    return line + f", {facts['median_characters']:,} characters (median)" if "median_characters" in facts else line


def _corpus_line(name: str, facts: dict[str, Any]) -> str:
    scripts = ", ".join(f"{script} {share:.1%}" for script, share in facts["scripts"].items())
    return (
        f"{name}: {facts['num_examples']:,} documents, {facts['characters']:,} characters "
        f"(median {facts['median_characters']:,}, longest {facts['longest_characters']:,}), {facts['bytes']:,} bytes; "
        f"letters: {scripts or 'none'}"
    )
