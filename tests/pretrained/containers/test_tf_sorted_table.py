"""Sorted tables are read; any changed byte is an error."""

import random
import struct

import pytest

from bertgen_jax.errors import CheckpointError
from bertgen_jax.pretrained.containers import tf_sorted_table
from tests.fixtures import tf_bundle_files

PAIRS = [(f"layer_{i:03}/kernel".encode(), bytes([i]) * (i % 7)) for i in range(150)]


@pytest.fixture
def read(tmp_path):
    """Reads a table from its bytes."""

    def read(content):
        path = tmp_path / "x.index"
        path.write_bytes(content)
        return tf_sorted_table.read(path)

    return read


def test_a_table_of_tensorflow_is_read(read):
    header = "08 01 1a 02 08 01"
    bias = "08 01 12 04 12 02 08 02 28 08 35 59 3c e5 35"
    slot = "08 01 12 04 12 02 08 02 20 08 28 08 35 89 b0 c2 30"
    content = bytes.fromhex(
        f"00 00 06 {header}"
        f"00 0a 0f 6c 61 79 65 72 2f 62 69 61 73 {bias}"  # layer/bias
        f"0a 07 11 2f 61 64 61 6d 5f 6d {slot}"  # the same and /adam_m
        "00 00 00 00 01 00 00 00  00 cb 66 0b d6"  # 72 bytes with this line's first 8
        "00 00 00 00 01 00 00 00  00 c0 f2 a1 b0"  # no metaindex: 8 bytes at 77
        "00 01 02 6d 00 48  00 00 00 00 01 00 00 00  00 6a fd 10 29"  # m: 72 bytes at 0
        f"4d 08 5a 0e {36 * '00'} 57 fb 80 8b 24 75 47 db"
    )
    assert read(content) == {
        b"": bytes.fromhex(header),
        b"layer/bias": bytes.fromhex(bias),
        b"layer/bias/adam_m": bytes.fromhex(slot),
    }


@pytest.mark.parametrize("block_bytes", [1, 100, 4096])
@pytest.mark.parametrize("interval", [1, 2, 16])
def test_keys_and_values_are_read_in_order(read, block_bytes, interval):
    content = tf_bundle_files.table(PAIRS, block_bytes=block_bytes, interval=interval)
    assert list(read(content).items()) == PAIRS


def test_keys_of_all_lengths_are_read(read):
    keys = [b"", b"\0", b"\0\0", b"a", b"a" * 300, b"a" * 300 + b"b", b"\xff" * 200]
    pairs = [(key, b"v" * 1000) for key in keys]
    assert list(read(tf_bundle_files.table(pairs)).items()) == pairs


def test_an_empty_table_is_read(read):
    assert read(tf_bundle_files.table([])) == {}


def test_every_changed_byte_is_an_error(read):
    content = tf_bundle_files.table(PAIRS[:20], block_bytes=200)
    change = random.Random(0)
    for position in range(len(content)):
        damaged = bytearray(content)
        damaged[position] ^= change.randrange(1, 256)
        with pytest.raises(
            CheckpointError, match=r"x\.index: .* Expected a whole sort"
        ):
            read(damaged)


def test_a_missing_file_and_a_directory_are_refused(tmp_path):
    for path in (tmp_path / "nothing", tmp_path):
        with pytest.raises(CheckpointError, match=f"{path}: (No such|not a) file"):
            tf_sorted_table.read(path)


def test_a_compressed_table_is_refused(read):
    with pytest.raises(CheckpointError, match="is compressed with Snappy, which Tens"):
        read(tf_bundle_files.table([(b"a", b"b")], compression=1))
    with pytest.raises(
        CheckpointError, match=r"its block at byte \d+ has compression 2"
    ):
        read(tf_bundle_files.table([(b"a", b"b")], compression=2))


def test_a_large_file_is_not_parsed(read, monkeypatch):
    content = tf_bundle_files.table(PAIRS)
    monkeypatch.setattr(tf_sorted_table, "_MAX_BYTES", 1 << 20)
    assert dict(PAIRS) == read(content)
    with pytest.raises(CheckpointError, match="more than 1 MiB, but a table"):
        read(bytes(1 << 20) + content)


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ([b"a", b"c", b"b"], "its key b'b' comes after b'c', out of order"),
        ([b"a", b"a"], "its key b'a' comes after b'a', out of order"),
        ([b"a", b""], "its key b'' comes after b'a', out of order"),
    ],
)
@pytest.mark.parametrize("block_bytes", [1, 100])  # within a block, between two
def test_keys_out_of_order_are_refused(read, keys, message, block_bytes):
    pairs = [(key, b"value") for key in keys]
    with pytest.raises(CheckpointError, match=message):
        read(tf_bundle_files.table(pairs, block_bytes=block_bytes))


def entries(*parts):
    """A block of raw entries with one restart."""
    return b"".join(parts) + struct.pack("<II", 0, 1)


def table_of(block, places=None):
    """A table whose one data block is `block`; places of blocks in its index."""
    content = tf_bundle_files.seal(block)
    size = tf_bundle_files.varint(len(block))
    metaindex = b"\0" + size  # any block will do
    places = places or [b"\0" + size]
    index = entries(
        *(
            b"\0\1" + tf_bundle_files.varint(len(place)) + bytes([number + 1]) + place
            for number, place in enumerate(places)
        )
    )
    end = tf_bundle_files.varint(len(content)) + tf_bundle_files.varint(len(index))
    return (
        content + tf_bundle_files.seal(index) + tf_bundle_files.footer(metaindex + end)
    )


@pytest.mark.parametrize(
    ("block", "message"),
    [
        (entries(b"\0\1\5", b"a", b"val"), "goes to byte 9 of 7"),
        (entries(b"\0\7\0", b"a"), "goes to byte 10 of 4"),
        (entries(b"\0\1\0a", b"\2\1\0b"), "shares 2 bytes with a key of 1"),
        (entries(b"\1\0\0"), "shares 1 bytes with a key of 0"),
        (entries(b"\0\xff\xff\xff\xff\xff\xff\xff\xff\xff\1\0"), "goes to byte 18,446"),
        (entries(b"\0\x80" + b"\x80" * 10), "a number of more than 10 bytes"),
        (b"", "a block of 0 bytes has 0 restarts"),
        (b"\1\0\0", "a block of 3 bytes has 1 restarts"),
        (struct.pack("<II", 0, 2), "a block of 8 bytes has 2 restarts"),
        (struct.pack("<II", 0, 2**32 - 1), "a block of 8 bytes has 4,294,967,295 rest"),
    ],
)
def test_invalid_blocks_with_right_checksums_are_refused(read, block, message):
    with pytest.raises(CheckpointError, match=message):
        read(table_of(block))


def test_the_size_of_keys_is_bounded(read):
    start = b"\0" + tf_bundle_files.varint(60_000) + b"\0" + b"a" * 60_000
    shares = tf_bundle_files.varint(60_000)
    more = [shares + b"\1\0" + bytes([number]) for number in range(100)]
    with pytest.raises(CheckpointError, match="have more than 32 times as many"):
        read(table_of(entries(start, *more)))


def test_blocks_must_not_overlap_or_lie_outside(read):
    block = entries(b"\0\1\0a")
    place = b"\0" + tf_bundle_files.varint(len(block))
    assert read(table_of(block, [place])) == {b"a": b""}
    with pytest.raises(
        CheckpointError, match="block at byte 0 overlaps the previous one"
    ):
        read(table_of(block, [place, place]))
    with pytest.raises(
        CheckpointError, match="block of 1,000 bytes at byte 0 does not"
    ):
        read(table_of(block, [b"\0" + tf_bundle_files.varint(1000)]))
    far = tf_bundle_files.varint(2**63)
    with pytest.raises(
        CheckpointError, match="bytes at byte 9,223,372,036,854,775,808"
    ):
        read(table_of(block, [far + b"\1"]))
    with pytest.raises(CheckpointError, match="a number is cut off"):
        read(table_of(block, [b"\0"]))


def test_a_footer_must_locate_two_blocks(read):
    content = bytearray(tf_bundle_files.table([(b"a", b"b")]))
    content[-9] = 1
    with pytest.raises(CheckpointError, match="its footer locates more than two"):
        read(content)
