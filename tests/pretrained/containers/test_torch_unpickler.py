"""The unpickler reads plain values and tensors, and cannot run code."""

import ast
import collections
import inspect
import math
import os
import pickle
import struct
import tracemalloc

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bertgen_jax.errors import CheckpointError
from bertgen_jax.pretrained.containers import torch_unpickler
from tests.fixtures.torch_files import (
    Opcodes,
    called,
    named,
    namespace,
    ordered,
    program,
    reference,
    tensor,
)

FLOATS = named("torch.FloatStorage")
STORAGE = reference("storage", FLOATS, "0", "cpu", 6)
HOOKS = called("collections.OrderedDict")


def load(data):
    return torch_unpickler.load(data, 0, "here")


plain = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63 - 1)
    | st.floats(allow_nan=False)
    | st.text(),
    lambda inner: (
        st.lists(inner)
        | st.lists(inner).map(tuple)
        | st.dictionaries(st.text() | st.integers(-(2**63), 2**63 - 1), inner)
    ),
)


@settings(deadline=None)
@given(plain)
def test_plain_values_are_read(value):
    data = pickle.dumps(value, protocol=2)
    loaded = load(data)
    assert loaded.value == value
    assert type(loaded.value) is type(value)
    assert loaded.end == len(data)
    assert not loaded.storages


def test_an_object_that_is_held_twice_stays_one_object():
    inner = {"a": [1]}
    one, other = load(pickle.dumps([inner, inner], protocol=2)).value
    assert one is other


def test_more_than_256_values_are_read():
    value = [[str(i)] for i in range(300)] * 2  # LONG_BINPUT, LONG_BINGET
    assert load(pickle.dumps(value, protocol=2)).value == value


def test_ordered_dicts_are_read_as_dicts():
    value = collections.OrderedDict(b=1, a=2)
    value.attribute = {"dropped": 1}  # as the _metadata of a state dict
    actual = load(pickle.dumps(value, protocol=2)).value
    assert list(actual.items()) == [("b", 1), ("a", 2)]


def test_pickles_in_sequence_are_read():
    data = b"before" + program([1]) + program("two")
    first = torch_unpickler.load(data, 6, "here")
    second = torch_unpickler.load(data, first.end, "here")
    assert (first.value, second.value) == ([1], "two")
    assert second.end == len(data)


def test_descriptions_of_tensors_are_read():
    value = {
        "plain": tensor(STORAGE, 1, (2, 2), (2, 1)),
        "parameter": called(
            "torch._utils._rebuild_parameter",
            tensor(STORAGE, 0, (), ()),
            True,
            HOOKS,
        ),
        "size": called("torch.Size", (1, 2)),
        "args": namespace(arch="roberta", dropout=0.1),
        "state": ordered({"x": 1}),
    }
    loaded = load(program(value))
    storage = torch_unpickler.Storage(np.dtype(np.float32), "0", 6)
    assert loaded.storages == {"0": storage}
    assert loaded.value == {
        "plain": torch_unpickler.Tensor(storage, 1, (2, 2), (2, 1)),
        "parameter": torch_unpickler.Tensor(storage, 0, (), ()),
        "size": (1, 2),
        "args": {"arch": "roberta", "dropout": 0.1},
        "state": {"x": 1},
    }


@pytest.mark.parametrize(
    "name",
    [
        "os.system",
        "posix.system",
        "builtins.eval",
        "__builtin__.getattr",
        "collections.namedtuple",
        "torch.load",
        "torch.storage._load_from_bytes",
        "argparse.Namespace.__init__",
        "numpy.core.multiarray.scalar",
    ],
)
def test_code_is_named_and_refused(name):
    with pytest.raises(CheckpointError, match="holds code") as caught:
        load(program({"x": called(name, "true")}))
    assert repr(name) in str(caught.value)


class Evil:
    def __init__(self, marker):
        self.marker = marker

    def __reduce__(self):
        return os.system, (f"echo > {self.marker}",)


@pytest.mark.parametrize("protocol", range(6))
def test_no_code_runs(protocol, tmp_path):
    marker = tmp_path / "ran"
    data = pickle.dumps(Evil(marker), protocol)
    with pytest.raises(CheckpointError):
        load(data)
    assert not marker.exists()
    pickle.loads(data)  # which shows that it would have run
    assert marker.exists()


def test_the_machine_cannot_import_or_call():
    """Of the pickle module it knows the opcodes, of builtins nothing that acts."""
    tree = ast.parse(inspect.getsource(torch_unpickler))
    taken = {
        node.attr
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute)
        and isinstance(node.value, ast.Name)
        and node.value.id == "pickle"
    }
    assert taken
    assert all(isinstance(getattr(pickle, name), bytes) for name in taken)
    names = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)}
    assert not names & {"getattr", "setattr", "eval", "exec", "__import__", "globals"}


def raw(code):
    return b"\x80\x02" + code + b"."


def build(value, state):
    return Opcodes(program(value)[2:-1] + program(state)[2:-1] + b"b")


ODD = {
    "nothing": b"",
    "no end": b"\x80\x02]",
    "no value": raw(b""),
    "two values": raw(b"]]"),
    "a mark that stays": raw(b"(]"),
    "nothing to put": raw(b"q\0"),
    "a reference to nothing": raw(b"h\0"),
    "a tuple of nothing": raw(b"\x86"),
    "a tuple without mark": raw(b"t"),
    "items without mark": raw(b"}u"),
    "items without dict": raw(b"]K\1K\1s"),
    "a key alone": raw(b"}(K\1u"),
    "a key that is a tuple": raw(b"})K\1s"),
    "a key that is a float": raw(b"}" + b"G" + bytes(8) + b"K\1s"),
    "a key that is a list": raw(b"}]K\1s"),
    "append without list": raw(b"}K\1a"),
    "another protocol": b"\x80\x04].",
    "an extension": raw(b"\x82\1"),
    "a persistent id of protocol 0": raw(b"Pstorage\n"),
    "an instance": raw(b"(iargparse\nNamespace\n"),
    "an object": raw(b"(cargparse\nNamespace\no"),
    "bytes": pickle.dumps(b"bytes", protocol=3),
    "a set": pickle.dumps({1}, protocol=4),
    "a long integer": pickle.dumps(2**63, protocol=2),
    "a longer one": pickle.dumps(2**5000, protocol=2),
    "a string of no UTF-8": raw(b"X\1\0\0\0\xff"),
    "a surrogate": pickle.dumps("\ud800", protocol=2),
    "a name without end": raw(b"c" + b"x" * 1000),
    "a name with controls": raw(b"c\x1b[2J\nsystem\n"),
    "a storage that is called": program(called("torch.FloatStorage", 4)),
    "a list that is called": raw(b"])R"),
    "an attribute": program(build([], {"x": 1})),
    "an attribute of a tensor": program(build(tensor(STORAGE, 0, (), ()), {})),
    "a state that is no dict": program(build(called("collections.OrderedDict"), [])),
    "a namespace that is called": program(called("argparse.Namespace", 1)),
    "an ordered dict of arguments": program(called("collections.OrderedDict", [])),
    "sizes that are none": program(called("torch.Size", 3)),
    "no storage": program(tensor(None, 0, (1,), (1,))),
    "an offset below 0": program(tensor(STORAGE, -1, (1,), (1,))),
    "a shape below 0": program(tensor(STORAGE, 0, (-1,), (1,))),
    "a stride below 0": program(tensor(STORAGE, 0, (1,), (-1,))),
    "a shape of floats": program(tensor(STORAGE, 0, (1.0,), (1,))),
    "a shape of tensors": program(tensor(STORAGE, 0, (STORAGE,), (1,))),
    "more strides than axes": program(tensor(STORAGE, 0, (1,), (1, 1))),
    "too many axes": program(tensor(STORAGE, 0, (1,) * 65, (1,) * 65)),
    "too few arguments": program(called("torch._utils._rebuild_tensor_v2", STORAGE)),
    "a parameter of none": program(
        called("torch._utils._rebuild_parameter", 1, True, HOOKS)
    ),
    "a reference to a module": program(reference("module", FLOATS, "x", "y")),
    "a reference to none": program(reference()),
    "a reference that is no tuple": raw(b"K\1Q"),
    "a storage of no type": program(reference("storage", 4, "0", "cpu", 6)),
    "a storage that is a function": program(
        reference("storage", named("torch.Size"), "0", "cpu", 6)
    ),
    "a storage below 0": program(reference("storage", FLOATS, "0", "cpu", -6)),
    "a part of a storage": program(
        reference("storage", FLOATS, "0", "cpu", 6, ("1", 0, 3))
    ),
    "a long key of two sizes": program(
        [reference("storage", FLOATS, "k" * 9999, "cpu", size) for size in (5, 6)]
    ),
    "a storage of two sizes": program(
        [STORAGE, reference("storage", FLOATS, "0", "cpu", 5)]
    ),
}


@pytest.mark.parametrize("data", ODD.values(), ids=ODD.keys())
def test_invalid_pickles_are_errors(data):
    with pytest.raises(CheckpointError, match=r"^here: ") as caught:
        load(data)
    assert str(caught.value).isprintable()
    assert len(str(caught.value)) < 1000


def peak_of(action):
    """Bytes that were in use at once at most, beyond those in use before."""
    tracemalloc.start()
    try:
        action()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


BOMBS = {
    "a memo of 2**32 entries": raw(b"]r\xff\xff\xff\xff]"),
    "a string of 4 GB": raw(b"X\xff\xff\xff\xff"),
    "a string of 2**63 bytes": raw(b"\x8d" + struct.pack("<Q", 2**63)),
    "an integer of 2 GB": raw(b"\x8b\xff\xff\xff\x7f"),
    "a frame of 2**60 bytes": b"\x80\x04\x95" + struct.pack("<Q", 2**60),
    "a bytearray of 2**60 bytes": raw(b"\x96" + struct.pack("<Q", 2**60)),
}


@pytest.mark.parametrize("data", BOMBS.values(), ids=BOMBS.keys())
def test_false_lengths_take_no_memory(data):
    def refused():
        with pytest.raises(CheckpointError):
            load(data + bytes(100))

    assert peak_of(refused) < 100_000


def test_nested_values_are_read_without_recursion():
    depth = 200_000
    for code in (b")" + b"\x85" * depth, b"]" * depth + b"a" * (depth - 1)):
        value = load(raw(code)).value
        for _ in range(3):
            (value,) = value


def test_the_number_of_steps_is_bounded():
    count = torch_unpickler.MAX_STEPS
    with pytest.raises(CheckpointError, match="1,000,000 steps"):
        load(raw(b"N" * count))


def test_integers_as_keys_cannot_all_collide():
    """Python's hash of an integer is its remainder by 2**61 - 1."""
    modulus = 2**61 - 1
    keys = {key: 0 for key in range(-4 * modulus, 4 * modulus, modulus)}
    assert len(load(pickle.dumps(keys, protocol=2)).value) == 8
    with pytest.raises(CheckpointError, match="64 bits"):
        load(pickle.dumps({5 * modulus: 0}, protocol=2))


def test_nan_is_read():
    assert math.isnan(load(pickle.dumps(math.nan, protocol=2)).value)
