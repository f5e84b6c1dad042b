"""A checkpoint of any format in, a directory for Hugging Face or CTranslate2 out."""

import contextlib
import dataclasses
import os
import pathlib
import shutil
import tempfile
from collections.abc import Iterator
from typing import Any

from bertgen_jax.decoding.config import GenerationConfig
from bertgen_jax.errors import CheckpointError, ConfigError, TokenizerError, nearest
from bertgen_jax.models.config import read_json
from bertgen_jax.pretrained import loading
from bertgen_jax.pretrained.checkpoint import Checkpoint, Unused, summary
from bertgen_jax.pretrained.ctranslate2 import export
from bertgen_jax.pretrained.formats.own_runs import MODEL_CONFIG
from bertgen_jax.tokenizers.pair import TokenizerPair
from bertgen_jax.tokenizers.vocabulary_files import FOLDERS, LAYOUTS

TARGETS = ("huggingface", "ctranslate2")

# Where one of these lies there is a tokenizer, or a part of one. fairseq's archives
# hold a dict.txt alone.
_VOCABULARIES = {
    name for layouts in LAYOUTS.values() for layout in layouts for name in layout
} - {"dict.txt"}


@dataclasses.dataclass(frozen=True)
class Conversion:
    """What was converted.

    Attributes:
      read: format and architecture of the source.
      written: format and place of the result.
      parameters: how many values the model has; what is shared counts once.
      unused: what of the source was left out, and why.
      tokenizer: name of its class; "" where the source has none.
    """

    read: str
    written: str
    parameters: int
    unused: tuple[Unused, ...]
    tokenizer: str

    def __str__(self) -> str:
        return "\n".join(
            [
                f"read     {self.read}",
                f"wrote    {self.written}, {self.parameters:,} parameters",
                f"unused   {summary(self.unused)}",
                f"texts    {self.tokenizer or 'no tokenizer beside the weights'}",
            ]
        )


def convert(
    source: loading.Name,
    directory: loading.Name,
    to: str = "huggingface",
    *,
    architecture: str | None = None,
    mlm_bias: bool = False,
    quantization: str | None = None,
) -> Conversion:
    """Converts a checkpoint, one tensor in memory at a time.

    Args:
      source: see `loading.from_pretrained`, also for the next two.
      directory: where to; made when everything is written. It may be there if empty.
      to: one of `TARGETS`.
      architecture: "encoder", "decoder" or "encoder-decoder".
      mlm_bias: see `loading.from_pretrained`.
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
            f"quantization is {quantization!r} for {to}, which stores float32; "
            "expected it with --to=ctranslate2."
        )
    _check_free(pathlib.Path(directory))
    with (
        loading.opened(source, architecture, mlm_bias=mlm_bias) as found,
        _made_whole(pathlib.Path(directory)) as building,
    ):
        tokenizers = _tokenizers(found)
        if to == "huggingface":
            search = _generation(found)
            loading.save(building, found.config, found.params, tokenizers, search)
        else:
            _to_ctranslate2(building, found, tokenizers, quantization)
        return Conversion(
            read=f"{os.fspath(source)} ({found.format}, {found.architecture})",
            written=f"{directory} (for {to})",
            parameters=sum(array.values.size for array in found.arrays.values()),
            unused=found.unused,
            tokenizer="" if tokenizers is None else type(tokenizers.source).__name__,
        )


def _check_free(directory: pathlib.Path) -> None:
    try:
        is_free = not any(directory.iterdir())
    except NotADirectoryError:
        is_free = not os.path.exists(directory)
    except OSError:  # there is nothing, or nothing can be; then writing says so
        is_free = True
    if not is_free:
        raise CheckpointError(
            f"{directory} is there and not empty; expected a new directory, so that "
            "nothing of another model stays among the files."
        )


@contextlib.contextmanager
def _made_whole(directory: pathlib.Path) -> Iterator[pathlib.Path]:
    """A place beside a directory that takes its name in the end, or is removed."""
    target, outer = directory.resolve(), None
    new_parents = [parent for parent in target.parents if not parent.exists()]
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        outer = tempfile.mkdtemp(prefix=f"{target.name}-", dir=target.parent)
        building = pathlib.Path(outer) / target.name  # mkdtemp's own is private
        building.mkdir()
        yield building
        os.replace(building, target)
    except OSError as error:
        raise CheckpointError(
            f"{directory}: cannot be written ({error.strerror or error})."
        ) from error
    finally:
        if outer is not None:
            shutil.rmtree(outer, ignore_errors=True)
        for parent in new_parents:  # those that have stayed empty
            with contextlib.suppress(OSError):
                parent.rmdir()


def _tokenizers(found: Checkpoint) -> TokenizerPair | None:
    """Those beside the weights; what is there must be sound."""
    try:
        return TokenizerPair.from_pretrained(found.path)
    except TokenizerError:
        folders = (found.path, *(found.path / name for name in FOLDERS))
        if any(any(folder.glob(name)) for folder in folders for name in _VOCABULARIES):
            raise
        return None


def _generation(found: Checkpoint) -> GenerationConfig | None:
    """How the source says that it is searched; nothing for what generates nothing."""
    if found.architecture == "encoder":
        return None
    settings = GenerationConfig()
    if (found.path / MODEL_CONFIG).is_file():
        settings = _generation_of_run(found.path)
    elif (found.path / "config.json").is_file():
        settings = loading.generation_config(found.path)
    config: Any = found.config
    ids = {
        "decoder_start_token_id": getattr(config, "decoder_start_token_id", None),
        "eos_token_id": config.eos_token_id,
        "pad_token_id": config.pad_token_id,
    }
    ids = {name: id_ for name, id_ in ids.items() if getattr(settings, name) is None}
    return dataclasses.replace(settings, **ids)


def _generation_of_run(workdir: pathlib.Path) -> GenerationConfig:
    """The `decode` settings of an experiment's config."""
    path = workdir / "config.json"
    decode = read_json(path).get("decode")
    values = dict(decode) if isinstance(decode, dict) else {}
    # A flag keeps the type of its default, a string: True arrives as "True".
    early = values.get("early_stopping")
    flags = {"true": True, "false": False}
    values["early_stopping"] = flags.get(str(early).lower(), early)
    try:
        return GenerationConfig.from_dict(values)
    except ConfigError as error:
        raise CheckpointError(f"{path}: {error}") from error


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
    export.save(
        directory,
        found.config,
        found.params,
        tokenizers.source.get_vocab(),
        unk_token_id=tokenizers.source.special_ids.unk,
        target_vocabulary=None if target is None else target.get_vocab(),
        quantization=quantization,
    )
