"""Reads TFRecord files of tf.Example messages, without TensorFlow.

A file is a sequence of frames (tensorflow.org/tutorials/load_data/tfrecord):

    u64 length   u32 masked crc32c(length)   length bytes   u32 masked crc32c(bytes)

all little-endian. The bytes of a frame are a protobuf message, tf.train.Example:

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
        self.identity: list[str | int] | None = ["tfrecord", *file.identity]

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
                values = self._parse_checked(content, stored)
                yield table.Record((start, start + length), number, values)
                start += length + 4

    def read(self, *address: int) -> Mapping[str, object]:
        """See `table.Table`."""
        return parse_example(self._file.read(*address))

    def _read_length(self, stream: io.BufferedReader, start: int, number: int) -> int:
        """Reads the length of the next frame, which the file must hold completely."""
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
                f"{start:,} is wrong. This is not a TFRecord file, or it is damaged "
                "from here on."
            )
        if start + 16 + length > self.size:
            raise errors.DataError(
                f"{self.name}, record {number}: the record at byte {start:,} has "
                f"{length:,} bytes and the file only {self.size - start - 12:,} more. "
                "It was cut off; get it again."
            )
        return length

    def _parse_checked(
        self, content: bytes, stored: int
    ) -> Mapping[str, object] | table.BadRow:
        """Parses the message of a frame after verifying its checksum."""
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
    """Returns the features of a tf.train.Example by name.

    Raises:
      BadRow: the message is not a tf.train.Example.
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
            f"{error}, in {table.excerpt(message)}; expected a tf.train.Example.",
        ) from None


def _feature(entry: bytes) -> tuple[str, list]:
    """Returns the name and the values in one entry of the map."""
    # Of a field that is not repeated but stands twice, the last one counts.
    fields = {number: value for number, value in _length_delimited(entry)}
    return fields.get(1, b"").decode(), _values(fields.get(2, b""))


def _values(feature: bytes) -> list:
    """Returns the list that a Feature holds, of any kind."""
    values = []
    for kind, content in _length_delimited(feature):
        items = [field for field in protobuf.fields(content) if field[0] == 1]
        if kind == 1:
            values = list(_messages(content))
        elif kind == 2:
            # Packed or not, the bytes are little-endian floats one after the other.
            packed = b"".join(value for *_, value in items if isinstance(value, bytes))
            values = list(struct.unpack(f"<{len(packed) // 4}f", packed))
        elif kind == 3:
            numbers: list[int] = []
            for _, wire, value in items:
                if isinstance(value, int):
                    numbers.append(value)
                elif wire == protobuf.BYTES:
                    numbers += protobuf.varints(value)
            values = [protobuf.signed(number) for number in numbers]
    return values


def _messages(message: bytes) -> Iterator[bytes]:
    """Yields the messages in field 1, which may be repeated."""
    return (value for number, value in _length_delimited(message) if number == 1)


def _length_delimited(message: bytes) -> Iterator[tuple[int, bytes]]:
    """Yields number and value of the fields that hold bytes; skips all others."""
    for number, wire, value in protobuf.fields(message):
        if wire == protobuf.BYTES and isinstance(value, bytes):
            yield number, value
