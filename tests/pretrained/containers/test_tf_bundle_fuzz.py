"""Damaged checkpoints by the thousand: tensors or a `CheckpointError`, nothing else.

Checksums are made right again after most changes, or they would end every other check.
"""

import contextlib
import random
import shutil
import tracemalloc

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bertgen_jax.errors import CheckpointError
from bertgen_jax.files import crc32c, protobuf
from bertgen_jax.pretrained.containers import tf_bundle, tf_sorted_table
from tests.fixtures import tf_bundle_files

FEW_OR_MANY = [60, pytest.param(2000, marks=pytest.mark.slow)]
NUMBERS = (
    *(0, 1, 2, 3, 7, 8, 127, 128, 255, 2**14, 2**31 - 1, 2**31, 2**32, 2**40),
    *(2**62, 2**63 - 1, 2**63, 2**64 - 1, 2**64 - 2),
)


@pytest.fixture(params=["written", "big-endian", "keras_bert_test_checkpoint"])
def original(request, tmp_path):
    """The prefix of a good checkpoint, in a folder of its own."""
    prefix = tmp_path / "good" / "bert_model.ckpt"
    prefix.parent.mkdir()
    if request.param.startswith("keras"):
        folder = request.getfixturevalue("data_dir") / "checkpoints" / request.param
        for path in folder.glob("bert_model.ckpt.*"):
            shutil.copyfile(path, prefix.parent / path.name)  # not its mode
        return prefix
    strings = np.array([b"ab", b"", b"c" * 200], object)
    wide = np.arange(40, dtype=np.float32).reshape(10, 4)
    tensors = {
        "bert/embeddings/word_embeddings": wide,
        "bert/encoder/layer_0/kernel": np.ones((4, 4), np.float16),
        "bert/encoder/layer_0/kernel/adam_m": np.zeros((4, 4), np.complex64),
        "empty": np.zeros((0, 3), np.int8),
        "global_step": np.int64(7),
        "names": strings,
        "parts": wide,
    }
    parts = {"parts": [((0, 4), (0, None)), ((4, 6), (0, 1)), ((4, 6), (1, 3))]}
    order = "big" if request.param == "big-endian" else "little"
    return tf_bundle_files.write(
        prefix, tensors, parts=parts, shards=2, byteorder=order, block_bytes=150
    )


def survive(prefix):
    """Reads all that can be read, in little memory; how many tensors that is."""
    files = list(prefix.parent.iterdir())
    size = sum(path.stat().st_size for path in files)
    found, refused = 0, ""
    tracemalloc.start()
    try:
        bundle = tf_bundle.open_bundle(prefix)
        for name, info in bundle.tensors.items():
            with contextlib.suppress(CheckpointError):
                values = bundle.read(name)
                assert (values.shape, values.dtype) == (info.shape, info.dtype)
                found += 1
    except CheckpointError as error:
        refused = str(error)
    finally:
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    assert peak < 100 * size + (4 << 20)
    assert not refused or str(prefix) in refused
    return found


def damage(content, draw):
    """A few bytes changed, moved, removed or added."""
    content = bytearray(content)
    for _ in range(draw.choice([1, 1, 1, 2, 5])):
        start = draw.randrange(len(content) + 1)
        stop = min(start + draw.choice([1, 1, 2, 4, 8, 40]), len(content))
        other = draw.randrange(len(content) + 1)
        match draw.randrange(7):
            case 0 if content:
                content[start % len(content)] ^= 1 << draw.randrange(8)
            case 1:
                content[start:stop] = draw.randbytes(stop - start)
            case 2:
                content[start:stop] = content[other : other + stop - start]
            case 3:
                content[start:stop] = draw.choice([b"\0", b"\xff", b"\x80"]) * 10
            case 4:
                del content[start:stop]
            case 5:
                del content[start:]
            case 6:
                content[start:start] = content[other : other + 30]
    return bytes(content)


def resealed(content):
    """A table with the checksum of every block that its footer and index lead to."""
    content, places = bytearray(content), []
    with contextlib.suppress(ValueError):
        footer = bytes(content[-48:-8])
        metaindex, position = tf_sorted_table._block_handle(footer, 0)
        (offset, size), _ = tf_sorted_table._block_handle(footer, position)
        places += [metaindex, (offset, size)]
        for _, value in tf_sorted_table._entries(
            bytes(content[offset : offset + size])
        ):
            places.append(tf_sorted_table._block_handle(value, 0)[0])
    for offset, size in places:
        end = offset + size + 1
        if end + 4 <= len(content):
            crc = crc32c.masked(crc32c.crc32c(content[offset:end]))
            content[end : end + 4] = crc.to_bytes(4, "little")
    return bytes(content)


def other_message(message, draw):
    """A valid message: fields changed, at any depth, left out, doubled or mixed up."""
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


@pytest.mark.parametrize("cases", FEW_OR_MANY)
def test_damaged_files(original, cases):
    folder = original.parent
    files = {path: path.read_bytes() for path in sorted(folder.iterdir())}
    whole = survive(original)
    assert whole > 5
    draw, found = random.Random(0), 0
    for _ in range(cases):
        path = draw.choice(list(files))
        path.write_bytes(damage(files[path], draw))
        found += survive(original)
        path.write_bytes(files[path])
    assert 0 < found < whole * cases


@pytest.mark.parametrize("cases", FEW_OR_MANY)
def test_damaged_blocks_with_checksums_that_are_right(original, cases):
    path = original.with_name("bert_model.ckpt.index")
    content, draw, found = path.read_bytes(), random.Random(1), 0
    assert resealed(content) == content
    for _ in range(cases):
        damaged = damage(content[:-48], draw) + content[-48:]
        path.write_bytes(resealed(damaged))
        found += survive(original)
    assert found > 0


@pytest.mark.parametrize("cases", FEW_OR_MANY)
def test_tables_of_other_messages(original, cases):
    path = original.with_name("bert_model.ckpt.index")
    table, draw, found = tf_sorted_table.read(path), random.Random(2), 0
    for _ in range(cases):
        changed = dict(table)
        for key in draw.sample(sorted(table), draw.choice([1, 1, 3])):
            message = draw.choice([table[key], draw.choice(list(table.values()))])
            changed[key] = other_message(message, draw)
        if draw.random() < 0.1:
            changed[draw.randbytes(3)] = draw.choice(list(table.values()))
        path.write_bytes(tf_bundle_files.table(sorted(changed.items())))
        found += survive(original)
    assert found > 0


def small_table(block, index):
    """A table with any two blocks, and checksums that are right."""
    content = tf_bundle_files.seal(block)
    ends = [
        b"\0" + tf_bundle_files.varint(len(block))
    ]  # a metaindex, any block will do
    ends.append(
        tf_bundle_files.varint(len(content)) + tf_bundle_files.varint(len(index))
    )
    return (
        content + tf_bundle_files.seal(index) + tf_bundle_files.footer(b"".join(ends))
    )


@pytest.mark.parametrize("examples", [200, pytest.param(5000, marks=pytest.mark.slow)])
def test_any_bytes_as_blocks(tmp_path, examples):
    prefix = tmp_path / "x"
    restarts = st.sampled_from([b"", bytes(4), b"\0\0\0\0\1\0\0\0", b"\2\0\0\0"])
    blocks = st.builds(bytes.__add__, st.binary(max_size=60), restarts)

    @settings(max_examples=examples, deadline=None)
    @given(blocks, blocks)
    def explore(block, index):
        content = small_table(block, index)
        prefix.with_name("x.index").write_bytes(content)
        survive(prefix)

    explore()


@pytest.mark.parametrize("examples", [200, pytest.param(5000, marks=pytest.mark.slow)])
def test_any_entries(tmp_path, examples):
    prefix = tmp_path / "x"
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
        survive(prefix)

    explore()


@settings(deadline=None)
@given(
    st.lists(st.sampled_from(["..", "/", "\\\\", "a", "victim", "\\057", "\\", "."]))
)
def test_a_named_checkpoint_is_always_in_the_directory(tmp_path_factory, parts):
    folder = tmp_path_factory.mktemp("outer") / "inner"
    folder.mkdir()
    (folder / "victim.index").touch()
    (folder.parent / "victim.index").touch()
    line = f'model_checkpoint_path: "{"".join(parts)}"'
    (folder / "checkpoint").write_text(line)
    try:
        found = tf_bundle.latest_prefix(folder)
    except CheckpointError:
        return
    assert found == folder / "victim"
