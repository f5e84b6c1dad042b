"""Measures the cases of `benchmarks.decode` for each batch size and number of beams.

All systems get the same weights, ids and settings.
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

_FIRST_WORD = 5  # lower ids are special in each of our vocabularies

Skip = Callable[[str], None]  # called with the case that is not measured, and why
Row = dict[str, Any]


def fixed(
    size: str,
    shapes: Sequence[tuple[int, int]],
    repeats: int,
    setting: Setting,
    rates: floor.Rates,
    skip: Skip,
) -> Iterator[Row]:
    """Generates exactly 64 tokens from 128 random ones, with the floor beside the time.

    Args:
      size: of `random_models`.
      shapes: batch and beams of each row.
      repeats: rounds that are timed.
      setting: device and dtype.
      rates: of this machine.
      skip: is called for each system that is missing.
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
    """Generates from sentences of WikiSplit about as many tokens as references have.

    Batches consist of sentences of similar lengths, padded to the longest. The
    arguments are those of `fixed`.

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
    """Draws weights whose targets have the median length of WikiSplit's references.

    Raises:
      LookupError: there is no WikiSplit.
    """
    tokenizer, pairs = wikisplit.tokenizer(), wikisplit.pairs()[:SENTENCES]
    rows = tokenizer.encode_batch([source for source, _ in pairs])
    references = tokenizer.encode_batch([reference for _, reference in pairs])
    median = min(TARGET, statistics.median(1 + len(ids) for ids in references))
    drawn = random_models.draw_params(config)

    def lengths_with(bias: float) -> list[int]:
        params = random_models.with_eos_bias(drawn, config, bias, TARGET)
        ours = system.Ours(config, params, setting.dtype)
        return [len(ids) for ids in ours.prepare([rows], search_with(beams=1))()]

    bias = random_models.find_eos_bias(lengths_with, median)
    return random_models.with_eos_bias(drawn, config, bias, TARGET)


@contextlib.contextmanager
def random_model(size: str, setting: Setting) -> Iterator[pathlib.Path]:
    """Writes a model whose texts mean nothing, but have the lengths of real ones.

    Raises:
      LookupError: there is no WikiSplit.
    """
    config = random_models.create_config(size)
    params = params_of_real_lengths(config, setting)
    with tempfile.TemporaryDirectory() as folder:
        saving.save(folder, config, params, wikisplit.tokenizer(), search_with(beams=1))
        yield pathlib.Path(folder)


def search_with(beams: int, min_new_tokens: int | None = None) -> GenerationConfig:
    """Returns settings that all systems have.

    CTranslate2 stops as with `early_stopping=True`. All special ids are given, so that
    no system takes them from its own defaults.
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
    """Loads the weights into our system and every other one that is installed."""
    systems: list[system.System] = [system.Ours(config, params, setting.dtype)]
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        try:
            # Imported here, because ours can be measured on a machine without it.
            from benchmarks import huggingface
        except ImportError as error:
            skip(f"transformers: {error}")
        else:
            if huggingface.can_use(setting.device):
                saving.save(folder / "model", config, params)
                systems.append(
                    huggingface.HuggingFace(
                        folder / "model", setting.dtype, setting.device
                    )
                )
            else:
                skip(f"transformers: this torch cannot use {setting.device}")
        try:
            from benchmarks import ctranslate2
        except ImportError as error:
            skip(f"CTranslate2: {error}")
        else:
            if ctranslate2.can_use(setting.device):
                systems += [
                    ctranslate2.CTranslate2(
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
    """Returns the times of all systems, and statistics of the targets of ours."""
    runs = {each.name: each.prepare(batches, search) for each in systems}
    timings = timing.race(runs, repeats)
    targets = timings[system.Ours.name].result
    compared = timing.compared(timings, system.Ours.name)
    for name, times in compared.items():
        # A system that finds other texts, as int8 does, has other work to do.
        times["tokens"] = sum(map(len, timings[name].result))
    return {
        "beams": search.num_beams,
        "sentences": len(targets),
        "median_tokens": statistics.median(map(len, targets)),
        # The share of different tokens in a text.
        "distinct": round(statistics.mean(len(set(x)) / len(x) for x in targets), 3),
        "systems": compared,
    }
