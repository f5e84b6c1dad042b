"""Trains Hugging Face's `EncoderDecoderModel` on torch, for `train_step`."""

import pathlib
import tempfile
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
import transformers

from benchmarks import adam, record
from benchmarks.huggingface import NAME, can_use
from benchmarks.system import Setting
from bertgen_jax.models.config import EncoderDecoderConfig
from bertgen_jax.pretrained import saving

__all__ = ["can_use", "steps"]


def steps(
    config: EncoderDecoderConfig,
    params: Any,
    arrays: dict[str, np.ndarray],
    setting: Setting,
    *,
    compiled: bool,
) -> dict[str, Callable[[], list[float]]]:
    """Returns functions that make a step, by the name of the system.

    Args:
      config: the architecture.
      params: the weights.
      arrays: the batch.
      setting: device and dtype.
      compiled: also train with `torch.compile`.
    """
    runs = {NAME: _step(config, params, arrays, setting, compiled=False)}
    if compiled:
        runs[f"{NAME}, compiled"] = _step(
            config, params, arrays, setting, compiled=True
        )
    return runs


def _step(
    config: EncoderDecoderConfig,
    params: Any,
    arrays: dict[str, np.ndarray],
    setting: Setting,
    *,
    compiled: bool,
) -> Callable[[], list[float]]:
    torch.set_num_threads(record.cores())
    with tempfile.TemporaryDirectory() as folder:
        saving.save(pathlib.Path(folder) / "model", config, params)
        model = transformers.EncoderDecoderModel.from_pretrained(f"{folder}/model")
    model.to(setting.device).train()
    # Version 5 loads two tables with equal values; we have one.
    model.encoder.embeddings.word_embeddings = (
        model.decoder.bert.embeddings.word_embeddings
    )
    optimizer = torch.optim.Adam(model.parameters(), lr=adam.RATE, eps=adam.EPSILON)
    batch = {
        name: torch.tensor(array).long().to(setting.device)
        for name, array in arrays.items()
        if name != "label_weights"
    }
    narrow = torch.bfloat16 if setting.dtype == "bfloat16" else None

    def loss_of() -> torch.Tensor:
        with torch.autocast(setting.device, narrow, enabled=narrow is not None):
            logits = model(
                input_ids=batch["input_ids"],
                attention_mask=batch["attention_mask"],
                decoder_input_ids=batch["decoder_input_ids"],
            ).logits
            return torch.nn.functional.cross_entropy(
                logits.flatten(0, 1).float(), batch["labels"].flatten()
            )

    if compiled:
        loss_of = torch.compile(loss_of)

    def run() -> list[float]:
        optimizer.zero_grad()
        loss = loss_of()
        loss.backward()
        optimizer.step()
        return [loss.item()]

    return run
