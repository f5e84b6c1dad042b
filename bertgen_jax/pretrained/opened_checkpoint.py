"""A checkpoint whose format is recognised and whose headers are read."""

import dataclasses
import functools
import pathlib
from collections.abc import Callable, Mapping

import numpy as np

from bertgen_jax.errors import CheckpointError
from bertgen_jax.models.config import Config
from bertgen_jax.models.stack_config import WORD_TABLE
from bertgen_jax.pretrained import key_maps
from bertgen_jax.pretrained.containers.tensor_file import TensorFile, listed, shown
from bertgen_jax.pretrained.parameter_maps import Weight
from bertgen_jax.tokenizers.auto import AutoTokenizer
from bertgen_jax.tokenizers.interface import Tokenizer

_ALLOWED_LAYERS = 1000  # a parameter map of this many layers costs little memory


@dataclasses.dataclass(frozen=True)
class PositionTable:
    """Describes how to compute a stack's position table from a checkpoint's tables.

    Attributes:
      path: the parameter.
      first: the row of the first token. RoBERTa uses the rows before it for padding.
      segments: Hugging Face's name of the segment table; "" without one. Our stacks
        have no segments: every token is in segment 0 and has exactly one position, so
        row 0 of this table is added to every position. The stack then computes what
        BERT computes, up to rounding.
    """

    path: str
    first: int = 0
    segments: str = ""


@dataclasses.dataclass(frozen=True)
class OpenedCheckpoint:
    """A checkpoint on disk. Its headers have been read, its tensors have not.

    Attributes:
      path: the directory of the checkpoint.
      format: the recognised format, as messages name it.
      kind: "bert", "roberta", "gpt2", "bert-generation" or "encoder-decoder".
      config: the architecture. It counts only the positions of tokens.
      tensors: the file with the weights.
      weights: the parameter map: Hugging Face's names, the memory layout of the file.
      names: Hugging Face's name of each weight in the file -> its name in the file.
      non_weights: names in the file that are not weights, such as optimizer moments.
      position_tables: the position tables that are computed from several tensors.
      unused_reason: says why a tensor that is not in the parameter map may be left
        out; None for a tensor that should not be in the file.
      mlm_bias: Hugging Face's name of the output bias of a masked-LM head; "" without
        one.
    """

    path: pathlib.Path
    format: str
    kind: str
    config: Config
    tensors: TensorFile
    weights: tuple[Weight, ...]
    names: Mapping[str, str]
    non_weights: tuple[str, ...] = ()
    position_tables: tuple[PositionTable, ...] = ()
    unused_reason: Callable[[str], str | None] = key_maps.unused_reason
    mlm_bias: str = ""

    @functools.cached_property
    def tokenizer(self) -> Tokenizer:
        """The tokenizer beside the weights, which is parsed once.

        Raises:
          TokenizerError: the tokenizer is missing or corrupt.
        """
        return AutoTokenizer.from_pretrained(self.path)

    def shape(self, name: str) -> tuple[int, ...]:
        """Returns the shape of the tensor with this Hugging Face name."""
        return self.tensors.tensors[self.names[name]].shape

    def check(self) -> None:
        """Compares the file's names, shapes and types with the parameter map.

        No tensor is read.

        Raises:
          CheckpointError: they differ; the message lists the differences.
        """
        if not any(weight.name in self.names for weight in self.weights):
            names = list(self.tensors.tensors)
            raise CheckpointError(
                f"{self.tensors.path}: none of its {len(names)} tensors belongs to a "
                f"{self.kind} model; found "
                f"{', '.join(map(shown, names[:3])) or 'nothing'}, ..., expected names "
                f"that correspond to {self.weights[0].name}. The file was read as: "
                f"{self.format}."
            )
        shapes = self._expected_shapes()
        problems = [f"- {name}" for name in self._missing()]
        problems += [
            f"+ {shown(name_in_file)}"
            for name, name_in_file in self.names.items()
            if name not in shapes and self.unused_reason(name) is None
        ]
        for name in sorted(shapes.keys() & self.names.keys()):
            info = self.tensors.tensors[self.names[name]]
            if info.shape != shapes[name] or not _is_floating(info.dtype):
                problems.append(
                    f"~ {shown(self.names[name])} {info.dtype}{list(info.shape)}, "
                    # A size in a config may have a thousand digits.
                    f"expected floating-point numbers {shown(str(list(shapes[name])))}"
                )
        if problems:
            raise CheckpointError(
                f"{self.tensors.path}: the tensors do not fit the configuration "
                f"(- missing, + unexpected, ~ of another shape or type) of a "
                f"{self.format}:\n{listed(problems)}"
            )

    def _expected_shapes(self) -> dict[str, tuple[int, ...]]:
        """Returns the shape that each tensor should have, by Hugging Face's names."""
        shapes = {weight.name: weight.foreign_shape for weight in self.weights}
        for table in self.position_tables:
            if table.segments:
                rows = max([1, *self.shape(table.segments)[:1]])  # row 0 is needed
                width = next(w.shape[1] for w in self.weights if w.path == table.path)
                shapes[table.segments] = (rows, width)
        if self.mlm_bias:
            table = next(w for w in self.weights if w.path.endswith(WORD_TABLE))
            shapes[self.mlm_bias] = table.shape[:1]
        return shapes

    def _missing(self) -> list[str]:
        """Returns the names of tensors without which some parameter has no values."""
        present = {w.path for w in self.weights if w.name in self.names}
        missing: dict[str, str] = {}
        for weight in self.weights:
            if weight.path and weight.path not in present:
                missing.setdefault(weight.path, weight.name)
        return list(missing.values())


def _is_floating(dtype: np.dtype) -> bool:
    # numpy counts bfloat16 among the void types.
    return dtype.kind == "f" or dtype.name == "bfloat16"


def check_layers(config: Config, tensors: TensorFile) -> None:
    """Refuses a config with far more layers than the file has tensors.

    Called before the parameter map is built, because a map of billions of layers would
    fill the memory.

    Raises:
      CheckpointError: the config claims more layers than the file holds tensors.
    """
    layers = max(stack.num_hidden_layers for stack in config.stacks.values())
    if layers > max(len(tensors.tensors), _ALLOWED_LAYERS):
        raise CheckpointError(
            f"{tensors.path}: holds {len(tensors.tensors)} tensors, but its "
            f"configuration has {layers} layers (num_hidden_layers or n_layer); "
            "expected the configuration and the weights of one model."
        )
