"""Encodes texts word by word, and remembers the ids of words."""

import itertools
from collections.abc import Callable, Iterable, Mapping

from bertgen_jax.tokenizers.added_tokens import AddedToken

_MOST_WORDS = 2**17  # a few tens of megabytes; a fuller memory is emptied
_LONGEST_WORD = 32  # characters; longer ones seldom come again


class WordMemory:
    """Encodes texts by looking up the ids of their words.

    WordPiece and byte-level BPE never join characters of two words, so the ids of a
    text are those of its words. Nearly all words of a text have occurred in earlier
    ones, and looking them up takes a tenth of the time of encoding the text. May be
    shared between threads.

    Args:
      encode: returns the ids of each text.
      spaces_count: whether the space before a word is part of it, as in byte-level BPE.
    """

    def __init__(
        self, encode: Callable[[list[str]], list[list[int]]], *, spaces_count: bool
    ):
        self._encode = encode
        self._break = "\n " if spaces_count else "\n"
        self._ids: dict[str, list[int]] = {}

    def encode(self, texts: Iterable[str]) -> list[list[int]]:
        """Returns the ids of each text."""
        words = [self._split(text) for text in texts]
        recall = self._ids.get
        rows = [[recall(word) for word in row] for row in words]
        gaps = [number for number, row in enumerate(rows) if None in row]
        unknown = dict.fromkeys(
            word
            for number in gaps
            for word, ids in zip(words[number], rows[number], strict=True)
            if ids is None
        )
        if unknown:
            encoded = self._encode(list(unknown))
            found = dict(zip(unknown, encoded, strict=True))
            for number in gaps:
                rows[number] = [
                    found[word] if ids is None else ids
                    for word, ids in zip(words[number], rows[number], strict=True)
                ]
            self._remember(found)
        return [list(itertools.chain.from_iterable(filter(None, row))) for row in rows]

    def _split(self, text: str) -> list[str]:
        """Divides a text before its spaces; one with other white space stays whole.

        What a run of white space becomes depends on all of it.
        """
        if " ".join(text.split()) != text:
            return [text]
        return text.replace(" ", self._break).split("\n")

    def _remember(self, found: Mapping[str, list[int]]) -> None:
        if len(self._ids) > _MOST_WORDS:
            self._ids = {}  # another thread may still read the old one
        self._ids |= {
            word: ids for word, ids in found.items() if len(word) <= _LONGEST_WORD
        }


def applies(added: Iterable[AddedToken]) -> bool:
    """Whether texts can be divided at spaces, given the strings that are cut out.

    A string must lie within one word and must not touch the next one.
    """
    return not any(
        token.rstrip
        or token.single_word
        or any(character.isspace() for character in token.content)
        # The normalizer might put spaces into other strings, or join them to words.
        or (token.normalized and not token.content.isascii())
        for token in added
    )
