"""`Source`: a checkpoint on disk, recognised and opened, but not read yet."""

import dataclasses
import pathlib
from collections.abc import Callable, Iterable, Mapping

from bertgen_jax.errors import CheckpointError
from bertgen_jax.models.config import Config, EncoderDecoderConfig
from bertgen_jax.pretrained import key_maps
from bertgen_jax.pretrained.containers.tensor_file import TensorFile
from bertgen_jax.pretrained.key_maps import Spelling
from bertgen_jax.pretrained.name_maps import Weight

_LISTED = 8  # lines or names in a message; the rest are counted
_MANY_LAYERS = 1000  # a map of so many is no burden
_WORDS = "embeddings/word_embeddings/embedding"


@dataclasses.dataclass(frozen=True)
class Positions:
    """How the position table of a stack is made of a checkpoint's tables.

    Attributes:
      path: the parameter.
      first: row of the first token; those before it belong to padding (RoBERTa).
      segments: name of the segment table; "" for none. All tokens of ours are in
        segment 0, and each has exactly one position, so its row 0 is added to every
        position row: the stack then computes what BERT computes, to rounding.
    """

    path: str
    first: int = 0
    segments: str = ""


@dataclasses.dataclass(frozen=True)
class Source:
    """A checkpoint, opened but not read.

    Attributes:
      path: its directory.
      format: what it was recognised as, in words.
      kind: "bert", "roberta", "gpt2", "bert-generation" or "encoder-decoder".
      config: its architecture in our terms; positions are counted for tokens only.
      tensors: the file.
      weights: its name map: Hugging Face's names, the layout of the file.
      names: of its tensors by Hugging Face's names.
      foreign: names in the file that are no weights, such as an optimizer's moments.
      positions: the tables that are put together.
      unused: says why a tensor outside of the map has no place; None if it should not
        be there.
      mlm_bias: name of the output bias of a masked-LM head; "" without one.
    """

    path: pathlib.Path
    format: str
    kind: str
    config: Config
    tensors: TensorFile
    weights: tuple[Weight, ...]
    names: Mapping[str, str]
    foreign: tuple[str, ...] = ()
    positions: tuple[Positions, ...] = ()
    unused: Callable[[str], str | None] = key_maps.unused
    mlm_bias: str = ""

    def shape(self, name: str) -> tuple[int, ...]:
        """The shape of a tensor of that name of Hugging Face's."""
        return self.tensors.tensors[self.names[name]].shape

    def check(self) -> None:
        """Compares names, shapes and types with the map; reads no tensor.

        Raises:
          CheckpointError: lists what differs.
        """
        expected = {weight.name: weight.foreign_shape for weight in self.weights}
        if not expected.keys() & self.names.keys():
            found = list(self.tensors.tensors)
            raise CheckpointError(
                f"{self.tensors.path}: none of its {len(found)} tensors is one of a "
                f"{self.kind} model's; found "
                f"{', '.join(map(shown, found[:3])) or 'nothing'}, ..., expected names "
                f"that mean {next(iter(expected))}. It was taken for: {self.format}."
            )
        for table in self.positions:
            if table.segments:
                rows = max([1, *self.shape(table.segments)[:1]])  # there must be row 0
                width = next(w.shape[1] for w in self.weights if w.path == table.path)
                expected[table.segments] = (rows, width)
        if self.mlm_bias:
            words = next(w.shape[0] for w in self.weights if w.path.endswith(_WORDS))
            expected[self.mlm_bias] = (words,)
        present = {w.path for w in self.weights if w.name in self.names}
        missing: dict[str, str] = {}
        for weight in self.weights:
            if weight.path and weight.path not in present:
                missing.setdefault(weight.path, weight.name)
        problems = [f"- {name}" for name in missing.values()]
        problems += [
            f"+ {shown(in_file)}"
            for name, in_file in self.names.items()
            if name not in expected and self.unused(name) is None
        ]
        for name in sorted(expected.keys() & self.names.keys()):
            in_file = self.names[name]
            info = self.tensors.tensors[in_file]
            if info.shape != expected[name] or not _is_floating(info.dtype):
                problems.append(
                    f"~ {shown(in_file)} {info.dtype}{list(info.shape)}, expected "
                    # A configuration may say numbers of a thousand digits.
                    f"floating-point numbers {shown(str(list(expected[name])))}"
                )
        if problems:
            raise CheckpointError(
                f"{self.tensors.path}: the tensors do not fit the configuration "
                f"(- missing, + unexpected, ~ of another shape or type) of a "
                f"{self.format}:\n{listed(problems)}"
            )


def _is_floating(dtype) -> bool:
    # numpy counts bfloat16 among the void types.
    return dtype.kind == "f" or dtype.name == "bfloat16"


def translate(
    tensors: TensorFile, spelling: Spelling
) -> tuple[dict[str, str], tuple[str, ...]]:
    """Hugging Face's names of a file's tensors, and the names that are no weights.

    Raises:
      CheckpointError: two tensors have one meaning.
    """
    names: dict[str, str] = {}
    foreign = []
    for in_file in tensors.tensors:
        name = spelling.rename(in_file)
        if name is None:
            foreign.append(in_file)
        elif names.setdefault(name, in_file) != in_file:
            raise CheckpointError(
                f"{tensors.path}: {shown(names[name])} and {shown(in_file)} are two "
                "names of one tensor; expected one of them."
            )
    return names, tuple(foreign)


def listed(lines: Iterable[str]) -> str:
    """The first few lines, and how many more there are."""
    lines = list(lines)
    more = len(lines) - _LISTED
    return "\n".join(lines[:_LISTED] + ([f"... and {more} more"] if more > 0 else []))


def shown(name: str) -> str:
    """A name of a foreign file for a message: short, and without control characters."""
    return f"{name if name.isprintable() else repr(name):.99}"


def check_layers(config: Config, tensors: TensorFile) -> None:
    """Refuses far more layers than a file has, before a map of them all is made.

    Raises:
      CheckpointError: so it is.
    """
    if isinstance(config, EncoderDecoderConfig):
        stacks = [config.encoder, config.decoder]
    else:
        stacks = [getattr(config, "decoder", config)]
    layers = max(stack.num_hidden_layers for stack in stacks)
    if layers > max(len(tensors.tensors), _MANY_LAYERS):
        raise CheckpointError(
            f"{tensors.path}: holds {len(tensors.tensors)} tensors, but its "
            f"configuration says {layers} layers (num_hidden_layers or n_layer); "
            "expected the two to be of one model."
        )
