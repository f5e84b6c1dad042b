"""Reads files of torch.save without torch, and without running code from them.

There are two forms. Since torch 1.6 a file is a zip archive: ROOT/data.pkl is a pickle
of everything but the values of tensors, and each ROOT/data/KEY is a storage of such
values. Members are not compressed. Before that, a file was a sequence of five pickles
(a magic number, a version, the byte order, the object, the keys of the storages), then
the storages, each after the number of its values. The tar archives of 2017 are refused.
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
# The pickles of torch's magic number 0x1950a86a20f9469cfc6c and of the version 1001.
_LEGACY_START = bytes.fromhex("80028a0a6cfc9c46f9206aa850192e 80024de9032e")

_LOCAL_HEADER = struct.Struct("<4s22xHH")  # signature; lengths of name and extra field
_ENCRYPTED = 1  # a bit of the flags of a member

_MAX_VALUES = 200_000  # BERT-large has 400 tensors
_MAX_DEPTH = 50  # of nested containers
_MAX_NAME_LENGTH = 1000
_TENSOR = object()  # stands for a tensor among the plain values


@dataclasses.dataclass(frozen=True)
class _Extent:
    """A range of bytes in the file.

    Attributes:
      start: the position of the first byte.
      size: the number of bytes.
      crc32: their checksum; 0 if the writer computed none.
    """

    start: int
    size: int
    crc32: int = 0


@dataclasses.dataclass(frozen=True, eq=False)
class TorchFile:
    """One file of torch.save, as a `TensorFile`.

    Attributes:
      path: the file.
      tensors: shapes and types by name, in the order of the file. A name is the path
        through the containers: {"model": {"embed.weight": ...}} gives
        "model.embed.weight".
      values: everything but the tensors, in the same containers. A namespace (the
        `args` of fairseq) is a dict; the keys of dicts are strings.
    """

    path: pathlib.Path
    tensors: Mapping[str, TensorInfo]
    values: Mapping[str, Any]
    _content: mmap.mmap = dataclasses.field(repr=False)
    _views: Mapping[str, tuple[np.ndarray, _Extent]] = dataclasses.field(repr=False)
    _intact: set[_Extent] = dataclasses.field(default_factory=set, repr=False)

    def read(self, name: str) -> np.ndarray:
        """Returns a tensor as a read-only view of the file.

        Raises:
          CheckpointError: its bytes do not have the checksum in the file. The older
            form has no checksums.
        """
        view, extent = self._views[name]
        if extent not in self._intact:
            _verify(extent, self._content, f"{self.path}: {name!r}")
            self._intact.add(extent)
        return view


def open_torch(
    path: str | os.PathLike[str],
) -> TorchFile | sharded_checkpoint.ShardedFile:
    """Opens a file of torch.save, or an index of several (`*.index.json`).

    Raises:
      CheckpointError: a file is missing, damaged or of another kind; or it holds code,
        or anything but a dict of tensors and plain values. See
        `sharded_checkpoint.open_index` as well.
    """
    path = pathlib.Path(path)
    if sharded_checkpoint.is_index(path):
        return sharded_checkpoint.open_index(path, open_file)
    return open_file(path)


def open_file(path: pathlib.Path) -> TorchFile:
    """Opens a single file of torch.save; errors are those of `open_torch`."""
    content = mapped(path)
    if content[: len(_ZIP_START)] == _ZIP_START:
        tree, storages = _read_zip(path, content)
    elif content[: len(_LEGACY_START)] == _LEGACY_START:
        tree, storages = _read_legacy(path, content)
    else:
        kind = "a tar archive" if content[257:262] == b"ustar" else "of another kind"
        raise CheckpointError(
            f"{path}: {kind}; expected a file of torch.save since torch 0.4. If you "
            "trust its origin, load it with the program that wrote it, and save the "
            "state dict."
        )
    if not isinstance(tree, dict):
        raise CheckpointError(
            f"{path}: holds no dict; expected a dict of tensors, such as a state dict."
        )
    tensors, values = _separate(tree, str(path))
    views = {
        name: _view(tensor, storages, content, f"{path}: {name!r}")
        for name, tensor in tensors.items()
    }
    infos = {
        name: TensorInfo(view.shape, view.dtype) for name, (view, _) in views.items()
    }
    return TorchFile(path, infos, values, content, views)


def _read_zip(path: pathlib.Path, content: mmap.mmap) -> tuple[Any, dict[str, _Extent]]:
    """Reads the object of a zip file, and locates its storages by key."""
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


def _members(path: pathlib.Path, content: mmap.mmap) -> dict[str, _Extent]:
    """Locates the members of a zip file by name, none of which is compressed."""
    try:
        with zipfile.ZipFile(path) as archive:
            infos = archive.infolist()
    except (OSError, *archives.UNREADABLE) as error:
        raise CheckpointError(
            f"{path}: not a whole zip archive ({error}). Copy or download it again."
        ) from error
    members: dict[str, _Extent] = {}
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
                "compressed, encrypted or repeated; expected an archive as torch.save "
                "writes it. Download it again, and do not repack it."
            )
        members[info.filename] = _Extent(start, info.file_size, info.CRC)
    return members


def _start(header: int, content: mmap.mmap) -> int | None:
    """Returns the position of a member's first byte, from the header before it."""
    end = header + _LOCAL_HEADER.size
    if header < 0 or end > len(content):
        return None
    magic, name_bytes, extra_bytes = _LOCAL_HEADER.unpack(content[header:end])
    return end + name_bytes + extra_bytes if magic == _ZIP_START else None


def _read_legacy(
    path: pathlib.Path, content: mmap.mmap
) -> tuple[Any, dict[str, _Extent]]:
    """Reads the object of a file of the older form, and locates its storages."""
    data = content[: torch_unpickler.MAX_BYTES]
    where = str(path)
    system = torch_unpickler.load(data, len(_LEGACY_START), where)
    if not isinstance(system.value, dict) or not system.value.get("little_endian"):
        raise _big_endian(path)
    loaded = torch_unpickler.load(data, system.end, where)
    keys = torch_unpickler.load(data, loaded.end, where)
    damaged = CheckpointError(
        f"{path}: its storages are not those of its tensors, or the file does not end "
        "after the last one. It is cut off or damaged; copy or download it again."
    )
    if keys.value != sorted(loaded.storages):
        raise damaged
    storages, end = {}, keys.end
    for key in keys.value:
        storage = loaded.storages[key]
        if int.from_bytes(content[end : end + 8], "little") != storage.size:
            raise damaged
        storages[key] = _Extent(end + 8, storage.size * storage.dtype.itemsize)
        end += 8 + storages[key].size
    if end != len(content):
        raise damaged
    return loaded.value, storages


def _big_endian(path: pathlib.Path) -> CheckpointError:
    return CheckpointError(
        f"{path}: its numbers are not marked as little-endian; expected a file from a "
        "little-endian machine. Load it where it was written, and save the weights as "
        "safetensors."
    )


def _bytes_of(extent: _Extent, content: mmap.mmap, where: str) -> bytes:
    """Reads and verifies a small member."""
    if extent.size > torch_unpickler.MAX_BYTES:
        raise CheckpointError(
            f"{where}: {extent.size:,} bytes; expected at most "
            f"{torch_unpickler.MAX_BYTES:,}."
        )
    _verify(extent, content, where)
    return content[extent.start : extent.start + extent.size]


def _verify(extent: _Extent, content: mmap.mmap, where: str) -> None:
    crc32 = zlib.crc32(memoryview(content)[extent.start : extent.start + extent.size])
    if extent.crc32 not in (crc32, 0):
        raise CheckpointError(
            f"{where} is damaged: the CRC-32 of its bytes is {crc32:08x}, and was "
            f"{extent.crc32:08x}. Copy or download the file again."
        )


def _separate(
    tree: dict, where: str
) -> tuple[dict[str, torch_unpickler.Tensor], dict[str, Any]]:
    """Returns the tensors of a tree by their paths, and the tree without them."""
    tensors: dict[str, torch_unpickler.Tensor] = {}
    # A container may be in several, or in itself, so a small file can unfold endlessly.
    visits = itertools.count(1)

    def plain_values(node: Any, name: str, depth: int) -> Any:
        """Returns the node without its tensors; `_TENSOR` if nothing else is in it."""
        if (
            next(visits) > _MAX_VALUES
            or depth > _MAX_DEPTH
            or len(name) > _MAX_NAME_LENGTH
        ):
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
                return _TENSOR
            case dict() | list() | tuple():
                is_dict = isinstance(node, dict)
                children: dict[str, Any] = {}
                for key, value in node.items() if is_dict else enumerate(node):
                    path = f"{name}.{key}" if depth else str(key)
                    if str(key) in children:
                        raise CheckpointError(f"{where}: {path!r} names two values.")
                    children[str(key)] = plain_values(value, path, depth + 1)
                plain = {key: v for key, v in children.items() if v is not _TENSOR}
                if children and not plain:
                    return _TENSOR
                if is_dict:
                    return plain
                return [None if v is _TENSOR else v for v in children.values()]
        raise CheckpointError(
            f"{where}: {name!r} is a function or a storage; expected tensors and plain "
            "values, in dicts such as a state dict."
        )

    values = plain_values(tree, "", 0)
    return tensors, {} if values is _TENSOR else values


def _view(
    tensor: torch_unpickler.Tensor,
    storages: Mapping[str, _Extent],
    content: mmap.mmap,
    where: str,
) -> tuple[np.ndarray, _Extent]:
    """Returns a tensor as a view of the file, and the extent of its storage."""
    storage, shape = tensor.storage, tensor.shape
    itemsize, size = storage.dtype.itemsize, math.prod(shape)
    extent = storages.get(storage.key)
    if extent is None or extent.size != storage.size * itemsize:
        raise CheckpointError(
            f"{where}: expected {storage.size * itemsize:,} bytes of storage "
            f"{storage.key!r:.99}, found {extent.size if extent else 0:,}. The file is "
            "damaged; copy or download it again."
        )
    steps = zip(shape, tensor.strides, strict=True)
    last = tensor.offset + sum((count - 1) * stride for count, stride in steps)
    # A stride of 0 repeats values. Without the second bound, it could do so endlessly.
    if size and (last >= storage.size or size * itemsize > len(content)):
        raise CheckpointError(
            f"{where}: shape {shape}, strides {tensor.strides} and offset "
            f"{tensor.offset} lead out of its storage of {storage.size:,} values. The "
            "file is damaged; copy or download it again."
        )
    try:
        start = extent.start + tensor.offset * itemsize
        strides = [stride * itemsize for stride in tensor.strides]
        return np.ndarray(shape, storage.dtype, content, start, strides), extent
    except ValueError as error:  # such as axes of 2**62
        raise CheckpointError(f"{where} cannot be an array ({error}).") from error
