"""Thousands of damaged and hostile files: each is read or is a CheckpointError.

Whole files are damaged, and also what is under their checksums and lengths, which are
then put right again. Nothing else may be raised, nothing run, nothing left, and no
memory taken beyond a small multiple of the file.
"""

import contextlib
import functools
import gzip
import io
import json
import os
import pickle
import sys
import tarfile
import tempfile
import tracemalloc
import zipfile

import ml_dtypes
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bertgen_jax.errors import CheckpointError
from bertgen_jax.pretrained.containers import (
    archives,
    safetensors_file,
    torch_file,
    torch_unpickler,
)
from bertgen_jax.pretrained.containers.tensor_file import TensorInfo
from tests.fixtures import torch_files

FEW = settings(deadline=None, max_examples=30, derandomize=True)
MANY = settings(deadline=None, max_examples=1_000)

ARRAYS = {
    "embed.weight": np.arange(12, dtype=np.float32).reshape(4, 3).T,
    "bias": np.ones(3, ml_dtypes.bfloat16),
    "ids": np.arange(4),
}
FILES = {"config.json": b'{"x": 1}', "variables/data": bytes(range(256)) * 3}


# What is read, and how


def read_tensors(open_file):
    def read(path):
        file = open_file(path)
        for name in list(file.tensors)[:20]:
            array = np.array(file.read(name))
            assert (array.shape, array.dtype) == (
                file.tensors[name].shape,
                file.tensors[name].dtype,
            )

    return read


read_safetensors = read_tensors(safetensors_file.open_safetensors)
read_torch = read_tensors(torch_file.open_torch)


def read_archive(path):
    with archives.unpacked(path) as folder:
        for file in folder.rglob("*"):
            assert file.resolve().is_relative_to(folder.resolve())
            assert file.is_dir() or len(file.read_bytes()) <= 1 << 26


# What is damaged: bytes, and how they become a file


class Evil:
    def __reduce__(self):
        return os.system, ("true",)


@functools.cache
def safetensors_bytes(place):
    path = place / "x.safetensors"
    infos = {name: TensorInfo(a.shape, a.dtype) for name, a in ARRAYS.items()}
    safetensors_file.write(path, infos, ARRAYS.__getitem__)
    return path.read_bytes()


def safetensors_header(place):
    content = safetensors_bytes(place)
    return content[8 : 8 + int.from_bytes(content[:8], "little")]


def as_header(header, path, place):
    data = safetensors_bytes(place)[8 + len(safetensors_header(place)) :]
    path.write_bytes(len(header).to_bytes(8, "little") + header + data)


def index_bytes(place):
    torch_files.save(place / "shard-1", {"x": ARRAYS["ids"]})
    torch_files.save(place / "shard-2", {"y": ARRAYS["ids"], "z": ARRAYS["ids"]})
    weight_map = {"x": "shard-1", "y": "shard-2", "z": "shard-2"}
    return json.dumps({"metadata": {}, "weight_map": weight_map}).encode()


def torch_bytes(legacy):
    def build(place):
        tree = {"model": ARRAYS, "args": torch_files.namespace(arch="x"), "n": [1, "a"]}
        return torch_files.save(place / "x.pt", tree, legacy=legacy).read_bytes()

    return build


def torch_program(place):
    storages = torch_files.Storages()
    tree = {"model": ARRAYS, "args": torch_files.namespace(arch="x"), "n": [1, "a"]}
    return torch_files.program(storages.replace(tree))


def evil_program(place):
    return pickle.dumps({"x": Evil()}, protocol=2)


def as_zip_pickle(data, path, place):
    storages = {str(i): bytes(array.nbytes) for i, array in enumerate(ARRAYS.values())}
    torch_files.write_zip(path, data, storages)


def as_legacy_pickle(data, path, place):
    torch_files.write_legacy(path, data, {})


def zip_bytes(place):
    with zipfile.ZipFile(place / "x.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in FILES.items():
            archive.writestr(name, content)
    return (place / "x.zip").read_bytes()


def tar_bytes(format):
    def build(place):
        with tarfile.open(place / "x.tar", "w", format=format) as archive:
            for name, content in (FILES | {"n" * 150: b"x"}).items():
                info = tarfile.TarInfo(name)
                info.size = len(content)
                archive.addfile(info, io.BytesIO(content))
        return (place / "x.tar").read_bytes()[: 12 * 512]

    return build


def as_tar(content, path, place):
    """With right checksums in what looks like headers; compressed, or not."""
    content = bytearray(content)
    for start in range(0, len(content) - 511, 512):
        if content[start + 257 : start + 262] == b"ustar":
            content[start + 148 : start + 156] = b" " * 8
            total = sum(content[start : start + 512])
            content[start + 148 : start + 156] = b"%06o\0 " % total
    path.write_bytes(gzip.compress(content) if path.suffix == ".tgz" else content)


def as_it_is(content, path, place):
    path.write_bytes(content)


TARGETS = {
    "safetensors": ("x.safetensors", read_safetensors, safetensors_bytes, as_it_is),
    "its header": ("x.safetensors", read_safetensors, safetensors_header, as_header),
    "index": ("x.index.json", read_torch, index_bytes, as_it_is),
    "zip of torch": ("x.pt", read_torch, torch_bytes(False), as_it_is),
    "its pickle": ("x.pt", read_torch, torch_program, as_zip_pickle),
    "legacy": ("x.pt", read_torch, torch_bytes(True), as_it_is),
    "evil in zip": ("x.pt", read_torch, evil_program, as_zip_pickle),
    "evil in legacy": ("x.pt", read_torch, evil_program, as_legacy_pickle),
    "zip": ("x.zip", read_archive, zip_bytes, as_it_is),
    "tar": ("x.tar", read_archive, tar_bytes(tarfile.PAX_FORMAT), as_tar),
    "gnu tar": ("x.tar", read_archive, tar_bytes(tarfile.GNU_FORMAT), as_tar),
    "tgz": ("x.tgz", read_archive, tar_bytes(tarfile.PAX_FORMAT), as_tar),
    "gzip": ("x.tgz", read_archive, lambda place: gzip.compress(b"x" * 999), as_it_is),
}


# How it is damaged

numbers = st.sampled_from([0, 1, 2**16, 2**31 - 1, 2**32 - 1, 2**62, 2**63, 2**64 - 1])
pieces = (
    st.binary(min_size=1, max_size=8)
    | numbers.map(lambda number: number.to_bytes(8, "little"))
    | numbers.map(lambda number: (number % 2**32).to_bytes(4, "little"))
    | numbers.map(lambda number: str(number).encode())
    | st.sampled_from([b"../", b"/", b"\0" * 512, b"-1", b"{", b"[" * 999, b"R", b"."])
)
places = st.floats(0, 1)  # from the first byte to the last
edits = st.tuples(
    st.sampled_from(["replace", "insert", "remove", "repeat", "cut"]),
    places,
    pieces,
    st.integers(1, 600),
)


def damaged(content, damage):
    for how, place, piece, length in damage:
        at = int(place * len(content))
        before, after = content[:at], content[at:]
        content = {
            "replace": before + piece + after[len(piece) :],
            "insert": before + piece + after,
            "remove": before + after[length:],
            "repeat": before + after[:length] + after,
            "cut": before,
        }[how]
    return content


# The tests


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A folder of files, and one of what is unpacked."""
    folder = tmp_path_factory.mktemp("fuzz")
    (folder / "unpacked").mkdir()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tempfile, "tempdir", str(folder / "unpacked"))
        yield folder


@pytest.fixture(scope="module")
def calls():
    """What is run by whoever looks up `os.system`, which runs nothing meanwhile."""
    found = []
    with pytest.MonkeyPatch.context() as patch:
        for module in (os, sys.modules[os.system.__module__]):
            patch.setattr(module, "system", found.append)
        yield found


def attempt(read, path, place, calls):
    message = str(path)
    tracemalloc.start()
    try:
        read(path)
    except CheckpointError as error:
        message = str(error)
    finally:
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    assert message.startswith(str(path.parent))
    assert peak < 8_000_000 + 50 * path.stat().st_size  # garbage of others included
    assert calls == []
    assert list((place / "unpacked").iterdir()) == []


@pytest.fixture(scope="module")
def seeds(place):
    """The undamaged bytes of a target, by its name. They have been read once."""
    found = {}
    for name, (file, read, build, write) in TARGETS.items():
        found[name] = build(place)
        write(found[name], place / file, place)
        if not name.startswith(("evil", "gzip")):
            read(place / file)
    return lambda name: found[name]  # hypothesis would write out a dict


def damaged_files_are_errors(name, damage, place, seeds, calls):
    file, read, _, write = TARGETS[name]
    content = damaged(seeds(name), damage)
    if content:
        write(content, place / file, place)
        attempt(read, place / file, place, calls)


damages = st.lists(edits, min_size=1, max_size=5)
targets = pytest.mark.parametrize("name", TARGETS)


@targets
@FEW
@given(damage=damages)
def test_damaged_files_are_errors(name, damage, place, seeds, calls):
    damaged_files_are_errors(name, damage, place, seeds, calls)


@pytest.mark.slow
@targets
@MANY
@given(damage=damages)
def test_many_damaged_files_are_errors(name, damage, place, seeds, calls):
    damaged_files_are_errors(name, damage, place, seeds, calls)


anything = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**70), 2**70)
    | st.floats(allow_nan=False)
    | st.text(max_size=3)
    | st.sampled_from(["F32", "BF16", "shard-1", "shard-2", "x", 0, 4, 48]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.text(max_size=2) | st.sampled_from("xyz"), inner, max_size=3
        )
    ),
    max_leaves=5,
)
entries = anything | st.fixed_dictionaries(
    {"dtype": anything, "shape": anything, "data_offsets": anything}
)
headers = st.dictionaries(st.sampled_from(["x", "y", "__metadata__"]), entries)
indices = st.fixed_dictionaries({"weight_map": anything})
PARTS = {"its header": headers, "index": indices}
parts = pytest.mark.parametrize("name", PARTS)


def odd_json_is_an_error(name, data, place, seeds, calls):
    file, read, _, write = TARGETS[name]
    write(json.dumps(data.draw(PARTS[name])).encode(), place / file, place)
    attempt(read, place / file, place, calls)


@parts
@FEW
@given(data=st.data())
def test_odd_json_is_an_error(name, data, place, seeds, calls):
    odd_json_is_an_error(name, data, place, seeds, calls)


@pytest.mark.slow
@parts
@MANY
@given(data=st.data())
def test_much_odd_json_is_an_error(name, data, place, seeds, calls):
    odd_json_is_an_error(name, data, place, seeds, calls)


KNOWN = [code for name, code in vars(pickle).items() if name in pickle.__all__]
OPCODES = [code for code in KNOWN if isinstance(code, bytes) and len(code) == 1]
WHOLE = [  # with their arguments
    b"(K\1K\2",
    b"K\0",
    b"X\1\0\0\0x",
    b"X\7\0\0\0storage",
    b"q\0",
    b"h\0",
    b"ctorch\nFloatStorage\n",
    b"ctorch\nSize\n",
    b"ctorch._utils\n_rebuild_tensor_v2\n",
    b"cargparse\nNamespace\n",
    b"ccollections\nOrderedDict\n",
    b"cposix\nsystem\n",
    b"})Q",
    b"tR",
    b")\x81",
    b"}b",
]
codes = st.lists(st.sampled_from(WHOLE * 3 + OPCODES) | st.binary(max_size=2))


def any_opcodes_are_a_value_or_an_error(code, calls):
    data = b"\x80\x02" + b"".join(code) + b"."
    with contextlib.suppress(CheckpointError):
        torch_unpickler.load(data, 0, "here")
    assert calls == []


@settings(FEW, max_examples=200)
@given(code=codes)
def test_any_opcodes_are_a_value_or_an_error(code, calls):
    any_opcodes_are_a_value_or_an_error(code, calls)


@pytest.mark.slow
@settings(MANY, max_examples=10_000)
@given(code=codes)
def test_many_opcodes_are_a_value_or_an_error(code, calls):
    any_opcodes_are_a_value_or_an_error(code, calls)
