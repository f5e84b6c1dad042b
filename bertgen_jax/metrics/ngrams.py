"""Tokens in, their n-grams out, in their order and as often as they stand there."""

from collections.abc import Hashable, Iterator, Sequence


def ngrams(tokens: Sequence[Hashable], order: int) -> Iterator[tuple[Hashable, ...]]:
    """("a", "b", "c") and order 2 -> ("a", "b"), ("b", "c")."""
    return zip(*(tokens[start:] for start in range(order)), strict=False)
