"""Strings that are cut out of a text before the rest is split, and the id of each."""

import dataclasses
from collections.abc import Iterable, Mapping, Sequence

from bertgen_jax import errors
from bertgen_jax.normalization import is_unicode

# The largest published vocabularies have a million pieces. An id far beyond is that of
# a damaged file, and would ask for an embedding table to match.
MOST_IDS = 2**24


@dataclasses.dataclass(frozen=True)
class AddedToken:
    """A string that is one id wherever it stands; the fields are Hugging Face's.

    SentencePiece tokenizers, which drop the spaces around such a string in any case,
    read only the first two.

    Attributes:
      content: the string.
      id: its id; None for that of the piece of this name, or else the next free one.
      special: `skip_special_tokens` drops it.
      lstrip: it swallows the spaces before it.
      rstrip: it swallows the spaces after it.
      single_word: it is not found within a word.
      normalized: it is looked for in the text after lower-casing and the like.
    """

    content: str
    id: int | None = None
    special: bool = False
    lstrip: bool = False
    rstrip: bool = False
    single_word: bool = False
    normalized: bool = True

    def __post_init__(self) -> None:
        if not (isinstance(self.content, str) and self.content) or not is_unicode(
            self.content
        ):
            raise errors.TokenizerError(
                f"{self.content!r} is given as an added or special string; expected "
                "text of at least one character."
            )
        if self.id is not None and not is_id(self.id):
            raise errors.TokenizerError(
                f"The added string {self.content!r} has the id {self.id!r}; expected "
                f"one from 0 to {MOST_IDS - 1:,}."
            )


def is_id(value: object) -> bool:
    """Whether this can be the row of an embedding table."""
    return type(value) is int and 0 <= value < MOST_IDS  # a bool is an int too


def numbered(
    pieces: Mapping[str, int], added: Sequence[AddedToken], special: Iterable[str]
) -> tuple[AddedToken, ...]:
    """Gives each string its id.

    Args:
      pieces: the vocabulary.
      added: strings whose ids, or whose flags, are known.
      special: strings that `skip_special_tokens` drops, whether in `added` or not. What
        the vocabulary lacks gets ids after all others, in this order.

    Returns:
      All of them, by id.

    Raises:
      TokenizerError: two strings have one id, or a piece has two.
    """
    known = {token.content: token for token in added}
    if len(known) < len(added):
        raise errors.TokenizerError(
            f"{len(added) - len(known)} of the {len(added)} added strings are there "
            "twice; expected each once."
        )
    tokens = {
        content: dataclasses.replace(
            known.get(content, AddedToken(content, normalized=False)), special=True
        )
        for content in special
    }
    tokens |= {content: known[content] for content in known if content not in tokens}

    owners = {index: piece for piece, index in pieces.items()}
    free = 1 + max([-1, *owners, *(t.id for t in added if t.id is not None)])
    for content, token in tokens.items():
        index = pieces.get(content, token.id)
        if index is None:
            index, free = free, free + 1
        owner = owners.setdefault(index, content)
        if owner != content or token.id not in (None, index):
            raise errors.TokenizerError(
                f"The added string {content!r} has the id {token.id}, but {owner!r} is "
                f"{index} already; expected an id of its own."
            )
        tokens[content] = dataclasses.replace(token, id=index)
    return tuple(sorted(tokens.values(), key=lambda token: token.id))
