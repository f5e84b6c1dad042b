"""Files of torch.save in; mapped tensors and plain values out. No torch, no code run.

Two forms are read. Since torch 1.6 a file is a zip archive: ROOT/data.pkl is a pickle
of all but the values of tensors, and each ROOT/data/KEY, which is not compressed, is a
storage of such values. Before that, five pickles follow each other (a magic number, a
version, the byte order, the object, the keys of the storages), then the storages, each
after a count of its values. The tar archives of 2017 are refused.
"""

import dataclasses
import itertools
import math
import mmap
import os
import pathlib
import struct
import zipfile
import zlib
from collections.abc import Mapping
from typing import Any

import numpy as np

from bertgen_jax.errors import CheckpointError
from bertgen_jax.files.memory_maps import mapped
from bertgen_jax.pretrained.containers import (
    archives,
    sharded_checkpoint,
    torch_unpickler,
)
from bertgen_jax.pretrained.containers.tensor_file import TensorInfo

_ZIP_START = b"PK\3\4"
# The pickles of 0x1950a86a20f9469cfc6c, torch's magic number, and of 1001, the version.
_LEGACY_START = bytes.fromhex("80028a0a6cfc9c46f9206aa850192e 80024de9032e")

_LOCAL_HEADER = struct.Struct("<4s22xHH")  # its lengths of name and extra field
_ENCRYPTED = 1  # bit of a member's flags

_MOST_VALUES = 200_000  # BERT-large has 400 tensors
_DEEPEST = 50  # containers within each other
_LONGEST_NAME = 1000
_TAKEN = object()  # where a tensor was


@dataclasses.dataclass(frozen=True)
class _Stored:
    """Where bytes lie in the file.

    Attributes:
      start: position of the first.
      size: how many there are.
      crc32: their checksum; 0 where the writer took none.
    """

    start: int
    size: int
    crc32: int = 0


@dataclasses.dataclass(frozen=True, eq=False)
class TorchFile:
    """A `TensorFile` of one file of torch.save.

    Attributes:
      path: of the file.
      tensors: by name, in the file's order. The name is the path through the
        containers: {"model": {"embed.weight": ...}} has "model.embed.weight".
      values: all that is not tensors, in the containers that it is in. A namespace
        (the `args` of fairseq) is a dict; the keys of dicts are strings.
    """

    path: pathlib.Path
    tensors: Mapping[str, TensorInfo]
    values: Mapping[str, Any]
    _content: mmap.mmap = dataclasses.field(repr=False)
    _views: Mapping[str, tuple[np.ndarray, _Stored]] = dataclasses.field(repr=False)
    _intact: set[_Stored] = dataclasses.field(default_factory=set, repr=False)

    def read(self, name: str) -> np.ndarray:
        """The tensor of that name, a read-only view of the file.

        Raises:
          CheckpointError: its bytes do not have the checksum that the file gives them;
            the older form gives none.
        """
        view, stored = self._views[name]
        if stored not in self._intact:
            _verify(stored, self._content, f"{self.path}: {name!r}")
            self._intact.add(stored)
        return view


def open_torch(
    path: str | os.PathLike[str],
) -> TorchFile | sharded_checkpoint.ShardedFile:
    """Opens a file of torch.save, or an index of several (`*.index.json`).

    Raises:
      CheckpointError: a file is missing, damaged or of another kind; it holds code,
        or something other than a dict of tensors and plain values; see
        `sharded_checkpoint.open_index` too.
    """
    path = pathlib.Path(path)
    return (
        sharded_checkpoint.open_index(path, _open)
        if sharded_checkpoint.is_index(path)
        else _open(path)
    )


def _open(path: pathlib.Path) -> TorchFile:
    content = mapped(path)
    if content[: len(_ZIP_START)] == _ZIP_START:
        tree, storages = _read_zip(path, content)
    elif content[: len(_LEGACY_START)] == _LEGACY_START:
        tree, storages = _read_legacy(path, content)
    else:
        found = "a tar archive" if content[257:262] == b"ustar" else "of another kind"
        raise CheckpointError(
            f"{path}: {found}; expected a file of torch.save since torch 0.4. Load it "
            "with what wrote it, if you trust its source, and save the state dict."
        )
    if not isinstance(tree, dict):
        raise CheckpointError(
            f"{path}: holds no dict; expected a dict of tensors, such as a state dict."
        )
    tensors, values = _separated(tree, str(path))
    views = {
        name: _view(tensor, storages, content, f"{path}: {name!r}")
        for name, tensor in tensors.items()
    }
    infos = {
        name: TensorInfo(view.shape, view.dtype) for name, (view, _) in views.items()
    }
    return TorchFile(path, infos, values, content, views)


def _read_zip(path: pathlib.Path, content: mmap.mmap) -> tuple[Any, dict[str, _Stored]]:
    """The object of a zip file, and its storages by key."""
    members = _members(path, content)
    roots = [name[: -len("data.pkl")] for name in members if name.endswith("/data.pkl")]
    if len(roots) != 1:
        raise CheckpointError(
            f"{path}: a zip archive with {len(roots)} members data.pkl; expected one, "
            "as torch.save writes it."
        )
    root = roots[0]
    order = members.get(f"{root}byteorder")
    if order and _bytes_of(order, content, f"{path}: byteorder") != b"little":
        raise _big_endian(path)
    where = f"{path}: data.pkl"
    data = _bytes_of(members[f"{root}data.pkl"], content, where)
    loaded = torch_unpickler.load(data, 0, where)
    if loaded.end != len(data):
        raise CheckpointError(
            f"{where}: ends at byte {loaded.end:,} of {len(data):,}; expected one "
            "pickle. The file is damaged."
        )
    folder = f"{root}data/"
    return loaded.value, {
        name.removeprefix(folder): member
        for name, member in members.items()
        if name.startswith(folder)
    }


def _members(path: pathlib.Path, content: mmap.mmap) -> dict[str, _Stored]:
    """The members of a zip file by name, all of them stored as they are."""
    try:
        with zipfile.ZipFile(path) as archive:
            infos = archive.infolist()
    except (OSError, *archives.UNREADABLE) as error:
        raise CheckpointError(
            f"{path}: not a whole zip archive ({error}). Copy or download it again."
        ) from error
    members: dict[str, _Stored] = {}
    for info in infos:
        start = _start(info.header_offset, content)
        is_plain = (
            info.compress_type == zipfile.ZIP_STORED
            and info.compress_size == info.file_size
            and not info.flag_bits & _ENCRYPTED
        )
        if (
            start is None
            or start + info.file_size > len(content)
            or not is_plain
            or info.filename in members
        ):
            raise CheckpointError(
                f"{path}: the member {info.filename!r:.99} is not in the file, or is "
                "compressed, encrypted or there twice; expected an archive as "
                "torch.save writes it. Download it again, and do not repack it."
            )
        members[info.filename] = _Stored(start, info.file_size, info.CRC)
    return members


def _start(header: int, content: mmap.mmap) -> int | None:
    """Position of a member's first byte, which only the header before it tells."""
    end = header + _LOCAL_HEADER.size
    if header < 0 or end > len(content):
        return None
    magic, name_bytes, extra_bytes = _LOCAL_HEADER.unpack(content[header:end])
    return end + name_bytes + extra_bytes if magic == _ZIP_START else None


def _read_legacy(
    path: pathlib.Path, content: mmap.mmap
) -> tuple[Any, dict[str, _Stored]]:
    """The object of a file in the older form, and its storages by key."""
    data = content[: torch_unpickler.MAX_BYTES]
    where = str(path)
    system = torch_unpickler.load(data, len(_LEGACY_START), where)
    if not isinstance(system.value, dict) or not system.value.get("little_endian"):
        raise _big_endian(path)
    loaded = torch_unpickler.load(data, system.end, where)
    keys = torch_unpickler.load(data, loaded.end, where)
    damaged = CheckpointError(
        f"{path}: its storages are not those of its tensors, or the file does not end "
        "with the last of them. It is cut off or damaged; copy or download it again."
    )
    if keys.value != sorted(loaded.storages):
        raise damaged
    storages, end = {}, keys.end
    for key in keys.value:
        storage = loaded.storages[key]
        if int.from_bytes(content[end : end + 8], "little") != storage.size:
            raise damaged
        storages[key] = _Stored(end + 8, storage.size * storage.dtype.itemsize)
        end += 8 + storages[key].size
    if end != len(content):
        raise damaged
    return loaded.value, storages


def _big_endian(path: pathlib.Path) -> CheckpointError:
    return CheckpointError(
        f"{path}: does not say that its numbers are little-endian; expected a file "
        "from a processor of today. Load it where it was written, and save the weights."
    )


def _bytes_of(stored: _Stored, content: mmap.mmap, where: str) -> bytes:
    """A small member as a whole, verified."""
    if stored.size > torch_unpickler.MAX_BYTES:
        raise CheckpointError(
            f"{where}: {stored.size:,} bytes; expected at most "
            f"{torch_unpickler.MAX_BYTES:,}."
        )
    _verify(stored, content, where)
    return content[stored.start : stored.start + stored.size]


def _verify(stored: _Stored, content: mmap.mmap, where: str) -> None:
    found = zlib.crc32(memoryview(content)[stored.start : stored.start + stored.size])
    if stored.crc32 not in (found, 0):
        raise CheckpointError(
            f"{where} is damaged: the CRC-32 of its bytes is {found:08x}, and was "
            f"{stored.crc32:08x}. Copy or download the file again."
        )


def _separated(
    tree: dict, where: str
) -> tuple[dict[str, torch_unpickler.Tensor], dict[str, Any]]:
    """The tensors of a tree by their paths, and the tree without them."""
    tensors: dict[str, torch_unpickler.Tensor] = {}
    # A container may be in several, or in itself: a small file can unfold without end.
    visits = itertools.count(1)

    def rest(node: Any, name: str, depth: int) -> Any:
        """Takes the tensors out; what is left, `_TAKEN` for nothing."""
        if next(visits) > _MOST_VALUES or depth > _DEEPEST or len(name) > _LONGEST_NAME:
            raise CheckpointError(
                f"{where}: {name!r:.99}... is in too many containers, or its name is "
                "too long; expected a dict of tensors, such as a state dict."
            )
        match node:
            case None | bool() | int() | float() | str():
                return node
            case torch_unpickler.Tensor():
                if name in tensors:
                    raise CheckpointError(f"{where}: {name!r} names two tensors.")
                tensors[name] = node
                return _TAKEN
            case dict() | list() | tuple():
                is_dict, left = isinstance(node, dict), {}
                for key, value in node.items() if is_dict else enumerate(node):
                    below = f"{name}.{key}" if depth else str(key)
                    if str(key) in left:
                        raise CheckpointError(f"{where}: {below!r} names two values.")
                    left[str(key)] = rest(value, below, depth + 1)
                kept = {key: v for key, v in left.items() if v is not _TAKEN}
                if left and not kept:
                    return _TAKEN
                if is_dict:
                    return kept
                return [None if value is _TAKEN else value for value in left.values()]
        raise CheckpointError(
            f"{where}: {name!r} is a function or a storage; expected tensors and plain "
            "values, in dicts such as a state dict."
        )

    left = rest(tree, "", 0)
    return tensors, {} if left is _TAKEN else left


def _view(
    tensor: torch_unpickler.Tensor,
    storages: Mapping[str, _Stored],
    content: mmap.mmap,
    where: str,
) -> tuple[np.ndarray, _Stored]:
    """The tensor as an array over the file, and the bytes that it is a part of."""
    storage, shape = tensor.storage, tensor.shape
    itemsize, size = storage.dtype.itemsize, math.prod(shape)
    stored = storages.get(storage.key)
    if stored is None or stored.size != storage.size * itemsize:
        raise CheckpointError(
            f"{where}: expected {storage.size * itemsize:,} bytes of storage "
            f"{storage.key!r:.99}, found {stored.size if stored else 0:,}. The file is "
            "damaged; copy or download it again."
        )
    steps = zip(shape, tensor.strides, strict=True)
    last = tensor.offset + sum((count - 1) * stride for count, stride in steps)
    # A stride of 0 repeats values: without the second bound, any number of times.
    if size and (last >= storage.size or size * itemsize > len(content)):
        raise CheckpointError(
            f"{where}: shape {shape}, strides {tensor.strides} and offset "
            f"{tensor.offset} lead out of its storage of {storage.size:,} values. The "
            "file is damaged; copy or download it again."
        )
    try:
        start = stored.start + tensor.offset * itemsize
        strides = [stride * itemsize for stride in tensor.strides]
        return np.ndarray(shape, storage.dtype, content, start, strides), stored
    except ValueError as error:  # such as axes of 2**62
        raise CheckpointError(f"{where} cannot be an array ({error}).") from error
