"""Splits texts into sentences, and tokens into n-grams."""

import re
from collections.abc import Hashable, Iterator, Sequence
from typing import Literal

# What a metric does with `normalization.SEPARATOR`.
Separators = Literal["removed", "kept"]

# Where a sentence may end: end marks, closing quotes or brackets, whitespace.
_END = re.compile(r"""(?<![.!?…])[.!?…]+["'”’»)\]]*\s+""")
# Words after which a "." more often marks an abbreviation than the end of a sentence.
_ABBREVIATION = re.compile(
    r"[^\W\d_](\.[^\W\d_])*"  # single letters: J. or U.S. or e.g.
    r"|al|capt|cf|col|dr|eqs?|figs?|gen|gov|hon|lt|mrs?|ms|pp|prof|rep|rev|sec|sen|sgt"
    r"|st|vol|vs",
    re.IGNORECASE,
)


def ngrams(tokens: Sequence[Hashable], order: int) -> Iterator[tuple[Hashable, ...]]:
    """Yields the n-grams of tokens in their order, repeated ones included.

    ("a", "b", "c") and order 2 -> ("a", "b"), ("b", "c").
    """
    return zip(*(tokens[start:] for start in range(order)), strict=False)


def split_sentences(text: str) -> list[str]:
    r"""Returns the sentences of a text, stripped and without empty ones.

    A sentence ends at each line end, and at ".", "!", "?" or "…" before whitespace.
    There are two exceptions: the next letter is lower-case in a text that has capitals,
    or the "." belongs to initials or to one of a few abbreviations.

      "It is by J. Doe et al. Who? approx. ten.\nGood." ->
      ["It is by J. Doe et al. Who? approx. ten.", "Good."]
      "it works. who? all." -> ["it works.", "who?", "all."]
    """
    is_cased = any(letter.isupper() for letter in text)
    sentences = []
    for line in text.split("\n"):
        start = 0
        for end in _END.finditer(line):
            if _is_border(line, start, end, is_cased):
                sentences.append(line[start : end.end()].strip())
                start = end.end()
        sentences.append(line[start:].strip())
    return [sentence for sentence in sentences if sentence]


def _is_border(line: str, start: int, end: re.Match[str], is_cased: bool) -> bool:
    following = next(filter(str.isalnum, line[end.end() :]), "")
    if is_cased and following.islower():
        return False
    if not re.match(r"\.(?!\.)", end[0]):
        return True  # no abbreviation ends in "?", "!" or an ellipsis
    word = line[start : end.start()].rpartition(" ")[2].lstrip("\"'“‘«([")
    return not _ABBREVIATION.fullmatch(word)
