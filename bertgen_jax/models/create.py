"""Creates the module that a configuration describes, and names the kinds of models."""

from typing import Any, overload

from bertgen_jax.models.bert_generation import (
    BertGenerationDecoder,
    BertGenerationEncoder,
)
from bertgen_jax.models.config import (
    Config,
    EncoderDecoderConfig,
    PrefixLanguageModelConfig,
    Seq2SeqConfig,
)
from bertgen_jax.models.encoder_decoder import EncoderDecoder
from bertgen_jax.models.prefix_lm import PrefixLanguageModel
from bertgen_jax.models.stack_config import BertGenerationConfig

# Models that turn a source text into a target text; these are trained.
Seq2SeqModel = EncoderDecoder | PrefixLanguageModel
# Models that generate text; a decoder alone continues its input.
GenerativeModel = Seq2SeqModel | BertGenerationDecoder
# Every model that can be loaded and saved.
Model = GenerativeModel | BertGenerationEncoder


@overload
def create_model(config: Seq2SeqConfig, **fields: Any) -> Seq2SeqModel: ...
@overload
def create_model(
    config: BertGenerationConfig, **fields: Any
) -> BertGenerationDecoder | BertGenerationEncoder: ...
def create_model(config: Config, **fields: Any) -> Model:
    """Returns the module that a configuration describes.

    Args:
      config: the config of one stack, an encoder-decoder or a prefix language model.
      **fields: other fields of the module: dtype, scan_layers, remat, mesh.
    """
    match config:
        case EncoderDecoderConfig():
            return EncoderDecoder(config, **fields)
        case PrefixLanguageModelConfig():
            return PrefixLanguageModel(config, **fields)
        case BertGenerationConfig(is_decoder=True):
            return BertGenerationDecoder(config, **fields)
        case _:
            return BertGenerationEncoder(config, **fields)
