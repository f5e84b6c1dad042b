"""TFRecord files of tf.Example messages in, rows of named columns out; no TensorFlow.

A file is a sequence of frames (tensorflow.org/tutorials/load_data/tfrecord):

    u64 length   u32 masked crc32c(length)   length bytes   u32 masked crc32c(bytes)

all little-endian, and the bytes of each are one protobuf message, tf.train.Example:

    Example    1: Features
    Features   1: map<string, Feature>, that is repeated {1: key, 2: Feature}
    Feature    1: BytesList, 2: FloatList or 3: Int64List
    each list  1: repeated value; numbers may be packed
"""

import io
import struct
from collections.abc import Callable, Iterator, Mapping

from bertgen_jax import errors
from bertgen_jax.data.formats import byte_file, table
from bertgen_jax.files import crc32c, protobuf


class TfRecords:
    """A TFRecord file; the features of an example are its columns, each one a list."""

    unit = "record"

    def __init__(self, file: byte_file.ByteFile):
        self._file = file
        self.name, self.size = file.name, file.size
        self.identity = ["tfrecord", *file.identity]

    def scan(self, feed: Callable[[bytes], object]) -> Iterator[table.Record]:
        """See `table.Table`. Both checksums of every frame are verified."""
        with self._file.stream(feed) as stream:
            start, number = 0, 0
            while start < self.size:
                number += 1
                length = self._read_length(stream, start, number)
                content = stream.read(length)
                stored = int.from_bytes(stream.read(4), "little")
                start += 12
                values = self._checked(content, stored)
                yield table.Record((start, start + length), number, values)
                start += length + 4

    def read(self, first: int, second: int) -> Mapping[str, object]:
        """See `table.Table`."""
        return parse_example(self._file.read(first, second))

    def _read_length(self, stream: io.BufferedReader, start: int, number: int) -> int:
        """The length of the next frame, of which the file must have every byte."""
        head = stream.read(12)
        if len(head) < 12:
            raise errors.DataError(
                f"{self.name}, record {number}: the file ends within the head of the "
                f"record at byte {start:,}. It was cut off; get it again."
            )
        length, stored = struct.unpack("<QI", head)
        if crc32c.masked(crc32c.crc32c(head[:8])) != stored:
            raise errors.DataError(
                f"{self.name}, record {number}: the checksum of the length at byte "
                f"{start:,} is wrong. This is no TFRecord file, or it is damaged from "
                "here on."
            )
        if start + 16 + length > self.size:
            raise errors.DataError(
                f"{self.name}, record {number}: the record at byte {start:,} has "
                f"{length:,} bytes and the file only {self.size - start - 12:,} more. "
                "It was cut off; get it again."
            )
        return length

    def _checked(self, content: bytes, stored: int) -> Mapping | table.BadRow:
        computed = crc32c.masked(crc32c.crc32c(content))
        if computed != stored:
            return table.BadRow(
                "wrong checksum",
                f"the checksum of the {len(content):,} bytes is 0x{computed:08x} and "
                f"the stored one 0x{stored:08x}; the data are damaged.",
            )
        try:
            return parse_example(content)
        except table.BadRow as bad:
            return bad


def parse_example(message: bytes) -> dict[str, list[bytes] | list[int] | list[float]]:
    """The features of a tf.train.Example by name.

    Raises:
      BadRow: the message is something else.
    """
    try:
        return dict(
            _feature(entry)
            for features in _messages(message)
            for entry in _messages(features)
        )
    except (ValueError, struct.error) as error:
        raise table.BadRow(
            "no tf.Example",
            f"{error}, in {table.excerpt(message)}; a tf.train.Example is expected.",
        ) from None


def _feature(entry: bytes) -> tuple[str, list]:
    """The name and the values in one entry of the map."""
    # A field that stands twice, though not repeated, counts for the last time.
    parts = {
        number: value
        for number, wire, value in protobuf.fields(entry)
        if wire == protobuf.BYTES
    }
    return parts.get(1, b"").decode(), _values(parts.get(2, b""))


def _values(feature: bytes) -> list:
    """The list that a Feature holds, of whichever kind."""
    values = []
    for kind, wire, content in protobuf.fields(feature):
        if wire != protobuf.BYTES:
            continue
        items = [
            (wire, item) for one, wire, item in protobuf.fields(content) if one == 1
        ]
        if kind == 1:
            values = [item for wire, item in items if wire == protobuf.BYTES]
        elif kind == 2:
            # Packed or not, the bytes are little-endian floats one after the other.
            packed = b"".join(item for wire, item in items if wire != protobuf.VARINT)
            values = list(struct.unpack(f"<{len(packed) // 4}f", packed))
        elif kind == 3:
            numbers = []
            for wire, item in items:
                if wire == protobuf.VARINT:
                    numbers.append(item)
                elif wire == protobuf.BYTES:
                    numbers += protobuf.varints(item)
            values = [protobuf.signed(number) for number in numbers]
    return values


def _messages(message: bytes) -> Iterator[bytes]:
    """The messages in field 1, which may be repeated."""
    for number, wire, value in protobuf.fields(message):
        if number == 1 and wire == protobuf.BYTES:
            yield value
