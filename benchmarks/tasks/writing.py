"""What an encoder-decoder of random weights writes: translations of tatoeba, summaries of SciTLDR's abstracts."""

from __future__ import annotations

import json
import random
from abc import abstractmethod
from pathlib import Path
from statistics import mean
from typing import Any, ClassVar

from benchmarks.peers.job import Job, read_rows, write_rows
from benchmarks.rounds import fathom_command, run_process
from benchmarks.settings import Hyperparameters
from benchmarks.sources import require
from benchmarks.tasks.row import Prepared, Scores, TaskRow, first

SIZES = {"d_model": 256, "d_kv": 64, "d_ff": 1024, "num_layers": 3, "num_decoder_layers": 3, "num_heads": 4}
VOCABULARY, QUICK_VOCABULARY = 8000, 1200
HELD_OUT = 1000
"""English sentences of tatoeba."""

Pair = tuple[str, list[str]]
"""A source and its targets."""


def make_t5(folder: Path, texts: list[str], vocabulary: int, env: dict[str, str]) -> Path:
    """Train a tokenizer on texts and draw the weights of a T5; returns the folder of both."""
    import torch
    import transformers

    source, tokenizer, base = folder / "text.txt", folder / "tokenizer", folder / "base"
    source.write_text("\n".join(texts), encoding="utf-8")
    run_process(
        [
            *fathom_command(), "tokenizer", "train", str(source), "--output", str(tokenizer),
            "--algorithm", "unigram", "--style", "t5", "--vocab-size", str(vocabulary), "--replace",
        ],
        env,
    )  # fmt: skip
    loaded = transformers.AutoTokenizer.from_pretrained(tokenizer)
    torch.manual_seed(7)
    config = transformers.T5Config(
        vocab_size=len(loaded), pad_token_id=loaded.pad_token_id, eos_token_id=loaded.eos_token_id,
        decoder_start_token_id=loaded.pad_token_id, **SIZES,
    )  # fmt: skip
    transformers.T5ForConditionalGeneration(config).save_pretrained(base)
    loaded.save_pretrained(base)
    return base


class Writing(TaskRow):
    """A source and a target, from a T5 that begins with random weights: only the comparison counts."""

    module = "benchmarks.peers.hf_seq2seq"
    quick_rows: ClassVar[int] = 64

    @abstractmethod
    def read(self) -> dict[str, list[Pair]]:
        """Return train and test."""

    def prepare(self, folder: Path, env: dict[str, str], quick: bool) -> Prepared:
        """Write pairs, the references of the test split, and the model."""
        few = {"train": self.quick_rows, "test": 16}
        splits = {split: first(pairs, few[split], quick) for split, pairs in self.read().items()}
        for split, pairs in splits.items():
            rows = [{"source": source, "target": targets[0]} for source, targets in pairs]
            write_rows(folder / f"{split}.jsonl", rows)
        references = [targets for _, targets in splits["test"]]
        (folder / "references.json").write_text(json.dumps(references), encoding="utf-8")
        texts = [text for source, targets in splits["train"] for text in (source, targets[0])]
        base = make_t5(folder, texts, QUICK_VOCABULARY if quick else VOCABULARY, env)
        return Prepared(base, len(splits["train"]), len(splits["test"]))

    def recipe(self, job: Job) -> dict[str, Any]:
        """The test split is written greedily at the end, as the peer writes it."""
        return {
            "data": {
                "train": str(job.data / "train.jsonl"),
                "test": str(job.data / "test.jsonl"),
                "validation_fraction": 0,
                "allow_leaks": True,
            },
            "task": {"kind": self.name, "max_target_length": job.options["max_target_length"]},
        }

    def answer(self, job: Job, env: dict[str, str]) -> Path:
        """Return what the run wrote of the test split."""
        return job.output / "run" / "written-test.jsonl"

    def written(self, job: Job, answers: Path) -> tuple[list[str], list[list[str]]]:
        """Return the texts and their references."""
        references: list[list[str]] = json.loads((job.data / "references.json").read_text(encoding="utf-8"))
        texts = [row["text"] for row in read_rows(answers)]
        if len(texts) != len(references):
            raise SystemExit(f"{answers} has {len(texts)} texts for {len(references)} sources")
        return texts, references


class Translation(Writing):
    """English to Chinese."""

    name = "translation"
    data = "tatoeba_cmn_eng"
    peer = "Seq2SeqTrainer, as run_translation.py"
    metric = "bleu"
    scale = 100.0
    hyperparameters = Hyperparameters(learning_rate=1e-3, epochs=10.0, batch_size=64, weight_decay=0.0, max_length=64)
    options: ClassVar[dict[str, Any]] = {"max_target_length": 64}
    quick_rows = 256  # sentences are short, and a vocabulary needs some text

    def read(self) -> dict[str, list[Pair]]:
        """Every English sentence with all of its translations is on one side."""
        groups: dict[str, list[str]] = {}
        for line in require("tatoeba_cmn_eng/cmn.txt").read_text(encoding="utf-8").splitlines():
            english, _, chinese = line.partition("\t")
            groups.setdefault(english, []).append(chinese)
        ordered = list(groups.items())
        random.Random(7).shuffle(ordered)
        held, learned = ordered[:HELD_OUT], ordered[HELD_OUT:]
        train = [(english, [chinese]) for english, several in learned for chinese in several]
        return {"train": train, "test": [(english, several[:1]) for english, several in held]}

    def judge(self, job: Job, answers: Path) -> Scores:
        """SacreBLEU with the Chinese tokenization, 0 to 100."""
        import sacrebleu

        texts, references = self.written(job, answers)
        found = sacrebleu.BLEU(tokenize="zh").corpus_score(texts, [[one[0] for one in references]])
        return {"bleu": round(float(found.score), 3)}


class Summarization(Writing):
    """A sentence that sums an abstract up."""

    name = "summarization"
    data = "scitldr"
    peer = "Seq2SeqTrainer, as run_summarization.py"
    metric = "rouge_l"
    hyperparameters = Hyperparameters(learning_rate=1e-3, epochs=10.0, batch_size=16, weight_decay=0.0, max_length=256)
    options: ClassVar[dict[str, Any]] = {"max_target_length": 64}

    def read(self) -> dict[str, list[Pair]]:
        """The published train split; its dev split is the test."""
        return {
            split: [
                (" ".join(row["source"]), row["target"])
                for row in read_rows(require(f"scitldr/SciTLDR-A/{file}.jsonl"))
            ]
            for split, file in (("train", "train"), ("test", "dev"))
        }

    def judge(self, job: Job, answers: Path) -> Scores:
        """ROUGE of the package rouge-score, stemmed; of several references the best."""
        from rouge_score.rouge_scorer import RougeScorer

        keys = {"rouge1": "rouge1", "rouge2": "rouge2", "rougeL": "rouge_l"}
        scorer = RougeScorer(list(keys), use_stemmer=True)
        texts, references = self.written(job, answers)
        found = [scorer.score_multi(wanted, text) for text, wanted in zip(texts, references, strict=True)]
        return {own: mean(one[key].fmeasure for one in found) for key, own in keys.items()}
