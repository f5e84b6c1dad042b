"""Damaged and hostile files of every container: each is read, or is a CheckpointError.

Besides whole files, the contents under checksums and lengths are damaged, and the
checksums recomputed. Nothing else may be raised, no code may run, no file may be left,
and memory must stay within a small multiple of the file.
"""

import contextlib
import functools
import gzip
import io
import json
import os
import pickle
import random
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
from bertgen_jax.files import crc32c, protobuf
from bertgen_jax.pretrained.containers import (
    archives,
    safetensors_file,
    tf_bundle,
    tf_sorted_table,
    torch_file,
    torch_unpickler,
)
from bertgen_jax.pretrained.containers.tensor_file import TensorInfo
from tests.fixtures import tf_bundle_files, torch_files

FEW = settings(deadline=None, max_examples=30, derandomize=True)
MANY = settings(deadline=None, max_examples=1_000)

ARRAYS = {
    "embed.weight": np.arange(12, dtype=np.float32).reshape(4, 3).T,
    "bias": np.ones(3, ml_dtypes.bfloat16),
    "ids": np.arange(4),
}
FILES = {"config.json": b'{"x": 1}', "variables/data": bytes(range(256)) * 3}


# How the containers are read


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
read_bundle = read_tensors(tf_bundle.open_bundle)


def read_archive(path):
    with archives.unpacked(path) as folder:
        for file in folder.rglob("*"):
            assert file.resolve().is_relative_to(folder.resolve())
            assert file.is_dir() or len(file.read_bytes()) <= 1 << 26


# What is damaged: the bytes, and how they become a file


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
    """Writes a tar with the checksums of its headers recomputed; .tgz is compressed."""
    content = bytearray(content)
    for start in range(0, len(content) - 511, 512):
        if content[start + 257 : start + 262] == b"ustar":
            content[start + 148 : start + 156] = b" " * 8
            total = sum(content[start : start + 512])
            content[start + 148 : start + 156] = b"%06o\0 " % total
    path.write_bytes(gzip.compress(content) if path.suffix == ".tgz" else content)


def bundle_bytes(name, byteorder="little"):
    """Writes a TensorFlow checkpoint and returns the bytes of one of its files."""

    def build(place):
        wide = np.arange(40, dtype=np.float32).reshape(10, 4)
        tensors = {
            "bert/embeddings/word_embeddings": wide,
            "bert/encoder/layer_0/kernel": np.ones((4, 4), np.float16),
            "bert/encoder/layer_0/kernel/adam_m": np.zeros((4, 4), np.complex64),
            "empty": np.zeros((0, 3), np.int8),
            "global_step": np.int64(7),
            "names": np.array([b"ab", b"", b"c" * 200], object),
            "parts": wide,
        }
        parts = {"parts": [((0, 4), (0, None)), ((4, 6), (0, 1)), ((4, 6), (1, 3))]}
        tf_bundle_files.write(
            place / name.partition(".")[0],
            tensors,
            parts=parts,
            shards=2,
            byteorder=byteorder,
            block_bytes=150,
        )
        return (place / name).read_bytes()

    return build


def as_table(content, path, place):
    """Writes a table with the checksum of every block that footer and index locate."""
    content, handles = bytearray(content), []
    with contextlib.suppress(ValueError):
        footer = bytes(content[-48:-8])
        metaindex, position = block_handle(footer, 0)
        index, _ = block_handle(footer, position)
        handles += [metaindex, index]
        block = bytes(content[index[0] : sum(index)])
        for value in block_values(block):
            handles.append(block_handle(value, 0)[0])
    for offset, size in handles:
        end = offset + size + 1
        if end + 4 <= len(content):
            crc = crc32c.masked(crc32c.crc32c(content[offset:end]))
            content[end : end + 4] = crc.to_bytes(4, "little")
    path.write_bytes(content)


def block_handle(message, position):
    """Returns (offset, size) of a block, and the position after these numbers."""
    offset, position = protobuf.varint(message, position)
    size, position = protobuf.varint(message, position)
    return (offset, size), position


def block_values(block):
    """Yields the values of the entries of a block."""
    offsets = int.from_bytes(block[-4:], "little")
    end, position = len(block) - 4 * (offsets + 1), 0
    while position < end:
        _, position = protobuf.varint(block, position)
        unshared, position = protobuf.varint(block, position)
        length, position = protobuf.varint(block, position)
        position += unshared + length
        yield block[position - length : position]


def unchanged(content, path, place):
    path.write_bytes(content)


BIG_INDEX, DATA = "big.index", "data.data-00000-of-00002"
TARGETS = {
    "safetensors": ("x.safetensors", read_safetensors, safetensors_bytes, unchanged),
    "its header": ("x.safetensors", read_safetensors, safetensors_header, as_header),
    "index": ("x.index.json", read_torch, index_bytes, unchanged),
    "zip of torch": ("x.pt", read_torch, torch_bytes(False), unchanged),
    "its pickle": ("x.pt", read_torch, torch_program, as_zip_pickle),
    "legacy": ("x.pt", read_torch, torch_bytes(True), unchanged),
    "evil in zip": ("x.pt", read_torch, evil_program, as_zip_pickle),
    "evil in legacy": ("x.pt", read_torch, evil_program, as_legacy_pickle),
    "zip": ("x.zip", read_archive, zip_bytes, unchanged),
    "tar": ("x.tar", read_archive, tar_bytes(tarfile.PAX_FORMAT), as_tar),
    "gnu tar": ("x.tar", read_archive, tar_bytes(tarfile.GNU_FORMAT), as_tar),
    "tgz": ("x.tgz", read_archive, tar_bytes(tarfile.PAX_FORMAT), as_tar),
    "TF index": ("x.index", read_bundle, bundle_bytes("x.index"), unchanged),
    "its blocks": ("y.index", read_bundle, bundle_bytes("y.index"), as_table),
    "big-endian index": (
        BIG_INDEX,
        read_bundle,
        bundle_bytes(BIG_INDEX, "big"),
        as_table,
    ),
    "TF data": (DATA, read_bundle, bundle_bytes(DATA), unchanged),
    "gzip": ("x.tgz", read_archive, lambda place: gzip.compress(b"x" * 999), unchanged),
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
    for edit, place, piece, length in damage:
        at = int(place * len(content))
        before, after = content[:at], content[at:]
        content = {
            "replace": before + piece + after[len(piece) :],
            "insert": before + piece + after,
            "remove": before + after[length:],
            "repeat": before + after[:length] + after,
            "cut": before,
        }[edit]
    return content


# Damaged files


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A folder for files, with a subfolder where archives are unpacked."""
    folder = tmp_path_factory.mktemp("fuzz")
    (folder / "unpacked").mkdir()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tempfile, "tempdir", str(folder / "unpacked"))
        yield folder


@pytest.fixture(scope="module")
def calls():
    """The commands that were passed to `os.system`, which is replaced meanwhile."""
    commands = []
    with pytest.MonkeyPatch.context() as patch:
        for module in (os, sys.modules[os.system.__module__]):
            patch.setattr(module, "system", commands.append)
        yield commands


def attempt(read, path, place, calls):
    """Reads a file; an error names it, and nothing is run, left or allocated."""
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
    assert peak < 8_000_000 + 50 * path.stat().st_size  # with garbage of other tests
    assert calls == []
    assert list((place / "unpacked").iterdir()) == []


@pytest.fixture(scope="module")
def seeds(place):
    """The undamaged bytes of a target, by its name. They have been read once."""
    contents = {}
    for name, (file, read, build, write) in TARGETS.items():
        contents[name] = build(place)
        write(contents[name], place / file, place)
        if not name.startswith(("evil", "gzip")):
            read(place / file)
    return lambda name: contents[name]  # hypothesis would print a dict


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


WHOLE_FILES = [
    name
    for name, (_, _, _, write) in TARGETS.items()
    if write in (unchanged, as_tar) and name not in ("gzip", "TF data")
]


@pytest.mark.parametrize("name", WHOLE_FILES)
def test_every_file_that_is_cut_off_is_an_error(name, place, seeds):
    file, read, _, _ = TARGETS[name]
    content = seeds(name)
    if file.endswith(".tgz"):
        content = gzip.compress(content)
    path, end = place / file, len(content)
    if file.endswith(".tar"):  # it ends with any number of zeros
        end = len(content.rstrip(b"\0"))
    for length in {*range(0, end, max(1, end // 200)), end - 1}:
        path.write_bytes(content[:length])
        with pytest.raises(CheckpointError):
            read(path)


@pytest.mark.parametrize("name", WHOLE_FILES)
def test_files_of_other_kinds_are_errors(name, place):
    file, read, _, _ = TARGETS[name]
    path = place / file
    for content in (b"", b"x", b"PK\3\4", b"\x1f\x8b", b"{}", b"x" * 2000):
        path.write_bytes(content)
        with pytest.raises(CheckpointError) as error:
            read(path)
        assert str(error.value).startswith(str(path))


@pytest.mark.parametrize("name", WHOLE_FILES)
def test_missing_files_are_errors(name, place):
    file, read, _, _ = TARGETS[name]
    path = place / f"no-{file}"
    with pytest.raises(CheckpointError) as error:
        read(path)
    assert str(error.value).startswith(str(path))


# JSON with odd values

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


# Pickles of odd opcodes

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


# Indexes of TensorFlow with odd messages

NUMBERS = (
    *(0, 1, 2, 3, 7, 8, 127, 128, 255, 2**14, 2**31 - 1, 2**31, 2**32, 2**40),
    *(2**62, 2**63 - 1, 2**63, 2**64 - 1, 2**64 - 2),
)


def other_message(message, draw):
    """Changes, repeats or removes fields of a message at any depth."""
    try:
        fields = list(protobuf.fields(message))
    except ValueError:
        return message
    if fields and draw.random() < 0.2:
        fields.insert(draw.randrange(len(fields)), draw.choice(fields))
    if fields and draw.random() < 0.1:
        del fields[draw.randrange(len(fields))]
    chosen, encoded = draw.randrange(len(fields) + 1), b""
    for position, (number, wire, value) in enumerate(fields):
        if position == chosen:
            if wire == protobuf.VARINT:
                value = draw.choice([draw.choice(NUMBERS), value + 1, value ^ 1])
            elif wire == protobuf.BYTES:
                value = other_message(value, draw)
            if draw.random() < 0.1:
                number = draw.randrange(1, 9)
        encoded += tf_bundle_files.varint(number << 3 | wire)
        if wire == protobuf.VARINT:
            value = tf_bundle_files.varint(value)
        elif wire == protobuf.BYTES:
            encoded += tf_bundle_files.varint(len(value))
        encoded += value
    return encoded


def odd_messages_are_read_or_an_error(cases, byteorder, place, calls):
    name = "messages.index"
    bundle_bytes(name, byteorder)(place)
    path, draw = place / name, random.Random(2)
    table = tf_sorted_table.read(path)
    for _ in range(cases):
        changed = dict(table)
        for key in draw.sample(sorted(table), draw.choice([1, 1, 3])):
            message = draw.choice([table[key], draw.choice(list(table.values()))])
            changed[key] = other_message(message, draw)
        if draw.random() < 0.1:
            changed[draw.randbytes(3)] = draw.choice(list(table.values()))
        path.write_bytes(tf_bundle_files.table(sorted(changed.items())))
        attempt(read_bundle, path, place, calls)


@pytest.mark.parametrize("cases", [60, pytest.param(2000, marks=pytest.mark.slow)])
@pytest.mark.parametrize("byteorder", ["little", "big"])
def test_odd_messages_are_read_or_an_error(cases, byteorder, place, calls):
    odd_messages_are_read_or_an_error(cases, byteorder, place, calls)


def small_table(block, index):
    """Returns a table of any two blocks, with right checksums."""
    content = tf_bundle_files.seal(block)
    metaindex = b"\0" + tf_bundle_files.varint(len(block))  # any block will do
    handle = tf_bundle_files.varint(len(content)) + tf_bundle_files.varint(len(index))
    footer = tf_bundle_files.footer(metaindex + handle)
    return content + tf_bundle_files.seal(index) + footer


EXAMPLES = pytest.mark.parametrize(
    "examples", [200, pytest.param(5000, marks=pytest.mark.slow)]
)


@EXAMPLES
def test_any_bytes_as_blocks_are_read_or_an_error(examples, place, calls):
    path = place / "blocks.index"
    restarts = st.sampled_from([b"", bytes(4), b"\0\0\0\0\1\0\0\0", b"\2\0\0\0"])
    blocks = st.builds(bytes.__add__, st.binary(max_size=60), restarts)

    @settings(max_examples=examples, deadline=None)
    @given(blocks, blocks)
    def explore(block, index):
        path.write_bytes(small_table(block, index))
        attempt(read_bundle, path, place, calls)

    explore()


@EXAMPLES
def test_any_entries_are_read_or_an_error(examples, place, calls):
    prefix = place / "entries"
    numbers = st.integers(0, 20) | st.sampled_from(NUMBERS) | st.integers(-(2**63))
    extents = st.tuples(numbers, st.none() | numbers)
    entries = st.fixed_dictionaries(
        {"dtype": st.sampled_from([1, 3, 6, 7, 8, 10, 14, 19]) | numbers},
        optional={
            "shape": st.lists(numbers, max_size=4) | st.binary(max_size=10),
            "shard": st.integers(0, 1) | numbers,
            "offset": numbers,
            "size": numbers,
            "crc": st.integers(0, 2**32 - 1),
            "slices": st.lists(st.lists(extents, max_size=3), max_size=3),
        },
    )

    @settings(max_examples=examples, deadline=None)
    @given(entries, entries, st.sampled_from(["little", "big"]))
    def explore(first, second, byteorder):
        tensors = {"a": np.ones((2, 3), np.float32), "b": np.int64(1)}
        tf_bundle_files.write(
            prefix,
            tensors,
            shards=2,
            byteorder=byteorder,
            change={"a": first, "b": second},
        )
        attempt(read_bundle, place / "entries.index", place, calls)

    explore()
