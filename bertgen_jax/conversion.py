"""A checkpoint of any format in, a directory for Hugging Face or CTranslate2 out."""

import collections
import contextlib
import dataclasses
import os
import pathlib
import shutil
import tempfile
from collections.abc import Iterator
from typing import Any

from bertgen_jax import pretrained
from bertgen_jax.checkpoints import ctranslate2_export
from bertgen_jax.checkpoints.checkpoint import Checkpoint
from bertgen_jax.decoding.config import GenerationConfig
from bertgen_jax.errors import CheckpointError, ConfigError, TokenizerError
from bertgen_jax.models.config import EncoderDecoderConfig
from bertgen_jax.suggest import nearest
from bertgen_jax.tokenizers.pair import TokenizerPair

TARGETS = ("huggingface", "ctranslate2")


@dataclasses.dataclass(frozen=True)
class Conversion:
    """What was converted.

    Attributes:
      read: format and architecture of the source.
      written: format and place of the result.
      parameters: how many values the model has; what is shared counts once.
      unused: why tensors of the source were left out, and how many.
      tokenizer: name of its class; "" where the source has none.
    """

    read: str
    written: str
    parameters: int
    unused: dict[str, int]
    tokenizer: str

    def __str__(self) -> str:
        left = [f"{reason} ({count})" for reason, count in self.unused.items()]
        return "\n".join(
            [
                f"read     {self.read}",
                f"wrote    {self.written}, {self.parameters:,} parameters",
                f"unused   {'; '.join(left) or 'nothing'}",
                f"texts    {self.tokenizer or 'no tokenizer beside the weights'}",
            ]
        )


def convert(
    source: pretrained.Name,
    directory: pretrained.Name,
    to: str = "huggingface",
    *,
    architecture: str | None = None,
    mlm_bias: bool = False,
    quantization: str | None = None,
) -> Conversion:
    """Converts a checkpoint, one tensor in memory at a time.

    Args:
      source: see `pretrained.from_pretrained`, also for the next two.
      directory: where to; made when everything is written. It may be there if empty.
      to: one of `TARGETS`.
      architecture: "encoder", "decoder" or "encoder-decoder".
      mlm_bias: see `pretrained.from_pretrained`.
      quantization: of CTranslate2's weights, such as "int8".

    Raises:
      ConfigError: no such target, or one that cannot express the model.
      CheckpointError: the source is missing or damaged, the directory holds something.
      TokenizerError: CTranslate2 needs a tokenizer's vocabulary.
    """
    if to not in TARGETS:
        raise ConfigError(
            f"the target is {to!r}; expected {' or '.join(TARGETS)}."
            f"{nearest(to, TARGETS)}"
        )
    if quantization is not None and to != "ctranslate2":
        raise ConfigError(
            f"quantization is {quantization!r} for {to}, which stores float32; expected "
            "it with --to=ctranslate2."
        )
    directory = pathlib.Path(directory)
    with (
        pretrained.opened(source, architecture, mlm_bias=mlm_bias) as found,
        _made_whole(directory) as building,
    ):
        tokenizers = _tokenizers(found)
        if to == "huggingface":
            search = _generation(found)
            pretrained.save(building, found.config, found.params, tokenizers, search)
        else:
            _to_ctranslate2(building, found, tokenizers, quantization)
        return Conversion(
            read=f"{found.path} ({found.format}, {found.architecture})",
            written=f"{directory} (for {to})",
            parameters=sum(array.values.size for array in found.arrays.values()),
            unused=dict(collections.Counter(left.reason for left in found.unused)),
            tokenizer="" if tokenizers is None else type(tokenizers.source).__name__,
        )


@contextlib.contextmanager
def _made_whole(directory: pathlib.Path) -> Iterator[pathlib.Path]:
    """A place beside a directory that takes its name in the end, or is removed."""
    if directory.exists() and (not directory.is_dir() or any(directory.iterdir())):
        raise CheckpointError(
            f"{directory} is there and not empty; expected a new directory, so that "
            "nothing of another model stays among the files."
        )
    try:
        directory.parent.mkdir(parents=True, exist_ok=True)
        outer = tempfile.mkdtemp(prefix=f"{directory.name}-", dir=directory.parent)
    except OSError as error:
        raise CheckpointError(
            f"{directory}: cannot be made ({error.strerror})."
        ) from error
    try:
        building = pathlib.Path(outer) / directory.name  # mkdtemp's own is private
        building.mkdir()
        yield building
        try:
            os.replace(building, directory)
        except OSError as error:
            raise CheckpointError(
                f"{directory}: cannot be made ({error.strerror})."
            ) from error
    finally:
        shutil.rmtree(outer, ignore_errors=True)


def _tokenizers(found: Checkpoint) -> TokenizerPair | None:
    """Those beside the weights; what is there must be sound."""
    try:
        return TokenizerPair.from_pretrained(found.path)
    except TokenizerError:
        if any(found.path.glob("*vocab*")) or any(found.path.glob("tokenizer*")):
            raise
        return None


def _generation(found: Checkpoint) -> GenerationConfig | None:
    """How the source says that it is searched; nothing for what generates nothing."""
    if found.architecture == "encoder":
        return None
    if (found.path / "config.json").is_file():
        return pretrained.generation_config(found.path)
    config: Any = found.config
    start = None
    if isinstance(config, EncoderDecoderConfig):
        start = config.decoder_start_token_id
    return GenerationConfig(
        decoder_start_token_id=start,
        eos_token_id=config.eos_token_id,
        pad_token_id=config.pad_token_id,
    )


def _to_ctranslate2(
    directory: pathlib.Path,
    found: Checkpoint,
    tokenizers: TokenizerPair | None,
    quantization: str | None,
) -> None:
    if tokenizers is None:
        raise TokenizerError(
            f"{found.path}: holds no tokenizer; expected one beside the weights, as "
            "CTranslate2 knows ids by the names of their pieces."
        )
    target = None if tokenizers.is_one else tokenizers.target
    ctranslate2_export.save(
        directory,
        found.config,
        found.params,
        tokenizers.source.get_vocab(),
        unk_token_id=tokenizers.source.special_ids.unk,
        target_vocabulary=None if target is None else target.get_vocab(),
        quantization=quantization,
    )
