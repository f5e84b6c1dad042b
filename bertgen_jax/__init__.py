"""bertgen_jax: sequence-to-sequence models warm-started from published checkpoints.

The system of 'Leveraging Pre-trained Checkpoints for Sequence Generation Tasks' (arXiv
1907.12461) in JAX and Flax. Here are the public names; docs/architecture.md is the map.
"""

import importlib.util

__version__ = "0.1.0"

# Scoring works without: `bertgen score`, and what is in metrics/.
if importlib.util.find_spec("jax") is not None:
    from bertgen_jax.decoding.config import GenerationConfig
    from bertgen_jax.generation.generator import Generator, generate
    from bertgen_jax.generation.likelihood import score
    from bertgen_jax.generation.pipeline import pipeline
    from bertgen_jax.models.bert_generation import (
        BertGenerationDecoder,
        BertGenerationEncoder,
    )
    from bertgen_jax.models.config import (
        EncoderDecoderConfig,
        PrefixLanguageModelConfig,
    )
    from bertgen_jax.models.encoder_decoder import EncoderDecoder
    from bertgen_jax.models.prefix_lm import PrefixLanguageModel
    from bertgen_jax.models.resizing import resize_embeddings
    from bertgen_jax.models.stack_config import BertGenerationConfig
    from bertgen_jax.pretrained.loading import from_pretrained
    from bertgen_jax.pretrained.saving import save_pretrained
    from bertgen_jax.tokenizers.auto import AutoTokenizer
    from bertgen_jax.tokenizers.byte_level_bpe import ByteLevelBPETokenizer
    from bertgen_jax.tokenizers.sentencepiece import BertGenerationTokenizer
    from bertgen_jax.tokenizers.wordpiece import WordPieceTokenizer
    from bertgen_jax.warm_start.warm_start import warm_start

__all__ = [
    "AutoTokenizer",
    "BertGenerationConfig",
    "BertGenerationDecoder",
    "BertGenerationEncoder",
    "BertGenerationTokenizer",
    "ByteLevelBPETokenizer",
    "EncoderDecoder",
    "EncoderDecoderConfig",
    "GenerationConfig",
    "Generator",
    "PrefixLanguageModel",
    "PrefixLanguageModelConfig",
    "WordPieceTokenizer",
    "__version__",
    "from_pretrained",
    "generate",
    "pipeline",
    "resize_embeddings",
    "save_pretrained",
    "score",
    "warm_start",
]
