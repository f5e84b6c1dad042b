"""Tests of `CheckpointStore`: bits, structure, shardings, retention, errors."""

import contextlib
import errno
import json
import logging

import flax
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from jax.sharding import AxisType, NamedSharding
from jax.sharding import PartitionSpec as P

from bertgen_jax.checkpoints import digests
from bertgen_jax.checkpoints.store import CheckpointStore
from bertgen_jax.errors import CheckpointError, ConfigError


@flax.struct.dataclass
class TrainState:
    step: jax.Array
    params: dict
    opt_state: optax.OptState
    ema: dict | None


def make_state(seed=0, ema=False):
    params = {
        "encoder": {"kernel": jax.random.normal(jax.random.key(seed), (16, 8))},
        "scale": jnp.full((8,), seed, jnp.float32),
    }
    optimizer = optax.chain(
        optax.clip_by_global_norm(1.0),  # its state is empty
        optax.masked(optax.adam(1e-3), {"encoder": True, "scale": False}),
    )
    return TrainState(
        step=jnp.int32(seed),
        params=params,
        opt_state=optimizer.init(params),
        ema=jax.tree.map(jnp.copy, params) if ema else None,
    )


def abstract(tree, sharding=None):
    return jax.tree.map(
        lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=sharding), tree
    )


def assert_same_bits(tree, expected):
    assert jax.tree.structure(tree) == jax.tree.structure(expected)
    for leaf, other in zip(
        jax.tree.leaves(tree), jax.tree.leaves(expected), strict=True
    ):
        assert isinstance(leaf, jax.Array)
        assert leaf.dtype == other.dtype
        assert leaf.shape == other.shape
        assert np.asarray(leaf).tobytes() == np.asarray(other).tobytes()


@pytest.fixture
def open_store(tmp_path):
    with contextlib.ExitStack() as stack:

        def opened(directory=tmp_path, **options):
            defaults = {"best_metric": "rougeL", "best_mode": "max"}
            store = CheckpointStore(directory, **(defaults | options))
            return stack.enter_context(contextlib.closing(store))

        yield opened


@pytest.fixture
def store(open_store):
    return open_store()


def test_a_state_is_restored_with_its_structure_bits_and_extra(store):
    state = make_state(3)
    extra = {"seed": 7, "elapsed_s": 12.5, "data": {"epoch": 1, "ids": ["a", None]}}
    store.save(3, state, extra)
    step, restored, restored_extra = store.restore(None, abstract(make_state()))
    assert step == 3
    assert_same_bits(restored, state)
    assert restored_extra == extra
    assert type(restored) is TrainState
    assert restored.ema is None


@pytest.mark.parametrize(
    "dtype", ["float32", "bfloat16", "float16", "int32", "uint8", "bool"]
)
def test_every_dtype_is_restored_bit_for_bit(store, dtype):
    # Random bit patterns: NaN payloads, infinities and denormals among them.
    size = jnp.dtype(dtype).itemsize * 60
    bits = np.random.default_rng(0).integers(0, 256, size, np.uint8)
    if dtype == "bool":
        bits %= 2
    state = {
        "array": jnp.asarray(bits.view(dtype).reshape(3, 20)),
        "scalar": jnp.asarray(bits.view(dtype)[7]),
        "none": None,
        "empty": ({}, ()),
    }
    store.save(1, state, {})
    assert_same_bits(store.restore(1, abstract(state))[1], state)


def test_arrays_may_be_donated_right_after_save(store):
    double = jax.jit(lambda tree: jax.tree.map(lambda x: 2 * x, tree), donate_argnums=0)
    state = {
        f"w{i}": jax.random.normal(jax.random.key(i), (256, 256)) for i in range(4)
    }
    for step in range(3):
        saved = jax.tree.map(lambda x: np.array(x, copy=True), state)
        store.save(step, state, {})
        for _ in range(5):
            state = double(state)
        assert_same_bits(store.restore(step, abstract(state))[1], saved)


def mesh_of(devices):
    if len(jax.devices()) < devices:
        pytest.skip(f"needs {devices} devices; tests/conftest.py makes 8 on CPU")
    return jax.make_mesh(
        (devices,), ("fsdp",), (AxisType.Auto,), devices=jax.devices()[:devices]
    )


@pytest.mark.parametrize("devices", [8, 2, 1])
def test_a_state_sharded_over_4_devices_restores_on_other_counts(store, devices):
    split = NamedSharding(mesh_of(4), P("fsdp"))
    whole = NamedSharding(mesh_of(4), P())
    state = {
        "kernel": jax.device_put(jnp.arange(64.0).reshape(16, 4), split),
        "count": jax.device_put(jnp.int32(5), whole),
    }
    store.save(1, state, {})
    target = NamedSharding(mesh_of(devices), P("fsdp"))
    target_state = abstract(state) | {"kernel": abstract(state["kernel"], target)}
    _, restored, _ = store.restore(1, target_state)
    assert_same_bits(restored, state)
    assert restored["kernel"].sharding == target
    assert len(restored["kernel"].addressable_shards) == devices
    assert restored["count"].devices() == {jax.devices()[0]}


def test_params_are_restored_without_the_optimizer_state(store):
    state = make_state(2)
    store.save(2, state, {"seed": 1})
    step, params, extra = store.restore_params(None)
    assert (step, extra) == (2, {"seed": 1})
    assert_same_bits(params, state.params)
    split = NamedSharding(mesh_of(2), P("fsdp"))
    _, params, _ = store.restore_params(2, abstract=abstract(state.params, split))
    assert_same_bits(params, state.params)
    assert params["scale"].sharding == split


def test_a_missing_field_is_an_error_that_lists_the_fields(store):
    store.save(1, make_state(), {})
    with pytest.raises(
        CheckpointError, match=r"no 'ema'; its state has opt_state, params, step"
    ):
        store.restore_params(1, "ema")


def test_the_state_of_another_model_is_an_error_with_the_differences(store):
    store.save(4, make_state(), {})
    other = make_state(ema=True)
    other.params["encoder"]["kernel"] = jnp.zeros((16, 9))
    with pytest.raises(CheckpointError) as error:
        store.restore(4, abstract(other))
    message = str(error.value)
    assert "Step 4 in" in message
    assert "  - ema/encoder/kernel float32[16,8]" in message
    assert "  - params/encoder/kernel float32[16,9]" in message
    assert "  + params/encoder/kernel float32[16,8]" in message
    with pytest.raises(CheckpointError, match=r"Its params .* differs"):
        store.restore_params(4, abstract=abstract(other.params))


def test_another_dtype_is_an_error_not_a_silent_cast(store):
    store.save(1, {"w": jnp.ones(4)}, {})
    with pytest.raises(CheckpointError, match=r"- w bfloat16\[4\]"):
        store.restore(1, {"w": jax.ShapeDtypeStruct((4,), jnp.bfloat16)})


def test_a_directory_without_steps_is_a_named_error(store, open_store, tmp_path):
    assert store.steps() == []
    assert store.latest_step() is None
    assert store.best_step() is None
    with pytest.raises(CheckpointError, match="No checkpoint in"):
        store.restore(None, {})
    missing = open_store(tmp_path / "nowhere")
    assert missing.latest_step() is None
    with pytest.raises(CheckpointError, match="nowhere"):
        missing.restore_params(None)


def test_an_unknown_step_is_an_error_that_lists_the_steps(store):
    store.save(10, make_state(), {})
    with pytest.raises(CheckpointError, match=r"No step 11 .* are \[10\]"):
        store.restore(11, abstract(make_state()))


def save_all(store, metrics, *, start=1):
    for step, values in enumerate(metrics, start):
        store.save(step, {"w": jnp.full(2, step)}, {}, values)
    store.wait()


def test_the_latest_and_the_best_step_stay_on_disk(store, open_store):
    save_all(store, [{"rougeL": value} for value in (0.1, 0.9, 0.5, 0.05)])
    assert store.steps() == [2, 4]
    assert (store.best_step(), store.latest_step()) == (2, 4)
    assert store.metrics_of(2) == {"rougeL": 0.9}
    reopened = open_store()
    assert (reopened.best_step(), reopened.latest_step()) == (2, 4)
    save_all(reopened, [{"rougeL": 0.95}, {"rougeL": 0.2}], start=5)
    assert reopened.steps() == [5, 6]


def test_with_best_mode_min_the_smallest_value_is_the_best(open_store):
    store = open_store(best_metric="loss", best_mode="min")
    save_all(store, [{"loss": value} for value in (0.5, 0.2, 0.9, 0.3)])
    assert store.steps() == [2, 4]
    assert store.best_step() == 2


def test_steps_without_the_metric_do_not_pile_up(store):
    nan = {"rougeL": float("nan")}
    save_all(store, [None, {"rougeL": 0.3}, {"loss": 1.0}, nan, None])
    assert store.steps() == [2, 5]
    assert store.best_step() == 2
    assert store.metrics_of(5) == {}


def test_periodic_steps_stay(open_store):
    store = open_store(best_metric=None, keep_period=3, keep_latest=2)
    save_all(store, [None] * 8)
    assert store.steps() == [3, 6, 7, 8]
    assert store.best_step() is None


def test_a_step_before_the_newest_cannot_be_saved(store):
    store.save(5, make_state(), {})
    for step in (5, 4):
        with pytest.raises(CheckpointError, match=f"Step {step} cannot be .* step 5"):
            store.save(step, make_state(), {})
    assert store.restore(5, abstract(make_state()))[0] == 5


def test_a_synchronous_save_is_complete_when_it_returns(open_store, tmp_path):
    store = open_store(asynchronous=False)
    store.save(1, {"w": jnp.ones(2)}, {})
    assert sorted(path.name for path in tmp_path.iterdir()) == ["1"]
    assert (tmp_path / "1" / "digests.json").exists()


def test_after_wait_only_complete_steps_are_on_disk(store, tmp_path):
    save_all(store, [None, None])
    assert [path.name for path in tmp_path.iterdir()] == ["2"]
    assert json.loads((tmp_path / "2" / "extra.json").read_text()) == {}


def test_a_full_disk_loses_only_the_step_being_written(store, tmp_path):
    resource = pytest.importorskip("resource", reason="needs POSIX limits")
    small = {"w": jnp.ones(4)}
    noise = {"w": jax.random.normal(jax.random.key(0), (512, 512))}  # 1 MiB
    store.save(1, small, {})
    store.wait()
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, limits[1]))
    try:
        store.save(2, noise, {})
        with pytest.raises(CheckpointError, match=r"Step 2 could .*untouched.*\[1\]"):
            store.wait()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert [path.name for path in tmp_path.iterdir()] == ["1"]
    assert_same_bits(store.restore(None, abstract(small))[1], small)
    store.save(2, noise, {})
    store.wait()
    assert_same_bits(store.restore(None, abstract(noise))[1], noise)


def test_an_unwritable_directory_is_a_clear_error(open_store, tmp_path):
    (tmp_path / "file").write_text("")
    store = open_store(tmp_path / "file" / "checkpoints")
    with pytest.raises(CheckpointError, match=r"Step 1 could not be saved in .*file"):
        store.save(1, make_state(), {})


def test_close_raises_the_error_of_the_last_save(store, tmp_path, monkeypatch):
    def disk_full(_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(digests, "compute", disk_full)
    store.save(1, make_state(), {})
    with pytest.raises(CheckpointError, match="No space left"):
        store.close()
    assert list(tmp_path.iterdir()) == []


def test_a_step_with_an_unreadable_metrics_file_has_no_metrics(store, tmp_path, caplog):
    save_all(store, [{"rougeL": 0.9}, {"rougeL": 0.1}])
    (tmp_path / "1" / "metrics.json").write_text("{")
    with caplog.at_level(logging.WARNING):
        assert store.best_step() == 2
    assert "Step 1 is treated as one without metrics" in caplog.text


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"best_mode": "largest"}, "best_mode is 'largest'"),
        ({"keep_latest": 0}, "keep_latest=0"),
        ({"keep_best": -1}, "keep_best=-1"),
        ({"keep_period": 0}, "keep_period=0"),
    ],
)
def test_invalid_settings_are_refused(open_store, options, message):
    with pytest.raises(ConfigError, match=message):
        open_store(**options)
