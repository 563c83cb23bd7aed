"""DPO of a small new decoder on human comparisons: PandaLM's, those with a majority, divided by instruction."""

from __future__ import annotations

import json
import random
from collections import Counter
from pathlib import Path
from statistics import mean
from typing import Any, ClassVar

from benchmarks.peers.job import Job, read_rows, write_rows
from benchmarks.settings import Hyperparameters
from benchmarks.sources import require
from benchmarks.tasks.row import Prepared, Scores, TaskRow, first

VOCABULARY = 4000
POSITIONS = 256
MODEL = {"n_layer": 4, "n_embd": 256, "n_head": 4, "n_positions": POSITIONS}
TEMPLATE = (
    "{% for message in messages %}{% if message['role'] == 'assistant' %}{{ message['content'] + eos_token }}"
    "{% else %}{{ 'User: ' + message['content'] + '\nAssistant: ' }}{% endif %}{% endfor %}"
)
"""Ends with the token that ends a turn, so that both programs count the same tokens."""
SIDES = ("chosen", "rejected")

Row = dict[str, Any]


def read_pairs() -> tuple[list[Row], list[Row]]:
    """Return training and test pairs as conversations; no instruction of the test is trained on."""
    rows = json.loads(require("pandalm_testset/testset-v1.json").read_text(encoding="utf-8"))
    instructions = sorted({row["instruction"] for row in rows})
    random.Random(7).shuffle(instructions)
    kept = set(instructions[: len(instructions) // 4])
    parts: tuple[list[Row], list[Row]] = ([], [])
    for row in rows:
        (better, votes), *_ = Counter(row[f"annotator{number}"] for number in (1, 2, 3)).most_common()
        answers = {number: str(row[f"response{number}"]).strip() for number in (1, 2)}  # one is `true`, no text
        if better == 0 or votes < 2 or not all(answers.values()) or answers[1] == answers[2]:
            continue
        asked = f"{row['instruction']}\n\n{row['input']}" if row["input"] else row["instruction"]
        sides = zip(SIDES, (answers[better], answers[3 - better]), strict=True)
        pair = {side: [{"role": "assistant", "content": text}] for side, text in sides}
        parts[row["instruction"] in kept].append({"prompt": [{"role": "user", "content": asked.strip()}], **pair})
    return parts


def make_model(folder: Path, texts: list[str]) -> None:
    """Save a byte-level tokenizer of the texts and a GPT-2 of random weights."""
    import torch
    from tokenizers import ByteLevelBPETokenizer
    from transformers import GPT2Config, GPT2LMHeadModel, PreTrainedTokenizerFast

    trained = ByteLevelBPETokenizer()
    trained.train_from_iterator(texts, VOCABULARY, special_tokens=["<|endoftext|>"], show_progress=False)
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=trained._tokenizer, eos_token="<|endoftext|>", pad_token="<|endoftext|>",
        model_max_length=POSITIONS,
    )  # fmt: skip
    tokenizer.chat_template = TEMPLATE
    tokenizer.save_pretrained(folder)
    torch.manual_seed(0)
    # without dropout: TRL turns it off, and Fathom is told to
    config = GPT2Config(**MODEL, vocab_size=len(tokenizer), bos_token_id=0, eos_token_id=0)
    GPT2LMHeadModel(config).save_pretrained(folder)


def token_ids(tokenizer: Any, turns: list[list[Row]]) -> list[list[int]]:
    """Return the tokens of conversations."""
    tokenizer.model_max_length = 1 << 20  # a longer one is no reason for a warning
    ids: list[list[int]] = tokenizer.apply_chat_template(turns, return_dict=False)
    return ids


def fitting(base: Path, rows: list[Row]) -> list[Row]:
    """Return the pairs whose answers both fit behind their prompt: each program cuts long ones in a way of its own."""
    from transformers import AutoTokenizer

    texts = [[*row["prompt"], *row[side]] for row in rows for side in SIDES]
    lengths = [len(ids) for ids in token_ids(AutoTokenizer.from_pretrained(base), texts)]
    longest = [max(pair) for pair in zip(lengths[::2], lengths[1::2], strict=True)]
    return [row for row, length in zip(rows, longest, strict=True) if length <= POSITIONS]


def answer_scores(model: Any, tokenizer: Any, rows: list[Row]) -> list[tuple[float, float]]:
    """Return the log-probability of chosen and rejected answer behind the prompt, of each row."""
    import torch

    found = []
    model.eval()
    for row in rows:
        (prompt,) = token_ids(tokenizer, [row["prompt"]])
        both = []
        for ids in token_ids(tokenizer, [[*row["prompt"], *row[side]] for side in SIDES]):
            # the blank at the end of the prompt and the word behind it may be one token
            shared = next((at for at, (one, other) in enumerate(zip(prompt, ids, strict=False)) if one != other), None)
            start = len(prompt) if shared is None else shared
            with torch.inference_mode():
                logits_LV = model(torch.tensor([ids])).logits[0, start - 1 : -1]
            log_probabilities_LV = logits_LV.double().log_softmax(-1)
            both.append(float(log_probabilities_LV.gather(1, torch.tensor(ids[start:])[:, None]).sum()))
        found.append((both[0], both[1]))
    return found


class Preference(TaskRow):
    """DPO; both models are judged by one function that knows neither program."""

    name = "preference"
    data = "pandalm_testset"
    peer = "TRL's DPOTrainer"
    module = "benchmarks.peers.trl_dpo"
    metric = "accuracy"
    hyperparameters = Hyperparameters(learning_rate=5e-4, epochs=2.0, batch_size=8, max_length=POSITIONS)
    options: ClassVar[dict[str, Any]] = {"beta": 0.1}
    answers_name = "model"

    def prepare(self, folder: Path, env: dict[str, str], quick: bool) -> Prepared:
        """Write the pairs that fit, and the model."""
        train, test = read_pairs()
        base = folder / "base"
        make_model(base, [json.dumps(row, ensure_ascii=False) for row in train])
        parts = [first(fitting(base, rows), 24, quick) for rows in (train, test)]
        for split, rows in zip(("train", "test"), parts, strict=True):
            write_rows(folder / f"{split}.jsonl", rows)
        return Prepared(base, *map(len, parts))

    def recipe(self, job: Job) -> dict[str, Any]:
        """The same objective; no dropout, as TRL has it."""
        return {
            "data": {"train": str(job.data / "train.jsonl"), "validation_fraction": 0},
            "task": {"kind": self.name, "objective": "dpo", "beta": job.options["beta"]},
            "training": {"dropout": 0.0},
        }

    def answer(self, job: Job, env: dict[str, str]) -> Path:
        """Return the model: what it answers is judged, not what it says of answers."""
        return job.output / "run" / "model"

    def judge(self, job: Job, answers: Path) -> Scores:
        """Loss, accuracy and margin of the test pairs (Rafailov et al. 2023), in double precision; ties count half."""
        import torch
        from transformers import AutoModelForCausalLM, AutoTokenizer

        torch.set_num_threads(job.threads)
        rows = read_rows(job.data / "test.jsonl")
        tokenizer = AutoTokenizer.from_pretrained(job.base)
        policy, reference = (
            answer_scores(AutoModelForCausalLM.from_pretrained(folder), tokenizer, rows)
            for folder in (answers, job.base)
        )
        margins_N = job.options["beta"] * torch.tensor(
            [(p[0] - r[0]) - (p[1] - r[1]) for p, r in zip(policy, reference, strict=True)], dtype=torch.float64
        )
        return {
            "loss": float(-torch.nn.functional.logsigmoid(margins_N).mean()),
            "accuracy": mean(1.0 if margin > 0 else 0.5 if margin == 0 else 0.0 for margin in margins_N.tolist()),
            "margin": float(margins_N.mean()),
        }
