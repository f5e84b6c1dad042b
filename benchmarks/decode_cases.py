"""Random models of a size in, a row of results for each batch and number of beams out.

The same weights, ids and search for every system there is.
"""

import contextlib
import dataclasses
import pathlib
import statistics
import tempfile
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np

from benchmarks import floor, random_models, system, timing, wikisplit
from benchmarks.system import Setting
from bertgen_jax.decoding.config import GenerationConfig
from bertgen_jax.models.config import EncoderDecoderConfig
from bertgen_jax.pretrained import saving

SOURCE, TARGET = 128, 64  # tokens
SENTENCES = 16  # of the real case, or a batch if that is more

_FIRST_WORD = 5  # ids below it are special in every vocabulary of ours

Skip = Callable[[str], None]  # called with what is not measured, and why
Row = dict[str, Any]


def fixed(
    size: str,
    shapes: Sequence[tuple[int, int]],
    repeats: int,
    setting: Setting,
    rates: floor.Rates,
    skip: Skip,
) -> Iterator[Row]:
    """128 random tokens to exactly 64, beside the least time that it takes.

    Args:
      size: of `random_models`.
      shapes: batch and beams of each row.
      repeats: rounds that are timed.
      setting: device and dtype.
      rates: of this machine.
      skip: told which peers are missing.
    """
    config = random_models.create_config(size)
    params = random_models.draw_params(config)
    rng = np.random.default_rng(0)
    with _loaded(config, params, setting, skip) as systems:
        for batch, beams in shapes:
            ids = rng.integers(_FIRST_WORD, random_models.WORDS, (batch, SOURCE))
            search = search_with(beams, min_new_tokens=TARGET)
            row = _race(systems, [ids.tolist()], search, repeats)
            least = floor.of_decoding(
                config, rates, batch=batch, beams=beams, source=SOURCE, steps=TARGET
            )
            reached = least.total_s / row["systems"][system.Ours.name]["median_s"]
            row["floor"] = dataclasses.asdict(least) | {"reached": round(reached, 3)}
            yield {"case": "fixed", "size": size, "batch": batch, **row}


def real(
    size: str,
    shapes: Sequence[tuple[int, int]],
    repeats: int,
    setting: Setting,
    skip: Skip,
) -> Iterator[Row]:
    """Sentences of WikiSplit to as many tokens as their references have, about.

    Batches are of sentences of similar lengths, padded to their longest. Arguments are
    those of `fixed`.

    Raises:
      LookupError: there is no WikiSplit.
    """
    config = random_models.create_config(size)
    number = max(SENTENCES, *(batch for batch, _ in shapes))
    sources = [source for source, _ in wikisplit.pairs()[:number]]
    rows = sorted(wikisplit.tokenizer().encode_batch(sources), key=len)
    params = params_of_real_lengths(config, setting)
    with _loaded(config, params, setting, skip) as systems:
        for batch, beams in shapes:
            batches = [rows[i : i + batch] for i in range(0, number, batch)]
            row = _race(systems, batches, search_with(beams), repeats)
            yield {"case": "real", "size": size, "batch": batch, **row}


def params_of_real_lengths(config: EncoderDecoderConfig, setting: Setting) -> Any:
    """Random weights whose texts are as long as WikiSplit's references in the median.

    Raises:
      LookupError: there is no WikiSplit.
    """
    tokenizer, pairs = wikisplit.tokenizer(), wikisplit.pairs()[:SENTENCES]
    rows = tokenizer.encode_batch([source for source, _ in pairs])
    references = tokenizer.encode_batch([reference for _, reference in pairs])
    wanted = min(TARGET, statistics.median(1 + len(ids) for ids in references))
    drawn = random_models.draw_params(config)

    def lengths_with(bias: float) -> list[int]:
        params = random_models.that_end(drawn, config, bias, TARGET)
        ours = system.Ours(config, params, setting.dtype)
        return [len(ids) for ids in ours.prepare([rows], search_with(beams=1))()]

    bias = random_models.find_eos_bias(lengths_with, wanted)
    return random_models.that_end(drawn, config, bias, TARGET)


@contextlib.contextmanager
def random_model(size: str, setting: Setting) -> Iterator[pathlib.Path]:
    """The directory of a model whose texts mean nothing, but end as real ones do.

    Raises:
      LookupError: there is no WikiSplit.
    """
    config = random_models.create_config(size)
    params = params_of_real_lengths(config, setting)
    with tempfile.TemporaryDirectory() as folder:
        saving.save(folder, config, params, wikisplit.tokenizer(), search_with(beams=1))
        yield pathlib.Path(folder)


def search_with(beams: int, min_new_tokens: int | None = None) -> GenerationConfig:
    """A search that all of them know; CTranslate2 stops as `early_stopping` True does.

    All special ids are given, so that nobody takes others from elsewhere.
    """
    return GenerationConfig(
        max_new_tokens=TARGET,
        min_new_tokens=min_new_tokens,
        num_beams=beams,
        length_penalty=1.0,
        early_stopping=beams > 1,
        decoder_start_token_id=random_models.START,
        eos_token_id=random_models.EOS,
        pad_token_id=random_models.PAD,
    )


@contextlib.contextmanager
def _loaded(
    config: EncoderDecoderConfig, params: Any, setting: Setting, skip: Skip
) -> Iterator[list[system.System]]:
    """Ours and every peer that this machine has, with these weights."""
    systems: list[system.System] = [system.Ours(config, params, setting.dtype)]
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        try:
            # Here, because ours can be measured on a machine without it.
            from benchmarks import peer_torch
        except ImportError as error:
            skip(f"transformers: {error}")
        else:
            if peer_torch.can_use(setting.device):
                saving.save(folder / "model", config, params)
                systems.append(
                    peer_torch.Torch(folder / "model", setting.dtype, setting.device)
                )
            else:
                skip(f"transformers: this torch cannot use {setting.device}")
        try:
            from benchmarks import peer_ctranslate2
        except ImportError as error:
            skip(f"CTranslate2: {error}")
        else:
            if peer_ctranslate2.can_use(setting.device):
                systems += [
                    peer_ctranslate2.CTranslate2(
                        folder / kind, config, params, kind, setting.device
                    )
                    for kind in setting.quantizations
                ]
            else:
                skip(f"CTranslate2: it cannot use {setting.device}")
        yield systems


def _race(
    systems: Sequence[system.System],
    batches: Sequence[system.Rows],
    search: GenerationConfig,
    repeats: int,
) -> Row:
    """Times of all systems, and what the texts are like that ours has found."""
    runs = {one.name: one.prepare(batches, search) for one in systems}
    measured = timing.race(runs, repeats)
    found = measured[system.Ours.name].found
    compared = timing.compared(measured, system.Ours.name)
    for name, one in compared.items():
        # Whoever finds other texts, as int8 does, has other work to do.
        one["tokens"] = sum(map(len, measured[name].found))
    return {
        "beams": search.num_beams,
        "sentences": len(found),
        "median_tokens": statistics.median(map(len, found)),
        # Of the tokens of a text, how many are different ones.
        "distinct": round(statistics.mean(len(set(x)) / len(x) for x in found), 3),
        "systems": compared,
    }
