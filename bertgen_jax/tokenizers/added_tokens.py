"""Added tokens: strings that are one id each, wherever they stand in a text."""

import dataclasses
from collections.abc import Iterable, Mapping, Sequence

from bertgen_jax.errors import TokenizerError
from bertgen_jax.normalization import is_unicode

# The largest published vocabularies have a million pieces. A much larger id means a
# damaged file, and would require an embedding table of that size.
MAX_IDS = 2**24


@dataclasses.dataclass(frozen=True)
class AddedToken:
    """A string that is one id wherever it stands; the fields are Hugging Face's.

    SentencePiece tokenizers use only the first two fields, because they always drop the
    spaces around such a string.

    Attributes:
      content: the string.
      id: its id; None for the id of the piece with this name, or else the next free id.
      special: whether `skip_special_tokens` drops it.
      lstrip: whether the spaces before it are dropped.
      rstrip: whether the spaces after it are dropped.
      single_word: whether it only matches a whole word.
      normalized: whether it is matched in the normalized text, such as lower-cased.
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
            raise TokenizerError(
                f"{self.content!r} is not a valid added or special string; expected "
                "text of at least one character."
            )
        if self.id is not None and not is_id(self.id):
            raise TokenizerError(
                f"The added string {self.content!r} has the id {self.id!r}; expected "
                f"one from 0 to {MAX_IDS - 1:,}."
            )


def is_id(value: object) -> bool:
    """Whether a value can be the row of an embedding table."""
    return type(value) is int and 0 <= value < MAX_IDS  # a bool is an int too


def numbered(
    pieces: Mapping[str, int], added: Sequence[AddedToken], special: Iterable[str]
) -> dict[int, AddedToken]:
    """Gives each added and special string its id.

    Args:
      pieces: the vocabulary.
      added: strings whose ids, or whose flags, are known.
      special: strings that `skip_special_tokens` drops; they may be in `added` too.
        Those that are not in the vocabulary get ids after all others, in this order.

    Returns:
      All strings by id, in ascending order.

    Raises:
      TokenizerError: two strings have one id, or a string has two.
    """
    known = {token.content: token for token in added}
    if len(known) < len(added):
        raise TokenizerError(
            f"{len(added) - len(known)} of the {len(added)} added strings are listed "
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
    next_id = 1 + max([-1, *owners, *(t.id for t in added if t.id is not None)])
    by_id: dict[int, AddedToken] = {}
    for content, token in tokens.items():
        index = pieces.get(content, token.id)
        if index is None:
            index, next_id = next_id, next_id + 1
        owner = owners.setdefault(index, content)
        if owner != content or token.id not in (None, index):
            raise TokenizerError(
                f"The added string {content!r} has the id {token.id}, but {owner!r} is "
                f"{index} already; expected a different id."
            )
        by_id[index] = dataclasses.replace(token, id=index)
    return dict(sorted(by_id.items()))
