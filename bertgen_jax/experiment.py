"""A config in, its parts out: tokenizer, data, model and search settings.

Training and evaluation build the same parts from the same config and work directory.
"""

import dataclasses
import logging
import os
import pathlib
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from typing import Any

import jax
import jax.numpy as jnp
from jax.experimental import multihost_utils
from ml_collections import ConfigDict

from bertgen_jax import paths, recipes
from bertgen_jax.checkpoints.state import CheckpointStore
from bertgen_jax.config_checks import METRICS, SPLITS
from bertgen_jax.data import batching, encoding, readers
from bertgen_jax.data.example import Example
from bertgen_jax.decoding.config import GenerationConfig
from bertgen_jax.errors import ConfigError
from bertgen_jax.models.config import BertGenerationConfig, EncoderDecoderConfig
from bertgen_jax.models.encoder_decoder import EncoderDecoder
from bertgen_jax.models.presets import SIZES
from bertgen_jax.tokenizers import normalization
from bertgen_jax.tokenizers.sentencepiece import BertGenerationTokenizer
from bertgen_jax.tokenizers.sentencepiece_training import train_sentencepiece

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
    examples: readers.Examples
    encoded: encoding.EncodedExamples
    buckets: tuple[batching.Bucket, ...]


def open_examples(config: ConfigDict, split: str) -> readers.Examples:
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
    examples = readers.open_examples(
        location, columns, on_bad_row=config.data.on_bad_row
    )
    _log.info("%s: %s", split, examples.description)
    for message in examples.skipped.messages:
        _log.warning("%s: skipped, among others: %s", split, message)
    return examples


def make_tokenizer(
    config: ConfigDict, workdir: pathlib.Path, train: readers.Examples
) -> BertGenerationTokenizer:
    """Makes the tokenizer of a new run, and writes it to its work directory.

    It is a copy of `tokenizer.path`, or, where that is empty, learned from the sources
    and targets of the training data. From then on the work directory needs neither.

    Args:
      config: the experiment's.
      workdir: gets `tokenizer/`, in the place of what a run left that saved nothing.
      train: the training data.

    Raises:
      ConfigError: there is no file `tokenizer.path`.
      TokenizerError: the file is corrupt, or no vocabulary can be learned.
    """
    directory = workdir / "tokenizer"
    if jax.process_index() == 0:
        tokenizer = _make_tokenizer(config, train)
        # Texts are cut as in training wherever the model goes.
        tokenizer.model_max_length = config.data.max_source_tokens
        shutil.rmtree(directory, ignore_errors=True)
        workdir.mkdir(parents=True, exist_ok=True)
        temporary = pathlib.Path(tempfile.mkdtemp(prefix="tokenizer-", dir=workdir))
        try:
            tokenizer.save_pretrained(temporary)
            temporary.chmod(0o755)  # mkdtemp's is private
            os.replace(temporary, directory)
        except OSError:
            shutil.rmtree(temporary, ignore_errors=True)
            raise
    multihost_utils.sync_global_devices("tokenizer")
    return open_tokenizer(workdir)


def open_tokenizer(workdir: pathlib.Path) -> BertGenerationTokenizer:
    """Opens the tokenizer of a run.

    Raises:
      TokenizerError: it is missing or corrupt.
    """
    return BertGenerationTokenizer.from_pretrained(workdir / "tokenizer")


def _make_tokenizer(
    config: ConfigDict, train: readers.Examples
) -> BertGenerationTokenizer:
    settings = config.tokenizer
    steps = tuple(filter(None, settings.normalization.split(",")))
    if steps == ("all",):
        steps = normalization.ALL
    if settings.path:
        path = paths.find(settings.path, "tokenizer.path")
        return BertGenerationTokenizer.from_pretrained(path, normalization=steps)
    _log.info("learning a vocabulary of %d pieces", settings.vocab_size)
    return train_sentencepiece(
        _texts(train),
        settings.vocab_size,
        normalization=steps,
        seed=config.seed,
    )


def _texts(examples: readers.Examples) -> Iterator[str]:
    for i in range(len(examples)):
        yield examples[i].source
        yield from examples[i].references


def open_split(
    config: ConfigDict,
    split: str,
    examples: readers.Examples,
    tokenizer: BertGenerationTokenizer,
) -> Split:
    """Encodes a split and chooses the shapes of its batches."""
    data = config.data
    spec = encoding.EncodingSpec(
        max_source_tokens=data.max_source_tokens,
        max_target_tokens=data.max_target_tokens,
    )
    encoded = encoding.encode(examples, tokenizer, spec, _tokenization_log(split))
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


@dataclasses.dataclass(frozen=True)
class First:
    """The first `count` examples of a split, as a split of its own."""

    examples: readers.Examples
    count: int

    @property
    def fingerprint(self) -> str:
        """That of the whole, and how much of it this is."""
        return f"{self.examples.fingerprint}[:{self.count}]"

    @property
    def description(self) -> str:
        """One line for the log."""
        return f"the first {self.count:,} of {self.examples.description}"

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, index: int) -> Example:
        if not 0 <= index < self.count:
            raise IndexError(index)
        return self.examples[index]


def first(examples: readers.Examples, count: int) -> readers.Examples | First:
    """The first `count` examples; all of them for 0."""
    return First(examples, count) if 0 < count < len(examples) else examples


def model_config(
    config: ConfigDict, tokenizer: BertGenerationTokenizer
) -> EncoderDecoderConfig:
    """The architecture: a size, the tokenizer's vocabulary, what the recipe shares."""
    model = config.model
    recipe = recipes.get(config.init.recipe)
    ids = tokenizer.special_ids
    stack = BertGenerationConfig(
        **SIZES[model.size],
        vocab_size=tokenizer.vocab_size,
        hidden_act=model.hidden_act,
        hidden_dropout_prob=model.hidden_dropout_prob,
        attention_probs_dropout_prob=model.attention_probs_dropout_prob,
        max_position_embeddings=model.max_position_embeddings,
        initializer_range=model.initializer_range,
        layer_norm_eps=model.layer_norm_eps,
        lm_head_bias=model.lm_head_bias,
        pad_token_id=ids.pad,
        bos_token_id=ids.bos,
        eos_token_id=ids.eos,
    )
    return EncoderDecoderConfig.from_stacks(
        stack,
        stack,
        share_encoder_decoder=recipe.share_stacks,
        share_embeddings=recipe.share_embeddings and not recipe.share_stacks,
        decoder_start_token_id=ids.bos,
    )


def create_model(
    config: ConfigDict, tokenizer: BertGenerationTokenizer
) -> EncoderDecoder:
    """The model, with the config's dtype and ways to run it."""
    return EncoderDecoder(
        model_config(config, tokenizer),
        dtype=jnp.dtype(config.model.dtype),
        scan_layers=config.model.scan_layers,
        remat=config.model.remat,
    )


def generation_config(
    config: ConfigDict, tokenizer: BertGenerationTokenizer
) -> GenerationConfig:
    """How to search, with the tokenizer's special ids.

    Raises:
      ConfigError: see `GenerationConfig`.
    """
    ids, values = tokenizer.special_ids, dict(config.decode)
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
        best_mode=METRICS[metric],
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
