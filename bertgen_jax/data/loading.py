"""Makes the batches of a plan in background threads and puts them on the devices.

grain runs the threads and reads ahead. The order does not depend on the threads,
because a batch is a function of its number.
"""

import collections
import contextlib
import dataclasses
import sys
from collections.abc import Generator

import grain
import jax
import numpy as np

from bertgen_jax import errors
from bertgen_jax.data import batching, encoding


@dataclasses.dataclass(frozen=True)
class _Batches:
    """Random access to the batches of one host by their number, for grain."""

    encoded: encoding.EncodedExamples
    plan: batching.TrainPlan | batching.EvalPlan
    length: int
    fill: batching.FillIds
    host: int
    hosts: int

    def __post_init__(self) -> None:
        if self.plan.batch_size % self.hosts:
            raise errors.ConfigError(
                f"The global batch size is {self.plan.batch_size}, which {self.hosts} "
                f"hosts cannot share evenly; expected a multiple of {self.hosts}."
            )

    def __len__(self) -> int:
        return self.length

    def __getitem__(self, index: int) -> batching.HostBatch:
        bucket, indices = self.plan[index]
        return batching.collate(
            self.encoded,
            bucket,
            np.split(indices, self.hosts)[self.host],
            self.fill,
        )


def train_batches(
    encoded: encoding.EncodedExamples,
    plan: batching.TrainPlan,
    *,
    fill: batching.FillIds,
    start: int = 0,
    host: int = 0,
    hosts: int = 1,
    threads: int = 2,
    prefetch: int = 8,
) -> Generator[batching.HostBatch, None, None]:
    """Makes the training batches `start`, `start + 1`, ... without end.

    Args:
      encoded: the corpus.
      plan: its batches.
      fill: see `batching.collate`.
      start: the number of the first batch, from 0: the steps done before, and the
        batches that were left out (`Progress.left_out_batches`).
      host: the number of this process, from 0; it makes its share of each batch's rows.
      hosts: the number of processes that share a batch.
      threads: the number of threads that make batches; with 0 the consumer makes them.
      prefetch: the number of batches made ahead.

    Returns:
      A generator of batches; closing it ends its threads.

    Raises:
      ConfigError: the batch size is not a multiple of the number of hosts.
    """
    without_end = sys.maxsize
    batches = _Batches(encoded, plan, without_end, fill, host, hosts)
    return _read(batches, start, threads, prefetch)


def eval_batches(
    encoded: encoding.EncodedExamples,
    plan: batching.EvalPlan,
    *,
    fill: batching.FillIds,
    host: int = 0,
    hosts: int = 1,
    threads: int = 2,
    prefetch: int = 8,
) -> Generator[batching.HostBatch, None, None]:
    """Makes every batch of an evaluation once.

    Batches come in the order of the plan; `example_index` names the example of a row.

    Args:
      encoded: the split.
      plan: its batches.
      fill: see `batching.collate`.
      host, hosts, threads, prefetch: see `train_batches`.

    Returns:
      A generator of batches; closing it ends its threads.

    Raises:
      ConfigError: the batch size is not a multiple of the number of hosts.
    """
    batches = _Batches(encoded, plan, len(plan), fill, host, hosts)
    return _read(batches, 0, threads, prefetch)


def _read(
    batches: _Batches, start: int, threads: int, prefetch: int
) -> Generator[batching.HostBatch, None, None]:
    options = grain.ReadOptions(
        num_threads=threads,
        # A thread without a slot in the buffer would never run.
        prefetch_buffer_size=max(prefetch, threads),
    )
    dataset = grain.MapDataset.source(batches).to_iter_dataset(options)
    with contextlib.closing(iter(dataset)) as iterator:
        iterator.set_state({"next_index": start})
        yield from iterator


def abstract_batch(
    bucket: batching.Bucket, rows: int, sharding: jax.sharding.NamedSharding
) -> dict[str, jax.ShapeDtypeStruct]:
    """Returns the shapes of a batch on the devices, as `to_device` yields it.

    Args:
      bucket: the padded lengths.
      rows: B, over all devices of all hosts.
      sharding: how the batch axis is split.
    """
    dtypes = {
        "input_ids": np.int32,
        "attention_mask": np.bool_,
        "decoder_input_ids": np.int32,
        "labels": np.int32,
        "label_weights": np.float32,
    }
    source = {"input_ids", "attention_mask"}
    return {
        name: jax.ShapeDtypeStruct(
            (rows, bucket.source if name in source else bucket.target),
            dtype,
            sharding=sharding,
        )
        for name, dtype in dtypes.items()
    }


def to_device(
    batches: Generator[batching.HostBatch, None, None],
    sharding: jax.sharding.NamedSharding,
    depth: int = 2,
) -> Generator[tuple[batching.HostBatch, dict[str, jax.Array]], None, None]:
    """Puts batches on the devices ahead of their use.

    JAX starts a copy without waiting for it, so reading ahead in the consumer's thread
    overlaps copies with steps. An error in the data keeps its type.

    Args:
      batches: this host's batches; closed together with the result.
      sharding: how the batch axis is split over the devices of all hosts.
      depth: the number of batches on the devices at a time, the yielded one included.

    Yields:
      (host batch, device batch). The device batch has global shapes and no
      `example_index`, which the host keeps. Do not write to a host batch: on a CPU the
      device may use the same memory.
    """
    with contextlib.closing(batches):
        ahead = collections.deque()
        for batch in batches:
            ahead.append((batch, _put(batch, sharding)))
            if len(ahead) >= depth:
                yield ahead.popleft()
        while ahead:
            yield ahead.popleft()


def _put(
    batch: batching.HostBatch, sharding: jax.sharding.NamedSharding
) -> dict[str, jax.Array]:
    def put(rows: np.ndarray) -> jax.Array:
        # State the global shape: JAX would take the hosts' different rows for copies if
        # the sharding repeats the batch on each host.
        shape = (rows.shape[0] * jax.process_count(), *rows.shape[1:])
        return jax.make_array_from_process_local_data(sharding, rows, shape)

    # With several processes JAX counts this as an implicit transfer.
    with jax.transfer_guard_host_to_device("allow"):
        return {
            name: put(rows) for name, rows in batch.items() if name != "example_index"
        }
