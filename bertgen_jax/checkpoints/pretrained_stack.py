"""A Hugging Face directory of BERT or RoBERTa in, one stack in our layout out."""

import contextlib
import dataclasses
import os
import pathlib
from collections.abc import Iterator, Mapping
from typing import Any, Self

import numpy as np
import safetensors

from bertgen_jax.checkpoints import bert_maps
from bertgen_jax.checkpoints.huggingface import WEIGHTS
from bertgen_jax.errors import CheckpointError, ConfigError
from bertgen_jax.models.config import SIZE_FIELDS, BertGenerationConfig, read_json

# Absent from the oldest files, and then BERT's, which are the defaults of ours.
_OPTIONAL = ("hidden_act", "layer_norm_eps", "position_embedding_type")

_FLOATS = ("F64", "F32", "F16", "BF16")
_LISTED = 8  # lines or names in a message; the rest are counted


@dataclasses.dataclass(frozen=True)
class Array:
    """An array of a stack and where it comes from.

    Attributes:
      values: f32, in the layout of our parameters.
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
class PretrainedStack:
    """A published encoder in our layout; the rows of its word table are its own.

    Attributes:
      directory: where it was read.
      kind: a name in `bert_maps.FAMILIES`.
      config: its architecture. Row i of its positions is that of token i.
      arrays: by the path of a parameter in a stack.
      unused: what else the file holds.
    """

    directory: pathlib.Path
    kind: str
    config: BertGenerationConfig
    arrays: Mapping[str, Array]
    unused: tuple[Unused, ...]


def read_config(directory: str | os.PathLike[str], kind: str) -> BertGenerationConfig:
    """Reads the architecture of a checkpoint from its config.json.

    Args:
      directory: holds it.
      kind: a name in `bert_maps.FAMILIES`.

    Returns:
      The architecture; `max_position_embeddings` counts positions of tokens only.

    Raises:
      CheckpointError: the file is missing or malformed, or is of another kind.
    """
    return _read_config(directory, kind)[0]


def _read_config(
    directory: str | os.PathLike[str], kind: str
) -> tuple[BertGenerationConfig, int]:
    """As `read_config`; and the rows of the position table before the first token's."""
    path = pathlib.Path(directory) / "config.json"
    values = read_json(path)
    if values.get("model_type") != kind:
        raise CheckpointError(
            f"{path}: model_type is {values.get('model_type')!r}; expected {kind!r}, "
            "the kind of checkpoint that the recipe starts from."
        )
    missing = [name for name in SIZE_FIELDS if name not in values]
    if missing:
        raise CheckpointError(
            f"{path}: {', '.join(missing)} missing; expected the config.json that "
            f"Hugging Face writes for a {kind} model."
        )
    present = [name for name in (*SIZE_FIELDS, *_OPTIONAL) if name in values]
    try:
        config = BertGenerationConfig.from_dict(
            {name: values[name] for name in present}
        )
        reserved = _pad_id(values) + 1 if bert_maps.FAMILIES[kind].pad_rows else 0
        rows = config.max_position_embeddings - reserved
        return dataclasses.replace(config, max_position_embeddings=rows), reserved
    except ConfigError as error:
        raise CheckpointError(f"{path}: {error}") from error


def _pad_id(values: Mapping[str, Any]) -> int:
    pad = values.get("pad_token_id", 1)  # fairseq's
    if not isinstance(pad, int) or pad < 0:
        raise ConfigError(f"pad_token_id is {pad!r}; expected an id.")
    return pad


def load(directory: str | os.PathLike[str], kind: str) -> PretrainedStack:
    """Reads a checkpoint.

    RoBERTa's first token has position pad id + 1, so its positions begin with that row.
    All tokens of ours are in segment 0, so row 0 of the segment table is added to every
    position row: the stack then computes what BERT computes, to rounding.

    Args:
      directory: holds config.json and model.safetensors.
      kind: a name in `bert_maps.FAMILIES`.

    Raises:
      CheckpointError: a file is missing, damaged or of another kind; the tensors do not
        fit config.json, or are not finite.
    """
    directory = pathlib.Path(directory)
    config, reserved = _read_config(directory, kind)
    rows = config.max_position_embeddings + reserved
    weights = bert_maps.stack(dataclasses.replace(config, max_position_embeddings=rows))
    with _Tensors.opened(directory / WEIGHTS, kind) as tensors:
        expected = {weight.name: weight.foreign_shape for weight in weights}
        segments = 0
        if bert_maps.TOKEN_TYPES in tensors.names:
            found = tensors.shape(bert_maps.TOKEN_TYPES)
            segments = max([1, *found[:1]])  # there must be row 0
            expected[bert_maps.TOKEN_TYPES] = (segments, config.hidden_size)
        tensors.check(expected)

        arrays = {
            weight.path: Array(
                weight.from_foreign(tensors.read(weight.name)),
                tensors.names[weight.name],
            )
            for weight in weights
        }
        unused = [
            tensors.unused(name, bert_maps.unused(name))
            for name in tensors.names
            if name not in expected
        ]
        positions = arrays[bert_maps.POSITIONS]
        if reserved:
            reason = f"rows before {reserved}, the positions of padding"
            unused.append(Unused(positions.source, positions.values.shape, reason))
            positions = Array(positions.values[reserved:], positions.source)
        if segments:
            values = positions.values + tensors.read(bert_maps.TOKEN_TYPES)[:1]
            added = f"{tensors.names[bert_maps.TOKEN_TYPES]}[0]"
            positions = Array(values, positions.source, added)
        if segments > 1:
            reason = "rows from 1 on, segments that the model does not have"
            unused.append(tensors.unused(bert_maps.TOKEN_TYPES, reason))
    arrays[bert_maps.POSITIONS] = positions
    return PretrainedStack(directory, kind, config, arrays, tuple(unused))


@dataclasses.dataclass(frozen=True)
class _Tensors:
    """An open safetensors file, its tensors known by canonical names.

    Attributes:
      path: of the file.
      file: safetensors' handle; it reads a tensor when asked for it.
      names: canonical name: name in the file.
    """

    path: pathlib.Path
    file: Any
    names: Mapping[str, str]

    @classmethod
    @contextlib.contextmanager
    def opened(cls, path: pathlib.Path, kind: str) -> Iterator[Self]:
        """Opens a file; what is wrong with it is a CheckpointError, then or later."""
        try:
            with safetensors.safe_open(path, framework="numpy") as file:
                names: dict[str, str] = {}
                for name in list(file.keys()):
                    first = names.setdefault(
                        bert_maps.canonical(name, bert_maps.FAMILIES[kind]), name
                    )
                    if first != name:
                        raise CheckpointError(
                            f"{path}: {first} and {name} are two names of one "
                            "tensor; expected one of them."
                        )
                yield cls(path, file, names)
        except OSError as error:
            raise CheckpointError(
                f"{path}: {error.strerror or error}. Expected the checkpoint's weights "
                "there."
            ) from error
        except safetensors.SafetensorError as error:
            raise CheckpointError(
                f"{path}: not a whole safetensors file ({error}). Copy or download it "
                "again."
            ) from error

    def shape(self, name: str) -> tuple[int, ...]:
        """The shape of a tensor, which is not read."""
        return tuple(self.file.get_slice(self.names[name]).get_shape())

    def unused(self, name: str, reason: str) -> Unused:
        """Says of a tensor that it is not used."""
        return Unused(self.names[name], self.shape(name), reason)

    def check(self, expected: Mapping[str, tuple[int, ...]]) -> None:
        """Compares names, shapes and types with those expected; reads no tensor.

        Raises:
          CheckpointError: lists what differs.
        """
        if not expected.keys() & self.names.keys():
            found = list(self.names.values())
            raise CheckpointError(
                f"{self.path}: none of its {len(found)} tensors is one of the "
                f"checkpoint's encoder; expected names like {next(iter(expected))}, "
                f"found {', '.join(found[:3]) or 'nothing'}, ..."
            )
        problems = [f"- {name}" for name in expected if name not in self.names]
        for name, in_file in self.names.items():
            if name not in expected:
                if bert_maps.unused(name) is None:
                    problems.append(f"+ {in_file}")
                continue
            shape, dtype = self.shape(name), self.file.get_slice(in_file).get_dtype()
            if shape != expected[name] or dtype not in _FLOATS:
                problems.append(
                    f"~ {in_file} {dtype}{list(shape)}, expected floating-point "
                    f"numbers {list(expected[name])}"
                )
        if problems:
            more = len(problems) - _LISTED
            lines = problems[:_LISTED] + ([f"... and {more} more"] if more > 0 else [])
            raise CheckpointError(
                f"{self.path}: the tensors do not fit config.json (- missing, "
                "+ unexpected, ~ of another shape or type):\n" + "\n".join(lines)
            )

    def read(self, name: str) -> np.ndarray:
        """Reads a tensor as f32.

        Raises:
          CheckpointError: it holds NaN or infinity.
        """
        values = np.asarray(self.file.get_tensor(self.names[name]), np.float32)
        if not np.isfinite(values).all():
            raise CheckpointError(
                f"{self.path}: {self.names[name]} holds NaN or infinity; expected the "
                "weights of a model that works. Download or copy the file again."
            )
        return values
