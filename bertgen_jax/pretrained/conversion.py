"""Converts a checkpoint of any format for Hugging Face or for CTranslate2."""

import dataclasses
import os
import pathlib

from bertgen_jax import errors
from bertgen_jax.decoding.config import GenerationConfig
from bertgen_jax.errors import CheckpointError, ConfigError, TokenizerError
from bertgen_jax.files import atomic, json_files
from bertgen_jax.pretrained import loading, saving
from bertgen_jax.pretrained.checkpoint import Checkpoint, Unused, summary
from bertgen_jax.pretrained.ctranslate2 import export
from bertgen_jax.pretrained.formats.location import MODEL_CONFIG
from bertgen_jax.tokenizers.pair import TokenizerPair
from bertgen_jax.tokenizers.vocabulary_files import FILE_NAMES, SUBDIRECTORIES

TARGETS = ("huggingface", "ctranslate2")

# A directory with one of these files has a tokenizer, or a part of one. The archives of
# fairseq hold a dict.txt alone.
_VOCABULARIES = {
    name
    for alternatives in FILE_NAMES.values()
    for names in alternatives
    for name in names
} - {"dict.txt"}


@dataclasses.dataclass(frozen=True)
class Conversion:
    """A summary of a conversion.

    Attributes:
      read: path, format and architecture of the checkpoint.
      written: path and format of the result.
      parameters: the number of values of the model; shared ones count once.
      unused: the tensors that were left out, and why.
      tokenizer: the class of its tokenizer; "" without one.
    """

    read: str
    written: str
    parameters: int
    unused: tuple[Unused, ...]
    tokenizer: str

    def __str__(self) -> str:
        return "\n".join(
            [
                f"read       {self.read}",
                f"wrote      {self.written}, {self.parameters:,} parameters",
                f"left out   {summary(self.unused)}",
                f"tokenizer  {self.tokenizer or 'none beside the weights'}",
            ]
        )


def convert(
    source: str | os.PathLike[str],
    directory: str | os.PathLike[str],
    to: str = "huggingface",
    *,
    architecture: str | None = None,
    mlm_bias: bool = False,
    quantization: str | None = None,
) -> Conversion:
    """Converts a checkpoint, with one tensor in memory at a time.

    Args:
      source: the checkpoint; for this argument and `architecture` and `mlm_bias`, see
        `loading.from_pretrained`.
      directory: where to write; absent or empty. It appears when it is complete.
      to: one of `TARGETS`.
      architecture: "encoder", "decoder" or "encoder-decoder".
      mlm_bias: see `loading.from_pretrained`.
      quantization: the type of CTranslate2's weights, such as "int8".

    Raises:
      ConfigError: the target is unknown, or cannot express the model.
      CheckpointError: the checkpoint is missing or damaged, or the directory is not
        empty.
      TokenizerError: CTranslate2 needs the vocabulary of a tokenizer.
    """
    errors.check_choice("the target", to, TARGETS)
    if quantization is not None and to != "ctranslate2":
        raise ConfigError(
            f"quantization is {quantization!r} for {to}, which stores float32; "
            "expected it with --to=ctranslate2."
        )
    target = pathlib.Path(directory)
    _check_free(target)
    with loading.opened(source, architecture, mlm_bias=mlm_bias) as checkpoint:
        tokenizers = _tokenizers(checkpoint)
        try:
            with atomic.new_directory(target.resolve()) as temporary:
                _write(temporary, checkpoint, tokenizers, to, quantization)
        except OSError as error:
            raise CheckpointError(
                f"{directory}: cannot be written ({error.strerror or error})."
            ) from error
        name = f"{checkpoint.format}, {checkpoint.architecture}"
        arrays = checkpoint.arrays.values()
        return Conversion(
            read=f"{os.fspath(source)} ({name})",
            written=f"{directory} (for {to})",
            parameters=sum(array.values.size for array in arrays),
            unused=checkpoint.unused,
            tokenizer=type(tokenizers.source).__name__ if tokenizers else "",
        )


def _write(
    directory: pathlib.Path,
    checkpoint: Checkpoint,
    tokenizers: TokenizerPair | None,
    to: str,
    quantization: str | None,
) -> None:
    config, params = checkpoint.config, checkpoint.params
    if to == "huggingface":
        generation = _generation_config(checkpoint)
        saving.save(directory, config, params, tokenizers, generation)
        return
    if tokenizers is None:
        raise TokenizerError(
            f"{checkpoint.path}: holds no tokenizer; expected one beside the weights, "
            "because CTranslate2 knows ids by the names of their pieces."
        )
    target = None if tokenizers.is_one else tokenizers.target
    export.save(
        directory,
        config,
        params,
        tokenizers.source.get_vocab(),
        unk_token_id=tokenizers.source.special_ids.unk,
        target_vocabulary=None if target is None else target.get_vocab(),
        quantization=quantization,
    )


def _check_free(directory: pathlib.Path) -> None:
    try:
        is_free = not any(directory.iterdir())
    except NotADirectoryError:
        is_free = not os.path.exists(directory)
    except OSError:  # absent or unreadable; writing reports the reason
        is_free = True
    if not is_free:
        raise CheckpointError(
            f"{directory} exists and is not empty; expected a new directory, so that "
            "no file of another model stays among the files."
        )


def _tokenizers(checkpoint: Checkpoint) -> TokenizerPair | None:
    """Reads the tokenizers beside the weights; None without any vocabulary file."""
    path = checkpoint.path
    try:
        return TokenizerPair.from_pretrained(path)
    except TokenizerError:
        folders = (path, *(path / name for name in SUBDIRECTORIES))
        if any(any(folder.glob(name)) for folder in folders for name in _VOCABULARIES):
            raise
        return None


def _generation_config(checkpoint: Checkpoint) -> GenerationConfig | None:
    """Returns the checkpoint's search settings; None for an encoder."""
    if checkpoint.architecture == "encoder":
        return None
    settings = GenerationConfig()
    if (checkpoint.path / MODEL_CONFIG).is_file():
        settings = _generation_config_of_run(checkpoint.path)
    elif (checkpoint.path / "config.json").is_file():
        settings = loading.generation_config(checkpoint.path)
    config = checkpoint.config
    ids = {
        "decoder_start_token_id": getattr(config, "decoder_start_token_id", None),
        "eos_token_id": config.eos_token_id,
        "pad_token_id": config.pad_token_id,
    }
    ids = {name: id_ for name, id_ in ids.items() if getattr(settings, name) is None}
    return dataclasses.replace(settings, **ids)


def _generation_config_of_run(workdir: pathlib.Path) -> GenerationConfig:
    """Returns the `decode` settings of a run's config."""
    path = workdir / "config.json"
    decode = json_files.read_object(path).get("decode")
    values = dict(decode) if isinstance(decode, dict) else {}
    # A flag keeps the type of its default, a string: True is stored as "True".
    early_stopping = values.get("early_stopping")
    flags = {"true": True, "false": False}
    values["early_stopping"] = flags.get(str(early_stopping).lower(), early_stopping)
    with errors.in_file(path):
        return GenerationConfig.from_dict(values)
