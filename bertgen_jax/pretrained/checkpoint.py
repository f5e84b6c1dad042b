"""A `Source` in; its parameters in our layout, each with where it comes from, out."""

import collections
import dataclasses
import pathlib
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import numpy as np

from bertgen_jax import trees
from bertgen_jax.errors import CheckpointError, ConfigError, nearest
from bertgen_jax.models.config import (
    BertGenerationConfig,
    EncoderDecoderConfig,
    PrefixLanguageModelConfig,
)
from bertgen_jax.pretrained import saving
from bertgen_jax.pretrained.containers.tensor_file import Arrays
from bertgen_jax.pretrained.key_maps import unused_of_ours
from bertgen_jax.pretrained.opened_checkpoint import Config, Positions, Source, listed

ARCHITECTURES = ("encoder", "decoder", "encoder-decoder")

POSITIONS = "embeddings/position_embeddings/embedding"
WORDS = "embeddings/word_embeddings/embedding"
_SHARED = "decoder/bert/"  # what the stacks of a pair share is kept in the decoder's
_TRUNK = "bert/"  # of a decoder
_CHUNK = 1 << 24  # values looked at together: the check needs no copy of a tensor
# Why a tensor is left out, where its name does not say it.
_FOREIGN = "no weights of a model, such as an optimizer's"
_REPEATS = "repeats another tensor"
_ABSENT = "zeros, in the place of what the model does not have"
_ORPHAN = "stands beside the tensor of its kind that is computed with"


@dataclasses.dataclass(frozen=True)
class Array:
    """An array and where it comes from.

    Attributes:
      values: floating-point numbers in the layout of our parameters; mostly a view of
        the file, and in its precision.
      tensor: the tensor that it is, as the file names it.
      part: which part of it, such as "[1/3]"; "" for all.
      added: the tensor whose row 0 was added to each of its rows; "" for none.
    """

    values: np.ndarray
    tensor: str
    part: str = ""
    added: str = ""

    @property
    def source(self) -> str:
        """Where it comes from, in words."""
        added = f" + {self.added}[0]" if self.added else ""
        return f"{self.tensor}{self.part}{added}"

    @property
    def tensors(self) -> tuple[str, ...]:
        """The tensors of the file that it is made of."""
        return (self.tensor, self.added) if self.added else (self.tensor,)


@dataclasses.dataclass(frozen=True)
class Unused:
    """A tensor of a checkpoint, or some of its rows, that no parameter takes.

    Attributes:
      tensor: as the file names it.
      shape: of the tensor.
      reason: a few words.
      rows: how many of its rows; 0 for all of it.
    """

    tensor: str
    shape: tuple[int, ...]
    reason: str
    rows: int = 0


@dataclasses.dataclass(frozen=True)
class Checkpoint:
    """A published model in our layout.

    Attributes:
      path: the directory that it was read in.
      file: the file or index in it.
      format: what it was read as, in words.
      kind: see `Source`.
      config: its architecture.
      arrays: by the path of the parameter.
      shapes: of all tensors of the file.
      reasons: why a tensor is not among the arrays.
      left_rows: rows of tensors that are, but without these.
      mlm_bias: the output bias [V] of its masked-LM head, if it has one. No model of
        the paper has it: it was trained behind a transform that is left out.
    """

    path: pathlib.Path
    file: pathlib.Path
    format: str
    kind: str
    config: Config
    arrays: Mapping[str, Array]
    shapes: Mapping[str, tuple[int, ...]]
    reasons: Mapping[str, str]
    left_rows: tuple[Unused, ...]
    mlm_bias: Array | None = None

    @property
    def unused(self) -> tuple[Unused, ...]:
        """What no array takes: every tensor of the file is in an array, or here."""
        return unused(self.arrays.values(), self.shapes, self.reasons, self.left_rows)

    @property
    def architecture(self) -> str:
        """One of `ARCHITECTURES`; a prefix language model is a decoder."""
        if isinstance(self.config, EncoderDecoderConfig):
            return "encoder-decoder"
        is_decoder = getattr(self.config, "decoder", self.config).is_decoder
        return "decoder" if is_decoder else "encoder"

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
    reasons = dict.fromkeys(source.foreign, _FOREIGN)
    mapped = {weight.name for weight in source.weights}
    for name, in_file in source.names.items():
        reason = source.unused(name)
        if name not in mapped and reason is not None:
            reasons[in_file] = reason
    arrays, repeated = _arrays(source)
    reasons |= repeated
    left_rows: list[Unused] = []
    for table in source.positions:
        arrays[table.path], left = _put_together(source, table, arrays[table.path])
        left_rows += left
    bias = None
    if source.mlm_bias:
        bias = Array(_read(source, source.mlm_bias), source.names[source.mlm_bias])
    return Checkpoint(
        path=source.path,
        file=source.tensors.path,
        format=source.format,
        kind=source.kind,
        config=source.config,
        arrays=arrays,
        shapes={name: info.shape for name, info in source.tensors.tensors.items()},
        reasons=reasons,
        left_rows=tuple(left_rows),
        mlm_bias=bias,
    )


def _arrays(source: Source) -> tuple[dict[str, Array], dict[str, str]]:
    """The arrays of a checkpoint by path; and why tensors that have one are left out.

    Raises:
      CheckpointError: see `load`.
    """
    arrays: dict[str, Array] = {}
    reasons, problems = {}, []
    # Orphans last: what the peer computes with decides.
    for weight in sorted(source.weights, key=lambda weight: weight.orphan):
        if weight.name not in source.names:
            continue
        values = weight.from_foreign(_read(source, weight.name))
        part = weight.source.removeprefix(weight.name)
        found = Array(values, source.names[weight.name], part)
        first = arrays.setdefault(weight.path, found) if weight.path else None
        if first is found:
            continue
        if weight.orphan:
            reasons[found.tensor] = _ORPHAN
            continue
        reasons[found.tensor] = _REPEATS if first else _ABSENT
        expected = np.zeros_like(values) if first is None else first.values
        if not np.array_equal(expected, values):
            meant = "zero" if first is None else first.source
            problems.append(f"! {found.source} is not {meant}")
    if problems:
        raise CheckpointError(
            f"{source.tensors.path}: its configuration says that tensors are shared, "
            f"tied or absent, but they are not equal:\n{listed(problems)}"
        )
    return arrays, reasons


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
        weights=tuple(saving.weights_of(config)),
        names={name: name for name in tensors},
        unused=unused_of_ours,
    )
    source.check()
    return load(source)


def unused(
    arrays: Iterable[Array],
    shapes: Mapping[str, tuple[int, ...]],
    reasons: Mapping[str, str],
    left_rows: Iterable[Unused],
) -> tuple[Unused, ...]:
    """The tensors of a file, or rows of them, that none of `arrays` takes.

    Args:
      arrays: some of the arrays of a checkpoint.
      shapes, reasons, left_rows: see `Checkpoint`.
    """
    taken = {tensor for array in arrays for tensor in array.tensors}
    whole = (
        Unused(tensor, shape, reasons.get(tensor, _REPEATS))
        for tensor, shape in shapes.items()
        if tensor not in taken
    )
    return (*whole, *(rows for rows in left_rows if rows.tensor in taken))


def summary(unused: Iterable[Unused]) -> str:
    """What was left out, by reason: "next-sentence head (2); ..., (510 rows)"."""
    counts = collections.Counter()
    for one in unused:
        counts[one.reason, bool(one.rows)] += one.rows or 1
    listed = []
    for (reason, are_rows), count in counts.items():
        rows = (" row" if count == 1 else " rows") if are_rows else ""
        listed.append(f"{reason} ({count:,}{rows})")
    return "; ".join(listed) or "nothing"


def _read(source: Source, name: str) -> np.ndarray:
    """A tensor without a copy; one that is wider than f32 as f32."""
    in_file = source.names[name]
    values = source.tensors.read(in_file)
    if values.dtype.itemsize > 4:
        with np.errstate(over="ignore"):  # what is too large becomes infinite
            values = values.astype(np.float32)
    flat = values.reshape(-1)
    for start in range(0, flat.size, _CHUNK):
        if not np.isfinite(flat[start : start + _CHUNK]).all():
            raise CheckpointError(
                f"{source.tensors.path}: {in_file} holds NaN or infinity; expected the "
                "weights of a model that works. Download or copy the file again."
            )
    return values


def _put_together(
    source: Source, table: Positions, array: Array
) -> tuple[Array, list[Unused]]:
    """The positions of tokens, with their segment; and the rows that are left out."""
    left = []

    def leave(tensor: str, rows: int, reason: str) -> None:
        left.append(Unused(tensor, source.tensors.tensors[tensor].shape, reason, rows))

    values = array.values[table.first :]
    if table.first:
        reason = f"rows before {table.first}, the positions of padding"
        leave(array.tensor, table.first, reason)
    if not table.segments:
        return dataclasses.replace(array, values=values), left
    segments, added = _read(source, table.segments), source.names[table.segments]
    if len(segments) > 1:
        reason = "rows from 1 on, segments that the model does not have"
        leave(added, len(segments) - 1, reason)
    # In f32: the sum of two halves is no half.
    values = values.astype(np.float32) + segments[:1].astype(np.float32)
    return dataclasses.replace(array, values=values, added=added), left


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
        prefix = _TRUNK
        if isinstance(config, PrefixLanguageModelConfig):
            config, prefix = config.decoder, _SHARED
        alone = dataclasses.replace(config, is_decoder=False, add_cross_attention=False)
        return _part(checkpoint, alone, _below(prefix))

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
    arrays, reasons = {}, dict(checkpoint.reasons)
    for path, array in checkpoint.arrays.items():
        new, reason = place(path), ""
        if "/crossattention/" in path and not config.add_cross_attention:
            new, reason = None, "cross-attention, which an encoder does not have"
        elif "lm_head/" in path:
            reason = "head of a decoder"
        if new is None:
            reason = reason or "of the other side, or between the two"
            reasons.update(dict.fromkeys(array.tensors, reason))
        else:
            arrays[new] = array
    return dataclasses.replace(
        checkpoint, config=config, arrays=arrays, reasons=reasons
    )


def _causal(checkpoint: Checkpoint, mlm_bias: bool) -> Checkpoint:
    """An encoder as a decoder: causal, its word table the softmax's."""
    config = dataclasses.replace(
        checkpoint.config,
        is_decoder=True,
        tie_word_embeddings=True,
        lm_head_bias=mlm_bias,
        lm_head_transform=False,
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
