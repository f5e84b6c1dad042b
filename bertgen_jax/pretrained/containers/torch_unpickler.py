"""Reads pickles of torch.save without running code from them.

A pickle is a program for a small machine: each opcode pushes a value, puts values into
a container, or names a function and calls it. Python's unpickler is such a machine, and
lets the author of the file choose the functions. The machine here knows the opcodes of
protocol 2, which torch.save writes, and five functions by name. It does not call them:
it makes a value that stands for their result. Nothing is imported.
"""

import dataclasses
import enum
import pickle  # only for the names of opcodes
import struct
from typing import Any

import ml_dtypes
import numpy as np

from bertgen_jax.errors import CheckpointError

# BERT-large takes 20,000 steps in 60 kB.
MAX_BYTES = 1 << 24
MAX_STEPS = 1_000_000

_MAX_AXES = 64  # of a numpy array
_MAX_LINE_BYTES = 200  # of the name of a module or function


@dataclasses.dataclass(frozen=True)
class Storage:
    """The description of a storage, whose values are elsewhere in the file.

    One or more tensors are views of it.

    Attributes:
      dtype: the type of the values.
      key: the name of the storage in the file.
      size: the number of values.
    """

    dtype: np.dtype
    key: str
    size: int


@dataclasses.dataclass(frozen=True)
class Tensor:
    """The description of a tensor. Offset and strides count values, not bytes.

    Attributes:
      storage: the storage with its values.
      offset: the position of its first value.
      shape: its shape.
      strides: the distance of neighbours along each axis.
    """

    storage: Storage
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]


@dataclasses.dataclass(frozen=True)
class Loaded:
    """The contents of a pickle.

    Attributes:
      value: None, a bool, int (of 64 bits), float, str or `Tensor`; or a list, tuple or
        dict of these. Containers may hold themselves. Keys are strings or integers.
      storages: all storages that it names, by key.
      end: the position of the first byte after the pickle.
    """

    value: Any
    storages: dict[str, Storage]
    end: int


class _Function(enum.Enum):
    """The functions that a pickle of tensors calls, by their names in the file."""

    ORDERED_DICT = "collections OrderedDict"
    NAMESPACE = "argparse Namespace"
    SIZE = "torch Size"
    TENSOR = "torch._utils _rebuild_tensor_v2"
    PARAMETER = "torch._utils _rebuild_parameter"


class _Namespace(dict):
    """The attributes of an argparse.Namespace, by name."""


_NAMES: dict[str, _Function | np.dtype] = {
    **{function.value: function for function in _Function},
    "torch DoubleStorage": np.dtype(np.float64),
    "torch FloatStorage": np.dtype(np.float32),
    "torch HalfStorage": np.dtype(np.float16),
    "torch BFloat16Storage": np.dtype(ml_dtypes.bfloat16),
    "torch LongStorage": np.dtype(np.int64),
    "torch IntStorage": np.dtype(np.int32),
    "torch ShortStorage": np.dtype(np.int16),
    "torch CharStorage": np.dtype(np.int8),
    "torch ByteStorage": np.dtype(np.uint8),
    "torch BoolStorage": np.dtype(np.bool_),
}

_CONSTANTS = {pickle.NONE: None, pickle.NEWTRUE: True, pickle.NEWFALSE: False}
_ARGUMENTS = {  # arguments of a fixed size
    pickle.PROTO: struct.Struct("<B"),
    pickle.BININT: struct.Struct("<i"),
    pickle.BININT1: struct.Struct("<B"),
    pickle.BININT2: struct.Struct("<H"),
    pickle.BINFLOAT: struct.Struct(">d"),
    pickle.BINPUT: struct.Struct("<B"),
    pickle.LONG_BINPUT: struct.Struct("<I"),
    pickle.BINGET: struct.Struct("<B"),
    pickle.LONG_BINGET: struct.Struct("<I"),
}
_TUPLES = {pickle.TUPLE1: 1, pickle.TUPLE2: 2, pickle.TUPLE3: 3}


def load(data: bytes, start: int, where: str) -> Loaded:
    """Reads a pickle.

    Args:
      data: bytes that contain it.
      start: the position of its first byte.
      where: what messages call it.

    Raises:
      CheckpointError: the pickle names code, is damaged, or takes too many steps.
    """
    machine = _Machine(data, start, where)
    for _ in range(MAX_STEPS):
        opcode = machine.take(1)
        if opcode == pickle.STOP:
            return machine.result()
        machine.carry_out(opcode, machine.argument(opcode))
    raise CheckpointError(
        f"{where}: more than {MAX_STEPS:,} steps; expected a pickle of the names and "
        "shapes of tensors, which takes fewer."
    )


class _Machine:
    """The machine that a pickle is a program for: a stack, marks and a memo."""

    def __init__(self, data: bytes, start: int, where: str):
        self._data = data
        self._position = start
        self._where = where
        self._stack: list[Any] = []
        self._marked: list[list[Any]] = []  # the stack below each mark
        self._memo: dict[int, Any] = {}
        self._storages: dict[str, Storage] = {}

    def _damaged(self, problem: str) -> CheckpointError:
        return CheckpointError(
            f"{self._where}: {problem} at byte {self._position:,}; expected a pickle "
            "as torch.save writes it. The file is damaged or of another kind."
        )

    def take(self, count: int) -> bytes:
        """Reads the next bytes of the pickle."""
        taken = self._data[self._position : self._position + count]
        if len(taken) != count:
            raise self._damaged("it is cut off")
        self._position += count
        return taken

    def argument(self, opcode: bytes) -> Any:
        """Reads the argument of an opcode."""
        if opcode in _ARGUMENTS:
            encoding = _ARGUMENTS[opcode]
            return encoding.unpack(self.take(encoding.size))[0]
        if opcode == pickle.BINUNICODE:
            text = self.take(int.from_bytes(self.take(4), "little"))
            try:
                return str(text, "utf-8")
            except UnicodeDecodeError as error:
                raise self._damaged(f"a string that is not UTF-8 ({error})") from error
        if opcode == pickle.LONG1:
            size = self.take(1)[0]
            if size > 8:
                raise self._damaged("an integer of more than 64 bits")
            return int.from_bytes(self.take(size), "little", signed=True)
        if opcode == pickle.GLOBAL:
            return f"{self._line()} {self._line()}"
        return None

    def _line(self) -> str:
        start, end = self._position, self._position + _MAX_LINE_BYTES
        line, newline, _ = self._data[start:end].partition(b"\n")
        if not newline:
            raise self._damaged("a name that does not end")
        self._position += len(line) + 1
        return str(line, "ascii", "backslashreplace")

    def result(self) -> Loaded:
        """Returns the value on the stack at the end."""
        (value,) = self._pop(1)
        if self._stack or self._marked:
            raise self._damaged("an end between two values")
        return Loaded(value, self._storages, self._position)

    def carry_out(self, opcode: bytes, argument: Any) -> None:
        """Executes one opcode."""
        match opcode:
            case pickle.PROTO:
                if argument != 2:
                    raise self._damaged(f"pickle protocol {argument} instead of 2")
            case pickle.NONE | pickle.NEWTRUE | pickle.NEWFALSE:
                self._push(_CONSTANTS[opcode])
            case pickle.BININT | pickle.BININT1 | pickle.BININT2 | pickle.LONG1:
                self._push(argument)
            case pickle.BINFLOAT | pickle.BINUNICODE:
                self._push(argument)
            case pickle.BINPUT | pickle.LONG_BINPUT:
                self._memo[argument] = self._top(object)
            case pickle.BINGET | pickle.LONG_BINGET:
                if argument not in self._memo:
                    raise self._damaged(f"a reference to value {argument}, not stored")
                self._push(self._memo[argument])
            case pickle.MARK:
                self._marked.append(self._stack)
                self._stack = []
            case pickle.EMPTY_TUPLE:
                self._push(())
            case pickle.TUPLE1 | pickle.TUPLE2 | pickle.TUPLE3:
                items = self._pop(_TUPLES[opcode])
                self._push(tuple(items))
            case pickle.TUPLE:
                items = self._pop_marked()
                self._push(tuple(items))
            case pickle.EMPTY_LIST:
                self._push([])
            case pickle.APPEND:
                items = self._pop(1)
                self._top(list).extend(items)
            case pickle.APPENDS:
                items = self._pop_marked()
                self._top(list).extend(items)
            case pickle.EMPTY_DICT:
                self._push({})
            case pickle.SETITEM:
                self._set_items(self._pop(2))
            case pickle.SETITEMS:
                self._set_items(self._pop_marked())
            case pickle.GLOBAL:
                self._push(self._named(argument))
            case pickle.BINPERSID:
                self._push(self._storage(*self._pop(1)))
            case pickle.REDUCE | pickle.NEWOBJ:
                self._push(self._called(*self._pop(2)))
            case pickle.BUILD:
                (state,) = self._pop(1)
                self._set_state(self._top(dict), state)
            case _:
                raise self._damaged(f"opcode {opcode!r} (argument {argument!r:.40})")

    def _push(self, value: Any) -> None:
        self._stack.append(value)

    def _pop(self, count: int) -> list[Any]:
        if len(self._stack) < count:
            raise self._damaged("a step without its values")
        popped = self._stack[-count:]
        del self._stack[-count:]
        return popped

    def _pop_marked(self) -> list[Any]:
        """Removes and returns the values above the last mark."""
        if not self._marked:
            raise self._damaged("a step without its mark")
        popped, self._stack = self._stack, self._marked.pop()
        return popped

    def _top(self, kind: type) -> Any:
        if not self._stack or not isinstance(self._stack[-1], kind):
            raise self._damaged(f"a step without its {kind.__name__}")
        return self._stack[-1]

    def _set_items(self, items: list[Any]) -> None:
        target = self._top(dict)
        if len(items) % 2:
            raise self._damaged("a key without a value")
        for key, value in zip(items[::2], items[1::2], strict=True):
            # Keys of other types could be chosen to have equal hashes, which is slow.
            if type(key) not in (str, int):
                raise self._damaged(f"a key of type {type(key).__name__}")
            target[key] = value

    def _named(self, name: str) -> _Function | np.dtype:
        if name not in _NAMES:
            raise CheckpointError(
                f"{self._where}: the file holds code: loading it would call "
                f"{name.replace(' ', '.')!r}. Expected only tensors and plain values, "
                "because code in a file is never run. If you trust its origin, load it "
                "with torch in a separate environment and save the state dict alone."
            )
        return _NAMES[name]

    def _storage(self, reference: Any) -> Storage:
        match reference:
            # The older form has a sixth item, which describes views of storages: None.
            case (
                "storage",
                np.dtype() as dtype,
                str(key),
                str(),
                int(size),
                *rest,
            ) if size >= 0 and rest in ([], [None]):
                storage = Storage(dtype, key, size)
                if self._storages.setdefault(key, storage) == storage:
                    return storage
                raise self._damaged(f"storage {key!r:.99} of two types or sizes")
        raise self._damaged("a reference to something other than a storage")

    def _called(self, function: Any, arguments: Any) -> Any:
        """Returns a value that stands for the result of a function call."""
        match function, arguments:
            case _Function.ORDERED_DICT, ():
                return {}
            case _Function.NAMESPACE, ():
                return _Namespace()
            case _Function.SIZE, (tuple() as sizes,):
                return sizes
            case (
                _Function.TENSOR,
                (
                    Storage() as storage,
                    offset,
                    tuple() as shape,
                    tuple() as strides,
                    bool(),  # whether it has a gradient
                    dict(),  # functions to call on backward
                ),
            ) if len(shape) == len(strides) <= _MAX_AXES and _are_counts(
                offset, *shape, *strides
            ):
                return Tensor(storage, offset, shape, strides)
            case _Function.PARAMETER, (Tensor() as tensor, bool(), dict()):
                return tensor
        called = function.name if isinstance(function, _Function) else type(function)
        raise self._damaged(f"a call of {called} with unknown arguments")

    def _set_state(self, target: dict, state: Any) -> None:
        match target, state:
            case _Namespace(), dict():
                target.update(state)
            case dict(), dict():
                pass  # the `_metadata` of a state dict: versions of its modules
            case _:
                raise self._damaged("a state that is no dict")


def _are_counts(*values: Any) -> bool:
    return all(type(value) is int and value >= 0 for value in values)
