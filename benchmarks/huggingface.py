"""Runs Hugging Face's `EncoderDecoderModel` on torch, on ids or on texts."""

import os
from collections.abc import Sequence

import torch
import transformers

from benchmarks import record, system
from bertgen_jax.decoding.config import GenerationConfig

NAME = "transformers"

transformers.logging.set_verbosity_error()
transformers.logging.disable_progress_bar()


def can_use(device: str) -> bool:
    """Whether this torch can use "cpu" or "cuda"."""
    return device == "cpu" or torch.cuda.is_available()


class HuggingFace:
    """The model of a directory; a `system.System`."""

    name = NAME

    def __init__(self, directory: str | os.PathLike[str], dtype: str, device: str):
        torch.set_num_threads(record.cores())
        self.model = transformers.EncoderDecoderModel.from_pretrained(
            directory, dtype=getattr(torch, dtype)
        ).to(device)
        self.model.eval()

    def prepare(
        self, batches: Sequence[system.Rows], search: GenerationConfig
    ) -> system.Run:
        """See `system.System`."""
        arrays = [system.padded(rows) for rows in batches]

        def run() -> list[list[int]]:
            targets = []
            for ids, mask in arrays:
                sequences = self.search(torch.tensor(ids), torch.tensor(mask), search)
                targets += system.up_to_eos(sequences, search)
            return targets

        return run

    @torch.inference_mode()
    def search(
        self, ids: torch.Tensor, mask: torch.Tensor, search: GenerationConfig
    ) -> list[list[int]]:
        """Returns the targets of sources [B, S], without the start token."""
        device = self.model.device
        sequences = self.model.generate(
            input_ids=ids.long().to(device),
            attention_mask=mask.long().to(device),
            generation_config=transformers.GenerationConfig.from_dict(search.to_dict()),
        )
        return sequences[:, 1:].tolist()


class TextToText:
    """Generates texts from texts, as our pipeline does, with Hugging Face's parts."""

    def __init__(
        self,
        directory: str | os.PathLike[str],
        search: GenerationConfig,
        device: str = "cpu",
    ):
        self._model = HuggingFace(directory, "float32", device)
        self._tokenizer = transformers.AutoTokenizer.from_pretrained(directory)
        self._search = search
        positions = self._model.model.config.encoder.max_position_embeddings
        self._limit = min(self._tokenizer.model_max_length, positions)

    def encode(self, texts: Sequence[str]) -> list[list[int]]:
        """Returns the ids of each text, truncated to the longest source."""
        return self._tokenizer(
            list(texts), truncation=True, max_length=self._limit
        ).input_ids

    def __call__(self, texts: Sequence[str], batch_size: int) -> list[str]:
        """Generates in batches of similar lengths."""
        rows = self.encode(texts)
        order = sorted(range(len(rows)), key=lambda i: len(rows[i]))
        results = [""] * len(rows)
        for first in range(0, len(order), batch_size):
            chosen = order[first : first + batch_size]
            batch = self._tokenizer.pad(
                {"input_ids": [rows[i] for i in chosen]}, return_tensors="pt"
            )
            sequences = self._model.search(
                batch.input_ids, batch.attention_mask, self._search
            )
            generated = self._tokenizer.batch_decode(
                sequences, skip_special_tokens=True
            )
            for i, text in zip(chosen, generated, strict=True):
                results[i] = text
        return results
