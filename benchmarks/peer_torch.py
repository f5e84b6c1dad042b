"""Hugging Face's `EncoderDecoderModel` on torch, from ids to ids or text to text."""

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
    """Whether this torch knows "cuda", or "cpu"."""
    return device == "cpu" or torch.cuda.is_available()


class Torch:
    """A model directory; a `system.System`."""

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
            found = []
            for ids, mask in arrays:
                sequences = self.search(torch.tensor(ids), torch.tensor(mask), search)
                found += system.through_eos(sequences, search)
            return found

        return run

    @torch.inference_mode()
    def search(
        self, ids: torch.Tensor, mask: torch.Tensor, search: GenerationConfig
    ) -> list[list[int]]:
        """Sources [B, S] and their mask to targets, without the start token."""
        device = self.model.device
        found = self.model.generate(
            input_ids=ids.long().to(device),
            attention_mask=mask.long().to(device),
            generation_config=transformers.GenerationConfig.from_dict(search.to_dict()),
        )
        return found[:, 1:].tolist()


class TextToText:
    """What our pipeline does, with what Hugging Face has for it."""

    def __init__(
        self,
        directory: str | os.PathLike[str],
        search: GenerationConfig,
        device: str = "cpu",
    ):
        self._torch = Torch(directory, "float32", device)
        self._tokenizer = transformers.AutoTokenizer.from_pretrained(directory)
        self._search = search
        positions = self._torch.model.config.encoder.max_position_embeddings
        self._limit = min(self._tokenizer.model_max_length, positions)

    def encode(self, texts: Sequence[str]) -> list[list[int]]:
        """The ids of each text, cut to what the model has been trained on."""
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
            sequences = self._torch.search(
                batch.input_ids, batch.attention_mask, self._search
            )
            found = self._tokenizer.batch_decode(sequences, skip_special_tokens=True)
            for i, text in zip(chosen, found, strict=True):
                results[i] = text
        return results
