"""A `Source` in; its parameters in our layout, each with where it comes from, out."""

import dataclasses
import pathlib
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from bertgen_jax.checkpoints import huggingface, trees
from bertgen_jax.checkpoints.source import Config, Positions, Source, listed
from bertgen_jax.checkpoints.spellings import unused_of_ours
from bertgen_jax.checkpoints.tensor_files import Arrays
from bertgen_jax.errors import CheckpointError, ConfigError
from bertgen_jax.models.config import BertGenerationConfig, EncoderDecoderConfig
from bertgen_jax.suggest import nearest

ARCHITECTURES = ("encoder", "decoder", "encoder-decoder")

POSITIONS = "embeddings/position_embeddings/embedding"
WORDS = "embeddings/word_embeddings/embedding"
_SHARED = "decoder/bert/"  # what the stacks of a pair share is kept in the decoder's
_TRUNK = "bert/"  # of a decoder
_CHUNK = 1 << 24  # values looked at together: the check needs no copy of a tensor


@dataclasses.dataclass(frozen=True)
class Array:
    """An array and where it comes from.

    Attributes:
      values: f32, in the layout of our parameters; mostly a view of the file.
      source: the tensor, as the file names it.
      added: what was added to each of its rows; "" for nothing.
    """

    values: np.ndarray
    source: str
    added: str = ""


@dataclasses.dataclass(frozen=True)
class Unused:
    """A tensor of a checkpoint, or some of its rows, that no parameter takes.

    Attributes:
      tensor: as the file names it.
      shape: of the tensor.
      reason: a few words.
    """

    tensor: str
    shape: tuple[int, ...]
    reason: str


@dataclasses.dataclass(frozen=True)
class Checkpoint:
    """A published model in our layout.

    Attributes:
      path: where it was read.
      format: what it was read as, in words.
      kind: see `Source`.
      config: its architecture.
      arrays: by the path of the parameter.
      unused: what else the file holds.
      mlm_bias: the output bias f32[V] of its masked-LM head, if it has one. No model of
        the paper has it: it was trained behind a transform that is left out.
    """

    path: pathlib.Path
    format: str
    kind: str
    config: Config
    arrays: Mapping[str, Array]
    unused: tuple[Unused, ...]
    mlm_bias: Array | None = None

    @property
    def architecture(self) -> str:
        """One of `ARCHITECTURES`."""
        if isinstance(self.config, EncoderDecoderConfig):
            return "encoder-decoder"
        return "decoder" if self.config.is_decoder else "encoder"

    @property
    def params(self) -> dict[str, Any]:
        """The arrays as nested dicts."""
        return trees.nested({path: a.values for path, a in self.arrays.items()})


def load(source: Source) -> Checkpoint:
    """Reads a checkpoint.

    Raises:
      CheckpointError: a tensor is damaged or not finite, or two that are one parameter
        differ.
    """
    arrays: dict[str, Array] = {}
    problems = []
    # Orphans last: what the peer computes with decides.
    for weight in sorted(source.weights, key=lambda weight: weight.orphan):
        if weight.name not in source.names:
            continue
        array = weight.from_foreign(_read(source, weight.name))
        found = Array(array, _described(source, weight))
        first = arrays.setdefault(weight.path, found) if weight.path else None
        if first is found or weight.orphan:
            continue
        values = np.zeros_like(array) if first is None else first.values
        if not np.array_equal(values, array):
            meant = "zero" if first is None else first.source
            problems.append(f"! {found.source} is not {meant}")
    if problems:
        raise CheckpointError(
            f"{source.tensors.path}: its configuration says that tensors are shared, "
            f"tied or absent, but they are not equal:\n{listed(problems)}"
        )
    unused = [
        _unused(source, name, "no weights of a model, such as an optimizer's")
        for name in source.foreign
    ]
    taken = {weight.name for weight in source.weights}
    taken |= {table.segments for table in source.positions}
    unused += [
        _unused(source, in_file, source.unused(name))
        for name, in_file in source.names.items()
        if name not in taken
    ]
    for table in source.positions:
        arrays[table.path], left = _put_together(source, table, arrays[table.path])
        unused += left
    bias = None
    if source.mlm_bias:
        bias = Array(_read(source, source.mlm_bias), source.names[source.mlm_bias])
    return Checkpoint(
        source.path,
        source.format,
        source.kind,
        source.config,
        arrays,
        tuple(unused),
        bias,
    )


def from_tensors(
    config: Config, tensors: Mapping[str, np.ndarray], where: str = "tensors"
) -> Checkpoint:
    """Tensors in memory, by Hugging Face's names for such a model, as a checkpoint.

    Raises:
      CheckpointError: see `Source.check` and `load`.
    """
    path = pathlib.Path(where)
    source = Source(
        path=path,
        format="tensors in memory",
        kind="bert-generation",
        config=config,
        tensors=Arrays(path, tensors),
        weights=tuple(huggingface.weights_of(config)),
        names={name: name for name in tensors},
        unused=unused_of_ours,
    )
    source.check()
    return load(source)


def _read(source: Source, name: str) -> np.ndarray:
    """A tensor as f32; without a copy if it is stored so."""
    in_file = source.names[name]
    values = np.asarray(source.tensors.read(in_file), np.float32)
    flat = values.reshape(-1)
    for start in range(0, flat.size, _CHUNK):
        if not np.isfinite(flat[start : start + _CHUNK]).all():
            raise CheckpointError(
                f"{source.tensors.path}: {in_file} holds NaN or infinity; expected the "
                "weights of a model that works. Download or copy the file again."
            )
    return values


def _described(source: Source, weight: Any) -> str:
    return weight.source.replace(weight.name, source.names[weight.name])


def _unused(source: Source, in_file: str, reason: str | None) -> Unused:
    return Unused(in_file, source.tensors.tensors[in_file].shape, reason or "")


def _put_together(
    source: Source, table: Positions, array: Array
) -> tuple[Array, list[Unused]]:
    unused = []
    if table.first:
        reason = f"rows before {table.first}, the positions of padding"
        unused.append(Unused(array.source, array.values.shape, reason))
        array = dataclasses.replace(array, values=array.values[table.first :])
    if table.segments:
        segments = _read(source, table.segments)
        name = source.names[table.segments]
        array = Array(array.values + segments[:1], array.source, f"{name}[0]")
        if len(segments) > 1:
            reason = "rows from 1 on, segments that the model does not have"
            unused.append(Unused(name, segments.shape, reason))
    return array, unused


def as_architecture(
    checkpoint: Checkpoint, architecture: str | None, *, mlm_bias: bool = False
) -> Checkpoint:
    """Takes one side of a pair, or turns an encoder into a decoder, or back.

    Args:
      checkpoint: of any architecture.
      architecture: one of `ARCHITECTURES`; None for its own.
      mlm_bias: whether an encoder that becomes a decoder keeps the output bias of its
        masked-LM head; otherwise its softmax has no bias.

    Raises:
      ConfigError: no such architecture; a pair is asked of a single stack, or an output
        bias of a checkpoint that has none.
    """
    wanted = architecture or checkpoint.architecture
    if wanted not in ARCHITECTURES:
        raise ConfigError(
            f"architecture is {wanted!r}; expected one of {', '.join(ARCHITECTURES)}."
            f"{nearest(wanted, ARCHITECTURES)}"
        )
    if mlm_bias and (checkpoint.mlm_bias is None or wanted != "decoder"):
        raise ConfigError(
            f"mlm_bias is set for the {wanted} of {checkpoint.path}; expected a "
            "checkpoint with a masked-LM head, loaded as a decoder."
        )
    if wanted == checkpoint.architecture:
        return checkpoint
    if wanted == "encoder-decoder":
        raise ConfigError(
            f"{checkpoint.path} holds one stack ({checkpoint.format}), no pair. A pair "
            'is made of one or two such checkpoints: bertgen_jax.warm_start("bert2bert"'
            f", encoder={str(checkpoint.path)!r})."
        )
    if wanted == "encoder":
        return _encoder(checkpoint)
    if checkpoint.architecture == "encoder":
        return _causal(checkpoint, mlm_bias)
    return _part(checkpoint, checkpoint.config.decoder, _below("decoder/"))


def _encoder(checkpoint: Checkpoint) -> Checkpoint:
    """The encoder of a pair, or the trunk of a decoder without cross-attention."""
    config = checkpoint.config
    if not isinstance(config, EncoderDecoderConfig):
        alone = dataclasses.replace(config, is_decoder=False, add_cross_attention=False)
        return _part(checkpoint, alone, _below(_TRUNK))

    def place(path: str) -> str | None:
        shared = path.removeprefix(_SHARED)
        if shared != path:
            return shared if config.shares(shared) else None
        return _below("encoder/")(path)

    return _part(checkpoint, config.encoder, place)


def _below(prefix: str) -> Callable[[str], str | None]:
    return lambda path: path.removeprefix(prefix) if path.startswith(prefix) else None


def _part(
    checkpoint: Checkpoint,
    config: BertGenerationConfig,
    place: Callable[[str], str | None],
) -> Checkpoint:
    """The arrays that have a place; cross-attention only in a config that has it."""
    arrays, unused = {}, list(checkpoint.unused)
    for path, array in checkpoint.arrays.items():
        new = place(path)
        crosses = "/crossattention/" in path and not config.add_cross_attention
        if new is None or crosses:
            reason = "of the other side, or between the two"
            unused.append(Unused(array.source, array.values.shape, reason))
        else:
            arrays[new] = array
    return dataclasses.replace(
        checkpoint, config=config, arrays=arrays, unused=tuple(unused)
    )


def _causal(checkpoint: Checkpoint, mlm_bias: bool) -> Checkpoint:
    """An encoder as a decoder: causal, its word table the softmax's."""
    config = dataclasses.replace(
        checkpoint.config,
        is_decoder=True,
        tie_word_embeddings=True,
        lm_head_bias=mlm_bias,
    )
    arrays = {f"{_TRUNK}{path}": array for path, array in checkpoint.arrays.items()}
    if mlm_bias:
        arrays["lm_head/bias"] = checkpoint.mlm_bias
    return dataclasses.replace(checkpoint, config=config, arrays=arrays)


def stack_of(checkpoint: Checkpoint, side: str) -> Checkpoint:
    """The stack that one side of a model starts from, with the paths of an encoder.

    Args:
      checkpoint: of any architecture.
      side: "encoder" or "decoder"; it decides where a pair has two stacks.
    """
    if side == "decoder" and checkpoint.architecture == "encoder-decoder":
        checkpoint = as_architecture(checkpoint, "decoder")
    return as_architecture(checkpoint, "encoder")
