"""What a corpus is scored on: text held out of its sources, or files of its own, and whether it is learnt from too."""

from __future__ import annotations

from collections.abc import Mapping

from fathom.data.corpus.repeats import repeated_share
from fathom.data.corpus.store import CorpusStore
from fathom.data.corpus.windows import Spans, all_spans, split_spans
from fathom.data.section import DataSection
from fathom.errors import DataError


def hold_out(section: DataSection, corpora: Mapping[str, CorpusStore]) -> tuple[dict[str, dict[str, Spans]], list[str]]:
    """Split every source where no validation file is given; say where what is held out is learnt from as well.

    Returns:
        The spans of `train` and of `validation` by source, and notes.

    Raises:
        DataError: A source is too small to be split.
    """
    spans: dict[str, dict[str, Spans]] = {"train": {}, "validation": {}}
    for source, store in corpora.items():
        spans["train"][source] = all_spans(store)
        if section.validation is None and section.validation_fraction > 0:
            split = split_spans(all_spans(store), section.validation_fraction, section.split_seed, source)
            spans["train"][source], spans["validation"][source] = split
    learnt = [(corpora[source], spans["train"][source]) for source in corpora]
    notes = []
    for source, held in spans["validation"].items():
        share = repeated_share(learnt, (corpora[source], held))
        if share > section.max_leak_share:
            told = f"{share:.1%} of what is held out of {source} stands in documents that are learnt from too"
            notes.append(f"{told}: the validation loss is too low by what was memorised (filters: exact-duplicates)")
    return spans, notes


def refuse_repeated(section: DataSection, split: str, path: str, share: float) -> list[str]:
    """Refuse a split that repeats the training text; where that is accepted or little, return a note of it.

    Raises:
        DataError: More than `data.max_leak_share` of its tokens stand in documents of the training text.
    """
    if not share:
        return []
    said = f"{share:.1%} of the tokens of {split} stand in documents that are also in train"
    if share > section.max_leak_share and not section.allow_leaks:
        raise DataError(
            said,
            where=path,
            mend="remove them (fathom data check lists them), or accept them: data.allow_leaks=true",
        )
    return [said]
