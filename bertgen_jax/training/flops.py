"""Counts the operations of training, and compares them with the peak of the devices.

Their quotient is the model FLOPs utilization (MFU): the share of the peak rate that the
products of the model use, at positions that hold a token. Operations on padding, and
what the backward pass computes again (`model.remat`), count as no work.
"""

import jax
import numpy as np
from numpy.typing import ArrayLike

from bertgen_jax.data.batching import HostBatch
from bertgen_jax.models.config import EncoderDecoderConfig, Seq2SeqConfig
from bertgen_jax.models.stack_config import BertGenerationConfig

# Dense bf16 operations a second of one JAX device, by the beginning of its
# `device_kind`; a longer name comes before its beginning. From NVIDIA's data sheets
# (half of the figures with sparsity) and Google Cloud's pages of the TPU versions.
PEAK_FLOPS = {
    "NVIDIA B200": 2.25e15,  # DGX B200 data sheet, an eighth
    "NVIDIA H200": 989.4e12,  # H200 data sheet, SXM
    "NVIDIA H100 PCIe": 756e12,  # H100 data sheet
    "NVIDIA H100 NVL": 835e12,  # as above
    "NVIDIA H100": 989.4e12,  # as above, SXM
    "NVIDIA A100": 312e12,  # A100 data sheet
    "NVIDIA L40S": 362e12,  # L40S data sheet
    "NVIDIA L40": 181e12,  # L40 data sheet
    "NVIDIA L4": 121e12,  # L4 data sheet
    "Tesla T4": 65e12,  # T4 data sheet, fp16: it has no bf16
    "TPU v3": 61.5e12,  # 123 a chip, which is two devices
    "TPU v4 lite": 138e12,  # v4i; Jouppi et al. (2021), Table 1
    "TPU v4": 275e12,
    "TPU v5 lite": 197e12,  # v5e
    "TPU v5e": 197e12,
    "TPU v5": 459e12,  # v5p
    "TPU v6 lite": 918e12,  # v6e
    "TPU v6e": 918e12,
}


def peak_flops(device_kind: str) -> float | None:
    """Returns the bf16 operations a second of a device; None if unknown."""
    for name, rate in PEAK_FLOPS.items():
        if device_kind.startswith(name):
            return rate
    return None


def step_flops(config: Seq2SeqConfig, source: ArrayLike, target: ArrayLike) -> int:
    """Counts the operations of the products of a step; backward is twice forward.

    Args:
      config: the architecture.
      source: i[B], tokens of each source.
      target: i[B], tokens of each target.
    """
    source, target = np.asarray(source, np.int64), np.asarray(target, np.int64)
    decoder = config.decoder
    width = decoder.hidden_size
    if isinstance(config, EncoderDecoderConfig):
        encoder = config.encoder
        products = _layers(encoder, 4, source) + _layers(decoder, 6, target)
        # Keys and values of cross-attention.
        products += source * decoder.num_hidden_layers * 2 * width**2
        products += _scores(encoder, source, source)
        products += _scores(decoder, target, target)
        products += _scores(decoder, target, source)
        if encoder.hidden_size != width:
            products += source * encoder.hidden_size * width
    else:  # source and target are one sequence
        both = source + target
        products = _layers(decoder, 4, both) + _scores(decoder, both, both)
    if decoder.lm_head_transform:
        products += target * width**2
    products += target * width * decoder.vocab_size
    return 3 * 2 * int(products.sum())


def _layers(
    stack: BertGenerationConfig, squares: int, tokens: np.ndarray
) -> np.ndarray:
    """Counts the products with weights: `squares` matrices D x D, and two D x F."""
    width, inner = stack.hidden_size, stack.intermediate_size
    return tokens * stack.num_hidden_layers * (squares * width**2 + 2 * width * inner)


def _scores(
    stack: BertGenerationConfig, queries: np.ndarray, keys: np.ndarray
) -> np.ndarray:
    """Counts the products of queries with keys, and of weights with values."""
    return 2 * stack.num_hidden_layers * stack.hidden_size * queries * keys


class Utilization:
    """Measures the MFU of a run; without a known peak it measures nothing.

    Args:
      config: the architecture.
      device_kind: the kind of the devices, as JAX names it.
      devices: the number of devices that share each step.
    """

    def __init__(self, config: Seq2SeqConfig, device_kind: str, devices: int):
        self._config = config
        peak = peak_flops(device_kind)
        self._peak = None if peak is None else peak * devices
        self._flops = 0

    def add(self, batch: HostBatch) -> None:
        """Adds the operations of a step.

        With several processes, each counts its own rows of the batch, and takes those
        of the others for as many.
        """
        if self._peak is not None:
            source = batch["attention_mask"].sum(axis=1)
            target = (batch["label_weights"] > 0).sum(axis=1)
            own = step_flops(self._config, source, target)
            self._flops += own * jax.process_count()

    def lap(self, seconds: float) -> dict[str, float]:
        """Returns {"mfu": share of the peak} since the last call; {} without a peak."""
        flops, self._flops = self._flops, 0
        return {} if self._peak is None else {"mfu": flops / seconds / self._peak}
