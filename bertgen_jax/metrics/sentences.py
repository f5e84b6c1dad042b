"""Sentences of a text, and the lead baseline: text in, its first sentences out."""

import re

# Where a sentence may end: its mark, closing quotes or brackets, a blank.
_END = re.compile(r"""(?<![.!?…])[.!?…]+["'”’»)\]]*\s+""")
# What stands before a "." that more often belongs to the word than ends a sentence.
_ABBREVIATION = re.compile(
    r"[^\W\d_](\.[^\W\d_])*"  # single letters: J. or U.S. or e.g.
    r"|al|capt|cf|col|dr|eqs?|figs?|gen|gov|hon|lt|mrs?|ms|pp|prof|rep|rev|sec|sen|sgt"
    r"|st|vol|vs",
    re.IGNORECASE,
)


def split(text: str) -> list[str]:
    r"""The sentences of `text`, stripped; empty ones are left out.

    A line end is a border. So is ".", "!", "?" or "…" before a blank, unless the next
    letter is small, in a text that has capitals, or the "." belongs to initials or one
    of a few abbreviations:

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


def lead(source: str, sentences: int = 1) -> str:
    """The first `sentences` of `source`, one a line: the baseline called lead."""
    return "\n".join(split(source)[:sentences])


def _is_border(line: str, start: int, end: re.Match[str], is_cased: bool) -> bool:
    following = next(filter(str.isalnum, line[end.end() :]), "")
    if is_cased and following.islower():
        return False
    if not re.match(r"\.(?!\.)", end[0]):
        return True  # no abbreviation ends in "?", "!" or an ellipsis
    word = line[start : end.start()].rpartition(" ")[2].lstrip("\"'“‘«([")
    return not _ABBREVIATION.fullmatch(word)
