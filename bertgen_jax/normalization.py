"""Named steps that rewrite text in plainer characters before it is encoded.

The published vocabulary of 50,358 pieces rewrites nothing by itself. It encodes curly
quotes, long dashes, the ellipsis, the no-break space and line ends as `<unk>`, so that
they are lost, and it splits accents that are separate characters from their letters.
No step is applied unless it is named, because Hugging Face applies none.

`ALL` names the steps that make sense for any text. The other steps of `STEPS` are
conventions of single data sets.
"""

import re
import unicodedata
from collections.abc import Callable, Sequence

from bertgen_jax import errors

# Stands between the sentences of one text in WikiSplit and DiscoFuse, and is a special
# token of the published vocabulary.
SEPARATOR = "<::::>"


class _Replacement:
    """Replaces single characters by strings."""

    def __init__(self, replacements: dict[str, str]):
        self._table = str.maketrans(replacements)
        # Most texts have none of them, and a search is faster than a translation.
        self._any = re.compile(f"[{re.escape(''.join(replacements))}]")

    def __call__(self, text: str) -> str:
        return text.translate(self._table) if self._any.search(text) else text


_QUOTES = _Replacement(dict.fromkeys("‘’‚‛′ʼ´‹›", "'") | dict.fromkeys("“”„‟″«»", '"'))
_DASHES = _Replacement(dict.fromkeys("‐‑‒–—―−﹘﹣－", "-"))
_SPACES = _Replacement(
    dict.fromkeys("\u00a0\u1680\u202f\u205f\u3000", " ")
    | dict.fromkeys(map(chr, range(0x2000, 0x200B)), " ")  # en quad to hair space
    # Zero-width space, word joiner, byte order mark and soft hyphen are removed. The
    # zero-width joiners stay because Persian, Indic scripts and emoji need them.
    | dict.fromkeys("\u200b\u2060\ufeff\u00ad", "")
)
_NEWLINES = _Replacement(dict.fromkeys("\n\r\t\v\f\x85\u2028\u2029", " "))
_SPELLED_SEPARATOR = re.compile(r" ?< ?: ?: ?: ?: ?> ?")


def nfc(text: str) -> str:
    """Joins each letter with its accents to one character (Unicode NFC).

    >>> len("cafe\\u0301"), len(nfc("cafe\\u0301"))
    (5, 4)
    """
    return unicodedata.normalize("NFC", text)


def quotes(text: str) -> str:
    """Replaces quotation marks, apostrophes and primes by straight ones.

    >>> print(quotes("“It’s «here»”"))
    "It's "here""
    """
    return _QUOTES(text)


def dashes(text: str) -> str:
    """Replaces every dash, hyphen and minus sign by "-".

    >>> dashes("1990–95 — so")
    '1990-95 - so'
    """
    return _DASHES(text)


def ellipsis(text: str) -> str:
    """Replaces the ellipsis character by three dots.

    >>> ellipsis("well…")
    'well...'
    """
    return text.replace("…", "...")


def spaces(text: str) -> str:
    """Replaces spaces of other widths by " " and removes invisible ones.

    >>> spaces("10\\u00a0km\\u200b")
    '10 km'
    """
    return _SPACES(text)


def newlines(text: str) -> str:
    """Replaces each line end and tab by " ".

    >>> newlines("one\\ntwo\\tthree")
    'one two three'
    """
    return _NEWLINES(text)


def lowercase(text: str) -> str:
    """Lower-cases text, as Gigaword's public test set is (paper, section 4.4).

    >>> lowercase("Storm hits Yarrow")
    'storm hits yarrow'
    """
    return text.lower()


def backticks(text: str) -> str:
    """Replaces `"` by a back tick, as in the paper's DiscoFuse data.

    The released model was trained on back ticks only.

    >>> backticks('the "Duke" sank')
    'the `Duke` sank'
    """
    return text.replace('"', "`")


def separator(text: str) -> str:
    """Restores the sentence separator where a tokenizer has taken it apart.

    >>> separator("It sank .<::::> Who cared ? < : : : : > All .")
    'It sank . <::::> Who cared ? <::::> All .'
    """
    return _SPELLED_SEPARATOR.sub(f" {SEPARATOR} ", text)


_CHARACTERS: dict[str, Callable[[str], str]] = {
    "nfc": nfc,
    "quotes": quotes,
    "dashes": dashes,
    "ellipsis": ellipsis,
    "spaces": spaces,
    "newlines": newlines,
}
_CONVENTIONS: dict[str, Callable[[str], str]] = {
    "lowercase": lowercase,
    "backticks": backticks,
    "separator": separator,
}
STEPS = _CHARACTERS | _CONVENTIONS
# Steps that leave ASCII as it is.
_BEYOND_ASCII = ("nfc", "quotes", "dashes", "ellipsis", "spaces")
ALL = tuple(_CHARACTERS)


def check_steps(steps: Sequence[str]) -> tuple[str, ...]:
    """Returns the names of steps as a tuple.

    Raises:
      ConfigError: a name is unknown, or `steps` is one string.
    """
    if isinstance(steps, str):
        raise errors.ConfigError(
            f"normalization is the string {steps!r}; expected a sequence of names "
            f"from: {', '.join(STEPS)}."
        )
    for step in steps:
        if not isinstance(step, str) or step not in STEPS:
            raise errors.ConfigError(
                f"There is no normalization step {step!r}."
                f"{errors.nearest(step, STEPS)} "
                f"Expected names from: {', '.join(STEPS)}."
            )
    return tuple(steps)


def parse_steps(setting: str, default: Sequence[str] = ()) -> tuple[str, ...]:
    """Parses the names of steps in a config, such as "nfc,quotes".

    Args:
      setting: names joined by ","; "all" stands for `ALL`, "auto" for `default`.
      default: the steps that "auto" stands for.

    Raises:
      ConfigError: a name is unknown.
    """
    groups = {"all": ALL, "auto": tuple(default)}
    names = filter(None, setting.replace(" ", "").split(","))
    return check_steps([step for name in names for step in groups.get(name, (name,))])


def normalize(text: str, steps: Sequence[str]) -> str:
    """Applies the named steps in the given order.

    >>> normalize("“Quoted” –\\nok…", ALL)
    '"Quoted" - ok...'

    Halves of a surrogate pair are always repaired, because JSON escapes may contain
    them and UTF-8 cannot: two matching halves are joined, a single half becomes U+FFFD.

    Raises:
      TokenizerError: `text` is not a string.
    """
    if not isinstance(text, str):
        raise errors.TokenizerError(
            f"Cannot encode {text!r}, a {type(text).__name__}; expected a string."
        )
    if text.isascii():
        steps = [step for step in steps if step not in _BEYOND_ASCII]
    elif not is_unicode(text):
        text = text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    for step in steps:
        text = STEPS[step](text)
    return text


def is_unicode(text: str) -> bool:
    """Whether UTF-8 can encode `text`: it has no single half of a surrogate pair."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
