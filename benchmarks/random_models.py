"""Draws encoder-decoders whose random weights generate texts of realistic lengths."""

import statistics
from collections.abc import Callable
from typing import Any

import numpy as np

from bertgen_jax import trees
from bertgen_jax.models import presets
from bertgen_jax.models.config import EncoderDecoderConfig
from bertgen_jax.models.stack_config import BertGenerationConfig
from bertgen_jax.pretrained.ctranslate2 import parameter_map

WORDS = 30_522  # BERT's vocabulary
PAD, EOS, START = 0, 102, 101  # [PAD], [SEP] and [CLS] in it

_LARGEST_BIAS = 16.0  # ends every text at once; its opposite ends none
_BISECTIONS = 10
_LEAN = 0.5  # of a position's norm; lengths then vary as much as real ones


def create_config(size: str) -> EncoderDecoderConfig:
    """Returns two separate stacks of a size in `presets.SIZES`."""
    stack = BertGenerationConfig(
        vocab_size=WORDS,
        pad_token_id=PAD,
        bos_token_id=START,
        eos_token_id=EOS,
        **presets.SIZES[size],
    )
    return EncoderDecoderConfig.from_stacks(stack, stack, decoder_start_token_id=START)


def draw_params(config: EncoderDecoderConfig, seed: int = 0) -> dict[str, Any]:
    """Draws normal weights, with LayerNorms at 1 and biases at 0."""
    rng, params = np.random.default_rng(seed), {}
    for path, shape in parameter_map.parameter_shapes(config).items():
        if path.endswith(("kernel", "embedding")):
            weights = rng.standard_normal(shape, np.float32)
            params[path] = np.float32(_stddev(path, config)) * weights
        else:
            params[path] = np.full(shape, path.endswith("scale"), np.float32)
    return trees.nested(params)


def _stddev(path: str, config: EncoderDecoderConfig) -> float:
    """Returns the standard deviation of the weights of a matrix.

    With one value for all matrices, every position predicts the same word: the states
    become similar from layer to layer, and the softmax, whose weights are the word
    embeddings, prefers the word that was just read. So position embeddings are larger
    than word embeddings, and queries and keys make a few source tokens stand out. The
    filter and self-attention, which make positions similar, have small weights. Of
    the 64 tokens of a text, 60 then differ, and each source has its own.
    """
    if path.endswith("embedding"):
        return 0.2 if "position_embeddings" in path else 0.05
    width, inner = config.decoder.hidden_size, config.decoder.intermediate_size
    if path.endswith(("query/kernel", "key/kernel")):
        return 2 / width**0.5
    if "crossattention/" in path:
        return 1 / width**0.5
    if "attention/" in path:
        return 0.5 / width**0.5
    return 0.25 / (width if "intermediate/" in path else inner) ** 0.5


def with_eos_bias(
    params: dict[str, Any], config: EncoderDecoderConfig, bias: float, longest: int
) -> dict[str, Any]:
    """Returns params that end texts with another probability; other arrays are shared.

    With a bias alone, a text would end at its first token as likely as at its last. So
    the decoder's position embeddings move gradually from the opposite of EOS's
    embedding towards it. Most lengths are then near the median, as in real texts.

    Args:
      params: of `draw_params`.
      config: of these params.
      bias: of EOS in the softmax.
      longest: position of the last step, at which EOS is likeliest.
    """
    decoder = params["decoder"]
    trunk, words = decoder["bert"], decoder["bert"]["embeddings"]["word_embeddings"]
    eos = words["embedding"][EOS] / np.linalg.norm(words["embedding"][EOS])
    positions = trunk["embeddings"]["position_embeddings"]["embedding"].copy()
    lean = _LEAN * np.linspace(-1, 1, longest, dtype=np.float32)[:, None]
    positions[:longest] += lean * np.linalg.norm(positions[0]) * eos[None]
    head_bias = decoder["lm_head"]["bias"].copy()
    head_bias[EOS] = bias
    embeddings = trunk["embeddings"] | {"position_embeddings": {"embedding": positions}}
    decoder = decoder | {
        "bert": trunk | {"embeddings": embeddings},
        "lm_head": {"bias": head_bias},
    }
    return params | {"decoder": decoder}


def find_eos_bias(lengths_with: Callable[[float], list[int]], median: float) -> float:
    """Finds the bias of EOS with which texts have a median length, by bisection.

    Args:
      lengths_with: returns the lengths of some texts for a bias. A larger bias never
        makes a text longer, because greedy search depends on it only at the end.
      median: the length in tokens, EOS included.
    """
    low, high = -_LARGEST_BIAS, _LARGEST_BIAS
    for _ in range(_BISECTIONS):
        bias = (low + high) / 2
        length = statistics.median(lengths_with(bias))
        if length > median:
            low = bias
        elif length < median:
            high = bias
        else:
            break
    return bias
