"""Tests of damaged steps: every kind of damage to every file of a step."""

import contextlib
import logging
import shutil

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from bertgen_jax.checkpoints.store import CheckpointStore
from bertgen_jax.errors import CheckpointError

# After a restore that fails, reads of TensorStore end when Orbax has closed its loop.
pytestmark = pytest.mark.filterwarnings(
    "ignore:(?s).*Event loop is closed:pytest.PytestUnraisableExceptionWarning"
)

ABSTRACT = {
    "kernel": jax.ShapeDtypeStruct((32, 8), jnp.float32),
    "step": jax.ShapeDtypeStruct((), jnp.int32),
}


def state_of(step):
    kernel = np.random.default_rng(step).normal(size=(32, 8))
    return {"kernel": jnp.asarray(kernel, jnp.float32), "step": jnp.int32(step)}


def open_store(directory):
    store = CheckpointStore(directory, best_metric=None, best_mode="max", keep_latest=2)
    return contextlib.closing(store)


def assert_restored(result, step):
    restored_step, state, extra = result
    assert restored_step == step
    assert extra == {"position": step}
    assert np.array_equal(state["kernel"], state_of(step)["kernel"])
    assert state["step"] == step


@pytest.fixture(scope="module")
def two_steps(tmp_path_factory):
    """Intact steps 10 and 20; tests damage copies of them."""
    directory = tmp_path_factory.mktemp("two_steps")
    with open_store(directory) as store:
        for step in (10, 20):
            store.save(step, state_of(step), {"position": step}, {"loss": 1 / step})
    return directory


@pytest.fixture
def steps(two_steps, tmp_path):
    return shutil.copytree(two_steps, tmp_path / "checkpoints")


def flip_a_bit(file):
    data = bytearray(file.read_bytes())
    data[len(data) // 2] ^= 0b100
    file.write_bytes(data)


def truncate(file):
    file.write_bytes(file.read_bytes()[:-1])


def lengthen(file):
    file.write_bytes(file.read_bytes() + b"\0")


def delete(file):
    file.unlink()


@pytest.mark.parametrize("damage", [flip_a_bit, truncate, lengthen, delete])
def test_damage_to_any_file_is_detected_and_the_previous_step_is_used(
    two_steps, tmp_path, caplog, damage
):
    files = sorted(file for file in (two_steps / "20").rglob("*") if file.is_file())
    names = [str(file.relative_to(two_steps / "20")) for file in files]
    assert {"digests.json", "extra.json", "metrics.json"} < set(names)
    assert any(name.startswith("state/") for name in names)
    for name in names:
        if (damage, name) == (delete, "digests.json"):
            continue  # not verified: see the next test
        steps = shutil.copytree(two_steps, tmp_path / name.replace("/", "-"))
        damage(steps / "20" / name)
        caplog.clear()
        with open_store(steps) as store, caplog.at_level(logging.WARNING):
            assert_restored(store.restore(None, ABSTRACT), 10)
            (line,) = (r for r in caplog.records if r.name.startswith("bertgen_jax"))
            assert name in line.getMessage()
            with pytest.raises(CheckpointError, match="20 is damaged") as error:
                store.restore(20, ABSTRACT)
            assert name in str(error.value)
            with pytest.raises(CheckpointError, match="20 is damaged"):
                store.restore_params(20, "kernel")


def test_a_step_without_digests_is_used_with_a_warning(steps, caplog):
    (steps / "20" / "digests.json").unlink()
    with open_store(steps) as store, caplog.at_level(logging.WARNING):
        assert_restored(store.restore(None, ABSTRACT), 20)
    assert "not verified" in caplog.text


def test_an_unverifiable_step_that_cannot_be_read_is_a_clear_error(steps):
    (steps / "20" / "digests.json").unlink()
    for file in (steps / "20" / "state").rglob("manifest.ocdbt"):
        file.unlink()
    with (
        open_store(steps) as store,
        pytest.raises(CheckpointError, match=r"Step 20 in .* cannot be read"),
    ):
        store.restore(None, ABSTRACT)


def test_an_empty_directory_is_a_damaged_step(steps):
    (steps / "30").mkdir()
    with open_store(steps) as store:
        assert_restored(store.restore(None, ABSTRACT), 20)


def test_when_every_step_is_damaged_nothing_is_restored(steps):
    for step in ("10", "20"):
        flip_a_bit(steps / step / "extra.json")
    with (
        open_store(steps) as store,
        pytest.raises(CheckpointError, match=r"Every step in .*\[10, 20\]"),
    ):
        store.restore(None, ABSTRACT)


def test_steps_saved_after_a_damaged_step_are_kept(steps, caplog):
    flip_a_bit(steps / "20" / "extra.json")
    with open_store(steps) as store, caplog.at_level(logging.WARNING):
        assert_restored(store.restore(None, ABSTRACT), 10)
        for step in (15, 20):
            store.save(step, state_of(step), {"position": step})
        store.wait()
        assert store.steps() == [15, 20]
        assert_restored(store.restore(None, ABSTRACT), 20)
    assert "step 20 was moved to" in caplog.text
    assert {path.name for path in steps.iterdir()} == {"15", "20", "20.damaged"}


def test_temporary_directories_are_ignored_and_deleted_by_the_next_save(steps):
    shutil.copytree(steps / "20", steps / "30.tmp")
    (steps / "10").rename(steps / "10.tmp")  # killed while it was deleted
    with open_store(steps) as store:
        assert store.steps() == [20]
        assert_restored(store.restore(None, ABSTRACT), 20)
        assert (steps / "30.tmp").exists()  # a reader deletes nothing
        store.save(30, state_of(30), {"position": 30})
        store.wait()
    assert {path.name for path in steps.iterdir()} == {"20", "30"}
