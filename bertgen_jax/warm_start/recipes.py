"""The recipes of the paper's Table 1 and the selections of its ablations, as data.

    Table 1        recipe         encoder   decoder   weights            parameters
    RND2RND        rnd2rnd        random    random    two stacks               221M
    BERT2RND       bert2rnd       BERT      random    two stacks               221M
    RND2BERT       rnd2bert       random    BERT      two stacks               221M
    BERT2BERT      bert2bert      BERT      BERT      two stacks               221M
    BERTSHARE      bertshare      BERT      BERT      one stack                136M
    ROBERTASHARE   robertashare   RoBERTa   RoBERTa   one stack                152M
    GPT            gpt            none      GPT-2     one language model       125M
    RND2GPT        rnd2gpt        random    GPT-2     two stacks               238M
    BERT2GPT       bert2gpt       BERT      GPT-2     two stacks, two tables   260M
    ROBERTA2GPT    roberta2gpt    RoBERTa   GPT-2     two stacks, two tables   276M

Cross-attention is random in every row. One word table serves the encoder, the decoder
and the softmax, except in the last two rows, whose encoder has a table of its own.
"""

import dataclasses
import re
from typing import Self

from bertgen_jax.errors import ConfigError, check_choice


@dataclasses.dataclass(frozen=True)
class Recipe:
    """How a model is initialised (paper, section 3).

    Attributes:
      encoder: the kind of checkpoint that the encoder starts from: "bert", "roberta" or
        "gpt2"; None for random weights.
      decoder: the same for the decoder.
      share_stacks: whether encoder and decoder are one set of weights.
      share_embeddings: whether one word table and one position table serve encoder and
        decoder; has no effect if the two start from two checkpoints.
      decoder_only: whether there is no encoder: the source is the prefix of a language
        model.
    """

    encoder: str | None
    decoder: str | None
    share_stacks: bool = False
    share_embeddings: bool = True
    decoder_only: bool = False


RECIPES = {
    "rnd2rnd": Recipe(None, None),
    "bert2rnd": Recipe("bert", None),
    "rnd2bert": Recipe(None, "bert"),
    "bert2bert": Recipe("bert", "bert"),
    "bertshare": Recipe("bert", "bert", share_stacks=True),
    "robertashare": Recipe("roberta", "roberta", share_stacks=True),
    "gpt": Recipe(None, "gpt2", decoder_only=True),
    "rnd2gpt": Recipe(None, "gpt2"),
    "bert2gpt": Recipe("bert", "gpt2", share_embeddings=False),
    "roberta2gpt": Recipe("roberta", "gpt2", share_embeddings=False),
    # Not in the paper:
    "roberta2roberta": Recipe("roberta", "roberta"),
    "rndshare": Recipe(None, None, share_stacks=True),  # bertShare without a checkpoint
}

PARTS = ("all", "embeddings", "layers")


@dataclasses.dataclass(frozen=True)
class Selection:
    """Which part of the checkpoints is used (ablations of the paper, section 5).

    Attributes:
      parts: "all", or only the "embeddings", or only the "layers".
      layers: the layers of the checkpoint, numbered from 1, that become the layers of
        the model, in this order; () for all. The best ten of BERT-large's 24 layers in
        the paper are 9, 10, 13 to 18, 23 and 24.
      mlm_bias: whether the softmax starts with the output bias of the decoder's
        masked-LM head. The models of the paper have no such bias.
    """

    parts: str = "all"
    layers: tuple[int, ...] = ()
    mlm_bias: bool = False

    def __post_init__(self):
        check_choice("init.parts", self.parts, PARTS)
        if not all(type(layer) is int and layer >= 1 for layer in self.layers):
            raise ConfigError(
                f"init.layers is {self.layers!r:.99}; expected numbers of layers, from "
                "1."
            )

    @classmethod
    def parse(cls, parts: str, layers: str, mlm_bias: bool) -> Self:
        """Reads the fields of a config, in which `layers` is written "9,10,13-18".

        Raises:
          ConfigError: a value is invalid.
        """
        numbers: list[int] = []
        for item in filter(None, layers.replace(" ", "").split(",")):
            match = re.fullmatch(r"(\d{1,3})(?:-(\d{1,3}))?", item)
            first, last = (
                (int(match[1]), int(match[2] or match[1])) if match else (1, 0)
            )
            if first > last:
                raise ConfigError(
                    f"init.layers is {layers!r:.99}; found {item!r:.99}, expected the "
                    "number of a layer or a range, such as 13-18."
                )
            numbers += range(first, last + 1)
        return cls(parts, tuple(numbers), mlm_bias)


def get(name: str) -> Recipe:
    """Returns the recipe with this name.

    Raises:
      ConfigError: there is no such recipe.
    """
    check_choice("init.recipe", name, RECIPES)
    return RECIPES[name]
