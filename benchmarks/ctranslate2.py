"""Runs CTranslate2's `Translator` on models of `pretrained.ctranslate2.export`."""

import logging
import os
from collections.abc import Sequence
from typing import Any

import ctranslate2

from benchmarks import record, system
from bertgen_jax.decoding.config import GenerationConfig
from bertgen_jax.models.config import EncoderDecoderConfig
from bertgen_jax.pretrained.ctranslate2 import export

ctranslate2.set_log_level(logging.ERROR)


def can_use(device: str) -> bool:
    """Whether this CTranslate2 can use "cpu" or "cuda"."""
    return device == "cpu" or ctranslate2.get_cuda_device_count() > 0


class CTranslate2:
    """A model in one quantization; a `system.System`."""

    def __init__(
        self,
        directory: str | os.PathLike[str],
        config: EncoderDecoderConfig,
        params: Any,
        quantization: str,
        device: str,
    ):
        """Exports the model to `directory`, and loads it."""
        self.name = f"CTranslate2 {quantization}"
        export.save(
            directory,
            config,
            params,
            {f"t{i}": i for i in range(config.encoder.vocab_size)},
            unk_token_id=3,  # any id: every source consists of known pieces
            quantization=quantization,
        )
        self._translator = ctranslate2.Translator(
            os.fspath(directory),
            device=device,
            compute_type=quantization,
            intra_threads=record.cores(),
            inter_threads=1,
        )

    def prepare(
        self, batches: Sequence[system.Rows], search: GenerationConfig
    ) -> system.Run:
        """See `system.System`; its settings are those of `GenerationConfig`."""
        pieces = [[[f"t{i}" for i in row] for row in rows] for rows in batches]

        def run() -> list[list[int]]:
            targets = []
            for rows in pieces:
                results = self._translator.translate_batch(
                    rows,
                    max_batch_size=0,  # whole batches
                    beam_size=search.num_beams,
                    length_penalty=search.length_penalty,
                    min_decoding_length=search.min_new_tokens or 0,
                    max_decoding_length=search.num_new_tokens,
                    max_input_length=0,
                    return_end_token=True,
                )
                targets += [
                    [int(piece[1:]) for piece in result.hypotheses[0]]
                    for result in results
                ]
            return targets

        return run
