"""Rows of the paper's Table 1, as data: what starts from what, and what is shared."""

import dataclasses
import re
from typing import Self

from bertgen_jax.errors import ConfigError, nearest


@dataclasses.dataclass(frozen=True)
class Recipe:
    """How a model begins (paper, section 3).

    Attributes:
      encoder: kind of checkpoint that the encoder starts from: "bert", "roberta" or
        "gpt2"; None for random weights.
      decoder: likewise; its cross-attention is random in every row.
      share_stacks: encoder and decoder are one set of weights.
      share_embeddings: one table of words and one of positions serve both inputs (and
        the softmax), unless the two sides start from two checkpoints.
      decoder_only: there is no encoder; the source is the prefix of a language model.
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
    "roberta2roberta": Recipe("roberta", "roberta"),
    "robertashare": Recipe("roberta", "roberta", share_stacks=True),
    "gpt": Recipe(None, "gpt2", decoder_only=True),
    "rnd2gpt": Recipe(None, "gpt2"),
    "bert2gpt": Recipe("bert", "gpt2", share_embeddings=False),
    "roberta2gpt": Recipe("roberta", "gpt2", share_embeddings=False),
    # Not in the paper: the sharing of bertShare without a checkpoint.
    "rndshare": Recipe(None, None, share_stacks=True),
}

PARTS = ("all", "embeddings", "layers")


@dataclasses.dataclass(frozen=True)
class Selection:
    """Which part of the checkpoints is taken (ablations of the paper, section 5).

    Attributes:
      parts: "all"; "embeddings" alone, or "layers" alone.
      layers: numbers, from 1, of the checkpoint's layers that become those of the
        model, in this order; () for all. The paper's best ten of BERT-large's 24 are 9,
        10, 13 to 18, 23 and 24.
      mlm_bias: whether the softmax begins with the output bias of the decoder's
        masked-LM head. The models of the paper have no such bias.
    """

    parts: str = "all"
    layers: tuple[int, ...] = ()
    mlm_bias: bool = False

    def __post_init__(self):
        if self.parts not in PARTS:
            raise ConfigError(
                f"init.parts is {self.parts!r}; expected one of {', '.join(PARTS)}."
                f"{nearest(self.parts, PARTS)}"
            )
        if not all(type(layer) is int and layer >= 1 for layer in self.layers):
            raise ConfigError(
                f"init.layers is {self.layers!r:.99}; expected numbers of layers, from "
                "1."
            )

    @classmethod
    def parse(cls, parts: str, layers: str, mlm_bias: bool) -> Self:
        """Reads a config's fields; `layers` is written "9,10,13-18".

        Raises:
          ConfigError: a value that cannot be meant.
        """
        numbers: list[int] = []
        for item in filter(None, layers.replace(" ", "").split(",")):
            found = re.fullmatch(r"(\d{1,3})(?:-(\d{1,3}))?", item)
            first, last = (
                (int(found[1]), int(found[2] or found[1])) if found else (1, 0)
            )
            if first > last:
                raise ConfigError(
                    f"init.layers is {layers!r:.99}; {item!r:.99} is no number of a "
                    "layer and no range of them, such as 13-18."
                )
            numbers += range(first, last + 1)
        return cls(parts, tuple(numbers), mlm_bias)


def get(name: str) -> Recipe:
    """The recipe of that name.

    Raises:
      ConfigError: there is none.
    """
    if name not in RECIPES:
        raise ConfigError(
            f"init.recipe is {name!r}; expected one of {', '.join(RECIPES)}."
            f"{nearest(name, RECIPES)}"
        )
    return RECIPES[name]
