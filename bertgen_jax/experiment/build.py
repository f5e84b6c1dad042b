"""A config in, its parts out: tokenizer, data, model and search settings.

Training and evaluation build the same parts from the same config and work directory.
"""

import dataclasses
import json
import logging
import os
import pathlib
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import jax
import jax.numpy as jnp
from jax.experimental import multihost_utils
from ml_collections import ConfigDict

from bertgen_jax import normalization
from bertgen_jax.checkpoints.store import CheckpointStore
from bertgen_jax.data import batching, encoding
from bertgen_jax.data import examples as examples_lib
from bertgen_jax.data.examples import Examples
from bertgen_jax.decoding.config import GenerationConfig
from bertgen_jax.errors import ConfigError
from bertgen_jax.experiment import checks
from bertgen_jax.experiment.checks import SPLITS
from bertgen_jax.files import paths
from bertgen_jax.models import create
from bertgen_jax.models.config import EncoderDecoderConfig, Seq2SeqConfig, read_config
from bertgen_jax.models.create import Seq2SeqModel
from bertgen_jax.models.presets import SIZES
from bertgen_jax.pretrained.formats.own_runs import MODEL_CONFIG
from bertgen_jax.pretrained.opened_checkpoint import OpenedCheckpoint
from bertgen_jax.tokenizers.auto import AutoTokenizer
from bertgen_jax.tokenizers.interface import SENTENCEPIECE, Tokenizer
from bertgen_jax.tokenizers.pair import TokenizerPair
from bertgen_jax.tokenizers.sentencepiece_training import train_sentencepiece
from bertgen_jax.warm_start import initialization, recipes
from bertgen_jax.warm_start.recipes import Selection

LEARN = "learn"  # as tokenizer.path: a vocabulary of the training data

_log = logging.getLogger(__name__)


@dataclasses.dataclass(frozen=True)
class Split:
    """One split, read and encoded.

    Attributes:
      name: "train", "validation" or "test".
      examples: the texts.
      encoded: their ids.
      buckets: shapes that its batches come in.
    """

    name: str
    examples: Examples
    encoded: encoding.EncodedExamples
    buckets: tuple[batching.Bucket, ...]


def open_examples(config: ConfigDict, split: str) -> Examples:
    """Opens the texts of a split and checks every row.

    Raises:
      ConfigError: the config names no data for it.
      DataError: see `readers.open_examples`.
    """
    location = config.data[split]
    if not location:
        named = [name for name in SPLITS if config.data[name]]
        raise ConfigError(
            f"data.{split} is empty; expected a file, a glob, 'hf:...' or 'demo:...'. "
            f"The config names data for: {', '.join(named) or 'nothing'}."
        )
    columns = {field: name for field, name in config.data.columns.items() if name}
    examples = examples_lib.open_examples(
        location, columns, on_bad_row=config.data.on_bad_row
    )
    _log.info("%s: %s", split, examples.description)
    for message in examples.skipped.messages:
        _log.warning("%s: skipped, among others: %s", split, message)
    if split == "train":
        examples = examples_lib.draw(examples, config.data.fraction, config.seed)
    return examples


def open_checkpoints(config: ConfigDict) -> dict[str, OpenedCheckpoint]:
    """Opens the checkpoints that a new run starts from; only headers are read.

    Raises:
      ConfigError, CheckpointError: see `initialization.find`.
    """
    init = config.init
    recipe = recipes.get(init.recipe)
    return initialization.find(recipe, encoder=init.encoder, decoder=init.decoder)


def make_tokenizers(
    config: ConfigDict,
    workdir: pathlib.Path,
    checkpoints: Mapping[str, OpenedCheckpoint],
    train: Examples,
) -> TokenizerPair:
    """Makes the tokenizers of a new run, and writes them to its work directory.

    They are copies of those that `tokenizer.path` names, or else of the checkpoints';
    or learned from the sources and targets of the training data. From then on the work
    directory needs none of these.

    Args:
      config: the experiment's.
      workdir: gets `tokenizer/`, in the place of what a run left that saved nothing.
      checkpoints: what the model starts from, by side.
      train: the training data.

    Raises:
      ConfigError: there is no file `tokenizer.path`.
      TokenizerError: a file is corrupt, or no vocabulary can be learned.
    """
    directory = workdir / "tokenizer"
    if jax.process_index() == 0:
        tokenizers = _make_tokenizers(config, checkpoints, train)
        shutil.rmtree(directory, ignore_errors=True)
        workdir.mkdir(parents=True, exist_ok=True)
        temporary = pathlib.Path(tempfile.mkdtemp(prefix="tokenizer-", dir=workdir))
        try:
            tokenizers.save_pretrained(temporary)
            temporary.chmod(0o755)  # mkdtemp's is private
            os.replace(temporary, directory)
        except OSError:
            shutil.rmtree(temporary, ignore_errors=True)
            raise
    multihost_utils.sync_global_devices("tokenizer")
    return open_tokenizers(workdir)


def open_tokenizers(workdir: pathlib.Path) -> TokenizerPair:
    """Opens the tokenizers of a run.

    Raises:
      TokenizerError: one is missing or corrupt.
    """
    return TokenizerPair.from_pretrained(workdir / "tokenizer")


def _make_tokenizers(
    config: ConfigDict, checkpoints: Mapping[str, OpenedCheckpoint], train: Examples
) -> TokenizerPair:
    settings = config.tokenizer
    # Texts are cut as in training wherever the model goes.
    of_source = {
        "model_max_length": config.data.max_source_tokens,
        "source_specials": settings.source_specials,
    }

    def read(path: pathlib.Path, kind: str = "", **options: Any) -> Tokenizer:
        kind = kind or AutoTokenizer.from_pretrained(path).kind
        steps = _normalization(settings.normalization, kind)
        return AutoTokenizer.from_pretrained(path, normalization=steps, **options)

    if settings.path == LEARN or not (settings.path or checkpoints):
        _log.info("learning a vocabulary of %d pieces", settings.vocab_size)
        source = train_sentencepiece(
            _texts(train),
            settings.vocab_size,
            seed=config.seed,
            normalization=_normalization(settings.normalization, SENTENCEPIECE),
            **of_source,
        )
    elif settings.path:
        source = read(paths.find(settings.path, "tokenizer.path"), **of_source)
    else:
        first = checkpoints.get("encoder") or checkpoints["decoder"]
        source = read(first.path, first.tokenizer.kind, **of_source)
    target = None
    if settings.decoder_path:
        target = read(paths.find(settings.decoder_path, "tokenizer.decoder_path"))
    elif not settings.path and len(checkpoints) == 2:
        decoder = checkpoints["decoder"]
        target = read(decoder.path, decoder.tokenizer.kind)
    is_other = target is not None and target.get_vocab() != source.get_vocab()
    return TokenizerPair.of(source, target if is_other else None)


def _normalization(setting: str, kind: str) -> tuple[str, ...]:
    """Steps of a config: SentencePiece models spell ASCII, the others all Unicode."""
    default = normalization.ALL if kind == SENTENCEPIECE else ()
    return normalization.parse_steps(setting, default)


def _texts(examples: Examples) -> Iterator[str]:
    for i in range(len(examples)):
        yield examples[i].source
        yield from examples[i].references


def open_split(
    config: ConfigDict,
    split: str,
    examples: Examples,
    tokenizers: TokenizerPair,
) -> Split:
    """Encodes a split and chooses the shapes of its batches."""
    data = config.data
    spec = encoding.EncodingSpec(
        max_source_tokens=data.max_source_tokens,
        max_target_tokens=data.max_target_tokens,
    )
    encoded = encoding.encode(
        examples,
        tokenizers.source,
        spec,
        _tokenization_log(split),
        target=tokenizers.target,
    )
    _log.info("%s: %s", split, encoded.report)
    if data.buckets:
        buckets = batching.parse_buckets(data.buckets)
    else:
        buckets = batching.choose_buckets(
            encoded.source_lengths,
            encoded.target_lengths,
            num_buckets=data.num_buckets,
            multiple=data.bucket_multiple,
            max_source=data.max_source_tokens,
            max_target=data.max_target_tokens,
        )
    _log.info("%s: batches of shape %s", split, ", ".join(str(b) for b in buckets))
    return Split(split, examples, encoded, buckets)


def _tokenization_log(split: str) -> Callable[[int, int], None]:
    """Says every ten seconds how far a long tokenization is."""
    last_s = time.monotonic()

    def log(done: int, total: int) -> None:
        nonlocal last_s
        if time.monotonic() - last_s > 10:
            last_s = time.monotonic()
            _log.info(
                "%s: %s of %s examples tokenized", split, f"{done:,}", f"{total:,}"
            )

    return log


def model_config(
    config: ConfigDict,
    checkpoints: Mapping[str, OpenedCheckpoint],
    tokenizers: TokenizerPair,
) -> Seq2SeqConfig:
    """The architecture: the checkpoints' or a size, vocabularies, what a recipe shares.

    Raises:
      ConfigError: a text may be longer than the model has positions.
    """
    model, init = config.model, config.init
    settings = {
        name: getattr(model, name)
        for name in (
            "hidden_dropout_prob",
            "attention_probs_dropout_prob",
            "max_position_embeddings",
            "initializer_range",
        )
    }
    settings["lm_head_bias"] = model.lm_head_bias or init.mlm_bias
    # Where they are left empty they are the checkpoint's, or else BERT's.
    settings["hidden_act"] = model.hidden_act or None
    settings["layer_norm_eps"] = model.layer_norm_eps or None
    found = initialization.model_config(
        recipes.get(init.recipe),
        checkpoints,
        tokenizers,
        Selection.parse(init.parts, init.layers, init.mlm_bias),
        model.size,
        settings,
    )
    for side, opened in checkpoints.items():
        stack = getattr(found, side)
        named = {name: getattr(stack, name) for name in SIZES[model.size]}
        if named != SIZES[model.size]:
            _log.warning(
                "model.size=%s is for models that start at random: the %s has %d "
                "layers of width %d, as %s has",
                model.size,
                side,
                stack.num_hidden_layers,
                stack.hidden_size,
                opened.path,
            )
    _check_positions(config, found)
    return found


def _check_positions(config: ConfigDict, model: Seq2SeqConfig) -> None:
    """Refuses texts that are longer than the model's table of positions."""
    data, decode = config.data, config.decode
    longest_target = max(data.max_target_tokens, decode.max_new_tokens)
    if isinstance(model, EncoderDecoderConfig):
        needed = {"encoder": data.max_source_tokens, "decoder": longest_target}
    else:  # one sequence: the source, a separator, the target
        needed = {"decoder": data.max_source_tokens + longest_target}
    for side, tokens in needed.items():
        positions = getattr(model, side).max_position_embeddings
        if tokens > positions:
            raise ConfigError(
                f"the {side} has {positions} positions, and up to {tokens} tokens are "
                "asked of it (data.max_source_tokens, data.max_target_tokens, "
                "decode.max_new_tokens); expected no text longer than that."
            )


def write_model_config(workdir: pathlib.Path, model: Seq2SeqConfig) -> None:
    """Keeps the architecture of a new run: no checkpoint is needed to go on."""
    if jax.process_index() == 0:
        text = json.dumps(model.to_dict(), indent=2)
        (workdir / MODEL_CONFIG).write_text(text + "\n", encoding="utf-8")
    multihost_utils.sync_global_devices("model config")


def create_model(config: ConfigDict, model: Seq2SeqConfig) -> Seq2SeqModel:
    """The model, with the config's dtype and ways to run it."""
    return create.create_model(
        model,
        dtype=jnp.dtype(config.model.dtype),
        scan_layers=config.model.scan_layers,
        remat=config.model.remat,
    )


def open_model(config: ConfigDict, workdir: pathlib.Path) -> Seq2SeqModel:
    """The model of a run that has begun.

    Raises:
      CheckpointError: its architecture is missing or damaged.
    """
    return create_model(config, read_config(workdir, MODEL_CONFIG))


def fill_ids(tokenizers: TokenizerPair, model: Seq2SeqModel) -> batching.FillIds:
    """What batches hold where a sequence has no token."""
    return batching.FillIds(
        source=tokenizers.source.special_ids.pad,
        target=tokenizers.target.special_ids.pad,
        start=model.config.start_token_id,
    )


def generation_config(
    config: ConfigDict, tokenizers: TokenizerPair
) -> GenerationConfig:
    """How to search, with the special ids of the targets.

    Raises:
      ConfigError: see `GenerationConfig`.
    """
    ids, values = tokenizers.target.special_ids, dict(config.decode)
    # A flag keeps the type of its default, a string: True arrives as "True".
    flag = {"true": True, "false": False}
    early = str(values["early_stopping"])
    values["early_stopping"] = flag.get(early.lower(), early)
    return GenerationConfig(
        **values,
        decoder_start_token_id=ids.bos,
        eos_token_id=ids.eos,
        pad_token_id=ids.pad,
    )


def open_store(config: ConfigDict, workdir: pathlib.Path) -> CheckpointStore:
    """The checkpoints of a work directory, with the config's rules of what to keep."""
    checkpoint, metric = config.checkpoint, config.eval.metric
    return CheckpointStore(
        workdir / "checkpoints",
        best_metric=metric,
        best_mode=checks.best_mode(metric),
        keep_latest=checkpoint.keep_latest,
        keep_best=checkpoint.keep_best,
        keep_period=checkpoint.keep_every_steps or None,
    )


def restore_params(
    config: ConfigDict,
    store: CheckpointStore,
    step: int | None,
    sharding: jax.sharding.Sharding | None = None,
) -> tuple[int, Any]:
    """Reads the parameters that are evaluated and exported.

    Args:
      config: says whether that is the average.
      store: see `open_store`.
      step: of the checkpoint; None for the newest intact one.
      sharding: where each of them goes; None for the first device.

    Returns:
      The step and the parameters.

    Raises:
      CheckpointError: there is no such checkpoint, or it is damaged.
    """
    subtree = "ema_params" if config.ema_decay else "params"
    step, params, _ = store.restore_params(step, subtree)
    if sharding is not None:
        params = jax.device_put(params, sharding)
    return step, params
