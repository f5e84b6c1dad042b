"""Name maps of BERT and RoBERTa: which tensors a stack takes, and why not the others.

The layers are BertGeneration's, tensor for tensor. What differs are a prefix, the old
names of LayerNorm, the embeddings and the heads.
"""

import dataclasses

from bertgen_jax.checkpoints import name_maps
from bertgen_jax.models.config import BertGenerationConfig

TOKEN_TYPES = "embeddings.token_type_embeddings.weight"  # [types, D]
POSITIONS = "embeddings/position_embeddings/embedding"
WORDS = "embeddings/word_embeddings/embedding"


@dataclasses.dataclass(frozen=True)
class Family:
    """What sets a kind of checkpoint apart.

    Attributes:
      prefix: of its trunk's tensors where the file holds a head as well.
      pad_rows: whether position rows up to the pad id are kept for padding, so that the
        first token has position pad id + 1.
      example: a published checkpoint, for messages.
    """

    prefix: str
    pad_rows: bool
    example: str


FAMILIES = {
    "bert": Family("bert.", pad_rows=False, example="google-bert/bert-base-cased"),
    "roberta": Family("roberta.", pad_rows=True, example="FacebookAI/roberta-base"),
}

_TRUNK = ("embeddings.", "encoder.")

# Beginnings of names outside of the layers, and why they stay out.
_UNUSED = (
    ("pooler.", "pooler, for classification"),
    ("cls.predictions.", "masked-LM head"),
    ("lm_head.", "masked-LM head"),
    ("cls.seq_relationship.", "next-sentence head"),
    ("embeddings.position_ids", "position numbers, no weights"),
    ("embeddings.token_type_ids", "segment numbers, no weights"),
)


def stack(config: BertGenerationConfig) -> list[name_maps.Weight]:
    """The tensors that a stack takes, by their `canonical` names.

    Args:
      config: the checkpoint's; `max_position_embeddings` counts all rows of its table.
    """
    return name_maps.bert_generation_stack(config, cross_attention=False)


def canonical(name: str, family: Family) -> str:
    """The name of a tensor in a file of today that holds no head.

    ```
    bert.embeddings.LayerNorm.gamma  ->  embeddings.LayerNorm.weight
    cls.predictions.bias             ->  cls.predictions.bias
    ```
    """
    name = name.removeprefix(family.prefix)
    for old, new in (("gamma", "weight"), ("beta", "bias")):
        if name.endswith(f"LayerNorm.{old}"):
            name = name.removesuffix(old) + new
    return name


def unused(name: str) -> str | None:
    """Why a stack has no place for the tensor of that canonical name.

    Returns:
      A few words; None for a name that no checkpoint of these kinds should have.
    """
    for beginning, reason in _UNUSED:
        if name.startswith(beginning):
            return reason
    if ".crossattention." in name:
        return "cross-attention, which every recipe begins at random"
    return None if name.startswith(_TRUNK) else "head of another task"
