"""Makes the tokenizers, the architecture and the first parameters of a new run."""

import logging
import pathlib
import shutil
from collections.abc import Iterator, Mapping
from typing import Any

import jax
from ml_collections import ConfigDict

from bertgen_jax import normalization, processes
from bertgen_jax.data.examples import Examples, Subset
from bertgen_jax.errors import CheckpointError, ConfigError
from bertgen_jax.experiment import settings
from bertgen_jax.files import atomic, json_files, paths
from bertgen_jax.models.config import Seq2SeqConfig, read_config
from bertgen_jax.models.create import Seq2SeqModel
from bertgen_jax.models.presets import SIZES
from bertgen_jax.models.stack_config import BertGenerationConfig
from bertgen_jax.pretrained.formats.own_runs import MODEL_CONFIG
from bertgen_jax.pretrained.opened_checkpoint import OpenedCheckpoint
from bertgen_jax.tokenizers.auto import AutoTokenizer
from bertgen_jax.tokenizers.interface import SENTENCEPIECE, Tokenizer
from bertgen_jax.tokenizers.pair import TokenizerPair
from bertgen_jax.tokenizers.sentencepiece_training import train_sentencepiece
from bertgen_jax.trees import Params
from bertgen_jax.warm_start import architecture as architecture_lib
from bertgen_jax.warm_start import opening, recipes, warm_start

LEARN = "learn"  # as tokenizer.path: learn a vocabulary from the training data
TOKENIZER = "tokenizer"  # folder in the work directory
WARM_START = "warm_start.json"  # in the work directory: where each parameter came from

_log = logging.getLogger(__name__)


def open_checkpoints(config: ConfigDict) -> dict[str, OpenedCheckpoint]:
    """Opens the published checkpoints that a new run starts from.

    Only their headers are read.

    Returns:
      The checkpoints by side, "encoder" and "decoder"; none for a side that starts from
      random parameters.

    Raises:
      ConfigError, CheckpointError: see `opening.open_checkpoints`.
    """
    init = config.init
    recipe = recipes.get(init.recipe)
    return opening.open_checkpoints(
        recipe,
        encoder=init.encoder,
        decoder=init.decoder,
        random_flags=_random_flags(config),
    )


def _random_flags(config: ConfigDict) -> str:
    """Returns the flags with which this config starts from random weights."""
    values = ["init.recipe=rnd2rnd"]
    values += [f"init.{side}=" for side in ("encoder", "decoder") if config.init[side]]
    for field in ("path", "decoder_path"):
        name = config.tokenizer[field]
        if name and name != LEARN:
            try:
                paths.find(name, f"tokenizer.{field}")
            except ConfigError:
                values.append(f"tokenizer.{field}=")
    return " ".join(f"--config.{value}" for value in values)


def write_tokenizers(
    config: ConfigDict,
    workdir: pathlib.Path,
    checkpoints: Mapping[str, OpenedCheckpoint],
    train: Examples | Subset,
) -> TokenizerPair:
    """Makes the tokenizers of a new run and writes them to WORKDIR/tokenizer.

    They are copies of the tokenizers that `tokenizer.path` names, or else those of the
    checkpoints; without either, or with "learn", a vocabulary is learned from source
    and target texts of the training data. Afterwards the run reads only these copies.

    Args:
      config: the experiment's config.
      workdir: the work directory. A folder that an earlier run left there before its
        first save is replaced.
      checkpoints: the checkpoints that the model starts from, by side.
      train: the training data.

    Raises:
      ConfigError: the file that `tokenizer.path` names is missing.
      TokenizerError: a file is corrupt, or no vocabulary can be learned.
    """
    folder = workdir / TOKENIZER

    def write() -> None:
        tokenizers = make_tokenizers(config, checkpoints, train)
        shutil.rmtree(folder, ignore_errors=True)
        with atomic.new_directory(folder) as temporary:
            tokenizers.save_pretrained(temporary)

    processes.on_process_0(write)
    return TokenizerPair.from_pretrained(folder)


def make_tokenizers(
    config: ConfigDict,
    checkpoints: Mapping[str, OpenedCheckpoint],
    train: Examples | Subset,
) -> TokenizerPair:
    """Makes the tokenizers of a new run; see `write_tokenizers`."""
    fields = config.tokenizer
    # Stored with the tokenizer, so that every later use of the model cuts texts as in
    # training.
    source_options = {
        "model_max_length": config.data.max_source_tokens,
        "source_specials": fields.source_specials,
    }
    if fields.path == LEARN or not (fields.path or checkpoints):
        _log.info("learning a vocabulary of %d pieces", fields.vocab_size)
        source_tokenizer = train_sentencepiece(
            _texts(train),
            fields.vocab_size,
            seed=config.seed,
            normalization=_normalization(fields.normalization, SENTENCEPIECE),
            **source_options,
        )
    elif fields.path:
        path = paths.find(fields.path, "tokenizer.path")
        source_tokenizer = _read_tokenizer(path, fields.normalization, **source_options)
    else:
        checkpoint = checkpoints.get("encoder") or checkpoints["decoder"]
        source_tokenizer = _read_tokenizer(
            checkpoint.path,
            fields.normalization,
            checkpoint.tokenizer.kind,
            **source_options,
        )
    target_tokenizer = None
    if fields.decoder_path:
        path = paths.find(fields.decoder_path, "tokenizer.decoder_path")
        target_tokenizer = _read_tokenizer(path, fields.normalization)
    elif not fields.path and len(checkpoints) == 2:
        checkpoint = checkpoints["decoder"]
        target_tokenizer = _read_tokenizer(
            checkpoint.path, fields.normalization, checkpoint.tokenizer.kind
        )
    if (
        target_tokenizer is not None
        and target_tokenizer.get_vocab() == source_tokenizer.get_vocab()
    ):
        target_tokenizer = None
    return TokenizerPair.of(source_tokenizer, target_tokenizer)


def _read_tokenizer(
    path: pathlib.Path, steps: str, kind: str = "", **options: Any
) -> Tokenizer:
    kind = kind or AutoTokenizer.from_pretrained(path).kind
    return AutoTokenizer.from_pretrained(
        path, normalization=_normalization(steps, kind), **options
    )


def _normalization(steps: str, kind: str) -> tuple[str, ...]:
    """Parses steps; "auto" is ASCII for SentencePiece and nothing for others."""
    default = normalization.ALL if kind == SENTENCEPIECE else ()
    return normalization.parse_steps(steps, default)


def _texts(examples: Examples | Subset) -> Iterator[str]:
    for i in range(len(examples)):
        yield examples[i].source
        yield from examples[i].references


def write_architecture(
    workdir: pathlib.Path, architecture: Seq2SeqConfig
) -> Seq2SeqConfig:
    """Writes WORKDIR/model_config.json, so that resuming needs no checkpoint.

    Returns:
      The architecture of process 0, on every process.
    """
    path = workdir / MODEL_CONFIG
    processes.on_process_0(
        lambda: json_files.write_object(path, architecture.to_dict())
    )
    return read_architecture(workdir)


def read_architecture(workdir: pathlib.Path) -> Seq2SeqConfig:
    """Reads the architecture of a run from its work directory.

    Raises:
      CheckpointError: the file is missing or damaged.
    """
    architecture = read_config(workdir, MODEL_CONFIG)
    if isinstance(architecture, BertGenerationConfig):
        raise CheckpointError(
            f"{workdir / MODEL_CONFIG}: found one stack, expected the architecture of "
            "a sequence-to-sequence model."
        )
    return architecture


def make_architecture(
    config: ConfigDict,
    checkpoints: Mapping[str, OpenedCheckpoint],
    tokenizers: TokenizerPair,
) -> Seq2SeqConfig:
    """Derives the architecture of a new run from its config.

    Args:
      config: the experiment's config.
      checkpoints: the checkpoints that the model starts from, by side. Each decides the
        sizes of its side.
      tokenizers: they decide the sizes of the vocabularies.

    Raises:
      ConfigError: a text may be longer than the model has positions.
    """
    size = config.model.size
    architecture = architecture_lib.model_config(
        recipes.get(config.init.recipe),
        checkpoints,
        tokenizers,
        settings.selection(config),
        size,
        settings.stack_settings(config),
    )
    for side, checkpoint in checkpoints.items():
        stack = getattr(architecture, side)
        if any(getattr(stack, name) != n for name, n in SIZES[size].items()):
            _log.warning(
                "model.size=%s is for models that start at random: the %s has %d "
                "layers of width %d, as %s has",
                size,
                side,
                stack.num_hidden_layers,
                stack.hidden_size,
                checkpoint.path,
            )
    architecture.check_lengths(
        config.data.max_source_tokens,
        settings.longest_target(config),
        "Lower data.max_source_tokens, or set model.max_position_embeddings.",
        "Lower data.max_target_tokens or decode.max_new_tokens, or set "
        "model.max_position_embeddings.",
    )
    return architecture


def first_params(
    config: ConfigDict,
    workdir: pathlib.Path,
    model: Seq2SeqModel,
    checkpoints: Mapping[str, OpenedCheckpoint],
    tokenizers: TokenizerPair,
) -> Params:
    """Returns the parameters before step 1: random ones, some replaced by checkpoints'.

    Logs where each parameter came from, and writes it to WORKDIR/warm_start.json.
    """
    params, report = warm_start.initial_params(
        model, checkpoints, tokenizers, settings.selection(config), config.seed
    )
    path = workdir / WARM_START
    if jax.process_index() == 0:
        path.unlink(missing_ok=True)  # an earlier run may have left it
    if checkpoints:
        _log.info("%s", report)
        if jax.process_index() == 0:
            report.write(path)
    return params
