"""Batches are made in threads, in the order of the plan, and put on the devices."""

import itertools
import subprocess
import sys
import threading
import time

import jax
import numpy as np
import pytest
from jax.sharding import AxisType, NamedSharding, PartitionSpec

from bertgen_jax import errors
from bertgen_jax.data import batching, loading
from tests.fixtures.corpora import random_corpus

BUCKETS = batching.parse_buckets(((8, 4), (16, 8)))
IDS = {"fill": batching.FillIds(source=0, target=0, start=2)}


CORPUS = random_corpus(50, longest_source=16, longest_target=8)
PLAN = batching.TrainPlan(CORPUS, BUCKETS, batch_size=8, seed=0)


def take(number, **options):
    """The first batches of a training stream."""
    stream = loading.train_batches(CORPUS, PLAN, **IDS, **options)
    batches = list(itertools.islice(stream, number))
    stream.close()
    return batches


def assert_equal(batches, expected):
    assert len(batches) == len(expected)
    for batch, wanted in zip(batches, expected, strict=True):
        assert batch.keys() == wanted.keys()
        for name in batch:
            np.testing.assert_array_equal(batch[name], wanted[name], err_msg=name)


def prefetch_threads():
    return [t for t in threading.enumerate() if t.name.startswith("grain-prefetch")]


def wait_until(condition, timeout_s=10):
    end = time.monotonic() + timeout_s
    while not condition() and time.monotonic() < end:
        time.sleep(0.01)
    return condition()


def test_batches_follow_the_plan():
    expected = [batching.collate(CORPUS, *PLAN[n], **IDS) for n in range(14)]
    assert_equal(take(14), expected)


@pytest.mark.parametrize("options", [{"threads": 0}, {"threads": 4, "prefetch": 1}])
def test_the_order_does_not_depend_on_the_threads(options):
    assert_equal(take(20, **options), take(20, threads=1))


def test_a_stream_that_starts_later_is_the_rest_of_the_same_stream():
    assert_equal(take(13, start=7), take(20)[7:])


def test_the_batches_of_the_hosts_make_up_the_global_batch():
    expected = take(14)
    shares = [take(14, host=host, hosts=4) for host in range(4)]
    assert all(len(batch["labels"]) == 2 for share in shares for batch in share)
    joined = [
        {name: np.concatenate([share[name] for share in row]) for name in row[0]}
        for row in zip(*shares, strict=True)
    ]
    assert_equal(joined, expected)


def test_hosts_that_cannot_share_a_batch_are_an_error_at_once():
    with pytest.raises(errors.ConfigError, match=r"batch size is 8.* 3 hosts"):
        loading.train_batches(CORPUS, PLAN, **IDS, hosts=3)
    plan = batching.EvalPlan(CORPUS, BUCKETS, batch_size=8)
    with pytest.raises(errors.ConfigError, match=r"batch size is 8.* 3 hosts"):
        loading.eval_batches(CORPUS, plan, **IDS, hosts=3)


@pytest.mark.parametrize("hosts", [1, 2])
def test_an_evaluation_yields_every_example_once_and_ends(hosts):
    plan = batching.EvalPlan(CORPUS, BUCKETS, batch_size=8)
    batches = [
        batch
        for host in range(hosts)
        for batch in loading.eval_batches(CORPUS, plan, **IDS, host=host, hosts=hosts)
    ]
    assert len(batches) == 7 * hosts
    index = np.concatenate([batch["example_index"] for batch in batches])
    weights = np.concatenate([batch["label_weights"].sum(1) for batch in batches])
    assert sorted(index[index >= 0]) == list(range(50))
    np.testing.assert_array_equal(
        weights, np.where(index >= 0, CORPUS.target_lengths[index], 0)
    )


def test_closing_a_stream_ends_its_threads():
    stream = loading.train_batches(CORPUS, PLAN, **IDS, threads=4)
    next(stream)
    assert prefetch_threads()
    stream.close()
    assert wait_until(lambda: not prefetch_threads())
    assert next(stream, None) is None


def test_an_open_stream_does_not_block_the_exit_of_python():
    script = f"""
import sys
sys.path[:0] = {sys.path!r}
import numpy as np
from bertgen_jax.data import batching, encoding, loading
report = encoding.EncodingReport(2, 2, 2, 1, 1, 1, 1, 0, 0, 0.0)
corpus = encoding.EncodedExamples(np.arange(4), np.arange(5), report, "two")
plan = batching.TrainPlan(corpus, (batching.Bucket(1, 1),), batch_size=1, seed=0)
stream = loading.train_batches(corpus, plan, fill=batching.FillIds(0, 0, 2))
print(next(stream)["labels"].shape)
"""
    done = subprocess.run(
        [sys.executable, "-c", script],
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    assert done.stdout == "(1, 1)\n"


@pytest.mark.parametrize("threads", [0, 2])
def test_an_error_in_the_data_keeps_its_type(threads, monkeypatch):
    def broken(*args, **kwargs):
        raise errors.DataError("row 7 is gone")

    monkeypatch.setattr(batching, "collate", broken)
    stream = loading.train_batches(CORPUS, PLAN, **IDS, threads=threads)
    with pytest.raises(errors.DataError, match="row 7 is gone"):
        next(loading.to_device(stream, batch_sharding(1)))


# On the devices


def batch_sharding(devices):
    if jax.device_count() < devices:
        pytest.skip(f"needs {devices} devices and there are {jax.device_count()}")
    mesh = jax.make_mesh(
        (devices, 1),
        ("data", "fsdp"),
        axis_types=(AxisType.Auto,) * 2,
        devices=jax.devices()[:devices],
    )
    return NamedSharding(mesh, PartitionSpec(("data", "fsdp")))


@pytest.mark.parametrize("devices", [2, 8])
def test_batches_are_split_over_the_devices_along_their_rows(devices):
    sharding = batch_sharding(devices)
    stream = loading.train_batches(CORPUS, PLAN, **IDS)
    pairs = list(itertools.islice(loading.to_device(stream, sharding), 5))
    assert_equal([host for host, _ in pairs], take(5))
    for host, device in pairs:
        assert device.keys() == host.keys() - {"example_index"}
        for name, array in device.items():
            assert array.sharding.is_equivalent_to(sharding, array.ndim)
            assert array.addressable_shards[0].data.shape[0] == 8 // devices
            assert array.dtype == host[name].dtype
            np.testing.assert_array_equal(np.asarray(array), host[name])


def test_placing_batches_needs_no_implicit_transfer():
    sharding = batch_sharding(2)
    add = jax.jit(lambda total, weights: total + weights.sum())
    total = jax.device_put(np.float32(0), NamedSharding(sharding.mesh, PartitionSpec()))
    stream = loading.train_batches(CORPUS, PLAN, **IDS)
    expected = 0.0
    with jax.transfer_guard("disallow"):
        for host, device in itertools.islice(loading.to_device(stream, sharding), 4):
            total = add(total, device["label_weights"])
            expected += host["label_weights"].sum()
    assert float(total) == expected


@pytest.mark.parametrize("depth", [1, 3, 100])
def test_every_batch_arrives_once_and_no_more_than_depth_are_ahead(depth):
    drawn = []

    def counted():
        for batch in take(10):
            drawn.append(batch)
            yield batch

    arrived = []
    for host, _ in loading.to_device(counted(), batch_sharding(1), depth):
        arrived.append(host)
        assert len(drawn) == min(len(arrived) + depth - 1, 10)
    assert_equal(arrived, drawn)


def test_closing_the_device_stream_closes_its_source():
    stream = loading.train_batches(CORPUS, PLAN, **IDS)
    placed = loading.to_device(stream, batch_sharding(1))
    next(placed)
    placed.close()
    assert next(stream, None) is None
    assert wait_until(lambda: not prefetch_threads())
