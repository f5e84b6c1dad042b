"""Compiles the training step for devices that this machine does not have.

XLA makes the real program: its memory and its collectives can be read, but it does not
run. The compilers are in packages that exclude each other, so each needs a virtual
environment of its own:

    pip install -e . jax-cuda12-plugin==V jax-cuda12-pjrt==V nvidia-cuda-nvcc-cu12
    pip install -e . 'jax[tpu]==V'

with V the version of jax.
"""

import dataclasses
import functools
import os
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax.sharding import AxisType, Mesh

from bertgen_jax import sharding
from bertgen_jax.data.batching import Bucket
from bertgen_jax.data.loading import abstract_batch
from bertgen_jax.models.config import EncoderDecoderConfig
from bertgen_jax.models.create import create_model
from bertgen_jax.models.losses import teacher_forced_loss
from bertgen_jax.models.presets import SIZES
from bertgen_jax.models.stack_config import BertGenerationConfig
from bertgen_jax.training import steps

WORDS = 50_358  # the vocabulary of the paper's models


@dataclasses.dataclass(frozen=True)
class Device:
    """A kind of device, as its maker publishes it.

    Attributes:
      platform: "cuda" or "tpu".
      memory: bytes that a program may use.
      flops: floating-point operations a second in bf16, dense.
      bandwidth: bytes a second of the device's memory.
      link: bytes a second that a device sends to the others of its host or slice.
    """

    platform: str
    memory: float
    flops: float
    bandwidth: float
    link: float


# JAX hands out 75% of a GPU's memory.
DEVICES = {
    "h100": Device("cuda", 0.75 * 84_978_434_048, 989e12, 3.35e12, 450e9),
    "v5e": Device("tpu", 15.75 * 2**30, 197e12, 0.82e12, 200e9),
    "v5p": Device("tpu", 95 * 2**30, 459e12, 2.77e12, 600e9),
    "v6e": Device("tpu", 31.25 * 2**30, 918e12, 1.64e12, 448e9),
}

# Names of slices by kind and number of devices; the smallest that XLA knows is used for
# fewer devices.
_SLICES = {
    "h100": {8: "1x8x1", 64: "8x8x1"},
    "v5e": {4: "v5e:2x2", 8: "v5e:2x4", 256: "v5e:16x16"},
    "v5p": {4: "v5p:2x2x1", 64: "v5p:4x4x4"},
    "v6e": {8: "v6e:2x4"},
}

# What XLA must know about an H100 that is not there.
_H100 = """
gpu_device_info {
  threads_per_block_limit: 1024 threads_per_warp: 32 shared_memory_per_block: 49152
  shared_memory_per_core: 233472 threads_per_core_limit: 2048 core_count: 132
  fpus_per_core: 128 block_dim_limit_x: 2147483647 block_dim_limit_y: 65535
  block_dim_limit_z: 65535 memory_bandwidth: 3352320000000 l2_cache_size: 52428800
  clock_rate_ghz: 1.98 device_memory_size: 84978434048
  shared_memory_per_block_optin: 232448
  cuda_compute_capability { major: 9 minor: 0 }
  registers_per_core_limit: 65536 registers_per_block_limit: 65536
}
platform_name: "CUDA"
dnn_version_info { major: 9 minor: 8 patch: 0 }
device_description_str: "NVIDIA H100 80GB HBM3"
"""


def setup(kind: str) -> None:
    """Prepares this process; call it before anything of jax runs."""
    jax.config.update("jax_platforms", "cpu")
    if DEVICES[kind].platform == "cuda":
        flags = os.environ.get("XLA_FLAGS", "")
        os.environ["XLA_FLAGS"] = f"{flags} --xla_gpu_autotune_level=0"
    else:
        os.environ |= {
            "TPU_SKIP_MDS_QUERY": "1",
            "TPU_ACCELERATOR_TYPE": "v5litepod-8",
            "TPU_WORKER_HOSTNAMES": "localhost",
        }


def create_mesh(kind: str, data: int, fsdp: int) -> Mesh:
    """Creates a mesh of devices of a kind that are not there."""
    from jax.experimental import topologies

    slices = _SLICES[kind]
    count = data * fsdp
    name = slices[min(size for size in slices if size >= count)]
    if DEVICES[kind].platform == "cuda":
        description = topologies.get_topology_desc(
            platform="cuda", topology_name=kind, topology=name, target_config=_H100
        )
    else:
        description = topologies.get_topology_desc(platform="tpu", topology_name=name)
    return Mesh(
        np.array(description.devices[:count]).reshape(data, fsdp),
        ("data", "fsdp"),
        axis_types=(AxisType.Auto, AxisType.Auto),
    )


def create_config(size: str, *, shared: bool = False) -> EncoderDecoderConfig:
    """Returns two stacks of a size with the paper's vocabulary, or one for both."""
    stack = BertGenerationConfig(vocab_size=WORDS, **SIZES[size])
    return EncoderDecoderConfig.from_stacks(
        stack,
        stack,
        share_encoder_decoder=shared,
        share_embeddings=True,
        decoder_start_token_id=2,
    )


def abstract_params(config: EncoderDecoderConfig) -> Any:
    """Returns the shapes of the parameters of a model."""
    model, ids = create_model(config), np.zeros((1, 2), np.int32)
    return jax.eval_shape(
        lambda: model.init(jax.random.key(0), ids, None, ids)["params"]
    )


def compile_step(
    config: EncoderDecoderConfig,
    mesh: Mesh,
    bucket: Bucket,
    rows: int,
    *,
    policy: str,
    dtype: str = "bfloat16",
    micro_batches: int = 1,
) -> jax.stages.Compiled:
    """Compiles a training step with Adam; `rows` are those of all devices."""
    model = create_model(
        config, dtype=jnp.dtype(dtype), scan_layers=True, remat=policy, mesh=mesh
    )
    optimizer = optax.adam(1e-4)
    state = jax.eval_shape(
        lambda params: steps.TrainState.create(params, optimizer, ema=False),
        abstract_params(config),
    )
    places = sharding.state_shardings(state, mesh)
    by_rows = sharding.batch_sharding(mesh)
    step = jax.jit(
        functools.partial(
            steps.train_step,
            loss=functools.partial(teacher_forced_loss, model),
            optimizer=optimizer,
            settings=steps.StepSettings(seed=0, micro_batches=micro_batches),
        ),
        in_shardings=(places, by_rows),
        out_shardings=(places, sharding.replicated(mesh)),
        donate_argnums=0,
    )
    batch = abstract_batch(bucket, rows, by_rows)
    return step.lower(sharding.with_shardings(state, places), batch).compile()
