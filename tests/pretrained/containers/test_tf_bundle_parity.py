"""Every variable equals, byte for byte, the one that TensorFlow reads."""

import ml_dtypes
import numpy as np
import pytest

from bertgen_jax.errors import CheckpointError
from bertgen_jax.pretrained.containers import tf_bundle, tf_sorted_table
from tests.fixtures import tf_bundle_files

pytestmark = pytest.mark.parity

DTYPES = [
    *(np.float32, np.float64, np.float16, ml_dtypes.bfloat16),
    *(np.int8, np.int16, np.int32, np.int64),
    *(np.uint8, np.uint16, np.uint32, np.uint64),
    *(np.bool_, np.complex64, np.complex128),
]


@pytest.fixture(scope="module")
def tf():
    return pytest.importorskip("tensorflow")


def values_of_every_kind():
    """Arrays by name: each dtype as a scalar, empty, a vector and a matrix."""
    draw, arrays = np.random.default_rng(0), {}
    for dtype in map(np.dtype, DTYPES):
        for shape in [(), (0, 3), (5,), (4, 7)]:
            numbers = draw.integers(0, 2 if dtype == np.bool_ else 100, shape)
            name = f"{dtype.name}/{'x'.join(map(str, shape)) or 'scalar'}"
            arrays[name] = np.asarray(numbers).astype(dtype)
    for name, strings in {
        "strings/vector": [b"ab", b"", b"\xff\0", b"x" * 1000],
        "strings/scalar": b"one",
        "strings/none": [],
    }.items():
        arrays[name] = np.array(strings, object)
    return arrays


def assert_equal_to_tensorflow(tf, prefix):
    """Compares all variables of a checkpoint, and returns our reader of it."""
    theirs = tf.train.load_checkpoint(str(prefix))
    ours = tf_bundle.open_bundle(prefix)
    shapes = theirs.get_variable_to_shape_map()
    dtypes = theirs.get_variable_to_dtype_map()
    assert list(ours.tensors) == sorted(shapes)
    for name, info in ours.tensors.items():
        assert list(info.shape) == shapes[name]
        assert info.dtype == dtypes[name].as_numpy_dtype
        values, expected = ours.read(name), np.asarray(theirs.get_tensor(name))
        assert (values.shape, values.dtype) == (info.shape, info.dtype)
        assert values.shape == expected.shape
        if info.dtype == object:
            assert values.tolist() == expected.tolist()
        else:
            assert values.dtype == expected.dtype
            assert values.tobytes() == expected.tobytes()
    return ours


def saved(tf, prefix, build, **options):
    """Writes what `build` makes with the Saver of TensorFlow 1."""
    v1 = tf.compat.v1
    with tf.Graph().as_default():
        build()
        saver = v1.train.Saver(**options)
        with v1.Session() as session:
            session.run(v1.global_variables_initializer())
            saver.save(session, str(prefix), write_meta_graph=False)


def test_every_dtype_is_read(tf, tmp_path):
    arrays = values_of_every_kind()

    def build():
        for name, array in arrays.items():
            kind = {"dtype": tf.string} if array.dtype == object else {}
            tf.compat.v1.get_variable(
                name, initializer=tf.constant(array, **kind), use_resource=False
            )

    saved(tf, tmp_path / "model.ckpt", build)
    ours = assert_equal_to_tensorflow(tf, tmp_path / "model.ckpt")
    for name, array in arrays.items():
        assert ours.read(name).tolist() == array.tolist()


def test_variables_in_parts_are_read(tf, tmp_path):
    v1 = tf.compat.v1

    def build():
        for count, axis in [(3, 0), (4, 1), (2, 0)]:
            v1.get_variable(
                f"parts_{count}_{axis}",
                shape=[10, 300],
                initializer=v1.random_normal_initializer(seed=count),
                partitioner=v1.fixed_size_partitioner(count, axis),
            )
        v1.get_variable("whole", initializer=np.arange(5.0))

    saved(tf, tmp_path / "model.ckpt", build)
    ours = assert_equal_to_tensorflow(tf, tmp_path / "model.ckpt")
    assert ours.tensors["parts_4_1"].shape == (10, 300)
    keys = [
        tf_bundle_files.part_key("parts_4_1", [(0, 10), (start, 75)])
        for start in range(0, 300, 75)
    ]
    assert set(keys) < set(tf_sorted_table.read(ours.path))


def test_several_data_files_are_read(tf, tmp_path):
    v1 = tf.compat.v1
    config = v1.ConfigProto(device_count={"CPU": 3})

    with tf.Graph().as_default():
        for number in range(9):
            with tf.device(f"/cpu:{number % 3}"):
                v1.get_variable(f"v{number}", initializer=np.full(number, number / 3))
        with tf.device("/cpu:1"):
            v1.get_variable(
                "parts",
                shape=[8, 4],
                initializer=v1.random_normal_initializer(seed=1),
                partitioner=v1.fixed_size_partitioner(2),
            )
        saver = v1.train.Saver(sharded=True)
        with v1.Session(config=config) as session:
            session.run(v1.global_variables_initializer())
            saver.save(session, str(tmp_path / "model.ckpt"), global_step=7)
    files = sorted(path.name for path in tmp_path.glob("*.data-*"))
    assert files == [f"model.ckpt-7.data-0000{i}-of-00003" for i in range(3)]
    assert tf_bundle.latest_prefix(tmp_path) == tmp_path / "model.ckpt-7"
    assert_equal_to_tensorflow(tf, tmp_path / "model.ckpt-7")


def test_the_old_format_is_refused(tf, tmp_path):
    def build():
        tf.compat.v1.get_variable("a", initializer=np.arange(5.0))

    version = tf.compat.v1.train.SaverDef.V1
    saved(tf, tmp_path / "model.ckpt", build, write_version=version)
    with pytest.raises(CheckpointError, match=r"model\.ckpt is .* old format V1"):
        tf_bundle.open_bundle(tmp_path / "model.ckpt")
    with pytest.raises(CheckpointError, match=r"model\.ckpt is .* old format V1"):
        tf_bundle.latest_prefix(tmp_path)


def test_a_checkpoint_of_tensorflow_2_is_read(tf, tmp_path):
    arrays = values_of_every_kind()
    layers = [tf.Variable(array) for array in arrays.values() if array.dtype != object]
    model = tf.train.Checkpoint(layers=layers, step=tf.Variable(3, dtype=tf.int64))
    prefix = model.save(str(tmp_path / "ckpt"))
    ours = assert_equal_to_tensorflow(tf, prefix)
    assert str(tf_bundle.latest_prefix(tmp_path)) == prefix
    assert ours.read("step/.ATTRIBUTES/VARIABLE_VALUE") == 3
    assert ours.tensors["_CHECKPOINTABLE_OBJECT_GRAPH"].dtype == object


def test_an_index_of_many_blocks_is_read(tf, tmp_path):
    def build():
        for number in range(700):
            tf.compat.v1.get_variable(
                f"layer_{number}/{'kernel' * (number % 30)}",
                initializer=np.full((number % 4,), number, np.float32),
            )

    saved(tf, tmp_path / "model.ckpt", build)
    assert (tmp_path / "model.ckpt.index").stat().st_size > 1 << 15
    assert_equal_to_tensorflow(tf, tmp_path / "model.ckpt")


def test_a_big_endian_checkpoint_is_read(tf, tmp_path):
    # No such machine is at hand; that the tests' own writer makes what one would make,
    # TensorFlow's reader confirms here.
    arrays = values_of_every_kind()
    prefix = tf_bundle_files.write(
        tmp_path / "model.ckpt", arrays, shards=2, byteorder="big"
    )
    ours = assert_equal_to_tensorflow(tf, prefix)
    for name, array in arrays.items():
        assert ours.read(name).tolist() == array.tolist()


def test_tensorflow_reads_the_parts_that_our_fixture_writes(tf, tmp_path):
    array = np.arange(200 * 100, dtype=np.float32).reshape(200, 100)
    grid = [
        ((row, 100), (column, 50)) for row in (0, 100) for column in (0, 50)
    ]  # parts along two axes, which TensorFlow reads but never writes
    halves = [((0, 70), (0, None)), ((70, 130), (0, None))]
    prefix = tf_bundle_files.write(
        tmp_path / "model.ckpt",
        {"grid": array, "halves": array},
        parts={"grid": grid, "halves": halves},
        shards=3,
    )
    assert_equal_to_tensorflow(tf, prefix)
