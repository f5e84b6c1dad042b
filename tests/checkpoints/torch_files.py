"""Writes files of torch.save by hand: trees of arrays in, files out, without torch.

They are what torch 2.13 writes, opcode by opcode, but for the memo. The parity tests
read files of torch itself.
"""

import dataclasses
import pickle
import struct
import zipfile

import ml_dtypes
import numpy as np

STORAGES = {
    np.dtype(np.float64): "DoubleStorage",
    np.dtype(np.float32): "FloatStorage",
    np.dtype(np.float16): "HalfStorage",
    np.dtype(ml_dtypes.bfloat16): "BFloat16Storage",
    np.dtype(np.int64): "LongStorage",
    np.dtype(np.int32): "IntStorage",
    np.dtype(np.int16): "ShortStorage",
    np.dtype(np.int8): "CharStorage",
    np.dtype(np.uint8): "ByteStorage",
    np.dtype(np.bool_): "BoolStorage",
}
MAGIC = pickle.dumps(0x1950A86A20F9469CFC6C, protocol=2)
VERSION = pickle.dumps(1001, protocol=2)
SYSTEM = pickle.dumps({"protocol_version": 1001, "little_endian": True}, protocol=2)


@dataclasses.dataclass(frozen=True)
class Opcodes:
    """Opcodes that push one value."""

    code: bytes


def named(name):
    """The object of a name such as `os.system`."""
    module, _, attribute = name.rpartition(".")
    return Opcodes(b"c" + f"{module}\n{attribute}\n".encode())


def called(name, *arguments):
    """What a function returns."""
    return Opcodes(emit(named(name)) + emit(arguments) + pickle.REDUCE)


def namespace(**values):
    """An argparse.Namespace."""
    new = emit(named("argparse.Namespace")) + emit(()) + pickle.NEWOBJ
    return Opcodes(new + emit(values) + pickle.BUILD)


def ordered(values):
    """An OrderedDict with an attribute, as state dicts are."""
    new = emit(called("collections.OrderedDict"))
    return Opcodes(new + items(values) + emit({"_metadata": {}}) + pickle.BUILD)


def reference(*values):
    """The object of a persistent id."""
    return Opcodes(emit(values) + pickle.BINPERSID)


def tensor(storage, offset, shape, strides):
    """A tensor that says of itself what the arguments say."""
    return called(
        "torch._utils._rebuild_tensor_v2",
        *(storage, offset, tuple(shape), tuple(strides)),
        *(False, called("collections.OrderedDict")),
    )


def items(values):
    """Opcodes that put items into the dict on top."""
    pairs = b"".join(emit(key) + emit(value) for key, value in values.items())
    return pickle.MARK + pairs + pickle.SETITEMS


def emit(value):
    """Opcodes that push a value."""
    match value:
        case Opcodes():
            return value.code
        case None | bool() | int() | float() | str():
            return pickle.dumps(value, protocol=2)[2:-1]
        case dict():
            return pickle.EMPTY_DICT + items(value)
        case list():
            found = b"".join(map(emit, value))
            return pickle.EMPTY_LIST + pickle.MARK + found + pickle.APPENDS
        case tuple():
            return pickle.MARK + b"".join(map(emit, value)) + pickle.TUPLE
    raise TypeError(value)


def program(value):
    """A whole pickle."""
    return pickle.PROTO + b"\x02" + emit(value) + pickle.STOP


class Storages:
    """The storages of a tree; arrays that are views of one share it."""

    def __init__(self, *, legacy=False):
        self.legacy = legacy
        self.arrays = {}  # by key

    def reference(self, array):
        same = (key for key, known in self.arrays.items() if known is array)
        key = next(same, str(len(self.arrays)))
        self.arrays[key] = array
        view = (None,) if self.legacy else ()
        kind = named(f"torch.{STORAGES[array.dtype]}")
        return reference("storage", kind, key, "cpu", array.size, *view)

    def replace(self, value):
        """The tree with opcodes in place of its arrays."""
        match value:
            case np.ndarray():
                root = value
                while root.base is not None:
                    root = root.base
                offset = value.ctypes.data - root.ctypes.data
                steps = [stride // value.itemsize for stride in value.strides]
                return tensor(
                    self.reference(root), offset // value.itemsize, value.shape, steps
                )
            case dict():
                return {key: self.replace(item) for key, item in value.items()}
            case list():
                return [self.replace(item) for item in value]
        return value


def save(path, tree, *, legacy=False):
    """Writes a tree of dicts and lists whose leaves are arrays, values or opcodes."""
    storages = Storages(legacy=legacy)
    data = program(storages.replace(tree))
    if legacy:
        write_legacy(path, data, storages.arrays)
    else:
        members = {key: array.tobytes() for key, array in storages.arrays.items()}
        write_zip(path, data, members)
    return path


def write_zip(path, data, storages, **others):
    """Writes a zip archive of torch: a pickle, storages by key, and other members."""
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("archive/data.pkl", data)
        for name, content in ({"byteorder": b"little"} | others).items():
            archive.writestr(f"archive/{name}", content)
        for key, content in storages.items():
            archive.writestr(f"archive/data/{key}", content)
    return path


def write_legacy(path, data, storages, system=SYSTEM, keys=None):
    """Writes the form before torch 1.6."""
    content = MAGIC + VERSION + system + data
    content += program(sorted(storages) if keys is None else keys)
    for key in sorted(storages):
        content += struct.pack("<q", storages[key].size) + storages[key].tobytes()
    path.write_bytes(content)
    return path
