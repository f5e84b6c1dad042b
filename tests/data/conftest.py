"""A fresh cache for each test, an independent writer of TFRecord files, mean ROUGE."""

import statistics
import struct
import types

import pytest
from rouge_score import rouge_scorer


@pytest.fixture(autouse=True)
def _private_cache(tmp_path_factory, monkeypatch):
    """Gives every test its own cache."""
    monkeypatch.setenv("BERTGEN_CACHE_DIR", str(tmp_path_factory.mktemp("cache")))


@pytest.fixture(scope="session")
def tfrecord_writer():
    """`frame(bytes)` makes a TFRecord frame, `example({name: values})` a tf.Example."""
    return types.SimpleNamespace(
        frame=_frame, example=_example, field=_field, varint=_varint
    )


@pytest.fixture(scope="session")
def mean_rouge_l():
    """`mean_rouge_l(examples, predict)`: mean ROUGE-L F1 in percent, with stemming."""
    scorer = rouge_scorer.RougeScorer(["rougeL"], use_stemmer=True)

    def mean(examples, predict):
        return 100 * statistics.mean(
            scorer.score(example.references[0], predict(example))["rougeL"].fmeasure
            for example in examples
        )

    return mean


def _frame(data: bytes) -> bytes:
    length = struct.pack("<Q", len(data))
    return length + _masked_crc(length) + data + _masked_crc(data)


def _masked_crc(data: bytes) -> bytes:
    """Bit by bit, as the format is defined."""
    state = 0xFFFFFFFF
    for byte in data:
        state ^= byte
        for _ in range(8):
            state = (state >> 1) ^ (0x82F63B78 if state & 1 else 0)
    crc = state ^ 0xFFFFFFFF
    rotated = ((crc >> 15) | (crc << 17)) & 0xFFFFFFFF
    return struct.pack("<I", (rotated + 0xA282EAD8) & 0xFFFFFFFF)


def _example(features: dict[str, list], *, packed: bool = True) -> bytes:
    """A serialized tf.train.Example; numbers as TensorFlow writes them, or unpacked."""
    entries = b""
    for name, values in features.items():
        if all(isinstance(value, int) for value in values):
            kind, items = 3, [_varint(value % 2**64) for value in values]
            body = b"".join(b"\x08" + item for item in items)
        elif all(isinstance(value, float) for value in values):
            kind, items = 2, [struct.pack("<f", value) for value in values]
            body = b"".join(b"\x0d" + item for item in items)
        else:
            kind, items = 1, [v if isinstance(v, bytes) else v.encode() for v in values]
            body = b"".join(_field(1, item) for item in items)
        if packed and kind != 1:
            body = _field(1, b"".join(items))
        entries += _field(1, _field(1, name.encode()) + _field(2, _field(kind, body)))
    return _field(1, entries)


def _field(number: int, content: bytes) -> bytes:
    return _varint(number << 3 | 2) + _varint(len(content)) + content


def _varint(value: int) -> bytes:
    encoded = b""
    while value > 0x7F:
        encoded += bytes([value & 0x7F | 0x80])
        value >>= 7
    return encoded + bytes([value])
