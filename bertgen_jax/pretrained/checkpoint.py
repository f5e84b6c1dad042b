"""Reads an opened checkpoint as parameters, and records the tensors they come from."""

import collections
import dataclasses
import pathlib
from collections.abc import Callable, Iterable, Mapping

import numpy as np

from bertgen_jax import errors, trees
from bertgen_jax.errors import CheckpointError, ConfigError
from bertgen_jax.models.config import Config
from bertgen_jax.models.stack_config import BertGenerationConfig
from bertgen_jax.pretrained import key_maps, parameter_maps
from bertgen_jax.pretrained.containers.tensor_file import Arrays, listed
from bertgen_jax.pretrained.opened_checkpoint import OpenedCheckpoint, PositionTable
from bertgen_jax.tokenizers.interface import Tokenizer
from bertgen_jax.trees import Params

ARCHITECTURES = ("encoder", "decoder", "encoder-decoder")

_STACK_PREFIXES = ("encoder/", "decoder/bert/", "bert/")  # where a model has its stacks
_CHUNK = 1 << 24  # values checked at once, so that the check needs no copy of a tensor
# Reasons to leave a tensor out that do not follow from its name.
_NON_WEIGHT = "not weights of the model, such as the state of an optimizer"
_REPEATS = "repeats another tensor"
_ABSENT = "zeros, for a parameter that the model does not have"
_ORPHAN = "ignored, because its tied twin is used"


@dataclasses.dataclass(frozen=True)
class Array:
    """The values of a parameter and the tensors that they come from.

    Attributes:
      values: floating-point numbers in the layout of our parameters, usually a view of
        the file and in its precision.
      tensor: the name of the tensor in the file.
      part: which part of the tensor, such as "[1/3]"; "" for the whole tensor.
      added: the tensor whose row 0 was added to every row; "" for none.
    """

    values: np.ndarray
    tensor: str
    part: str = ""
    added: str = ""

    @property
    def origin(self) -> str:
        """Where the values come from, for messages and reports."""
        added = f" + {self.added}[0]" if self.added else ""
        return f"{self.tensor}{self.part}{added}"

    @property
    def tensors(self) -> tuple[str, ...]:
        """The names of the tensors that the values come from."""
        return (self.tensor, self.added) if self.added else (self.tensor,)


@dataclasses.dataclass(frozen=True)
class Unused:
    """A tensor of a checkpoint, or some of its rows, that is not used.

    Attributes:
      tensor: the name of the tensor in the file.
      shape: the shape of the tensor.
      reason: a few words.
      rows: how many of its rows are not used; 0 for the whole tensor.
    """

    tensor: str
    shape: tuple[int, ...]
    reason: str
    rows: int = 0

    def to_dict(self) -> dict[str, object]:
        """Returns the fields as JSON values."""
        return {**dataclasses.asdict(self), "shape": list(self.shape)}


@dataclasses.dataclass(frozen=True)
class Checkpoint:
    """A published model, or one stack of it, as parameters in our layout.

    Attributes:
      opened: the files that it was read from.
      config: the architecture. It differs from the files' architecture after
        `as_architecture`.
      arrays: the parameters by their paths.
      reasons: why a tensor is not among the arrays, by its name in the file.
      left_rows: rows of tensors whose other rows are among the arrays.
      mlm_bias: the output bias [V] of the masked-LM head, if there is one. It was
        trained behind a transform that no model of the paper has.
    """

    opened: OpenedCheckpoint
    config: Config
    arrays: Mapping[str, Array]
    reasons: Mapping[str, str]
    left_rows: tuple[Unused, ...]
    mlm_bias: Array | None = None

    @property
    def path(self) -> pathlib.Path:
        """The directory of the checkpoint."""
        return self.opened.path

    @property
    def file(self) -> pathlib.Path:
        """The file or index with the weights."""
        return self.opened.tensors.path

    @property
    def format(self) -> str:
        """The recognised format, as messages name it."""
        return self.opened.format

    @property
    def kind(self) -> str:
        """See `OpenedCheckpoint`."""
        return self.opened.kind

    @property
    def tokenizer(self) -> Tokenizer:
        """See `OpenedCheckpoint`."""
        return self.opened.tokenizer

    @property
    def shapes(self) -> dict[str, tuple[int, ...]]:
        """The shapes of all tensors of the file."""
        tensors = self.opened.tensors.tensors
        return {name: info.shape for name, info in tensors.items()}

    @property
    def unused(self) -> tuple[Unused, ...]:
        """Tensors and rows that no array uses. Every tensor is in an array or here."""
        return unused(self.arrays.values(), self.shapes, self.reasons, self.left_rows)

    @property
    def architecture(self) -> str:
        """One of `ARCHITECTURES`; a prefix language model is a decoder."""
        return self.config.architecture

    @property
    def params(self) -> Params:
        """The arrays as nested dicts."""
        return trees.nested({path: a.values for path, a in self.arrays.items()})


def load(opened: OpenedCheckpoint) -> Checkpoint:
    """Reads a checkpoint.

    Raises:
      CheckpointError: a tensor is damaged or has values that are not finite, or two
        tensors that should be one parameter differ.
    """
    reasons = dict.fromkeys(opened.non_weights, _NON_WEIGHT)
    mapped = {weight.name for weight in opened.weights}
    for name, name_in_file in opened.names.items():
        reason = opened.unused_reason(name)
        if name not in mapped and reason is not None:
            reasons[name_in_file] = reason
    arrays, reasons_of_repeated = _read_arrays(opened)
    reasons |= reasons_of_repeated
    left_rows: list[Unused] = []
    for table in opened.position_tables:
        arrays[table.path], table_rows = _token_positions(
            opened, table, arrays[table.path]
        )
        left_rows += table_rows
    bias = None
    if opened.mlm_bias:
        bias = Array(_read(opened, opened.mlm_bias), opened.names[opened.mlm_bias])
    return Checkpoint(opened, opened.config, arrays, reasons, tuple(left_rows), bias)


def _read_arrays(opened: OpenedCheckpoint) -> tuple[dict[str, Array], dict[str, str]]:
    """Reads the parameters, and says why tensors that repeat one are left out.

    Raises:
      CheckpointError: see `load`.
    """
    arrays: dict[str, Array] = {}
    reasons: dict[str, str] = {}
    problems = []
    # Orphans come last: the tensor that Hugging Face computes with has precedence.
    for weight in sorted(opened.weights, key=lambda weight: weight.orphan):
        if weight.name not in opened.names:
            continue
        values = weight.from_foreign(_read(opened, weight.name))
        part = weight.label.removeprefix(weight.name)
        array = Array(values, opened.names[weight.name], part)
        first = arrays.setdefault(weight.path, array) if weight.path else None
        if first is array:
            continue
        if weight.orphan:
            reasons[array.tensor] = _ORPHAN
            continue
        reasons[array.tensor] = _REPEATS if first else _ABSENT
        expected = np.zeros_like(values) if first is None else first.values
        if not np.array_equal(expected, values):
            origin = "zero" if first is None else first.origin
            problems.append(f"! {array.origin} is not {origin}")
    if problems:
        raise CheckpointError(
            f"{opened.tensors.path}: according to its configuration, tensors are "
            f"shared, tied or absent, but they are not equal:\n{listed(problems)}"
        )
    return arrays, reasons


def from_tensors(
    config: Config, tensors: Mapping[str, np.ndarray], where: str = "tensors"
) -> Checkpoint:
    """Makes a checkpoint of tensors in memory with Hugging Face's names.

    Args:
      config: the architecture.
      tensors: those of Hugging Face's class, as `parameter_maps.weights_of` maps them.
      where: the name of the tensors in messages.

    Raises:
      CheckpointError: see `OpenedCheckpoint.check` and `load`.
    """
    path = pathlib.Path(where)
    opened = OpenedCheckpoint(
        path=path,
        format="tensors in memory",
        kind="bert-generation",
        config=config,
        tensors=Arrays(path, tensors),
        weights=tuple(parameter_maps.weights_of(config)),
        names={name: name for name in tensors},
        unused_reason=key_maps.unused_reason_generation,
    )
    opened.check()
    return load(opened)


def unused(
    arrays: Iterable[Array],
    shapes: Mapping[str, tuple[int, ...]],
    reasons: Mapping[str, str],
    left_rows: Iterable[Unused],
) -> tuple[Unused, ...]:
    """Lists the tensors of a file, or rows of them, that none of `arrays` uses.

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
    """Counts unused tensors by reason: "next-sentence head (2); ..., (510 rows)"."""
    counts = collections.Counter()
    for tensor in unused:
        counts[tensor.reason, bool(tensor.rows)] += tensor.rows or 1
    items = []
    for (reason, are_rows), count in counts.items():
        rows = (" row" if count == 1 else " rows") if are_rows else ""
        items.append(f"{reason} ({count:,}{rows})")
    return "; ".join(items) or "nothing"


def _read(opened: OpenedCheckpoint, name: str) -> np.ndarray:
    """Reads a tensor without a copy; only a type wider than f32 is cast to f32."""
    name_in_file = opened.names[name]
    values = opened.tensors.read(name_in_file)
    if values.dtype.itemsize > 4:
        with np.errstate(over="ignore"):  # too large a number becomes infinite
            values = values.astype(np.float32)
    flat = values.reshape(-1)
    for start in range(0, flat.size, _CHUNK):
        if not np.isfinite(flat[start : start + _CHUNK]).all():
            raise CheckpointError(
                f"{opened.tensors.path}: {name_in_file} holds NaN or infinity; "
                "expected the weights of a model that works. Download or copy the file "
                "again."
            )
    return values


def _token_positions(
    opened: OpenedCheckpoint, table: PositionTable, array: Array
) -> tuple[Array, list[Unused]]:
    """Computes our position table, and lists the rows that are left out of it."""
    left_rows = []

    def leave(tensor: str, rows: int, reason: str) -> None:
        shape = opened.tensors.tensors[tensor].shape
        left_rows.append(Unused(tensor, shape, reason, rows))

    values = array.values[table.first :]
    if table.first:
        reason = f"rows before {table.first}, the positions of padding"
        leave(array.tensor, table.first, reason)
    if not table.segments:
        return dataclasses.replace(array, values=values), left_rows
    segments, added = _read(opened, table.segments), opened.names[table.segments]
    if len(segments) > 1:
        reason = "rows from 1 on, segments that the model does not have"
        leave(added, len(segments) - 1, reason)
    # Add in f32: a float16 sum would round.
    values = values.astype(np.float32) + segments[:1].astype(np.float32)
    return dataclasses.replace(array, values=values, added=added), left_rows


def as_architecture(
    checkpoint: Checkpoint, architecture: str | None, *, mlm_bias: bool = False
) -> Checkpoint:
    """Takes one side of a pair, or turns an encoder into a decoder or back.

    Args:
      checkpoint: a checkpoint of any architecture.
      architecture: one of `ARCHITECTURES`; None to leave it as it is.
      mlm_bias: whether an encoder that becomes a decoder keeps the output bias of its
        masked-LM head. Otherwise its softmax has no bias.

    Raises:
      ConfigError: the architecture is unknown; or the checkpoint is a single stack, or
        lacks the output bias that `mlm_bias` asks for.
    """
    target = architecture or checkpoint.architecture
    errors.check_choice("architecture", target, ARCHITECTURES)
    if mlm_bias and (checkpoint.mlm_bias is None or target != "decoder"):
        raise ConfigError(
            f"mlm_bias is set for the {target} of {checkpoint.path}; expected a "
            "checkpoint with a masked-LM head, loaded as a decoder."
        )
    if target == checkpoint.architecture:
        return checkpoint
    if target == "encoder-decoder":
        raise ConfigError(
            f"{checkpoint.path} holds one stack ({checkpoint.format}), not a pair. To "
            "make a pair of one or two such checkpoints: "
            f'bertgen_jax.warm_start("bert2bert", encoder={str(checkpoint.path)!r}).'
        )
    if target == "encoder":
        return _encoder(checkpoint)
    if checkpoint.architecture == "encoder":
        return _causal(checkpoint, mlm_bias)
    return _select(checkpoint, checkpoint.config.target_config, _below("decoder/"))


def _encoder(checkpoint: Checkpoint) -> Checkpoint:
    """Takes the encoder of a pair, or a decoder's stack without cross-attention."""
    whole = checkpoint.config
    encoder = dataclasses.replace(
        whole.source_config, is_decoder=False, add_cross_attention=False
    )

    def new_path(path: str) -> str | None:
        for prefix in _STACK_PREFIXES:
            inner = path.removeprefix(prefix)
            if inner != path and whole.param_path("encoder", inner) == path:
                return inner
        return None

    return _select(checkpoint, encoder, new_path)


def _below(prefix: str) -> Callable[[str], str | None]:
    return lambda path: path.removeprefix(prefix) if path.startswith(prefix) else None


def _select(
    checkpoint: Checkpoint,
    config: BertGenerationConfig,
    new_path: Callable[[str], str | None],
) -> Checkpoint:
    """Keeps the arrays of a part of the model.

    Args:
      checkpoint: the whole model.
      config: the architecture of the part; without cross-attention, its arrays are
        left out.
      new_path: path in the whole model -> path in the part; None outside of it.
    """
    arrays, reasons = {}, dict(checkpoint.reasons)
    for path, array in checkpoint.arrays.items():
        target, reason = new_path(path), ""
        if "/crossattention/" in path and not config.add_cross_attention:
            target, reason = None, "cross-attention, which an encoder does not have"
        elif "lm_head/" in path:
            reason = "head of a decoder"
        if target is None:
            reason = reason or "of the other side, or between the two"
            reasons.update(dict.fromkeys(array.tensors, reason))
        else:
            arrays[target] = array
    return dataclasses.replace(
        checkpoint, config=config, arrays=arrays, reasons=reasons
    )


def _causal(checkpoint: Checkpoint, mlm_bias: bool) -> Checkpoint:
    """Makes a causal decoder of an encoder; the softmax uses the word table."""
    config = dataclasses.replace(
        checkpoint.config.source_config,
        is_decoder=True,
        tie_word_embeddings=True,
        lm_head_bias=mlm_bias,
        lm_head_transform=False,
    )
    arrays = {
        config.param_path("decoder", path): array
        for path, array in checkpoint.arrays.items()
    }
    if mlm_bias and checkpoint.mlm_bias is not None:
        arrays["lm_head/bias"] = checkpoint.mlm_bias
    return dataclasses.replace(checkpoint, config=config, arrays=arrays)


def stack_of(checkpoint: Checkpoint, side: str) -> Checkpoint:
    """Returns the stack that one side of a model starts from, as an encoder.

    Args:
      checkpoint: a checkpoint of any architecture.
      side: "encoder" or "decoder", which matters if the checkpoint has two stacks.
    """
    if side == "decoder" and checkpoint.architecture == "encoder-decoder":
        checkpoint = as_architecture(checkpoint, "decoder")
    return as_architecture(checkpoint, "encoder")
