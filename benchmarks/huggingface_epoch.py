"""Trains an epoch with Hugging Face's `Seq2SeqTrainer`, for `train_epoch`."""

import argparse
import inspect
import json
import pathlib
import tempfile
import time
from collections.abc import Mapping
from typing import Any

import torch
import transformers

from benchmarks import adam, record

transformers.logging.set_verbosity_error()

_IGNORED = -100  # label at positions without a target token


def train(
    options: argparse.Namespace, prepared: Mapping[str, Any], *, grouped: bool
) -> dict[str, float]:
    """Trains and evaluates.

    Args:
      options: those of the benchmark.
      prepared: what `train_epoch.prepare` noted.
      grouped: draw batches from groups of similar length.

    Returns:
      Seconds of training alone, the loss after the epoch, and the share of padding.
    """
    torch.set_num_threads(record.cores())
    folder = pathlib.Path(options.folder)
    special = prepared["ids"]
    model = transformers.EncoderDecoderModel.from_pretrained(folder / "model")
    # Version 5 loads two tables with equal values; we have one if they are shared.
    if prepared["has_one_table"]:
        model.encoder.embeddings.word_embeddings = (
            model.decoder.bert.embeddings.word_embeddings
        )
    for name, value in special.items():
        setattr(model.config, name, value)
        setattr(model.generation_config, name, value)
    collator = Collator(special["pad_token_id"])
    optimizer = torch.optim.Adam(
        model.parameters(), lr=adam.RATE, eps=adam.EPSILON, fused=True
    )
    with tempfile.TemporaryDirectory() as output:
        tuner = transformers.Seq2SeqTrainer(
            model=model,
            args=_arguments(options, output, grouped=grouped),
            data_collator=collator,
            train_dataset=_rows(folder / "train.json"),
            eval_dataset=_rows(folder / "validation.json"),
            optimizers=(
                optimizer,
                torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: 1.0),
            ),
        )
        started_s = time.perf_counter()
        tuner.train()
        train_s = time.perf_counter() - started_s
        padding = 1 - collator.real / collator.computed
        metrics = tuner.evaluate(
            max_new_tokens=options.new_tokens, num_beams=options.beams
        )
    return {"train_s": train_s, "loss": metrics["eval_loss"], "padding": padding}


class Collator:
    """Pads rows to the longest of their batch, and counts tokens.

    Attributes:
      real: tokens of sources and targets so far.
      computed: the same with padding.
    """

    def __init__(self, pad: int):
        self._pad = pad
        self.real = self.computed = 0

    def __call__(self, rows: list[dict[str, list[int]]]) -> dict[str, torch.Tensor]:
        """Returns the arrays that the model takes; it shifts the labels itself."""
        sources = self._padded([row["input_ids"] for row in rows], self._pad)
        labels = self._padded([row["labels"] for row in rows], _IGNORED)
        lengths = torch.tensor([[len(row["input_ids"])] for row in rows])
        mask = (torch.arange(sources.shape[1])[None] < lengths).long()
        return {"input_ids": sources, "attention_mask": mask, "labels": labels}

    def _padded(self, rows: list[list[int]], value: int) -> torch.Tensor:
        longest = max(map(len, rows))
        self.real += sum(map(len, rows))
        self.computed += len(rows) * longest
        return torch.tensor([row + [value] * (longest - len(row)) for row in rows])


def _arguments(
    options: argparse.Namespace, output: str, *, grouped: bool
) -> transformers.Seq2SeqTrainingArguments:
    known = inspect.signature(transformers.Seq2SeqTrainingArguments).parameters
    fields: dict[str, Any] = {
        "output_dir": output,
        "num_train_epochs": 1,
        "per_device_train_batch_size": options.batch,
        "per_device_eval_batch_size": options.batch,
        "predict_with_generate": True,
        "max_grad_norm": 0.0,
        "logging_steps": 50,
        "label_names": ["labels"],
        "save_strategy": "no",  # it refuses to save a table that two stacks share
        "report_to": "none",
        "use_cpu": True,
        "remove_unused_columns": False,
        "disable_tqdm": True,
    }
    if grouped and "train_sampling_strategy" in known:
        fields["train_sampling_strategy"] = "group_by_length"
    elif grouped:
        fields["group_by_length"] = True
    return transformers.Seq2SeqTrainingArguments(**fields)


def _rows(path: pathlib.Path) -> list[dict[str, list[int]]]:
    return json.loads(path.read_text(encoding="utf-8"))
