"""Rows of the paper's Table 1, as data: what starts from what, and what is shared."""

import dataclasses

from bertgen_jax.errors import ConfigError
from bertgen_jax.suggest import nearest


@dataclasses.dataclass(frozen=True)
class Recipe:
    """How an encoder-decoder begins (paper, section 3).

    Attributes:
      encoder: kind of checkpoint that the encoder starts from: "bert" or "roberta";
        None for random weights.
      decoder: likewise; its cross-attention is random in every row.
      share_stacks: encoder and decoder are one set of weights.
      share_embeddings: one embedding block serves both inputs (and the softmax).
    """

    encoder: str | None
    decoder: str | None
    share_stacks: bool = False
    share_embeddings: bool = True

    @property
    def is_warm(self) -> bool:
        """Whether any weights come from a checkpoint."""
        return bool(self.encoder or self.decoder)


RECIPES = {
    "rnd2rnd": Recipe(None, None),
    "bert2rnd": Recipe("bert", None),
    "rnd2bert": Recipe(None, "bert"),
    "bert2bert": Recipe("bert", "bert"),
    "bertshare": Recipe("bert", "bert", share_stacks=True),
    "roberta2roberta": Recipe("roberta", "roberta"),
    "robertashare": Recipe("roberta", "roberta", share_stacks=True),
    # Not in the paper: the sharing of bertShare without a checkpoint.
    "rndshare": Recipe(None, None, share_stacks=True),
}


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
