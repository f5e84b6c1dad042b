"""Compiles the training step for devices that this machine does not have.

XLA makes the real program: its memory and its collectives can be read, but it does not
run. The compilers are in packages that exclude each other, so each needs a virtual
environment of its own:

    pip install -c constraints.txt -e '.[aot-gpu]'
    pip install -c constraints.txt -e '.[aot-tpu]'

The first needs no CUDA libraries. The CUDA plugin must have the version of jax.
"""

import dataclasses
import functools
import importlib
import math
import os
from collections.abc import Iterator
from typing import Any, Self

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import AxisType, Mesh

from benchmarks import adam
from bertgen_jax import sharding, stacked_layers
from bertgen_jax.data.batching import Bucket
from bertgen_jax.data.loading import abstract_batch
from bertgen_jax.decoding.config import GenerationConfig
from bertgen_jax.experiment import settings
from bertgen_jax.generation import generator
from bertgen_jax.models import initialization
from bertgen_jax.models.config import EncoderDecoderConfig, Seq2SeqConfig
from bertgen_jax.models.create import create_model
from bertgen_jax.models.losses import teacher_forced_loss
from bertgen_jax.models.presets import SIZES
from bertgen_jax.models.stack_config import BertGenerationConfig
from bertgen_jax.tokenizers.interface import SpecialIds
from bertgen_jax.training import flops, memory, optimizers, steps
from bertgen_jax.warm_start import architecture, recipes

WORDS = 50_358  # the vocabulary of the paper's models


@dataclasses.dataclass(frozen=True)
class Device:
    """A kind of device, with the rates that its maker publishes.

    Attributes:
      platform: "cuda" or "tpu".
      memory: bytes that a program may use.
      flops: floating-point operations a second in bf16, dense.
      bandwidth: bytes a second of the device's memory.
      link: bytes a second that a device sends to the others of its host or slice.
      network: bytes a second that a device sends to other hosts; None if all devices of
        a slice are linked.
      host: the number of devices that are linked without a network; None for all.
      torus: the smallest number of devices whose links are all used; smaller slices
        have no links around their edges, which halves the rate.
      origin: the publication of the rates.
    """

    platform: str
    memory: float
    flops: float
    bandwidth: float
    link: float
    network: float | None = None
    host: int | None = None
    torus: int = 1
    origin: str = ""


DEVICES = {
    "h100": Device(
        "cuda",
        0.75 * 84_978_434_048,  # the share that JAX hands out
        flops.PEAK_FLOPS["NVIDIA H100"],
        3.35e12,
        450e9,  # NVLink: 900 GB/s in both directions
        network=50e9,  # one 400 Gb/s adapter for each GPU
        host=8,
        origin="NVIDIA H100 SXM data sheet; DGX H100 user guide",
    ),
    "v5e": Device(
        "tpu",
        15.75 * 2**30,
        flops.PEAK_FLOPS["TPU v5e"],
        0.82e12,
        200e9,  # 1,600 Gb/s
        torus=256,
        origin="Google Cloud TPU documentation, v5e",
    ),
    "v5p": Device(
        "tpu",
        95 * 2**30,
        flops.PEAK_FLOPS["TPU v5"],
        2.77e12,
        600e9,  # 4,800 Gb/s
        torus=64,
        origin="Google Cloud TPU documentation, v5p",
    ),
    "v6e": Device(
        "tpu",
        31.25 * 2**30,
        flops.PEAK_FLOPS["TPU v6e"],
        1.64e12,
        448e9,  # 3,584 Gb/s
        torus=256,
        origin="Google Cloud TPU documentation, v6e",
    ),
}

# Names of topologies by kind and number of devices; the smallest that XLA knows is used
# for fewer devices. NVIDIA's are partitions x hosts x devices of a host.
_SLICES = {
    "h100": {8: "1x1x8", 64: "1x8x8"},
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
            "ALLOW_MULTIPLE_LIBTPU_LOAD": "1",  # no device, so nothing to lock
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


@dataclasses.dataclass(frozen=True)
class Workload:
    """What a training step computes.

    Attributes:
      config: the architecture.
      bucket: the shape of a row.
      rows: rows of a batch, on all devices.
      dtype: the name of the compute dtype.
      micro_batches: parts of a batch that run one after the other.
      policy: `model.remat`.
      scan_layers: `model.scan_layers`.
      optimizer: shapes of parameters -> the optimizer.
    """

    config: Seq2SeqConfig
    bucket: Bucket
    rows: int
    dtype: str = "bfloat16"
    micro_batches: int = 1
    policy: str = memory.AUTO
    scan_layers: bool = True
    optimizer: Any = lambda _: adam.create()

    @classmethod
    def of_experiment(cls, name: str, **changes: Any) -> Self:
        """Returns the step of a config in configs/, in bf16.

        Checkpoints are not opened: the stacks have the size that `model.size` names,
        which is that of the published ones, and the paper's vocabulary.

        Args:
          name: of the file, such as "bbc_summarize".
          **changes: other values for attributes; None for no change.
        """
        config = importlib.import_module(f"configs.{name}").get_config()
        side = architecture.Side(None, WORDS, SpecialIds(pad=0, eos=1, unk=3, bos=2))
        workload = cls(
            config=architecture.assemble(
                recipes.get(config.init.recipe),
                side,
                side,
                SIZES[config.model.size],
                settings.stack_settings(config),
            ),
            bucket=Bucket(config.data.max_source_tokens, config.data.max_target_tokens),
            rows=config.batch_size,
            micro_batches=config.micro_batches,
            policy=config.model.remat,
            scan_layers=config.model.scan_layers,
            optimizer=lambda params: optimizers.create_optimizer(
                config.optim, lambda count: 1e-4, params
            ),
        )
        changes = {name: value for name, value in changes.items() if value is not None}
        return dataclasses.replace(workload, **changes)

    @property
    def parameters(self) -> int:
        """The number of parameters."""
        shapes = initialization.param_shapes(create_model(self.config))
        return sum(math.prod(leaf.shape) for leaf in jax.tree.leaves(shapes))

    def predicted_bytes(self, mesh: Mesh, policy: str) -> int:
        """Predicts the bytes that a step needs on a device; see `training.memory`."""
        shapes = memory.Shapes.of_step(
            self.bucket,
            mesh,
            batch_size=self.rows,
            micro_batches=self.micro_batches,
            dtype=self.dtype,
        )
        return memory.predicted_bytes(self.config, self.parameters, shapes, policy)

    def policies(self, mesh: Mesh, available: float) -> Iterator[str]:
        """Yields the policies to compile with, as a run does."""
        return memory.policies(
            self.policy,
            lambda policy: self.predicted_bytes(mesh, policy),
            int(available),
        )


def trace_step(workload: Workload, mesh: Mesh, policy: str) -> jax.stages.Traced:
    """Traces a training step; its `lower().compile()` is the program of a mesh."""
    model = create_model(
        workload.config,
        dtype=jnp.dtype(workload.dtype),
        scan_layers=workload.scan_layers,
        remat=policy,
        mesh=mesh,
    )
    params = initialization.param_shapes(model)
    if workload.scan_layers:  # as in a run
        params = stacked_layers.stack_params(params)
    optimizer = workload.optimizer(params)
    create_state = functools.partial(
        steps.TrainState.create, optimizer=optimizer, ema=False
    )
    state = steps.abstract_state(create_state, params, mesh)
    step = steps.jit_train_step(
        functools.partial(teacher_forced_loss, model),
        optimizer,
        steps.StepSettings(seed=0, micro_batches=workload.micro_batches),
        state,
        mesh,
    )
    batch = abstract_batch(
        workload.bucket, workload.rows, sharding.batch_sharding(mesh)
    )
    return step.trace(state, batch)


def compile_generator(
    config: EncoderDecoderConfig,
    mesh: Mesh,
    source: int,
    rows: int,
    search: GenerationConfig,
    *,
    dtype: str = "bfloat16",
) -> jax.stages.Compiled:
    """Compiles the generation of targets for `rows` sources on all devices."""
    model = create_model(config, dtype=jnp.dtype(dtype), mesh=mesh)
    replicated, by_rows = sharding.replicated(mesh), sharding.batch_sharding(mesh)
    params = initialization.param_shapes(model)
    params = sharding.with_shardings(params, sharding.state_shardings(params, mesh))

    def generate(params: Any, ids: jax.Array, mask: jax.Array) -> Any:
        weights = generator._convert_weights(
            params["decoder"], config.target_config, model.dtype
        )
        prompt = jnp.full((rows, 1), search.decoder_start_token_id, jnp.int32)
        return generator._generate(
            model,
            search,
            params,
            weights,
            prompt,
            jnp.ones_like(prompt, bool),
            ids,
            mask,
            jnp.arange(rows, dtype=jnp.int32),
        )

    array = functools.partial(jax.ShapeDtypeStruct, (rows, source), sharding=by_rows)
    step = jax.jit(generate, out_shardings=replicated if rows % mesh.size else by_rows)
    return step.lower(params, array(jnp.int32), array(jnp.bool_)).compile()
